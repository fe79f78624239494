//! An error that says what failed, and on what.

use std::error::Error;
use std::fmt;
use std::io;

/// Whether a signal ended an operation before it did anything, so that it is simply tried again.
pub(crate) fn interrupted(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINTR)
}

/// An I/O error with the operation that failed and the path or address it failed on.
///
/// It is what lies inside the [`io::Error`]s of functions that were given a path or an address. Their
/// [`kind`](io::Error::kind) is that of the cause; the errno is found by [`raw_os_error`].
///
/// ```
/// use std::io;
/// use uring::io::{OpError, raw_os_error};
///
/// let cause = io::Error::from_raw_os_error(2);
/// let error = io::Error::from(OpError::new("open", "/no/such/file", cause));
/// assert_eq!(error.to_string(), "open /no/such/file: No such file or directory (os error 2)");
/// assert_eq!(error.kind(), io::ErrorKind::NotFound);
/// assert_eq!(raw_os_error(&error), Some(2));
/// ```
#[derive(Debug)]
pub struct OpError {
    operation: &'static str,
    subject: String,
    source: io::Error,
}

impl OpError {
    /// Says of `source` that it came of `operation`, a verb such as `"open"`, on `subject`, a path or an
    /// address.
    pub fn new(operation: &'static str, subject: impl fmt::Display, source: io::Error) -> OpError {
        OpError { operation, subject: subject.to_string(), source }
    }

    /// What was tried, as a verb.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// What it was tried on.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The errno, if the cause has one.
    pub fn raw_os_error(&self) -> Option<i32> {
        raw_os_error(&self.source)
    }
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.operation, self.subject, self.source)
    }
}

impl Error for OpError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

impl From<OpError> for io::Error {
    fn from(error: OpError) -> io::Error {
        io::Error::new(error.source.kind(), error)
    }
}

/// The errno of an error, or else of the first of its causes that has one.
///
/// [`io::Error::raw_os_error`] is `None` for every error that wraps another, an [`OpError`] among them: it
/// answers only for errors that are an errno and nothing else.
pub fn raw_os_error(error: &io::Error) -> Option<i32> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(found) = cause {
        let errno = found.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        if errno.is_some() {
            return errno;
        }
        cause = found.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> OpError {
        let cause = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        OpError::new("connect", "127.0.0.1:1", cause)
    }

    #[test]
    fn an_error_names_the_operation_and_its_subject_and_keeps_kind_and_errno() {
        let error = io::Error::from(refused());
        let cause = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        assert_eq!(error.to_string(), format!("connect 127.0.0.1:1: {cause}"));
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(error.raw_os_error(), None, "std does not look through");
        assert_eq!(raw_os_error(&error), Some(libc::ECONNREFUSED));
    }

    #[test]
    fn an_errno_is_found_through_several_layers() {
        let outer = OpError::new("copy", "from here", refused().into());
        assert_eq!(outer.raw_os_error(), Some(libc::ECONNREFUSED));
        let error = io::Error::other(outer);
        assert_eq!(raw_os_error(&error), Some(libc::ECONNREFUSED));
    }

    #[test]
    fn an_error_without_errno_has_none() {
        let error = OpError::new("open", "a\0b", io::Error::from(io::ErrorKind::InvalidInput));
        assert_eq!(error.raw_os_error(), None);
        assert_eq!((error.operation(), error.subject()), ("open", "a\0b"));
    }
}

//! Open a file: `openat(2)`, Linux 5.6.

use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;

use super::{Completion, Op, outcome};
use crate::fd::Fd;
use crate::ring::{At, Sqe};

/// Opens a file. A descriptor that comes after the future was dropped is closed.
#[derive(Debug)]
pub struct OpenAt {
    /// The directory where a relative path starts; `None` is the working directory.
    pub at: Option<Fd>,
    /// The path.
    pub path: CString,
    /// `O_*`; `O_CLOEXEC` is for the caller to set.
    pub flags: i32,
    /// The permissions of a file that is created, before the umask.
    pub mode: u32,
}

impl Op for OpenAt {
    type Output = io::Result<Fd>;

    fn prepare(&mut self) -> Sqe<'_> {
        let at = self.at.as_ref().map_or(At::WorkingDirectory, |fd| At::Fd(fd.as_fd()));
        Sqe::open_at(at, &self.path, self.flags, self.mode)
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        // SAFETY: openat(2) returns a new descriptor.
        unsafe { outcome::new_fd(&completion) }
    }
}

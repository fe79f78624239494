//! Remove a name: `unlinkat(2)`, Linux 5.11.

use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;

use super::{Completion, Op};
use crate::fd::Fd;
use crate::ring::{At, Sqe};

/// Removes a name, and what it stood for if that was the last one.
#[derive(Debug)]
pub struct UnlinkAt {
    /// The directory where a relative path starts; `None` is the working directory.
    pub at: Option<Fd>,
    /// The path.
    pub path: CString,
    /// `AT_REMOVEDIR` for an empty directory, 0 for anything else.
    pub flags: i32,
}

impl Op for UnlinkAt {
    type Output = io::Result<()>;

    fn prepare(&mut self) -> Sqe<'_> {
        let at = self.at.as_ref().map_or(At::WorkingDirectory, |fd| At::Fd(fd.as_fd()));
        Sqe::unlink_at(at, &self.path, self.flags)
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        completion.result().map(drop)
    }
}

//! Make a directory: `mkdirat(2)`, Linux 5.15.

use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;

use super::{Completion, Op};
use crate::fd::Fd;
use crate::ring::{At, Sqe};

/// Makes a directory.
#[derive(Debug)]
pub struct MkdirAt {
    /// The directory where a relative path starts; `None` is the working directory.
    pub at: Option<Fd>,
    /// The path.
    pub path: CString,
    /// Its permissions, before the umask.
    pub mode: u32,
}

impl Op for MkdirAt {
    type Output = io::Result<()>;

    fn prepare(&mut self) -> Sqe<'_> {
        let at = self.at.as_ref().map_or(At::WorkingDirectory, |fd| At::Fd(fd.as_fd()));
        Sqe::mkdir_at(at, &self.path, self.mode)
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        completion.result().map(drop)
    }
}

//! Make a symbolic link: `symlinkat(2)`, Linux 5.15.

use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;

use super::{Completion, Op};
use crate::fd::Fd;
use crate::ring::{At, Sqe};

/// Makes a symbolic link.
#[derive(Debug)]
pub struct SymlinkAt {
    /// What the link leads to, which need not exist.
    pub target: CString,
    /// The directory where a relative path starts; `None` is the working directory.
    pub at: Option<Fd>,
    /// The path of the link.
    pub path: CString,
}

impl Op for SymlinkAt {
    type Output = io::Result<()>;

    fn prepare(&mut self) -> Sqe<'_> {
        let at = self.at.as_ref().map_or(At::WorkingDirectory, |fd| At::Fd(fd.as_fd()));
        Sqe::symlink_at(&self.target, at, &self.path)
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        completion.result().map(drop)
    }
}

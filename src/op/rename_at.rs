//! Rename: `renameat2(2)`, Linux 5.11.

use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;

use super::{Completion, Op};
use crate::fd::Fd;
use crate::ring::{At, Sqe};

/// Renames a file or a directory.
#[derive(Debug)]
pub struct RenameAt {
    /// The directory where `old` starts if it is relative; `None` is the working directory.
    pub old_at: Option<Fd>,
    /// What it is called.
    pub old: CString,
    /// The directory where `new` starts if it is relative; `None` is the working directory.
    pub new_at: Option<Fd>,
    /// The new name.
    pub new: CString,
    /// `RENAME_*`; with 0 a file of the new name is replaced.
    pub flags: u32,
}

impl Op for RenameAt {
    type Output = io::Result<()>;

    fn prepare(&mut self) -> Sqe<'_> {
        let old_at = self.old_at.as_ref().map_or(At::WorkingDirectory, |fd| At::Fd(fd.as_fd()));
        let new_at = self.new_at.as_ref().map_or(At::WorkingDirectory, |fd| At::Fd(fd.as_fd()));
        Sqe::rename_at(old_at, &self.old, new_at, &self.new, self.flags)
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        completion.result().map(drop)
    }
}

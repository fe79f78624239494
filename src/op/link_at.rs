//! Give a file a further name: `linkat(2)`, Linux 5.15.

use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;

use super::{Completion, Op};
use crate::fd::Fd;
use crate::ring::{At, Sqe};

/// Gives a file a further name.
#[derive(Debug)]
pub struct LinkAt {
    /// The directory where `old` starts if it is relative; `None` is the working directory.
    pub old_at: Option<Fd>,
    /// A name that it has.
    pub old: CString,
    /// The directory where `new` starts if it is relative; `None` is the working directory.
    pub new_at: Option<Fd>,
    /// The new name.
    pub new: CString,
    /// `AT_SYMLINK_FOLLOW` or `AT_EMPTY_PATH`; with 0 the link itself gets the name.
    pub flags: i32,
}

impl Op for LinkAt {
    type Output = io::Result<()>;

    fn prepare(&mut self) -> Sqe<'_> {
        let old_at = self.old_at.as_ref().map_or(At::WorkingDirectory, |fd| At::Fd(fd.as_fd()));
        let new_at = self.new_at.as_ref().map_or(At::WorkingDirectory, |fd| At::Fd(fd.as_fd()));
        Sqe::link_at(old_at, &self.old, new_at, &self.new, self.flags)
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        completion.result().map(drop)
    }
}

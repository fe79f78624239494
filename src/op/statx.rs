//! Describe a file: `statx(2)`, Linux 5.6.

use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;

use super::{Completion, Op};
use crate::fd::Fd;
use crate::ring::{self, At, Sqe};

/// Describes a file.
#[derive(Debug)]
pub struct Statx {
    at: Option<Fd>,
    path: CString,
    flags: i32,
    found: ring::Statx,
}

impl Statx {
    /// The file at `path`; follows symbolic links.
    pub fn path(path: CString) -> Statx {
        Statx { at: None, path, flags: 0, found: ring::Statx::default() }
    }

    /// What is at `path`, be it a symbolic link.
    pub fn link(path: CString) -> Statx {
        Statx { flags: libc::AT_SYMLINK_NOFOLLOW, ..Statx::path(path) }
    }

    /// An open file.
    pub fn file(fd: Fd) -> Statx {
        // An empty path needs no allocation; a null one is refused before Linux 6.11.
        let path = CString::default();
        Statx { at: Some(fd), path, flags: libc::AT_EMPTY_PATH, found: ring::Statx::default() }
    }
}

impl Op for Statx {
    type Output = io::Result<ring::Statx>;

    fn prepare(&mut self) -> Sqe<'_> {
        let at = self.at.as_ref().map_or(At::WorkingDirectory, |fd| At::Fd(fd.as_fd()));
        let mask = libc::STATX_BASIC_STATS | libc::STATX_BTIME;
        Sqe::statx(at, &self.path, self.flags, mask, &mut self.found)
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        completion.result().map(|_| self.found)
    }
}

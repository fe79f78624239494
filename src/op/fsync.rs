//! Flush a file to its disk: `fsync(2)`, Linux 5.1.

use std::io;
use std::os::fd::AsFd;

use super::{Completion, Op};
use crate::fd::Fd;
use crate::ring::Sqe;

/// Flushes a file to its disk.
#[derive(Debug)]
pub struct Fsync {
    /// The file.
    pub fd: Fd,
    /// Leaves out metadata that reading the data back does not need: `fdatasync(2)`.
    pub data_only: bool,
}

impl Op for Fsync {
    type Output = io::Result<()>;

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::fsync(self.fd.as_fd().into(), self.data_only)
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        completion.result().map(drop)
    }
}

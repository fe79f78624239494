//! Flush a file to its disk: `fsync(2)`, Linux 5.1.

use std::io;
use std::os::fd::AsFd;

use super::Op;
use crate::fd::Fd;
use crate::ring::{Cqe, Sqe};

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

    fn complete(self, cqe: Cqe) -> Self::Output {
        cqe.result().map(drop)
    }
}

//! Set a file's length: `ftruncate(2)`, Linux 6.9.

use std::io;
use std::os::fd::AsFd;

use super::{Completion, Op};
use crate::fd::Fd;
use crate::ring::Sqe;

/// Sets a file's length. Kernels before 6.9 answer `EINVAL`.
#[derive(Debug)]
pub struct Ftruncate {
    /// The file.
    pub fd: Fd,
    /// The new length.
    pub len_bytes: u64,
}

impl Op for Ftruncate {
    type Output = io::Result<()>;

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::ftruncate(self.fd.as_fd().into(), self.len_bytes)
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        completion.result().map(drop)
    }
}

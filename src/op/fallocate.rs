//! Allocate or punch a range of a file: `fallocate(2)`, Linux 5.6.

use std::io;
use std::os::fd::AsFd;

use super::{Completion, Op};
use crate::fd::Fd;
use crate::ring::Sqe;

/// Allocates or punches a range of a file.
#[derive(Debug)]
pub struct Fallocate {
    /// The file.
    pub fd: Fd,
    /// `FALLOC_FL_*`; 0 allocates, and lengthens the file if need be.
    pub mode: u32,
    /// Where the range starts, in bytes.
    pub offset: u64,
    /// How long it is.
    pub len_bytes: u64,
}

impl Op for Fallocate {
    type Output = io::Result<()>;

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::fallocate(self.fd.as_fd().into(), self.mode, self.offset, self.len_bytes)
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        completion.result().map(drop)
    }
}

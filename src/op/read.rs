//! Read from a file: `pread(2)`, Linux 5.6.

use std::os::fd::AsFd;

use super::{Completion, Op, outcome};
use crate::buf::{BufResult, IoBufMut};
use crate::fd::Fd;
use crate::ring::Sqe;

/// Reads into the front of a buffer.
#[derive(Debug)]
pub struct Read<B> {
    /// The file.
    pub fd: Fd,
    /// Where to read, in bytes from the start; `None` is the file's own position, which moves on.
    pub offset: Option<u64>,
    /// What to read into.
    pub buf: B,
}

impl<B: IoBufMut> Op for Read<B> {
    type Output = BufResult<usize, B>;

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::read(self.fd.as_fd().into(), self.buf.room(), self.offset)
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        // SAFETY: read(2) writes as many bytes as it returns to the front of the room that `prepare` lent.
        unsafe { outcome::filled(&completion, self.buf) }
    }
}

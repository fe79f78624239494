//! Write to a file: `pwrite(2)`, Linux 5.6.

use std::os::fd::AsFd;

use super::{Completion, Op};
use crate::buf::{BufError, BufResult, IoBuf};
use crate::fd::Fd;
use crate::ring::Sqe;

/// Writes the bytes of a buffer; fewer may be taken.
#[derive(Debug)]
pub struct Write<B> {
    /// The file.
    pub fd: Fd,
    /// Where to write, in bytes from the start; `None` is the file's own position, which moves on.
    pub offset: Option<u64>,
    /// What to write.
    pub buf: B,
}

impl<B: IoBuf> Op for Write<B> {
    type Output = BufResult<usize, B>;

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::write(self.fd.as_fd().into(), self.buf.bytes(), self.offset)
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        match completion.result() {
            Ok(n) => Ok((n as usize, self.buf)),
            Err(error) => Err(BufError::new(error, self.buf)),
        }
    }
}

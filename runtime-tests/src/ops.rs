//! Operations that only tests want.

use std::os::fd::AsFd;

use uring::buf::{BufResult, IoBufMut};
use uring::fd::Fd;
use uring::op::{self, Op};
use uring::ring::Sqe;

/// A read that is forced to a worker thread, which hands it on to a poll when there is nothing to read yet.
#[derive(Debug)]
pub struct ReadOnWorker<B> {
    /// What to read from.
    pub fd: Fd,
    /// What to read into.
    pub buf: B,
}

impl<B: IoBufMut> Op for ReadOnWorker<B> {
    type Output = BufResult<usize, B>;

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::read(self.fd.as_fd().into(), self.buf.room(), None).asynchronous()
    }

    fn complete(self, completion: op::Completion<Self>) -> Self::Output {
        // SAFETY: read(2) fills as many bytes of the room that `prepare` lent as it returns.
        unsafe { op::filled(&completion, self.buf) }
    }
}

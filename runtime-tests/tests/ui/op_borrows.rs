use std::os::fd::BorrowedFd;
use uring::op::{Completion, Op};
use uring::ring::Sqe;

struct Read<'a> {
    fd: BorrowedFd<'a>,
    buf: &'a mut [u8],
}

impl<'a> Op for Read<'a> {
    type Output = ();

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::read(self.fd.into(), &mut *self.buf, None)
    }

    fn complete(self, _: Completion<Self>) {}
}

fn main() {}

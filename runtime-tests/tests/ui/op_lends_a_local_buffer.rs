use std::os::fd::{AsFd, OwnedFd};
use uring::op::{Completion, Op};
use uring::ring::Sqe;

struct Read {
    fd: OwnedFd,
}

impl Op for Read {
    type Output = ();

    fn prepare(&mut self) -> Sqe<'_> {
        let mut local = [0u8; 16];
        Sqe::read(self.fd.as_fd().into(), &mut local[..], None)
    }

    fn complete(self, _: Completion<Self>) {}
}

fn main() {}

//! Make a socket: `socket(2)`, Linux 5.19.

use std::io;

use super::{Completion, Op, outcome};
use crate::fd::Fd;
use crate::ring::Sqe;

/// Makes a socket. Kernels before 5.19 answer `EINVAL`.
#[derive(Debug)]
pub struct Socket {
    /// `AF_*`.
    pub domain: i32,
    /// `SOCK_*`; `SOCK_CLOEXEC` is for the caller to set.
    pub kind: i32,
    /// `IPPROTO_*`, or 0.
    pub protocol: i32,
}

impl Op for Socket {
    type Output = io::Result<Fd>;

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::socket(self.domain, self.kind, self.protocol)
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        // SAFETY: socket(2) returns a new descriptor.
        unsafe { outcome::new_fd(&completion) }
    }
}

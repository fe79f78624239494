//! Shut down a part of a connection: `shutdown(2)`, Linux 5.11.

use std::io;
use std::net;
use std::os::fd::AsFd;

use super::{Completion, Op};
use crate::fd::Fd;
use crate::ring::Sqe;

/// Shuts down the reading, the writing or both halves of a connection.
#[derive(Debug)]
pub struct Shutdown {
    /// The socket.
    pub fd: Fd,
    /// Which halves.
    pub how: net::Shutdown,
}

impl Op for Shutdown {
    type Output = io::Result<()>;

    fn prepare(&mut self) -> Sqe<'_> {
        let how = match self.how {
            net::Shutdown::Read => libc::SHUT_RD,
            net::Shutdown::Write => libc::SHUT_WR,
            net::Shutdown::Both => libc::SHUT_RDWR,
        };
        Sqe::shutdown(self.fd.as_fd().into(), how)
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        completion.result().map(drop)
    }
}

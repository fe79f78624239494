//! Connect a socket: `connect(2)`, Linux 5.5.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use super::{Completion, Op};
use crate::fd::Fd;
use crate::ring::{Address, Sqe};

/// Connects a socket.
#[derive(Debug)]
pub struct Connect {
    fd: Fd,
    address: Address,
}

impl Connect {
    /// Connects `fd` to `address`.
    pub fn new(fd: Fd, address: SocketAddr) -> Connect {
        Connect { fd, address: Address::from(address) }
    }
}

impl Op for Connect {
    type Output = io::Result<()>;

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::connect(self.fd.as_fd().into(), &self.address)
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        completion.result().map(drop)
    }
}

const _: () = assert!(size_of::<Connect>() <= 256, "fits a pooled block");

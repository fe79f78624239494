//! Accept connections: `accept4(2)`, Linux 5.5; again and again, Linux 5.19.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use super::lane::Held;
use super::{Completion, MultiOp, Op, outcome};
use crate::fd::Fd;
use crate::ring::{Address, MultiSqe, Sqe};

/// An accepted connection, and its peer's address if the kernel was asked for it.
pub type Accepted = (Fd, Option<SocketAddr>);

/// Accepts one connection.
///
/// Dropping its future loses nothing: a connection that was accepted all the same is left in the lane for
/// the next one who accepts.
#[derive(Debug)]
pub struct Accept {
    fd: Fd,
    peer: Address,
    lane: Held<Accepted>,
}

impl Accept {
    /// Accepts from the listening socket `fd`, whose lane is held until the final completion.
    pub fn new(fd: Fd, lane: Held<Accepted>) -> Accept {
        Accept { fd, peer: Address::empty(), lane }
    }
}

impl Op for Accept {
    type Output = io::Result<Accepted>;

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::accept(self.fd.as_fd().into(), Some(&mut self.peer), libc::SOCK_CLOEXEC)
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        // SAFETY: accept4(2) returns a new descriptor.
        let fd = unsafe { outcome::new_fd(&completion) }?;
        Ok((fd, self.peer.to_std()))
    }

    fn abandoned(self, completion: Completion<Self>) {
        // SAFETY: accept4(2) returns a new descriptor.
        if let Ok(fd) = unsafe { outcome::new_fd(&completion) } {
            self.lane.leave((fd, self.peer.to_std()));
        }
    }
}

/// Accepts connections until it fails or is dropped.
///
/// Connections that were accepted and not taken when the stream is dropped are left in the lane.
#[derive(Debug)]
pub struct AcceptMulti {
    /// The listening socket.
    pub fd: Fd,
    /// The lane of the listening socket, held until the final completion.
    pub lane: Held<Accepted>,
}

impl MultiOp for AcceptMulti {
    type Item = io::Result<Fd>;

    fn prepare(&mut self) -> MultiSqe<'_> {
        MultiSqe::accept(self.fd.as_fd().into(), libc::SOCK_CLOEXEC)
    }

    fn shot(&self, completion: Completion<Self>) -> Self::Item {
        // SAFETY: accept4(2) returns a new descriptor.
        unsafe { outcome::new_fd(&completion) }
    }

    fn abandoned_shot(&self, completion: Completion<Self>) {
        if let Ok(fd) = self.shot(completion) {
            self.lane.leave((fd, None));
        }
    }
}

const _: () = assert!(size_of::<Accept>() <= 256, "fits a pooled block");

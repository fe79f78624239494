//! Accept connections: `accept4(2)`, Linux 5.5; again and again, Linux 5.19.

use std::io;
use std::os::fd::AsFd;

use super::{Accepted, Completion, MultiOp, Op, outcome};
use crate::fd::Fd;
use crate::fd::lane::{Held, Receiving};
use crate::ring::{Address, MultiSqe, Sqe};

/// Accepts one connection.
///
/// Dropping its future loses nothing: a connection that was accepted all the same is left in the lane for
/// the next one who accepts.
#[derive(Debug)]
pub struct Accept {
    peer: Address,
    lane: Held<Receiving>,
}

impl Accept {
    /// Accepts from the listening socket whose lane it is, held until the final completion.
    pub fn new(lane: Held<Receiving>) -> Accept {
        Accept { peer: Address::empty(), lane }
    }
}

impl Op for Accept {
    type Output = io::Result<Accepted>;

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::accept(self.lane.fd().as_fd().into(), Some(&mut self.peer), libc::SOCK_CLOEXEC)
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        // SAFETY: accept4(2) returns a new descriptor.
        let fd = unsafe { outcome::new_fd(&completion) }?;
        Ok((fd, self.peer.to_std()))
    }

    fn abandoned(self, completion: Completion<Self>) {
        // SAFETY: accept4(2) returns a new descriptor.
        if let Ok(fd) = unsafe { outcome::new_fd(&completion) } {
            self.lane.leave_connection((fd, self.peer.to_std()));
        }
    }
}

/// Accepts connections until it fails or is dropped.
///
/// Connections that were accepted and not taken when the stream is dropped are left in the lane.
#[derive(Debug)]
pub struct AcceptMulti {
    /// The lane of the listening socket, held until the final completion.
    pub lane: Held<Receiving>,
}

impl MultiOp for AcceptMulti {
    type Item = io::Result<Fd>;

    fn prepare(&mut self) -> MultiSqe<'_> {
        MultiSqe::accept(self.lane.fd().as_fd().into(), libc::SOCK_CLOEXEC)
    }

    fn shot(&self, completion: Completion<Self>) -> Self::Item {
        // SAFETY: accept4(2) returns a new descriptor.
        unsafe { outcome::new_fd(&completion) }
    }

    fn abandoned_shot(&self, completion: Completion<Self>) {
        if let Ok(fd) = self.shot(completion) {
            self.lane.leave_connection((fd, None));
        }
    }
}

const _: () = assert!(size_of::<Accept>() <= 256, "fits a pooled block");

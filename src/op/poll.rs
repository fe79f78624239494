//! Wait for readiness: `poll(2)`, Linux 5.1; again and again, Linux 5.13.

use std::io;
use std::os::fd::AsFd;

use super::{Completion, MultiOp, Op};
use crate::fd::Fd;
use crate::ring::{MultiSqe, Sqe};

/// Waits until one of `events` holds.
#[derive(Debug)]
pub struct Poll {
    /// The file, socket or pipe.
    pub fd: Fd,
    /// `POLLIN`, `POLLOUT`, …
    pub events: u32,
}

impl Op for Poll {
    /// The events that hold, errors and hang-ups included.
    type Output = io::Result<u32>;

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::poll(self.fd.as_fd().into(), self.events)
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        completion.result()
    }
}

/// Reports `events` again and again: the first time by level, later by edge.
#[derive(Debug)]
pub struct PollMulti {
    /// The file, socket or pipe.
    pub fd: Fd,
    /// `POLLIN`, `POLLOUT`, …
    pub events: u32,
}

impl MultiOp for PollMulti {
    /// The events that hold, errors and hang-ups included.
    type Item = io::Result<u32>;

    fn prepare(&mut self) -> MultiSqe<'_> {
        MultiSqe::poll(self.fd.as_fd().into(), self.events)
    }

    fn shot(&self, completion: Completion<Self>) -> Self::Item {
        completion.result()
    }
}

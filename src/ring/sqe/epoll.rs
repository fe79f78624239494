//! The interface to epoll, for programs that have an epoll loop and a ring.

use std::os::fd::{AsRawFd, BorrowedFd};

use super::{Entry, Sqe, Target, read_from, written_by_kernel};
use crate::sys::abi::{Opcode, RawSqe};

/// A change of the files that an epoll watches, `epoll_ctl(2)`.
#[derive(Clone, Copy)]
pub enum EpollChange<'a> {
    /// Watches a file.
    Add(&'a libc::epoll_event),
    /// Changes what is watched of a file.
    Modify(&'a libc::epoll_event),
    /// Stops watching a file.
    Delete,
}

impl<'a> Sqe<'a> {
    /// Changes what the epoll `epoll` watches of `file`. `epoll_ctl(2)`, Linux 5.6.
    pub fn epoll_ctl(
        epoll: BorrowedFd<'a>,
        file: BorrowedFd<'a>,
        change: EpollChange<'a>,
    ) -> Sqe<'a> {
        let (command, addr) = match change {
            EpollChange::Add(event) => (libc::EPOLL_CTL_ADD, read_from(event)),
            EpollChange::Modify(event) => (libc::EPOLL_CTL_MOD, read_from(event)),
            EpollChange::Delete => (libc::EPOLL_CTL_DEL, 0),
        };
        let fields = RawSqe {
            off: u64::from(file.as_raw_fd() as u32),
            len: command as u32,
            addr,
            ..RawSqe::default()
        };
        Sqe::new(Entry::with_fd(Opcode::EPOLL_CTL, epoll.as_raw_fd(), fields))
    }

    /// Waits for events of an epoll; the result is how many were written to `events`. `epoll_wait(2)`, Linux
    /// 6.15.
    pub fn epoll_wait(epoll: Target<'a>, events: &'a mut [libc::epoll_event]) -> Sqe<'a> {
        let len = events.len().min(i32::MAX as usize) as u32;
        let fields = RawSqe { addr: written_by_kernel(events), len, ..RawSqe::default() };
        Sqe::new(Entry::on(Opcode::EPOLL_WAIT, epoll, fields))
    }
}

//! Waiting for readiness.

use super::{Entry, MultiSqe, Sqe, Target};
use crate::sys::abi::{Opcode, PollFlags, RawSqe};

/// `events` is a set of `POLL*` and `EPOLL*`; the result is the set that holds, in which `POLLERR` and
/// `POLLHUP` may be without having been asked for. Files that cannot be polled answer `EOPNOTSUPP`.
impl<'a> Sqe<'a> {
    /// Waits until one of `events` holds. `poll(2)`, Linux 5.1.
    pub fn poll(target: Target<'a>, events: u32) -> Sqe<'a> {
        Sqe::new(Entry::on(Opcode::POLL_ADD, target, awaiting(events)))
    }

    /// Ends the poll with this `user_data`, which completes with `ECANCELED`. The result is 0, `ENOENT`, or
    /// `EALREADY` when it is completing already. Linux 5.1.
    pub fn poll_remove(user_data: u64) -> Sqe<'a> {
        let fields = RawSqe { addr: user_data, ..RawSqe::default() };
        Sqe::new(Entry::of(Opcode::POLL_REMOVE, fields))
    }

    /// Changes what the poll with this `user_data` waits for. `multishot` is to say whether that poll is one that reports
    /// again and again, which an update does not change: Linux goes by what it was made as (measured on 6.18).
    /// Results as of [`Sqe::poll_remove`]. Linux 5.13.
    pub fn poll_update(user_data: u64, events: u32, multishot: bool) -> Sqe<'a> {
        Sqe::new(Entry::of(Opcode::POLL_REMOVE, updating(user_data, events, multishot)))
    }

    /// As [`Sqe::poll_update`], and gives the poll another `user_data`. Linux 5.13.
    ///
    /// # Safety
    ///
    /// Nobody takes the poll's completions for those of another request. (To whoever identifies requests by
    /// `user_data`, a completion with that of a read would be the end of that read, while the kernel still
    /// writes to its memory.)
    pub unsafe fn poll_rename(
        user_data: u64,
        new_user_data: u64,
        events: u32,
        multishot: bool,
    ) -> Sqe<'a> {
        let fields = updating(user_data, events, multishot);
        let len = fields.len | PollFlags::UPDATE_USER_DATA.bits();
        let fields = RawSqe { off: new_user_data, len, ..fields };
        Sqe::new(Entry::of(Opcode::POLL_REMOVE, fields))
    }
}

impl<'a> MultiSqe<'a> {
    /// Reports `events` again and again: the first time by level, later by edge. `poll(2)`, Linux 5.13.
    pub fn poll(target: Target<'a>, events: u32) -> MultiSqe<'a> {
        let fields = RawSqe { len: PollFlags::ADD_MULTI.bits(), ..awaiting(events) };
        MultiSqe::new(Entry::on(Opcode::POLL_ADD, target, fields))
    }
}

fn awaiting(events: u32) -> RawSqe {
    // The kernel wants the two halves of the mask swapped on big-endian machines (io_uring.h).
    let events = if cfg!(target_endian = "big") { events.rotate_left(16) } else { events };
    RawSqe { op_flags: events, ..RawSqe::default() }
}

fn updating(user_data: u64, events: u32, multishot: bool) -> RawSqe {
    let again = if multishot { PollFlags::ADD_MULTI } else { PollFlags::empty() };
    let len = (PollFlags::UPDATE_EVENTS | again).bits();
    RawSqe { addr: user_data, len, ..awaiting(events) }
}

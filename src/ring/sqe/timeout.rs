//! Timeouts.

use super::{Entry, MultiSqe, Sqe, read_from};
use crate::sys::abi::{Opcode, RawSqe, TimeoutFlags, Timespec};

/// What a caller may say of a time; the other flags are other operations.
const TIME: TimeoutFlags =
    TimeoutFlags::ABS.union(TimeoutFlags::CLOCK_MASK).union(TimeoutFlags::ETIME_SUCCESS);

/// Of `flags`, these count: [`ABS`](TimeoutFlags::ABS) makes `time` a point in time rather than a span,
/// [`BOOTTIME`](TimeoutFlags::BOOTTIME) or [`REALTIME`](TimeoutFlags::REALTIME) chooses a clock other than
/// the monotonic one, [`ETIME_SUCCESS`](TimeoutFlags::ETIME_SUCCESS) keeps a link going when time has run
/// out. Times are read while the submission is taken in.
///
/// A timer runs out with `ETIME`, which is its normal end. To wait for completions with a limit,
/// [`Ring::submit_and_wait`](crate::ring::Ring::submit_and_wait) needs no submission.
impl<'a> Sqe<'a> {
    /// Waits for time to pass. The result is `ETIME`, or `ECANCELED` when it was removed. Linux 5.4.
    ///
    /// ```
    /// use std::time::Duration;
    /// use uring::ring::{Sqe, TimeoutFlags, abi::Timespec};
    ///
    /// let second = Timespec { sec: 1, nsec: 0 };
    /// let sqe = Sqe::timeout(&second, TimeoutFlags::empty());
    /// # let _ = sqe;
    /// ```
    pub fn timeout(time: &'a Timespec, flags: TimeoutFlags) -> Sqe<'a> {
        Sqe::timeout_or_completions(time, 0, flags)
    }

    /// As [`Sqe::timeout`], but ends with the result 0 when so many other completions were posted since it
    /// was queued. Linux 5.4.
    pub fn timeout_or_completions(
        time: &'a Timespec,
        completions: u32,
        flags: TimeoutFlags,
    ) -> Sqe<'a> {
        let fields = timed(time, flags & TIME);
        let fields = RawSqe { off: u64::from(completions), ..fields };
        Sqe::new(Entry::of(Opcode::TIMEOUT, fields))
    }

    /// Ends the timeout with this `user_data`, which completes with `ECANCELED`. The result is 0, `ENOENT`, or
    /// `EALREADY` when it is running out already. Linux 5.5.
    pub fn timeout_remove(user_data: u64) -> Sqe<'a> {
        let fields = RawSqe { addr: user_data, ..RawSqe::default() };
        Sqe::new(Entry::of(Opcode::TIMEOUT_REMOVE, fields))
    }

    /// Sets the time of the timeout with this `user_data` anew. Results as of [`Sqe::timeout_remove`]. Linux
    /// 5.11.
    pub fn timeout_update(user_data: u64, time: &'a Timespec, flags: TimeoutFlags) -> Sqe<'a> {
        updating(user_data, time, TimeoutFlags::UPDATE | flags & TIME)
    }

    /// Sets the time of the link timeout with this `user_data` anew. Linux 5.15.
    pub fn link_timeout_update(user_data: u64, time: &'a Timespec, flags: TimeoutFlags) -> Sqe<'a> {
        updating(user_data, time, TimeoutFlags::UPDATE_MASK | flags & TIME)
    }

    /// Limits the time of the submission right before it, which must have [`link`](Sqe::link) or
    /// [`hardlink`](Sqe::hardlink). Linux 5.5.
    ///
    /// Its own result is `ECANCELED` when that one was done in time, and `ETIME` when it was cancelled;
    /// `EALREADY` or `ENOENT` when that came too late. Without such a submission before it: `EINVAL`.
    pub fn link_timeout(time: &'a Timespec, flags: TimeoutFlags) -> Sqe<'a> {
        Sqe::new(Entry::of(Opcode::LINK_TIMEOUT, timed(time, flags & TIME)))
    }
}

fn timed(time: &Timespec, flags: TimeoutFlags) -> RawSqe {
    RawSqe { addr: read_from(time), len: 1, op_flags: flags.bits(), ..RawSqe::default() }
}

fn updating<'a>(user_data: u64, time: &'a Timespec, flags: TimeoutFlags) -> Sqe<'a> {
    let op_flags = flags.bits();
    let fields = RawSqe { addr: user_data, off: read_from(time), op_flags, ..RawSqe::default() };
    Sqe::new(Entry::of(Opcode::TIMEOUT_REMOVE, fields))
}

impl<'a> MultiSqe<'a> {
    /// Reports `ETIME` every `interval`, so many times; 0 is without end. `flags` as for [`Sqe::timeout`], but
    /// without `ABS`. Linux 6.4.
    pub fn timeout(interval: &'a Timespec, times: u32, flags: TimeoutFlags) -> MultiSqe<'a> {
        let fields = timed(interval, TimeoutFlags::MULTISHOT | flags & TIME);
        MultiSqe::new(Entry::of(Opcode::TIMEOUT, RawSqe { off: u64::from(times), ..fields }))
    }
}

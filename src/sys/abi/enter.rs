//! Arguments of `io_uring_enter(2)`, and the flag words of the two queues.

use bitflags::bitflags;

/// `struct __kernel_timespec`: 64 bits each on every target. Linux 5.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Timespec {
    /// Seconds.
    pub sec: i64,
    /// Nanoseconds within the second.
    pub nsec: i64,
}

layout!(Timespec, 16, 8, { sec @ 0, nsec @ 8 });

/// The size of a signal mask in the kernel, in bytes (`_NSIG / 8`; twice that on MIPS). `libc::sigset_t` is
/// larger, and its size is refused.
pub const SIGSET_BYTES: u32 =
    if cfg!(any(target_arch = "mips", target_arch = "mips64")) { 16 } else { 8 };

/// `struct io_uring_getevents_arg`: the argument of `enter` with [`EnterFlags::EXT_ARG`]. Linux 5.11.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct GeteventsArg {
    /// The address of the signal mask to wait with; 0 leaves it alone.
    pub sigmask: u64,
    /// Its size, [`SIGSET_BYTES`].
    pub sigmask_sz: u32,
    /// For how many microseconds to wait for all completions wanted, before fewer will do. Linux 6.12.
    pub min_wait_usec: u32,
    /// The address of the [`Timespec`] that ends the wait; 0 for none.
    pub ts: u64,
}

layout!(GeteventsArg, 24, 8, { sigmask @ 0, sigmask_sz @ 8, min_wait_usec @ 12, ts @ 16 });

/// `struct io_uring_reg_wait`: one place of a registered region of wait arguments, for `enter` with
/// [`EnterFlags::EXT_ARG_REG`]. Linux 6.13.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RegWait {
    /// When the wait ends, with [`RegWaitFlags::TS`].
    pub ts: Timespec,
    /// As [`GeteventsArg::min_wait_usec`].
    pub min_wait_usec: u32,
    /// [`RegWaitFlags`].
    pub flags: u32,
    /// As [`GeteventsArg::sigmask`].
    pub sigmask: u64,
    /// As [`GeteventsArg::sigmask_sz`].
    pub sigmask_sz: u32,
    /// Must be zero.
    pub pad: [u32; 3],
    /// Must be zero.
    pub pad2: [u64; 2],
}

layout!(RegWait, 64, 8, {
    ts @ 0, min_wait_usec @ 16, flags @ 20, sigmask @ 24, sigmask_sz @ 32, pad @ 36, pad2 @ 48,
});

bitflags! {
    /// `IORING_REG_WAIT_*`: what of a [`RegWait`] is set.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct RegWaitFlags: u32 {
        /// `ts` holds a time. Linux 6.13.
        const TS = 1;
    }
}

bitflags! {
    /// `IORING_ENTER_*`: what an `enter` does. `io_uring_enter(2)`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct EnterFlags: u32 {
        /// Waits for completions, runs what was deferred, flushes what overflowed. Linux 5.1.
        const GETEVENTS = 1;
        /// Wakes the submission thread. Linux 5.1.
        const SQ_WAKEUP = 1 << 1;
        /// Waits until the submission thread has made room. Linux 5.10.
        const SQ_WAIT = 1 << 2;
        /// The argument is a [`GeteventsArg`]. Linux 5.11.
        const EXT_ARG = 1 << 3;
        /// The ring is given by its registered index. Linux 5.18.
        const REGISTERED_RING = 1 << 4;
        /// The time is a point on the ring's clock, no span. Linux 6.12.
        const ABS_TIMER = 1 << 5;
        /// The argument is the offset of a [`RegWait`] in the registered region; with `EXT_ARG`. Linux 6.13.
        const EXT_ARG_REG = 1 << 6;
        /// The wait does not count as waiting for a disk. Linux 6.15.
        const NO_IOWAIT = 1 << 7;
    }
}

bitflags! {
    /// `IORING_SQ_*`: the flag word of the submission queue, which the kernel writes.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct SqFlags: u32 {
        /// The submission thread sleeps: enter with [`EnterFlags::SQ_WAKEUP`]. Linux 5.1.
        const NEED_WAKEUP = 1;
        /// Completions wait for room: enter with [`EnterFlags::GETEVENTS`]. Linux 5.8.
        const CQ_OVERFLOW = 1 << 1;
        /// Completions wait to be run, shown with [`SetupFlags::TASKRUN_FLAG`]. Linux 5.19.
        ///
        /// [`SetupFlags::TASKRUN_FLAG`]: super::SetupFlags::TASKRUN_FLAG
        const TASKRUN = 1 << 2;
    }
}

bitflags! {
    /// `IORING_CQ_*`: the flag word of the completion queue, which the application writes.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct CqFlags: u32 {
        /// Completions do not signal the registered eventfd. Linux 5.8.
        const EVENTFD_DISABLED = 1;
    }
}

//! Handing submissions over, and waiting for completions.

use std::io;
use std::time::Duration;

use super::{Ring, SetupFlags};
use crate::sys::abi::{EnterFlags, GeteventsArg, SIGSET_BYTES, Timespec};
use crate::sys::syscall::Argument;

/// The longest wait that is asked of the kernel: a hundred years. Old kernels add a longer one to their clock
/// without looking whether it fits, and then do not wait at all.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

const SIGSET_WORDS: usize = SIGSET_BYTES as usize / size_of::<u64>();

/// What to wait for, and how long. `io_uring_enter(2)`.
///
/// ```
/// use std::time::Duration;
/// use uring::ring::{Setup, WaitFor};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut ring = Setup::new(8).build()?;
/// let soon = WaitFor::completions(1).at_most(Duration::from_millis(1));
/// ring.submit_and_wait_for(&soon)?;
/// assert_eq!(ring.ready(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "a wait begins when it is passed to the ring"]
pub struct WaitFor {
    count: u32,
    limit: Limit,
    gather: Duration,
    signals: Option<Signals>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Limit {
    #[default]
    None,
    After(Duration),
    At(Duration),
    Registered(u32),
}

/// A set of signals: those that are held back while a wait lasts. `sigprocmask(2)`.
///
/// Eight bytes on most machines, as the kernel has it; `libc::sigset_t` is larger, and its size is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals(pub(super) [u64; SIGSET_WORDS]);

impl Signals {
    /// No signal.
    pub const fn none() -> Signals {
        Signals([0; SIGSET_WORDS])
    }

    /// All signals; the kernel lets `SIGKILL` and `SIGSTOP` through all the same.
    pub const fn all() -> Signals {
        Signals([u64::MAX; SIGSET_WORDS])
    }

    /// With a signal, `SIG*`; a number that is none changes nothing.
    pub const fn with(mut self, signal: i32) -> Signals {
        if 1 <= signal && signal as usize <= SIGSET_WORDS * 64 {
            let bit = signal as usize - 1;
            self.0[bit / 64] |= 1 << (bit % 64);
        }
        self
    }

    /// Whether a signal is in it.
    pub const fn contains(&self, signal: i32) -> bool {
        1 <= signal && signal as usize <= SIGSET_WORDS * 64 && {
            let bit = signal as usize - 1;
            self.0[bit / 64] & 1 << (bit % 64) != 0
        }
    }
}

impl WaitFor {
    /// Waits until so many completions are in the queue, those that were there before included; 0 does not
    /// wait. More than fit the queue is as many as fit.
    pub fn completions(count: u32) -> WaitFor {
        WaitFor { count, ..WaitFor::default() }
    }

    /// Waits no longer than this, by the ring's clock: the monotonic one unless another was registered
    /// (Linux 6.12). Cut at a hundred years. Linux 5.11.
    pub fn at_most(self, limit: Duration) -> WaitFor {
        WaitFor { limit: Limit::After(limit), ..self }
    }

    /// Waits no longer than until the ring's clock shows this time, `clock_gettime(2)`. Linux 6.12.
    pub fn until(self, time: Duration) -> WaitFor {
        WaitFor { limit: Limit::At(time), ..self }
    }

    /// Takes limit, minimum and signals from a place of the registered memory region, by its byte offset: the
    /// kernel then copies no argument. What was said of them here counts for nothing. Linux 6.13.
    ///
    /// The kernel answers `EFAULT` to an offset that is no multiple of 8 or lies outside the region, and when
    /// there is no region.
    pub fn registered(self, offset_bytes: u32) -> WaitFor {
        WaitFor { limit: Limit::Registered(offset_bytes), ..self }
    }

    /// Gathers completions for this long, in microseconds at the kernel; then a single one is enough. With
    /// [`at_most`](WaitFor::at_most), that limit counts from the start as well. Linux 6.12.
    pub fn gather(self, time: Duration) -> WaitFor {
        WaitFor { gather: time, ..self }
    }

    /// Holds these signals back while it waits, and no others; as `ppoll(2)` does. Linux 5.1.
    pub fn blocking(self, signals: Signals) -> WaitFor {
        WaitFor { signals: Some(signals), ..self }
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// The limit, for a kernel in user space, which is like a Linux before 6.12. It has no signals.
    pub(super) fn simple_limit(&self) -> io::Result<Option<Duration>> {
        match self.limit {
            Limit::None if self.gather.is_zero() => Ok(None),
            Limit::After(limit) if self.gather.is_zero() => Ok(Some(limit)),
            _ => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        }
    }

    /// Calls `enter` with the last argument of `io_uring_enter(2)`, which lives as long as the call.
    #[inline]
    pub(super) fn call<R>(
        &self,
        flags: EnterFlags,
        enter: impl FnOnce(Argument<'_>, EnterFlags) -> R,
    ) -> R {
        let says_more =
            self.limit != Limit::None || !self.gather.is_zero() || self.signals.is_some();
        if says_more { self.call_with_more(flags, enter) } else { enter(Argument::None, flags) }
    }

    fn call_with_more<R>(
        &self,
        mut flags: EnterFlags,
        enter: impl FnOnce(Argument<'_>, EnterFlags) -> R,
    ) -> R {
        let time = match self.limit {
            Limit::None => None,
            Limit::After(limit) => Some(limit.min(MAX_WAIT)),
            Limit::At(time) => {
                flags |= EnterFlags::ABS_TIMER;
                Some(time.min(MAX_WAIT))
            }
            Limit::Registered(offset) => return enter(Argument::Registered(offset), flags),
        };
        let timespec = time.map(|time| Timespec {
            sec: time.as_secs() as i64,
            nsec: i64::from(time.subsec_nanos()),
        });
        let address_of_time =
            timespec.as_ref().map_or(0, |time| (&raw const *time).expose_provenance() as u64);
        let (sigmask, sigmask_sz) = match &self.signals {
            Some(signals) => ((&raw const signals.0).expose_provenance() as u64, SIGSET_BYTES),
            None => (0, 0),
        };
        let argument = GeteventsArg {
            sigmask,
            sigmask_sz,
            min_wait_usec: u32::try_from(self.gather.as_micros()).unwrap_or(u32::MAX),
            ts: address_of_time,
        };
        enter(Argument::Wait(&argument), flags)
    }
}

impl Ring {
    /// Makes room for `count` more submissions, by submitting what is queued if need be. Where a kernel
    /// thread takes the submissions, it waits for that thread (`IORING_ENTER_SQ_WAIT`, Linux 5.10).
    ///
    /// # Errors
    ///
    /// `EINVAL` when the queue has fewer than `count` places in all; otherwise as [`Ring::submit`]. `EBUSY`
    /// and `EAGAIN` mean that completions must be copied out first.
    pub fn reserve(&mut self, count: u32) -> io::Result<()> {
        if count > self.queues.sq_entries() {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        while self.queues.sq_space() < count {
            if self.polled() {
                self.wait_for_taker()?;
                continue;
            }
            // An enter that takes some is progress even if it stops early; one that takes none says why.
            if self.submit()? == 0 && self.queues.sq_space() < count {
                return Err(io::Error::from_raw_os_error(libc::EAGAIN));
            }
        }
        Ok(())
    }

    /// Waits until the kernel's thread has taken something.
    fn wait_for_taker(&mut self) -> io::Result<()> {
        let before = self.queues.publish();
        let mut flags = EnterFlags::SQ_WAIT;
        if self.queues.needs_wakeup() {
            flags |= EnterFlags::SQ_WAKEUP;
        }
        self.enter_kernel(0, &WaitFor::default(), flags)?;
        // It waits only while the queue is full. Where more room is needed, the thread is at work already.
        if self.queues.sq_pending() == before {
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Hands what is queued to the kernel; returns how many submissions it took, which may be fewer: without
    /// `SUBMIT_ALL` it stops behind one that failed at once, and it stops when it is short of memory. What was
    /// not taken stays queued. Where a kernel thread takes the submissions, that many are left to it.
    ///
    /// # Errors
    ///
    /// As `io_uring_enter(2)`, and nothing was taken: `EAGAIN` (short of memory) and `EBUSY` (too many
    /// completions wait for room; before Linux 5.19) pass when completions are copied out. `EEXIST`: the ring
    /// belongs to another process, which this one was forked from. `EBADFD`: it was not enabled yet.
    /// `EOWNERDEAD`: its kernel thread is gone.
    pub fn submit(&mut self) -> io::Result<u32> {
        if self.queues.out_of_reach().is_some() {
            return self.in_reach().map(|()| 0);
        }
        let submit = self.queues.publish();
        if submit == 0 {
            return Ok(0);
        }
        let events = self.needs_enter();
        self.hand_over(submit, &WaitFor::default(), events)
    }

    /// Submits, runs what the kernel deferred, and waits until `want` completions are there, at most for
    /// `limit`; all in one system call. With `want` 0 it does not wait. Returns how many submissions were
    /// taken; running out of time is no error.
    ///
    /// # Errors
    ///
    /// As [`Ring::submit`]. `EINTR` is a signal that came before anything was taken. `EBADR` (Linux 5.19):
    /// completions were [lost](Ring::lost).
    #[inline]
    pub fn submit_and_wait(&mut self, want: u32, limit: Option<Duration>) -> io::Result<u32> {
        let limit = limit.map_or(Limit::None, Limit::After);
        self.submit_and_wait_for(&WaitFor { limit, ..WaitFor::completions(want) })
    }

    /// As [`Ring::submit_and_wait`], with all that a wait can be told.
    ///
    /// # Errors
    ///
    /// As [`Ring::submit_and_wait`]; `EINVAL` for what this kernel cannot be told.
    #[inline]
    pub fn submit_and_wait_for(&mut self, wait: &WaitFor) -> io::Result<u32> {
        self.in_reach()?;
        let submit = self.queues.publish();
        match self.hand_over(submit, wait, true) {
            Err(error) if error.raw_os_error() == Some(libc::ETIME) => Ok(0),
            result => result,
        }
    }

    /// `io_uring_enter(2)` with these arguments and no last one, for what the other functions do not do. What
    /// is queued becomes visible to the kernel first.
    ///
    /// # Errors
    ///
    /// As `io_uring_enter(2)`. `EINVAL` for `REGISTERED_RING`, which is set where it is needed.
    pub fn enter(&mut self, submit: u32, want: u32, flags: EnterFlags) -> io::Result<u32> {
        if flags.contains(EnterFlags::REGISTERED_RING) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        self.in_reach()?;
        self.queues.publish();
        self.enter_kernel(submit, &WaitFor::completions(want), flags)
    }

    // Always, here and on the rest of the way to the system call and back: after one, the processor predicts no return
    // rightly, and each that there is costs it some twenty cycles.
    #[inline(always)]
    fn hand_over(&mut self, submit: u32, wait: &WaitFor, events: bool) -> io::Result<u32> {
        let mut flags = if events { EnterFlags::GETEVENTS } else { EnterFlags::empty() };
        if self.polled() {
            if self.queues.needs_wakeup() {
                flags |= EnterFlags::SQ_WAKEUP;
            } else if wait.count == 0 && !self.needs_enter() {
                return Ok(submit);
            }
        }
        self.enter_kernel(submit, wait, flags)
    }

    #[inline(always)]
    fn enter_kernel(&mut self, submit: u32, wait: &WaitFor, flags: EnterFlags) -> io::Result<u32> {
        self.enters += 1;
        self.backend.enter(&mut self.queues.kernel_side(), submit, wait, flags)
    }

    fn polled(&self) -> bool {
        self.report.flags().contains(SetupFlags::SQPOLL)
    }
}

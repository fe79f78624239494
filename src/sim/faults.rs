//! What goes wrong on purpose, how often, and how often it did.

use std::rc::Rc;

use super::files::Node;
use super::op::Op;
use super::random::Random;
use super::world::{Kind, OpenFile, PIPE_BUF};

/// Rates are out of so many.
const WHOLE: u16 = 1024;

/// One kind of misfortune: something that Linux may do, if seldom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// A read or receive takes fewer bytes than there are.
    ShortRead,
    /// A write or send takes fewer bytes than there is room for. One to a pipe of up to `PIPE_BUF` bytes stays
    /// whole, pipe(7).
    ShortWrite,
    /// An operation ends with `EINTR`, and without an effect.
    Interrupted,
    /// An operation ends with an errno of its man page, and without an effect: `EIO`, `ENOMEM`, `EMFILE`,
    /// `ECONNREFUSED`, … A close reports `EIO` after the descriptor is gone, close(2).
    Errno,
    /// The network loses a TCP connection: both sides find `ECONNRESET` behind what they had received.
    Reset,
    /// An `enter` is interrupted while it waits: `EINTR`, or, if it took submissions, their number and no wait.
    EnterInterrupted,
    /// An `enter` ends with `EAGAIN` for want of memory, before it took a submission.
    EnterAgain,
    /// An `enter` ends with `EBUSY`, before it took a submission, as completions that overflowed have no room.
    EnterBusy,
    /// An `enter` takes fewer submissions than it was asked to, and does not wait. A chain is cut there.
    PartialSubmission,
    /// A completion finds its queue full, and is kept with all that come after it until a later `enter`.
    Overflow,
    /// An `enter` leaves completions for the next one and says so (`IORING_SQ_TASKRUN`). Happens at any rate.
    Deferred,
    /// A cancel comes too late: `ENOENT` or `EALREADY`, and the operation completes, or is interrupted. Happens
    /// now and then at any rate, but more often by its own.
    LateCancel,
    /// A cancel is answered with `ENOENT` or `EALREADY`, and the operation goes on.
    FailedCancel,
    /// A multishot operation ends with a good result.
    MultishotEnd,
    /// An operation finds no provided buffer, and ends with `ENOBUFS`. Happens at any rate, and only then:
    /// where a program has provided some, Linux takes one.
    NoBuffers,
    /// The notification of a zero-copy send comes up to a minute after its result, as when a peer does not
    /// acknowledge.
    LateNotice,
    /// An operation takes up to a second of virtual time.
    Stall,
    /// The clock leaps forward by up to 16 s, as if the machine had been suspended.
    ClockJump,
}

impl Fault {
    /// All kinds.
    pub const ALL: [Fault; 18] = [
        Fault::ShortRead,
        Fault::ShortWrite,
        Fault::Interrupted,
        Fault::Errno,
        Fault::Reset,
        Fault::EnterInterrupted,
        Fault::EnterAgain,
        Fault::EnterBusy,
        Fault::PartialSubmission,
        Fault::Overflow,
        Fault::Deferred,
        Fault::LateCancel,
        Fault::FailedCancel,
        Fault::MultishotEnd,
        Fault::NoBuffers,
        Fault::LateNotice,
        Fault::Stall,
        Fault::ClockJump,
    ];
}

/// How often each [`Fault`] happens, for [`Sim::faults`](super::Sim::faults).
///
/// A rate says how often it does out of 1,024 chances; with 1,024 it always does, which few programs survive.
/// Nothing here breaks a promise of Linux: a program that goes wrong under it would go wrong there.
///
/// ```
/// use uring::sim::{Fault, Faults, Sim};
///
/// let faults = Faults::everything().with(Fault::Reset, 0);
/// let sim = Sim::new(7).faults(faults);
/// assert_eq!(faults.rate(Fault::Reset), 0);
/// assert_eq!(sim.injected(Fault::ShortRead), 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "faults happen in the simulation that they are given to"]
pub struct Faults {
    rates: [u16; Fault::ALL.len()],
}

impl Faults {
    /// Nothing goes wrong but what does at any rate; as in a new simulation.
    pub const fn none() -> Faults {
        Faults { rates: [0; Fault::ALL.len()] }
    }

    /// Everything goes wrong, each kind so often that a robust program still gets somewhere.
    pub const fn everything() -> Faults {
        Faults::none()
            .with(Fault::ShortRead, 200)
            .with(Fault::ShortWrite, 200)
            .with(Fault::Interrupted, 60)
            .with(Fault::Errno, 12)
            .with(Fault::Reset, 2)
            .with(Fault::EnterInterrupted, 60)
            .with(Fault::EnterAgain, 40)
            .with(Fault::EnterBusy, 300)
            .with(Fault::PartialSubmission, 100)
            .with(Fault::Overflow, 60)
            .with(Fault::LateCancel, 200)
            .with(Fault::FailedCancel, 200)
            .with(Fault::MultishotEnd, 100)
            .with(Fault::LateNotice, 100)
            .with(Fault::Stall, 30)
            .with(Fault::ClockJump, 2)
    }

    /// With another rate for one kind, out of 1,024.
    pub const fn with(mut self, fault: Fault, rate: u16) -> Faults {
        self.rates[fault as usize] = if rate < WHOLE { rate } else { WHOLE };
        self
    }

    /// The rate of one kind, out of 1,024.
    pub const fn rate(&self, fault: Fault) -> u16 {
        self.rates[fault as usize]
    }
}

/// Draws what goes wrong next. It has chance of its own, so that without faults a seed means the same run as it
/// did before there were any.
#[derive(Debug)]
pub(super) struct Injector {
    pub(super) faults: Faults,
    pub(super) random: Random,
    counts: [u64; Fault::ALL.len()],
}

impl Injector {
    pub(super) fn new(seed: u64) -> Injector {
        // Any constant will do that has the two generators differ.
        let random = Random::new(seed ^ 0x5851_f42d_4c95_7f2d);
        Injector { faults: Faults::none(), random, counts: [0; Fault::ALL.len()] }
    }

    /// Whether it should happen now; nothing is counted yet.
    pub(super) fn draws(&mut self, fault: Fault) -> bool {
        let rate = self.faults.rate(fault);
        rate > 0 && self.random.up_to(u64::from(WHOLE) - 1) < u64::from(rate)
    }

    pub(super) fn count(&mut self, fault: Fault) {
        self.counts[fault as usize] += 1;
    }

    pub(super) fn injected(&self, fault: Fault) -> u64 {
        self.counts[fault as usize]
    }

    /// A length below 2 to the power of `bits`, each order of magnitude as likely as another.
    pub(super) fn of_any_size(&mut self, bits: u64) -> u64 {
        let most = 1 << (1 + self.random.up_to(bits - 1));
        self.random.up_to(most - 1)
    }

    /// Where to cut a transfer of so many bytes: often near its start, and never at it, as 0 bytes mean the end.
    pub(super) fn cut(&mut self, len_bytes: usize) -> usize {
        let most = (len_bytes as u64).saturating_sub(1).max(1);
        let most = if self.random.one_in(2) { most.min(16) } else { most };
        1 + self.random.up_to(most - 1) as usize
    }

    /// One of several errnos; `None` if there is none.
    pub(super) fn one_of(&mut self, errnos: &[i32]) -> Option<i32> {
        let last = errnos.len().checked_sub(1)?;
        errnos.get(self.random.up_to(last as u64) as usize).copied()
    }
}

/// Whether an operation on so many bytes may be cut short, and the fault that it would be.
pub(super) fn cuts(op: &Op, file: Option<&Rc<OpenFile>>, len_bytes: usize) -> Option<Fault> {
    let bytes = match file.map(|file| &file.kind)? {
        Kind::Inode(inode) => matches!(inode.node, Node::Regular(_)),
        // Small writes to a pipe are whole, pipe(7).
        Kind::PipeWriter(_) => len_bytes > PIPE_BUF,
        // What is cut off a datagram is lost, which no kernel does without need.
        Kind::Socket(socket) => socket.datagrams.is_none(),
        Kind::PipeReader(_) => true,
        Kind::Ring(_) => false,
    } && len_bytes > 1;
    match op {
        Op::Read { .. } | Op::Recv { .. } if bytes => Some(Fault::ShortRead),
        Op::Write { .. } | Op::Send { .. } if bytes => Some(Fault::ShortWrite),
        _ => None,
    }
}

/// Whether an operation may be interrupted before it did anything, by its man page. A connect may be too, but
/// goes on behind that.
pub(super) fn interruptible(op: &Op) -> bool {
    matches!(
        op,
        Op::Open { .. }
            | Op::Read { .. }
            | Op::Write { .. }
            | Op::Recv { .. }
            | Op::Send { .. }
            | Op::Accept { .. }
            | Op::Fsync
            | Op::Fallocate { .. }
            | Op::Truncate { .. }
    )
}

/// Whether a close may report what went wrong with earlier writes.
pub(super) fn closes_with_errors(file: &OpenFile) -> bool {
    file.access.write
        && matches!(&file.kind, Kind::Inode(inode) if matches!(inode.node, Node::Regular(_)))
}

/// The errnos that an operation may end with although nothing is wrong with what it was given.
pub(super) fn errnos(op: &Op, file: Option<&Rc<OpenFile>>) -> &'static [i32] {
    let on_disk = file.is_some_and(|file| matches!(file.kind, Kind::Inode(_)));
    let of_datagrams = file.is_some_and(|file| file.datagrams().is_some());
    match op {
        Op::Open { .. } => &[libc::EMFILE, libc::ENFILE, libc::ENOMEM],
        Op::Socket { .. } => &[libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM],
        Op::Accept { wait: false, .. } => &[libc::EAGAIN, libc::EMFILE, libc::ENFILE],
        Op::Accept { .. } => {
            &[libc::ECONNABORTED, libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM]
        }
        // Nothing is sent by it.
        Op::Connect { .. } if of_datagrams => &[libc::ENETUNREACH, libc::ENOBUFS],
        Op::Connect { .. } => &[
            libc::ECONNREFUSED,
            libc::ECONNABORTED,
            libc::ETIMEDOUT,
            libc::ENETUNREACH,
            libc::EADDRNOTAVAIL,
        ],
        Op::Read { .. } if on_disk => &[libc::EIO, libc::ENOMEM],
        Op::Write { .. } if on_disk => &[libc::EIO, libc::ENOSPC, libc::EDQUOT],
        Op::Recv { flags, .. } | Op::Send { flags, .. } if flags & libc::MSG_DONTWAIT != 0 => {
            &[libc::EAGAIN]
        }
        Op::Read { .. } | Op::Recv { .. } => &[libc::ENOMEM],
        Op::Send { .. } => &[libc::ENOBUFS, libc::ENOMEM],
        Op::Fsync => &[libc::EIO, libc::ENOSPC, libc::EDQUOT],
        Op::Fallocate { .. } => &[libc::EIO, libc::ENOSPC],
        Op::Truncate { .. } => &[libc::EIO],
        Op::Unlink { .. } | Op::Rename { .. } => &[libc::EIO, libc::ENOMEM],
        Op::MakeDirectory { .. } | Op::Link { .. } | Op::MakeLink { .. } => {
            &[libc::EDQUOT, libc::ENOMEM, libc::ENOSPC]
        }
        Op::InstallFd => &[libc::EMFILE, libc::ENFILE],
        Op::Statx { .. } => &[libc::ENOMEM],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_listed_once_and_in_order() {
        for (index, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, index);
        }
    }

    #[test]
    fn a_rate_of_0_never_happens_and_draws_no_chance_and_one_of_1024_always_does() {
        let mut injector = Injector::new(1);
        let unused = Injector::new(1).random.next();
        assert!((0..100).all(|_| !injector.draws(Fault::Reset)));
        assert_eq!(injector.random.next(), unused);
        injector.faults = Faults::none().with(Fault::Reset, u16::MAX);
        assert!((0..100).all(|_| injector.draws(Fault::Reset)));
    }

    #[test]
    fn a_cut_leaves_something_on_both_sides() {
        let mut injector = Injector::new(1);
        for len_bytes in [2, 3, 17, 5000] {
            for _ in 0..100 {
                assert!((1..len_bytes).contains(&injector.cut(len_bytes)));
            }
        }
    }
}

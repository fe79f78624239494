//! Queueing submissions: the unsafe step, see [the push contract](super#the-push-contract).

use std::fmt;
use std::io;

use super::{Entry, Ring, RingId};
use crate::sys::abi::{RawSqe128, SqeFlags};

/// Why a submission was not pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushError {
    /// The submission queue has no room: submit, then push again.
    Full,
    /// A chain has more submissions than the queue has places.
    TooLong,
    /// The ring does not take submissions of this size: see [`Ring::push128`].
    Size,
    /// The submission names something that was registered with another ring.
    ForeignRing,
    /// The ring belongs to another process, which this one was forked from.
    OtherProcess,
}

impl fmt::Display for PushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PushError::Full => "the submission queue is full: submit, then push again",
            PushError::TooLong => "the chain has more submissions than the queue has places",
            PushError::Size => "the ring does not take submissions of this size",
            PushError::ForeignRing => {
                "the submission names something that was registered with another ring"
            }
            PushError::OtherProcess => {
                "the ring belongs to the process that this one was forked from: make a new one"
            }
        })
    }
}

impl std::error::Error for PushError {}

impl From<PushError> for io::Error {
    fn from(error: PushError) -> io::Error {
        let kind = match error {
            PushError::Full => io::ErrorKind::WouldBlock,
            _ => io::ErrorKind::InvalidInput,
        };
        io::Error::new(kind, error)
    }
}

/// A submission of 128 bytes: for [`Ring::push128`]. Linux 5.19.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry128 {
    /// The submission as the kernel reads it.
    pub(crate) sqe: RawSqe128,
    /// The ring that gave out what it names; none if it names nothing of the kind.
    ring: Option<RingId>,
}

impl Entry128 {
    /// A submission with the 64 bytes that stand behind its first half.
    pub fn new(entry: impl Into<Entry>, more: [u8; 64]) -> Entry128 {
        let Entry { sqe: first, ring } = entry.into();
        Entry128 { sqe: RawSqe128 { first, more }, ring }
    }

    /// What the completion will carry.
    pub fn user_data(mut self, user_data: u64) -> Entry128 {
        self.sqe.first.user_data = user_data;
        self
    }

    /// The submission as the kernel reads it.
    pub fn raw(&self) -> &RawSqe128 {
        &self.sqe
    }

    /// As [`Entry::ring`].
    pub fn ring(&self) -> Option<RingId> {
        self.ring
    }
}

impl From<RawSqe128> for Entry128 {
    fn from(sqe: RawSqe128) -> Entry128 {
        Entry128 { sqe, ring: None }
    }
}

/// How the submissions of a chain depend on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Each starts when the one before it has succeeded; a failure, or a transfer of fewer bytes than asked
    /// for, ends the others with `ECANCELED` (`IOSQE_IO_LINK`, Linux 5.3).
    Soft,
    /// Each starts when the one before it has completed, whatever its result (`IOSQE_IO_HARDLINK`, Linux
    /// 5.5).
    Hard,
}

impl Link {
    fn flag(self) -> SqeFlags {
        match self {
            Link::Soft => SqeFlags::IO_LINK,
            Link::Hard => SqeFlags::IO_HARDLINK,
        }
    }
}

impl Ring {
    /// Queues a submission; the kernel sees it at the next submit. In a ring of large submissions the rest of
    /// its place is zero.
    ///
    /// # Errors
    ///
    /// When the queue is full; see [`Ring::reserve`]. When the submission names something that was
    /// registered with another ring. When its operation takes 128 bytes and the ring has both sizes.
    ///
    /// # Safety
    ///
    /// What the submission was lent stays lent until its final completion was copied out; see the
    /// [push contract](super#the-push-contract).
    pub unsafe fn push(&mut self, entry: impl Into<Entry>) -> Result<(), PushError> {
        let entry = entry.into();
        // SAFETY: the caller's contract.
        unsafe { self.push_as(&entry, entry.sqe.user_data) }
    }

    /// As [`Ring::push`], with this `user_data` and without moving the 72 bytes first.
    ///
    /// # Safety
    ///
    /// As [`Ring::push`].
    pub(crate) unsafe fn push_as(
        &mut self,
        entry: &Entry,
        user_data: u64,
    ) -> Result<(), PushError> {
        self.admit(entry.ring)?;
        self.queues.push_as(&entry.sqe, user_data)
    }

    /// Queues a submission of 128 bytes. A ring with [`SetupFlags::SQE128`](super::SetupFlags::SQE128) (Linux
    /// 5.19) takes any; one with [`SetupFlags::SQE_MIXED`](super::SetupFlags::SQE_MIXED) (Linux 6.19) those
    /// whose opcode ends in 128, each in two places, and a third if the first would be the last of the queue. What
    /// fills that third place stays, even if there is no room for the rest; it has
    /// [`FILLER_USER_DATA`](super::FILLER_USER_DATA), and as it [skips](super::Sqe::skip_success) its completion,
    /// such a ring has no [drains](super::Sqe::drain).
    ///
    /// # Errors
    ///
    /// As [`Ring::push`]; [`PushError::Size`] when the ring takes none of this size.
    ///
    /// # Safety
    ///
    /// As [`Ring::push`].
    pub unsafe fn push128(&mut self, entry: impl Into<Entry128>) -> Result<(), PushError> {
        let entry = entry.into();
        self.admit(entry.ring)?;
        self.queues.push128(&entry.sqe)
    }

    /// Queues submissions that depend on each other, all or none: a chain that two submits would hand over in
    /// parts is no chain to the kernel. The links are set here, on all but the last.
    ///
    /// # Errors
    ///
    /// As [`Ring::push`], and nothing was queued: [`PushError::Full`] when there is no room for all, see
    /// [`Ring::reserve`]; [`PushError::TooLong`] when there never is.
    ///
    /// # Safety
    ///
    /// As [`Ring::push`], for each.
    pub unsafe fn push_chain(&mut self, link: Link, chain: &[Entry]) -> Result<(), PushError> {
        chain.iter().try_for_each(|entry| self.admit(entry.ring))?;
        let last = chain.len().saturating_sub(1);
        let linked = chain.iter().enumerate().map(|(index, entry)| {
            let mut sqe = entry.sqe;
            if index < last {
                sqe.flags |= link.flag().bits();
            }
            sqe
        });
        self.queues.push_all(chain.len(), linked)
    }

    /// Keeps out what names something of another ring.
    fn admit(&self, ring: Option<RingId>) -> Result<(), PushError> {
        match ring {
            Some(ring) if ring != self.id || ring == RingId::NOBODYS => Err(PushError::ForeignRing),
            _ => Ok(()),
        }
    }
}

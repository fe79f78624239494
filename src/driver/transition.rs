//! What the transitions of [slots](super::slots) find, and what they ask for.

use std::task::Waker;

use super::cancel_scope::Member;
use super::op::End;
use super::payload::{Payload, Shot};
use super::token::Token;
use crate::ring::Cqe;

/// What a transition asks for, to be done when nothing is borrowed.
pub(super) enum Action {
    /// Wake a task.
    Wake(Waker),
    /// An abandoned operation has completions to hand to its `abandoned`.
    Settle(Token),
    /// An operation has ended, which its scope may be waiting for: drop the membership.
    Leave(Member),
}

/// An operation that is done and has left its slot.
pub(super) struct Ended {
    pub(super) payload: Payload,
    pub(super) end: End,
}

/// What a poll finds.
pub(super) enum Polled {
    /// The operation is done and no longer in its slot, with its result.
    Done(Ended),
    /// The task's waker is known already.
    Pending,
    /// The waker must be cloned, which is user code, and handed to
    /// [`set_waker`](super::slots::Slots::set_waker).
    NeedsWaker,
}

/// What a poll for the result alone finds.
pub(super) enum PolledResult {
    /// The result. The operation stays in its slot.
    Known(Cqe),
    /// As [`Polled::Pending`].
    Pending,
    /// As [`Polled::NeedsWaker`].
    NeedsWaker,
}

/// What a poll for the next shot finds.
pub(super) enum PolledShot {
    /// A completion, and access to the operation that makes an item of it.
    Shot(Shot, Cqe),
    /// All completions were taken; the operation is no longer in its slot.
    Ended(Ended),
    /// As [`Polled::Pending`].
    Pending,
    /// As [`Polled::NeedsWaker`].
    NeedsWaker,
}

/// One step of settling an abandoned operation.
pub(super) enum Settled {
    /// A completion to hand over; ask again afterwards.
    Shot(Shot, Cqe),
    /// There is none left; the operation is no longer in its slot.
    Last(Ended),
    /// Nothing to do for now.
    Nothing,
}

/// What dropping a future leads to.
pub(super) enum Dropped {
    /// The operation is done: settle it at once.
    Settle,
    /// It is in flight: nothing is left to do but to drop the waker, which is user code.
    Later(Option<Waker>),
}

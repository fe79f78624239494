//! The two kinds of operation: all that the driver knows of them.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use crate::ring::{Cqe, MultiSqe, Sqe};

/// What the kernel said of an operation of type `T`: a [`Cqe`] that cannot be made up.
///
/// Results are believed: a read of `n` bytes means that its buffer holds `n` bytes. So only the driver makes
/// one, for the very operation that it gives it to, and it cannot be copied or kept for another.
pub struct Completion<T: ?Sized> {
    end: End,
    _op: PhantomData<fn(T) -> T>,
}

impl<T: ?Sized> Completion<T> {
    pub(super) fn new(end: impl Into<End>) -> Completion<T> {
        Completion { end: end.into(), _op: PhantomData }
    }

    /// The result of the notification that followed, if there was one: a zero-copy send's, which says that
    /// its memory is free again, and whether it was copied after all if that was
    /// [asked for](crate::ring::Sqe::report_usage) (Linux 6.2).
    pub fn notification(&self) -> Option<i32> {
        self.end.notification
    }

    /// Whether the submission reached the kernel. If not, the result is the errno that kept it from there.
    pub fn reached_kernel(&self) -> bool {
        self.end.cqe.user_data() != UNSUBMITTED
    }
}

/// The result of an operation, and what its notification said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct End {
    pub(super) cqe: Cqe,
    pub(super) notification: Option<i32>,
}

impl From<Cqe> for End {
    fn from(cqe: Cqe) -> End {
        End { cqe, notification: None }
    }
}

/// `user_data` of completions that the driver made because a submission could not be pushed.
pub(super) const UNSUBMITTED: u64 = u64::MAX - 1;

impl<T: ?Sized> Deref for Completion<T> {
    type Target = Cqe;

    fn deref(&self) -> &Cqe {
        &self.end.cqe
    }
}

impl<T: ?Sized> fmt::Debug for Completion<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Completion").field(&self.end.cqe).finish()
    }
}

/// An operation that completes once.
///
/// Safe to implement: [`prepare`](Op::prepare) can lend nothing but what lives in the operation itself (or
/// forever), since it works for every lifetime of the borrow, and the driver keeps the operation in place and
/// untouched until its final completion. Lending anything shorter-lived does not compile:
///
/// ```compile_fail
/// use uring::op::{Completion, Op};
/// use uring::ring::Sqe;
/// # struct Read { fd: std::os::fd::OwnedFd }
/// impl Op for Read {
///     type Output = ();
///     fn prepare(&mut self) -> Sqe<'_> {
///         use std::os::fd::AsFd;
///         let mut local = [0u8; 16]; // gone when `prepare` returns
///         Sqe::read(self.fd.as_fd().into(), &mut local[..], None)
///     }
///     fn complete(self, _: Completion<Self>) {}
/// }
/// ```
pub trait Op: 'static {
    /// What awaiting the operation yields.
    type Output;

    /// Whether dropping the future cancels the operation. False for what must happen even if nobody waits
    /// for it, such as a close.
    const CANCEL_ON_DROP: bool = true;

    /// Makes the submission. Called once, when `self` has reached the address where it stays until it is
    /// done.
    ///
    /// One that is tied to its neighbours (linked, drained) or that hides its completion fails with `EINVAL`:
    /// its neighbours belong to others, and without a completion nobody knows when the operation is done.
    fn prepare(&mut self) -> Sqe<'_>;

    /// Turns the completion into what the caller gets. Called once.
    fn complete(self, completion: Completion<Self>) -> Self::Output
    where
        Self: Sized;

    /// Called instead of [`complete`](Op::complete) when nobody awaits the operation any more.
    ///
    /// By default what `complete` yields is dropped, so a late descriptor is closed and a late buffer freed.
    /// Operations that take something out of a stream override it to put that back.
    fn abandoned(self, completion: Completion<Self>)
    where
        Self: Sized,
    {
        drop(self.complete(completion));
    }
}

/// An operation that completes many times.
///
/// Not a kind of [`Op`]: awaited as one, all its results but the first would be lost.
pub trait MultiOp: 'static {
    /// What each completion yields.
    type Item;

    /// Makes the submission, at the final address of `self`.
    fn prepare(&mut self) -> MultiSqe<'_>;

    /// Turns a completion into an item; called for every one, the last included. The kernel may still read
    /// what `prepare` lent.
    fn shot(&self, completion: Completion<Self>) -> Self::Item;

    /// Called instead of [`shot`](MultiOp::shot) when nobody takes items any more.
    fn abandoned_shot(&self, completion: Completion<Self>) {
        drop(self.shot(completion));
    }
}

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
    cqe: Cqe,
    _op: PhantomData<fn(T) -> T>,
}

impl<T: ?Sized> Completion<T> {
    pub(super) fn new(cqe: Cqe) -> Completion<T> {
        Completion { cqe, _op: PhantomData }
    }

    /// Whether the submission reached the kernel. If not, the result is the errno that kept it from there.
    pub fn reached_kernel(&self) -> bool {
        self.cqe.user_data() != UNSUBMITTED
    }
}

/// `user_data` of completions that the driver made because a submission could not be pushed.
pub(super) const UNSUBMITTED: u64 = u64::MAX - 1;

impl<T: ?Sized> Deref for Completion<T> {
    type Target = Cqe;

    fn deref(&self) -> &Cqe {
        &self.cqe
    }
}

impl<T: ?Sized> fmt::Debug for Completion<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Completion").field(&self.cqe).finish()
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

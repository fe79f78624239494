//! The two kinds of operation: all that the driver knows of them.

use crate::ring::{Cqe, MultiSqe, Sqe};

/// An operation that completes once.
///
/// Safe to implement: [`prepare`](Op::prepare) can lend nothing but what lives in the operation itself (or
/// forever), since it works for every lifetime of the borrow, and the driver keeps the operation in place and
/// untouched until its final completion. Lending anything shorter-lived does not compile:
///
/// ```compile_fail
/// use uring::op::Op;
/// use uring::ring::{Cqe, Sqe};
/// # struct Read { fd: std::os::fd::OwnedFd }
/// impl Op for Read {
///     type Output = ();
///     fn prepare(&mut self) -> Sqe<'_> {
///         use std::os::fd::AsFd;
///         let mut local = [0u8; 16]; // gone when `prepare` returns
///         Sqe::read(self.fd.as_fd().into(), &mut local[..], None)
///     }
///     fn complete(self, _: Cqe) {}
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
    fn prepare(&mut self) -> Sqe<'_>;

    /// Turns the completion into what the caller gets. Called once.
    fn complete(self, cqe: Cqe) -> Self::Output;

    /// Called instead of [`complete`](Op::complete) when nobody awaits the operation any more.
    ///
    /// By default what `complete` yields is dropped, so a late descriptor is closed and a late buffer freed.
    /// Operations that take something out of a stream override it to put that back.
    fn abandoned(self, cqe: Cqe)
    where
        Self: Sized,
    {
        drop(self.complete(cqe));
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
    fn shot(&self, cqe: Cqe) -> Self::Item;

    /// Called instead of [`shot`](MultiOp::shot) when nobody takes items any more.
    fn abandoned_shot(&self, cqe: Cqe) {
        drop(self.shot(cqe));
    }
}

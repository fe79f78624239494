//! The futures of operations in flight. A future is a token: dropping it moves nothing and frees nothing
//! that the kernel may use, and forgetting it leaks.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures::Stream;
use futures::stream::FusedStream;

use super::Driver;
use super::op::{Completion, MultiOp, Op};
use super::slots::{Ended, Token};
use super::token::Noted;

/// An operation that was submitted and completes once.
///
/// Dropping it in flight cancels the operation (unless [`Op::CANCEL_ON_DROP`] says otherwise), neither blocks
/// nor allocates, and leaves what the operation lent to the kernel in place until the kernel is done. A result
/// that comes all the same goes to [`Op::abandoned`].
#[must_use = "an operation in flight is cancelled when its future is dropped"]
pub struct InFlight<T: Op> {
    /// None when the result was taken.
    named: Option<(Rc<Driver>, Noted)>,
    _op: PhantomData<fn() -> T>,
}

impl<T: Op> InFlight<T> {
    pub(super) fn new(driver: Rc<Driver>, token: Token) -> InFlight<T> {
        InFlight { named: Some((driver, Noted::new(token))), _op: PhantomData }
    }

    /// Asks the kernel to cancel the operation. Awaiting it then yields its real result, whichever it was:
    /// cancelled (`ECANCELED`, sometimes `EINTR`) or completed before the cancel came.
    pub fn cancel(self) -> InFlight<T> {
        if let Some((driver, noted)) = &self.named {
            driver.cancel(noted.token());
        }
        self
    }

    /// Waits for the result alone, while what was lent stays with the kernel; awaiting the operation itself
    /// waits for both. They differ for zero-copy sends, whose memory is free again only after a notification.
    ///
    /// Asked again, it says the same.
    ///
    /// # Errors
    ///
    /// That of the operation.
    ///
    /// # Panics
    ///
    /// When the operation was awaited before.
    pub async fn result(&mut self) -> io::Result<u32> {
        let Some((driver, noted)) = &mut self.named else {
            panic!("an operation was asked for its result after it had yielded it");
        };
        noted.poll();
        let token = noted.token();
        let known = poll_fn(|context| match driver.poll_result(token, context.waker()) {
            Some(cqe) => Poll::Ready(cqe),
            None => Poll::Pending,
        });
        known.await.result()
    }
}

impl<T: Op> Future for InFlight<T> {
    type Output = T::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T::Output> {
        let Some((driver, noted)) = &mut self.named else {
            panic!("an operation was polled after it had yielded its result");
        };
        // Before its first poll the driver knows no waker.
        let token = noted.token();
        if !noted.poll() && driver.poll_first(token, context.waker()) {
            return Poll::Pending;
        }
        let Some(Ended { payload, end }) = driver.poll(token, context.waker()) else {
            return Poll::Pending;
        };
        let op = driver.take::<T>(payload);
        self.named = None;
        Poll::Ready(op.complete(Completion::new(end)))
    }
}

impl<T: Op> Drop for InFlight<T> {
    fn drop(&mut self) {
        if let Some((driver, noted)) = self.named.take() {
            driver.on_drop(noted.token());
        }
    }
}

impl<T: Op> fmt::Debug for InFlight<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.named.as_ref().map(|(_, noted)| noted.token());
        f.debug_struct("InFlight").field("token", &token).finish_non_exhaustive()
    }
}

/// An operation that was submitted and completes many times: a stream of its items.
///
/// Dropping it cancels the operation. Items that nobody took go to [`MultiOp::abandoned_shot`].
///
/// A consumer that falls 1,024 completions behind has the operation cancelled, a bound on memory: then the
/// last item is that of `ECANCELED`, and what is wanted further must be submitted anew.
#[must_use = "an operation in flight is cancelled when its stream is dropped"]
pub struct Shots<T: MultiOp> {
    /// None when the operation has ended and all items were taken.
    named: Option<(Rc<Driver>, Token)>,
    _op: PhantomData<fn() -> T>,
}

impl<T: MultiOp> Shots<T> {
    pub(super) fn new(driver: Rc<Driver>, token: Token) -> Shots<T> {
        Shots { named: Some((driver, token)), _op: PhantomData }
    }
}

impl<T: MultiOp> Stream for Shots<T> {
    type Item = T::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T::Item>> {
        let Some((driver, token)) = &self.named else { return Poll::Ready(None) };
        let next = driver.poll_shot::<T>(*token, context.waker());
        if let Poll::Ready(None) = next {
            self.named = None;
        }
        next
    }
}

impl<T: MultiOp> FusedStream for Shots<T> {
    fn is_terminated(&self) -> bool {
        self.named.is_none()
    }
}

impl<T: MultiOp> Drop for Shots<T> {
    fn drop(&mut self) {
        if let Some((driver, token)) = self.named.take() {
            driver.on_drop(token);
        }
    }
}

impl<T: MultiOp> fmt::Debug for Shots<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.named.as_ref().map(|(_, token)| token);
        f.debug_struct("Shots").field("token", &token).finish_non_exhaustive()
    }
}

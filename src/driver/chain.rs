//! Operations that the kernel starts one after the other, submitted as one.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures::future::{MaybeDone, maybe_done};

use super::op::Op;
use super::payload::Payload;
use super::{Driver, InFlight, Lost};
use crate::ring::{Entry, Link};

/// The parts of a chain: a tuple of 2 to 8 operations, in their order.
///
/// Only those that [dropping their future cancels](Op::CANCEL_ON_DROP), since the failure of one part cancels
/// those behind it; others do not compile.
pub trait Parts: sealed::Parts {}

impl<P: sealed::Parts> Parts for P {}

mod sealed {
    use std::rc::Rc;
    use std::task::{Context, Poll};

    use super::super::Driver;
    use crate::ring::Link;

    /// What the driver does with the parts of a chain.
    pub trait Parts: 'static {
        /// What awaiting the chain yields: the output of each part.
        type Outputs;
        /// The parts in flight.
        type InFlight: Unpin;

        /// Prepares all parts, then submits them.
        #[expect(private_interfaces, reason = "nobody else can name this trait")]
        fn submit(self, driver: &Rc<Driver>, link: Link) -> Self::InFlight;
        /// Ready when all parts are done.
        fn poll(parts: &mut Self::InFlight, context: &mut Context<'_>) -> Poll<Self::Outputs>;
        /// Asks for the cancel of each part.
        fn cancel(parts: Self::InFlight) -> Self::InFlight;
    }
}

/// A part that is at its final address and was not pushed yet.
struct Prepared<'a, T: Op> {
    driver: &'a Driver,
    parts: Option<(Payload, Entry)>,
    _op: PhantomData<T>,
}

impl<'a, T: Op> Prepared<'a, T> {
    fn new(driver: &'a Driver, op: T) -> Prepared<'a, T> {
        const { assert!(T::CANCEL_ON_DROP, "what must happen cannot be a part of a chain") };
        let block = driver.pool.borrow_mut().block_for::<T>();
        let lost = Lost(driver);
        let parts = Some(Payload::new(op, block));
        mem::forget(lost);
        Prepared { driver, parts, _op: PhantomData }
    }

    fn into_parts(mut self) -> (Payload, Entry) {
        self.parts.take().expect("taken once, here")
    }
}

/// The `prepare` of a later part panicked.
impl<T: Op> Drop for Prepared<'_, T> {
    fn drop(&mut self) {
        if let Some((payload, _)) = self.parts.take() {
            let (op, block) = payload.take::<T>();
            self.driver.pool.borrow_mut().give_back(block);
            drop(op);
        }
    }
}

/// Operations of which the kernel starts each when the one before it is done. Made by
/// [`submit_chain`](crate::op::submit_chain).
///
/// Awaiting it waits for all parts, and yields their outputs in their order. Those that a failure has kept from
/// starting yield `ECANCELED`, with their buffers.
///
/// Dropping it cancels all parts that are not done, as dropping an [`InFlight`] does; each keeps what it has
/// lent until its own final completion.
#[must_use = "the operations of a chain are cancelled when it is dropped"]
pub struct Chain<P: Parts> {
    parts: P::InFlight,
}

impl<P: Parts> Chain<P> {
    pub(super) fn new(parts: P::InFlight) -> Chain<P> {
        Chain { parts }
    }

    /// Asks the kernel to cancel all parts that are not done. Awaiting the chain then yields what became of
    /// each: cancelled (`ECANCELED`, sometimes `EINTR`) or completed before the cancel came.
    pub fn cancel(self) -> Chain<P> {
        Chain { parts: P::cancel(self.parts) }
    }
}

impl<P: Parts> Future for Chain<P> {
    type Output = P::Outputs;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<P::Outputs> {
        P::poll(&mut self.parts, context)
    }
}

impl<P: Parts> fmt::Debug for Chain<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").finish_non_exhaustive()
    }
}

fn cancelled<T: Op>(part: MaybeDone<InFlight<T>>) -> MaybeDone<InFlight<T>> {
    match part {
        MaybeDone::Future(part) => maybe_done(part.cancel()),
        done => done,
    }
}

macro_rules! chain_of {
    ($($part:ident)+) => {
        #[expect(non_snake_case, reason = "a part is named after its type")]
        impl<$($part: Op),+> sealed::Parts for ($($part,)+) {
            type Outputs = ($($part::Output,)+);
            type InFlight = ($(MaybeDone<InFlight<$part>>,)+);

            #[expect(private_interfaces, reason = "nobody else can name this trait")]
            fn submit(self, driver: &Rc<Driver>, link: Link) -> Self::InFlight {
                let ($($part,)+) = self;
                // All are prepared before the first is taken out of its guard.
                $(let $part = Prepared::new(driver, $part);)+
                let [$($part),+] = driver.launch_chain(link, [$($part.into_parts()),+]);
                ($(maybe_done(InFlight::new(Rc::clone(driver), $part)),)+)
            }

            fn poll(
                ($($part,)+): &mut Self::InFlight,
                context: &mut Context<'_>,
            ) -> Poll<Self::Outputs> {
                let all = [$(Pin::new(&mut *$part).poll(context).is_ready()),+];
                if all.contains(&false) {
                    return Poll::Pending;
                }
                let again = "a chain was polled after it had yielded its results";
                Poll::Ready(($(Pin::new($part).take_output().expect(again),)+))
            }

            fn cancel(($($part,)+): Self::InFlight) -> Self::InFlight {
                ($(cancelled($part),)+)
            }
        }
    };
}

chain_of!(A B);
chain_of!(A B C);
chain_of!(A B C D);
chain_of!(A B C D E);
chain_of!(A B C D E F);
chain_of!(A B C D E F G);
chain_of!(A B C D E F G H);

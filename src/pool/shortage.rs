//! What happens when the kernel finds a pool empty: it grows, or receives wait for a buffer to come back.
//!
//! A receive takes a stamp before it is submitted. If it comes back with `ENOBUFS` and the stamp is no
//! longer true, because a buffer came back or the pool grew meanwhile, it is simply tried again; so no return
//! is missed, and no receive spins: each further attempt needs a return of its own. Otherwise the pool grows;
//! a thousand receives that ended by the same shortage make it grow once.
//!
//! At the limit receives queue. A buffer that comes back wakes one of them, which holds the baton
//! meanwhile: should it turn out to need no buffer, the next one is woken.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::BufPool;
use crate::driver::current::current as driver;
use crate::panics::in_drop;
use crate::ring::Ring;

/// The figures of a pool, and who waits for buffers of it.
pub(super) struct Shortage {
    buffers: Cell<u32>,
    limit: u32,
    count: Cell<u64>,
    /// Of the moment.
    stamp: Cell<Stamp>,
    waiting: RefCell<VecDeque<Waiting>>,
    next_ticket: Cell<u32>,
}

struct Waiting {
    /// Unlike those of the billions that queued before it.
    ticket: u32,
    waker: Waker,
}

/// A moment in the life of a pool: how many buffers came back until then, and in the last byte how often it grew, at
/// most 16 times, as each doubles the buffers or is the last. In one word, as attempts are as many as connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamp(u64);

impl Stamp {
    const GROWTH: u64 = 1;
    const RETURN: u64 = 1 << 8;

    fn growths(self) -> u8 {
        self.0 as u8
    }
}

impl Shortage {
    pub(super) fn new(buffers: u32, limit: u32) -> Rc<Shortage> {
        Rc::new(Shortage {
            buffers: Cell::new(buffers),
            limit,
            count: Cell::new(0),
            stamp: Cell::default(),
            waiting: RefCell::default(),
            next_ticket: Cell::new(0),
        })
    }

    pub(super) fn buffers(&self) -> u32 {
        self.buffers.get()
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    /// How often the pool was found empty.
    pub(super) fn count(&self) -> u64 {
        self.count.get()
    }

    /// How many buffers to add next.
    pub(super) fn room_to_grow(&self) -> u32 {
        self.buffers.get().min(self.limit - self.buffers.get())
    }

    /// Buffers were added.
    pub(super) fn grew(&self, count: u32) {
        if count > 0 {
            self.buffers.set(self.buffers.get() + count);
            self.stamp.set(Stamp(self.stamp().0.wrapping_add(Stamp::GROWTH)));
        }
    }

    /// A buffer came back, or a receive ended that might have used one.
    pub(super) fn returned(&self) {
        self.stamp.set(Stamp(self.stamp().0.wrapping_add(Stamp::RETURN)));
        self.wake_first();
    }

    fn stamp(&self) -> Stamp {
        self.stamp.get()
    }

    /// Wakes whoever has waited longest; the wake is that one's baton.
    fn wake_first(&self) {
        let first = self.waiting.borrow_mut().pop_front();
        if let Some(first) = first {
            in_drop(|| first.waker.wake());
        }
    }

    fn is_waiting(&self, ticket: u32) -> bool {
        self.waiting.borrow().iter().any(|waiting| waiting.ticket == ticket)
    }

    /// Has a waker replace that of a place in the queue.
    fn renew(&self, ticket: u32, waker: &Waker) {
        // Cloning and dropping a waker may run anybody's code: nothing is borrowed meanwhile.
        let mut waker = waker.clone();
        if let Some(waiting) =
            self.waiting.borrow_mut().iter_mut().find(|waiting| waiting.ticket == ticket)
        {
            std::mem::swap(&mut waiting.waker, &mut waker);
        }
    }

    fn leave(&self, ticket: u32) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let place = waiting.iter().position(|waiting| waiting.ticket == ticket);
        let left = place.and_then(|place| waiting.remove(place));
        drop(waiting);
        let was_there = left.is_some();
        in_drop(|| drop(left));
        was_there
    }
}

/// The dealings of one receive with a pool that may be short of buffers, over as many submissions as it takes.
pub(crate) struct Attempt {
    pool: BufPool,
    wait: Wait,
    stamp: Stamp,
}

const _: () = assert!(size_of::<Attempt>() <= 24, "an idle connection is small");

/// What an attempt has to do with the queue.
#[derive(Debug, PartialEq, Eq)]
enum Wait {
    /// Nothing: the pool was not found empty.
    Never,
    /// Nothing now. From when the pool was found empty until there are bytes, the receive asks for a buffer only when
    /// there is data, so that who queues for one has something to put there.
    No,
    /// To be queued by the next poll.
    Asked,
    Queued(u32),
    /// Woken, and trying.
    Baton,
    /// As `Baton`, with the last digits of the count of enters of the kernel from when the submission was first seen
    /// pending: whether there was another since is all that is asked.
    Pending {
        enters: u32,
    },
}

impl Attempt {
    pub(crate) fn new(pool: BufPool) -> Attempt {
        let stamp = pool.0.shortage.stamp();
        Attempt { pool, wait: Wait::Never, stamp }
    }

    /// Where the buffers come from.
    pub(crate) fn pool(&self) -> &BufPool {
        &self.pool
    }

    fn shortage(&self) -> &Shortage {
        &self.pool.0.shortage
    }

    /// A submission is about to be made. Returns whether it should wait for data before it asks for a buffer.
    pub(crate) fn begin(&mut self) -> bool {
        self.stamp = self.shortage().stamp();
        self.wait != Wait::Never
    }

    /// It brought bytes.
    pub(crate) fn served(&mut self) {
        // The buffer that the wake was about is in use; its return wakes the next one.
        self.wait = Wait::Never;
    }

    /// It found the pool empty.
    pub(crate) fn found_empty(&mut self) {
        self.shortage().count.set(self.shortage().count.get() + 1);
        let grew =
            self.stamp.growths() == self.shortage().stamp().growths() && self.pool.grow() > 0;
        let stale = self.stamp != self.shortage().stamp();
        self.wait = if grew || stale { Wait::No } else { Wait::Asked };
    }

    /// Ready when another submission makes sense.
    pub(crate) fn poll_buffers(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self.wait {
            Wait::Never | Wait::No | Wait::Baton | Wait::Pending { .. } => Poll::Ready(()),
            Wait::Queued(ticket) if self.shortage().is_waiting(ticket) => {
                self.shortage().renew(ticket, context.waker());
                // Dropping the old waker may have given a buffer back.
                if self.shortage().is_waiting(ticket) {
                    return Poll::Pending;
                }
                self.wait = Wait::Baton;
                Poll::Ready(())
            }
            Wait::Queued(_) => {
                self.wait = Wait::Baton;
                Poll::Ready(())
            }
            Wait::Asked => {
                let waker = context.waker().clone();
                if self.stamp != self.shortage().stamp() {
                    self.wait = Wait::No;
                    return Poll::Ready(());
                }
                let ticket = self.shortage().next_ticket.get();
                self.shortage().next_ticket.set(ticket.wrapping_add(1));
                self.shortage().waiting.borrow_mut().push_back(Waiting { ticket, waker });
                self.wait = Wait::Queued(ticket);
                Poll::Pending
            }
        }
    }

    /// The submission is under way and was found pending. Once the kernel has been entered, it would have
    /// used the buffer if there were data; so the next one in the queue may try.
    pub(crate) fn pending(&mut self, context: &mut Context<'_>) {
        let enters = || driver().with_ring(Ring::enters).unwrap_or_default() as u32;
        match self.wait {
            Wait::Never | Wait::No | Wait::Asked | Wait::Queued(_) => {}
            Wait::Pending { enters: then } if then != enters() => self.pass(),
            Wait::Baton | Wait::Pending { .. } => {
                self.wait = Wait::Pending { enters: enters() };
                context.waker().wake_by_ref();
            }
        }
    }

    /// It needs no buffer now: it is served from elsewhere, or waits for its turn on the socket. A wake that was meant
    /// for it goes to the next one in the queue.
    pub(crate) fn pass(&mut self) {
        if matches!(self.wait, Wait::Baton | Wait::Pending { .. }) {
            self.wait = Wait::No;
            self.shortage().wake_first();
        }
    }

    /// Waits for its turn on the socket.
    pub(crate) async fn turn<F: Future + Unpin>(&mut self, turn: F) -> F::Output {
        self.during(turn, |attempt, _| attempt.pass()).await
    }

    /// Waits until another submission makes sense.
    pub(crate) async fn buffers(&mut self) {
        poll_fn(|context| self.poll_buffers(context)).await;
    }

    /// Waits for a submission.
    pub(crate) async fn watch<F: Future + Unpin>(&mut self, submitted: F) -> F::Output {
        self.during(submitted, Attempt::pending).await
    }

    /// Waits for `future`, and does something whenever it is not ready.
    async fn during<F: Future + Unpin>(
        &mut self,
        mut future: F,
        pending: impl Fn(&mut Attempt, &mut Context<'_>),
    ) -> F::Output {
        poll_fn(|context| {
            let polled = Pin::new(&mut future).poll(context);
            if polled.is_pending() {
                pending(self, context);
            }
            polled
        })
        .await
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        // A wake that was meant for this one, and not used, goes to the next.
        match self.wait {
            Wait::Queued(ticket) if self.shortage().leave(ticket) => {}
            Wait::Queued(_) => self.shortage().wake_first(),
            _ => self.pass(),
        }
    }
}

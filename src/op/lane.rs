//! One direction of a stream: one operation at a time, and what came too late for its future.
//!
//! What a receive takes out of a socket is gone from the kernel, whether or not anybody still waits for it.
//! So the operation that receives holds the lane until its final completion, not until its future is
//! dropped; what it received for a dropped future it leaves in the lane, and the next holder takes that
//! first. Nothing is lost, and nothing overtakes.
//!
//! Holders queue in the order of their first poll. A *forgotten* future never lets go of the lane, as a
//! forgotten lock guard never unlocks.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// One direction of a stream; `T` is what a dropped future may leave behind.
pub struct Lane<T>(Rc<Shared<T>>);

struct Shared<T> {
    held: Cell<bool>,
    /// Made when the first future is dropped or has to wait. Most lanes never see either, and every
    /// connection has two of them.
    rare: RefCell<Option<Box<Rare<T>>>>,
}

struct Rare<T> {
    late: VecDeque<T>,
    waiting: VecDeque<Waiting>,
    next_ticket: u64,
}

struct Waiting {
    ticket: u64,
    /// None once it was woken; its next poll brings another.
    waker: Option<Waker>,
}

impl<T> Lane<T> {
    /// A lane that nobody holds.
    pub fn new() -> Lane<T> {
        Lane(Rc::new(Shared { held: Cell::new(false), rare: RefCell::new(None) }))
    }

    /// Waits for the lane. Dropping the future gives up the place in the queue.
    pub fn hold(&self) -> Hold<'_, T> {
        Hold { lane: self, ticket: None }
    }

    /// Whether no operation holds the lane and nothing waits in it for the next holder.
    pub fn is_idle(&self) -> bool {
        !self.0.held.get() && self.0.late_len() == 0
    }

    /// Wakes whoever is first in the queue.
    fn wake_first(&self) {
        // Taken out rather than cloned, which would run user code while the queue is borrowed.
        let mut rare = self.0.rare.borrow_mut();
        let first = rare.as_mut().and_then(|rare| rare.waiting.front_mut()?.waker.take());
        drop(rare);
        if let Some(waker) = first {
            waker.wake();
        }
    }

    fn leave_queue(&self, ticket: u64) {
        let mut rare = self.0.rare.borrow_mut();
        let left = rare.as_mut().and_then(|rare| {
            let place = rare.waiting.iter().position(|waiting| waiting.ticket == ticket)?;
            rare.waiting.remove(place)
        });
        drop(rare);
        drop(left);
    }
}

impl<T> Default for Lane<T> {
    fn default() -> Lane<T> {
        Lane::new()
    }
}

impl<T> fmt::Debug for Lane<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("held", &self.0.held.get())
            .field("late", &self.0.late_len())
            .finish_non_exhaustive()
    }
}

/// The future of [`Lane::hold`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Hold<'a, T> {
    lane: &'a Lane<T>,
    ticket: Option<u64>,
}

impl<T> Future for Hold<'_, T> {
    type Output = Held<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Held<T>> {
        if let Some(held) = self.try_hold() {
            return Poll::Ready(held);
        }
        // Cloning and dropping a waker may run anybody's code: nothing is borrowed meanwhile.
        let waker = context.waker().clone();
        let replaced = self.lane.0.wait(&mut self.ticket, waker);
        drop(replaced);
        // That code may have let go of the lane.
        self.try_hold().map_or(Poll::Pending, Poll::Ready)
    }
}

impl<T> Hold<'_, T> {
    /// Takes the lane, if it is free and nobody else is before this one.
    fn try_hold(&mut self) -> Option<Held<T>> {
        let shared = &self.lane.0;
        let first = shared.first_ticket();
        if shared.held.get() || (first.is_some() && first != self.ticket) {
            return None;
        }
        shared.held.set(true);
        if let Some(ticket) = self.ticket.take() {
            self.lane.leave_queue(ticket);
        }
        Some(Held { lane: Lane(Rc::clone(&self.lane.0)) })
    }
}

impl<T> Shared<T> {
    fn late_len(&self) -> usize {
        self.rare.borrow().as_ref().map_or(0, |rare| rare.late.len())
    }

    /// Who is first in the queue.
    fn first_ticket(&self) -> Option<u64> {
        self.rare.borrow().as_ref()?.waiting.front().map(|waiting| waiting.ticket)
    }

    /// What most lanes never need, made now if need be.
    fn rare(&self) -> RefMut<'_, Rare<T>> {
        RefMut::map(self.rare.borrow_mut(), |rare| {
            &mut **rare.get_or_insert_with(|| {
                let (late, waiting) = (VecDeque::new(), VecDeque::new());
                Box::new(Rare { late, waiting, next_ticket: 0 })
            })
        })
    }

    /// Takes or keeps a place in the queue; returns the waker that is replaced.
    fn wait(&self, ticket: &mut Option<u64>, waker: Waker) -> Option<Waker> {
        let mut rare = self.rare();
        let place = rare.waiting.iter_mut().find(|waiting| Some(waiting.ticket) == *ticket);
        if let Some(place) = place {
            return place.waker.replace(waker);
        }
        let new = rare.next_ticket;
        rare.next_ticket = new + 1;
        rare.waiting.push_back(Waiting { ticket: new, waker: Some(waker) });
        *ticket = Some(new);
        None
    }
}

impl<T> Drop for Hold<'_, T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.lane.leave_queue(ticket);
            // The wake meant for this one goes to the next.
            if !self.lane.0.held.get() {
                self.lane.wake_first();
            }
        }
    }
}

/// The right to operate on a lane, let go of when dropped.
pub struct Held<T> {
    lane: Lane<T>,
}

impl<T> Held<T> {
    /// Takes what came too late for the future it was meant for, oldest first.
    pub fn take_late(&self) -> Option<T> {
        self.lane.0.rare.borrow_mut().as_mut()?.late.pop_front()
    }

    /// Leaves something for the next holder, behind what is there.
    pub fn leave(&self, late: T) {
        self.lane.0.rare().late.push_back(late);
    }

    /// Puts the rest of what was taken back, in front.
    pub fn put_back(&self, late: T) {
        self.lane.0.rare().late.push_front(late);
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        self.lane.0.held.set(false);
        self.lane.wake_first();
    }
}

impl<T> fmt::Debug for Held<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(&self.lane).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use futures::task::noop_waker_ref;
    use std::pin::pin;

    fn polled<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(noop_waker_ref())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_lane_is_held_by_one_at_a_time_in_the_order_of_asking() {
        let lane = Lane::<()>::new();
        let first = lane.hold().now_or_never().expect("free");
        let (mut second, mut third) = (pin!(lane.hold()), pin!(lane.hold()));
        assert!(polled(second.as_mut()).is_none() && polled(third.as_mut()).is_none());
        drop(first);
        assert!(polled(third.as_mut()).is_none(), "the second is before the third");
        let second = polled(second.as_mut()).expect("its turn");
        assert!(polled(third.as_mut()).is_none());
        drop(second);
        assert!(polled(third.as_mut()).is_some());
    }

    #[test]
    fn who_gives_up_waiting_lets_the_next_one_pass() {
        let lane = Lane::<()>::new();
        let first = lane.hold().now_or_never().expect("free");
        let mut second = Box::pin(lane.hold());
        let mut third = pin!(lane.hold());
        assert!(polled(second.as_mut()).is_none() && polled(third.as_mut()).is_none());
        drop(first);
        drop(second);
        assert!(polled(third.as_mut()).is_some());
    }

    #[test]
    fn what_came_late_goes_to_the_next_holder_in_order() {
        let lane = Lane::new();
        let held = lane.hold().now_or_never().expect("free");
        held.leave(1);
        held.leave(2);
        drop(held);
        assert!(!lane.is_idle());
        let held = lane.hold().now_or_never().expect("free");
        assert_eq!(held.take_late(), Some(1));
        held.put_back(1);
        assert_eq!((held.take_late(), held.take_late()), (Some(1), Some(2)));
        assert_eq!(held.take_late(), None);
    }
}

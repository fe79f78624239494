//! One direction of a descriptor: one operation at a time, and what came too late for its future.
//!
//! What a receive takes out of a socket is gone from the kernel, whether or not anybody still waits for it.
//! So the operation that receives holds the lane until its final completion, not until its future is
//! dropped; what it received for a dropped future it leaves in the lane, and the next holder takes that
//! first. Nothing is lost, and nothing overtakes.
//!
//! Holders queue in the order of their first poll. A *forgotten* future never lets go of the lane, as a
//! forgotten lock guard never unlocks.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::{Fd, Rare};
use crate::panics::in_drop;

/// What a receive left in its lane because its future was gone: bytes, or the errno that the socket
/// reports only once.
pub type LateBytes = Result<Vec<u8>, i32>;

/// An accepted connection, and its peer's address if the kernel was asked for it.
pub type Accepted = (Fd, Option<SocketAddr>);

/// [`Receiving`] or [`Sending`].
pub trait Direction: sealed::Direction {}

impl<D: sealed::Direction> Direction for D {}

mod sealed {
    pub trait Direction {
        /// The place of what belongs to it.
        const INDEX: usize;

        /// Whether its operations leave anything for the next holder.
        const LEAVES_SOMETHING: bool;
    }
}

/// The direction of a socket that receives bytes, or connections.
#[derive(Debug)]
pub struct Receiving(());

/// The direction of a socket that sends.
#[derive(Debug)]
pub struct Sending(());

impl sealed::Direction for Receiving {
    const INDEX: usize = 0;
    const LEAVES_SOMETHING: bool = true;
}

impl sealed::Direction for Sending {
    const INDEX: usize = 1;
    const LEAVES_SOMETHING: bool = false;
}

/// Who waits for a lane.
#[derive(Default)]
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    last_ticket: u64,
}

struct Waiting {
    ticket: u64,
    /// None once it was woken; its next poll brings another.
    waker: Option<Waker>,
}

/// One direction of a descriptor.
pub struct Lane<'a, D> {
    fd: &'a Fd,
    _direction: PhantomData<D>,
}

impl<'a> Lane<'a, Receiving> {
    /// Where `fd` receives.
    pub fn receiving(fd: &'a Fd) -> Lane<'a, Receiving> {
        Lane { fd, _direction: PhantomData }
    }
}

impl<'a> Lane<'a, Sending> {
    /// Where `fd` sends.
    pub fn sending(fd: &'a Fd) -> Lane<'a, Sending> {
        Lane { fd, _direction: PhantomData }
    }
}

impl<'a, D: Direction> Lane<'a, D> {
    /// Waits for the lane. Dropping the future gives up the place in the queue.
    pub fn hold(self) -> Hold<'a, D> {
        Hold { lane: self, ticket: 0 }
    }

    /// Whether no operation holds the lane and nothing waits in it for the next holder.
    pub fn is_idle(self) -> bool {
        let late = |rare: &mut Rare| rare.late_bytes.len() + rare.late_connections.len();
        let waits = D::LEAVES_SOMETHING && self.fd.0.if_rare(late).is_some_and(|count| count > 0);
        !waits && !self.is_held()
    }

    fn is_held(self) -> bool {
        self.fd.0.held[D::INDEX].get()
    }

    /// Who is first in the queue.
    fn first_ticket(self) -> Option<u64> {
        self.fd.0.if_rare(|rare| Some(rare.queues[D::INDEX].waiting.front()?.ticket))?
    }

    /// Wakes whoever is first in the queue.
    fn wake_first(self) {
        // Taken out rather than cloned, which would run user code while the queue is borrowed.
        let first =
            self.fd.0.if_rare(|rare| rare.queues[D::INDEX].waiting.front_mut()?.waker.take());
        if let Some(waker) = first.flatten() {
            in_drop(|| waker.wake());
        }
    }

    /// Takes or keeps a place in the queue; returns the waker that is replaced.
    fn wait(self, ticket: &mut u64, waker: Waker) -> Option<Waker> {
        self.fd.0.rare(|rare| {
            let queue = &mut rare.queues[D::INDEX];
            if let Some(place) = queue.waiting.iter_mut().find(|waiting| waiting.ticket == *ticket)
            {
                return place.waker.replace(waker);
            }
            queue.last_ticket += 1;
            *ticket = queue.last_ticket;
            queue.waiting.push_back(Waiting { ticket: *ticket, waker: Some(waker) });
            None
        })
    }

    fn leave_queue(self, ticket: u64) {
        let left = self.fd.0.if_rare(|rare| {
            let waiting = &mut rare.queues[D::INDEX].waiting;
            let place = waiting.iter().position(|waiting| waiting.ticket == ticket)?;
            waiting.remove(place)
        });
        in_drop(|| drop(left));
    }
}

impl<D> Clone for Lane<'_, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D> Copy for Lane<'_, D> {}

impl<D: Direction> fmt::Debug for Lane<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("fd", self.fd)
            .field("held", &self.is_held())
            .finish_non_exhaustive()
    }
}

/// The future of [`Lane::hold`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Hold<'a, D: Direction> {
    lane: Lane<'a, D>,
    /// 0 before there is one.
    ticket: u64,
}

impl<D: Direction> Unpin for Hold<'_, D> {}

impl<D: Direction> Future for Hold<'_, D> {
    type Output = Held<D>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Held<D>> {
        if let Some(held) = self.try_hold() {
            return Poll::Ready(held);
        }
        // Cloning and dropping a waker may run anybody's code: nothing is borrowed meanwhile.
        let (lane, waker) = (self.lane, context.waker().clone());
        let replaced = lane.wait(&mut self.ticket, waker);
        drop(replaced);
        // That code may have let go of the lane.
        self.try_hold().map_or(Poll::Pending, Poll::Ready)
    }
}

impl<D: Direction> Hold<'_, D> {
    /// Takes the lane, if it is free and nobody else is before this one.
    fn try_hold(&mut self) -> Option<Held<D>> {
        let lane = self.lane;
        if lane.is_held() || lane.first_ticket().is_some_and(|first| first != self.ticket) {
            return None;
        }
        lane.fd.0.held[D::INDEX].set(true);
        if self.ticket != 0 {
            lane.leave_queue(std::mem::take(&mut self.ticket));
        }
        Some(Held { fd: lane.fd.clone(), _direction: PhantomData })
    }
}

impl<D: Direction> Drop for Hold<'_, D> {
    fn drop(&mut self) {
        if self.ticket != 0 {
            self.lane.leave_queue(self.ticket);
            // The wake meant for this one goes to the next.
            if !self.lane.is_held() {
                self.lane.wake_first();
            }
        }
    }
}

/// The right to operate on a lane, let go of when dropped. It keeps the descriptor open.
pub struct Held<D: Direction> {
    fd: Fd,
    _direction: PhantomData<D>,
}

impl<D: Direction> Held<D> {
    /// The descriptor whose lane it is.
    pub fn fd(&self) -> &Fd {
        &self.fd
    }
}

impl Held<Receiving> {
    /// Takes the bytes that came too late for the future they were meant for, oldest first.
    pub fn take_late_bytes(&self) -> Option<LateBytes> {
        self.fd.0.if_rare(|rare| rare.late_bytes.pop_front())?
    }

    /// Leaves bytes for the next holder, behind what is there.
    pub fn leave_bytes(&self, late: LateBytes) {
        self.fd.0.rare(|rare| rare.late_bytes.push_back(late));
    }

    /// Puts the rest of what was taken back, in front.
    pub fn put_back_bytes(&self, late: LateBytes) {
        self.fd.0.rare(|rare| rare.late_bytes.push_front(late));
    }

    /// Takes the connection that came too late for the future it was meant for, oldest first.
    pub fn take_late_connection(&self) -> Option<Accepted> {
        self.fd.0.if_rare(|rare| rare.late_connections.pop_front())?
    }

    /// Leaves a connection for the next holder, behind what is there.
    pub fn leave_connection(&self, late: Accepted) {
        self.fd.0.rare(|rare| rare.late_connections.push_back(late));
    }
}

impl<D: Direction> Drop for Held<D> {
    fn drop(&mut self) {
        let lane = Lane::<D> { fd: &self.fd, _direction: PhantomData };
        lane.fd.0.held[D::INDEX].set(false);
        lane.wake_first();
    }
}

impl<D: Direction> fmt::Debug for Held<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(&self.fd).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Woken;
    use super::*;
    use futures::FutureExt;
    use futures::task::noop_waker_ref;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    fn socket() -> Fd {
        let (socket, _) = UnixStream::pair().expect("sockets");
        Fd::from(OwnedFd::from(socket))
    }

    fn polled<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(noop_waker_ref())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_lane_is_held_by_one_at_a_time_in_the_order_of_asking() {
        let fd = socket();
        let lane = Lane::sending(&fd);
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
        let fd = socket();
        let lane = Lane::sending(&fd);
        let first = lane.hold().now_or_never().expect("free");
        let mut second = Box::pin(lane.hold());
        let mut third = pin!(lane.hold());
        assert!(polled(second.as_mut()).is_none() && polled(third.as_mut()).is_none());
        drop(first);
        drop(second);
        assert!(polled(third.as_mut()).is_some());
    }

    #[test]
    fn who_was_woken_for_the_lane_and_gives_up_has_the_next_one_woken() {
        let fd = socket();
        let lane = Lane::sending(&fd);
        let first = lane.hold().now_or_never().expect("free");
        let (mut second, mut third) = (Box::pin(lane.hold()), pin!(lane.hold()));
        assert!(polled(second.as_mut()).is_none());
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        assert!(third.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(first);
        assert!(!woken.0.load(Ordering::Relaxed), "the second is before the third");
        drop(second);
        assert!(woken.0.load(Ordering::Relaxed));
    }

    #[test]
    fn who_sends_does_not_wait_for_who_receives() {
        let fd = socket();
        let receiving = Lane::receiving(&fd).hold().now_or_never().expect("free");
        assert!(Lane::sending(&fd).is_idle());
        let sending = Lane::sending(&fd).hold().now_or_never().expect("free");
        drop(receiving);
        assert!(Lane::receiving(&fd).is_idle() && !Lane::sending(&fd).is_idle());
        drop(sending);
    }

    #[test]
    fn what_came_late_goes_to_the_next_holder_in_order() {
        let fd = socket();
        let lane = Lane::receiving(&fd);
        let held = lane.hold().now_or_never().expect("free");
        held.leave_bytes(Ok(vec![1]));
        held.leave_bytes(Err(2));
        drop(held);
        assert!(!lane.is_idle());
        let held = lane.hold().now_or_never().expect("free");
        assert_eq!(held.take_late_bytes(), Some(Ok(vec![1])));
        held.put_back_bytes(Ok(vec![1]));
        assert_eq!(
            (held.take_late_bytes(), held.take_late_bytes()),
            (Some(Ok(vec![1])), Some(Err(2)))
        );
        assert_eq!(held.take_late_bytes(), None);
    }
}

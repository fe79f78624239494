//! Operations in flight: from a submitted operation to the one who awaits it.
//!
//! The driver owns a pooled, pinned block for every operation in flight, and knows nothing of what the
//! operations are. Users hold [`InFlight`] and [`Shots`], which are tokens.
//!
//! # The safety chapter
//!
//! 1. A payload is written to its block, then prepared once, then not touched, moved or freed until a
//!    completion without `F_MORE` for its token was reaped. (Exception: the shots of a [`MultiOp`] see it by
//!    shared reference; a [`MultiSqe`](crate::ring::MultiSqe) lends nothing mutably.)
//! 2. Only [`Driver::submit`] and [`Driver::submit_multi`] push submissions that lend memory, and only from
//!    rule 1's blocks. Internal submissions (cancels, the wake-up poll) lend nothing.
//! 3. A slot is freed only after its final completion. So a token in the kernel's hands always names a live
//!    slot.
//! 4. If teardown gives up, payloads and ring are leaked together.
//! 5. User code (`prepare`, `complete`, `abandoned`, `shot`, destructors, and a waker's wake, clone and drop)
//!    runs only while no `RefCell` of the driver is borrowed.
//! 6. [`Driver::turn`] is not re-entered.
//!
//! Rules 1 to 4 are soundness; 5 and 6 keep the driver from panicking. A failure to submit is a completion
//! with an errno: `submit` is infallible, buffers always come back, and operations have one error path.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Instant;

use crate::ring::{Cqe, Entry, MultiSqe, Ring, SetupError, Sqe, Step, Target};
use crate::sys::syscall;

pub(crate) mod current;
mod in_flight;
mod op;
mod payload;
mod retry;
mod slots;
mod teardown;
#[cfg(test)]
mod tests;
mod unpark;

pub use in_flight::{InFlight, Shots};
pub use op::{MultiOp, Op};
pub use teardown::ShutdownReport;
pub(crate) use unpark::Unpark;

use payload::{Payload, Pool};
use retry::Retry;
use slots::{Action, Dropped, Polled, PolledShot, Settled, Slots, Token};

/// `user_data` of the wake-up poll. Tokens never reach it: their lower half is a slab index.
const WAKE: u64 = u64::MAX;

/// Completions copied out at a time.
const CQES_PER_BATCH: usize = 64;

/// How often a full submission queue is offered to the kernel before the operation fails, when the kernel
/// answers that it is short of memory or wants completions taken first.
const RESERVE_ATTEMPTS: u32 = 1000;

/// Whether, and until when, a turn may sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// There is other work.
    No,
    /// Until something completes or wakes the driver, or this moment comes.
    Until(Option<Instant>),
}

/// Drives the operations of one thread.
pub(crate) struct Driver {
    /// None after teardown.
    ring: RefCell<Option<Ring>>,
    slots: RefCell<Slots>,
    pool: RefCell<Pool>,
    actions: RefCell<VecDeque<Action>>,
    unpark: Arc<Unpark>,
    wake_poll: Cell<WakePoll>,
    retry: Cell<Retry>,
    turning: Cell<bool>,
}

/// How the wake-up descriptor is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WakePoll {
    /// Not at all: the kernel in user space needs none.
    Unneeded,
    /// To be armed; `multi` is false on kernels before 5.13.
    Disarmed {
        multi: bool,
    },
    Armed {
        multi: bool,
    },
}

impl Driver {
    /// A driver on a ring made for this thread.
    pub(crate) fn new(ring: Ring) -> Result<Rc<Driver>, SetupError> {
        let (unpark, wake_poll) = match ring.interrupt() {
            Some(kernel) => (Unpark::through_kernel(kernel), WakePoll::Unneeded),
            None => {
                let eventfd = syscall::eventfd().map_err(|e| SetupError::new(Step::Wake, e))?;
                let unpark = Unpark::through_eventfd(File::from(eventfd));
                (unpark, WakePoll::Disarmed { multi: true })
            }
        };
        Ok(Rc::new(Driver {
            ring: RefCell::new(Some(ring)),
            slots: RefCell::default(),
            pool: RefCell::default(),
            actions: RefCell::default(),
            unpark: Arc::new(unpark),
            wake_poll: Cell::new(wake_poll),
            retry: Cell::default(),
            turning: Cell::new(false),
        }))
    }

    /// What wakes this driver from another thread.
    pub(crate) fn unpark(&self) -> Arc<Unpark> {
        Arc::clone(&self.unpark)
    }

    /// The kernel's clock.
    pub(crate) fn now(&self) -> Instant {
        self.ring.borrow().as_ref().map_or_else(Instant::now, Ring::now)
    }

    /// Looks at the ring; `None` after teardown.
    pub(crate) fn with_ring<R>(&self, look: impl FnOnce(&Ring) -> R) -> Option<R> {
        self.ring.borrow().as_ref().map(look)
    }

    /// Operations whose final completion is still to come.
    pub(crate) fn in_flight(&self) -> usize {
        self.slots.borrow().in_kernel()
    }

    /// Slots in use, finished operations whose result nobody has taken included.
    pub(crate) fn slots_in_use(&self) -> usize {
        self.slots.borrow().len()
    }

    /// Completions that named no live operation. Zero unless the kernel or the driver has a bug.
    pub(crate) fn strangers(&self) -> u64 {
        self.slots.borrow().strangers()
    }

    /// Submits an operation; it reaches the kernel with the next turn.
    pub(crate) fn submit<T: Op>(self: &Rc<Driver>, op: T) -> InFlight<T> {
        let block = self.pool.borrow_mut().block_for::<T>();
        let (payload, sqe) = Payload::new(op, block);
        InFlight::new(Rc::clone(self), self.launch(payload, sqe, T::CANCEL_ON_DROP))
    }

    /// Submits an operation that completes many times.
    pub(crate) fn submit_multi<T: MultiOp>(self: &Rc<Driver>, op: T) -> Shots<T> {
        let block = self.pool.borrow_mut().block_for::<T>();
        let (payload, sqe) = Payload::new_multi(op, block);
        Shots::new(Rc::clone(self), self.launch(payload, sqe, true))
    }

    fn launch(&self, payload: Payload, sqe: Entry, cancel_on_drop: bool) -> Token {
        let token = self.slots.borrow_mut().insert(payload, cancel_on_drop);
        let sqe = sqe.user_data(token.user_data());
        if let Err(error) = self.push(sqe) {
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            self.finish(Cqe::new(token.user_data(), -errno, 0));
        }
        token
    }

    /// Pushes a submission, making room first.
    ///
    /// On an error nothing was pushed.
    fn push(&self, sqe: Entry) -> io::Result<()> {
        let mut attempts = 0;
        loop {
            let mut ring = self.ring.borrow_mut();
            let Some(ring) = ring.as_mut() else {
                return Err(io::Error::from_raw_os_error(libc::ECANCELED));
            };
            match ring.reserve(1) {
                Ok(()) => {
                    // SAFETY: rules 1 to 3: whatever `sqe` was lent lives in a payload that stays in its
                    // slot, untouched, until the final completion; or it is an internal submission.
                    return unsafe { ring.push(sqe) }
                        .map_err(|_| io::Error::from_raw_os_error(libc::EAGAIN));
                }
                Err(error) if is_passing(&error) && attempts < RESERVE_ATTEMPTS => {
                    attempts += 1;
                    self.reap(ring);
                    if attempts > 1 {
                        std::thread::yield_now();
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks the kernel to cancel an operation, with the next turn.
    fn cancel(&self, token: Token) {
        self.slots.borrow_mut().queue_cancel(token);
    }

    /// Polls an operation that completes once.
    fn poll<T: Op>(&self, token: Token, waker: &Waker) -> Option<(T, Cqe)> {
        let polled = self.slots.borrow_mut().poll(token, waker);
        match polled {
            Polled::Done(slot) => {
                let (payload, cqe) = slot.into_parts();
                let (op, block) = payload.take::<T>();
                self.pool.borrow_mut().give_back(block);
                Some((op, cqe))
            }
            Polled::Pending => None,
            Polled::NeedsWaker => {
                self.set_waker(token, waker);
                None
            }
        }
    }

    /// Polls an operation that completes many times.
    fn poll_shot<T: MultiOp>(&self, token: Token, waker: &Waker) -> Poll<Option<T::Item>> {
        let polled = self.slots.borrow_mut().poll_shot(token, waker);
        match polled {
            PolledShot::Shot(shot, cqe) => {
                // SAFETY: rule 3 and the exception of rule 1: the payload leaves its slot only through
                // `PolledShot::Ended` or when the `Shots` that calls us is dropped, neither during this call.
                Poll::Ready(Some(unsafe { shot.call::<T>(cqe) }))
            }
            PolledShot::Ended(slot) => {
                self.end(slot);
                Poll::Ready(None)
            }
            PolledShot::Pending => Poll::Pending,
            PolledShot::NeedsWaker => {
                self.set_waker(token, waker);
                Poll::Pending
            }
        }
    }

    fn set_waker(&self, token: Token, waker: &Waker) {
        let waker = waker.clone();
        let kept = self.slots.borrow_mut().set_waker(token, waker);
        match kept {
            Ok(replaced) => drop(replaced),
            Err(waker) => waker.wake(),
        }
    }

    /// The future of an operation was dropped.
    fn on_drop(&self, token: Token) {
        let dropped = self.slots.borrow_mut().on_drop(token);
        match dropped {
            Dropped::Settle => self.settle(token),
            Dropped::Later(waker) => drop(waker),
        }
    }

    /// Hands an abandoned operation what came for it, and ends it if that was all.
    fn settle(&self, token: Token) {
        loop {
            let settled = self.slots.borrow_mut().settle(token);
            match settled {
                Settled::Shot(shot, cqe) => {
                    let rest = Unsettled(self, token);
                    // SAFETY: rule 3: the payload of an abandoned operation leaves its slot only through
                    // `Settled::Last`, below, and nobody else settles it: it has no future any more.
                    unsafe { shot.abandon(cqe) };
                    mem::forget(rest);
                }
                Settled::Last(slot) => return self.end(slot),
                Settled::Nothing => return,
            }
        }
    }

    fn end(&self, slot: slots::Slot) {
        let (payload, cqe) = slot.into_parts();
        let block = payload.abandon(cqe);
        self.pool.borrow_mut().give_back(block);
    }

    /// One turn of the loop: submits what is queued, sleeps if it may, takes completions and acts on them.
    /// All that in one system call, or none if there is nothing to submit, to fetch or to wait for.
    ///
    /// # Panics
    ///
    /// When called from within itself, or when the kernel refuses the ring for good.
    pub(crate) fn turn(&self, wait: Wait) {
        if let Err(error) = self.try_turn(wait) {
            panic!("io_uring_enter failed, the ring cannot go on: {error}");
        }
    }

    fn try_turn(&self, wait: Wait) -> io::Result<()> {
        let _turning = self.begin_turn();
        // What a panic in the last turn left undone, and what came while a submission waited for room. It may
        // wake tasks, which would not want us to sleep.
        let wait = if self.actions.borrow().is_empty() { wait } else { Wait::No };
        self.act();
        self.push_internal();
        let entered = self.enter(wait);
        self.act();
        entered
    }

    fn begin_turn(&self) -> Turning<'_> {
        assert!(!self.turning.replace(true), "Driver::turn was called from within itself");
        Turning(&self.turning)
    }

    fn enter(&self, wait: Wait) -> io::Result<()> {
        let mut ring = self.ring.borrow_mut();
        let Some(ring) = ring.as_mut() else { return Ok(()) };
        let limit = match wait {
            Wait::Until(deadline) if self.may_sleep(ring) => {
                let until = self.retry.get().earlier_of(deadline);
                Some(until.map(|at| at.saturating_duration_since(ring.now())))
            }
            _ => None,
        };
        let parked = limit.is_some() && self.unpark.park();
        let result = match limit {
            Some(limit) if parked => ring.submit_and_wait(1, limit),
            _ if ring.queued() > 0 || ring.needs_enter() => ring.submit_and_wait(0, None),
            _ => Ok(0),
        };
        if parked {
            self.unpark.unparked();
        }
        self.reap(ring);
        match result {
            Err(error) if !is_passing(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether nothing is left that a sleep would delay.
    fn may_sleep(&self, ring: &Ring) -> bool {
        ring.ready() == 0
            && !ring.needs_enter()
            && self.actions.borrow().is_empty()
            && !self.slots.borrow().has_cancels()
    }

    /// Pushes the submissions of the driver's own: they lend nothing (rule 2).
    fn push_internal(&self) {
        if let WakePoll::Disarmed { multi } = self.wake_poll.get() {
            if let Some(eventfd) = self.unpark.eventfd() {
                let target = Target::from(eventfd);
                let events = libc::POLLIN as u32;
                let sqe = if multi {
                    MultiSqe::poll(target, events).user_data(WAKE).into_raw()
                } else {
                    Sqe::poll(target, events).user_data(WAKE).into_raw()
                };
                if self.push(sqe).is_ok() {
                    self.wake_poll.set(WakePoll::Armed { multi });
                }
            }
        }
        self.retry_cancels();
        loop {
            let Some(token) = self.slots.borrow_mut().next_cancel() else { return };
            let sqe = Sqe::cancel(token.user_data()).user_data(token.cancel_user_data()).into_raw();
            if self.push(sqe).is_err() {
                self.slots.borrow_mut().return_cancel(token);
                return;
            }
        }
    }

    /// Queues cancels once more that missed their operation, when it is time.
    fn retry_cancels(&self) {
        let mut retry = self.retry.get();
        if retry.is_due(|| self.now()) {
            retry.done(self.slots.borrow_mut().retry_missed());
            self.retry.set(retry);
        }
    }

    /// Takes all completions that are there. Runs no user code: what they ask for goes to the actions.
    fn reap(&self, ring: &mut Ring) {
        let mut batch = [Cqe::default(); CQES_PER_BATCH];
        loop {
            let count = ring.copy_cqes(&mut batch);
            for cqe in &batch[..count] {
                match cqe.user_data() {
                    WAKE => self.on_wake(*cqe),
                    user_data if Token::names_cancel(user_data) => self.on_cancel(*cqe, ring.now()),
                    _ => self.finish(*cqe),
                }
            }
            if count < batch.len() {
                return;
            }
        }
    }

    fn finish(&self, cqe: Cqe) {
        if let Some(action) = self.slots.borrow_mut().on_cqe(cqe) {
            self.actions.borrow_mut().push_back(action);
        }
    }

    /// The kernel has acted on a cancel. An error says that the operation has ended, or that it is running,
    /// or that it was on its way: a read forced to a worker was seen to go on to wait for input after its
    /// cancel had come back with EALREADY (Linux 6.18). So what is still in flight is cancelled again.
    fn on_cancel(&self, cqe: Cqe, now: Instant) {
        let token = Token::from_user_data(cqe.user_data());
        if cqe.raw_result() < 0 && self.slots.borrow_mut().on_missed_cancel(token) {
            let mut retry = self.retry.get();
            retry.schedule(now);
            self.retry.set(retry);
        }
    }

    fn on_wake(&self, cqe: Cqe) {
        let WakePoll::Armed { multi } = self.wake_poll.get() else { return };
        if cqe.more() {
            return;
        }
        // A multishot poll refused with EINVAL: a kernel before 5.13.
        let multi = multi && cqe.raw_result() != -libc::EINVAL;
        let _ = self.unpark.drain();
        self.wake_poll.set(WakePoll::Disarmed { multi });
    }

    /// Does what completions asked for, one at a time, with nothing borrowed. A panic leaves the rest in the
    /// queue, for the next turn.
    fn act(&self) {
        loop {
            let Some(action) = self.actions.borrow_mut().pop_front() else { return };
            match action {
                Action::Wake(waker) => waker.wake(),
                Action::Settle(token) => self.settle(token),
            }
        }
    }
}

/// Errors of `enter` that pass when completions are taken, a signal was handled or memory is free again.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY))
}

/// Has an abandoned operation settled later, because a panic came between.
struct Unsettled<'a>(&'a Driver, Token);

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        self.0.actions.borrow_mut().push_back(Action::Settle(self.1));
    }
}

/// Ends a turn, also by a panic.
struct Turning<'a>(&'a Cell<bool>);

impl Drop for Turning<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Whoever forgot to shut down gets the same guarantee: payloads leak by themselves, the ring here.
        if self.slots.get_mut().in_kernel() > 0 {
            mem::forget(self.ring.get_mut().take());
        }
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}

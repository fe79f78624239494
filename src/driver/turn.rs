//! One turn of the loop: submit, sleep, take completions, act on them.

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

use super::Driver;
use super::slots::{Action, Slots, Token};
use crate::ring::{Cqe, EnterFlags, MultiSqe, Ring, Sqe, Target};

/// `user_data` of the wake-up poll. Tokens never reach it: their lower half is the index of a slot.
pub(super) const WAKE: u64 = u64::MAX;

/// Whether, and until when, a turn may sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Tasks are ready that were before anything that could be fetched now: what is queued is submitted, and what
    /// completed as it was submitted is taken. Fetching more would put it behind those tasks, to grow cold.
    Submit,
    /// There is other work.
    No,
    /// Until something completes or wakes the driver, or this moment comes.
    Until(Option<Instant>),
}

/// How the wake-up descriptor is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WakePoll {
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
    /// One turn of the loop: submits what is queued, sleeps if it may, takes completions and acts on them.
    /// All that in one system call, or none if there is nothing to submit, to fetch or to wait for.
    ///
    /// # Panics
    ///
    /// When called from within itself, in a process that was forked from the ring's, or when the kernel
    /// refuses the ring for good.
    #[inline]
    pub(crate) fn turn(&self, wait: Wait) {
        let is_idle = match wait {
            Wait::Submit => self.has_nothing_to_submit(),
            Wait::No => self.has_nothing_to_do(),
            Wait::Until(_) => false,
        };
        if !is_idle {
            self.make_turn(wait);
        }
    }

    fn make_turn(&self, wait: Wait) {
        if let Err(error) = self.try_turn(wait) {
            assert!(
                self.is_in_its_process(),
                "the runtime belongs to the process that this one was forked from: \
                 make one after the fork"
            );
            panic!("io_uring_enter failed, the ring cannot go on: {error}");
        }
    }

    // Always, here and below: after a system call each return is mispredicted.
    #[inline(always)]
    fn try_turn(&self, mut wait: Wait) -> io::Result<()> {
        let _turning = self.begin_turn();
        let left = !self.actions.borrow().is_empty();
        if left {
            // What a panic in the last turn left undone, and what came while a submission waited for room. It may
            // wake tasks, which would not want us to sleep.
            self.act();
            if let Wait::Until(_) = wait {
                wait = Wait::No;
            }
        }
        if self.has_internal() {
            self.push_internal();
        }
        let entered = self.enter(wait);
        self.act();
        entered
    }

    pub(super) fn begin_turn(&self) -> Turning<'_> {
        assert!(!self.turning.replace(true), "Driver::turn was called from within itself");
        self.inline.renew();
        Turning(&self.turning)
    }

    #[inline(always)]
    pub(super) fn enter(&self, wait: Wait) -> io::Result<()> {
        let mut ring = self.ring.borrow_mut();
        let Some(ring) = ring.as_mut() else { return Ok(()) };
        if !ring.is_in_its_process() {
            // Nothing that is queued will ever be taken, so there is nothing to go on with.
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        if wait == Wait::Submit {
            // Not `Ring::submit`, which fetches what was deferred too.
            let submitted = match ring.queued() {
                // The cancels that there were have become needless.
                0 => Ok(0),
                count => ring.enter(count, 0, EnterFlags::empty()),
            };
            self.reap(ring);
            return match submitted {
                Err(error) if !is_passing(&error) => Err(error),
                _ => Ok(()),
            };
        }
        let limit = match wait {
            Wait::Until(deadline) if self.may_sleep(ring) => {
                let until = self.retry.get().earlier_of(deadline);
                Some(until.map(|at| at.saturating_duration_since(ring.now())))
            }
            _ => None,
        };
        let result = match limit {
            Some(limit) if self.spin.get().is_on() => self.spin_and_sleep(ring, limit),
            Some(limit) => self.sleep(ring, limit),
            None => hand_over(ring),
        };
        self.reap(ring);
        match result {
            Err(error) if !is_passing(&error) => Err(error),
            _ => Ok(()),
        }
    }

    #[inline]
    fn has_nothing_to_submit(&self) -> bool {
        self.ring.borrow().as_ref().is_none_or(|ring| ring.queued() == 0)
            && !self.turning.get()
            && !self.slots.borrow().has_cancels()
    }

    /// Whether a turn that does not sleep would do nothing. A handful of loads: turns come after every few polls
    /// of tasks that never wait for the kernel.
    #[inline]
    fn has_nothing_to_do(&self) -> bool {
        let ring = self.ring.borrow();
        ring.as_ref().is_none_or(Ring::is_quiet)
            && self.actions.borrow().is_empty()
            && !self.turning.get()
            && !self.has_internal()
    }

    /// Whether there may be submissions of the driver's own.
    #[inline]
    fn has_internal(&self) -> bool {
        matches!(self.wake_poll.get(), WakePoll::Disarmed { .. })
            || self.slots.borrow().has_cancels()
            || self.retry.get().is_scheduled()
    }

    #[inline(always)]
    fn sleep(&self, ring: &mut Ring, limit: Option<Duration>) -> io::Result<u32> {
        if !self.unpark.park() {
            return hand_over(ring);
        }
        let result = ring.submit_and_wait(1, limit);
        self.unpark.unparked();
        result
    }

    /// Watches the queue for a while, if waits were short of late, and sleeps only then.
    fn spin_and_sleep(&self, ring: &mut Ring, limit: Option<Duration>) -> io::Result<u32> {
        let mut spin = self.spin.get();
        let (began, budget) = (ring.now(), spin.budget().min(limit.unwrap_or(Duration::MAX)));
        let came = self.spin(ring, began, budget)?;
        let rest = limit.map(|limit| limit.saturating_sub(budget));
        let result = match rest {
            _ if came => hand_over(ring),
            Some(Duration::ZERO) if !budget.is_zero() => Ok(0),
            _ => self.sleep(ring, rest),
        };
        spin.record(ring.now().saturating_duration_since(began));
        self.spin.set(spin);
        result
    }

    /// Submits, and watches for what a sleep would wait for; whether it came. A driver that spins counts as
    /// running, so a thread that wakes it makes no system call.
    fn spin(&self, ring: &mut Ring, began: Instant, budget: Duration) -> io::Result<bool> {
        if budget.is_zero() {
            return Ok(false);
        }
        hand_over(ring)?;
        loop {
            if ring.ready() > 0 || ring.needs_enter() || self.unpark.take_notice() {
                return Ok(true);
            }
            if ring.now().saturating_duration_since(began) >= budget {
                return Ok(false);
            }
            std::hint::spin_loop();
        }
    }

    /// Whether nothing is left that a sleep would delay.
    fn may_sleep(&self, ring: &Ring) -> bool {
        ring.ready() == 0
            && !ring.needs_enter()
            && self.actions.borrow().is_empty()
            && !self.slots.borrow().has_cancels()
            && !matches!(self.wake_poll.get(), WakePoll::Disarmed { .. })
    }

    /// Pushes the submissions of the driver's own: they lend nothing (rule 2).
    pub(super) fn push_internal(&self) {
        if let WakePoll::Disarmed { multi } = self.wake_poll.get() {
            if let Some(eventfd) = self.unpark.eventfd() {
                let target = Target::from(eventfd);
                let events = libc::POLLIN as u32;
                let sqe = if multi {
                    MultiSqe::poll(target, events).into_raw()
                } else {
                    Sqe::poll(target, events).into_raw()
                };
                if self.push(&sqe, WAKE).is_ok() {
                    self.wake_poll.set(WakePoll::Armed { multi });
                }
            }
        }
        self.retry_cancels();
        loop {
            let Some(token) = self.slots.borrow_mut().next_cancel() else { return };
            let sqe = Sqe::cancel(token.user_data()).into_raw();
            if self.push(&sqe, token.cancel_user_data()).is_err() {
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

    /// Takes the completions that are there now; those that come meanwhile keep the next turn from sleeping. Runs no user
    /// code: what they ask for goes to the actions.
    pub(super) fn reap(&self, ring: &mut Ring) {
        let (mut slots, mut actions) = (self.slots.borrow_mut(), self.actions.borrow_mut());
        let mut was_missed = false;
        ring.take_cqes(|cqe| match cqe.user_data() {
            WAKE => self.on_wake(cqe),
            user_data if Token::names_cancel(user_data) => {
                was_missed |= on_cancel(cqe, &mut slots);
            }
            _ => slots.on_cqe(cqe, &mut actions),
        });
        if was_missed {
            let mut retry = self.retry.get();
            retry.schedule(ring.now());
            self.retry.set(retry);
        }
    }

    pub(super) fn on_wake(&self, cqe: Cqe) {
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
    pub(super) fn act(&self) {
        loop {
            let Some(action) = self.actions.borrow_mut().pop() else { return };
            match action {
                Action::Wake(waker) => waker.wake(),
                Action::Settle(token) => self.settle(token),
                Action::Leave(member) => drop(member),
            }
        }
    }
}

/// The kernel has acted on a cancel. An error says that the operation has ended, or that it is running, or that it
/// was on its way: a read forced to a worker was seen to go on to wait for input after its cancel had come back with
/// EALREADY (Linux 6.18). So what is still in flight is to be cancelled again; whether it is.
fn on_cancel(cqe: Cqe, slots: &mut Slots) -> bool {
    cqe.raw_result() < 0 && slots.on_missed_cancel(Token::from_user_data(cqe.user_data()))
}

/// Submits what is queued and fetches what the kernel holds back, if there is either.
fn hand_over(ring: &mut Ring) -> io::Result<u32> {
    if ring.queued() > 0 || ring.needs_enter() { ring.submit_and_wait(0, None) } else { Ok(0) }
}

/// Errors of `enter` that pass when completions are taken, a signal was handled or memory is free again.
pub(super) fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY))
}

/// Ends a turn, also by a panic.
pub(super) struct Turning<'a>(&'a Cell<bool>);

impl Drop for Turning<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Completion, MultiOp};
    use super::*;
    use crate::ring::{Setup, TimeoutFlags, abi::Timespec};
    use crate::sim::Sim;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;

    /// Asks for a turn, and for the end of the driver, wherever it is told of a completion.
    struct Asks {
        driver: Rc<Driver>,
        interval: Timespec,
        refused: Rc<Cell<u32>>,
    }

    impl MultiOp for Asks {
        type Item = ();

        fn prepare(&mut self) -> MultiSqe<'_> {
            MultiSqe::timeout(&self.interval, 0, TimeoutFlags::empty())
        }

        fn shot(&self, _: Completion<Self>) {
            let refuses = |ask: &dyn Fn()| catch_unwind(AssertUnwindSafe(ask)).is_err();
            assert!(refuses(&|| self.driver.turn(Wait::No)));
            assert!(refuses(&|| _ = self.driver.shutdown(Duration::ZERO)));
            self.refused.set(self.refused.get() + 1);
        }
    }

    #[test]
    fn an_operation_that_is_handed_its_last_shots_cannot_make_a_turn_within_the_turn() {
        for seed in 0..if cfg!(miri) { 3 } else { 10 } {
            let ring = Setup::new(8).build_on(Sim::new(seed).kernel()).expect("a ring");
            let driver = Driver::new(ring, Duration::ZERO).expect("a driver");
            let (interval, refused) = (Timespec { sec: 0, nsec: 1000 }, Rc::default());
            let asks = Asks { driver: Rc::clone(&driver), interval, refused: Rc::clone(&refused) };
            let shots = Rc::clone(&driver).submit_multi(asks);
            (0..3).for_each(|_| driver.turn(Wait::Until(None)));
            drop(shots);
            while driver.in_flight() > 0 {
                driver.turn(Wait::Until(None));
            }
            assert!(refused.get() > 0);
            assert_eq!((driver.slots_in_use(), driver.shutdown(Duration::ZERO)), (0, 0));
        }
    }
}

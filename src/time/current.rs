//! The timers of a runtime, and which runtime's are this thread's.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::Waker,
    time::Instant,
};

use super::queue::{Key, Queue};

/// One runtime's deadlines and its clock.
pub(crate) struct Timers {
    clock: Box<dyn Fn() -> Instant>,
    queue: RefCell<Queue>,
    /// What the clock showed when it was last read.
    last: Cell<Option<Instant>>,
}

impl Timers {
    /// Timers that go by `clock`, which never goes backwards.
    pub(crate) fn new(clock: Box<dyn Fn() -> Instant>) -> Rc<Timers> {
        Rc::new(Timers { clock, queue: RefCell::default(), last: Cell::default() })
    }

    /// The present.
    pub(crate) fn now(&self) -> Instant {
        let now = (self.clock)();
        self.last.set(Some(now));
        now
    }

    /// Whether a moment has passed for certain, without a look at the clock.
    pub(super) fn has_passed(&self, moment: Instant) -> bool {
        self.last.get().is_some_and(|last| moment <= last)
    }

    /// How many have neither fired nor been removed.
    pub(crate) fn count(&self) -> usize {
        self.queue.borrow().len()
    }

    /// Until when the loop may sleep, as far as time is concerned.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.queue.borrow().next_deadline()
    }

    /// Wakes whoever sleeps until `now` or less, in the order of their deadlines.
    ///
    /// Timers made meanwhile wait for the next call, so this returns. Each waker is taken from
    /// the queue just before it is called: should one panic, the others are still there.
    pub(crate) fn fire(&self, now: Instant) {
        self.last.set(Some(now));
        let limit = self.queue.borrow().next_serial();
        loop {
            let expired = self.queue.borrow_mut().pop_expired(now, limit);
            match expired {
                Some(waker) => waker.wake(),
                None => break,
            }
        }
    }

    pub(super) fn insert(&self, deadline: Instant, waker: Waker) -> Key {
        self.queue.borrow_mut().insert(deadline, waker)
    }

    /// The waker comes back to be used again, or to be dropped by the caller.
    pub(super) fn remove(&self, key: Key) -> Option<Waker> {
        self.queue.borrow_mut().remove(key)
    }

    /// Has the timer wake `waker` from now on. False if it has fired.
    pub(super) fn renew(&self, key: Key, waker: &Waker) -> bool {
        match self.queue.borrow_mut().waker(key) {
            None => return false,
            Some(known) if known.will_wake(waker) => return true,
            Some(_) => {}
        }
        // Cloning is user code, which may do anything to the queue; so the timer is looked up
        // again, and the replaced waker leaves the borrow before it is dropped.
        let mut waker = waker.clone();
        let renewed = match self.queue.borrow_mut().waker(key) {
            Some(known) => {
                std::mem::swap(known, &mut waker);
                true
            }
            None => false,
        };
        drop(waker);
        renewed
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Timers>>> = const { RefCell::new(None) };
}

/// Makes `timers` the current ones of this thread until the guard is dropped, which restores what
/// was current before. On a thread whose locals are gone already, nothing becomes current.
pub(crate) fn enter(timers: Rc<Timers>) -> Entered {
    Entered { previous: CURRENT.try_with(|current| current.replace(Some(timers))).ok().flatten() }
}

/// The guard of [`enter`]. Guards are to be dropped in the reverse order of their making.
#[must_use = "the timers stop being the current ones when this is dropped"]
pub(crate) struct Entered {
    previous: Option<Rc<Timers>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let previous = self.previous.take();
        // Dropped outside of the borrow: the last reference drops wakers.
        let left = CURRENT.try_with(|current| current.replace(previous));
        drop(left);
    }
}

/// The timers that were entered last on this thread.
pub(super) fn current() -> Option<Rc<Timers>> {
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

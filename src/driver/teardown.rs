//! The end of a driver: everything is cancelled, and what the kernel will not let go is leaked.

use std::any::Any;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::thread;
use std::time::Duration;

use super::{Driver, Wait};
use crate::panics::contain;

impl Driver {
    /// As [`Driver::act`], but goes on after panics; keeps the first one.
    fn act_through(&self, first: &mut Option<Box<dyn Any + Send>>) {
        while let Err(panic) = panic::catch_unwind(AssertUnwindSafe(|| self.act())) {
            match first {
                None => *first = Some(panic),
                // What was thrown may itself panic when dropped; this is no place to let it.
                Some(_) => contain(|| drop(panic)),
            }
        }
    }

    /// Cancels everything, waits until the kernel holds nothing, at most for `limit`, and closes the ring.
    /// What the kernel will not let go is leaked together with the ring (rule 4): closing a ring is no
    /// barrier, the kernel was seen to write afterwards. Returns how many operations were leaked.
    ///
    /// # Panics
    ///
    /// When user code did meanwhile, with the first such panic, and after all is done; and when called from within
    /// a turn.
    pub(crate) fn shutdown(&self, limit: Duration) -> usize {
        if self.ring.borrow().is_none() {
            return self.in_flight();
        }
        // Until the end: what runs meanwhile is somebody's code, as in a turn (rule 6).
        let _turning = self.begin_turn();
        // None where the limit ends later than time does: then there is none.
        let deadline = self.now().checked_add(limit);
        let mut panicked = None;
        while self.in_flight() > 0 && deadline.is_none_or(|deadline| self.now() < deadline) {
            self.act_through(&mut panicked);
            // Again each time: what is abandoned may submit something.
            self.slots.borrow_mut().cancel_all();
            self.push_internal();
            let entered = self.enter(Wait::Until(deadline));
            self.act_through(&mut panicked);
            if entered.is_err() {
                // A ring that cannot go on says nothing of what the kernel still holds: leak it.
                break;
            }
        }
        let leaked = self.in_flight();
        let ring = self.ring.borrow_mut().take();
        if leaked > 0 {
            mem::forget(ring);
        } else {
            drop(ring);
        }
        self.act_through(&mut panicked);
        match panicked {
            // A second panic would abort the process.
            Some(panic) if thread::panicking() => contain(|| drop(panic)),
            Some(panic) => panic::resume_unwind(panic),
            None => {}
        }
        leaked
    }
}

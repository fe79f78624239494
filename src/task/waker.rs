//! Waking across threads.
//!
//! A `Waker` must be `Send + Sync`; a task is neither. A waker on a foreign thread touches none of the task but a
//! flag and a count (see `raw/`): it puts itself into the [`Remote`] queue and unparks the home thread, which
//! looks there for what to poll. The task's future lives and dies at home, whatever becomes of its wakers.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, PoisonError, atomic::Ordering},
};

use super::raw::Called;
use crate::sync::{AtomicBool, Mutex, MutexGuard};

/// Ends the home thread's sleep, or keeps its next sleep from beginning.
///
/// Called from any thread, at any time, also after the runtime is gone.
pub(crate) trait Unpark: Send + Sync {
    /// The next (or present) wait of the home thread returns at once.
    fn unpark(&self);
}

/// The wakes that came from other threads, until the home thread fetches them.
pub(super) struct Remote {
    woken: Mutex<Woken>,
    /// Whether `woken` has anything in it; changed only under its lock, read without it.
    pending: AtomicBool,
    unpark: Arc<dyn Unpark>,
}

struct Woken {
    calls: VecDeque<Called>,
    /// Whether the executor is gone.
    closed: bool,
}

impl Remote {
    pub(super) fn new(unpark: Arc<dyn Unpark>) -> Arc<Remote> {
        Arc::new(Remote {
            woken: Mutex::new(Woken { calls: VecDeque::new(), closed: false }),
            pending: AtomicBool::new(false),
            unpark,
        })
    }

    #[inline]
    pub(super) fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    pub(super) fn unpark(&self) {
        self.unpark.unpark();
    }

    /// The unpark comes last: a home thread that is about to sleep either sees the wake, or is kept from sleeping.
    pub(super) fn push(&self, called: Called) {
        let mut woken = self.lock();
        if woken.closed {
            // This may free the task; nothing is locked over that.
            drop(woken);
            drop(called);
            return;
        }
        woken.calls.push_back(called);
        self.pending.store(true, Ordering::Release);
        drop(woken);
        self.unpark();
    }

    /// Hands the oldest wakes to `fetch`, at most `limit`. The lock is held meanwhile.
    pub(super) fn fetch(&self, limit: usize, fetch: impl FnMut(Called)) {
        if !self.is_pending() {
            return;
        }
        let mut woken = self.lock();
        let count = woken.calls.len().min(limit);
        woken.calls.drain(..count).for_each(fetch);
        self.pending.store(!woken.calls.is_empty(), Ordering::Release);
    }

    /// Drops what is in the queue, and all that comes. Calls keep tasks, and ended tasks may keep the queue: this
    /// breaks the circle.
    pub(super) fn close(&self) {
        let mut woken = self.lock();
        woken.closed = true;
        let calls = mem::take(&mut woken.calls);
        self.pending.store(false, Ordering::Release);
        drop(woken);
        drop(calls);
    }

    fn lock(&self) -> MutexGuard<'_, Woken> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

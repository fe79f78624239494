//! Wakers: names of tasks that any thread may call.
//!
//! A `Waker` must be `Send + Sync`; a task is neither. So a waker holds no task, only its name:
//! an index, and a generation that no other task of the executor ever has. Calling a name that is
//! no longer in use is harmless, which is why a waker may outlive its task and its runtime.
//!
//! Two places take the names that were called. On the home thread it is the executor's ready
//! queue; from elsewhere it is [`Remote`], after which the home thread is unparked.

use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError, atomic::Ordering},
};

use futures::task::ArcWake;

use super::current;
use crate::sync::{AtomicBool, Mutex};

/// Ends the home thread's sleep, or keeps its next sleep from beginning.
///
/// Called from any thread, at any time, also after the runtime is gone.
pub(crate) trait Unpark: Send + Sync {
    /// The next (or present) wait of the home thread returns at once.
    fn unpark(&self);
}

/// A task's name. Generations are never used twice by one executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TaskId {
    pub(super) index: usize,
    pub(super) generation: u64,
}

/// Whom a waker wakes.
enum Target {
    /// The future given to `block_on`, which is no task: its flag is all there is to set.
    Main,
    Task(TaskId),
}

/// What stands behind a `Waker` of this executor.
pub(super) struct TaskWaker {
    target: Target,
    /// Whether the target waits for its next poll already, so that further wakes cost nothing.
    queued: AtomicBool,
    /// Where calls from other threads go. Its address also identifies the executor.
    remote: Arc<Remote>,
}

impl TaskWaker {
    /// A task's waker. It starts out queued: spawning is the first wake.
    pub(super) fn task(id: TaskId, remote: Arc<Remote>) -> Arc<TaskWaker> {
        Arc::new(TaskWaker { target: Target::Task(id), queued: AtomicBool::new(true), remote })
    }

    /// The main future's waker.
    pub(super) fn main(remote: Arc<Remote>) -> Arc<TaskWaker> {
        Arc::new(TaskWaker { target: Target::Main, queued: AtomicBool::new(false), remote })
    }

    /// Takes the wake; to be called before the poll it leads to, so that later wakes count anew.
    ///
    /// A swap and not a store: it has to read what the last waking thread wrote, so that the poll
    /// sees whatever that thread did before it woke, even when its wake found the flag set.
    pub(super) fn take_queued(&self) -> bool {
        self.queued.swap(false, Ordering::AcqRel)
    }

    /// Whether a wake waits to be taken.
    pub(super) fn is_queued(&self) -> bool {
        self.queued.load(Ordering::Acquire)
    }

    /// Makes it the waker of a new task. The exclusive borrow is the proof that no `Waker` of the
    /// old one is left, which would wake a stranger.
    pub(super) fn rename(&mut self, id: TaskId) {
        self.target = Target::Task(id);
        self.queued = AtomicBool::new(true);
    }

    /// Makes all further wakes do nothing, since the task is gone.
    pub(super) fn retire(&self) {
        self.queued.store(true, Ordering::Release);
    }
}

impl ArcWake for TaskWaker {
    fn wake_by_ref(this: &Arc<Self>) {
        if this.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        match this.target {
            Target::Main if current::is_home(&this.remote) => {}
            Target::Main => this.remote.unpark.unpark(),
            Target::Task(id) if current::push_ready(&this.remote, id) => {}
            Target::Task(id) => this.remote.push(id),
        }
    }
}

/// The wakes that came from other threads, until the home thread fetches them.
pub(super) struct Remote {
    woken: Mutex<VecDeque<TaskId>>,
    /// Whether `woken` has anything in it; changed only under its lock, read without it.
    pending: AtomicBool,
    unpark: Arc<dyn Unpark>,
}

impl Remote {
    pub(super) fn new(unpark: Arc<dyn Unpark>) -> Arc<Remote> {
        Arc::new(Remote {
            woken: Mutex::new(VecDeque::new()),
            pending: AtomicBool::new(false),
            unpark,
        })
    }

    pub(super) fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    /// The unpark comes last: a home thread that is about to sleep either sees the wake, or is
    /// kept from sleeping.
    fn push(&self, id: TaskId) {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        woken.push_back(id);
        self.pending.store(true, Ordering::Release);
        drop(woken);
        self.unpark.unpark();
    }

    /// Moves at most `limit` wakes to the back of `ready`, oldest first.
    pub(super) fn drain_into(&self, ready: &mut VecDeque<TaskId>, limit: usize) {
        if !self.is_pending() {
            return;
        }
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = woken.len().min(limit);
        ready.extend(woken.drain(..count));
        self.pending.store(!woken.is_empty(), Ordering::Release);
    }
}

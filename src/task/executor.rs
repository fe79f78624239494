//! The executor: a slab of tasks and a queue of those that are ready.
//!
//! The slab is there for [`shutdown`](Executor::shutdown), which has to find every task; the queue holds
//! references, so that a poll looks nothing up. A task that ends while it is queued stays in the queue and is
//! skipped.
//!
//! Tasks that a turn of the loop woke in the midst of a round are *ahead* of the round's rest: what they wait for
//! completed as it was submitted, a moment ago, so they and their sockets are in the processor's cache. Behind
//! thousands of others they would find it cold.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::Future,
    mem,
    rc::Rc,
    sync::Arc,
    task::Waker,
};

use slab::Slab;

use super::{
    join::JoinHandle,
    raw::{HomeId, TaskRef},
    waker::{Remote, Unpark},
};

/// How many wakes from other threads one run fetches: more would let a busy foreign thread decide
/// how long the queue's lock is held, and no run polls more tasks than this anyway.
const REMOTE_WAKES_PER_RUN: usize = 256;

/// One poll in so many goes to the tasks that were ready before, however many are ahead of them: who is ahead
/// delays them by a bounded factor.
const BEHIND_EVERY: usize = 4;

/// One thread's tasks. Dropping it ends them.
pub(crate) struct Executor {
    pub(super) core: Rc<Core>,
    main: TaskRef,
    running: Cell<bool>,
    /// Polls until all that was ready together had one. Tasks that wake themselves and each other begin no round of
    /// their own before a run ends, so that they cost no turn of the loop for each poll.
    round: Cell<usize>,
}

/// What an executor shares with its tasks, until they end.
pub(super) struct Core {
    id: HomeId,
    tasks: RefCell<Slab<TaskRef>>,
    ready: RefCell<VecDeque<TaskRef>>,
    /// Ready, and to be polled before those.
    ahead: RefCell<VecDeque<TaskRef>>,
    /// Whether who is woken now goes ahead.
    wakes_go_ahead: Cell<bool>,
    remote: Arc<Remote>,
    closed: Cell<bool>,
}

impl Executor {
    /// An executor without tasks; wakes from other threads call `unpark`.
    pub(crate) fn new(unpark: Arc<dyn Unpark>) -> Rc<Executor> {
        let core = Rc::new(Core {
            id: HomeId::new(),
            tasks: RefCell::new(Slab::new()),
            ready: RefCell::new(VecDeque::new()),
            ahead: RefCell::new(VecDeque::new()),
            wakes_go_ahead: Cell::new(false),
            remote: Remote::new(unpark),
            closed: Cell::new(false),
        });
        let main = TaskRef::main(&core);
        Rc::new(Executor { core, main, running: Cell::new(false), round: Cell::new(0) })
    }

    /// Takes a future in as a task and queues its first poll.
    ///
    /// After [`shutdown`](Executor::shutdown) the future is dropped at once and the handle reports
    /// a cancelled task.
    pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let (handle, is_refused) = self.add(future);
        if is_refused {
            handle.abort();
        }
        handle
    }

    /// As [`spawn`](Executor::spawn), but runs no code of the user's: after shutdown it says that the task, which is
    /// nobody's, is to be aborted.
    #[inline]
    pub(super) fn add<F>(&self, future: F) -> (JoinHandle<F::Output>, bool)
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let core = &self.core;
        let (task, join) = TaskRef::new(future, core);
        let handle = JoinHandle::new(join);
        if core.closed.get() {
            return (handle, true);
        }
        let index = core.tasks.borrow_mut().insert(task.clone());
        task.enlist(core, index);
        core.push_ready(task);
        (handle, false)
    }

    /// Fetches wakes from other threads, then polls at most `budget` ready tasks, oldest first among those that are
    /// ahead and among the others.
    ///
    /// Returns what is left of the budget: anything only if no task is in the queues.
    #[inline]
    pub(crate) fn run(&self, budget: usize) -> usize {
        assert!(
            !self.running.replace(true),
            "Executor::run: a task of this executor called it; return to the loop instead"
        );
        self.core.wakes_go_ahead.set(false);
        self.core.fetch_woken();
        let (mut round, mut left) = (self.round.get(), budget);
        if !self.core.ahead.borrow().is_empty() {
            left = self.run_ahead(budget);
        }
        if round == 0 && left > 0 {
            round = self.core.ready.borrow().len();
        }
        self.round.set(round.saturating_sub(left));
        while left > 0 {
            let next = self.core.ready.borrow_mut().pop_front();
            match next {
                Some(task) => task.poll(),
                None => break,
            }
            left -= 1;
        }
        self.running.set(false);
        left
    }

    /// Polls tasks that are ahead, and returns what is left of the budget for the others.
    fn run_ahead(&self, budget: usize) -> usize {
        let behind = self.core.ready.borrow().len().min(budget / BEHIND_EVERY);
        let mut left = budget;
        while left > behind {
            let next = self.core.ahead.borrow_mut().pop_front();
            match next {
                Some(task) => task.poll(),
                None => break,
            }
            left -= 1;
        }
        left
    }

    /// Until the next run, tasks that are woken are polled before those that are ready already.
    pub(crate) fn put_woken_ahead(&self) {
        self.core.wakes_go_ahead.set(true);
    }

    /// Whether tasks are left that were ready when the round began.
    #[inline]
    pub(crate) fn is_in_round(&self) -> bool {
        self.round.get() > 0 && !self.core.ready.borrow().is_empty()
    }

    /// Tasks that have not ended.
    pub(crate) fn tasks(&self) -> usize {
        self.core.tasks.borrow().len()
    }

    /// Whether a task or the main future waits to be polled.
    #[inline]
    pub(crate) fn has_ready(&self) -> bool {
        !self.core.ready.borrow().is_empty()
            || !self.core.ahead.borrow().is_empty()
            || self.is_main_woken()
            || self.core.remote.is_pending()
    }

    /// The waker for the future given to `block_on`. From any thread, it ends the loop's sleep.
    pub(crate) fn main_waker(&self) -> Waker {
        self.main.waker()
    }

    /// Whether the main future waits to be polled.
    #[inline]
    pub(crate) fn is_main_woken(&self) -> bool {
        self.main.is_woken()
    }

    /// Whether the main future was woken since the last call. Its first poll needs no wake.
    #[inline]
    pub(crate) fn take_main_woken(&self) -> bool {
        self.main.take_woken()
    }

    /// Drops all tasks and takes no new ones; their handles report cancelled tasks.
    ///
    /// A task that is being polled is dropped when its poll returns.
    pub(crate) fn shutdown(&self) {
        self.core.closed.set(true);
        let tasks = mem::take(&mut *self.core.tasks.borrow_mut());
        for (_, task) in tasks {
            task.abort();
        }
        self.core.ready.borrow_mut().clear();
        self.core.ahead.borrow_mut().clear();
    }

    pub(super) fn home_id(&self) -> &HomeId {
        &self.core.id
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.shutdown();
        self.main.abort();
        self.core.remote.close();
    }
}

impl Core {
    #[inline]
    pub(super) fn id(&self) -> &HomeId {
        &self.id
    }

    #[inline]
    pub(super) fn remote(&self) -> &Arc<Remote> {
        &self.remote
    }

    /// Queues a task that is new or whose waker was called.
    #[inline]
    pub(super) fn push_ready(&self, task: TaskRef) {
        let queue = if self.wakes_go_ahead.get() { &self.ahead } else { &self.ready };
        queue.borrow_mut().push_back(task);
    }

    /// Forgets a task that ends.
    #[inline]
    pub(super) fn remove(&self, index: usize) {
        let task = self.tasks.borrow_mut().try_remove(index);
        drop(task);
    }

    #[inline]
    fn fetch_woken(&self) {
        if self.remote.is_pending() {
            self.fetch_called();
        }
    }

    #[cold]
    fn fetch_called(&self) {
        let mut ready = self.ready.borrow_mut();
        self.remote.fetch(REMOTE_WAKES_PER_RUN, |called| ready.extend(called.arrive(self)));
    }
}

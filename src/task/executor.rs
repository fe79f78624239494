//! The executor: a slab of tasks and a queue of those that are ready.
//!
//! A task's body (its future and its waker) is *taken out* of the slab while it is polled, and put
//! back if it is still pending and still wanted. Its slot stays behind, empty, as the sign that
//! the task lives. To abort a task is to remove its slot: a body found there is dropped at once; a
//! body that is out finds no slot to go back to, and is dropped then.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::Future,
    mem,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures::task::{waker, waker_ref};
use slab::Slab;

use super::{
    join::{JoinHandle, job},
    waker::{Remote, TaskId, TaskWaker, Unpark},
};

/// How many wakes from other threads one run fetches: more would let a busy foreign thread decide
/// how long the queue's lock is held, and no run polls more tasks than this anyway.
const REMOTE_WAKES_PER_RUN: usize = 256;

/// How many wakers of ended tasks are kept to serve new ones: enough for a burst of short tasks
/// to allocate none, and few kilobytes.
const SPARE_WAKERS: usize = 64;

/// One thread's tasks.
pub(crate) struct Executor {
    tasks: RefCell<Slab<Task>>,
    ready: RefCell<VecDeque<TaskId>>,
    remote: Arc<Remote>,
    main: Arc<TaskWaker>,
    spare_wakers: RefCell<Vec<Arc<TaskWaker>>>,
    next_generation: Cell<u64>,
    running: Cell<bool>,
    closed: Cell<bool>,
}

/// A slot of the slab: the task lives as long as this does.
struct Task {
    generation: u64,
    /// Absent while the task is polled.
    body: Option<Body>,
}

struct Body {
    future: Pin<Box<dyn Future<Output = ()>>>,
    waker: Arc<TaskWaker>,
}

impl Executor {
    /// An executor without tasks; wakes from other threads call `unpark`.
    pub(crate) fn new(unpark: Arc<dyn Unpark>) -> Rc<Executor> {
        let remote = Remote::new(unpark);
        Rc::new(Executor {
            tasks: RefCell::new(Slab::new()),
            ready: RefCell::new(VecDeque::new()),
            main: TaskWaker::main(Arc::clone(&remote)),
            remote,
            spare_wakers: RefCell::default(),
            next_generation: Cell::new(0),
            running: Cell::new(false),
            closed: Cell::new(false),
        })
    }

    /// Takes a future in as a task and queues its first poll.
    ///
    /// After [`shutdown`](Executor::shutdown) the future is dropped at once and the handle reports
    /// a cancelled task.
    pub(crate) fn spawn<F>(self: &Rc<Self>, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let generation = self.next_generation.get();
        self.next_generation.set(generation + 1);
        let (job, join) = job(future);
        if self.closed.get() {
            drop(job);
            let id = TaskId { index: usize::MAX, generation };
            return JoinHandle::new(join, Rc::downgrade(self), id);
        }

        let future: Pin<Box<dyn Future<Output = ()>>> = Box::pin(job);
        let mut tasks = self.tasks.borrow_mut();
        let slot = tasks.vacant_entry();
        let id = TaskId { index: slot.key(), generation };
        let waker = self.waker_for(id);
        slot.insert(Task { generation, body: Some(Body { future, waker }) });
        drop(tasks);
        self.push_ready(id);
        JoinHandle::new(join, Rc::downgrade(self), id)
    }

    /// Fetches wakes from other threads, then polls at most `budget` ready tasks, oldest first.
    ///
    /// True says that something is still ready: the caller should not sleep.
    pub(crate) fn run(&self, budget: usize) -> bool {
        assert!(
            !self.running.replace(true),
            "Executor::run: a task of this executor called it; return to the loop instead"
        );
        self.remote.drain_into(&mut self.ready.borrow_mut(), REMOTE_WAKES_PER_RUN);
        for _ in 0..budget {
            let next = self.ready.borrow_mut().pop_front();
            match next {
                Some(id) => self.poll_task(id),
                None => break,
            }
        }
        self.running.set(false);
        self.has_ready()
    }

    /// Tasks that have not ended.
    pub(crate) fn tasks(&self) -> usize {
        self.tasks.borrow().len()
    }

    /// Whether a task or the main future waits to be polled.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.borrow().is_empty() || self.main.is_queued() || self.remote.is_pending()
    }

    /// The waker for the future given to `block_on`. From any thread, it ends the loop's sleep.
    pub(crate) fn main_waker(&self) -> Waker {
        waker(Arc::clone(&self.main))
    }

    /// Whether the main future was woken since the last call. Its first poll needs no wake.
    pub(crate) fn take_main_woken(&self) -> bool {
        self.main.is_queued() && self.main.take_queued()
    }

    /// Drops all tasks and takes no new ones; their handles report cancelled tasks.
    ///
    /// A task that is being polled is dropped when its poll returns.
    pub(crate) fn shutdown(&self) {
        self.closed.set(true);
        let tasks = mem::take(&mut *self.tasks.borrow_mut());
        for (_, task) in tasks {
            self.bury(task.body);
        }
        self.ready.borrow_mut().clear();
    }

    /// Ends a task: its future is dropped now, or after the poll it is in. Ended tasks are ignored.
    pub(super) fn abort(&self, id: TaskId) {
        self.bury(self.remove(id));
    }

    /// Queues a task whose waker was called, or that is new.
    pub(super) fn push_ready(&self, id: TaskId) {
        self.ready.borrow_mut().push_back(id);
    }

    /// Whether `remote` is this executor's, which tells executors apart.
    pub(super) fn fetches_from(&self, remote: &Arc<Remote>) -> bool {
        Arc::ptr_eq(&self.remote, remote)
    }

    fn poll_task(&self, id: TaskId) {
        let Some(mut body) = self.take_body(id) else { return };
        body.waker.take_queued();
        let polled = {
            let waker = waker_ref(&body.waker);
            body.future.as_mut().poll(&mut Context::from_waker(&waker))
        };
        match polled {
            Poll::Pending => self.bury(self.put_back(id, body)),
            Poll::Ready(()) => {
                self.remove(id);
                self.bury(Some(body));
            }
        }
    }

    fn take_body(&self, id: TaskId) -> Option<Body> {
        let mut tasks = self.tasks.borrow_mut();
        tasks.get_mut(id.index).filter(|task| task.generation == id.generation)?.body.take()
    }

    /// Returns the body of a task that was aborted during its poll, to be buried by the caller.
    fn put_back(&self, id: TaskId, body: Body) -> Option<Body> {
        let mut tasks = self.tasks.borrow_mut();
        match tasks.get_mut(id.index).filter(|task| task.generation == id.generation) {
            Some(task) => {
                task.body = Some(body);
                None
            }
            None => Some(body),
        }
    }

    /// Frees a task's slot. The body that was in it leaves the borrow, to be buried by the caller.
    fn remove(&self, id: TaskId) -> Option<Body> {
        let mut tasks = self.tasks.borrow_mut();
        tasks.get(id.index).filter(|task| task.generation == id.generation)?;
        tasks.try_remove(id.index)?.body
    }

    /// Drops what is left of a task, with nothing borrowed, and keeps its waker for another one.
    ///
    /// Nothing unwinds from here: a job contains the panics of its future's destructor.
    fn bury(&self, body: Option<Body>) {
        let Some(Body { future, waker }) = body else { return };
        waker.retire();
        drop(future);
        let mut spare = self.spare_wakers.borrow_mut();
        if spare.len() < SPARE_WAKERS {
            spare.push(waker);
        }
    }

    /// A waker that names `id`: a spare one if nobody else holds it any more, or a new one.
    fn waker_for(&self, id: TaskId) -> Arc<TaskWaker> {
        let spare = self.spare_wakers.borrow_mut().pop();
        if let Some(mut waker) = spare {
            if let Some(unshared) = Arc::get_mut(&mut waker) {
                unshared.rename(id);
                return waker;
            }
        }
        TaskWaker::task(id, Arc::clone(&self.remote))
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.shutdown();
    }
}

//! The executor of this thread: the one that `spawn` means, and whose tasks wakes find at home.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use super::{
    executor::Executor,
    waker::{Remote, TaskId},
};
use crate::sync::thread_local;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Executor>>> = const { RefCell::new(None) };
}

/// Makes `executor` the current one of this thread until the guard is dropped.
///
/// Entering twice is no error here: the guard restores what was current before it. Whether
/// runtimes may be nested is for the runtime to decide. On a thread whose locals are gone already,
/// nothing becomes current.
pub(crate) fn enter(executor: Rc<Executor>) -> Entered {
    Entered { previous: CURRENT.try_with(|current| current.replace(Some(executor))).ok().flatten() }
}

/// The guard of [`enter`]. Guards are to be dropped in the reverse order of their making.
#[must_use = "the executor stops being the current one when this is dropped"]
pub(crate) struct Entered {
    previous: Option<Rc<Executor>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let previous = self.previous.take();
        // The replaced executor leaves the closure: it may be the last reference, and then its
        // tasks' destructors must not find CURRENT borrowed.
        let left = CURRENT.try_with(|current| current.replace(previous));
        drop(left);
    }
}

/// The executor that was entered last on this thread.
pub(super) fn current() -> Option<Rc<Executor>> {
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// Whether the executor that fetches from `remote` is the current one of this thread.
pub(super) fn is_home(remote: &Arc<Remote>) -> bool {
    at_home(remote, |_| ()).is_some()
}

/// Queues a task of the executor that fetches from `remote`, if that one is current here.
///
/// False says that nothing was done: this is a foreign thread, or the home thread outside of its
/// runtime, and the remote queue is the way.
pub(super) fn push_ready(remote: &Arc<Remote>, id: TaskId) -> bool {
    at_home(remote, |executor| executor.push_ready(id)).is_some()
}

/// Runs `visit`, which must be no user code, if the executor of `remote` is current.
///
/// A thread whose locals are gone already is at home nowhere.
fn at_home<R>(remote: &Arc<Remote>, visit: impl FnOnce(&Executor) -> R) -> Option<R> {
    CURRENT
        .try_with(|current| match &*current.borrow() {
            Some(executor) if executor.fetches_from(remote) => Some(visit(executor)),
            _ => None,
        })
        .ok()
        .flatten()
}

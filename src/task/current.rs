//! The executor of this thread: the one that `spawn` means, and whose tasks wakes find at home.

use std::{cell::RefCell, rc::Rc};

use super::{executor::Executor, raw::AtHome};
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
    let home = AtHome::enter(executor.home_id());
    let previous = CURRENT.try_with(|current| current.replace(Some(executor))).ok().flatten();
    Entered { previous, _home: home }
}

/// The guard of [`enter`]. Guards are to be dropped in the reverse order of their making.
#[must_use = "the executor stops being the current one when this is dropped"]
pub(crate) struct Entered {
    previous: Option<Rc<Executor>>,
    _home: AtHome,
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

/// Looks at the executor that was entered last on this thread; `None` if there is none. `look` runs no code of the
/// user's, which might enter another.
#[inline]
pub(super) fn with_current<R>(look: impl FnOnce(&Executor) -> R) -> Option<R> {
    let looked = CURRENT.try_with(|current| {
        let current = current.borrow();
        if let Some(executor) = current.as_deref() {
            return Some(look(executor));
        }
        // Before `look`, which may own what is the user's.
        drop(current);
        None
    });
    looked.ok().flatten()
}

//! The pool of this thread's runtime.

use std::cell::RefCell;
use std::rc::Rc;

use super::Pool;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Pool>>> = const { RefCell::new(None) };
}

/// Makes `pool` the current one of this thread until the guard is dropped, which restores what was current
/// before. On a thread whose locals are gone already, nothing becomes current.
pub(crate) fn enter(pool: Rc<Pool>) -> Entered {
    Entered { before: CURRENT.try_with(|current| current.replace(Some(pool))).ok().flatten() }
}

/// The guard of [`enter`]. Guards are to be dropped in the reverse order of their making.
#[must_use = "the pool stops being the current one when this is dropped"]
pub(crate) struct Entered {
    before: Option<Rc<Pool>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.before.take();
        let left = CURRENT.try_with(|current| current.replace(before));
        drop(left);
    }
}

/// The pool that was entered last on this thread.
///
/// # Panics
///
/// Outside a runtime.
#[track_caller]
pub(super) fn current() -> Rc<Pool> {
    let current = CURRENT.try_with(|current| current.borrow().clone()).ok().flatten();
    current.expect(
        "no uring runtime is running on this thread: call this inside Runtime::block_on or #[uring::main]",
    )
}

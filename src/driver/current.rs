//! The driver of this thread.

use std::cell::RefCell;
use std::rc::Rc;

use super::Driver;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Driver>>> = const { RefCell::new(None) };
}

/// The driver of the runtime that runs on this thread.
#[inline]
pub(crate) fn try_current() -> Option<Rc<Driver>> {
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// The driver of the runtime that runs on this thread.
///
/// # Panics
///
/// Outside a runtime.
#[inline]
pub(crate) fn current() -> Rc<Driver> {
    try_current().expect(
        "no uring runtime is running on this thread: call this inside Runtime::block_on or #[uring::main]",
    )
}

/// Makes `driver` this thread's until the guard is dropped.
///
/// A thread that is ending may have lost its locals already: a runtime that is itself a thread-local is dropped
/// then, and must not panic, which would abort the process.
#[must_use]
pub(crate) fn enter(driver: Rc<Driver>) -> Entered {
    Entered { before: CURRENT.try_with(|current| current.replace(Some(driver))).ok().flatten() }
}

/// Restores what was there before.
pub(crate) struct Entered {
    before: Option<Rc<Driver>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.before.take();
        let leaving = CURRENT.try_with(|current| current.replace(before));
        drop(leaving);
    }
}

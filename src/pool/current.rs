//! The pool that a runtime has by itself, and which runtime's is this thread's.

use std::cell::{OnceCell, RefCell};
use std::io;
use std::rc::Rc;

use super::{BufPool, PoolSetup};

/// A runtime's own pool, made when it is first used.
#[derive(Debug)]
pub(crate) struct DefaultPool {
    setup: PoolSetup,
    pool: OnceCell<BufPool>,
}

impl DefaultPool {
    pub(crate) fn new(setup: PoolSetup) -> Rc<DefaultPool> {
        Rc::new(DefaultPool { setup, pool: OnceCell::new() })
    }

    fn get(&self) -> io::Result<BufPool> {
        if let Some(pool) = self.pool.get() {
            return Ok(pool.clone());
        }
        let pool = self.setup.build()?;
        Ok(self.pool.get_or_init(|| pool).clone())
    }

    /// The pool, if it was ever used.
    pub(crate) fn made(&self) -> Option<&BufPool> {
        self.pool.get()
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<DefaultPool>>> = const { RefCell::new(None) };
}

/// Makes a pool this thread's own until the guard is dropped, which restores what was there before.
pub(crate) fn enter(pool: Rc<DefaultPool>) -> Entered {
    Entered { before: CURRENT.try_with(|current| current.replace(Some(pool))).ok().flatten() }
}

/// The guard of [`enter`].
#[must_use = "the pool stops being the current one when this is dropped"]
pub(crate) struct Entered {
    before: Option<Rc<DefaultPool>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.before.take();
        // Dropped outside of the borrow, as it may be the last reference.
        let left = CURRENT.try_with(|current| current.replace(before));
        drop(left);
    }
}

/// The pool of the runtime that runs on this thread.
///
/// # Panics
///
/// Outside a runtime.
pub(crate) fn current() -> io::Result<BufPool> {
    let current = CURRENT.try_with(|current| current.borrow().clone()).ok().flatten();
    let current = current.expect(
        "no uring runtime is running on this thread: call this inside Runtime::block_on or #[uring::main]",
    );
    current.get()
}

//! Entering a runtime: its driver, executor, timers, blocking threads and buffers become those of this thread.

use std::rc::Rc;

use crate::blocking::{self, Pool};
use crate::driver::{self, Driver};
use crate::pool::{self, DefaultPool};
use crate::task::{self, Executor};
use crate::time::{self, Timers};

/// Restores what this thread had before, also when a panic passes.
///
/// Five thread-locals and not one: a single context type would name every layer, and every layer would name
/// it.
pub(super) struct Entered {
    _buf_pool: pool::Entered,
    _blocking: blocking::Entered,
    _timers: time::Entered,
    _executor: task::Entered,
    _driver: driver::current::Entered,
}

/// Makes a runtime this thread's.
pub(super) fn enter(
    driver: &Rc<Driver>,
    executor: &Rc<Executor>,
    timers: &Rc<Timers>,
    blocking: &Rc<Pool>,
    buf_pool: &Rc<DefaultPool>,
) -> Entered {
    Entered {
        _buf_pool: pool::enter(Rc::clone(buf_pool)),
        _blocking: blocking::enter(Rc::clone(blocking)),
        _timers: time::enter(Rc::clone(timers)),
        _executor: task::enter(Rc::clone(executor)),
        _driver: driver::current::enter(Rc::clone(driver)),
    }
}

/// Whether a runtime is running on this thread.
pub(super) fn is_entered() -> bool {
    driver::current::try_current().is_some()
}

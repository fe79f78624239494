//! The loop: tasks run until none is ready, then one turn of the driver submits what they queued, sleeps if
//! nothing is left to do, and hands out what completed.
//!
//! A runtime lives on one thread. Several cores are used by several threads with a runtime each.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::blocking::Pool;
use crate::driver::{Driver, Unpark, Wait};
use crate::pool::{BufPool, DefaultPool, PoolSetup, PoolStats};
use crate::ring::{SetupError, SetupReport, WorkerAffinity};
use crate::task::{self, Executor, JoinHandle};
use crate::time::Timers;

mod builder;
mod cancellable;
mod context;
mod scope;
#[cfg(test)]
mod tests;
mod within;

pub use builder::Builder;
pub use cancellable::{Cancellable, Canceller, cancellable};
pub use scope::{Scope, scope};

/// Polls, of tasks and of the main future, between two turns of the driver, each of which submits what they queued.
/// Completions are fetched when all tasks have been polled that were ready before. Twice as many at most if the main
/// future wakes itself: all of them may be polled before it again.
const POLLS_PER_TURN: usize = 64;

/// An async runtime on one io_uring, for the thread that made it.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = uring::Runtime::new()?;
/// let sum = runtime.block_on(async {
///     let task = uring::spawn(async { 20 });
///     task.await.map(|n| n + 22)
/// })?;
/// assert_eq!(sum, 42);
/// # Ok(())
/// # }
/// ```
///
/// Dropping a runtime drops its tasks, cancels what is in flight and waits until the kernel holds nothing of
/// theirs; see [`Runtime::shutdown`].
pub struct Runtime {
    driver: Rc<Driver>,
    executor: Rc<Executor>,
    timers: Rc<Timers>,
    blocking: Rc<Pool>,
    buf_pool: Rc<DefaultPool>,
    shutdown_limit: Duration,
    /// Keeps the kernel's workers where the builder has bound them, for as long as the runtime lives.
    bound_workers: Option<WorkerAffinity>,
}

impl task::Unpark for Unpark {
    fn unpark(&self) {
        Unpark::unpark(self);
    }
}

impl Runtime {
    /// A runtime with default settings.
    ///
    /// # Errors
    ///
    /// When this process gets no io_uring; the error says why that is likely so and what to do.
    pub fn new() -> Result<Runtime, SetupError> {
        Runtime::builder().build()
    }

    /// A runtime with settings of your own.
    pub fn builder() -> Builder {
        Builder::new()
    }

    fn on(
        driver: Rc<Driver>,
        blocking: Pool,
        buf_pool: PoolSetup,
        shutdown_limit: Duration,
    ) -> Runtime {
        let unpark: Arc<dyn task::Unpark> = driver.unpark();
        let executor = Executor::new(unpark);
        let clock = Rc::clone(&driver);
        let timers = Timers::new(Box::new(move || clock.now()));
        let (blocking, buf_pool) = (Rc::new(blocking), DefaultPool::new(buf_pool));
        let bound_workers = None;
        Runtime { driver, executor, timers, blocking, buf_pool, shutdown_limit, bound_workers }
    }

    /// Runs `main` to its end, and meanwhile every task that was spawned.
    ///
    /// Tasks that are left when it returns stay where they are: a later `block_on` goes on with them. So does what was
    /// submitted last: it may not have reached the kernel yet.
    ///
    /// # Panics
    ///
    /// When a runtime is running on this thread already, in a process that was forked from the one that made
    /// the runtime (so call `daemon(3)` first), when `main` panics, and when the kernel refuses the ring for
    /// good.
    pub fn block_on<F: Future>(&self, main: F) -> F::Output {
        assert!(
            !context::is_entered(),
            "Runtime::block_on was called inside a runtime: use `.await` or uring::spawn there"
        );
        assert!(
            self.driver.is_in_its_process(),
            "Runtime::block_on was called in a process forked from the one that made the runtime, \
             which the kernel would take for that one: make a runtime after the fork"
        );
        let _entered = self.enter();
        let mut main = pin!(main);
        let waker = self.executor.main_waker();
        let mut context = Context::from_waker(&waker);
        let (mut woken, mut left) = (true, POLLS_PER_TURN);
        // Whether a round has ended since the last turn, which then fetches, though another round may have begun.
        let mut fetches = false;
        loop {
            let mut yields = false;
            if woken {
                if let Poll::Ready(output) = main.as_mut().poll(&mut context) {
                    return output;
                }
                left -= 1;
                yields = self.executor.is_main_woken();
            }
            left = self.executor.run(if yields { POLLS_PER_TURN } else { left });
            fetches |= left > 0;
            // If a task has woken it, the main future waits for no turn, as a task would not. If it woke itself, a turn is
            // what it wants, behind the tasks that are ready.
            if left == 0 || yields || !self.executor.is_main_woken() {
                self.turn(fetches);
                (left, fetches) = (POLLS_PER_TURN, false);
            }
            woken = self.executor.take_main_woken();
        }
    }

    /// One turn of the driver, which sleeps only if nothing is ready, and the alarms that are due then. In the midst of a
    /// round it submits, and does no more unless it `fetches`.
    #[inline]
    fn turn(&self, fetches: bool) {
        let deadline = self.timers.next_deadline();
        let wait = match self.executor.has_ready() {
            true if self.executor.is_in_round() && !fetches => Wait::Submit,
            true => Wait::No,
            false => Wait::Until(deadline),
        };
        if wait == Wait::Submit {
            self.executor.put_woken_ahead();
        }
        self.driver.turn(wait);
        if deadline.is_some() {
            self.timers.fire(self.driver.now());
        }
    }

    fn enter(&self) -> context::Entered {
        context::enter(&self.driver, &self.executor, &self.timers, &self.blocking, &self.buf_pool)
    }

    /// Adds a task, to be run by the next [`block_on`](Runtime::block_on).
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.executor.spawn(future)
    }

    /// Figures of the loop and the ring.
    pub fn metrics(&self) -> Metrics {
        let (enters, lost) =
            self.driver.with_ring(|ring| (ring.enters(), ring.lost())).unwrap_or_default();
        Metrics {
            enters,
            lost_completions: lost,
            in_flight: self.driver.in_flight(),
            slots_in_use: self.driver.slots_in_use(),
            blocks_in_use: self.driver.blocks_in_use(),
            timers: self.timers.count(),
            tasks: self.executor.tasks(),
            strange_completions: self.driver.strangers(),
            blocking_threads: self.blocking.threads(),
            zero_copy_copied: self.driver.copied(),
            buf_pool: self.buf_pool.made().map(BufPool::stats),
        }
    }

    /// Which set-up flags the ring got, and which ones this kernel refused.
    pub fn setup_report(&self) -> Option<SetupReport> {
        self.driver.with_ring(|ring| ring.report().clone())
    }

    /// Ends the runtime: drops all tasks, waits for calls that [block](crate::spawn_blocking), cancels what is
    /// in flight and waits until the kernel holds nothing, each at most for the
    /// [limit](Builder::shutdown_limit). Operations that must happen ([`Op::CANCEL_ON_DROP`](crate::op::Op::CANCEL_ON_DROP)
    /// is false), such as closes, are waited for without being cancelled.
    ///
    /// Dropping the runtime does the same, and forgets the report.
    pub fn shutdown(self) -> ShutdownReport {
        self.tear_down()
    }

    fn tear_down(&self) -> ShutdownReport {
        let _entered = self.enter();
        self.executor.shutdown();
        // Before the driver, whose end may pass on a panic.
        let still_blocking = self.blocking.close(self.shutdown_limit);
        let leaked = self.driver.shutdown(self.shutdown_limit);
        ShutdownReport { leaked, still_blocking }
    }
}

/// What the end of a runtime came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Operations the kernel did not finish in time, whose memory was leaked.
    pub leaked: usize,
    /// Calls that block and did not end in time; they go on, on threads of nobody's.
    pub still_blocking: usize,
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.tear_down();
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("driver", &self.driver).finish_non_exhaustive()
    }
}

/// Figures of a runtime, for tests and for watching it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// System calls that entered the ring.
    pub enters: u64,
    /// Completions the kernel lost for want of memory.
    pub lost_completions: u32,
    /// Operations whose final completion is still to come.
    pub in_flight: usize,
    /// Operations in flight, and finished ones whose result nobody has taken.
    pub slots_in_use: usize,
    /// Memory of operations that is not free for others: one block for each slot in use.
    pub blocks_in_use: usize,
    /// Alarms that are set.
    pub timers: usize,
    /// Tasks that have not ended.
    pub tasks: usize,
    /// Completions that named no live operation: a bug of the kernel or of this crate.
    pub strange_completions: u64,
    /// Threads for calls that block, idle ones included; see [`spawn_blocking`](crate::spawn_blocking).
    pub blocking_threads: usize,
    /// Zero-copy sends that were copied after all, as over the loopback interface; known since Linux 6.2.
    pub zero_copy_copied: u64,
    /// The runtime's own [pool](crate::pool) of buffers; none before it was first used.
    pub buf_pool: Option<PoolStats>,
}

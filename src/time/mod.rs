//! Time: sleeping, deadlines, ticking.
//!
//! [`sleep`] and [`sleep_until`] are the alarm, [`timeout`] and [`timeout_at`] set one beside a
//! future, [`interval`] and [`interval_at`] ring again and again. `Instant` and `Duration` are
//! std's.
//!
//! A sleep is no operation of the ring: the earliest deadline is an argument of the one system
//! call the loop waits in, so a sleep that is made and dropped costs no completion. Deadlines are
//! kept exactly, not rounded to ticks; how late they fire is the loop's matter alone.
//!
//! The clock belongs to the runtime. Under a simulated kernel it is virtual: it stands still
//! while tasks run and jumps to the next deadline when nothing else can happen. [`now`] reads it,
//! and programs that are to be simulated read no other.
//!
//! This layer knows no ring and no task. Its rule is theirs: wakers are cloned, woken and dropped
//! only while no `RefCell` of it is borrowed.

#![forbid(unsafe_code)]

mod current;
mod interval;
mod queue;
mod sleep;
#[cfg(test)]
mod tests;
mod timeout;

use std::time::{Duration, Instant};

pub(crate) use current::{Entered, Timers, enter};
pub use interval::{Interval, MissedTick, interval, interval_at};
pub use sleep::{Sleep, sleep, sleep_until};
pub use timeout::{Elapsed, Timeout, timeout, timeout_at};

/// The longest wait that is kept to the letter. Longer ones end about thirty years from now, as
/// an `Instant` has an end too and nobody should have to think of it.
const LONGEST: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The present by the clock of this thread's runtime; by std's clock where no runtime is running.
///
/// # Examples
///
/// ```
/// let start = uring::time::now();
/// assert!(uring::time::now() >= start);
/// ```
pub fn now() -> Instant {
    current::current().map_or_else(Instant::now, |timers| timers.now())
}

/// `start` plus `duration`, or about thirty years after `start` if that is sooner.
fn after(start: Instant, duration: Duration) -> Instant {
    start.checked_add(duration.min(LONGEST)).unwrap_or(start)
}

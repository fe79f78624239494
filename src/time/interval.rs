//! An alarm that rings again and again.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use super::{Sleep, after, now, sleep, sleep_until};

/// Ticks every `period`, for the first time at once.
///
/// # Panics
///
/// When `period` is zero.
///
/// # Examples
///
/// ```no_run
/// # async fn example() {
/// let mut seconds = uring::time::interval(std::time::Duration::from_secs(1));
/// for _ in 0..3 {
///     seconds.tick().await;
/// }
/// # }
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    Interval::new(sleep(Duration::ZERO), period)
}

/// Ticks every `period`, for the first time at `start`.
///
/// # Panics
///
/// When `period` is zero.
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    Interval::new(sleep_until(start), period)
}

/// What an [`Interval`] does about ticks that were due before it was asked for them.
///
/// A tick is missed when the one after it is due as well. A tick that is merely late changes
/// nothing with any of these: the next one comes when it would have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTick {
    /// Delivers the missed ticks one after another, without a wait, until it has caught up. The
    /// number of ticks stays right.
    #[default]
    Burst,
    /// Starts anew: the next tick comes a full period after the late one was taken.
    Delay,
    /// Leaves the missed ticks out: the next one is the first of the schedule that lies ahead.
    Skip,
}

/// A schedule of ticks. Made by [`interval`] and [`interval_at`].
#[derive(Debug)]
pub struct Interval {
    sleep: Sleep,
    period: Duration,
    missed_tick: MissedTick,
}

impl Interval {
    #[track_caller]
    fn new(sleep: Sleep, period: Duration) -> Interval {
        assert!(
            !period.is_zero(),
            "uring::time::interval: the period is zero; give the time between two ticks"
        );
        Interval { sleep, period, missed_tick: MissedTick::default() }
    }

    /// Waits for the next tick and returns when it was due.
    ///
    /// Dropping the future loses no tick: the next call waits for the same one.
    ///
    /// # Panics
    ///
    /// When polled while no runtime is running on this thread.
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// The time between two ticks.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// What happens about missed ticks; [`MissedTick::Burst`] unless it was set.
    pub fn missed_tick(&self) -> MissedTick {
        self.missed_tick
    }

    /// Sets what happens about missed ticks.
    pub fn set_missed_tick(&mut self, missed_tick: MissedTick) {
        self.missed_tick = missed_tick;
    }

    /// Starts the schedule anew: the next tick comes a period from now.
    pub fn reset(&mut self) {
        self.sleep.reset(after(now(), self.period));
    }

    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(Pin::new(&mut self.sleep).poll(cx));
        let due = self.sleep.deadline();
        self.sleep.reset(self.next_after(due, now()));
        Poll::Ready(due)
    }

    /// When the tick after the one that was due at `due` and is taken at `present` is due.
    fn next_after(&self, due: Instant, present: Instant) -> Instant {
        let next = after(due, self.period);
        if present < next {
            return next;
        }
        match self.missed_tick {
            MissedTick::Burst => next,
            MissedTick::Delay => after(present, self.period),
            MissedTick::Skip => {
                let late = present.saturating_duration_since(due);
                after(present, self.period - remainder(late, self.period))
            }
        }
    }
}

/// `duration` modulo `period`.
fn remainder(duration: Duration, period: Duration) -> Duration {
    const NANOS: u128 = 1_000_000_000;
    let rest = duration.as_nanos() % period.as_nanos();
    // Both fit: the rest is not greater than a Duration's nanoseconds.
    Duration::new((rest / NANOS) as u64, (rest % NANOS) as u32)
}

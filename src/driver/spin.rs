//! Whether to watch the queue for a while before sleeping.
//!
//! To be woken costs more than a short wait: the one who wakes pays for the interrupt, the sleeper for the way
//! back. So a driver that may spin does, as long as its recent waits were short; when they get long it sleeps
//! at once, having lost no more than a few budgets.

use std::time::Duration;

/// The weight of a wait in the average of the recent ones is one eighth.
const WEIGHT: u32 = 8;

/// How long to spin at most, and what the recent waits were like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spin {
    limit: Duration,
    average: Duration,
}

impl Spin {
    /// Spins for `limit` at most; not at all if that is zero.
    pub(super) fn new(limit: Duration) -> Spin {
        Spin { limit, average: Duration::ZERO }
    }

    /// Whether it is ever worth looking at the clock for.
    pub(super) fn is_on(&self) -> bool {
        !self.limit.is_zero()
    }

    /// How long to spin before the next sleep. A wait of twice the limit is a reason to go on: the next one
    /// may well be shorter, and the sleep it saves costs about as much.
    pub(super) fn budget(&self) -> Duration {
        if self.average < self.limit.saturating_mul(2) { self.limit } else { Duration::ZERO }
    }

    /// A wait has ended, by whatever means.
    pub(super) fn record(&mut self, wait: Duration) {
        // One wait of an hour must not outweigh thousands of short ones that follow.
        let wait = wait.min(self.limit.saturating_mul(8));
        self.average = self.average - self.average / WEIGHT + wait / WEIGHT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_micros(50);

    #[test]
    fn without_a_limit_it_never_spins() {
        let mut spin = Spin::new(Duration::ZERO);
        assert!(!spin.is_on());
        spin.record(Duration::ZERO);
        assert_eq!(spin.budget(), Duration::ZERO);
    }

    #[test]
    fn it_spins_while_waits_are_short_and_stops_after_some_long_ones() {
        let mut spin = Spin::new(LIMIT);
        for _ in 0..100 {
            spin.record(LIMIT / 2);
            assert_eq!(spin.budget(), LIMIT);
        }
        let long = (1..).find(|_| {
            spin.record(LIMIT * 4);
            spin.budget().is_zero()
        });
        assert!(long.is_some_and(|long| (2..20).contains(&long)), "{long:?} long waits");
    }

    #[test]
    fn an_hour_of_rest_is_made_up_for_by_a_few_short_waits() {
        let mut spin = Spin::new(LIMIT);
        spin.record(Duration::from_secs(3600));
        assert_eq!(spin.budget(), LIMIT, "one long wait is no habit");
        for _ in 0..50 {
            spin.record(Duration::from_secs(3600));
        }
        assert_eq!(spin.budget(), Duration::ZERO);
        let short = (1..).find(|_| {
            spin.record(LIMIT / 2);
            !spin.budget().is_zero()
        });
        assert!(short.is_some_and(|short| short < 30), "{short:?} short waits");
    }
}

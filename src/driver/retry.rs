//! When to try cancels again that missed their operation.

use std::time::{Duration, Instant};

/// The first pause. An operation that was on its way has arrived by then.
const SHORTEST: Duration = Duration::from_millis(1);
/// The longest one. What takes so long cannot be cancelled, such as a read that a disk has begun.
const LONGEST: Duration = Duration::from_millis(128);

/// A moment, and a pause that doubles while trying brings nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    at: Option<Instant>,
    pause: Duration,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry { at: None, pause: SHORTEST }
    }
}

impl Retry {
    /// There is something to try again.
    pub(super) fn schedule(&mut self, now: Instant) {
        self.at = self.at.or(Some(now + self.pause));
    }

    /// Whether there is something to try again, some time.
    pub(super) fn is_scheduled(&self) -> bool {
        self.at.is_some()
    }

    /// Whether it is time to. Asks for the time only if there is something to try.
    pub(super) fn is_due(&self, now: impl FnOnce() -> Instant) -> bool {
        self.at.is_some_and(|at| at <= now())
    }

    /// All was tried again, or there was nothing left to try.
    pub(super) fn done(&mut self, tried: bool) {
        self.at = None;
        self.pause = if tried { (self.pause * 2).min(LONGEST) } else { SHORTEST };
    }

    /// Until when a sleep may last that would last until `deadline`.
    pub(super) fn earlier_of(&self, deadline: Option<Instant>) -> Option<Instant> {
        match (self.at, deadline) {
            (Some(at), Some(deadline)) => Some(at.min(deadline)),
            (at, deadline) => at.or(deadline),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_while_trying_brings_nothing_and_is_short_again_afterwards() {
        let (start, mut retry) = (Instant::now(), Retry::default());
        assert!(!retry.is_due(|| unreachable!("nobody needs the time")));
        for pause in [1, 2, 4, 8, 16, 32, 64, 128, 128] {
            retry.schedule(start);
            let at = start + Duration::from_millis(pause);
            assert_eq!(retry.earlier_of(None), Some(at));
            assert!(retry.is_due(|| at) && !retry.is_due(|| start));
            retry.done(true);
        }
        retry.done(false);
        retry.schedule(start);
        assert_eq!(retry.earlier_of(None), Some(start + SHORTEST));
    }

    #[test]
    fn a_sleep_ends_at_the_earlier_of_the_two() {
        let (start, mut retry) = (Instant::now(), Retry::default());
        assert_eq!(retry.earlier_of(Some(start)), Some(start));
        retry.schedule(start);
        assert_eq!(retry.earlier_of(Some(start)), Some(start));
        let later = start + Duration::from_secs(1);
        assert_eq!(retry.earlier_of(Some(later)), Some(start + SHORTEST));
    }
}

//! One alarm.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::{
    after,
    current::{Timers, current},
    now,
    queue::Key,
};
use crate::panics::in_drop;

/// Waits for `duration`.
///
/// The time counts from this call, or from the first poll if no runtime is running on this thread
/// yet. Nothing is registered before the first poll; dropping the future removes the alarm.
/// A duration too long to be added to the present ends about thirty years from now.
///
/// # Examples
///
/// ```no_run
/// # async fn example() {
/// uring::time::sleep(std::time::Duration::from_millis(50)).await;
/// # }
/// ```
pub fn sleep(duration: Duration) -> Sleep {
    match current() {
        Some(timers) => {
            let deadline = after(timers.now(), duration);
            Sleep::new(if duration.is_zero() { When::At(deadline) } else { When::Ahead(deadline) })
        }
        None => Sleep::new(When::After(duration)),
    }
}

/// Waits until `deadline`, which may have passed already.
///
/// Nothing is registered before the first poll; dropping the future removes the alarm.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep::new(When::At(deadline))
}

/// A future that completes at its deadline. Made by [`sleep`] and [`sleep_until`].
///
/// It may be moved between polls, and be set anew with [`reset`](Sleep::reset).
///
/// # Panics
///
/// When polled while no runtime is running on this thread.
#[must_use = "futures do nothing unless polled"]
pub struct Sleep {
    when: When,
    alarm: Alarm,
}

#[derive(Clone, Copy)]
enum When {
    At(Instant),
    /// As `At`, and it was to come by a clock that was just read: reading it again costs as much as the rest of
    /// setting an alarm. Should it have passed all the same, the loop's next turn rings.
    Ahead(Instant),
    /// Made where there was no clock; counts from the first poll.
    After(Duration),
}

enum Alarm {
    Unset,
    Set(Rc<Timers>, Key),
    Rung,
}

impl Sleep {
    fn new(when: When) -> Sleep {
        Sleep { when, alarm: Alarm::Unset }
    }

    /// When this completes.
    ///
    /// For a sleep that was made outside of a runtime and never polled, this is what the deadline
    /// would be if it were polled now.
    pub fn deadline(&self) -> Instant {
        match self.when {
            When::At(deadline) | When::Ahead(deadline) => deadline,
            When::After(duration) => after(now(), duration),
        }
    }

    /// Whether the deadline has passed, polled or not.
    pub fn is_elapsed(&self) -> bool {
        matches!(self.alarm, Alarm::Rung) || self.deadline() <= now()
    }

    /// Sets another deadline, whether or not this has completed.
    ///
    /// A task that waits for this future need not poll it again: it is woken at the new deadline.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example() {
    /// use std::time::Duration;
    /// use uring::time::{now, sleep};
    ///
    /// let mut idle = sleep(Duration::from_secs(30));
    /// // A sign of life: thirty seconds more.
    /// idle.reset(now() + Duration::from_secs(30));
    /// idle.await;
    /// # }
    /// ```
    pub fn reset(&mut self, deadline: Instant) {
        self.when = When::At(deadline);
        if let Alarm::Set(timers, key) = std::mem::replace(&mut self.alarm, Alarm::Unset) {
            if let Some(waker) = timers.remove(key) {
                let key = timers.insert(deadline, waker);
                self.alarm = Alarm::Set(timers, key);
            }
        }
    }

    /// The part of a poll that finds no alarm set here.
    fn set_alarm(&mut self, timers: Rc<Timers>, cx: &mut Context<'_>) -> Poll<()> {
        let (deadline, has_come) = match self.when {
            When::Ahead(deadline) => (deadline, timers.has_passed(deadline)),
            When::At(deadline) => (deadline, deadline <= timers.now()),
            When::After(duration) => {
                let present = timers.now();
                let deadline = after(present, duration);
                (deadline, deadline <= present)
            }
        };
        self.when = When::At(deadline);
        if has_come {
            self.alarm = Alarm::Rung;
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        let key = timers.insert(deadline, waker);
        self.alarm = Alarm::Set(timers, key);
        Poll::Pending
    }

    fn unset_alarm(&mut self) {
        if let Alarm::Set(timers, key) = std::mem::replace(&mut self.alarm, Alarm::Unset) {
            in_drop(|| drop(timers.remove(key)));
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Alarm::Rung = self.alarm {
            return Poll::Ready(());
        }
        let Some(here) = current() else {
            panic!(
                "uring::time: no runtime is running on this thread; \
                 await it inside Runtime::block_on or #[uring::main]"
            );
        };
        match &self.alarm {
            Alarm::Set(timers, key) if Rc::ptr_eq(timers, &here) => {
                if timers.renew(*key, cx.waker()) {
                    return Poll::Pending;
                }
                self.alarm = Alarm::Rung;
                Poll::Ready(())
            }
            // Unset, or set in a runtime that is not the one that polls: only this one's loop is
            // sure to ring.
            _ => {
                self.unset_alarm();
                self.set_alarm(here, cx)
            }
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.unset_alarm();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline()).finish_non_exhaustive()
    }
}

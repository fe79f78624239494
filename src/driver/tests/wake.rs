//! The wake-up poll where it is no multishot poll, or ends: on Linux, as this is about its eventfd.

use std::time::Duration;

use super::super::turn::{WAKE, Wait, WakePoll};
use super::super::{Driver, Unpark};
use crate::ring::{Cqe, Setup};

/// A driver on Linux that was woken while it slept, as far as the thread that wakes it can see.
fn woken(poll: WakePoll) -> std::rc::Rc<Driver> {
    let ring = Setup::new(8).build().expect("a ring");
    let driver = Driver::new(ring, Duration::ZERO).expect("a driver");
    driver.wake_poll.set(poll);
    driver.turn(Wait::No);
    wake(&driver.unpark());
    driver
}

fn wake(unpark: &Unpark) {
    assert!(unpark.park());
    unpark.unpark();
    unpark.unparked();
}

#[test]
fn a_poll_that_completes_once_is_armed_anew_for_the_next_wake() {
    let driver = woken(WakePoll::Disarmed { multi: false });
    for _ in 0..3 {
        // Nothing else ends this sleep.
        driver.turn(Wait::Until(None));
        assert_eq!(driver.wake_poll.get(), WakePoll::Disarmed { multi: false });
        driver.turn(Wait::No);
        assert_eq!(driver.wake_poll.get(), WakePoll::Armed { multi: false });
        wake(&driver.unpark());
    }
}

#[test]
fn a_kernel_that_refuses_the_multishot_poll_gets_one_that_completes_once() {
    let driver = woken(WakePoll::Disarmed { multi: true });
    driver.turn(Wait::Until(None));
    assert_eq!(driver.wake_poll.get(), WakePoll::Armed { multi: true });
    driver.on_wake(Cqe::new(WAKE, -libc::EINVAL, 0));
    assert_eq!(driver.wake_poll.get(), WakePoll::Disarmed { multi: false });
    // One that was merely ended is armed as it was.
    driver.wake_poll.set(WakePoll::Armed { multi: true });
    driver.on_wake(Cqe::new(WAKE, libc::POLLIN.into(), 0));
    assert_eq!(driver.wake_poll.get(), WakePoll::Disarmed { multi: true });
}

//! The word that says whether the driver sleeps, in every order of the threads that change it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ::loom::sync::atomic::AtomicUsize;
use ::loom::thread;

use super::super::Unpark;
use crate::ring::Interrupt;
use crate::sync::tests::{Bell, in_every_order};

impl Interrupt for Bell {
    fn interrupt(&self) {
        self.ring();
    }
}

/// A driver's sleep, and what ends it.
struct Sleeper {
    bell: Arc<Bell>,
    unpark: Arc<Unpark>,
    sleeps: usize,
}

impl Sleeper {
    fn new() -> Sleeper {
        let bell = Bell::new();
        let kernel: Arc<dyn Interrupt> = bell.clone();
        Sleeper { bell, unpark: Arc::new(Unpark::through_kernel(kernel)), sleeps: 0 }
    }

    /// As a turn of the driver: announces its sleep, sleeps, says that it is over. Not where it was kept from
    /// it.
    fn turn(&mut self) {
        if self.unpark.park() {
            self.sleeps += 1;
            self.bell.wait();
            self.unpark.unparked();
        }
    }
}

/// What was written before a wake, with no ordering of its own, so that the wake alone can make it visible.
fn write_then_wake(written: &Arc<AtomicUsize>, unpark: &Arc<Unpark>) -> thread::JoinHandle<()> {
    let (written, unpark) = (Arc::clone(written), Arc::clone(unpark));
    thread::spawn(move || {
        written.fetch_add(1, Ordering::Relaxed);
        unpark.unpark();
    })
}

#[test]
fn a_wake_ends_the_next_sleep_and_shows_what_was_written_before_it() {
    in_every_order("one wake", None, || {
        let (mut sleeper, written) = (Sleeper::new(), Arc::new(AtomicUsize::new(0)));
        let waking = write_then_wake(&written, &sleeper.unpark);
        // Nobody but the wake ends this, so it is over with the first.
        sleeper.turn();
        assert_eq!(written.load(Ordering::Relaxed), 1);
        waking.join().expect("the waking thread");
    });
}

#[test]
fn no_wake_of_two_threads_is_lost_and_one_sleep_is_signalled_once() {
    in_every_order("two wakes", None, || {
        let (mut sleeper, written) = (Sleeper::new(), Arc::new(AtomicUsize::new(0)));
        let waking = [0, 1].map(|_| write_then_wake(&written, &sleeper.unpark));
        while written.load(Ordering::Relaxed) < 2 {
            sleeper.turn();
        }
        for thread in waking {
            thread.join().expect("a waking thread");
        }
        // The last wake may have come between the look at what it wrote and the next sleep, which never came.
        assert!(sleeper.bell.times() <= sleeper.sleeps, "signalled twice, or awake");
    });
}

#[test]
fn the_second_wake_of_a_thread_counts_as_the_first_did() {
    in_every_order("a wake, and another", None, || {
        let (mut sleeper, written) = (Sleeper::new(), Arc::new(AtomicUsize::new(0)));
        let (theirs, unpark) = (Arc::clone(&written), Arc::clone(&sleeper.unpark));
        let waking = thread::spawn(move || {
            for _ in 0..2 {
                theirs.fetch_add(1, Ordering::Relaxed);
                unpark.unpark();
            }
        });
        while written.load(Ordering::Relaxed) < 2 {
            sleeper.turn();
        }
        waking.join().expect("the waking thread");
        assert!(sleeper.bell.times() <= sleeper.sleeps, "signalled twice, or awake");
    });
}

#[test]
fn a_sleep_that_something_else_ended_loses_no_wake() {
    in_every_order("a wake beside a completion", None, || {
        let (mut sleeper, written) = (Sleeper::new(), Arc::new(AtomicUsize::new(0)));
        let waking = write_then_wake(&written, &sleeper.unpark);
        // A completion ends this sleep at once; the wake's signal may be still on its way.
        if sleeper.unpark.park() {
            sleeper.sleeps += 1;
            sleeper.unpark.unparked();
        }
        while written.load(Ordering::Relaxed) == 0 {
            sleeper.turn();
        }
        waking.join().expect("the waking thread");
        assert!(sleeper.bell.times() <= sleeper.sleeps, "signalled twice, or awake");
    });
}

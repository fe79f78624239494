//! Waking a driver that sleeps in the kernel, from any thread.
//!
//! A wake costs a system call and, on an idle core, several microseconds; so it is made only when the driver
//! sleeps. The word has three values and these transitions:
//!
//! ```text
//! Running ──park──► Parked ──unpark (signals)──► Notified ──unparked──► Running
//!    └──────────────unpark (no signal)─────────────►┘  park fails on Notified: look again first
//! ```

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::ring::Interrupt;
use crate::sync::AtomicU8;

const RUNNING: u8 = 0;
const PARKED: u8 = 1;
const NOTIFIED: u8 = 2;

/// Ends the sleep of one driver.
#[derive(Debug)]
pub(crate) struct Unpark {
    word: AtomicU8,
    signal: Signal,
}

/// How a sleeping kernel is reached.
#[derive(Debug)]
enum Signal {
    /// An `eventfd(2)` that the driver polls through its own ring.
    Eventfd(File),
    /// A kernel in user space has its own way.
    Kernel(Arc<dyn Interrupt>),
}

impl Unpark {
    pub(super) fn through_eventfd(eventfd: File) -> Unpark {
        Unpark { word: AtomicU8::new(RUNNING), signal: Signal::Eventfd(eventfd) }
    }

    pub(crate) fn through_kernel(kernel: Arc<dyn Interrupt>) -> Unpark {
        Unpark { word: AtomicU8::new(RUNNING), signal: Signal::Kernel(kernel) }
    }

    /// Makes the driver's current or next sleep end. What the caller wrote before is visible to the driver
    /// afterwards.
    pub(crate) fn unpark(&self) {
        // AcqRel: releases what was queued for the driver, and orders this thread after its decision to park.
        if self.word.swap(NOTIFIED, Ordering::AcqRel) != PARKED {
            return;
        }
        match &self.signal {
            Signal::Eventfd(eventfd) => {
                let mut eventfd: &File = eventfd;
                // The one possible error is EAGAIN, when the counter is full: then a wake-up is pending.
                let _ = eventfd.write(&1u64.to_ne_bytes());
            }
            Signal::Kernel(kernel) => kernel.interrupt(),
        }
    }

    /// Announces a sleep; false if somebody has called `unpark` since the last one, and there is something
    /// to look at first.
    pub(crate) fn park(&self) -> bool {
        let parked =
            self.word.compare_exchange(RUNNING, PARKED, Ordering::AcqRel, Ordering::Acquire);
        if parked.is_err() {
            self.unparked();
        }
        parked.is_ok()
    }

    /// Whether somebody has called `unpark` since the last sleep; they need not be told of again.
    pub(super) fn take_notice(&self) -> bool {
        // A load alone while there is nothing: this is asked millions of times a second.
        let notified = self.word.load(Ordering::Relaxed) == NOTIFIED;
        if notified {
            self.unparked();
        }
        notified
    }

    /// The sleep is over, or did not begin.
    pub(crate) fn unparked(&self) {
        // A swap, not a store: it acquires what the last `unpark`, whose word it overwrites, has released.
        self.word.swap(RUNNING, Ordering::AcqRel);
    }

    /// The descriptor to poll, if there is one.
    pub(super) fn eventfd(&self) -> Option<BorrowedFd<'_>> {
        match &self.signal {
            Signal::Eventfd(eventfd) => Some(eventfd.as_fd()),
            Signal::Kernel(_) => None,
        }
    }

    /// Sets the counter back, so that a poll armed anew waits for the next signal.
    pub(super) fn drain(&self) -> io::Result<()> {
        match &self.signal {
            Signal::Eventfd(eventfd) => {
                let mut eventfd: &File = eventfd;
                match eventfd.read(&mut [0; 8]) {
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
                    _ => Ok(()),
                }
            }
            Signal::Kernel(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Debug, Default)]
    struct Count(AtomicUsize);

    impl Interrupt for Count {
        fn interrupt(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counted() -> (Arc<Count>, Unpark) {
        let count = Arc::new(Count::default());
        let kernel = Arc::clone(&count);
        (count, Unpark::through_kernel(kernel))
    }

    #[test]
    fn only_a_sleeping_driver_is_signalled_and_only_once() {
        let (count, unpark) = counted();
        unpark.unpark();
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        assert!(!unpark.park(), "a wake that came before the sleep ends it");
        assert!(unpark.park());
        unpark.unpark();
        unpark.unpark();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        unpark.unparked();
        assert!(unpark.park());
    }

    #[test]
    fn a_driver_that_looks_for_itself_is_not_signalled_and_takes_notice_once() {
        let (count, unpark) = counted();
        assert!(!unpark.take_notice());
        unpark.unpark();
        assert!(unpark.take_notice());
        assert!(!unpark.take_notice() && unpark.park());
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
    }
}

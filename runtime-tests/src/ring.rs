//! A bare ring of Linux, for tests of single submissions.

use std::time::Duration;

use uring::ring::{CancelKey, Cqe, Entry, Opcode, Ring, Setup, Sqe};

use crate::alarm::uninterrupted;
use crate::{Watchdog, skipped};

/// What the cancel at the end carries; no test uses it.
const END: u64 = u64::MAX;

/// A ring that counts what it was lent memory for.
#[derive(Debug)]
pub struct BareRing {
    ring: Ring,
    pending: usize,
    _watchdog: Watchdog,
}

/// Runs a test on a ring of Linux. Nothing may be left in flight.
pub fn on_a_ring(test: impl FnOnce(&mut BareRing)) {
    on_a_ring_of(&Setup::new(32), test);
}

/// As [`on_a_ring`], with a ring of the test's choice.
pub fn on_a_ring_of(setup: &Setup, test: impl FnOnce(&mut BareRing)) {
    if cfg!(miri) {
        return skipped("Miri has no io_uring");
    }
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let ring = setup.build().expect("a ring");
    test(&mut BareRing { ring, pending: 0, _watchdog });
}

impl BareRing {
    /// The ring itself.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Whether this kernel lacks an opcode; says so if it does.
    pub fn lacks(&self, opcode: Opcode) -> bool {
        let lacks = !self.ring.supports(opcode);
        if lacks {
            skipped(format_args!("Linux here lacks {opcode:?}"));
        }
        lacks
    }

    /// Pushes one submission, waits for its end, and returns its result as the kernel wrote it.
    pub fn run(&mut self, sqe: Sqe<'_>) -> i32 {
        self.complete(sqe).raw_result()
    }

    /// As [`BareRing::run`], with the whole completion: the first one, if a notification follows.
    pub fn complete(&mut self, sqe: Sqe<'_>) -> Cqe {
        self.complete_all([sqe])[0]
    }

    /// The results of several submissions, in their order.
    pub fn run_all<'a>(&mut self, sqes: impl IntoIterator<Item = Sqe<'a>>) -> Vec<i32> {
        self.complete_all(sqes).iter().map(Cqe::raw_result).collect()
    }

    /// Pushes submissions together, waits for the end of all of them, and returns the first completion of
    /// each, in their order.
    pub fn complete_all<'a>(&mut self, sqes: impl IntoIterator<Item = Sqe<'a>>) -> Vec<Cqe> {
        assert_eq!(self.pending, 0, "what was started before is done");
        for (index, sqe) in sqes.into_iter().enumerate() {
            // SAFETY: this function returns when all have reached their final completion.
            unsafe { self.start(sqe.user_data(index as u64)) };
        }
        let mut first = vec![None; self.pending];
        while self.pending > 0 {
            let cqe = self.next_cqe();
            first[cqe.user_data() as usize].get_or_insert(cqe);
        }
        first.into_iter().map(|cqe| cqe.expect("each has completed")).collect()
    }

    /// Pushes a submission, which then is in flight.
    ///
    /// # Safety
    ///
    /// What it was lent stays lent until its final completion was returned by [`BareRing::next_cqe`], or this
    /// was dropped.
    pub unsafe fn start(&mut self, sqe: impl Into<Entry>) {
        // SAFETY: the caller's contract; dropping this waits for the end.
        unsafe { self.ring.push(sqe) }.expect("space");
        self.pending += 1;
    }

    /// Submits what was started, without waiting.
    pub fn submit(&mut self) {
        self.ring.submit().expect("a submit");
    }

    /// Submits, and waits for the next completion.
    pub fn next_cqe(&mut self) -> Cqe {
        let mut cqes = [Cqe::default()];
        while self.ring.copy_cqes(&mut cqes) == 0 {
            uninterrupted(|| self.ring.submit_and_wait(1, None)).expect("a wait");
        }
        let [cqe] = cqes;
        if !cqe.more() {
            self.pending -= 1;
        }
        cqe
    }

    /// Waits for a completion that another ring posts here.
    pub fn next_message(&mut self) -> Cqe {
        self.pending += 1;
        self.next_cqe()
    }

    /// Waits for the next completions, so many, and returns `user_data` and result of each by `user_data`.
    pub fn next_sorted(&mut self, count: usize) -> Vec<(u64, i32)> {
        let cqes = (0..count).map(|_| self.next_cqe());
        let mut found: Vec<_> = cqes.map(|cqe| (cqe.user_data(), cqe.raw_result())).collect();
        found.sort_unstable();
        found
    }
}

impl Drop for BareRing {
    fn drop(&mut self) {
        if self.pending == 0 {
            return;
        }
        // What is still in flight has memory of the test's, so it ends before that does.
        let cancel = Sqe::cancel_matching(CancelKey::ANY).user_data(END);
        // SAFETY: nothing is lent.
        unsafe { self.start(cancel) };
        while self.pending > 0 {
            self.next_cqe();
        }
    }
}

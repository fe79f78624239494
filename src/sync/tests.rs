//! What loom models share: running one, and a bell to sleep by.
#![cfg(loom)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};

use loom::sync::{Condvar, Mutex};

/// Runs a model in every order of its threads' steps in which they interrupt each other at most `interruptions`
/// times (all orders there are without), and prints how many that were.
///
/// A thread that waits for ever is a deadlock, which loom reports: so is a wake that was lost.
pub(crate) fn in_every_order(
    name: &str,
    interruptions: Option<usize>,
    model: impl Fn() + Send + Sync + 'static,
) {
    let executions = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&executions);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = interruptions;
    builder.max_branches = 10_000;
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let bound = interruptions.map_or("all orders".into(), |most| format!("{most} interruptions"));
    eprintln!("loom: {name}: {} executions, {bound}", executions.load(Ordering::Relaxed));
}

/// What a thread sleeps by, like an eventfd that is polled: it stays rung until somebody has heard it.
#[derive(Debug)]
pub(crate) struct Bell {
    rung: Mutex<Rung>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Rung {
    now: bool,
    times: usize,
}

impl Bell {
    pub(crate) fn new() -> Arc<Bell> {
        Arc::new(Bell { rung: Mutex::new(Rung::default()), changed: Condvar::new() })
    }

    pub(crate) fn ring(&self) {
        let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        rung.now = true;
        rung.times += 1;
        self.changed.notify_one();
    }

    /// Sleeps until it is rung, or does not if it was since the last time.
    pub(crate) fn wait(&self) {
        let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        while !rung.now {
            rung = self.changed.wait(rung).unwrap_or_else(PoisonError::into_inner);
        }
        rung.now = false;
    }

    /// How many times it was rung.
    pub(crate) fn times(&self) -> usize {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner).times
    }
}

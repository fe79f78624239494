//! The driver's parts alone, without a ring: what an event does to a slot, and what a block does to an
//! operation. All of it runs under Miri, which sees what no assertion can.

use std::cell::Cell;
use std::io::{self, Stdin};
use std::os::fd::AsFd;
use std::rc::Rc;

use super::op::{Completion, MultiOp, Op};
use crate::ring::{MultiSqe, Sqe};

#[cfg(loom)]
mod loom;
mod payload;
mod slots;
mod slots_reused;
#[cfg(not(any(miri, loom)))]
mod wake;

/// An operation that counts what is done with it; `T` gives it any size and alignment.
struct Counted<T> {
    counts: Rc<Counts>,
    value: T,
    panics_in_prepare: bool,
}

#[derive(Debug, Default)]
struct Counts {
    prepared_at: Cell<usize>,
    completed: Cell<u32>,
    abandoned: Cell<u32>,
    dropped: Cell<u32>,
}

fn raise(count: &Cell<u32>) {
    count.set(count.get() + 1);
}

impl<T> Counted<T> {
    fn new(value: T) -> (Counted<T>, Rc<Counts>) {
        let counts = Rc::new(Counts::default());
        (Counted { counts: Rc::clone(&counts), value, panics_in_prepare: false }, counts)
    }

    fn note_place(&mut self) {
        self.counts.prepared_at.set((&raw const *self).addr());
        assert!(!self.panics_in_prepare, "in prepare");
    }
}

impl<T> Drop for Counted<T> {
    fn drop(&mut self) {
        raise(&self.counts.dropped);
    }
}

impl<T: 'static> Op for Counted<T> {
    type Output = ();

    fn prepare(&mut self) -> Sqe<'_> {
        self.note_place();
        Sqe::nop()
    }

    fn complete(self, _: Completion<Self>) {
        raise(&self.counts.completed);
    }

    fn abandoned(self, _: Completion<Self>) {
        raise(&self.counts.abandoned);
    }
}

/// As [`Counted`], for many completions.
struct CountedMulti {
    counted: Counted<()>,
    /// Nothing is ever submitted, so any file will do.
    file: Stdin,
}

impl CountedMulti {
    fn new() -> (CountedMulti, Rc<Counts>) {
        let (counted, counts) = Counted::new(());
        (CountedMulti { counted, file: io::stdin() }, counts)
    }
}

impl MultiOp for CountedMulti {
    type Item = i32;

    fn prepare(&mut self) -> MultiSqe<'_> {
        self.counted.note_place();
        MultiSqe::poll(self.file.as_fd().into(), 0)
    }

    fn shot(&self, cqe: Completion<Self>) -> i32 {
        raise(&self.counted.counts.completed);
        cqe.raw_result()
    }

    fn abandoned_shot(&self, _: Completion<Self>) {
        raise(&self.counted.counts.abandoned);
    }
}

//! Blocks: every operation at an address that is right for it, moved out once, freed once.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::op::End;
use super::super::payload::{Payload, Pool};
use super::{Counted, CountedMulti};
use crate::ring::Cqe;

/// An alignment beyond that of the pooled blocks.
#[derive(Debug, PartialEq)]
#[repr(align(4096))]
struct Aligned([u8; 64]);

/// Goes in, is prepared in place, and comes out again.
fn round_trip<T: PartialEq + std::fmt::Debug + Clone + 'static>(pool: &mut Pool, value: T) {
    let (op, counts) = Counted::new(value.clone());
    let block = pool.block_for::<Counted<T>>();
    let (payload, _) = Payload::new(op, block);
    let at = counts.prepared_at.get();
    assert_eq!(at % align_of::<Counted<T>>(), 0, "an address of the wrong alignment");
    assert_eq!(counts.dropped.get(), 0);
    let (op, block) = payload.take::<Counted<T>>();
    assert_eq!(op.value, value);
    pool.give_back(block);
    drop(op);
    assert_eq!(counts.dropped.get(), 1);
}

impl Clone for Aligned {
    fn clone(&self) -> Aligned {
        Aligned(self.0)
    }
}

#[test]
fn an_operation_of_any_size_and_alignment_comes_out_as_it_went_in() {
    let mut pool = Pool::default();
    for _ in 0..3 {
        round_trip(&mut pool, ());
        round_trip(&mut pool, 7u8);
        round_trip(&mut pool, vec![1, 2, 3]);
        round_trip(&mut pool, [7u8; 200]);
        round_trip(&mut pool, [7u8; 5000]);
        round_trip(&mut pool, Aligned([7; 64]));
        round_trip(&mut pool, 7u128);
    }
}

#[test]
fn a_block_that_was_given_back_serves_the_next_operation() {
    let mut pool = Pool::default();
    let place = |pool: &mut Pool| {
        let (op, counts) = Counted::new(1u32);
        let (payload, _) = Payload::new(op, pool.block_for::<Counted<u32>>());
        let (op, block) = payload.take::<Counted<u32>>();
        pool.give_back(block);
        drop(op);
        counts.prepared_at.get()
    };
    assert_eq!(place(&mut pool), place(&mut pool));
}

#[test]
fn an_abandoned_operation_is_told_so_and_freed_once() {
    let mut pool = Pool::default();
    let (op, counts) = Counted::new([0u8; 5000]);
    let (payload, _) = Payload::new(op, pool.block_for::<Counted<[u8; 5000]>>());
    pool.give_back(payload.abandon(End::default()));
    let told = (counts.completed.get(), counts.abandoned.get(), counts.dropped.get());
    assert_eq!(told, (0, 1, 1));
}

#[test]
fn a_panic_in_prepare_gives_the_operation_and_the_block_back() {
    let mut pool = Pool::default();
    let (mut op, counts) = Counted::new([0u8; 5000]);
    op.panics_in_prepare = true;
    let block = pool.block_for::<Counted<[u8; 5000]>>();
    let panicked = catch_unwind(AssertUnwindSafe(|| Payload::new(op, block)));
    assert!(panicked.is_err(), "it did not panic");
    assert_eq!(counts.dropped.get(), 1);
}

#[test]
fn the_shots_of_an_operation_see_it_in_its_block() {
    let mut pool = Pool::default();
    let (op, counts) = CountedMulti::new();
    let (payload, _) = Payload::new_multi(op, pool.block_for::<CountedMulti>());
    let shot = payload.shot().expect("it completes many times");
    // SAFETY: the payload is alive until the end of this test.
    let item = unsafe { shot.call::<CountedMulti>(Cqe::new(0, 5, 0)) };
    assert_eq!((item, counts.completed.get()), (5, 1));
    let shot = payload.shot().expect("it completes many times");
    // SAFETY: as above.
    unsafe { shot.abandon(Cqe::default()) };
    assert_eq!((counts.abandoned.get(), counts.dropped.get()), (1, 0));
    pool.give_back(payload.abandon(End::default()));
    assert_eq!(counts.dropped.get(), 1);
}

#[test]
fn an_operation_that_completes_once_has_no_shots() {
    let mut pool = Pool::default();
    let (op, _counts) = Counted::new(1u32);
    let (payload, _) = Payload::new(op, pool.block_for::<Counted<u32>>());
    assert!(payload.shot().is_none());
    pool.give_back(payload.abandon(End::default()));
}

#[test]
#[cfg_attr(miri, ignore = "leaks on purpose")]
fn an_operation_is_not_taken_out_as_another_type() {
    let mut pool = Pool::default();
    let (op, counts) = Counted::new(1u32);
    let (payload, _) = Payload::new(op, pool.block_for::<Counted<u32>>());
    let panicked = catch_unwind(AssertUnwindSafe(|| payload.take::<Counted<i32>>()));
    assert!(panicked.is_err(), "it did not panic");
    assert_eq!(counts.dropped.get(), 0);
}

#[test]
#[cfg_attr(miri, ignore = "leaks on purpose")]
fn a_payload_that_is_dropped_is_leaked_because_the_kernel_may_have_it() {
    let mut pool = Pool::default();
    let (op, counts) = Counted::new(1u32);
    let (payload, _) = Payload::new(op, pool.block_for::<Counted<u32>>());
    // As slots are dropped with their slab.
    vec![payload].clear();
    assert_eq!(counts.dropped.get(), 0);
}

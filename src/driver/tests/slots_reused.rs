//! Slots between two operations, and the next operation in one.

use super::super::actions::Actions;
use super::super::slots::Token;
use super::slots::{Bench, Done};
use crate::ring::Cqe;

/// An operation that has come and gone, and left its slot free.
fn ended(bench: &mut Bench) -> Token {
    let token = bench.insert(true).0;
    end(bench, token);
    token
}

fn end(bench: &mut Bench, token: Token) {
    assert_eq!(bench.cqe(token, 0, 0), Done::Nothing);
    let ended = bench.poll(token).expect("it is done");
    bench.end(ended);
}

#[test]
fn the_next_operation_in_a_slot_can_be_cancelled_though_the_last_one_was() {
    let mut bench = Bench::default();
    let first = bench.insert(true).0;
    bench.slots.queue_cancel(first);
    end(&mut bench, first);
    let second = bench.insert(true).0;
    assert_eq!(second.index, first.index);
    bench.slots.queue_cancel(second);
    assert_eq!(bench.slots.next_cancel(), Some(second));
    assert_eq!(bench.slots.next_cancel(), None);
    end(&mut bench, second);
}

#[test]
fn cancels_of_operations_that_have_ended_take_no_room_from_others() {
    let mut bench = Bench::default();
    ended(&mut bench);
    let room = bench.slots.cancels_room();
    for _ in 0..100 {
        let token = bench.insert(true).0;
        bench.slots.queue_cancel(token);
        end(&mut bench, token);
    }
    assert_eq!(bench.slots.cancels_room(), room);
    // More slots than there were, with the queue as full as it gets.
    let tokens: Vec<_> = (0..20).map(|_| bench.insert(true).0).collect();
    let room = bench.slots.cancels_room();
    for token in &tokens {
        bench.slots.queue_cancel(*token);
    }
    assert_eq!(bench.slots.cancels_room(), room);
    for token in tokens {
        assert_eq!(bench.slots.next_cancel(), Some(token));
        end(&mut bench, token);
    }
    assert_eq!(bench.slots.len(), 0);
}

#[test]
fn a_completion_for_a_free_slot_is_counted_and_changes_nothing() {
    let mut bench = Bench::default();
    let token = ended(&mut bench);
    // One of the operation that was there, and one that names nothing as free slots do.
    for generation in [token.generation, 0] {
        let user_data = Token { generation, ..token }.user_data();
        let mut actions = Actions::default();
        bench.slots.on_cqe(Cqe::new(user_data, 1, 0), &mut actions);
        assert!(actions.is_empty());
    }
    assert_eq!((bench.slots.strangers(), bench.slots.len(), bench.slots.in_kernel()), (2, 0, 0));
    // A cancel of all finds nothing, and the slot is as good as new.
    bench.slots.cancel_all();
    assert!(!bench.slots.has_cancels());
    ended(&mut bench);
    assert_eq!((bench.slots.len(), bench.slots.in_kernel()), (0, 0));
}

#[test]
fn no_operation_has_the_generation_of_free_slots_when_the_counter_comes_round() {
    let mut bench = Bench::default();
    bench.slots.start_at(u32::MAX - 1);
    let generations = [(); 3].map(|()| ended(&mut bench).generation);
    assert_eq!(generations, [u32::MAX, 1, 2]);
}

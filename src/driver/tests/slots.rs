//! What an event does to a slot: a table of what was, what happened, and what is to be done.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Wake, Waker};

use super::super::actions::Actions;
use super::super::cancel_scope::{CancelScope, Joined};
use super::super::payload::{Payload, Pool};
use super::super::slots::{
    Action, Dropped, Ended, MAX_SHOTS, Polled, PolledResult, PolledShot, Settled, Slots, Token,
};
use super::{Counted, CountedMulti, Counts};
use crate::ring::Cqe;

const MORE: u32 = 1 << 1;
const NOTIFICATION: u32 = 1 << 3;

#[derive(Default)]
struct Wakes(AtomicU32);

impl Wake for Wakes {
    fn wake(self: Arc<Wakes>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Slots, and the hands of a driver around them.
#[derive(Default)]
pub(super) struct Bench {
    pub(super) slots: Slots,
    pool: Pool,
    wakes: Arc<Wakes>,
}

/// What a completion led to, in a word.
#[derive(Debug, PartialEq)]
pub(super) enum Done {
    Nothing,
    Woke,
    Settles,
}

impl Bench {
    pub(super) fn insert(&mut self, cancel_on_drop: bool) -> (Token, Rc<Counts>) {
        let (op, counts) = Counted::new(());
        let (payload, _) = Payload::new(op, self.pool.block_for::<Counted<()>>());
        (self.slots.insert(payload, cancel_on_drop), counts)
    }

    fn insert_multi(&mut self) -> (Token, Rc<Counts>) {
        let (op, counts) = CountedMulti::new();
        let (payload, _) = Payload::new_multi(op, self.pool.block_for::<CountedMulti>());
        (self.slots.insert(payload, true), counts)
    }

    pub(super) fn cqe(&mut self, token: Token, result: i32, flags: u32) -> Done {
        let mut actions = Actions::default();
        self.slots.on_cqe(Cqe::new(token.user_data(), result, flags), &mut actions);
        let action = actions.pop();
        assert!(actions.is_empty(), "no operation here is in a scope");
        match action {
            None | Some(Action::Leave(_)) => Done::Nothing,
            Some(Action::Wake(waker)) => {
                waker.wake();
                Done::Woke
            }
            Some(Action::Settle(settled)) => {
                assert_eq!(settled, token);
                Done::Settles
            }
        }
    }

    /// Has a task wait for the operation.
    fn wait(&mut self, token: Token) {
        let waker = Waker::from(Arc::clone(&self.wakes));
        assert!(matches!(self.slots.poll(token, &waker), Polled::NeedsWaker));
        assert!(matches!(self.slots.set_waker(token, waker), Ok(None)));
    }

    pub(super) fn poll(&mut self, token: Token) -> Option<Ended> {
        match self.slots.poll(token, Waker::noop()) {
            Polled::Done(ended) => Some(ended),
            Polled::Pending | Polled::NeedsWaker => None,
        }
    }

    /// Ends an operation as `Driver::end` does; its result.
    pub(super) fn end(&mut self, Ended { payload, end }: Ended) -> i32 {
        let block = payload.abandon(end);
        self.pool.give_back(block);
        end.cqe.raw_result()
    }

    /// Settles as the driver does; how many shots there were, and the result if that was all.
    fn settle(&mut self, token: Token) -> (u32, Option<i32>) {
        let mut shots = 0;
        loop {
            match self.slots.settle(token) {
                Settled::Shot(shot, cqe) => {
                    // SAFETY: the payload is in its slot until `Settled::Last`.
                    unsafe { shot.abandon(cqe) };
                    shots += 1;
                }
                Settled::Last(ended) => return (shots, Some(self.end(ended))),
                Settled::Nothing => return (shots, None),
            }
        }
    }
}

#[test]
fn waiting_and_completed_is_finished_and_wakes_its_task() {
    let mut bench = Bench::default();
    let (token, counts) = bench.insert(true);
    bench.wait(token);
    assert!(bench.poll(token).is_none());
    assert_eq!((bench.slots.in_kernel(), bench.slots.len()), (1, 1));
    assert_eq!(bench.cqe(token, 5, 0), Done::Woke);
    assert_eq!((bench.slots.in_kernel(), bench.slots.len()), (0, 1));
    let ended = bench.poll(token).expect("it is done");
    assert_eq!(bench.slots.len(), 0);
    assert_eq!(bench.end(ended), 5);
    assert_eq!(counts.dropped.get(), 1);
    assert_eq!(bench.wakes.0.load(Ordering::Relaxed), 1);
}

#[test]
fn a_failure_wakes_its_task_as_a_success_does() {
    let mut bench = Bench::default();
    let (once, _counts) = bench.insert(true);
    bench.wait(once);
    assert_eq!(bench.cqe(once, -libc::ECANCELED, 0), Done::Woke);
    let (many, _counts) = bench.insert_multi();
    let waker = Waker::from(Arc::clone(&bench.wakes));
    assert!(matches!(bench.slots.set_waker(many, waker), Ok(None)));
    assert_eq!(bench.cqe(many, -libc::ENOBUFS, 0), Done::Woke);
    assert_eq!(bench.wakes.0.load(Ordering::Relaxed), 2);
    assert!(matches!(bench.slots.on_drop(once), Dropped::Settle));
    assert_eq!(bench.settle(once), (0, Some(-libc::ECANCELED)));
    assert!(matches!(bench.slots.on_drop(many), Dropped::Settle));
    assert_eq!(bench.settle(many).0, 1);
}

/// What a completion asks for, in words.
fn asked(slots: &mut Slots, token: Token, flags: u32) -> Vec<&'static str> {
    let mut actions = Actions::default();
    slots.on_cqe(Cqe::new(token.user_data(), 1, flags), &mut actions);
    let word = |action| match action {
        Action::Wake(_) => "wake",
        Action::Settle(_) => "settle",
        Action::Leave(_) => "leave",
    };
    std::iter::from_fn(|| actions.pop()).map(word).collect()
}

#[test]
fn a_scope_is_left_once_behind_the_wake_and_only_with_the_final_completion() {
    let mut bench = Bench::default();
    let scope = CancelScope::new();
    let (many, _counts) = bench.insert_multi();
    bench.slots.set_member(many, scope.join(Joined::Other));
    let waker = || Waker::from(Arc::new(Wakes::default()));
    assert!(matches!(bench.slots.set_waker(many, waker()), Ok(None)));
    assert_eq!(asked(&mut bench.slots, many, MORE), ["wake"]);
    assert!(matches!(bench.slots.poll_shot(many, &waker()), PolledShot::Shot(..)));
    assert!(matches!(bench.slots.set_waker(many, waker()), Ok(None)));
    assert_eq!(asked(&mut bench.slots, many, 0), ["wake", "leave"]);
    assert!(matches!(bench.slots.on_drop(many), Dropped::Settle));
    assert_eq!(bench.settle(many).0, 1);
}

#[test]
fn a_place_that_is_used_again_leaves_only_the_scope_of_its_own_operation() {
    let mut bench = Bench::default();
    let scope = CancelScope::new();
    let mut indices = Vec::new();
    for in_scope in [true, false, true] {
        let (token, _counts) = bench.insert(true);
        indices.push(token.index);
        if in_scope {
            bench.slots.set_member(token, scope.join(Joined::Other));
        }
        let left: &[&str] = if in_scope { &["leave"] } else { &[] };
        assert_eq!(asked(&mut bench.slots, token, 0), left);
        let ended = bench.poll(token).expect("it is done");
        bench.end(ended);
    }
    assert_eq!(indices, [0; 3]);
}

#[test]
fn waiting_without_a_waker_and_completed_wakes_nobody() {
    let mut bench = Bench::default();
    let (token, _counts) = bench.insert(true);
    assert_eq!(bench.cqe(token, 5, 0), Done::Nothing);
    let ended = bench.poll(token).expect("it is done");
    assert_eq!(bench.end(ended), 5);
}

#[test]
fn a_completion_that_comes_while_the_waker_is_cloned_is_not_slept_through() {
    let mut bench = Bench::default();
    let (once, _) = bench.insert(true);
    let (multi, _) = bench.insert_multi();
    assert!(matches!(bench.slots.poll(once, Waker::noop()), Polled::NeedsWaker));
    assert!(matches!(bench.slots.poll_shot(multi, Waker::noop()), PolledShot::NeedsWaker));
    assert_eq!(bench.cqe(once, 1, 0), Done::Nothing);
    assert_eq!(bench.cqe(multi, 1, MORE), Done::Nothing);
    for token in [once, multi] {
        assert!(bench.slots.set_waker(token, Waker::noop().clone()).is_err(), "to be woken");
    }
    assert!(matches!(bench.slots.on_drop(once), Dropped::Settle));
    assert_eq!(bench.settle(once), (0, Some(1)));
    assert!(matches!(bench.slots.on_drop(multi), Dropped::Later(None)));
    bench.cqe(multi, 0, 0);
    bench.settle(multi);
}

#[test]
fn waiting_and_dropped_is_abandoned_and_settles_with_the_completion() {
    let mut bench = Bench::default();
    let (token, counts) = bench.insert(true);
    bench.wait(token);
    let Dropped::Later(waker) = bench.slots.on_drop(token) else { panic!("it is in flight") };
    assert!(waker.is_some(), "the waker is dropped by the driver, with nothing borrowed");
    assert_eq!(bench.slots.next_cancel(), Some(token));
    assert_eq!(bench.settle(token), (0, None));
    assert_eq!(counts.dropped.get(), 0, "freed before the completion");
    assert_eq!(bench.cqe(token, -libc::ECANCELED, 0), Done::Settles);
    assert_eq!(bench.settle(token), (0, Some(-libc::ECANCELED)));
    assert_eq!((counts.abandoned.get(), counts.dropped.get()), (1, 1));
    assert_eq!(bench.slots.len(), 0);
}

#[test]
fn waiting_and_dropped_is_not_cancelled_if_it_must_happen() {
    let mut bench = Bench::default();
    let (token, _counts) = bench.insert(false);
    assert!(matches!(bench.slots.on_drop(token), Dropped::Later(None)));
    bench.slots.cancel_all();
    assert_eq!(bench.slots.next_cancel(), None);
    assert_eq!(bench.cqe(token, 0, 0), Done::Settles);
    assert_eq!(bench.settle(token), (0, Some(0)));
}

#[test]
fn finished_and_dropped_settles_at_once() {
    let mut bench = Bench::default();
    let (token, counts) = bench.insert(true);
    assert_eq!(bench.cqe(token, 5, 0), Done::Nothing);
    assert!(matches!(bench.slots.on_drop(token), Dropped::Settle));
    assert_eq!(bench.settle(token), (0, Some(5)));
    assert_eq!((counts.completed.get(), counts.abandoned.get()), (0, 1));
    assert_eq!(bench.slots.next_cancel(), None, "there is nothing to cancel");
}

#[test]
fn a_result_with_a_notification_behind_it_is_done_at_the_notification() {
    let mut bench = Bench::default();
    let (token, _counts) = bench.insert(true);
    bench.wait(token);
    assert_eq!(bench.cqe(token, 100, MORE), Done::Nothing);
    assert!(bench.poll(token).is_none(), "the buffer is still lent");
    assert_eq!(bench.cqe(token, 0, NOTIFICATION), Done::Woke);
    let ended = bench.poll(token).expect("it is done");
    assert_eq!(bench.end(ended), 100, "the result is not that of the notification");
}

#[test]
fn a_dropped_operation_with_a_notification_to_come_waits_for_it() {
    let mut bench = Bench::default();
    let (token, counts) = bench.insert(true);
    assert!(matches!(bench.slots.on_drop(token), Dropped::Later(None)));
    assert_eq!(bench.cqe(token, 100, MORE), Done::Nothing);
    assert_eq!(bench.settle(token), (0, None));
    assert_eq!(counts.dropped.get(), 0, "freed before the notification");
    assert_eq!(bench.cqe(token, 0, NOTIFICATION), Done::Settles);
    assert_eq!(bench.settle(token), (0, Some(100)));
}

#[test]
fn shots_wait_in_their_order_and_the_stream_ends_behind_the_last() {
    let mut bench = Bench::default();
    let (token, counts) = bench.insert_multi();
    let waker = Waker::from(Arc::clone(&bench.wakes));
    assert!(matches!(bench.slots.poll_shot(token, &waker), PolledShot::NeedsWaker));
    assert!(matches!(bench.slots.set_waker(token, waker.clone()), Ok(None)));
    // Whether a clone is known as the same waker is not sure: it compares addresses of constants.
    let again = bench.slots.poll_shot(token, &waker);
    assert!(matches!(again, PolledShot::Pending | PolledShot::NeedsWaker));
    assert_eq!(bench.cqe(token, 1, MORE), Done::Woke);
    assert_eq!(bench.cqe(token, 2, MORE), Done::Nothing, "it was woken already");
    assert_eq!(bench.cqe(token, 3, 0), Done::Nothing);
    for expected in 1..=3 {
        let PolledShot::Shot(shot, cqe) = bench.slots.poll_shot(token, &waker) else {
            panic!("shot {expected} is missing")
        };
        // SAFETY: the payload is in its slot until `PolledShot::Ended`.
        assert_eq!(unsafe { shot.call::<CountedMulti>(cqe) }, expected);
    }
    let PolledShot::Ended(ended) = bench.slots.poll_shot(token, &waker) else {
        panic!("it goes on")
    };
    bench.end(ended);
    assert_eq!((counts.completed.get(), counts.dropped.get()), (3, 1));
    assert_eq!(bench.slots.len(), 0);
}

#[test]
fn shots_that_nobody_took_settle_before_the_end() {
    let mut bench = Bench::default();
    let (token, counts) = bench.insert_multi();
    assert_eq!(bench.cqe(token, 1, MORE), Done::Nothing);
    assert!(matches!(bench.slots.on_drop(token), Dropped::Later(None)));
    assert_eq!(bench.cqe(token, 2, MORE), Done::Settles);
    assert_eq!(bench.settle(token), (2, None));
    assert_eq!(counts.dropped.get(), 0);
    assert_eq!(bench.cqe(token, -libc::ECANCELED, 0), Done::Settles);
    assert_eq!(bench.settle(token).0, 1);
    assert_eq!((counts.abandoned.get(), counts.dropped.get()), (3, 1));
}

#[test]
fn a_stream_that_overflows_is_cancelled_once() {
    let mut bench = Bench::default();
    let (token, _counts) = bench.insert_multi();
    for number in 0..MAX_SHOTS + 10 {
        assert_eq!(bench.slots.has_cancels(), number >= MAX_SHOTS);
        assert_eq!(bench.cqe(token, 1, MORE), Done::Nothing);
    }
    assert_eq!(bench.slots.next_cancel(), Some(token));
    assert_eq!(bench.slots.next_cancel(), None);
    bench.cqe(token, -libc::ECANCELED, 0);
    assert!(matches!(bench.slots.on_drop(token), Dropped::Settle));
    let (shots, last) = bench.settle(token);
    assert_eq!((shots as usize, last.is_some()), (MAX_SHOTS + 11, true));
}

/// `req_3`
#[test]
fn a_completion_of_an_old_generation_is_counted_and_does_nothing() {
    let mut bench = Bench::default();
    let (old, _) = bench.insert(true);
    bench.cqe(old, 1, 0);
    let ended = bench.poll(old).expect("it is done");
    bench.end(ended);
    let (new, _counts) = bench.insert(true);
    assert_ne!(old, new);
    assert_eq!(old.user_data() as u32, new.user_data() as u32, "the slot is the same");
    assert_eq!(bench.cqe(old, 99, 0), Done::Nothing);
    assert_eq!((bench.slots.strangers(), bench.slots.in_kernel()), (1, 1));
    assert!(bench.poll(new).is_none(), "the stranger has finished it");
    assert_eq!(bench.cqe(new, 2, 0), Done::Nothing);
    let ended = bench.poll(new).expect("it is done");
    assert_eq!(bench.end(ended), 2);
}

/// `req_3`
#[test]
fn a_completion_behind_the_final_one_is_counted_and_changes_no_result() {
    let mut bench = Bench::default();
    let (token, _counts) = bench.insert(true);
    bench.cqe(token, 1, 0);
    assert_eq!(bench.cqe(token, 2, 0), Done::Nothing);
    assert_eq!((bench.slots.strangers(), bench.slots.in_kernel()), (1, 0));
    let ended = bench.poll(token).expect("it is done");
    assert_eq!(bench.end(ended), 1);
}

#[test]
fn a_cancel_of_an_operation_that_is_done_meanwhile_is_not_submitted() {
    let mut bench = Bench::default();
    let (first, _) = bench.insert(true);
    bench.slots.queue_cancel(first);
    bench.cqe(first, 1, 0);
    let ended = bench.poll(first).expect("it is done");
    bench.end(ended);
    let (second, _) = bench.insert(true);
    assert_eq!(bench.slots.next_cancel(), None, "it would have hit a stranger");
    bench.cqe(second, 1, 0);
    let ended = bench.poll(second).expect("it is done");
    bench.end(ended);
}

#[test]
fn an_operation_is_cancelled_once_however_often_it_is_asked_for() {
    let mut bench = Bench::default();
    let (token, _) = bench.insert(true);
    bench.slots.queue_cancel(token);
    bench.slots.cancel_all();
    assert!(matches!(bench.slots.on_drop(token), Dropped::Later(None)));
    assert_eq!(bench.slots.next_cancel(), Some(token));
    bench.slots.return_cancel(token);
    assert_eq!(bench.slots.next_cancel(), Some(token));
    assert_eq!(bench.slots.next_cancel(), None);
    bench.cqe(token, 0, 0);
    bench.settle(token);
}

#[test]
fn a_cancel_that_missed_is_tried_again_while_its_operation_is_in_flight() {
    let mut bench = Bench::default();
    let (token, _) = bench.insert(true);
    assert!(
        Token::names_cancel(token.cancel_user_data()) && !Token::names_cancel(token.user_data())
    );
    assert_eq!(Token::from_user_data(token.cancel_user_data()), token);
    bench.slots.queue_cancel(token);
    assert_eq!(bench.slots.next_cancel(), Some(token));
    assert!(bench.slots.on_missed_cancel(token));
    assert!(!bench.slots.has_cancels(), "not before its time");
    assert!(bench.slots.retry_missed());
    assert_eq!(bench.slots.next_cancel(), Some(token));
    assert!(bench.slots.on_missed_cancel(token));
    bench.cqe(token, 1, 0);
    assert!(!bench.slots.retry_missed(), "it has ended by itself");
    assert!(!bench.slots.on_missed_cancel(token));
    let ended = bench.poll(token).expect("it is done");
    bench.end(ended);
}

#[test]
fn queueing_a_cancel_never_allocates() {
    let mut bench = Bench::default();
    let tokens: Vec<_> = (0..100).map(|_| bench.insert(true).0).collect();
    let room = bench.slots.cancels_room();
    assert!(room >= tokens.len(), "room for {room} cancels of {}", tokens.len());
    for token in tokens {
        bench.slots.queue_cancel(token);
        assert_eq!(bench.cqe(token, 0, 0), Done::Nothing);
        let ended = bench.poll(token).expect("it is done");
        bench.end(ended);
    }
    assert_eq!(bench.slots.cancels_room(), room);
}

#[test]
fn the_result_of_a_zero_copy_send_is_known_before_its_buffer_is_back_and_cannot_be_cancelled() {
    let mut bench = Bench::default();
    let (token, counts) = bench.insert(true);
    let waker = Waker::from(Arc::clone(&bench.wakes));
    assert!(matches!(bench.slots.poll_result(token, &waker), PolledResult::NeedsWaker));
    assert!(matches!(bench.slots.set_waker(token, waker.clone()), Ok(None)));
    assert_eq!(bench.cqe(token, 5, MORE), Done::Woke);
    let known = bench.slots.poll_result(token, &waker);
    assert!(matches!(known, PolledResult::Known(cqe) if cqe.raw_result() == 5));
    // The buffer is waited for by another poll, which the result does not wake.
    assert!(bench.poll(token).is_none());
    bench.slots.queue_cancel(token);
    assert!(!bench.slots.has_cancels());
    assert_eq!(counts.dropped.get(), 0);
    bench.wait(token);
    assert_eq!(bench.cqe(token, i32::MIN, NOTIFICATION), Done::Woke);
    assert_eq!(bench.slots.copied(), 1);
    let ended = bench.poll(token).expect("it is done");
    assert_eq!(bench.end(ended), 5);
}

#[test]
fn who_waits_for_the_buffer_is_not_woken_by_the_result() {
    let mut bench = Bench::default();
    let (token, _counts) = bench.insert(true);
    bench.wait(token);
    assert_eq!(bench.cqe(token, 5, MORE), Done::Nothing);
    assert_eq!(bench.cqe(token, 0, NOTIFICATION), Done::Woke);
    let ended = bench.poll(token).expect("it is done");
    assert_eq!(bench.end(ended), 5);
}

#[test]
#[cfg_attr(
    miri,
    ignore = "Miri gives a vtable several addresses, so that no waker is known for the same"
)]
fn a_task_that_asks_for_the_result_again_needs_no_other_waker() {
    let mut bench = Bench::default();
    let (token, _counts) = bench.insert(true);
    let waker = Waker::from(Arc::clone(&bench.wakes));
    assert!(matches!(bench.slots.poll_result(token, &waker), PolledResult::NeedsWaker));
    assert!(matches!(bench.slots.set_waker(token, waker.clone()), Ok(None)));
    assert!(matches!(bench.slots.poll_result(token, &waker), PolledResult::Pending));
}

#[test]
fn a_notification_that_no_result_came_before_ends_the_operation_all_the_same() {
    let mut bench = Bench::default();
    let (token, counts) = bench.insert(true);
    bench.wait(token);
    assert_eq!(bench.cqe(token, 0, NOTIFICATION | MORE), Done::Nothing);
    assert_eq!(bench.cqe(token, 0, NOTIFICATION), Done::Woke);
    let known = bench.slots.poll_result(token, Waker::noop());
    assert!(matches!(known, PolledResult::Known(cqe) if cqe.raw_result() == 0));
    let ended = bench.poll(token).expect("it is done");
    assert_eq!(bench.end(ended), 0);
    assert_eq!((bench.slots.in_kernel(), counts.dropped.get()), (0, 1));
}

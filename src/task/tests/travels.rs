//! Where wakers may go: to threads that borrow them, abroad and back, into thread-locals and later runtimes.

use std::{cell::Cell, sync::mpsc, thread, thread::ThreadId};

use super::*;

/// A task that has been polled, and the waker it was polled with, cloned at home.
fn polled(executor: &Rc<Executor>) -> (JoinHandle<()>, Waker) {
    let wakers = Rc::default();
    let handle = executor.spawn(forever(&wakers));
    settle(executor);
    let waker = wakers.borrow()[0].clone();
    // The task has one too, until it ends.
    (handle, waker)
}

#[test]
fn a_waker_lent_to_a_thread_during_the_poll_is_cloned_there_and_outlives_the_task() {
    let (executor, unparks) = executor();
    let entered = enter(executor.clone());
    let (sender, receiver) = mpsc::channel();
    let handle = executor.spawn(poll_fn(move |context| {
        let waker = context.waker();
        let cloned = thread::scope(|scope| {
            scope.spawn(|| (waker.wake_by_ref(), waker.clone()).1).join().unwrap()
        });
        sender.send(cloned).unwrap();
        Poll::<()>::Pending
    }));
    executor.run(64);
    assert_eq!(unparks.get(), 1);
    let waker = receiver.recv().unwrap();
    drop(handle);
    drop((entered, executor));
    let unparks_then = unparks.get();
    thread::spawn(move || waker.wake()).join().unwrap();
    assert_eq!(unparks.get(), unparks_then);
    assert_eq!(Arc::strong_count(&unparks), 1);
}

#[test]
fn wakers_that_change_sides_many_times_are_all_accounted_for() {
    let (executor, unparks) = executor();
    let entered = enter(executor.clone());
    let (handle, mut waker) = polled(&executor);
    for _ in 0..5 {
        waker = thread::spawn(move || {
            let another = waker.clone();
            drop(waker);
            another
        })
        .join()
        .unwrap();
        let here = waker.clone();
        thread::spawn(move || drop(here)).join().unwrap();
        waker.wake_by_ref();
        settle(&executor);
    }
    handle.abort();
    drop((handle, entered, executor));
    let last = thread::spawn(move || waker.clone()).join().unwrap();
    drop(last);
    assert_eq!(Arc::strong_count(&unparks), 1);
}

#[test]
fn a_future_is_dropped_at_home_though_the_last_waker_goes_abroad() {
    let (executor, _) = executor();
    let home = thread::current().id();
    let dropped_on: Rc<Cell<Option<ThreadId>>> = Rc::default();
    let noted = dropped_on.clone();
    let notes = OnDrop(Some(move || noted.set(Some(thread::current().id()))));
    let wakers = Rc::new(RefCell::new(Vec::new()));
    let polls = forever(&wakers);
    drop(executor.spawn(async move {
        let _notes = notes;
        polls.await;
    }));
    settle(&executor);
    let waker = wakers.take().remove(0);
    let abroad = thread::spawn(move || {
        waker.wake_by_ref();
        waker
    });
    let waker = abroad.join().unwrap();
    drop(executor);
    assert_eq!(dropped_on.get(), Some(home));
    thread::spawn(move || drop(waker)).join().unwrap();
}

#[test]
fn wakers_of_an_ended_executor_are_used_and_dropped_inside_a_later_one() {
    let (first, unparks) = executor();
    let entered = enter(first.clone());
    let (handle, waker) = polled(&first);
    drop((entered, first));
    let (second, _) = executor();
    let _entered = enter(second.clone());
    let clones = [waker.clone(), waker.clone(), waker];
    clones.iter().for_each(Waker::wake_by_ref);
    assert!(handle.is_finished());
    drop(handle);
    drop(clones);
    assert!(!second.has_ready());
    assert_eq!((unparks.get(), Arc::strong_count(&unparks)), (0, 1));
}

#[test]
fn wakers_and_executors_in_thread_locals_end_with_their_thread_in_either_order() {
    thread_local! {
        static WAKERS: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
        static EXECUTOR: RefCell<Option<Rc<Executor>>> = const { RefCell::new(None) };
    }
    for wakers_first in [true, false] {
        let unparks = Arc::new(Count::default());
        let given = unparks.clone();
        thread::spawn(move || {
            let keep = |waker: Waker| WAKERS.with(|wakers| wakers.borrow_mut().push(waker));
            let hold = |executor| EXECUTOR.with(|kept| *kept.borrow_mut() = executor);
            if wakers_first {
                keep(Waker::noop().clone());
            } else {
                hold(None);
            }
            let executor = Executor::new(given);
            let _entered = enter(executor.clone());
            let (_, waker) = polled(&executor);
            keep(waker);
            keep(executor.main_waker());
            hold(Some(executor));
        })
        .join()
        .unwrap();
        assert_eq!(Arc::strong_count(&unparks), 1);
    }
}

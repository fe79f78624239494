//! What tasks promise, as ledgers of what happened in which order.

mod aborts;
#[cfg(loom)]
mod loom;
mod panics;
mod reentry;
mod shutdown;
mod travels;
mod wakes;

use std::{
    cell::RefCell,
    future::{Future, pending, poll_fn},
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use super::{Executor, JoinError, JoinHandle, Unpark, enter, spawn, yield_now};

/// What happened, in order. Clones write to the same ledger.
#[derive(Clone, Default)]
struct Ledger(Rc<RefCell<Vec<String>>>);

impl Ledger {
    fn note(&self, event: &str) {
        self.0.borrow_mut().push(event.to_owned());
    }

    #[track_caller]
    fn expect(&self, events: &[&str]) {
        assert_eq!(*self.0.borrow(), events);
    }

    /// A value whose drop is an event.
    fn on_drop(&self, event: &'static str) -> OnDrop<impl FnOnce() + use<>> {
        let ledger = self.clone();
        OnDrop(Some(move || ledger.note(event)))
    }
}

/// Runs a closure when it is dropped.
struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(run) = self.0.take() {
            run();
        }
    }
}

/// Counts unparks, or wakes of a waker made of it.
#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Unpark for Count {
    fn unpark(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn executor() -> (Rc<Executor>, Arc<Count>) {
    let unparks = Arc::new(Count::default());
    (Executor::new(unparks.clone()), unparks)
}

/// One run; whether something is ready behind it.
fn run(executor: &Executor, budget: usize) -> bool {
    executor.run(budget);
    executor.has_ready()
}

/// Runs until nothing is ready.
fn settle(executor: &Executor) {
    while run(executor, 64) {}
}

/// Polls a future once, outside of any task.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[track_caller]
fn result_of<T>(mut handle: JoinHandle<T>) -> Result<T, JoinError> {
    match poll_once(&mut handle) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the task has not finished"),
    }
}

/// A future that hands out its waker at each poll and never completes.
fn forever(wakers: &Rc<RefCell<Vec<Waker>>>) -> impl Future<Output = ()> + use<> {
    let wakers = Rc::clone(wakers);
    poll_fn(move |cx| {
        wakers.borrow_mut().push(cx.waker().clone());
        Poll::Pending
    })
}

#[test]
fn a_task_is_first_polled_by_run_and_its_output_reaches_the_handle() {
    let (executor, _) = executor();
    let ledger = Ledger::default();
    let handle = executor.spawn({
        let ledger = ledger.clone();
        async move {
            ledger.note("polled");
            7
        }
    });
    ledger.expect(&[]);
    assert!(!handle.is_finished());
    assert!(!run(&executor, 64));
    ledger.expect(&["polled"]);
    assert!(handle.is_finished());
    assert_eq!(result_of(handle).unwrap(), 7);
}

#[test]
fn a_handle_that_is_awaited_wakes_its_awaiter_once_after_the_future_is_gone() {
    let (executor, _) = executor();
    let _entered = enter(executor.clone());
    let ledger = Ledger::default();
    executor.spawn({
        let ledger = ledger.clone();
        async move {
            let dropped = ledger.on_drop("child dropped");
            let child = spawn(async move {
                let _dropped = dropped;
                yield_now().await;
                5
            });
            ledger.note("awaiting");
            assert_eq!(child.await.unwrap(), 5);
            ledger.note("joined");
        }
    });
    settle(&executor);
    ledger.expect(&["awaiting", "child dropped", "joined"]);
}

#[test]
fn a_handle_polled_by_two_wakers_wakes_the_later_one() {
    let (executor, _) = executor();
    let mut handle = executor.spawn(async {});
    let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
    for count in [&first, &first, &second] {
        let waker = Waker::from(Arc::clone(count));
        assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    settle(&executor);
    assert_eq!((first.get(), second.get()), (0, 1));
    assert!(poll_once(&mut handle).is_ready());
}

#[test]
fn a_dropped_handle_lets_the_awaiter_go_and_the_task_run() {
    let (executor, _) = executor();
    let ledger = Ledger::default();
    let mut handle = executor.spawn({
        let ledger = ledger.clone();
        async move {
            ledger.note("ran");
            ledger.on_drop("output dropped")
        }
    });
    let awaiter = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&awaiter));
    assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    drop(handle);
    assert_eq!(Arc::strong_count(&awaiter), 1);
    settle(&executor);
    ledger.expect(&["ran", "output dropped"]);
    assert_eq!(awaiter.get(), 0);
}

#[test]
fn an_output_that_nobody_takes_is_dropped_with_the_handle() {
    let (executor, _) = executor();
    let ledger = Ledger::default();
    let output = ledger.on_drop("output dropped");
    let handle = executor.spawn(async move { output });
    settle(&executor);
    ledger.expect(&[]);
    drop(executor);
    ledger.expect(&[]);
    drop(handle);
    ledger.expect(&["output dropped"]);
}

#[test]
fn tasks_that_yield_take_turns() {
    let (executor, _) = executor();
    let ledger = Ledger::default();
    for name in ["a", "b", "c"] {
        let ledger = ledger.clone();
        drop(executor.spawn(async move {
            for _ in 0..2 {
                ledger.note(name);
                yield_now().await;
            }
        }));
    }
    settle(&executor);
    ledger.expect(&["a", "b", "c", "a", "b", "c"]);
}

/// Requirement 49: a task that wakes itself for ever does not keep the loop from its other duties.
#[test]
fn a_run_polls_no_more_tasks_than_its_budget() {
    let (executor, _) = executor();
    let wakers = Rc::default();
    drop(executor.spawn(async {
        loop {
            yield_now().await;
        }
    }));
    executor.spawn(forever(&wakers));
    assert!(run(&executor, 1));
    assert_eq!(wakers.borrow().len(), 0);
    assert!(run(&executor, 1));
    assert_eq!(wakers.borrow().len(), 1);
    assert!(run(&executor, 3));
    assert_eq!(wakers.borrow().len(), 1);
}

#[test]
fn a_round_lasts_until_all_that_was_ready_when_it_began_was_polled() {
    let (executor, _) = executor();
    let ledger = Ledger::default();
    for name in ["a", "b", "c"] {
        let ledger = ledger.clone();
        drop(executor.spawn(async move {
            ledger.note(name);
            yield_now().await;
            ledger.note(name);
        }));
    }
    assert!(run(&executor, 2) && executor.is_in_round());
    ledger.expect(&["a", "b"]);
    assert!(run(&executor, 2) && !executor.is_in_round());
    ledger.expect(&["a", "b", "c", "a"]);
    assert!(!run(&executor, 64) && !executor.is_in_round());
    ledger.expect(&["a", "b", "c", "a", "b", "c"]);
}

/// Tasks that note their name and sleep, each with the waker that it was polled with; `Waker`s in their order.
fn sleepers(executor: &Rc<Executor>, ledger: &Ledger, names: &[&'static str]) -> Vec<Waker> {
    let wakers = Rc::new(RefCell::new(Vec::new()));
    for &name in names {
        let (ledger, wakers) = (ledger.clone(), Rc::clone(&wakers));
        drop(executor.spawn(poll_fn(move |context| -> Poll<()> {
            ledger.note(name);
            wakers.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })));
    }
    executor.run(names.len());
    ledger.0.borrow_mut().clear();
    wakers.take()
}

#[test]
fn who_is_put_ahead_is_polled_before_the_rest_of_the_round() {
    let (executor, _) = executor();
    let _entered = enter(executor.clone());
    let ledger = Ledger::default();
    let wakers = sleepers(&executor, &ledger, &["a", "b", "c", "d", "e"]);
    wakers[..3].iter().for_each(Waker::wake_by_ref);
    assert!(run(&executor, 1) && executor.is_in_round());
    executor.put_woken_ahead();
    wakers[3..].iter().for_each(Waker::wake_by_ref);
    assert!(run(&executor, 2) && executor.is_in_round());
    // Ahead for one run alone: who is woken later goes behind.
    wakers[0].wake_by_ref();
    assert!(!run(&executor, 64) && !executor.is_in_round());
    ledger.expect(&["a", "d", "e", "b", "c", "a"]);
}

#[test]
fn however_many_are_ahead_one_poll_in_four_goes_to_the_others() {
    let (executor, _) = executor();
    let _entered = enter(executor.clone());
    let ledger = Ledger::default();
    let wakers = sleepers(&executor, &ledger, &["a", "b", "1", "2", "3", "4", "5", "6", "7"]);
    wakers[..2].iter().for_each(Waker::wake_by_ref);
    executor.put_woken_ahead();
    wakers[2..].iter().for_each(Waker::wake_by_ref);
    assert!(run(&executor, 4));
    ledger.expect(&["1", "2", "3", "a"]);
    assert!(run(&executor, 4));
    ledger.expect(&["1", "2", "3", "a", "4", "5", "6", "b"]);
    assert!(!run(&executor, 4));
    ledger.expect(&["1", "2", "3", "a", "4", "5", "6", "b", "7"]);
}

#[test]
fn tasks_that_are_ahead_are_dropped_with_the_others() {
    let (executor, _) = executor();
    let ledger = Ledger::default();
    let dropped = ledger.on_drop("dropped");
    let wakers = Rc::default();
    let task = forever(&wakers);
    drop(executor.spawn(async move {
        let _dropped = dropped;
        task.await;
    }));
    let _entered = enter(executor.clone());
    executor.run(1);
    executor.put_woken_ahead();
    wakers.borrow()[0].wake_by_ref();
    assert!(executor.has_ready());
    executor.shutdown();
    ledger.expect(&["dropped"]);
    assert!(!executor.has_ready());
}

#[test]
fn a_task_may_spawn_while_it_is_polled() {
    let (executor, _) = executor();
    let _entered = enter(executor.clone());
    let handle = executor.spawn(async {
        let tasks: Vec<_> = (0..10).map(|n| spawn(async move { n })).collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        sum
    });
    settle(&executor);
    assert_eq!(result_of(handle).unwrap(), 45);
}

#[test]
fn a_future_may_spawn_while_it_is_dropped() {
    let (executor, _) = executor();
    let _entered = enter(executor.clone());
    let ledger = Ledger::default();
    let noted = ledger.clone();
    let spawns = OnDrop(Some(move || drop(spawn(async move { noted.note("late task ran") }))));
    executor.spawn(async move { drop(spawns) });
    settle(&executor);
    ledger.expect(&["late task ran"]);
}

#[test]
fn slots_are_used_again_and_stale_wakers_miss_the_new_tasks() {
    let (executor, _) = executor();
    let _entered = enter(executor.clone());
    let rounds = if cfg!(miri) { 20 } else { 1000 };
    let stale = Rc::new(RefCell::new(Vec::new()));
    for _ in 0..rounds {
        let handle = executor.spawn(forever(&stale));
        settle(&executor);
        handle.abort();
    }
    let polls = Rc::default();
    let survivor = executor.spawn(forever(&polls));
    settle(&executor);
    stale.borrow().iter().for_each(Waker::wake_by_ref);
    assert!(!executor.has_ready());
    settle(&executor);
    assert_eq!((polls.borrow().len(), survivor.is_finished()), (1, false));
    assert!(polls.borrow().iter().all(|new| stale.borrow().iter().all(|old| !old.will_wake(new))));
}

#[test]
fn entering_twice_restores_the_executor_from_before() {
    let (outer, _) = executor();
    let (nested, _) = executor();
    let _outer = enter(outer.clone());
    {
        let _nested = enter(nested.clone());
        drop(spawn(async {}));
    }
    assert!(nested.has_ready());
    assert!(!outer.has_ready());
    drop(spawn(async {}));
    assert!(outer.has_ready());
}

#[test]
#[should_panic(expected = "uring::spawn: no runtime is running on this thread")]
fn spawning_without_a_runtime_panics_with_the_remedy() {
    drop(spawn(pending::<()>()));
}

#[test]
#[should_panic(expected = "polled after it gave the result")]
fn a_handle_polled_after_its_result_panics() {
    let (executor, _) = executor();
    let mut handle = executor.spawn(async {});
    settle(&executor);
    assert!(poll_once(&mut handle).is_ready());
    let _ = poll_once(&mut handle);
}

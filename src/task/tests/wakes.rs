//! Wakes: at home, from other threads, of the main future (requirements 4 and 46).

use std::{sync::Mutex, thread};

use super::*;

/// A task that waits for ever and was polled once; the wakers of its polls, and its handle.
fn waiting(executor: &Executor) -> (Rc<RefCell<Vec<Waker>>>, JoinHandle<()>) {
    let wakers = Rc::new(RefCell::new(Vec::new()));
    let handle = executor.spawn(forever(&wakers));
    settle(executor);
    (wakers, handle)
}

#[test]
fn many_wakes_before_a_poll_lead_to_one_poll() {
    let (executor, unparks) = executor();
    let _entered = enter(executor.clone());
    let (wakers, _handle) = waiting(&executor);
    let waker = wakers.borrow()[0].clone();
    for _ in 0..5 {
        waker.wake_by_ref();
    }
    assert!(executor.has_ready());
    settle(&executor);
    assert_eq!(wakers.borrow().len(), 2);
    assert_eq!(unparks.get(), 0);
    assert!(wakers.borrow()[1].will_wake(&waker), "one waker serves every poll");
}

#[test]
fn a_wake_that_takes_the_last_waker_polls_the_task_once_more_and_keeps_it() {
    let (executor, _) = executor();
    let _entered = enter(executor.clone());
    let (wakers, _handle) = waiting(&executor);
    for _ in 0..3 {
        wakers.take().remove(0).wake();
        assert!(executor.has_ready());
        settle(&executor);
        assert_eq!(wakers.borrow().len(), 1);
    }
    // Queued already: one poll all the same.
    let waker = wakers.take().remove(0);
    waker.wake_by_ref();
    waker.wake();
    settle(&executor);
    assert_eq!(wakers.borrow().len(), 1);
}

#[test]
fn a_wake_that_takes_the_last_waker_of_a_task_that_has_ended_does_nothing() {
    let (executor, unparks) = executor();
    let _entered = enter(executor.clone());
    let (wakers, handle) = waiting(&executor);
    handle.abort();
    wakers.take().remove(0).wake();
    assert!(!executor.has_ready() && handle.is_finished());
    drop(handle);
    assert_eq!((executor.tasks(), unparks.get()), (0, 0));
}

#[test]
fn a_wake_at_home_but_outside_of_the_runtime_is_not_lost() {
    let (executor, unparks) = executor();
    let (wakers, _handle) = waiting(&executor);
    wakers.borrow()[0].wake_by_ref();
    assert_eq!(unparks.get(), 1);
    assert!(executor.has_ready());
    settle(&executor);
    assert_eq!(wakers.borrow().len(), 2);
}

#[test]
fn a_wake_for_another_executor_of_this_thread_goes_to_that_one() {
    let (first, unparks) = executor();
    let (second, _) = executor();
    let wakers = Rc::new(RefCell::new(Vec::new()));
    drop(first.spawn(forever(&wakers)));
    settle(&first);
    let _entered = enter(second.clone());
    wakers.borrow()[0].wake_by_ref();
    assert!(first.has_ready());
    assert!(!second.has_ready());
    assert_eq!(unparks.get(), 1);
}

#[test]
fn a_wake_from_another_thread_unparks_and_is_fetched_by_the_next_run() {
    let (executor, unparks) = executor();
    let _entered = enter(executor.clone());
    let (wakers, _handle) = waiting(&executor);
    let waker = wakers.borrow()[0].clone();
    thread::spawn(move || {
        waker.wake_by_ref();
        waker.wake();
    })
    .join()
    .unwrap();
    assert_eq!(unparks.get(), 1);
    assert!(executor.has_ready());
    assert!(!run(&executor, 64));
    assert_eq!(wakers.borrow().len(), 2);
}

#[test]
fn more_wakes_from_other_threads_than_one_run_fetches_are_all_served() {
    let (executor, _) = executor();
    let wakers = Rc::new(RefCell::new(Vec::new()));
    let tasks = if cfg!(miri) { 260 } else { 600 };
    for _ in 0..tasks {
        executor.spawn(forever(&wakers));
    }
    settle(&executor);
    let woken = wakers.take();
    thread::spawn(move || woken.into_iter().for_each(Waker::wake)).join().unwrap();
    assert!(run(&executor, usize::MAX));
    settle(&executor);
    assert_eq!(wakers.borrow().len(), tasks);
}

#[test]
fn a_wake_that_arrives_after_the_abort_does_not_poll_the_task_that_took_the_slot() {
    let (executor, _) = executor();
    let (wakers, aborted) = waiting(&executor);
    let waker = wakers.take().remove(0);
    thread::spawn(move || waker.wake()).join().unwrap();
    aborted.abort();
    let successor = executor.spawn(forever(&wakers));
    settle(&executor);
    assert_eq!((wakers.borrow().len(), successor.is_finished()), (1, false));
}

/// Everybody who can be the last to let a task go, in every order, the executor included.
#[test]
fn a_task_is_freed_once_whoever_lets_it_go_last() {
    for (order, by_value) in (0..48).map(|order| (order / 2, order % 2 == 1)) {
        let (executor, unparks) = executor();
        let entered = enter(executor.clone());
        let wakers = Rc::new(RefCell::new(Vec::new()));
        let output = Rc::new(());
        let (kept, given) = (wakers.clone(), output.clone());
        let handle = executor.spawn(async move {
            poll_fn(move |cx| {
                kept.borrow_mut().push(cx.waker().clone());
                if kept.borrow().len() == 2 { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            given
        });
        settle(&executor);
        wakers.borrow()[0].wake_by_ref();
        if order % 2 == 0 {
            settle(&executor);
        }
        let here = wakers.take().remove(0);
        let there = here.clone();
        let mut steps: Vec<Box<dyn FnOnce()>> = vec![
            Box::new(move || drop(handle)),
            Box::new(move || drop((entered, executor))),
            Box::new(move || if by_value { here.wake() } else { here.wake_by_ref() }),
            Box::new(move || thread::spawn(move || there.wake_by_ref()).join().unwrap()),
        ];
        let mut left = order;
        while !steps.is_empty() {
            let next = left % steps.len();
            left /= steps.len();
            steps.remove(next)();
        }
        assert_eq!(Rc::strong_count(&output), 1);
        assert_eq!(Arc::strong_count(&unparks), 1);
    }
}

#[test]
fn no_wake_of_four_threads_is_lost() {
    struct Parked(thread::Thread);
    impl Unpark for Parked {
        fn unpark(&self) {
            self.0.unpark();
        }
    }
    let rounds = if cfg!(miri) { 20 } else { 2000 };
    let executor = Executor::new(Arc::new(Parked(thread::current())));
    let _entered = enter(executor.clone());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let shared = Arc::new((AtomicUsize::new(0), Mutex::new(None::<Waker>)));
            let theirs = shared.clone();
            let task = executor.spawn(poll_fn(move |cx| {
                let (steps, waker) = &*theirs;
                *waker.lock().unwrap() = Some(cx.waker().clone());
                match steps.load(Ordering::Relaxed) {
                    done if done == rounds => Poll::Ready(()),
                    _ => Poll::Pending,
                }
            }));
            let thread = thread::spawn(move || {
                for _ in 0..rounds {
                    shared.0.fetch_add(1, Ordering::Relaxed);
                    let waker = shared.1.lock().unwrap().clone();
                    if let Some(waker) = waker {
                        waker.wake();
                    }
                }
            });
            (task, thread)
        })
        .collect();
    loop {
        let busy = run(&executor, 64);
        if threads.iter().all(|(task, _)| task.is_finished()) {
            break;
        }
        if !busy {
            thread::park();
        }
    }
    for (_, thread) in threads {
        thread.join().unwrap();
    }
}

#[test]
fn the_main_future_is_woken_at_home_without_an_unpark() {
    let (executor, unparks) = executor();
    let _entered = enter(executor.clone());
    assert!(!executor.take_main_woken());
    executor.main_waker().wake();
    assert!(executor.has_ready());
    assert!(run(&executor, 64));
    assert!(executor.take_main_woken());
    assert!(!executor.take_main_woken());
    assert!(!run(&executor, 64));
    assert_eq!(unparks.get(), 0);
}

#[test]
fn the_main_future_is_woken_from_another_thread_with_an_unpark() {
    let (executor, unparks) = executor();
    let _entered = enter(executor.clone());
    let waker = executor.main_waker();
    thread::spawn(move || {
        waker.wake_by_ref();
        waker.wake();
    })
    .join()
    .unwrap();
    assert_eq!(unparks.get(), 1);
    assert!(executor.take_main_woken());
    assert!(executor.main_waker().will_wake(&executor.main_waker()));
}

#[test]
fn a_task_that_runs_the_executor_it_is_in_panics_with_the_remedy() {
    let (executor, _) = executor();
    let nested = Rc::downgrade(&executor);
    let handle = executor.spawn(async move { nested.upgrade().unwrap().run(1) });
    settle(&executor);
    let error = result_of(handle).unwrap_err();
    assert!(error.to_string().contains("return to the loop instead"), "{error}");
}

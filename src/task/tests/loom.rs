//! Wakers called by other threads while the home thread polls, aborts, reuses and ends: every order of it.

use std::{cell::Cell, sync::Arc};

use ::loom::sync::atomic::AtomicUsize;
use ::loom::{sync::Mutex, thread};

use super::*;
use crate::sync::tests::{Bell, in_every_order};

impl Unpark for Bell {
    fn unpark(&self) {
        self.ring();
    }
}

/// An executor, and the loop that runs it: it sleeps when nothing is ready.
struct Home {
    executor: Rc<Executor>,
    bell: Arc<Bell>,
    _entered: crate::task::Entered,
}

impl Home {
    fn new() -> Home {
        let bell = Bell::new();
        let executor = Executor::new(bell.clone());
        Home { _entered: enter(executor.clone()), executor, bell }
    }

    fn run_until(&self, done: impl Fn() -> bool) {
        while !done() {
            if !run(&self.executor, 64) {
                if done() {
                    return;
                }
                self.bell.wait();
            }
        }
    }
}

/// Relaxed, so that nothing but the wakes makes it visible.
fn raise(number: &AtomicUsize) {
    number.fetch_add(1, Ordering::Relaxed);
}

fn spawn_waking(number: &Arc<AtomicUsize>, waker: &Waker) -> thread::JoinHandle<()> {
    let (number, waker) = (Arc::clone(number), waker.clone());
    thread::spawn(move || {
        raise(&number);
        waker.wake();
    })
}

/// A task that waits for a number to reach its goal, with the waker of its first poll.
fn counting(home: &Home, number: &Arc<AtomicUsize>, goal: usize) -> (JoinHandle<()>, Waker) {
    let (wakers, number) = (Rc::new(RefCell::new(Vec::new())), Arc::clone(number));
    let kept = wakers.clone();
    let handle = home.executor.spawn(poll_fn(move |context| {
        if kept.borrow().is_empty() {
            kept.borrow_mut().push(context.waker().clone());
        }
        match number.load(Ordering::Relaxed) {
            reached if reached >= goal => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }));
    home.executor.run(64);
    let waker = wakers.take().remove(0);
    (handle, waker)
}

#[test]
fn two_threads_wake_one_task_and_it_sees_what_both_wrote() {
    in_every_order("one task, two wakes", Some(3), || {
        let (home, number) = (Home::new(), Arc::new(AtomicUsize::new(0)));
        let (handle, waker) = counting(&home, &number, 2);
        let waking = [0, 1].map(|_| spawn_waking(&number, &waker));
        drop(waker);
        home.run_until(|| handle.is_finished());
        for thread in waking {
            thread.join().expect("a waking thread");
        }
    });
}

#[test]
fn two_tasks_are_woken_by_a_thread_each() {
    in_every_order("two tasks, a wake each", Some(3), || {
        let home = Home::new();
        let tasks = [0, 1].map(|_| {
            let number = Arc::new(AtomicUsize::new(0));
            let (handle, waker) = counting(&home, &number, 1);
            (handle, spawn_waking(&number, &waker))
        });
        home.run_until(|| tasks.iter().all(|(handle, _)| handle.is_finished()));
        for (_, waking) in tasks {
            waking.join().expect("a waking thread");
        }
    });
}

#[test]
fn a_waker_that_is_registered_while_the_other_side_looks_for_it_is_called() {
    in_every_order("a wake beside its registration", Some(3), || {
        let home = Home::new();
        let shared = Arc::new((AtomicUsize::new(0), Mutex::new(None::<Waker>)));
        let theirs = Arc::clone(&shared);
        let waking = thread::spawn(move || {
            raise(&theirs.0);
            let waker = theirs.1.lock().expect("nobody panics with it").take();
            if let Some(waker) = waker {
                waker.wake();
            }
        });
        let handle = home.executor.spawn(poll_fn(move |context| {
            let waker = context.waker().clone();
            *shared.1.lock().expect("nobody panics with it") = Some(waker);
            match shared.0.load(Ordering::Relaxed) {
                0 => Poll::Pending,
                _ => Poll::Ready(()),
            }
        }));
        home.run_until(|| handle.is_finished());
        waking.join().expect("the waking thread");
    });
}

#[test]
fn the_main_future_is_woken_and_sees_what_was_written() {
    in_every_order("the main future", Some(3), || {
        let (home, number) = (Home::new(), Arc::new(AtomicUsize::new(0)));
        let waking = [0, 1].map(|_| spawn_waking(&number, &home.executor.main_waker()));
        while number.load(Ordering::Relaxed) < 2 {
            if !home.executor.take_main_woken() {
                home.bell.wait();
            }
        }
        for thread in waking {
            thread.join().expect("a waking thread");
        }
    });
}

#[test]
fn a_wake_after_the_abort_reaches_neither_the_task_nor_its_successor() {
    in_every_order("a wake beside an abort", Some(3), || {
        let (home, number) = (Home::new(), Arc::new(AtomicUsize::new(0)));
        let (aborted, waker) = counting(&home, &number, usize::MAX);
        let waking = spawn_waking(&number, &waker);
        drop(waker);
        aborted.abort();
        // Takes the slot, and the waker as well if the thread is done with it.
        let polls = Rc::new(Cell::new(0));
        let counted = Rc::clone(&polls);
        let successor = home.executor.spawn(poll_fn(move |_| {
            counted.set(counted.get() + 1);
            Poll::<()>::Pending
        }));
        settle(&home.executor);
        waking.join().expect("the waking thread");
        settle(&home.executor);
        assert_eq!((polls.get(), successor.is_finished()), (1, false));
    });
}

#[test]
fn a_waker_may_be_called_and_dropped_while_and_after_its_executor_ends() {
    in_every_order("a wake beside the end", Some(3), || {
        let (home, number) = (Home::new(), Arc::new(AtomicUsize::new(0)));
        let (handle, waker) = counting(&home, &number, usize::MAX);
        let waking =
            [spawn_waking(&number, &waker), spawn_waking(&number, &home.executor.main_waker())];
        home.executor.shutdown();
        drop(home);
        for thread in waking {
            thread.join().expect("a waking thread");
        }
        waker.wake();
        assert!(handle.is_finished());
    });
}

#[test]
fn more_calls_than_one_run_fetches_are_each_served_once() {
    in_every_order("the remote queue", Some(3), || {
        let home = Home::new();
        let polls = [0, 1].map(|_| {
            let (polls, number) = (Rc::new(Cell::new(0)), Arc::new(AtomicUsize::new(0)));
            let counted = polls.clone();
            let kept = Rc::new(RefCell::new(None));
            let keeps = kept.clone();
            drop(home.executor.spawn(poll_fn(move |context| {
                counted.set(counted.get() + 1);
                keeps.borrow_mut().get_or_insert_with(|| context.waker().clone());
                Poll::<()>::Pending
            })));
            home.executor.run(64);
            let waker = kept.borrow().clone().expect("it was polled");
            (polls, spawn_waking(&number, &waker))
        });
        home.run_until(|| polls.iter().all(|(polls, _)| polls.get() == 2));
        for (_, waking) in polls {
            waking.join().expect("a waking thread");
        }
        assert!(!home.executor.has_ready());
    });
}

/// The queue is kept by every task that has wakers left, and keeps the bell: once the bell is ours alone, both
/// tasks (that of the main future is the other) were freed. That all cells were at rest by then is what loom's say.
#[test]
fn the_last_of_wakers_here_and_there_frees_the_task_once() {
    in_every_order("the last waker", Some(2), || {
        let (home, number) = (Home::new(), Arc::new(AtomicUsize::new(0)));
        let bell = Arc::clone(&home.bell);
        let (handle, waker) = counting(&home, &number, 1);
        let waking = [0, 1].map(|_| {
            let (number, waker) = (Arc::clone(&number), waker.clone());
            thread::spawn(move || {
                let another = waker.clone();
                drop(waker);
                raise(&number);
                another.wake_by_ref();
                drop(another);
            })
        });
        home.run_until(|| handle.is_finished());
        drop(handle);
        drop(home);
        drop(waker);
        for thread in waking {
            thread.join().expect("a waking thread");
        }
        assert_eq!(Arc::strong_count(&bell), 1);
    });
}

/// The waker that a wake at home takes is the task's last there, while a thread lets go of another.
#[test]
fn a_wake_that_takes_its_waker_at_home_beside_a_drop_abroad_and_the_end_finds_the_task() {
    in_every_order("a wake that takes its waker", Some(3), || {
        let (home, number) = (Home::new(), Arc::new(AtomicUsize::new(0)));
        let bell = Arc::clone(&home.bell);
        let (handle, waker) = counting(&home, &number, 1);
        let theirs = waker.clone();
        let abroad = thread::spawn(move || drop(theirs));
        drop(handle);
        raise(&number);
        waker.wake();
        home.executor.run(64);
        assert_eq!(home.executor.tasks(), 0);
        drop(home);
        abroad.join().expect("the other thread");
        assert_eq!(Arc::strong_count(&bell), 1);
    });
}

/// One waker each that was counted in the cell, dropped abroad; one that was counted abroad, dropped at home.
#[test]
fn wakers_that_are_dropped_on_the_other_side_are_counted_right_beside_the_end() {
    in_every_order("wakers that change sides", Some(3), || {
        let (home, number) = (Home::new(), Arc::new(AtomicUsize::new(0)));
        let bell = Arc::clone(&home.bell);
        let (handle, waker) = counting(&home, &number, usize::MAX);
        let sent = Arc::new(Mutex::new(None));
        let theirs = Arc::clone(&sent);
        let abroad = thread::spawn(move || {
            let back = waker.clone();
            drop(waker);
            *theirs.lock().expect("nobody panics with it") = Some(back);
        });
        handle.abort();
        drop(handle);
        drop(sent.lock().expect("nobody panics with it").take());
        home.executor.run(64);
        drop(home);
        drop(sent.lock().expect("nobody panics with it").take());
        abroad.join().expect("the other thread");
        drop(sent.lock().expect("nobody panics with it").take());
        assert_eq!(Arc::strong_count(&bell), 1);
    });
}

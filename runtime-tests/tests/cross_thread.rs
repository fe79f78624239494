//! Wakes from other threads: none is lost, whenever it comes.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use futures::channel::oneshot;
use runtime_tests::{CountWakes, On, Watchdog, kernels, on_every_kernel, one_turn, steps};
use uring::{Runtime, op};

const LIMIT: Duration = Duration::from_secs(120);

/// A few of the kernels: what happens between threads is the same on all, and takes its time.
fn on_some_kernels(test: impl Fn(&Runtime, &On)) {
    let _watchdog = Watchdog::new(LIMIT);
    for on in kernels().into_iter().step_by(if cfg!(miri) { 1 } else { 5 }) {
        let runtime = on.runtime();
        test(&runtime, &on);
        assert_eq!(runtime.metrics().strange_completions, 0);
    }
}

/// A number that other threads raise, and who waits for it to.
#[derive(Default)]
struct Counter {
    count: AtomicUsize,
    waiting: Mutex<Option<Waker>>,
}

impl Counter {
    fn raise(&self) {
        self.count.fetch_add(1, Ordering::Release);
        let waiting = self.waiting.lock().expect("nobody panics with it").take();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    /// Waits until the number is more than `seen`; returns it.
    async fn more_than(&self, seen: usize) -> usize {
        poll_fn(|context| {
            *self.waiting.lock().expect("nobody panics with it") = Some(context.waker().clone());
            match self.count.load(Ordering::Acquire) {
                count if count > seen => Poll::Ready(count),
                _ => Poll::Pending,
            }
        })
        .await
    }
}

#[test]
fn a_sleeping_main_future_is_woken_by_another_thread() {
    on_some_kernels(|runtime, _| {
        for _ in 0..steps(50, 3) {
            let (sender, receiver) = oneshot::channel();
            let thread = thread::spawn(move || sender.send(7));
            assert_eq!(runtime.block_on(receiver), Ok(7));
            thread.join().expect("the thread").expect("the receiver is there");
        }
    });
}

#[test]
fn a_sleeping_task_is_woken_by_another_thread() {
    on_some_kernels(|runtime, _| {
        let (sender, receiver) = oneshot::channel();
        let thread = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            sender.send(7)
        });
        let task = runtime.spawn(receiver);
        assert_eq!(runtime.block_on(task).expect("a task"), Ok(7));
        thread.join().expect("the thread").expect("the receiver is there");
    });
}

/// `req_4`
#[test]
fn no_wake_of_four_threads_is_lost() {
    on_some_kernels(|runtime, on| {
        let each = if on.is_linux() { 25_000 } else { steps(2_000, 50) };
        let counter = Arc::new(Counter::default());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let counter = Arc::clone(&counter);
                thread::spawn(move || (0..each).for_each(|_| counter.raise()))
            })
            .collect();
        runtime.block_on(async {
            let mut seen = 0;
            while seen < 4 * each {
                seen = counter.more_than(seen).await;
            }
        });
        for thread in threads {
            thread.join().expect("the thread");
        }
    });
}

/// `req_4`, `req_46`: ten million wakes; a lost one leaves a task asleep, and the watchdog ends the program.
#[test]
fn ten_million_wakes_of_many_tasks_by_four_threads_lose_none() {
    const THREADS: usize = 4;
    const TASKS: usize = 16;
    let _watchdog = Watchdog::new(LIMIT);
    let on = kernels().remove(0);
    let rounds = steps(10_000_000 / (THREADS * TASKS), 20);
    let runtime = on.runtime();
    let (send, receive) = mpsc::channel();
    let (counts, tasks): (Vec<_>, Vec<_>) = (0..TASKS)
        .map(|number| {
            let count = Arc::new(AtomicUsize::new(0));
            let (theirs, send) = (Arc::clone(&count), send.clone());
            let mut told = false;
            let task = runtime.spawn(poll_fn(move |context| {
                if !told {
                    told = true;
                    send.send((number, context.waker().clone())).expect("the test waits");
                }
                // Relaxed: the wake is all that may make the number visible.
                match theirs.load(Ordering::Relaxed) {
                    count if count == THREADS * rounds => Poll::Ready(()),
                    _ => Poll::Pending,
                }
            }));
            (count, task)
        })
        .unzip();
    runtime.block_on(one_turn());
    let mut wakers: Vec<(usize, Waker)> = receive.iter().take(TASKS).collect();
    wakers.sort_by_key(|(number, _)| *number);
    let threads: Vec<_> = (0..THREADS)
        .map(|start| {
            let (wakers, counts) = (wakers.clone(), counts.clone());
            thread::spawn(move || {
                for _ in 0..rounds {
                    for number in (0..TASKS).map(|number| (number + start * 5) % TASKS) {
                        counts[number].fetch_add(1, Ordering::Relaxed);
                        let waker = wakers[number].1.clone();
                        waker.wake();
                    }
                }
            })
        })
        .collect();
    drop(wakers);
    runtime.block_on(async {
        for task in tasks {
            task.await.expect("a task");
        }
    });
    for thread in threads {
        thread.join().expect("the thread");
    }
    println!("{} wakes on {on:?}", THREADS * TASKS * rounds);
}

/// `req_4`
#[test]
fn wakers_may_be_cloned_called_and_dropped_by_threads_while_their_runtime_ends() {
    let _watchdog = Watchdog::new(LIMIT);
    for on in kernels().into_iter().step_by(if cfg!(miri) { 1 } else { 5 }) {
        for _ in 0..steps(50, 2) {
            let runtime = on.runtime();
            let (send, receive) = mpsc::channel::<Waker>();
            for _ in 0..4 {
                let send = send.clone();
                runtime.spawn(poll_fn(move |context| {
                    send.send(context.waker().clone()).expect("the threads wait");
                    Poll::<()>::Pending
                }));
            }
            drop(send);
            runtime.block_on(one_turn());
            let wakers: Vec<Waker> = receive.try_iter().collect();
            assert_eq!(wakers.len(), 4);
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let wakers = wakers.clone();
                    thread::spawn(move || {
                        for _ in 0..steps(100, 4) {
                            wakers.clone().into_iter().for_each(Waker::wake);
                        }
                        wakers.into_iter().for_each(Waker::wake);
                    })
                })
                .collect();
            drop(wakers);
            runtime.block_on(one_turn());
            drop(runtime);
            for thread in threads {
                thread.join().expect("no panic");
            }
        }
    }
}

#[test]
fn every_round_trip_to_another_thread_comes_back() {
    on_some_kernels(|runtime, on| {
        let rounds = if on.is_linux() { 5_000 } else { steps(500, 20) };
        let counter = Arc::new(Counter::default());
        let (ask, asked) = mpsc::channel::<()>();
        let answering = Arc::clone(&counter);
        // The loop sleeps again and again, and is woken while it falls asleep, asleep, or waking up.
        let thread = thread::spawn(move || {
            while asked.recv().is_ok() {
                answering.raise();
            }
        });
        runtime.block_on(async {
            for round in 0..rounds {
                ask.send(()).expect("the thread is there");
                assert_eq!(counter.more_than(round).await, round + 1);
            }
        });
        drop(ask);
        thread.join().expect("the thread");
    });
}

#[test]
fn wakes_beside_operations_lose_neither() {
    on_some_kernels(|runtime, on| {
        let rounds = if on.is_linux() { 5_000 } else { steps(500, 20) };
        let counter = Arc::new(Counter::default());
        let stop = Arc::new(AtomicBool::new(false));
        let (raising, stopped) = (Arc::clone(&counter), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                raising.raise();
                thread::yield_now();
            }
        });
        runtime.block_on(async {
            let waiting = Arc::clone(&counter);
            let woken = uring::spawn(async move {
                let mut seen = 0;
                for _ in 0..10 {
                    seen = waiting.more_than(seen).await;
                }
            });
            for _ in 0..rounds {
                op::submit(op::Nop).await.expect("a nop");
            }
            woken.await.expect("a task");
        });
        stop.store(true, Ordering::Relaxed);
        thread.join().expect("the thread");
    });
}

#[test]
fn a_waker_that_outlives_its_runtime_does_nothing() {
    on_every_kernel(|_, on| {
        let (send, receive) = mpsc::channel();
        let other = on.runtime();
        let send_waker = send.clone();
        other.spawn(poll_fn(move |context| {
            send_waker.send(context.waker().clone()).expect("the test waits");
            Poll::<()>::Pending
        }));
        other.block_on(async {
            poll_fn(|context| {
                send.send(context.waker().clone()).expect("the test waits");
                Poll::Ready(())
            })
            .await;
            one_turn().await;
        });
        drop(other);
        drop(send);
        let wakers: Vec<Waker> = receive.into_iter().collect();
        assert_eq!(wakers.len(), 2);
        wakers.iter().for_each(Waker::wake_by_ref);
        thread::spawn(move || wakers.into_iter().for_each(Waker::wake)).join().expect("no panic");
    });
}

#[test]
fn a_task_that_has_ended_is_not_woken_by_its_old_waker() {
    on_every_kernel(|runtime, _| {
        let polls = Arc::new(CountWakes::default());
        runtime.block_on(async {
            let (send, receive) = mpsc::channel();
            uring::spawn(poll_fn(move |context| {
                send.send(context.waker().clone()).expect("the test waits");
                Poll::Ready(())
            }))
            .await
            .expect("a task");
            let old = receive.recv().expect("a waker");
            // Takes the slot of the first one.
            let counted = Waker::from(Arc::clone(&polls));
            let next = uring::spawn(poll_fn(move |_| {
                counted.wake_by_ref();
                Poll::<()>::Pending
            }));
            one_turn().await;
            old.wake_by_ref();
            thread::spawn(move || old.wake()).join().expect("no panic");
            one_turn().await;
            one_turn().await;
            next.abort();
        });
        assert_eq!(polls.count(), 1, "polled once, when it was spawned");
    });
}

#[test]
fn two_runtimes_on_two_threads_wake_each_other() {
    let _watchdog = Watchdog::new(LIMIT);
    if cfg!(miri) {
        return runtime_tests::skipped("Miri has no io_uring");
    }
    let (left, right) = (Arc::new(Counter::default()), Arc::new(Counter::default()));
    let play = |mine: Arc<Counter>, theirs: Arc<Counter>, begins: bool| {
        thread::spawn(move || {
            On::Linux { rung: 0 }.runtime().block_on(async {
                for round in 0..5_000 {
                    if begins {
                        theirs.raise();
                    }
                    mine.more_than(round).await;
                    if !begins {
                        theirs.raise();
                    }
                }
            });
        })
    };
    let players = [play(left.clone(), right.clone(), true), play(right, left, false)];
    for player in players {
        player.join().expect("a player");
    }
}

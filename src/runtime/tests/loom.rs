//! Executor and driver's sleep as the loop ties them: a wake ends the sleep that it was too late to prevent.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};

use ::loom::sync::atomic::AtomicUsize;
use ::loom::thread;

use crate::driver::Unpark;
use crate::sync::tests::{Bell, in_every_order};
use crate::task::{self, Executor};

/// How [`Runtime::block_on`](crate::Runtime::block_on) sleeps, with a bell for a ring.
struct Loop {
    executor: Rc<Executor>,
    unpark: Arc<Unpark>,
    bell: Arc<Bell>,
    sleeps: Cell<usize>,
}

impl Loop {
    fn new() -> Loop {
        let bell = Bell::new();
        let unpark = Arc::new(Unpark::through_kernel(bell.clone()));
        let executor = Executor::new(unpark.clone());
        Loop { executor, unpark, bell, sleeps: Cell::new(0) }
    }

    /// Until `done`, which is the main future: asked when it was woken.
    fn block_on(&self, done: impl Fn() -> bool) {
        let _entered = task::enter(Rc::clone(&self.executor));
        let mut woken = true;
        loop {
            if woken && done() {
                return;
            }
            let left = self.executor.run(64);
            assert!(left > 0, "fewer tasks than a turn has polls");
            if !self.executor.has_ready() && self.unpark.park() {
                self.sleeps.set(self.sleeps.get() + 1);
                self.bell.wait();
                self.unpark.unparked();
            }
            woken = self.executor.take_main_woken();
        }
    }
}

fn spawn_waking(written: &Arc<AtomicUsize>, waker: Waker) -> thread::JoinHandle<()> {
    let written = Arc::clone(written);
    thread::spawn(move || {
        written.fetch_add(1, Ordering::Relaxed);
        waker.wake();
    })
}

#[test]
fn the_main_future_waits_for_two_threads_and_one_sleep_is_signalled_once() {
    in_every_order("the loop and its main future", Some(3), || {
        let (main, written) = (Loop::new(), Arc::new(AtomicUsize::new(0)));
        let waking = [0, 1].map(|_| spawn_waking(&written, main.executor.main_waker()));
        main.block_on(|| written.load(Ordering::Relaxed) == 2);
        for thread in waking {
            thread.join().expect("a waking thread");
        }
        assert!(main.bell.times() <= main.sleeps.get(), "signalled twice, or awake");
    });
}

#[test]
fn the_main_future_waits_for_a_task_that_another_thread_wakes() {
    in_every_order("the loop and a task", Some(3), || {
        let (main, written) = (Loop::new(), Arc::new(AtomicUsize::new(0)));
        let (waker, waiting) = (Rc::new(Cell::new(None)), Rc::new(Cell::new(true)));
        let (kept, over, seen) = (Rc::clone(&waker), Rc::clone(&waiting), Arc::clone(&written));
        let for_main = main.executor.main_waker();
        main.executor.spawn(poll_fn(move |context| {
            if seen.load(Ordering::Relaxed) == 0 {
                kept.set(Some(context.waker().clone()));
                return Poll::Pending;
            }
            over.set(false);
            for_main.wake_by_ref();
            Poll::Ready(())
        }));
        main.executor.run(1);
        let waking = spawn_waking(&written, waker.take().expect("it was polled"));
        main.block_on(|| !waiting.get());
        waking.join().expect("the waking thread");
    });
}

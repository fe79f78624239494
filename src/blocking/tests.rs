//! The pool by itself: who runs, who waits, how it ends.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};
use std::time::Duration;

use super::*;
use futures::FutureExt;

/// Wakes a thread that is parked.
struct Unparks(Thread);

impl Wake for Unparks {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Arc::new(Unparks(thread::current())).into();
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

const LONG: Duration = Duration::from_secs(600);

fn pool(max_threads: usize) -> Pool {
    Pool::new(max_threads, LONG)
}

/// A call that has begun and ends when told.
fn busy(pool: &Pool, at_shutdown: AtShutdown) -> mpsc::Sender<()> {
    let (begun, has_begun) = mpsc::channel();
    let (end, told) = mpsc::channel();
    let call = move || {
        begun.send(()).expect("the test waits");
        let _ = told.recv();
    };
    // The call goes on without its future, as it begins before that is dropped.
    let waiting = pool.submit(at_shutdown, call).expect("a thread");
    has_begun.recv().expect("the call runs");
    drop(waiting);
    end
}

fn output<R>(result: Result<R, Ended>) -> R {
    result.unwrap_or_else(|_| panic!("the call has no output"))
}

#[test]
fn a_call_runs_on_another_thread() {
    let pool = pool(1);
    let waiting = pool.submit(AtShutdown::LeaveIt, || thread::current().id());
    let other = output(block_on(waiting.expect("a thread")));
    assert_ne!(other, thread::current().id());
}

#[test]
fn an_idle_thread_is_used_again() {
    let pool = pool(8);
    for n in 0..10 {
        let waiting = pool.submit(AtShutdown::WaitForIt, move || n).expect("a thread");
        assert_eq!(output(block_on(waiting)), n);
        // The answer comes before the thread is idle: only then is it there for the next call.
        while pool.idle() == 0 {
            thread::yield_now();
        }
    }
    assert_eq!(pool.threads(), 1);
}

#[test]
fn there_are_never_more_threads_than_allowed_and_the_rest_waits() {
    let pool = pool(2);
    let ends = [busy(&pool, AtShutdown::LeaveIt), busy(&pool, AtShutdown::LeaveIt)];
    let mut waiting = pool.submit(AtShutdown::LeaveIt, || 3).expect("queued");
    assert!((&mut waiting).now_or_never().is_none());
    assert_eq!(pool.threads(), 2);
    drop(ends);
    assert_eq!(output(block_on(waiting)), 3);
}

#[test]
fn a_call_that_is_dropped_before_it_begins_never_does() {
    let pool = pool(1);
    let end = busy(&pool, AtShutdown::LeaveIt);
    let (ran, has_run) = mpsc::channel();
    let waiting = pool.submit(AtShutdown::LeaveIt, move || ran.send(())).expect("queued");
    drop(waiting);
    assert_eq!(has_run.try_recv(), Err(mpsc::TryRecvError::Disconnected), "dropped at once");
    drop(end);
}

#[test]
fn a_panic_reaches_who_waits_and_the_thread_goes_on() {
    let pool = pool(1);
    let waiting = pool.submit(AtShutdown::LeaveIt, || panic!("on purpose")).expect("a thread");
    match block_on(waiting) {
        Err(Ended::Panicked(panic)) => {
            assert_eq!(*panic.downcast::<&str>().expect("a text"), "on purpose")
        }
        _ => panic!("the call did not panic"),
    }
    let next = pool.submit(AtShutdown::LeaveIt, || 1).expect("a thread");
    assert_eq!(output(block_on(next)), 1);
    assert_eq!(pool.threads(), 1);
}

#[test]
fn a_panic_of_an_output_that_nobody_takes_ends_no_thread() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let pool = pool(1);
    let (go, told) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel();
    let call = move || {
        begun.send(()).expect("the test waits");
        let _ = told.recv();
        Bomb
    };
    let waiting = pool.submit(AtShutdown::LeaveIt, call).expect("a thread");
    has_begun.recv().expect("the call runs");
    drop(waiting);
    drop(go);
    let next = pool.submit(AtShutdown::LeaveIt, || 1).expect("queued");
    assert_eq!(output(block_on(next)), 1);
}

#[test]
fn an_idle_thread_ends() {
    let pool = Pool::new(1, Duration::ZERO);
    let waiting = pool.submit(AtShutdown::LeaveIt, || 1).expect("a thread");
    assert_eq!(output(block_on(waiting)), 1);
    while pool.threads() > 0 {
        thread::yield_now();
    }
    let again = pool.submit(AtShutdown::LeaveIt, || 2).expect("another thread");
    assert_eq!(output(block_on(again)), 2);
}

#[test]
fn closing_drops_what_has_not_begun_and_tells_who_waits() {
    let pool = pool(1);
    let end = busy(&pool, AtShutdown::LeaveIt);
    let queued = pool.submit(AtShutdown::WaitForIt, || 1).expect("queued");
    assert_eq!(pool.close(LONG), 0);
    assert!(matches!(block_on(queued), Err(Ended::Closed)));
    let late = pool.submit(AtShutdown::WaitForIt, || 1).expect("taken");
    assert!(matches!(block_on(late), Err(Ended::Closed)));
    drop(end);
}

#[test]
fn closing_waits_for_a_call_that_has_begun() {
    let pool = pool(1);
    let end = busy(&pool, AtShutdown::WaitForIt);
    let other = thread::spawn(move || end.send(()));
    assert_eq!(pool.close(LONG), 0);
    other.join().expect("no panic").expect("it was running");
}

#[test]
fn closing_gives_up_at_its_limit_and_says_so() {
    let pool = pool(2);
    let _ends = [busy(&pool, AtShutdown::WaitForIt), busy(&pool, AtShutdown::LeaveIt)];
    assert_eq!(pool.close(Duration::ZERO), 1);
}

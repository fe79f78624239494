//! Programs without `unsafe` whose wakers do what an executor's never do: see `docs/soundness.md`.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use runtime_tests::{a_while, on_every_kernel};
use uring::task::yield_now;
use uring::{op, time};

thread_local! {
    static NEXT: RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>> = const { RefCell::new(None) };
}

/// Polls the future of this thread in the very call that wakes it.
struct PollsAtOnce;

impl Wake for PollsAtOnce {
    fn wake(self: Arc<Self>) {
        let Some(mut future) = NEXT.take() else { return };
        if future.as_mut().poll(&mut Context::from_waker(&self.into())).is_pending() {
            NEXT.set(Some(future));
        }
    }
}

/// Whether a flag is set, in the end.
async fn comes(flag: &Cell<bool>) -> bool {
    for _ in 0..100 {
        if flag.get() {
            return true;
        }
        a_while().await;
    }
    NEXT.set(None);
    false
}

#[test]
fn who_waits_to_close_and_polls_while_it_is_woken_finds_itself_alone() {
    on_every_kernel(|runtime, on| {
        runtime.block_on(async {
            let (reader, _writer) = on.pipe();
            let (other, closed) = (reader.clone(), Rc::new(Cell::new(false)));
            let closes = Rc::clone(&closed);
            NEXT.set(Some(Box::pin(async move {
                op::submit(op::Close::new(reader).await).await.expect("closed");
                closes.set(true);
            })));
            Waker::from(Arc::new(PollsAtOnce)).wake();
            assert!(!closed.get(), "there is another clone");
            drop(other);
            assert!(comes(&closed).await, "it was woken once, and found the other clone");
        });
    });
}

#[test]
fn who_waits_for_a_connection_and_polls_while_it_is_woken_gets_its_turn() {
    on_every_kernel(|runtime, on| {
        runtime.block_on(async {
            let (reader, writer) = on.socket_pair();
            let (fd, received) = (reader.clone(), Rc::new(Cell::new(false)));
            let receives = Rc::clone(&received);
            let first = op::lane::Lane::receiving(&reader).hold().await;
            NEXT.set(Some(Box::pin(async move {
                let lane = op::lane::Lane::receiving(&fd).hold().await;
                let recv = op::Recv { buf: vec![0; 1], lane };
                assert_eq!(op::submit(recv).await.expect("received").1, [b'x']);
                receives.set(true);
            })));
            Waker::from(Arc::new(PollsAtOnce)).wake();
            drop(first);
            runtime_tests::put(&writer, b"x").await;
            assert!(comes(&received).await, "it holds the lane, and receives");
        });
    });
}

/// Panics when it is woken.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("woken");
    }
}

/// Polls a future once with a waker that panics when it is woken.
fn poll_with_panic<F: Future>(future: Pin<&mut F>) {
    let waker = Waker::from(Arc::new(Panics));
    assert!(future.poll(&mut Context::from_waker(&waker)).is_pending());
}

fn panics(run: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(run)).is_err()
}

#[test]
fn who_waits_to_close_is_woken_behind_a_waker_that_panics() {
    on_every_kernel(|runtime, on| {
        runtime.block_on(async {
            let (reader, _writer) = on.pipe();
            let other = reader.clone();
            let mut closing = Box::pin(op::Close::new(reader));
            poll_with_panic(closing.as_mut());
            let task = uring::spawn(async move {
                op::submit(closing.await).await.expect("closed");
            });
            yield_now().await;
            assert!(panics(|| drop(other)));
            time::timeout(Duration::from_secs(10), task).await.expect("woken").expect("no panic");
        });
    });
}

#[test]
fn who_waits_for_the_tasks_of_a_scope_is_woken_behind_a_waker_that_panics() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(uring::scope(async |scope| {
            let task = scope.spawn(a_while());
            let mut first = Box::pin(scope.all_done());
            poll_with_panic(first.as_mut());
            let second = scope.clone();
            let second = uring::spawn(async move { second.all_done().await });
            yield_now().await;
            time::timeout(Duration::from_secs(10), second).await.expect("woken").expect("no panic");
            // The wake was part of its end.
            assert!(task.await.expect_err("the waker's panic").is_panic());
        }));
    });
}

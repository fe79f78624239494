//! Programs without `unsafe` whose wakers do what an executor's never do: see `docs/soundness.md`.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use runtime_tests::{a_while, on_every_kernel, on_linux, poll_once, skipped};
use uring::net::{TcpListener, TcpStream};
use uring::op::lane::Lane;
use uring::pool::PoolSetup;
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
            let first = Lane::receiving(&reader).hold().await;
            NEXT.set(Some(Box::pin(async move {
                let lane = Lane::receiving(&fd).hold().await;
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

/// A stream, and its peer.
async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let client = TcpStream::connect(listener.local_addr().expect("its address")).await;
    let (server, _) = listener.accept().await.expect("accepted");
    (server, client.expect("connected"))
}

/// Drops `held` while a panic passes; what the panic says.
fn said_while_dropping<T>(held: T) -> &'static str {
    let bug = move || {
        let _held = held;
        panic!("a bug");
    };
    let panic = catch_unwind(AssertUnwindSafe(bug)).expect_err("it panicked");
    panic.downcast_ref::<&str>().expect("a text")
}

#[test]
fn the_bug_of_who_holds_a_lane_passes_though_the_next_ones_waker_panics_too() {
    on_every_kernel(|runtime, on| {
        runtime.block_on(async {
            let (reader, _writer) = on.socket_pair();
            let held = Lane::receiving(&reader).hold().await;
            let mut next = Box::pin(Lane::receiving(&reader).hold());
            poll_with_panic(next.as_mut());
            assert_eq!(said_while_dropping(held), "a bug");
            drop(time::timeout(Duration::from_secs(10), next).await.expect("its turn"));
        });
    });
}

#[test]
fn the_bug_of_who_has_a_lease_passes_though_the_next_ones_waker_panics_too() {
    on_linux(|runtime| {
        runtime.block_on(async {
            let pool = PoolSetup::new().limit(1).at_first(1).build().expect("a pool");
            let (one, put_one) = connected().await;
            let (two, put_two) = connected().await;
            put_one.send_all("one").await.expect("sent");
            put_two.send_all("two").await.expect("sent");
            let lease = one.recv_leased_from(&pool).await.expect("received");
            let mut next = Box::pin(two.recv_leased_from(&pool));
            if !pool.stats().is_registered {
                return skipped("this kernel chooses no buffers");
            }
            while pool.stats().shortages == 0 {
                assert!(poll_once(&mut next).is_none());
                a_while().await;
            }
            poll_with_panic(next.as_mut());
            assert_eq!(said_while_dropping(lease), "a bug");
            let bytes = time::timeout(Duration::from_secs(10), next).await.expect("a buffer");
            assert_eq!(&bytes.expect("received")[..], b"two");
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

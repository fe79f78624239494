//! Programs without `unsafe` that try to have the library break what it promises: see `docs/soundness.md`.
#![forbid(unsafe_code)]

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io::{Read as _, Write as _};
use std::mem;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use runtime_tests::{Watchdog, a_while, on_every_kernel, on_linux, poll_once, steps};
use uring::fd::Fd;
use uring::net::{TcpListener, TcpStream};
use uring::op::lane::Lane;
use uring::op::{self, Completion, MultiOp, Op};
use uring::pool::PoolSetup;
use uring::ring::{CancelKey, Link, MultiSqe, Sqe};
use uring::sim::Sim;
use uring::task::yield_now;
use uring::{Runtime, time};

/// An operation on others: all it has is its submission.
struct OnOthers(fn() -> Sqe<'static>);

impl Op for OnOthers {
    type Output = i32;

    fn prepare(&mut self) -> Sqe<'_> {
        (self.0)()
    }

    fn complete(self, completion: Completion<Self>) -> i32 {
        completion.raw_result()
    }
}

/// A socket of Linux as the library has it, and its peer as `std` has it.
fn pair() -> (Fd, UnixStream) {
    let (left, right) = UnixStream::pair().expect("a pair of sockets");
    (Fd::from(OwnedFd::from(left)), right)
}

async fn connected() -> (TcpListener, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let client = TcpStream::connect(listener.local_addr().expect("its address")).await;
    let (server, _) = listener.accept().await.expect("accepted");
    (listener, client.expect("connected"), server)
}

fn caught<R>(run: impl FnOnce() -> R) -> thread::Result<R> {
    catch_unwind(AssertUnwindSafe(run))
}

/// Has another operation make its submission, and does not let it know what came of it.
struct Disguised(op::Close);

impl Op for Disguised {
    type Output = std::fs::File;

    fn prepare(&mut self) -> Sqe<'_> {
        self.0.prepare()
    }

    fn complete(self, completion: Completion<Self>) -> std::fs::File {
        assert_eq!(completion.raw_result(), 0, "closed");
        // Gets the number that has become free.
        let file = std::fs::File::open("/dev/null").expect("a file");
        drop(self.0);
        file
    }
}

#[test]
fn a_close_in_the_disguise_of_another_operation_closes_nobody_elses_descriptor() {
    on_linux(|runtime| {
        runtime.block_on(async {
            let (fd, _peer) = pair();
            let file = op::submit(Disguised(op::Close::new(fd).await)).await;
            let target = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
            assert_eq!(target.expect("still open"), Path::new("/dev/null"));
        });
    });
}

/// Has a receive that keeps a pool make its submission, and drops it at the first bytes.
struct LetsGo {
    receive: RefCell<Option<op::RecvMulti>>,
}

impl MultiOp for LetsGo {
    type Item = i32;

    fn prepare(&mut self) -> MultiSqe<'_> {
        self.receive.get_mut().as_mut().expect("not yet dropped").prepare()
    }

    fn shot(&self, completion: Completion<Self>) -> i32 {
        drop(self.receive.take());
        completion.raw_result()
    }
}

#[test]
fn a_receive_that_is_dropped_inside_of_another_operation_takes_no_pool_from_the_kernel() {
    on_linux(|runtime| {
        runtime.block_on(async {
            let (fd, mut peer) = pair();
            let pool = PoolSetup::new().build().expect("a pool");
            let held = Lane::receiving(&fd).hold().await;
            let Ok(receive) = op::RecvMulti::new(pool, held) else {
                return runtime_tests::skipped("the kernel knows no rings of buffers");
            };
            let mut shots = op::submit_multi(LetsGo { receive: RefCell::new(Some(receive)) });
            for _ in 0..3 {
                peer.write_all(b"bytes").expect("sent");
                assert_eq!(shots.next().await, Some(5), "the group is gone");
            }
        });
    });
}

/// Sets an option of a socket.
struct SetOption {
    fd: Fd,
    name: i32,
    value: i32,
}

impl Op for SetOption {
    type Output = i32;

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::setsockopt(self.fd.as_fd().into(), libc::SOL_SOCKET, self.name, &self.value)
    }

    fn complete(self, completion: Completion<Self>) -> i32 {
        completion.raw_result()
    }
}

#[test]
fn bytes_that_a_plain_send_has_given_back_are_not_read_again_by_the_kernel() {
    on_linux(|runtime| {
        runtime.block_on(async {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
            let address = listener.local_addr().expect("its address");
            let sender = std::net::TcpStream::connect(address).expect("connected");
            let (mut peer, _) = listener.accept().expect("accepted");
            let fd = Fd::from(OwnedFd::from(sender));
            let set = SetOption { fd: fd.clone(), name: libc::SO_ZEROCOPY, value: 1 };
            if op::submit(set).await < 0 {
                return runtime_tests::skipped("the kernel sets no options by a submission");
            }
            let (mut total, mut kept) = (0, Vec::new());
            loop {
                let (buf, lane) = (vec![b'a'; 1 << 20], Lane::sending(&fd).hold().await);
                let send = op::Send { buf, flags: libc::MSG_ZEROCOPY, lane };
                let sent = time::timeout(Duration::from_millis(100), op::submit(send)).await;
                // Until the peer's window is full.
                let Ok(sent) = sent else { break };
                let (n, mut buf) = sent.expect("sent");
                total += n;
                buf.fill(b'X');
                kept.push(buf);
            }
            let mut received = vec![0; total];
            peer.read_exact(&mut received).expect("received");
            assert!(!received.contains(&b'X'), "what was written later was sent");
        });
    });
}

#[test]
fn operations_that_name_the_drivers_own_poll_lose_no_wake_of_another_thread() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    on_linux(|runtime| {
        runtime.block_on(async {
            const ALL: CancelKey<'_> = CancelKey { all: true, ..CancelKey::ANY };
            // The name of the poll that a wake ends is no secret.
            let attacks: [fn() -> Sqe<'static>; 5] = [
                || Sqe::poll_update(u64::MAX, 0, true),
                || Sqe::poll_update(u64::MAX, 0, false),
                || Sqe::poll_remove(u64::MAX),
                || Sqe::cancel(u64::MAX),
                || Sqe::cancel_matching(ALL),
            ];
            for attack in attacks.into_iter().cycle().take(15) {
                // It is under way only after the loop has slept.
                time::sleep(Duration::from_millis(1)).await;
                op::submit(OnOthers(attack)).await;
                let (sender, receiver) = futures::channel::oneshot::channel();
                let thread = thread::spawn(move || {
                    thread::sleep(Duration::from_millis(2));
                    sender.send(()).expect("it waits");
                });
                receiver.await.expect("sent");
                thread.join().expect("no panic");
            }
        });
    });
}

thread_local! {
    static KEPT: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// Runs a thread that keeps a runtime and what came of it in a thread local, which is made before or after those
/// of the library, and so destroyed after or before them.
fn thread_that_keeps(early: bool, make: impl FnOnce() -> Vec<Box<dyn Any>> + Send + 'static) {
    let thread = thread::spawn(move || {
        if early {
            KEPT.with_borrow_mut(Vec::clear);
        }
        let made = make();
        KEPT.with_borrow_mut(|kept| kept.extend(made));
    });
    thread.join().expect("no panic");
}

/// Leaves everything in flight that waits.
async fn everything_in_flight() -> Vec<Box<dyn Any>> {
    let (listener, client, server) = connected().await;
    let address = listener.local_addr().expect("its address");
    client.send_all("hello").await.expect("sent");
    let leased = server.recv_leased().await.expect("received");
    uring::spawn(async move {
        let mut waits = (
            Box::pin(server.recv_leased()),
            Box::pin(client.recv(vec![0; 10])),
            Box::pin(listener.accept()),
            Box::pin(time::sleep(Duration::from_secs(1))),
        );
        let _ = (poll_once(&mut waits.0).is_some(), poll_once(&mut waits.1).is_some());
        let _ = (poll_once(&mut waits.2).is_some(), poll_once(&mut waits.3).is_some());
        std::future::pending::<()>().await;
    });
    yield_now().await;
    for _ in 0..5 {
        uring::spawn(TcpStream::connect(address));
    }
    yield_now().await;
    vec![
        Box::new(op::submit(op::Nop)),
        Box::new(uring::spawn(std::future::pending::<()>())),
        Box::new(uring::spawn_blocking(|| ())),
        Box::new(leased),
    ]
}

#[test]
fn no_order_of_thread_locals_has_a_runtime_panic_at_the_end_of_its_thread() {
    for early in [true, false] {
        for seed in 0..steps(5, 1) as u64 {
            thread_that_keeps(early, move || {
                let builder = Runtime::builder().kernel(Sim::new(seed).kernel());
                let small = PoolSetup::new().limit(64); // Miri keeps books on each byte.
                let runtime = builder.buf_pool(small).build().expect("a runtime");
                let mut kept = runtime.block_on(everything_in_flight());
                kept.push(Box::new(runtime));
                kept
            });
        }
        if !cfg!(miri) {
            thread_that_keeps(early, || {
                let runtime = Runtime::new().expect("a runtime");
                let mut kept = runtime.block_on(everything_in_flight());
                kept.insert(0, Box::new(runtime));
                kept
            });
        }
    }
}

/// Drops the runtime that it runs on, by the first of its completions.
struct Saws {
    fd: Fd,
    branch: Rc<RefCell<Option<Runtime>>>,
    memory: Vec<u8>,
}

impl MultiOp for Saws {
    type Item = (i32, u8);

    fn prepare(&mut self) -> MultiSqe<'_> {
        MultiSqe::poll(self.fd.as_fd().into(), libc::POLLIN as u32)
    }

    fn shot(&self, completion: Completion<Self>) -> (i32, u8) {
        let branch = self.branch.borrow_mut().take();
        drop(branch);
        (completion.raw_result(), self.memory[0])
    }
}

#[test]
fn an_operation_that_drops_its_runtime_in_a_shot_is_not_freed_under_its_feet() {
    if cfg!(miri) {
        return runtime_tests::skipped("Miri has no io_uring");
    }
    let runtime = Runtime::new().expect("a runtime");
    let branch = Rc::new(RefCell::new(None));
    let (fd, mut peer) = pair();
    let saws = Saws { fd, branch: Rc::clone(&branch), memory: vec![9; 100] };
    let mut shots = runtime.block_on(async {
        let shots = op::submit_multi(saws);
        peer.write_all(&[1]).expect("sent");
        a_while().await;
        shots
    });
    *branch.borrow_mut() = Some(runtime);
    assert_eq!(shots.next().now_or_never().flatten(), Some((libc::POLLIN.into(), 9)));
    assert_eq!(shots.next().now_or_never().flatten(), Some((-libc::ECANCELED, 9)));
    assert_eq!(shots.next().now_or_never(), Some(None));
}

/// Submits others like it wherever it is called.
struct Reenters {
    depth: u32,
    bytes: Vec<u8>,
    result: i32,
}

fn reenter(depth: u32) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let other = op::submit(Reenters { depth, bytes: vec![depth as u8; 64], result: 0 });
    // Miri would tell of the leak.
    if depth % 2 == 0 || cfg!(miri) {
        drop(other);
    } else {
        mem::forget(other);
    }
    uring::spawn(async move { drop(op::submit(op::Nop)) });
}

impl Op for Reenters {
    type Output = Vec<u8>;

    fn prepare(&mut self) -> Sqe<'_> {
        reenter(self.depth);
        Sqe::nop_with_result(self.result)
    }

    fn complete(mut self, _: Completion<Self>) -> Vec<u8> {
        reenter(self.depth);
        mem::take(&mut self.bytes)
    }
}

impl Drop for Reenters {
    fn drop(&mut self) {
        drop(op::submit(op::Nop));
    }
}

#[test]
fn operations_that_submit_others_wherever_they_are_called_are_each_their_own() {
    let depth = if cfg!(miri) { 3 } else { 6 };
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let outer = Reenters { depth, bytes: vec![99; 64], result: 0 };
            assert_eq!(op::submit(outer).await, [99; 64]);
            runtime_tests::all_quiet(runtime).await;
        });
    });
}

/// A waker that panics when it is woken, when it is dropped, or both.
struct Panics {
    woken: bool,
    dropped: bool,
}

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        assert!(!self.woken, "woken");
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        assert!(!self.dropped || thread::panicking(), "dropped");
    }
}

#[test]
fn wakers_that_panic_lose_no_operation_and_no_runtime() {
    for (woken, dropped) in [(true, false), (false, true), (true, true)] {
        on_every_kernel(|runtime, on| {
            let waker = Waker::from(Arc::new(Panics { woken, dropped }));
            let mut context = Context::from_waker(&waker);
            let first = caught(|| {
                runtime.block_on(async {
                    let (reader, writer) = on.socket_pair();
                    let read = op::Read { fd: reader, offset: None, buf: vec![0; 1] };
                    let (mut read, mut sleep) =
                        (op::submit(read), Box::pin(time::sleep(Duration::from_millis(1))));
                    let mut join = uring::spawn(yield_now());
                    assert!(read.poll_unpin(&mut context).is_pending());
                    assert!(sleep.poll_unpin(&mut context).is_pending());
                    assert!(join.poll_unpin(&mut context).is_pending());
                    runtime_tests::put(&writer, b"x").await;
                    time::sleep(Duration::from_millis(5)).await;
                });
            });
            assert_eq!(first.is_err(), woken);
            // What else was to be woken is still to come.
            while caught(|| runtime.block_on(a_while())).is_err() {}
            let nop = runtime.block_on(async { op::submit(op::Nop).await });
            nop.expect("a runtime that works");
            runtime.block_on(runtime_tests::all_quiet(runtime));
            // The last one of it.
            let _ = caught(|| drop(waker));
        });
    }
}

/// Panics when it is abandoned, and counts that.
struct PanicsAbandoned(Rc<Cell<u32>>);

impl Op for PanicsAbandoned {
    type Output = ();

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::nop()
    }

    fn complete(self, _: Completion<Self>) {}

    fn abandoned(self, _: Completion<Self>) {
        self.0.set(self.0.get() + 1);
        panic!("abandoned");
    }
}

#[test]
fn parts_of_a_chain_that_panic_when_they_are_abandoned_do_so_once_for_all() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let count = Rc::new(Cell::new(0));
            let part = || PanicsAbandoned(Rc::clone(&count));
            let chain = op::submit_chain(Link::Soft, (part(), part(), part()));
            a_while().await;
            assert!(caught(|| drop(chain)).is_err());
            assert_eq!(count.get(), 3);
        });
    });
}

#[test]
fn operations_of_a_task_that_panic_when_they_are_abandoned_end_the_task_with_one_panic() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let count = Rc::new(Cell::new(0));
            let ops = [0, 1].map(|_| op::submit(PanicsAbandoned(Rc::clone(&count))));
            let task = uring::spawn(async move {
                let _ops = ops;
                std::future::pending::<()>().await;
            });
            a_while().await;
            task.abort();
            assert!(task.await.expect_err("it was aborted").is_panic());
            assert_eq!(count.get(), 2);
        });
    });
}

/// Shows another number of bytes at each look.
struct Changes {
    looks: Cell<usize>,
    lens: &'static [usize],
    bytes: [u8; 20],
}

impl AsRef<[u8]> for Changes {
    fn as_ref(&self) -> &[u8] {
        let look = self.looks.get();
        self.looks.set(look + 1);
        &self.bytes[..self.lens[look % self.lens.len()]]
    }
}

#[test]
fn a_buffer_whose_length_changes_at_each_look_harms_nobody_else() {
    const LENS: &[&[usize]] =
        &[&[10, 0], &[0, 10], &[10, 5, 1], &[5, 10, 20], &[20, 3, 3, 3, 20, 0]];
    on_every_kernel(|runtime, _| {
        for &lens in LENS {
            let changes = || Changes { looks: Cell::new(0), lens, bytes: [1; 20] };
            // It may panic, as that buffer is out of order.
            let _ = caught(|| {
                runtime.block_on(async {
                    let (_listener, client, _server) = connected().await;
                    let _ = client.send_all(changes()).await;
                })
            });
            let _ = caught(|| {
                runtime.block_on(async {
                    let (_listener, client, _server) = connected().await;
                    let _ = client.send_zc(changes()).await;
                })
            });
            runtime.block_on(runtime_tests::all_quiet(runtime));
        }
    });
}

#[test]
fn futures_that_outlive_their_runtime_inside_of_another_one_have_a_result() {
    on_every_kernel(|runtime, _| {
        for seed in 0..2 {
            let kernel = Sim::new(seed).kernel();
            let first = Runtime::builder().kernel(kernel).build().expect("a runtime");
            let (nop, join, chain) = first.block_on(async {
                let chain = op::submit_chain(op::Link::Soft, (op::Nop, op::Nop));
                (op::submit(op::Nop), uring::spawn(std::future::pending::<()>()), chain)
            });
            runtime.block_on(async move {
                drop(first);
                let _ = nop.await;
                let _ = chain.await;
                assert!(join.await.expect_err("it never ends").is_cancelled());
            });
        }
    });
}

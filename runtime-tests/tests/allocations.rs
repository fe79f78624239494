//! What an operation costs beside its work: no allocation, and a part of one system call.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::fs::OpenOptions;
use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::time::Duration;

use futures::future::join;
use futures::{FutureExt, StreamExt};
use runtime_tests::net::pair;
use runtime_tests::{TempDir, on_every_kernel, on_linux, one_turn, scale, steps};
use uring::fd::Fd;
use uring::op::{self, InFlight};
use uring::{Runtime, time};

/// Counts what this thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that ends allocates after its locals are gone.
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: the system's allocator does the work; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's contract is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is that of `System`.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's contract is that of `System`.
        unsafe { System.realloc(at, layout, new_size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.get()
}

/// Operations measured; the first thousand before them warm up.
const OPERATIONS: usize = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };

/// Runs `step` again and again; it must not allocate once it is warm. Linux alone: the simulated kernel
/// allocates for its own sake.
fn allocates_nothing(runtime: &Runtime, step: impl AsyncFn(usize)) {
    runtime.block_on(async {
        for number in 0..1000 {
            step(number).await;
        }
        let operations = OPERATIONS / scale() as usize;
        let before = allocations();
        for number in 0..operations {
            step(number).await;
        }
        assert_eq!(allocations() - before, 0, "allocations in {operations} operations");
    });
}

fn file() -> Fd {
    let dir = TempDir::new();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(dir.path().join("file"));
    Fd::from(OwnedFd::from(file.expect("a file")))
}

#[test]
fn a_nop_allocates_nothing() {
    on_linux(|runtime| {
        allocates_nothing(runtime, async |_| op::submit(op::Nop).await.expect("a nop"));
    });
}

#[test]
fn an_operation_in_a_scope_allocates_nothing() {
    on_linux(|runtime| {
        // One scope around all of them: making a scope allocates.
        let all = async {
            let warm = async || op::submit(op::Nop).await.expect("a nop");
            for _ in 0..1000 {
                warm().await;
            }
            // Before the count: where it is scaled, the number is read from the environment.
            let operations = steps(1_000_000, 1_000);
            let before = allocations();
            for _ in 0..operations {
                op::submit(op::Nop).await.expect("a nop");
            }
            assert_eq!(allocations() - before, 0);
        };
        runtime.block_on(uring::cancellable(all));
    });
}

#[test]
fn a_write_and_a_read_of_a_file_allocate_nothing() {
    on_linux(|runtime| {
        let (file, buf) = (file(), Cell::new(Some(vec![7; 512])));
        allocates_nothing(runtime, async |number| {
            let (fd, offset) = (file.clone(), Some(number as u64 % 64 * 512));
            let taken = buf.take().expect("the buffer came back");
            let write = op::Write { fd: fd.clone(), offset, buf: taken };
            let (_, taken) = op::submit(write).await.expect("a write");
            let read = op::Read { fd, offset, buf: taken };
            let (count, taken) = op::submit(read).await.expect("a read");
            assert_eq!(count, 512);
            buf.set(Some(taken));
        });
    });
}

#[test]
fn a_send_and_a_recv_allocate_nothing() {
    on_linux(|runtime| {
        let (client, server) = runtime.block_on(pair());
        let buf = Cell::new(Some(vec![7; 64]));
        allocates_nothing(runtime, async |_| {
            let taken = buf.take().expect("the buffer came back");
            let (_, taken) = client.send(taken).await.expect("sent");
            let (count, taken) = server.recv(taken).await.expect("received");
            assert_eq!(count, 64);
            buf.set(Some(taken));
        });
    });
}

#[test]
fn a_send_all_and_a_recv_exact_allocate_nothing() {
    on_linux(|runtime| {
        let (client, server) = runtime.block_on(pair());
        let buf = Cell::new(Some(vec![7; 64]));
        allocates_nothing(runtime, async |_| {
            let taken = buf.take().expect("the buffer came back");
            let (_, taken) = client.send_all(taken).await.expect("sent");
            let (_, taken) = server.recv_exact(taken).await.expect("received");
            buf.set(Some(taken));
        });
    });
}

#[test]
fn a_recv_that_waits_allocates_nothing() {
    on_linux(|runtime| {
        let (client, server) = runtime.block_on(pair());
        let bufs = Cell::new(Some((vec![7; 64], vec![0; 64])));
        allocates_nothing(runtime, async |_| {
            let (sent, received) = bufs.take().expect("the buffers came back");
            let (received, sent) = join(server.recv(received), client.send(sent)).await;
            let ((_, sent), (count, received)) = (sent.expect("sent"), received.expect("received"));
            assert_eq!(count, 64);
            bufs.set(Some((sent, received)));
        });
    });
}

#[test]
fn a_leased_recv_and_the_send_of_what_it_brought_allocate_nothing() {
    on_linux(|runtime| {
        let (client, server) = runtime.block_on(pair());
        let buf = Cell::new(Some(vec![7; 64]));
        allocates_nothing(runtime, async |_| {
            let taken = buf.take().expect("the buffer came back");
            let (_, taken) = client.send_all(taken).await.expect("sent");
            let bytes = server.recv_leased().await.expect("received");
            server.send_all(bytes).await.expect("sent");
            let (_, taken) = client.recv_exact(taken).await.expect("received");
            buf.set(Some(taken));
        });
    });
}

#[test]
fn a_stream_of_leased_bytes_allocates_nothing() {
    on_linux(|runtime| {
        let (client, server) = runtime.block_on(pair());
        let incoming = runtime.block_on(async { server.incoming_bytes().expect("a pool") });
        let (incoming, buf) = (RefCell::new(incoming), Cell::new(Some(vec![7; 64])));
        allocates_nothing(runtime, async |_| {
            let taken = buf.take().expect("the buffer came back");
            let (_, taken) = client.send_all(taken).await.expect("sent");
            let next = poll_fn(|context| incoming.borrow_mut().poll_next_unpin(context)).await;
            let bytes = next.expect("not the end").expect("received");
            server.send_all(bytes).await.expect("sent");
            let (_, taken) = client.recv_exact(taken).await.expect("received");
            buf.set(Some(taken));
        });
    });
}

#[test]
fn a_timeout_around_an_operation_allocates_nothing() {
    on_linux(|runtime| {
        allocates_nothing(runtime, async |_| {
            let nop = time::timeout(Duration::from_secs(60), op::submit(op::Nop));
            nop.await.expect("in time").expect("a nop");
        });
    });
}

#[test]
fn a_drop_in_flight_and_its_cancel_allocate_nothing() {
    on_linux(|runtime| {
        let (reader, _writer) = runtime_tests::pipe();
        let reader = Fd::from(reader);
        allocates_nothing(runtime, async |_| {
            let poll = op::Poll { fd: reader.clone(), events: libc::POLLIN as u32 };
            drop(op::submit(poll));
            one_turn().await;
        });
    });
}

#[test]
fn dropping_a_future_in_flight_does_not_allocate() {
    on_every_kernel(|runtime, on| {
        let (reader, _writer) = on.pipe();
        runtime.block_on(async {
            let mut reads: Vec<InFlight<op::Read<Vec<u8>>>> = (0..steps(500, 20))
                .map(|_| {
                    let buf = Vec::with_capacity(16);
                    op::submit(op::Read { fd: reader.clone(), offset: None, buf })
                })
                .collect();
            for read in &mut reads {
                assert!(read.now_or_never().is_none());
            }
            let before = allocations();
            reads.clear();
            assert_eq!(allocations(), before);
        });
    });
}

#[test]
fn operations_one_after_the_other_cost_one_enter_each() {
    on_linux(|runtime| {
        runtime.block_on(async {
            op::submit(op::Nop).await.expect("a nop");
            let before = runtime.metrics().enters;
            for _ in 0..10_000 {
                op::submit(op::Nop).await.expect("a nop");
            }
            assert_eq!(runtime.metrics().enters - before, 10_000);
        });
    });
}

#[test]
fn operations_of_sixty_four_tasks_share_their_enters() {
    on_linux(|runtime| {
        runtime.block_on(async {
            let before = runtime.metrics().enters;
            let tasks: Vec<_> = (0..64)
                .map(|_| {
                    uring::spawn(async {
                        for _ in 0..1000 {
                            op::submit(op::Nop).await.expect("a nop");
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("a task");
            }
            let enters = runtime.metrics().enters - before;
            assert!(enters <= 64_000 / 16, "{enters} enters for 64,000 operations");
        });
    });
}

#[test]
fn a_main_future_that_a_task_has_woken_goes_on_before_the_kernel_is_entered() {
    on_linux(|runtime| {
        runtime.block_on(async {
            let nop = op::submit(op::Nop);
            let before = runtime.metrics().enters;
            uring::spawn(async {}).await.expect("a task");
            assert_eq!(runtime.metrics().enters, before);
            nop.await.expect("a nop");
            assert_eq!(runtime.metrics().enters, before + 1);
        });
    });
}

#[test]
fn a_main_future_and_a_task_that_keep_each_other_awake_let_the_ring_turn_every_sixty_four_polls() {
    on_linux(|runtime| {
        runtime.block_on(async {
            let mut nop = op::submit(op::Nop);
            let mut tasks = 0;
            while runtime_tests::poll_once(&mut nop).is_none() {
                tasks += 1;
                assert!(tasks <= 64, "the nop is not submitted");
                uring::spawn(async {}).await.expect("a task");
            }
            assert_eq!(tasks, 32, "each has a poll, and a poll of the main future goes with it");
        });
    });
}

#[test]
fn a_turn_with_nothing_to_submit_does_not_enter_the_kernel() {
    on_linux(|runtime| {
        runtime.block_on(async {
            one_turn().await;
            let before = runtime.metrics().enters;
            for _ in 0..1000 {
                one_turn().await;
            }
            assert_eq!(runtime.metrics().enters, before);
        });
    });
}

#[test]
fn a_thousand_sleeps_that_are_dropped_cost_no_enter() {
    on_linux(|runtime| {
        runtime.block_on(async {
            one_turn().await;
            let before = runtime.metrics().enters;
            for _ in 0..1000 {
                let mut sleep = time::sleep(Duration::from_secs(1));
                assert!(runtime_tests::poll_once(&mut sleep).is_none());
                one_turn().await;
            }
            assert_eq!(runtime.metrics().enters, before);
        });
    });
}

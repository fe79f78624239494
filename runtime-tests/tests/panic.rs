//! Panics in code that is not ours, wherever it runs: nothing that completed is lost, and the others go on.

use std::os::fd::AsFd;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use futures::{FutureExt, StreamExt};
use runtime_tests::{
    Ledger, NoteOnDrop, On, a_while, all_quiet, kernels, on_every_kernel, one_turn, panic_of, put,
};
use uring::Runtime;
use uring::fd::Fd;
use uring::op::{self, InFlight, MultiOp, Op};
use uring::ring::{Link, MultiSqe, Sqe};

/// Where a [`Bomb`] goes off.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Prepare,
    Complete,
    Abandoned,
    Drop,
}

/// A poll for input that panics at a place of the test's choice.
struct Bomb {
    fd: Fd,
    at: At,
    _freed: NoteOnDrop,
}

impl Bomb {
    fn new(fd: &Fd, at: At, ledger: &Ledger) -> Bomb {
        Bomb { fd: fd.clone(), at, _freed: ledger.on_drop("operation freed") }
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.at == At::Drop {
            panic!("in drop");
        }
    }
}

impl Op for Bomb {
    type Output = i32;

    fn prepare(&mut self) -> Sqe<'_> {
        if self.at == At::Prepare {
            panic!("in prepare");
        }
        Sqe::poll(self.fd.as_fd().into(), libc::POLLIN as u32)
    }

    fn complete(self, cqe: op::Completion<Self>) -> i32 {
        if self.at == At::Complete {
            panic!("in complete");
        }
        cqe.raw_result()
    }

    fn abandoned(self, _: op::Completion<Self>) {
        if self.at == At::Abandoned {
            panic!("in abandoned");
        }
    }
}

/// Reads two bytes on a pipe of its own, to show that the runtime works.
fn works(runtime: &Runtime, on: &On) {
    let (reader, writer) = on.pipe();
    let (count, buf) = runtime.block_on(async {
        let read = op::submit(op::Read { fd: reader, offset: None, buf: vec![0; 8] });
        put(&writer, b"ok").await;
        read.await.expect("a read")
    });
    assert_eq!(&buf[..count], b"ok");
}

fn read(fd: &Fd) -> InFlight<op::Read<Vec<u8>>> {
    op::submit(op::Read { fd: fd.clone(), offset: None, buf: vec![0; 8] })
}

#[test]
fn a_panic_in_the_main_future_leaves_a_runtime_that_works() {
    on_every_kernel(|runtime, on| {
        let (ledger, (reader, _writer)) = (Ledger::new(), on.pipe());
        let said = panic_of(|| {
            runtime.block_on(async {
                let _read = op::submit(Bomb::new(&reader, At::Complete, &ledger));
                one_turn().await;
                panic!("in main");
            })
        });
        assert_eq!(said, "in main");
        assert!(ledger.events().is_empty(), "freed before its final completion");
        // Its future is gone, so it ends as an abandoned one, and `complete` is not called.
        runtime.block_on(all_quiet(runtime));
        assert_eq!(ledger.events(), ["operation freed"]);
        works(runtime, on);
    });
}

#[test]
fn a_panic_in_the_main_future_leaves_a_runtime_that_can_be_dropped() {
    for on in kernels() {
        let (ledger, (reader, _writer)) = (Ledger::new(), on.pipe());
        let said = panic_of(|| {
            let runtime = on.runtime();
            runtime.block_on(async {
                let _poll = op::submit(Bomb::new(&reader, At::Complete, &ledger));
                one_turn().await;
                panic!("in main");
            })
        });
        assert_eq!((said.as_str(), ledger.events().len()), ("in main", 1));
    }
}

#[test]
fn a_panic_in_a_task_reaches_its_handle_and_cancels_its_operations() {
    on_every_kernel(|runtime, on| {
        let (ledger, (reader, _writer)) = (Ledger::new(), on.pipe());
        runtime.block_on(async {
            let bomb = Bomb::new(&reader, At::Complete, &ledger);
            let task = uring::spawn(async move {
                let _poll = op::submit(bomb);
                one_turn().await;
                panic!("in a task");
            });
            assert!(task.await.expect_err("it panicked").is_panic());
            all_quiet(runtime).await;
        });
        assert_eq!(ledger.events(), ["operation freed"]);
        works(runtime, on);
    });
}

#[test]
fn a_panic_in_prepare_leaves_nothing_in_flight() {
    on_every_kernel(|runtime, on| {
        let (ledger, (reader, _writer)) = (Ledger::new(), on.pipe());
        let said = panic_of(|| {
            runtime.block_on(async { op::submit(Bomb::new(&reader, At::Prepare, &ledger)).await })
        });
        assert_eq!(said, "in prepare");
        assert_eq!(ledger.events(), ["operation freed"]);
        assert_eq!(runtime.metrics().slots_in_use, 0);
        works(runtime, on);
    });
}

#[test]
fn a_panic_in_complete_reaches_the_task_that_awaits() {
    on_every_kernel(|runtime, on| {
        let (ledger, (reader, writer)) = (Ledger::new(), on.pipe());
        runtime.block_on(async {
            let bomb = Bomb::new(&reader, At::Complete, &ledger);
            let task = uring::spawn(async move { op::submit(bomb).await });
            put(&writer, b"x").await;
            assert!(task.await.expect_err("it panicked").is_panic());
        });
        assert_eq!(ledger.events(), ["operation freed"]);
        assert_eq!(runtime.metrics().slots_in_use, 0);
        works(runtime, on);
    });
}

#[test]
fn a_panic_in_abandoned_loses_no_other_completion() {
    on_every_kernel(|runtime, on| {
        let (ledger, (reader, writer)) = (Ledger::new(), on.pipe());
        let (other, other_writer) = on.pipe();
        let mut others = Vec::new();
        let said = panic_of(|| {
            runtime.block_on(async {
                for _ in 0..8 {
                    put(&other_writer, b"8 bytes.").await;
                }
                let bombs: Vec<_> = (0..4)
                    .map(|_| op::submit(Bomb::new(&reader, At::Abandoned, &ledger)))
                    .collect();
                others.extend((0..8).map(|_| read(&other)));
                drop(bombs);
                all_quiet(runtime).await;
            })
        });
        assert_eq!(said, "in abandoned");
        // The first panic ended `block_on`; each of the rest ends another one.
        for _ in 0..3 {
            let said = panic_of(|| runtime.block_on(all_quiet_and_acted(runtime)));
            assert_eq!(said, "in abandoned");
        }
        assert_eq!(ledger.events(), ["operation freed"; 4]);
        runtime.block_on(async {
            for read in others {
                assert_eq!(read.await.expect("a read").0, 8);
            }
        });
        drop(writer);
        works(runtime, on);
    });
}

/// As [`all_quiet`], with a turn afterwards for what is left to be done.
async fn all_quiet_and_acted(runtime: &Runtime) {
    all_quiet(runtime).await;
    a_while().await;
}

#[test]
fn a_panic_in_a_buffers_destructor_loses_no_other_completion() {
    on_every_kernel(|runtime, on| {
        let (ledger, (reader, _writer)) = (Ledger::new(), on.pipe());
        let (other, other_writer) = on.pipe();
        let mut others = Vec::new();
        let said = panic_of(|| {
            runtime.block_on(async {
                for _ in 0..4 {
                    put(&other_writer, b"8 bytes.").await;
                }
                let bomb = op::submit(Bomb::new(&reader, At::Drop, &ledger));
                others.extend((0..4).map(|_| read(&other)));
                drop(bomb);
                all_quiet_and_acted(runtime).await;
            })
        });
        assert_eq!(said, "in drop");
        assert_eq!(ledger.events(), ["operation freed"]);
        runtime.block_on(async {
            for read in others {
                assert_eq!(read.await.expect("a read").0, 8);
            }
        });
        works(runtime, on);
    });
}

/// A waker that panics.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Panics>) {
        panic!("in a waker");
    }
}

#[test]
fn a_panic_in_a_waker_loses_no_other_wake() {
    on_every_kernel(|runtime, on| {
        let (reader, writer) = on.pipe();
        let waker = Waker::from(Arc::new(Panics));
        let (mut watched, mut tasks) = (None, Vec::new());
        let said = panic_of(|| {
            runtime.block_on(async {
                for _ in 0..9 {
                    put(&writer, b"8 bytes.").await;
                }
                let mut poll =
                    op::submit(op::Poll { fd: reader.clone(), events: libc::POLLIN as u32 });
                assert!(Pin::new(&mut poll).poll(&mut Context::from_waker(&waker)).is_pending());
                watched = Some(poll);
                tasks.extend((0..8).map(|_| {
                    let reader = reader.clone();
                    uring::spawn(async move { read(&reader).await.map(|(count, _)| count) })
                }));
                a_while().await;
            })
        });
        assert_eq!(said, "in a waker");
        runtime.block_on(async {
            for task in tasks {
                assert_eq!(task.await.expect("a task").expect("a read"), 8);
            }
            let events = watched.take().expect("the poll").await.expect("readable");
            assert_ne!(events & libc::POLLIN as u32, 0);
        });
    });
}

/// A multishot poll whose `abandoned_shot` panics the first time.
struct MultiBomb {
    fd: Fd,
    armed: std::cell::Cell<bool>,
    ledger: Ledger,
}

impl MultiOp for MultiBomb {
    type Item = i32;

    fn prepare(&mut self) -> MultiSqe<'_> {
        MultiSqe::poll(self.fd.as_fd().into(), libc::POLLIN as u32)
    }

    fn shot(&self, cqe: op::Completion<Self>) -> i32 {
        if self.armed.replace(false) {
            panic!("in shot");
        }
        cqe.raw_result()
    }

    fn abandoned_shot(&self, cqe: op::Completion<Self>) {
        if self.armed.replace(false) {
            panic!("in abandoned_shot");
        }
        self.ledger.note(format!("abandoned {}", cqe.raw_result()));
    }
}

fn multi_bomb(fd: &Fd, ledger: &Ledger) -> op::Shots<MultiBomb> {
    let armed = std::cell::Cell::new(true);
    op::submit_multi(MultiBomb { fd: fd.clone(), armed, ledger: ledger.clone() })
}

#[test]
fn a_panic_over_an_abandoned_shot_loses_none_of_the_later_ones() {
    on_every_kernel(|runtime, on| {
        let (ledger, (reader, writer)) = (Ledger::new(), on.pipe());
        let said = panic_of(|| {
            runtime.block_on(async {
                let shots = multi_bomb(&reader, &ledger);
                for _ in 0..3 {
                    put(&writer, b"x").await;
                    a_while().await;
                }
                drop(shots);
                all_quiet_and_acted(runtime).await;
            })
        });
        assert_eq!(said, "in abandoned_shot");
        runtime.block_on(all_quiet_and_acted(runtime));
        let readable = format!("abandoned {}", libc::POLLIN);
        let cancelled = format!("abandoned {}", -libc::ECANCELED);
        assert_eq!(ledger.events(), [readable.clone(), readable, cancelled]);
        assert_eq!(runtime.metrics().slots_in_use, 0);
    });
}

#[test]
fn a_panic_over_a_shot_leaves_the_stream_with_the_later_ones() {
    on_every_kernel(|runtime, on| {
        let (ledger, (reader, writer)) = (Ledger::new(), on.pipe());
        runtime.block_on(async {
            let mut shots = multi_bomb(&reader, &ledger);
            for _ in 0..2 {
                put(&writer, b"x").await;
                a_while().await;
            }
            let first = AssertUnwindSafe(shots.next()).catch_unwind().await;
            assert!(first.is_err(), "it did not panic");
            assert_eq!(shots.next().await, Some(i32::from(libc::POLLIN)));
        });
    });
}

#[test]
#[cfg_attr(miri, ignore = "a thousand shots take minutes")]
fn a_panic_over_the_shots_of_a_finished_stream_loses_none_of_the_later_ones() {
    on_every_kernel(|runtime, on| {
        let ledger = Ledger::new();
        let said = panic_of(|| {
            runtime.block_on(async {
                let (reader, writer) = on.pipe();
                let shots = multi_bomb(&reader, &ledger);
                for _ in 0..1100 {
                    put(&writer, b"x").await;
                    uring::time::sleep(std::time::Duration::from_micros(25)).await;
                    if runtime.metrics().in_flight == 0 {
                        break;
                    }
                }
                assert_eq!(runtime.metrics().in_flight, 0, "it was not cut off");
                drop(shots);
            })
        });
        assert_eq!(said, "in abandoned_shot");
        runtime.block_on(a_while());
        assert!(ledger.events().len() >= 1023, "{} were abandoned", ledger.events().len());
        assert_eq!(runtime.metrics().slots_in_use, 0);
    });
}

#[test]
fn a_panic_during_teardown_keeps_nothing_from_ending() {
    for on in kernels() {
        let (ledger, (reader, _writer)) = (Ledger::new(), on.pipe());
        let runtime = on.runtime();
        // Abandoned by hand, not by a task, whose end contains panics.
        runtime.block_on(async {
            for at in [At::Complete, At::Drop, At::Complete, At::Abandoned, At::Complete] {
                drop(op::submit(Bomb::new(&reader, at, &ledger)));
            }
        });
        let said = panic_of(|| drop(runtime));
        assert!(said.starts_with("in "), "{said}");
        assert_eq!(ledger.events(), ["operation freed"; 5], "on {on:?}");
        drop(reader);
        if let On::Sim { sim, .. } = &on {
            assert_eq!(sim.in_flight(), 0);
        }
    }
}

#[test]
fn an_operation_that_is_asked_again_after_its_result_says_so() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let mut nop = op::submit(op::Nop);
            (&mut nop).await.expect("a nop");
            let said = panic_of(|| (&mut nop).now_or_never());
            assert!(said.contains("polled after it had yielded its result"), "{said}");
            let said = panic_of(|| nop.result().now_or_never());
            assert!(said.contains("asked for its result after it had yielded it"), "{said}");
        });
    });
}

/// What is shown is looked up in the runtime, which is busy: whoever logs must not fail for it.
#[test]
fn what_is_in_flight_can_be_shown_at_any_time() {
    on_every_kernel(|runtime, on| {
        let (reader, _writer) = on.pipe();
        runtime.block_on(async {
            let one = read(&reader);
            let fd = reader.clone();
            let many = op::submit_multi(op::PollMulti { fd, events: libc::POLLIN as u32 });
            let chain = op::submit_chain(Link::Soft, (op::Nop, op::Nop));
            let task = uring::spawn(std::future::pending::<()>());
            let shown = format!("{one:?} {many:?} {chain:?} {task:?} {:?}", task.abort_handle());
            for name in ["InFlight", "Shots", "Chain", "JoinHandle", "AbortHandle"] {
                assert!(shown.contains(name), "{shown}");
            }
            task.abort();
            assert_eq!(format!("{:?}", task.await), "Err(JoinError(the task was cancelled))");
            assert!(format!("{runtime:?}").contains("in_flight: "));
            drop((one, many));
            chain.await.0.expect("a nop");
        });
    });
}

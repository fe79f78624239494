//! Futures that are dropped: the operation is cancelled, and what it lent to the kernel is freed after its
//! final completion and not before.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use futures::StreamExt;
use runtime_tests::{
    Ledger, NotedBuf, TempDir, a_while, all_quiet, descriptors_below, on_every_kernel, one_turn,
    put, steps,
};
use uring::fd::Fd;
use uring::op::{self, InFlight, MultiOp, Op, Shots};
use uring::ring::{MultiSqe, Sqe};

/// A read that nothing ends: its pipe stays empty.
fn read_noted(reader: &Fd, ledger: &Ledger) -> InFlight<op::Read<NotedBuf>> {
    let buf = NotedBuf::new(64, ledger, "buffer freed");
    op::submit(op::Read { fd: reader.clone(), offset: None, buf })
}

/// Notes what becomes of it.
struct Noted {
    fd: Fd,
    ledger: Ledger,
}

impl Noted {
    fn say(&self, what: &str, cqe: &op::Completion<impl ?Sized>) {
        match cqe.raw_result() {
            result if result == -libc::ECANCELED => self.ledger.note(format!("{what} cancelled")),
            result => self.ledger.note(format!("{what} {result}")),
        }
    }
}

impl Op for Noted {
    type Output = ();

    const CANCEL_ON_DROP: bool = false;

    fn prepare(&mut self) -> Sqe<'_> {
        use std::os::fd::AsFd;
        Sqe::poll(self.fd.as_fd().into(), libc::POLLIN as u32)
    }

    fn complete(self, cqe: op::Completion<Self>) {
        self.say("completed", &cqe);
    }

    fn abandoned(self, cqe: op::Completion<Self>) {
        self.say("abandoned", &cqe);
    }
}

/// As [`Noted`], again and again.
struct NotedMulti {
    noted: Noted,
    _last: runtime_tests::NoteOnDrop,
}

impl MultiOp for NotedMulti {
    type Item = i32;

    fn prepare(&mut self) -> MultiSqe<'_> {
        use std::os::fd::AsFd;
        MultiSqe::poll(self.noted.fd.as_fd().into(), libc::POLLIN as u32)
    }

    fn shot(&self, cqe: op::Completion<Self>) -> i32 {
        self.noted.say("shot", &cqe);
        cqe.raw_result()
    }

    fn abandoned_shot(&self, cqe: op::Completion<Self>) {
        self.noted.say("abandoned", &cqe);
    }
}

fn poll_noted(reader: &Fd, ledger: &Ledger) -> Shots<NotedMulti> {
    let noted = Noted { fd: reader.clone(), ledger: ledger.clone() };
    op::submit_multi(NotedMulti { noted, _last: ledger.on_drop("operation dropped") })
}

#[test]
fn the_block_of_a_dropped_operation_is_lent_to_nobody_before_its_completion() {
    on_every_kernel(|runtime, on| {
        let (ledger, (reader, _writer)) = (Ledger::new(), on.pipe());
        runtime.block_on(async {
            let read = read_noted(&reader, &ledger);
            one_turn().await;
            drop(read);
            assert_eq!(runtime.metrics().blocks_in_use, 1);
            all_quiet(runtime).await;
            assert_eq!(runtime.metrics().blocks_in_use, 0);
        });
    });
}

#[test]
fn a_future_dropped_before_its_first_poll_submits_nothing() {
    on_every_kernel(|runtime, on| {
        let (ledger, (reader, _writer)) = (Ledger::new(), on.pipe());
        runtime.block_on(async {
            let lazy = async { read_noted(&reader, &ledger).await };
            drop(lazy);
            assert_eq!(runtime.metrics().slots_in_use, 0);
        });
        assert!(ledger.events().is_empty(), "not even the buffer was made");
    });
}

#[test]
fn a_buffer_dropped_before_the_kernel_saw_it_waits_for_the_completion() {
    on_every_kernel(|runtime, on| {
        let (ledger, (reader, _writer)) = (Ledger::new(), on.pipe());
        runtime.block_on(async {
            drop(read_noted(&reader, &ledger));
            assert_eq!(runtime.metrics().in_flight, 1);
            assert!(ledger.events().is_empty(), "freed before the final completion");
            all_quiet(runtime).await;
        });
        assert_eq!(ledger.events(), ["buffer freed"]);
        assert_eq!(runtime.metrics().slots_in_use, 0);
    });
}

#[test]
fn a_buffer_dropped_in_flight_waits_for_the_completion() {
    on_every_kernel(|runtime, on| {
        let (ledger, (reader, _writer)) = (Ledger::new(), on.pipe());
        runtime.block_on(async {
            let read = read_noted(&reader, &ledger);
            one_turn().await;
            drop(read);
            assert_eq!(runtime.metrics().in_flight, 1);
            assert!(ledger.events().is_empty(), "freed before the final completion");
            all_quiet(runtime).await;
        });
        assert_eq!(ledger.events(), ["buffer freed"]);
        assert_eq!(runtime.metrics().slots_in_use, 0);
    });
}

#[test]
fn a_buffer_dropped_after_the_completion_is_freed_at_once() {
    on_every_kernel(|runtime, on| {
        let (ledger, (reader, writer)) = (Ledger::new(), on.pipe());
        runtime.block_on(async {
            put(&writer, b"ready").await;
            let read = read_noted(&reader, &ledger);
            all_quiet(runtime).await;
            assert_eq!(runtime.metrics().slots_in_use, 1, "the result waits");
            drop(read);
            assert_eq!(ledger.events(), ["buffer freed"]);
            assert_eq!(runtime.metrics().slots_in_use, 0);
        });
    });
}

/// `req_18`
#[test]
fn a_drop_does_not_enter_the_kernel() {
    on_every_kernel(|runtime, on| {
        let (ledger, (reader, _writer)) = (Ledger::new(), on.pipe());
        runtime.block_on(async {
            let reads: Vec<_> = (0..steps(200, 10)).map(|_| read_noted(&reader, &ledger)).collect();
            one_turn().await;
            let enters = runtime.metrics().enters;
            drop(reads);
            assert_eq!(runtime.metrics().enters, enters);
            all_quiet(runtime).await;
        });
        assert_eq!(ledger.events().len(), steps(200, 10));
    });
}

#[test]
fn a_drop_cancels_an_operation_that_nothing_else_would_end() {
    on_every_kernel(|runtime, on| {
        let (ledger, (reader, _writer)) = (Ledger::new(), on.pipe());
        runtime.block_on(async {
            let shots = poll_noted(&reader, &ledger);
            one_turn().await;
            drop(shots);
            all_quiet(runtime).await;
        });
        assert_eq!(ledger.events(), ["abandoned cancelled", "operation dropped"]);
    });
}

#[test]
fn an_operation_that_must_happen_goes_on_when_its_future_is_dropped() {
    on_every_kernel(|runtime, on| {
        let (ledger, (reader, writer)) = (Ledger::new(), on.pipe());
        runtime.block_on(async {
            drop(op::submit(Noted { fd: reader.clone(), ledger: ledger.clone() }));
            a_while().await;
            assert!(ledger.events().is_empty(), "it was cancelled");
            put(&writer, b"x").await;
            all_quiet(runtime).await;
        });
        assert_eq!(ledger.events(), [format!("abandoned {}", libc::POLLIN)]);
    });
}

#[test]
fn an_awaited_operation_completes_and_is_never_abandoned() {
    on_every_kernel(|runtime, on| {
        let (ledger, (reader, writer)) = (Ledger::new(), on.pipe());
        runtime.block_on(async {
            put(&writer, b"x").await;
            op::submit(Noted { fd: reader.clone(), ledger: ledger.clone() }).await;
        });
        assert_eq!(ledger.events(), [format!("completed {}", libc::POLLIN)]);
    });
}

#[test]
fn items_that_nobody_took_are_abandoned_in_their_order() {
    on_every_kernel(|runtime, on| {
        let (ledger, (reader, writer)) = (Ledger::new(), on.pipe());
        runtime.block_on(async {
            let mut shots = poll_noted(&reader, &ledger);
            put(&writer, b"1").await;
            let first = shots.next().await;
            assert_eq!(first, Some(i32::from(libc::POLLIN)));
            put(&writer, b"2").await;
            a_while().await;
            drop(shots);
            all_quiet(runtime).await;
        });
        let events = ledger.events();
        let readable = format!("abandoned {}", libc::POLLIN);
        assert_eq!(events.first(), Some(&format!("shot {}", libc::POLLIN)));
        assert_eq!(events.last().map(String::as_str), Some("operation dropped"));
        let between = &events[1..events.len() - 1];
        assert_eq!(between, [readable.as_str(), "abandoned cancelled"]);
    });
}

#[test]
fn a_hang_up_that_nobody_took_is_handed_over() {
    on_every_kernel(|runtime, on| {
        let (ledger, (reader, writer)) = (Ledger::new(), on.pipe());
        runtime.block_on(async {
            let shots = poll_noted(&reader, &ledger);
            one_turn().await;
            drop(writer);
            a_while().await;
            drop(shots);
            all_quiet(runtime).await;
        });
        let events = ledger.events();
        assert_eq!(events.first(), Some(&format!("abandoned {}", libc::POLLHUP)));
        assert_eq!(events.last().map(String::as_str), Some("operation dropped"));
    });
}

#[test]
fn a_late_open_is_closed() {
    // Miri has neither Linux nor directories.
    let dir = (!cfg!(miri)).then(TempDir::new);
    on_every_kernel(|runtime, on| {
        let dir = dir.as_ref().map(TempDir::path).filter(|_| on.is_linux());
        let path = dir.unwrap_or(Path::new("/tmp")).join("file");
        let path = CString::new(path.as_os_str().as_bytes()).expect("a path");
        runtime.block_on(async {
            for turns in 0..20 {
                let flags = libc::O_RDWR | libc::O_CREAT | libc::O_CLOEXEC;
                let open = op::OpenAt { at: None, path: path.clone(), flags, mode: 0o600 };
                let open = op::submit(open);
                for _ in 0..turns % 3 {
                    one_turn().await;
                }
                drop(open);
            }
            all_quiet(runtime).await;
        });
        // The simulated kernel's are counted after every test.
        let left = dir.map_or(0, descriptors_below);
        assert_eq!(left, 0, "descriptors nobody owns");
    });
}

/// `req_8`
#[test]
fn a_descriptor_stays_open_until_the_last_operation_on_it_is_done() {
    on_every_kernel(|runtime, on| {
        let (ledger, (reader, writer)) = (Ledger::new(), on.pipe());
        runtime.block_on(async {
            let read = read_noted(&reader, &ledger);
            drop(reader);
            put(&writer, b"late").await;
            let (count, buf) = read.await.expect("the descriptor was closed under the read");
            assert_eq!(&buf.as_ref()[..count], b"late");
        });
    });
}

/// `req_8`: who opens something meanwhile would have the late cancel or the late read on it.
#[test]
fn a_number_is_not_given_out_again_while_a_dropped_operation_on_it_is_under_way() {
    on_every_kernel(|runtime, on| {
        let (ledger, (reader, _writer)) = (Ledger::new(), on.pipe());
        let number = reader.as_fd().as_raw_fd();
        runtime.block_on(async {
            let read = read_noted(&reader, &ledger);
            one_turn().await;
            drop(read);
            drop(reader);
            while ledger.events().is_empty() {
                // Linux gives out the lowest number that is free.
                let (one, other) = on.pipe();
                let given = [one, other].map(|fd| fd.as_fd().as_raw_fd());
                assert!(!given.contains(&number), "the read on it is still under way");
                one_turn().await;
            }
        });
    });
}

#[test]
#[expect(clippy::async_yields_async, reason = "the operation is to outlive its runtime")]
fn a_future_that_outlives_its_runtime_still_yields_what_became_of_it() {
    on_every_kernel(|_, on| {
        let (ledger, (reader, _writer)) = (Ledger::new(), on.pipe());
        let other = on.runtime();
        let mut read = other.block_on(async { read_noted(&reader, &ledger) });
        assert_eq!(other.shutdown().leaked, 0);
        let error = runtime_tests::poll_once(&mut read).expect("ended by the shutdown");
        let error = error.expect_err("nothing was there to read");
        assert!(matches!(error.raw_os_error(), Some(libc::ECANCELED | libc::EINTR)), "{error}");
        assert!(ledger.events().is_empty());
        drop(error.into_buf());
        assert_eq!(ledger.events(), ["buffer freed"]);
    });
}

//! Chains: operations that the kernel starts one after the other, all owned by one value.

use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::time::Duration;

use futures::FutureExt;
use runtime_tests::{
    Ledger, NotedBuf, On, a_while, all_quiet, on_every_kernel, on_every_kernel_of, on_linux,
    one_turn, poll_once, put,
};
use uring::Runtime;
use uring::fd::Fd;
use uring::op::{
    Completion, Expiry, Link, LinkTimeout, Nop, Op, Read, Write, submit, submit_chain,
};
use uring::ring::Sqe;

fn write(fd: &Fd, bytes: &'static [u8]) -> Write<&'static [u8]> {
    Write { fd: fd.clone(), offset: None, buf: bytes }
}

fn read(fd: &Fd, room: usize) -> Read<Vec<u8>> {
    Read { fd: fd.clone(), offset: None, buf: Vec::with_capacity(room) }
}

/// What is in a pipe.
async fn content(reader: &Fd) -> Vec<u8> {
    submit(read(reader, 64)).await.expect("read").1
}

#[test]
fn each_part_starts_when_the_one_before_it_has_succeeded() {
    on_every_kernel(|runtime, on| {
        let (reader, writer) = on.pipe();
        runtime.block_on(async {
            for link in [Link::Soft, Link::Hard] {
                let parts = (write(&writer, b"one"), write(&writer, b"two"), read(&reader, 6));
                let (one, two, both) = submit_chain(link, parts).await;
                assert_eq!((one.expect("written").0, two.expect("written").0), (3, 3));
                assert_eq!(both.expect("read").1, b"onetwo");
            }
        });
    });
}

#[test]
fn a_part_waits_for_the_one_before_it() {
    on_every_kernel(|runtime, on| {
        let ((slow, trigger), (reader, writer)) = (on.pipe(), on.pipe());
        runtime.block_on(async {
            let mut chain =
                pin!(submit_chain(Link::Soft, (read(&slow, 2), write(&writer, b"behind"))));
            assert!(poll_once(&mut chain).is_none());
            a_while().await;
            put(&writer, b"before ").await;
            put(&trigger, b"go").await;
            let (go, behind) = chain.await;
            assert_eq!((&go.expect("read").1[..], behind.expect("written").0), (&b"go"[..], 6));
            assert_eq!(content(&reader).await, b"before behind");
        });
    });
}

#[test]
fn a_failure_ends_a_soft_chain_and_every_buffer_comes_back() {
    on_every_kernel(|runtime, on| {
        let (reader, writer) = on.pipe();
        runtime.block_on(async {
            // The end to read from cannot be written to.
            let parts = (write(&reader, b"wrong"), write(&writer, b"never"), read(&reader, 4));
            let (wrong, never, silent) = submit_chain(Link::Soft, parts).await;
            let wrong = wrong.expect_err("it cannot be written to");
            assert_eq!(
                (wrong.raw_os_error(), wrong.into_buf()),
                (Some(libc::EBADF), &b"wrong"[..])
            );
            let never = never.expect_err("it never started");
            assert_eq!(
                (never.raw_os_error(), never.into_buf()),
                (Some(libc::ECANCELED), &b"never"[..])
            );
            let silent = silent.expect_err("it never started");
            assert_eq!(silent.raw_os_error(), Some(libc::ECANCELED));
            assert_eq!(silent.into_buf().capacity(), 4);
            put(&writer, b"nothing before").await;
            assert_eq!(content(&reader).await, b"nothing before");
        });
    });
}

#[test]
fn a_hard_chain_goes_on_after_a_failure() {
    on_every_kernel(|runtime, on| {
        let (reader, writer) = on.pipe();
        runtime.block_on(async {
            let parts = (write(&reader, b"wrong"), write(&writer, b"right"));
            let (wrong, right) = submit_chain(Link::Hard, parts).await;
            assert_eq!(wrong.expect_err("it cannot be").raw_os_error(), Some(libc::EBADF));
            assert_eq!(right.expect("written").0, 5);
            assert_eq!(content(&reader).await, b"right");
        });
    });
}

#[test]
fn a_dropped_chain_cancels_all_its_parts_and_frees_each_buffer_once() {
    on_every_kernel(|runtime, on| {
        let ((slow, _trigger), (reader, writer)) = (on.pipe(), on.pipe());
        let ledger = Ledger::new();
        runtime.block_on(async {
            for link in [Link::Soft, Link::Hard] {
                let buf = |name| NotedBuf::new(8, &ledger, name);
                let first = Read { fd: slow.clone(), offset: None, buf: buf("first") };
                let second = Read { fd: slow.clone(), offset: None, buf: buf("second") };
                let third = Read { fd: slow.clone(), offset: None, buf: buf("third") };
                let mut chain = submit_chain(link, (first, second, third));
                assert!(poll_once(&mut chain).is_none());
                one_turn().await;
                drop(chain);
                all_quiet(runtime).await;
                let mut freed = ledger.events();
                freed.sort();
                assert_eq!(freed.len() % 3, 0);
            }
            let mut freed = ledger.events();
            freed.sort();
            assert_eq!(freed, ["first", "first", "second", "second", "third", "third"]);
            put(&writer, b"alive").await;
            assert_eq!(content(&reader).await, b"alive");
        });
    });
}

#[test]
fn a_cancelled_chain_says_what_became_of_each_part() {
    on_every_kernel(|runtime, on| {
        let ((slow, _trigger), (_reader, writer)) = (on.pipe(), on.pipe());
        runtime.block_on(async {
            let parts = (write(&writer, b"done"), read(&slow, 4), write(&writer, b"never"));
            let mut chain = submit_chain(Link::Soft, parts);
            assert!(poll_once(&mut chain).is_none());
            a_while().await;
            let (done, waiting, never) = chain.cancel().await;
            assert_eq!(done.expect("written").0, 4);
            let waiting = waiting.expect_err("nothing came").raw_os_error();
            assert!(matches!(waiting, Some(libc::ECANCELED | libc::EINTR)));
            assert_eq!(never.expect_err("cancelled").raw_os_error(), Some(libc::ECANCELED));
        });
    });
}

#[test]
fn a_chain_that_does_not_fit_behind_what_is_queued_is_not_torn_apart() {
    on_every_kernel_of(4, 64, |runtime, on| {
        let (reader, writer) = on.pipe();
        runtime.block_on(async {
            for queued in 0..=4 {
                let nops: Vec<_> = (0..queued).map(|_| submit(Nop)).collect();
                let parts = (read(&reader, 2), write(&writer, b"cd"), read(&reader, 2));
                let chain = submit_chain(Link::Soft, parts);
                let more: Vec<_> = (0..3).map(|_| submit(Nop)).collect();
                put(&writer, b"ab").await;
                let (first, second, third) = chain.await;
                assert_eq!(first.expect("read").1, b"ab");
                assert_eq!(second.expect("written").0, 2);
                assert_eq!(third.expect("read").1, b"cd");
                for nop in nops.into_iter().chain(more) {
                    nop.await.expect("a nop");
                }
            }
        });
    });
}

#[test]
fn a_chain_longer_than_the_queue_is_refused_as_a_whole() {
    on_every_kernel_of(2, 64, |runtime, on| {
        let (_reader, writer) = on.pipe();
        runtime.block_on(async {
            let parts = (write(&writer, b"a"), write(&writer, b"b"), write(&writer, b"c"));
            let (first, second, third) = submit_chain(Link::Soft, parts).await;
            for (part, bytes) in [(first, b"a"), (second, b"b"), (third, b"c")] {
                let refused = part.expect_err("too long");
                assert_eq!(refused.raw_os_error(), Some(libc::E2BIG));
                assert_eq!(refused.into_buf(), bytes);
            }
            assert_eq!(runtime.metrics().in_flight, 0);
        });
    });
}

/// An operation that misbehaves in `prepare`.
struct Wrong {
    panics: bool,
    _noted: runtime_tests::NoteOnDrop,
}

impl Op for Wrong {
    type Output = Option<i32>;

    fn prepare(&mut self) -> Sqe<'_> {
        assert!(!self.panics, "in prepare");
        Sqe::nop().link()
    }

    fn complete(self, completion: Completion<Self>) -> Option<i32> {
        completion.result().err().and_then(|error| error.raw_os_error())
    }
}

#[test]
fn a_part_that_panics_while_it_is_prepared_leaves_nothing_behind() {
    on_every_kernel(|runtime, on| {
        let (_reader, writer) = on.pipe();
        let ledger = Ledger::new();
        runtime.block_on(async {
            let first = Write {
                fd: writer.clone(),
                offset: None,
                buf: NotedBuf::new(4, &ledger, "first freed"),
            };
            let wrong = Wrong { panics: true, _noted: ledger.on_drop("wrong dropped") };
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                drop(submit_chain(Link::Soft, (first, wrong)));
            }));
            assert!(panicked.is_err());
            assert_eq!(runtime.metrics().in_flight, 0);
            let mut events = ledger.events();
            events.sort();
            assert_eq!(events, ["first freed", "wrong dropped"]);
        });
    });
}

#[test]
fn a_part_that_links_itself_has_its_chain_refused() {
    on_every_kernel(|runtime, _| {
        let ledger = Ledger::new();
        runtime.block_on(async {
            let wrong = Wrong { panics: false, _noted: ledger.on_drop("dropped") };
            let (refused, nop) = submit_chain(Link::Soft, (wrong, Nop)).await;
            assert_eq!(refused, Some(libc::EINVAL));
            assert_eq!(nop.expect_err("refused").raw_os_error(), Some(libc::EINVAL));
        });
    });
}

/// A read from a pipe that stays silent, and a limit.
fn limited(runtime: &Runtime, limit: Duration, feed: bool) -> (Option<i32>, Expiry) {
    let (reader, writer) = On::Linux { rung: 0 }.pipe();
    runtime.block_on(async {
        if feed {
            put(&writer, b"fed").await;
        }
        let parts = (read(&reader, 8), LinkTimeout::after(limit));
        let (read, expiry) = submit_chain(Link::Soft, parts).await;
        let errno = match read {
            Ok((n, buf)) => {
                assert_eq!((n, &buf[..]), (3, &b"fed"[..]));
                None
            }
            Err(failed) => {
                let errno = failed.raw_os_error();
                assert_eq!(failed.into_buf().capacity(), 8);
                errno
            }
        };
        (errno, expiry.expect("an expiry"))
    })
}

#[test]
fn a_linked_timeout_ends_what_takes_too_long_and_nothing_else() {
    on_linux(|runtime| {
        let late = limited(runtime, Duration::from_millis(1), false);
        assert!(matches!(late, (Some(libc::ECANCELED | libc::EINTR), Expiry::Passed)), "{late:?}");
        assert_eq!(limited(runtime, Duration::from_secs(3600), true), (None, Expiry::Met));
        assert_eq!(limited(runtime, Duration::MAX, true), (None, Expiry::Met));
    });
}

#[test]
fn a_dropped_chain_takes_its_linked_timeout_with_it() {
    on_linux(|runtime| {
        let (reader, writer) = On::Linux { rung: 0 }.pipe();
        runtime.block_on(async {
            for round in 0..200 {
                let limit = LinkTimeout::after(Duration::from_micros(round * 10));
                let mut chain = submit_chain(Link::Soft, (read(&reader, 8), limit));
                assert!((&mut chain).now_or_never().is_none());
                if round % 2 == 0 {
                    one_turn().await;
                }
                drop(chain);
            }
            all_quiet(runtime).await;
            put(&writer, b"all there").await;
            assert_eq!(content(&reader).await, b"all there");
            let _ = reader.as_fd();
        });
    });
}

//! Readiness, seen from a ring.

use std::fs::File;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use runtime_tests::ring::{on_a_ring, on_a_ring_of};
use runtime_tests::rings::{made, nop, only, take};
use runtime_tests::{Watchdog, pipe, skipped};
use uring::ring::{Cqe, Features, MultiSqe, Setup, SetupFlags, Sqe};

use super::{IN, OUT, on, pair, poke, poll2};

#[test]
fn a_poll_finds_what_the_system_call_finds() {
    let cases = || -> Vec<(&'static str, OwnedFd, Option<OwnedFd>)> {
        let (empty, empty_writer) = pipe();
        let (filled, filled_writer) = pipe();
        poke(&filled_writer);
        let (ended, ended_writer) = pipe();
        drop(ended_writer);
        let (unread, writer) = pipe();
        drop(unread);
        let (quiet, quiet_peer) = pair();
        let (shut, shut_peer) = pair();
        shut_peer.shutdown(Shutdown::Write).expect("a shutdown");
        let (alone, gone) = pair();
        drop(gone);
        vec![
            ("an empty pipe", empty, Some(empty_writer)),
            ("a filled pipe", filled, Some(filled_writer)),
            ("a pipe without writers", ended, None),
            ("a pipe without readers", writer, None),
            ("a quiet socket", quiet.into(), Some(quiet_peer.into())),
            ("a socket whose peer is silent for good", shut.into(), Some(shut_peer.into())),
            ("a socket without a peer", alone.into(), None),
        ]
    };
    on_a_ring(|ring| {
        for (name, file, _peer) in cases() {
            for events in [IN, OUT, IN | OUT, 0] {
                // A ring tells of the end of the peer whether or not it was asked to.
                let found = poll2(&file, events | libc::POLLRDHUP as u32, 0);
                // What holds is found before the cancel; what does not hold is cancelled.
                let ends = ring.run_all([Sqe::poll(on(&file), events), Sqe::cancel(0)]);
                let expected = if found == 0 { -libc::ECANCELED } else { found };
                assert_eq!(ends[0], expected, "{name}, asked for {events:#x}");
            }
        }
    });
}

#[test]
fn a_multishot_poll_is_changed_and_goes_on() {
    let (near, far) = pair();
    on_a_ring(|ring| {
        // SAFETY: the sockets outlive the poll, which is cancelled below.
        unsafe { ring.start(MultiSqe::poll(on(&near), IN).user_data(1)) };
        ring.submit();
        poke(&far);
        let cqe = ring.next_cqe();
        assert_eq!((cqe.raw_result(), cqe.more()), (1, true));
        // SAFETY: lends nothing.
        unsafe { ring.start(Sqe::poll_update(1, OUT, true).user_data(2)) };
        let mut ends = [ring.next_cqe(), ring.next_cqe()];
        ends.sort_unstable_by_key(Cqe::user_data);
        assert_eq!((ends[0].raw_result(), ends[0].more()), (libc::POLLOUT.into(), true));
        assert_eq!((ends[1].user_data(), ends[1].raw_result()), (2, 0));
        // SAFETY: as above.
        unsafe { ring.start(Sqe::poll_remove(1).user_data(3)) };
        assert_eq!(ring.next_sorted(2), [(1, -libc::ECANCELED), (3, 0)]);
    });
}

/// So nobody can have a request report again whose one completion somebody takes for its end.
#[test]
fn whether_a_poll_reports_again_is_not_changed_by_an_update() {
    on_a_ring(|ring| {
        for again in [false, true] {
            let (near, far) = pair();
            let sqe = if again {
                MultiSqe::poll(on(&near), IN).user_data(1).into_raw()
            } else {
                Sqe::poll(on(&near), IN).user_data(1).into_raw()
            };
            // SAFETY: the sockets outlive the poll, whose end is taken below. The update lends nothing.
            unsafe {
                ring.start(sqe);
                ring.start(Sqe::poll_update(1, IN, !again).user_data(2));
            }
            assert_eq!(ring.next_sorted(1), [(2, 0)]);
            poke(&far);
            let cqe = ring.next_cqe();
            assert_eq!((cqe.user_data(), cqe.raw_result(), cqe.more()), (1, 1, again));
            // SAFETY: as above.
            unsafe { ring.start(Sqe::poll_remove(1).user_data(3)) };
            let ends = [(1, -libc::ECANCELED), (3, 0)];
            let expected = if again { &ends[..] } else { &[(3, -libc::ENOENT)] };
            assert_eq!(ring.next_sorted(expected.len()), expected);
        }
    });
}

#[test]
fn a_multishot_poll_without_room_ends_behind_what_it_said_before() {
    let (reader, writer) = pipe();
    let Some(mut ring) = made(&Setup::new(1).cq_entries(2).only(SetupFlags::empty())) else {
        return;
    };
    for _ in 0..3 {
        // SAFETY: the pipe outlives the poll, whose end is taken below.
        unsafe { ring.push(MultiSqe::poll(on(&reader), IN).user_data(1)) }.expect("room");
        ring.submit().expect("the poll");
        let mut writes = 0;
        while !ring.overflowed() {
            poke(&writer);
            writes += 1;
            assert!(writes < 100, "a queue of two places is never full");
        }
        let mut said = take(&mut ring, 1);
        while said.last().is_some_and(Cqe::more) {
            said.extend(take(&mut ring, 1));
        }
        assert!(said.iter().all(|cqe| cqe.raw_result() & i32::from(libc::POLLIN) != 0));
        let (last, before) = said.split_last().expect("an end");
        assert!(!last.more() && before.iter().all(Cqe::more) && before.len() >= 2);
        assert_eq!((ring.ready(), ring.lost()), (0, 0));
    }
}

#[test]
fn a_ring_that_polls_itself_hears_of_its_completions() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let Some(mut ring) = only(4, SetupFlags::empty()) else { return };
    let own = ring.fd().expect("a descriptor").try_clone_to_owned().expect("a descriptor");
    // SAFETY: the descriptor outlives the poll, which is taken below.
    unsafe { ring.push(Sqe::poll(on(&own), IN).user_data(1)) }.expect("room");
    ring.submit().expect("the poll");
    assert_eq!(ring.ready(), 0);
    nop(&mut ring, 2);
    let all: Vec<_> = take(&mut ring, 2).iter().map(|c| (c.user_data(), c.raw_result())).collect();
    assert_eq!(all[0], (2, 0), "the nop, and then the news of it");
    assert_eq!(all[1].0, 1);
    assert!(all[1].1 & i32::from(libc::POLLIN) != 0, "{all:?}");
}

#[test]
fn no_write_of_another_thread_is_missed_by_a_poll() {
    on_a_ring(|ring| {
        let (mut near, mut far) = pair();
        let echo = std::thread::spawn(move || {
            let mut byte = [0; 1];
            while far.read(&mut byte).expect("a read") == 1 {
                far.write_all(&byte).expect("its echo");
            }
        });
        for round in 0..=255_u8 {
            near.write_all(&[round]).expect("a byte");
            assert_eq!(ring.run(Sqe::poll(on(&near), IN)), 1);
            let mut byte = [0; 1];
            assert_eq!(ring.run(Sqe::recv(on(&near), &mut byte[..], libc::MSG_DONTWAIT)), 1);
            assert_eq!(byte, [round]);
        }
        drop(near);
        echo.join().expect("the echo");
    });
}

#[test]
fn a_waiter_is_woken_by_writes_of_another_thread_in_every_mode() {
    let deferred = SetupFlags::SINGLE_ISSUER | SetupFlags::DEFER_TASKRUN;
    for flags in [SetupFlags::empty(), SetupFlags::COOP_TASKRUN, deferred] {
        let setup = Setup::new(8).only(flags);
        if made(&setup).is_none() {
            continue;
        }
        on_a_ring_of(&setup, |ring| {
            for _ in 0..50 {
                let (reader, writer) = pipe();
                let mut byte = [0; 1];
                let write = std::thread::spawn(move || File::from(writer).write_all(b"w"));
                assert_eq!(ring.run(Sqe::read(on(&reader), &mut byte[..], None)), 1, "{flags:?}");
                assert_eq!(&byte, b"w");
                write.join().expect("a thread").expect("a byte");
            }
        });
    }
}

#[test]
fn a_read_of_an_eventfd_is_short_and_done() {
    // SAFETY: a new descriptor that nobody else owns.
    let eventfd = unsafe {
        use std::os::fd::FromRawFd;
        OwnedFd::from_raw_fd(libc::eventfd(3, libc::EFD_CLOEXEC))
    };
    on_a_ring(|ring| {
        let mut room = [0; 64];
        let read = Sqe::read(eventfd.as_fd().into(), &mut room[..], None);
        assert_eq!(ring.run(read), 8, "a second read for the rest would wait forever");
        assert_eq!(room[..8], 3_u64.to_ne_bytes());
        let small = Sqe::read(eventfd.as_fd().into(), &mut room[..4], None);
        assert_eq!(ring.run(small), -libc::EINVAL);
    });
}

#[test]
fn a_poll_of_a_ring_that_is_not_enabled_yet_hears_of_what_it_does_later() {
    let deferred = SetupFlags::SINGLE_ISSUER | SetupFlags::DEFER_TASKRUN;
    let Some(mut other) = only(4, deferred | SetupFlags::R_DISABLED) else { return };
    // The two came with the same release.
    if !other.report().features().contains(Features::REG_REG_RING) {
        return skipped(
            "before Linux 6.3 no poll hears of what the thread of a ring with deferred work does",
        );
    }
    let fd = other.fd().expect("a descriptor").try_clone_to_owned().expect("another one");
    assert_eq!(poll2(&fd, IN, 0) & i32::from(libc::POLLIN), 0);
    on_a_ring(|ring| {
        // SAFETY: the descriptor outlives the poll, which is taken below.
        unsafe { ring.start(Sqe::poll(on(&fd), IN).user_data(1)) };
        ring.submit();
        assert_eq!(ring.ring().ready(), 0);
        other.enable().expect("it is disabled");
        nop(&mut other, 2);
        other.submit().expect("a nop");
        let found = ring.next_cqe();
        assert!(found.raw_result() & i32::from(libc::POLLIN) != 0, "{found:?}");
        assert_eq!(take(&mut other, 1)[0].user_data(), 2);
    });
}

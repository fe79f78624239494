//! Rings whose submissions a kernel thread takes.
#![cfg(not(miri))]

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use runtime_tests::ring::{BareRing, on_a_ring_of};
use runtime_tests::rings::{made, nop, take};
use runtime_tests::{Watchdog, pipe};
use uring::ring::{Cqe, EnterFlags, Link, Ring, Setup, SetupFlags, Sqe};

/// A ring with a thread that sleeps after a millisecond.
fn polled(entries: u32) -> Option<Ring> {
    made(&Setup::new(entries).cq_entries(4096).sqpoll(Duration::from_nanos(1)))
}

/// Runs a test on a ring whose submissions a thread takes.
fn on_a_polled_ring(test: impl FnOnce(&mut BareRing)) {
    let setup = Setup::new(8).sqpoll(Duration::from_millis(1));
    if made(&setup).is_some() {
        on_a_ring_of(&setup, test);
    }
}

#[test]
fn a_thread_that_sleeps_is_woken_for_what_is_submitted() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let Some(mut ring) = polled(8) else { return };
    for index in 0..20 {
        // Longer than it stays awake.
        std::thread::sleep(Duration::from_millis(4));
        nop(&mut ring, index);
        ring.submit().expect("a nop");
        assert_eq!(take(&mut ring, 1)[0].user_data(), index);
    }
}

#[test]
fn room_is_waited_for_until_the_thread_has_made_it() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let Some(mut ring) = polled(4) else { return };
    for index in 0..2000 {
        ring.reserve(1 + index % 4).expect("room");
        nop(&mut ring, u64::from(index));
    }
    let all: Vec<u64> = take(&mut ring, 2000).iter().map(Cqe::user_data).collect();
    assert_eq!(all, (0..2000).collect::<Vec<_>>());
    assert_eq!((ring.lost(), ring.dropped()), (0, 0));
}

#[test]
fn a_wait_for_a_place_returns_at_once_when_there_is_one() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let Some(mut ring) = polled(4) else { return };
    ring.enter(0, 0, EnterFlags::SQ_WAIT).expect("a place is free");
    assert_eq!(ring.space_left(), 4);
}

#[test]
fn a_chain_is_taken_whole() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let Some(mut ring) = polled(8) else { return };
    let chain = [1, 2, 3, 4].map(|user_data| Sqe::nop().into_raw().user_data(user_data));
    // SAFETY: nops lend nothing.
    unsafe { ring.push_chain(Link::Soft, &chain) }.expect("room");
    let all: Vec<u64> = take(&mut ring, 4).iter().map(Cqe::user_data).collect();
    assert_eq!(all, [1, 2, 3, 4]);
}

#[test]
fn the_thread_is_shared_with_a_ring_that_outlives_its_maker() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let Some(first) = polled(8) else { return };
    let setup = Setup::new(8).sqpoll(Duration::from_millis(1)).attach(&first);
    let mut second = setup.and_then(|setup| Ok(setup.build()?)).expect("a second ring");
    drop(first);
    for index in 0..10 {
        nop(&mut second, index);
        assert_eq!(take(&mut second, 1)[0].user_data(), index);
    }
}

#[test]
fn the_thread_stays_on_a_processor_that_exists() {
    let setup = Setup::new(8).sqpoll(Duration::from_millis(1));
    let Some(mut ring) = made(&setup.clone().sqpoll_cpu(0)) else { return };
    nop(&mut ring, 1);
    assert_eq!(take(&mut ring, 1)[0].user_data(), 1);
    let error = setup.only(SetupFlags::empty()).sqpoll_cpu(1 << 20).build();
    let error = error.expect_err("no such processor");
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    assert!(error.advice().contains("processor"), "{error}");
}

#[test]
fn an_empty_enter_has_nothing_to_say_while_the_thread_lives() {
    let Some(mut ring) = polled(4) else { return };
    for _ in 0..100 {
        assert_eq!(ring.enter(0, 0, EnterFlags::GETEVENTS).expect("nothing to do"), 0);
    }
}

#[test]
fn bytes_are_sent_and_received_through_the_thread() {
    on_a_polled_ring(|ring| {
        let (near, far) = UnixStream::pair().expect("two sockets");
        let mut came = [0; 5];
        let receive = Sqe::recv(far.as_fd().into(), &mut came[..], 0);
        let send = Sqe::send(near.as_fd().into(), b"hello", 0);
        assert_eq!(ring.run_all([receive, send]), [5, 5]);
        assert_eq!(&came, b"hello");
    });
}

#[test]
fn a_read_that_waits_is_cancelled_through_the_thread() {
    on_a_polled_ring(|ring| {
        let (reader, _writer) = pipe();
        let mut byte = [0; 1];
        let read = Sqe::read(reader.as_fd().into(), &mut byte[..], None);
        assert_eq!(ring.run_all([read, Sqe::cancel(0)]), [-libc::ECANCELED, 0]);
    });
}

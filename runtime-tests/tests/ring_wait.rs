//! Waiting: how many, how long, by which clock, and behind which signals.
#![cfg(not(miri))]

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use runtime_tests::rings::{errno, everywhere, has, made, nop, only, taken};
use runtime_tests::{alarm, pipe, skipped};
use uring::ring::abi::Timespec;
use uring::ring::{
    EnterFlags, Features, Ring, Setup, SetupFlags, Signals, Sqe, Target, TimeoutFlags, WaitFor,
};
use uring::sim::Sim;

const SHORT: Duration = Duration::from_millis(3);

fn linux() -> Option<Ring> {
    made(&Setup::new(8))
}

/// What the monotonic clock shows.
fn monotonic() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock writes the struct it is lent.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn a_wait_for_what_is_there_returns_at_once_with_the_count_of_submissions() {
    for mut ring in everywhere(8, 16) {
        for index in 0..3 {
            nop(&mut ring, index);
        }
        assert_eq!(ring.submit_and_wait(3, None).expect("three"), 3);
        assert_eq!(ring.ready(), 3);
        assert_eq!(ring.submit_and_wait(2, None).expect("none"), 0, "those before count");
        assert_eq!(taken(&mut ring).len(), 3);
    }
}

#[test]
fn running_out_of_time_is_no_error_and_comes_no_sooner_than_asked() {
    if alarm::ends_waits() {
        return;
    }
    for mut ring in everywhere(8, 16) {
        let start = ring.now();
        assert_eq!(ring.submit_and_wait(1, Some(SHORT)).expect("no error"), 0);
        assert!(ring.now() - start >= SHORT);
        assert_eq!(ring.ready(), 0);
    }
}

#[test]
fn a_wait_for_more_than_arrives_ends_in_time_with_what_there_is() {
    if alarm::ends_waits() {
        return;
    }
    for mut ring in everywhere(8, 16) {
        nop(&mut ring, 1);
        ring.submit_and_wait(5, Some(SHORT)).expect("no error");
        assert_eq!(taken(&mut ring), [1]);
    }
}

#[test]
fn no_time_at_all_is_a_look_and_no_wait() {
    if alarm::ends_waits() {
        return;
    }
    let Some(mut ring) = linux() else { return };
    assert_eq!(ring.submit_and_wait(1, Some(Duration::ZERO)).expect("no error"), 0);
    nop(&mut ring, 1);
    assert_eq!(ring.submit_and_wait(1, Some(Duration::ZERO)).expect("one"), 1);
    assert_eq!(taken(&mut ring), [1]);
}

#[test]
fn a_limit_of_centuries_is_a_limit_that_does_not_end_a_wait_early() {
    if alarm::ends_waits() {
        return;
    }
    let Some(mut ring) = linux() else { return };
    // What is waited for comes during the wait.
    let soon = Timespec { sec: 0, nsec: 2_000_000 };
    let timer = |user_data| Sqe::timeout(&soon, TimeoutFlags::empty()).user_data(user_data);
    // SAFETY: the time outlives the timer, which runs out below.
    unsafe { ring.push(timer(1)) }.expect("room");
    ring.submit_and_wait(1, Some(Duration::MAX)).expect("one");
    assert_eq!(taken(&mut ring), [1]);
    if has(&ring, Features::MIN_TIMEOUT) {
        // SAFETY: as above.
        unsafe { ring.push(timer(2)) }.expect("room");
        let wait = WaitFor::completions(1).until(Duration::MAX);
        ring.submit_and_wait_for(&wait).expect("one");
        assert_eq!(taken(&mut ring), [2]);
    }
}

#[test]
fn a_wait_until_a_time_ends_then_and_not_before() {
    if alarm::ends_waits() {
        return;
    }
    let Some(mut ring) = linux() else { return };
    if !has(&ring, Features::MIN_TIMEOUT) {
        return;
    }
    let end = monotonic() + SHORT;
    ring.submit_and_wait_for(&WaitFor::completions(1).until(end)).expect("no error");
    assert!(monotonic() >= end);
    let past = WaitFor::completions(1).until(Duration::from_nanos(1));
    ring.submit_and_wait_for(&past).expect("a time that has passed is no error");
}

#[test]
fn a_gathering_wait_is_content_with_one_when_its_time_is_over() {
    if alarm::ends_waits() {
        return;
    }
    let Some(mut ring) = linux() else { return };
    if !has(&ring, Features::MIN_TIMEOUT) {
        return;
    }
    nop(&mut ring, 1);
    let start = Instant::now();
    let wait = WaitFor::completions(8).gather(SHORT).at_most(Duration::from_secs(600));
    ring.submit_and_wait_for(&wait).expect("one");
    assert!(start.elapsed() >= SHORT);
    assert_eq!(taken(&mut ring), [1]);
}

#[test]
fn a_place_of_a_region_that_is_not_there_is_a_bad_address() {
    let Some(mut ring) = linux() else { return };
    let wait = WaitFor::completions(1).registered(0);
    match errno(ring.submit_and_wait_for(&wait)) {
        libc::EINVAL => skipped("Linux here lacks registered waits (6.13)"),
        errno => assert_eq!(errno, libc::EFAULT),
    }
}

#[test]
fn a_kernel_in_user_space_is_told_limits_and_no_more() {
    if alarm::ends_waits() {
        return;
    }
    let mut ring = Setup::new(8).build_on(Sim::new(1).kernel()).expect("a ring");
    let wait = WaitFor::completions(1);
    ring.submit_and_wait_for(&wait.at_most(SHORT)).expect("a limit");
    for refused in [wait.until(SHORT), wait.gather(SHORT), wait.registered(0)] {
        assert_eq!(errno(ring.submit_and_wait_for(&refused)), libc::EINVAL);
    }
}

extern "C" fn ignore(_: libc::c_int) {}

/// Sends this thread a signal whose handler does nothing, and which is held back outside of waits.
fn hold_back_and_raise(signal: i32) {
    // SAFETY: the sets are initialized before they are used, the handler touches nothing, and the mask is
    // that of this thread, which belongs to one test.
    unsafe {
        let handler = ignore as extern "C" fn(libc::c_int);
        libc::signal(signal, handler as libc::sighandler_t);
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()), 0);
        assert_eq!(libc::pthread_kill(libc::pthread_self(), signal), 0);
    }
}

#[test]
fn a_signal_that_is_let_through_ends_a_wait_and_one_that_is_held_back_does_not() {
    if alarm::ends_waits() {
        return;
    }
    let Some(mut ring) = linux() else { return };
    hold_back_and_raise(libc::SIGUSR2);
    let wait = WaitFor::completions(1).at_most(SHORT);
    ring.submit_and_wait_for(&wait.blocking(Signals::all())).expect("time ran out");
    let open = WaitFor::completions(1).blocking(Signals::none());
    assert_eq!(errno(ring.submit_and_wait_for(&open)), libc::EINTR);
    // The signal is gone now.
    ring.submit_and_wait_for(&wait.blocking(Signals::none())).expect("time ran out");
}

#[test]
fn a_set_of_signals_has_what_was_put_into_it() {
    let set = Signals::none().with(libc::SIGINT).with(64).with(0).with(65).with(-1);
    assert!(set.contains(libc::SIGINT) && set.contains(64));
    assert!(!set.contains(libc::SIGTERM) && !set.contains(0) && !set.contains(65));
    assert!(Signals::all().contains(libc::SIGTERM));
}

#[test]
fn deferred_completions_are_announced_and_fetched() {
    let flags = SetupFlags::SINGLE_ISSUER | SetupFlags::DEFER_TASKRUN | SetupFlags::TASKRUN_FLAG;
    let Some(mut ring) = only(8, flags) else { return };
    let (read_end, write_end) = pipe();
    let poll = Sqe::poll(Target::Fd(read_end.as_fd()), libc::POLLIN as u32).user_data(1);
    // SAFETY: the pipe outlives the poll, which is taken below.
    unsafe { ring.push(poll) }.expect("room");
    ring.submit().expect("a poll");
    assert!(!ring.needs_enter());
    File::from(write_end).write_all(b"x").expect("a byte");
    assert!(ring.needs_enter(), "it has completed, and nobody was told but by this flag");
    assert_eq!((ring.ready(), ring.enter(0, 0, EnterFlags::empty()).expect("no events")), (0, 0));
    assert_eq!(ring.ready(), 0, "who does not ask for events gets none");
    ring.submit_and_wait(0, None).expect("events");
    assert_eq!(taken(&mut ring), [1]);
    assert!(!ring.needs_enter());
}

#[test]
fn waiting_for_completions_copies_them_and_no_more_than_fit() {
    for mut ring in everywhere(8, 16) {
        for index in 0..5 {
            nop(&mut ring, index);
        }
        let mut out = [Default::default(); 3];
        assert_eq!(ring.wait_cqes(&mut out, 100).expect("three"), 3);
        ring.submit_and_wait(2, None).expect("two are left");
        assert_eq!(ring.wait_cqes(&mut out, 0).expect("no wait"), 2);
        assert_eq!(ring.wait_cqes(&mut [], 9).expect("no room"), 0);
    }
}

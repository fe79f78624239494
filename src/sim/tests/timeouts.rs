//! Timeouts: alone, counted, repeated, changed, and of another request.

use std::time::Duration;

use super::*;
use crate::ring::{MultiSqe, TimeoutFlags};
use crate::sys::abi::Timespec;

const HOUR: Timespec = Timespec { sec: 3600, nsec: 0 };
const SECOND: Timespec = Timespec { sec: 1, nsec: 0 };
const PLAIN: TimeoutFlags = TimeoutFlags::empty();

#[test]
fn a_timeout_takes_its_time_and_ends_with_etime() {
    let (sim, mut ring) = machine(1);
    assert_eq!(complete(&mut ring, Sqe::timeout(&HOUR, PLAIN)), -libc::ETIME);
    let passed = sim.elapsed();
    assert!(passed >= Duration::from_secs(3600) && passed < Duration::from_secs(3601));
    // A time that has passed, by the clock of this world.
    assert_eq!(complete(&mut ring, Sqe::timeout(&SECOND, TimeoutFlags::ABS)), -libc::ETIME);
    assert!(sim.elapsed() < Duration::from_secs(3601));
    let negative = Timespec { sec: -1, nsec: 0 };
    assert_eq!(complete(&mut ring, Sqe::timeout(&negative, PLAIN)), -libc::EINVAL);
}

#[test]
fn a_timeout_ends_with_the_completions_it_counts() {
    let (sim, mut ring) = machine(2);
    let counted = Sqe::timeout_or_completions(&HOUR, 2, PLAIN).user_data(1);
    let nop = |user_data| Sqe::nop().user_data(user_data);
    let done = complete_all(&mut ring, vec![counted, nop(2), nop(3)]);
    assert_eq!(done[2], (1, 0));
    assert!(sim.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_timeout_that_repeats_ends_after_so_many_times() {
    let (sim, mut ring) = machine(3);
    let repeated = MultiSqe::timeout(&SECOND, 3, PLAIN).user_data(1).into_raw();
    // SAFETY: a time is read when the submission is taken.
    unsafe { ring.push(repeated) }.expect("space");
    let mut cqes = Vec::new();
    while cqes.len() < 3 {
        ring.submit_and_wait(1, None).expect("enter");
        cqes.extend(reap(&mut ring));
    }
    let seen: Vec<_> = cqes.iter().map(|cqe| (cqe.raw_result(), cqe.more())).collect();
    assert_eq!(seen, [(-libc::ETIME, true), (-libc::ETIME, true), (-libc::ETIME, false)]);
    assert!(sim.elapsed() >= Duration::from_secs(3));
    assert_eq!(sim.in_flight(), 0);
}

#[test]
fn a_timeout_is_removed_or_gets_another_time() {
    let (sim, mut ring) = machine(4);
    assert_eq!(complete(&mut ring, Sqe::timeout_remove(9)), -libc::ENOENT);
    let waiting = || Sqe::timeout(&HOUR, PLAIN).user_data(1);
    let mut done = complete_all(&mut ring, vec![waiting(), Sqe::timeout_remove(1).user_data(2)]);
    done.sort();
    assert_eq!(done, [(1, -libc::ECANCELED), (2, 0)]);
    let sooner = Sqe::timeout_update(1, &SECOND, PLAIN).user_data(2);
    let mut done = complete_all(&mut ring, vec![waiting(), sooner]);
    done.sort();
    assert_eq!(done, [(1, -libc::ETIME), (2, 0)]);
    assert!(sim.elapsed() < Duration::from_secs(60));
    let mut done = complete_all(&mut ring, vec![waiting(), Sqe::cancel(1).user_data(2)]);
    done.sort();
    assert_eq!(done, [(1, -libc::ECANCELED), (2, 0)]);
}

#[test]
fn a_link_timeout_ends_what_takes_too_long() {
    for seed in seeds(4) {
        let (sim, mut ring) = machine(seed);
        let (reader, _writer) = sim.pipe();
        let mut room = Vec::with_capacity(4);
        let read = Sqe::read(target(reader), room.spare_capacity_mut(), None).user_data(1).link();
        let limit = Sqe::link_timeout(&SECOND, PLAIN).user_data(2).link();
        let mut done = complete_all(&mut ring, vec![read, limit, Sqe::nop().user_data(3)]);
        done.sort();
        assert_eq!(done, [(1, -libc::ECANCELED), (2, -libc::ETIME), (3, -libc::ECANCELED)]);
        assert_eq!(sim.in_flight(), 0);
    }
}

#[test]
fn a_link_timeout_is_cancelled_by_what_was_done_in_time() {
    for seed in seeds(4) {
        let (sim, mut ring) = machine(seed);
        let limit = Sqe::link_timeout(&HOUR, PLAIN).user_data(2).link();
        let all = vec![Sqe::nop().user_data(1).link(), limit, Sqe::nop().user_data(3)];
        let mut done = complete_all(&mut ring, all);
        done.sort();
        assert_eq!(done, [(1, 0), (2, -libc::ECANCELED), (3, 0)]);
        assert!(sim.elapsed() < Duration::from_secs(1));
    }
}

#[test]
fn a_link_timeout_without_a_link_is_einval() {
    let (_sim, mut ring) = machine(5);
    assert_eq!(complete(&mut ring, Sqe::link_timeout(&SECOND, PLAIN)), -libc::EINVAL);
}

#[test]
fn running_out_breaks_a_chain_unless_it_is_success() {
    let (_sim, mut ring) = machine(6);
    let after = |flags, nop| {
        vec![Sqe::timeout(&SECOND, flags).user_data(1).link(), Sqe::nop().user_data(nop)]
    };
    let mut done = complete_all(&mut ring, after(PLAIN, 2));
    done.sort();
    assert_eq!(done, [(1, -libc::ETIME), (2, -libc::ECANCELED)]);
    let mut done = complete_all(&mut ring, after(TimeoutFlags::ETIME_SUCCESS, 2));
    done.sort();
    assert_eq!(done, [(1, -libc::ETIME), (2, 0)]);
}

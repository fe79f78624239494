//! Links, drains, hidden completions, and flags that are refused.

use super::*;
use crate::ring::RawSqe;
use crate::sys::abi::SqeFlags;

fn nop<'a>(user_data: u64) -> Sqe<'a> {
    Sqe::nop().user_data(user_data)
}

fn with_flags(sqe: Sqe<'_>, flags: SqeFlags) -> Sqe<'_> {
    let entry = sqe.into_raw();
    let raw = entry.raw();
    // SAFETY: only flags were added.
    unsafe { Sqe::raw(RawSqe { flags: raw.flags | flags.bits(), ..*raw }) }
}

#[test]
fn a_chain_runs_in_order_under_every_seed() {
    for seed in seeds(6) {
        let (_sim, mut ring) = machine(seed);
        let done = complete_all(&mut ring, vec![nop(1).link(), nop(2).link(), nop(3)]);
        assert_eq!(done, [(1, 0), (2, 0), (3, 0)]);
    }
}

#[test]
fn a_failure_cancels_what_was_linked_to_it_and_nothing_else() {
    let (_sim, mut ring) = machine(1);
    let bad = Sqe::fsync(target(5), false).user_data(1);
    let mut done = complete_all(&mut ring, vec![bad.link(), nop(2).link(), nop(3), nop(4)]);
    done.sort();
    assert_eq!(done, [(1, -libc::EBADF), (2, -libc::ECANCELED), (3, -libc::ECANCELED), (4, 0)]);
}

#[test]
fn a_short_read_breaks_its_chain() {
    let (sim, mut ring) = machine(2);
    sim.write_file("f", b"abc");
    let number = open(&mut ring, c"f", libc::O_RDONLY);
    let mut room = Vec::with_capacity(8);
    let short = Sqe::read(target(number), &mut room.spare_capacity_mut()[..8], Some(0));
    let mut done = complete_all(&mut ring, vec![short.user_data(1).link(), nop(2)]);
    done.sort();
    assert_eq!(done, [(1, 3), (2, -libc::ECANCELED)]);
}

#[test]
fn a_hard_link_holds_after_a_failure() {
    let (_sim, mut ring) = machine(3);
    let bad = with_flags(Sqe::fsync(target(5), false).user_data(1), SqeFlags::IO_HARDLINK);
    assert_eq!(complete_all(&mut ring, vec![bad, nop(2)]), [(1, -libc::EBADF), (2, 0)]);
}

#[test]
fn one_bad_submission_fails_its_whole_chain() {
    let (_sim, mut ring) = machine(4);
    let bad = with_flags(nop(2).link(), SqeFlags::from_bits_retain(1 << 7));
    let mut done = complete_all(&mut ring, vec![nop(1).link(), bad, nop(3), nop(4)]);
    done.sort();
    assert_eq!(done, [(1, -libc::ECANCELED), (2, -libc::EINVAL), (3, -libc::ECANCELED), (4, 0)]);
}

#[test]
fn a_chain_ends_with_the_call_that_submits_it() {
    let (_sim, mut ring) = machine(5);
    let bad = Sqe::fsync(target(5), false).user_data(1).link();
    // SAFETY: an fsync lends nothing.
    unsafe { ring.push(bad.into_raw()) }.expect("space");
    ring.submit().expect("enter");
    // SAFETY: a nop lends nothing.
    unsafe { ring.push(nop(2).into_raw()) }.expect("space");
    let mut done = wait_for(&mut ring, 2);
    done.sort();
    assert_eq!(done, [(1, -libc::EBADF), (2, 0)]);
}

#[test]
fn a_drain_comes_after_all_before_it_and_before_all_after_it() {
    for seed in seeds(6) {
        let (_sim, mut ring) = machine(seed);
        let all = vec![nop(1), nop(2), nop(3).drain(), nop(4), nop(5)];
        let order: Vec<u64> = complete_all(&mut ring, all).iter().map(|done| done.0).collect();
        assert_eq!(order.iter().position(|&user_data| user_data == 3), Some(2), "{order:?}");
        assert!(order[..2].contains(&1) && order[..2].contains(&2), "{order:?}");
    }
}

#[test]
fn a_hidden_success_posts_nothing_and_a_failure_does() {
    let (sim, mut ring) = machine(6);
    let bad = Sqe::fsync(target(5), false).user_data(3).skip_success();
    // SAFETY: none of them lends anything.
    unsafe {
        ring.push(nop(1).skip_success().link().into_raw()).expect("space");
        ring.push(nop(2).into_raw()).expect("space");
        ring.push(bad.into_raw()).expect("space");
    }
    let mut done = wait_for(&mut ring, 2);
    done.sort();
    assert_eq!(done, [(2, 0), (3, -libc::EBADF)]);
    assert_eq!(sim.in_flight(), 0);
    // After a hidden completion nobody could say when a drain may start.
    assert_eq!(complete(&mut ring, nop(4).drain()), -libc::EOPNOTSUPP);
}

#[test]
fn flags_that_need_registrations_are_refused() {
    let (sim, mut ring) = machine(7);
    let (reader, _writer) = sim.pipe();
    let poll = || Sqe::poll(target(reader), libc::POLLIN as u32);
    let fixed = with_flags(poll(), SqeFlags::FIXED_FILE);
    assert_eq!(complete(&mut ring, fixed), -libc::EBADF);
    let select = with_flags(poll(), SqeFlags::BUFFER_SELECT);
    assert_eq!(complete(&mut ring, select), -libc::EOPNOTSUPP);
    assert_eq!(complete(&mut ring, with_flags(nop(1), SqeFlags::FIXED_FILE)), 0);
    assert_eq!(complete(&mut ring, nop(1).asynchronous()), 0);
}

//! Other sizes for a living ring.
#![cfg(not(miri))]

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

use runtime_tests::rings::{errno, kernel, made, made_in, nop, only, take, taken};
use runtime_tests::{pipe, skipped};
use uring::ring::{Cqe, RegisterOp, Ring, RingMemory, Setup, SetupFlags, Sqe, Target};
use uring::sim::Sim;

fn resizable(setup: &Setup) -> Option<Ring> {
    if !kernel().registers(RegisterOp::REGISTER_RESIZE_RINGS) {
        skipped("Linux here lacks the resizing of rings (6.13)");
        return None;
    }
    made(setup)
}

#[test]
fn what_is_queued_completed_and_in_flight_survives_a_resize() {
    let (read_end, write_end) = pipe();
    let Some(mut ring) = resizable(&Setup::new(4).cq_entries(8)) else { return };
    let poll = Sqe::poll(Target::Fd(read_end.as_fd()), libc::POLLIN as u32).user_data(1);
    // SAFETY: the pipe outlives the poll, which is taken below.
    unsafe { ring.push(poll) }.expect("room");
    nop(&mut ring, 2);
    ring.submit_and_wait(1, None).expect("the nop");
    nop(&mut ring, 3);
    ring.resize(64, Some(256)).expect("larger");
    assert_eq!(ring.sizes(), (64, 256));
    assert_eq!((ring.ready(), ring.queued(), ring.space_left()), (1, 1, 63));
    File::from(write_end).write_all(b"x").expect("a byte");
    let mut all: Vec<u64> = take(&mut ring, 3).iter().map(Cqe::user_data).collect();
    assert_eq!(all.remove(0), 2, "it was there already");
    all.sort_unstable();
    assert_eq!(all, [1, 3]);
}

#[test]
fn a_ring_of_every_shape_is_resized_up_and_down_across_the_wrap() {
    use SetupFlags as F;
    let deferred = F::SINGLE_ISSUER | F::DEFER_TASKRUN;
    for shape in [F::empty(), F::NO_SQARRAY, F::SQE128 | F::CQE32, F::CQE_MIXED] {
        let Some(mut ring) = resizable(&Setup::new(4).only(deferred | shape)) else { return };
        let mut next = 0;
        for entries in [8, 4, 32, 1, 16, 2, 64, 4] {
            for _ in 0..7 {
                nop(&mut ring, next);
                assert_eq!(take(&mut ring, 1)[0].user_data(), next);
                next += 1;
            }
            // Only plain entries move along.
            let moves = !shape.intersects(F::SQE128 | F::CQE32);
            if moves {
                nop(&mut ring, next);
            }
            ring.resize(entries, None).expect("another size");
            assert_eq!(ring.sizes(), (entries, 2 * entries));
            if !moves {
                nop(&mut ring, next);
            }
            assert_eq!(take(&mut ring, 1)[0].user_data(), next, "{shape:?}");
            next += 1;
        }
    }
}

#[test]
fn a_large_completion_is_not_torn_apart_by_a_resize() {
    for shape in [SetupFlags::CQE32, SetupFlags::CQE_MIXED] {
        let setup = Setup::new(4).cq_entries(16).require(shape);
        let Some(mut ring) = resizable(&setup) else { return };
        // Places 7 and 8 are next, the last and the first of a queue of 8.
        for user_data in 0..7 {
            nop(&mut ring, user_data);
            take(&mut ring, 1);
        }
        // SAFETY: a nop lends nothing.
        unsafe { ring.push(Sqe::nop_big([7777, 8888]).user_data(7)) }.expect("room");
        ring.submit_and_wait(1, None).expect("the nop");
        assert_eq!(errno(ring.resize(4, Some(8))), libc::EBUSY, "{shape:?}");
        let all: Vec<_> = ring.drain().map(|one| (one.cqe.user_data(), one.extra)).collect();
        assert_eq!(all, [(7, [7777, 8888])]);
        ring.resize(4, Some(8)).expect("nothing is in it any more");
        assert_eq!(ring.sizes(), (4, 8));
    }
}

#[test]
fn a_large_submission_is_not_torn_apart_by_a_resize() {
    let Some(mut ring) = resizable(&Setup::new(4).require(SetupFlags::SQE128)) else { return };
    nop(&mut ring, 1);
    assert_eq!(errno(ring.resize(8, None)), libc::EBUSY);
    assert_eq!(take(&mut ring, 1)[0].user_data(), 1);
    ring.resize(8, None).expect("nothing is in it any more");
}

#[test]
fn a_size_that_is_too_small_for_what_is_there_is_refused_and_changes_nothing() {
    let Some(mut ring) = resizable(&Setup::new(8)) else { return };
    for index in 0..8 {
        nop(&mut ring, index);
    }
    assert_eq!(errno(ring.resize(4, None)), libc::EOVERFLOW);
    ring.submit_and_wait(8, None).expect("eight");
    assert_eq!(errno(ring.resize(4, Some(4))), libc::EOVERFLOW);
    assert_eq!(ring.sizes(), (8, 16));
    assert_eq!(taken(&mut ring), (0..8).collect::<Vec<_>>());
}

#[test]
fn rings_that_cannot_be_resized_say_so_and_go_on() {
    let mut simulated = Setup::new(8).build_on(Sim::new(1).kernel()).expect("a ring");
    assert_eq!(errno(simulated.resize(16, None)), libc::EOPNOTSUPP);
    let Some(mut plain) = only(8, SetupFlags::empty()) else { return };
    assert_eq!(errno(plain.resize(16, None)), libc::EINVAL);
    nop(&mut plain, 1);
    assert_eq!(take(&mut plain, 1)[0].user_data(), 1);
    assert_eq!(errno(plain.resize(0, None)), libc::EINVAL);
    let memory = RingMemory::new(1 << 20).expect("memory");
    if let Some(mut lent) = made_in(&Setup::new(8), &memory) {
        assert_eq!(errno(lent.resize(16, None)), libc::EINVAL);
        nop(&mut lent, 1);
        assert_eq!(take(&mut lent, 1)[0].user_data(), 1);
    }
}

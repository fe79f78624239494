//! A ring in a forked child: it is not the child's, and finds that out without harm.
#![cfg(not(miri))]

use runtime_tests::rings::{errno, in_a_child, made, nop, take};
use uring::ring::{Cqe, PushError, RingMemory, Setup, Sqe};

#[test]
fn a_forked_child_is_refused_by_every_call_and_the_parent_goes_on() {
    let Some(mut ring) = made(&Setup::new(8)) else { return };
    nop(&mut ring, 1);
    ring.submit_and_wait(1, None).expect("one");
    nop(&mut ring, 2);
    let refused = in_a_child(|| {
        // SAFETY: a nop lends nothing.
        let pushed = unsafe { ring.push(Sqe::nop()) };
        let mut out = [Cqe::default(); 4];
        pushed == Err(PushError::OtherProcess)
            && errno(ring.submit()) == libc::EEXIST
            && errno(ring.submit_and_wait(0, None)) == libc::EEXIST
            && errno(ring.reserve(8)) == libc::EEXIST
            && errno(ring.resize(16, None)) == libc::EEXIST
            && ring.copy_cqes(&mut out) == 0
            && (ring.ready(), ring.queued(), ring.space_left()) == (0, 0, 0)
            && (ring.lost(), ring.dropped()) == (0, 0)
            && !ring.needs_enter()
            && ring.cq_flags().is_empty()
    });
    assert!(refused);
    assert_eq!((ring.ready(), ring.queued()), (1, 1));
    assert_eq!(take(&mut ring, 2).len(), 2);
}

#[test]
fn a_forked_child_drops_a_ring_without_harm_and_makes_its_own() {
    let Some(ring) = made(&Setup::new(8)) else { return };
    let mut ring = Some(ring);
    let worked = in_a_child(|| {
        let Ok(mut own) = Setup::new(8).build() else { return false };
        drop(ring.take());
        nop(&mut own, 5);
        take(&mut own, 1)[0].user_data() == 5
    });
    assert!(worked);
    let mut ring = ring.expect("the parent's own");
    nop(&mut ring, 6);
    assert_eq!(take(&mut ring, 1)[0].user_data(), 6);
}

#[test]
fn a_grandchild_is_no_child_of_the_first_fork() {
    let worked = in_a_child(|| {
        let Ok(mut own) = Setup::new(8).build() else { return false };
        // SAFETY: a nop lends nothing.
        in_a_child(|| unsafe { own.push(Sqe::nop()) } == Err(PushError::OtherProcess))
    });
    assert!(worked || made(&Setup::new(8)).is_none());
}

#[test]
fn a_forked_child_makes_no_ring_in_memory_that_it_does_not_have() {
    let memory = RingMemory::new(1 << 20).expect("memory");
    assert!(in_a_child(|| Setup::new(8).build_in(&memory).is_err()));
    assert_eq!(memory.used_bytes(), 0);
}

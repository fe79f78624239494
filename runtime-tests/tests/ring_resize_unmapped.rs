//! A resize whose queues find no room. A test binary of its own, since the limit holds for the whole process.
#![cfg(not(miri))]

use runtime_tests::rings::{errno, kernel, made, nop, take};
use runtime_tests::skipped;
use uring::ring::{Cqe, PushError, RegisterOp, Setup, Sqe};

/// The limit of this process's memory.
fn limit_memory(limit: libc::rlimit) -> libc::rlimit {
    let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both structs live through the call.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_AS, &mut before), 0);
        assert_eq!(libc::setrlimit(libc::RLIMIT_AS, &limit), 0);
    }
    before
}

#[test]
fn a_ring_whose_new_queues_cannot_be_mapped_is_mapped_later_and_loses_nothing() {
    if !kernel().registers(RegisterOp::REGISTER_RESIZE_RINGS) {
        return skipped("Linux here lacks the resizing of rings (6.13)");
    }
    let Some(mut ring) = made(&Setup::new(8)) else { return };
    nop(&mut ring, 1);
    ring.submit_and_wait(1, None).expect("one");
    nop(&mut ring, 2);
    // No room at all for mappings: the old ones are larger than nothing.
    let none = libc::rlimit { rlim_cur: 0, rlim_max: libc::RLIM_INFINITY };
    let before = limit_memory(none);
    let resized = errno(ring.resize(4096, None));
    let waited = errno(ring.submit_and_wait(0, None));
    // SAFETY: a nop lends nothing.
    let pushed = unsafe { ring.push(Sqe::nop()) };
    let seen = (ring.ready(), ring.queued(), ring.space_left());
    limit_memory(before);
    assert_eq!((resized, waited), (libc::ENOMEM, libc::ENOMEM));
    assert_eq!((pushed, seen), (Err(PushError::Full), (0, 0, 0)));
    let all: Vec<u64> = take(&mut ring, 2).iter().map(Cqe::user_data).collect();
    assert_eq!((all, ring.sizes()), (vec![1, 2], (4096, 8192)));
}

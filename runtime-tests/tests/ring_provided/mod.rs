//! What the tests of provided buffers share: requests made by hand, and completions one at a time.

// Each test binary uses a part of it.
#![allow(dead_code, unused_imports)]

use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use uring::ring::{
    BufGroup, BufRing, Cqe, Entry, Lease, Opcode, RawSqe, RecvSendFlags, Ring, Setup, SqeFlags,
};

/// Longer than anything here takes; a test that waits so long has failed.
const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn ring() -> Ring {
    Setup::new(64).build().expect("a ring")
}

/// Says why a test does not run.
pub(crate) fn skip(what: &str) {
    println!("skipped, because Linux here lacks {what}");
}

pub(crate) use runtime_tests::rings::group;

/// A request that selects a buffer of `group`.
pub(crate) fn select(opcode: Opcode, fd: &impl AsFd, group: BufGroup) -> RawSqe {
    RawSqe {
        opcode: opcode.0,
        fd: fd.as_fd().as_raw_fd(),
        flags: SqeFlags::BUFFER_SELECT.bits(),
        buf: group.id(),
        ..RawSqe::default()
    }
}

/// A read that selects a buffer, at the file's own position.
pub(crate) fn read(fd: &impl AsFd, group: BufGroup) -> RawSqe {
    RawSqe { off: u64::MAX, ..select(Opcode::READ, fd, group) }
}

/// A receive that selects buffers.
pub(crate) fn recv(fd: &impl AsFd, group: BufGroup, flags: RecvSendFlags) -> RawSqe {
    RawSqe { ioprio: flags.bits(), ..select(Opcode::RECV, fd, group) }
}

/// Pushes what lends nothing, or lends what lives until the test's end.
pub(crate) fn push(ring: &mut Ring, entry: impl Into<Entry>) {
    // SAFETY: groups, and what else a test lends, are dropped after the final completion, which it waits for.
    unsafe { ring.push(entry) }.expect("room in the queue");
}

/// Submits, and waits for the next completion.
pub(crate) fn next(ring: &mut Ring) -> Cqe {
    let mut cqes = [Cqe::default()];
    for _ in 0..1000 {
        let want = u32::from(ring.ready() == 0);
        ring.submit_and_wait(want, Some(LIMIT)).expect("an enter");
        if ring.copy_cqes(&mut cqes) == 1 {
            return cqes[0];
        }
    }
    panic!("no completion came");
}

/// Whether nothing completes, once all that can be done was done.
pub(crate) fn silent(ring: &mut Ring) -> bool {
    ring.submit_and_wait(0, None).expect("an enter");
    ring.ready() == 0
}

/// Pushes a request, and waits for a completion.
pub(crate) fn run(ring: &mut Ring, entry: impl Into<Entry>) -> Cqe {
    push(ring, entry);
    next(ring)
}

/// The one lease of a completion of this ring's group, passed once.
pub(crate) fn one(group: &BufRing, cqe: Cqe) -> Lease {
    // SAFETY: every test passes each completion once, in order, to the group that its request selected from.
    let mut leases = unsafe { group.take(cqe) }.expect("bytes");
    assert_eq!(leases.len(), 1, "leases");
    leases.next().expect("a lease")
}

/// The errno of a completion without bytes.
pub(crate) fn failure(group: &BufRing, cqe: Cqe) -> Option<i32> {
    // SAFETY: as in `one`.
    unsafe { group.take(cqe) }.expect_err("a failure").raw_os_error()
}

/// Cancels the requests with this number, and waits until they are gone; the last completion of the request.
pub(crate) fn cancel(ring: &mut Ring, user_data: u64) -> Cqe {
    let entry = RawSqe {
        opcode: Opcode::ASYNC_CANCEL.0,
        fd: -1,
        addr: user_data,
        user_data: u64::MAX,
        ..RawSqe::default()
    };
    push(ring, entry);
    let (mut last, mut cancelled) = (None, false);
    while last.is_none() || !cancelled {
        let cqe = next(ring);
        if cqe.user_data() == u64::MAX {
            cancelled = true;
        } else if !cqe.more() {
            last = Some(cqe);
        }
    }
    last.expect("a final completion")
}

//! Cancelling and waiting in one call.

use std::os::fd::AsFd;
use std::time::Duration;

use runtime_tests::{pipe, skipped};
use uring::ring::{Opcode, RawSqe, RegisterOp, Ring, SqeFlags, SyncCancel};

use crate::{closed, completions, errno, has, poll, ring, submit};

fn can_cancel() -> Option<Ring> {
    if !has(RegisterOp::REGISTER_SYNC_CANCEL) {
        return None;
    }
    ring()
}

#[test]
fn a_request_is_cancelled_by_its_user_data() {
    let Some(mut ring) = can_cancel() else { return };
    let (reader, _writer) = pipe();
    submit(&mut ring, poll(&reader, 7));
    assert_eq!(ring.sync_cancel(SyncCancel::user_data(7)).expect("cancelled"), 0);
    assert_eq!(completions(&mut ring), [(7, -libc::ECANCELED)]);
}

#[test]
fn all_requests_that_match_are_cancelled_and_counted() {
    let Some(mut ring) = can_cancel() else { return };
    let (reader, _writer) = pipe();
    (0..3).for_each(|_| submit(&mut ring, poll(&reader, 7)));
    submit(&mut ring, poll(&reader, 8));
    assert_eq!(ring.sync_cancel(SyncCancel::user_data(7).all()).expect("cancelled"), 3);
    assert_eq!(completions(&mut ring), [(7, -libc::ECANCELED); 3]);
    assert_eq!(ring.sync_cancel(SyncCancel::any().all()).expect("cancelled"), 1);
    assert_eq!(completions(&mut ring), [(8, -libc::ECANCELED)]);
}

#[test]
fn a_cancel_that_matches_nothing_says_so() {
    let Some(ring) = can_cancel() else { return };
    assert_eq!(errno(ring.sync_cancel(SyncCancel::user_data(7))), libc::ENOENT);
    assert_eq!(ring.sync_cancel(SyncCancel::user_data(7).all()).expect("none"), 0);
    let limited = SyncCancel::any().limit(Duration::from_millis(1));
    assert_eq!(ring.sync_cancel(limited).expect("none"), 0);
}

#[test]
fn requests_are_cancelled_by_their_file() {
    let Some(mut ring) = can_cancel() else { return };
    let ((one, _w1), (other, _w2)) = (pipe(), pipe());
    submit(&mut ring, poll(&one, 1));
    submit(&mut ring, poll(&other, 2));
    ring.sync_cancel(SyncCancel::fd(other.as_fd())).expect("cancelled");
    assert_eq!(completions(&mut ring), [(2, -libc::ECANCELED)]);
    assert_eq!(errno(ring.sync_cancel(SyncCancel::fd(closed()))), libc::EBADF);
}

#[test]
fn requests_are_cancelled_by_their_slot_on_its_own_ring_only() {
    let Some(mut one) = can_cancel() else { return };
    let Some(other) = ring() else { return };
    let (reader, _writer) = pipe();
    let files = one.register_files(&[Some(reader.as_fd())]).expect("files");
    let slot = files.slot(0).expect("a slot");
    let flags = SqeFlags::FIXED_FILE.bits();
    submit(&mut one, RawSqe { fd: 0, flags, ..poll(&reader, 5) });
    assert_eq!(errno(other.sync_cancel(SyncCancel::slot(slot))), libc::EINVAL);
    one.sync_cancel(SyncCancel::slot(slot)).expect("cancelled");
    assert_eq!(completions(&mut one), [(5, -libc::ECANCELED)]);
}

#[test]
fn requests_are_cancelled_by_their_operation() {
    let Some(mut ring) = can_cancel() else { return };
    let no_reads = errno(ring.sync_cancel(SyncCancel::opcode(Opcode::READ)));
    if no_reads == libc::EINVAL {
        return skipped("Linux here lacks cancelling by operation");
    }
    assert_eq!(no_reads, libc::ENOENT);
    let (reader, _writer) = pipe();
    submit(&mut ring, poll(&reader, 1));
    submit(&mut ring, poll(&reader, 2));
    let second = SyncCancel::opcode(Opcode::POLL_ADD).and_user_data(2);
    ring.sync_cancel(second).expect("cancelled");
    assert_eq!(completions(&mut ring), [(2, -libc::ECANCELED)]);
    let by_file = SyncCancel::fd(reader.as_fd()).and_opcode(Opcode::POLL_ADD);
    ring.sync_cancel(by_file).expect("cancelled");
    assert_eq!(completions(&mut ring), [(1, -libc::ECANCELED)]);
}

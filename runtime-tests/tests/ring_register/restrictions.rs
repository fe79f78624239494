//! What a ring may still do.

use std::os::fd::{AsFd, AsRawFd};

use uring::ring::{Cqe, Opcode, RawSqe, RegisterOp, Restrictions, Ring, SqeFlags};

use crate::{disabled_ring, errno, nop, read_slot, ring, run, zeros};

/// A ring that runs with these restrictions.
fn restricted(restrictions: &Restrictions) -> Option<Ring> {
    let ring = disabled_ring()?;
    ring.register_restrictions(restrictions).expect("restricted");
    ring.enable().expect("enabled");
    Some(ring)
}

fn with_flags(sqe: RawSqe, flags: SqeFlags) -> RawSqe {
    RawSqe { flags: flags.bits(), ..sqe }
}

#[test]
fn a_disabled_ring_takes_nothing_until_it_is_enabled() {
    let Some(mut ring) = disabled_ring() else { return };
    // SAFETY: a nop lends nothing.
    unsafe { ring.push(nop()) }.expect("room");
    assert_eq!(errno(ring.submit()), libc::EBADFD);
    ring.enable().expect("enabled");
    assert_eq!(ring.submit().expect("submitted"), 1);
    ring.submit_and_wait(1, None).expect("a completion");
    assert_eq!(ring.copy_cqes(&mut [Cqe::default()]), 1);
}

#[test]
fn a_ring_is_enabled_once() {
    let Some(ring) = disabled_ring() else { return };
    ring.enable().expect("enabled");
    assert_eq!(errno(ring.enable()), libc::EBADFD);
}

#[test]
fn a_ring_that_was_never_disabled_is_neither_enabled_nor_restricted() {
    let Some(ring) = ring() else { return };
    assert_eq!(errno(ring.enable()), libc::EBADFD);
    assert_eq!(errno(ring.register_restrictions(&Restrictions::new())), libc::EBADFD);
}

#[test]
fn only_allowed_operations_run() {
    let Some(mut ring) = restricted(&Restrictions::new().allow(Opcode::NOP)) else { return };
    assert_eq!(run(&mut ring, nop()), 0);
    let timeout = RawSqe { opcode: Opcode::POLL_REMOVE.0, ..nop() };
    assert_eq!(run(&mut ring, timeout), -libc::EACCES);
}

#[test]
fn nothing_runs_where_nothing_is_allowed() {
    let Some(mut ring) = restricted(&Restrictions::new()) else { return };
    assert_eq!(run(&mut ring, nop()), -libc::EACCES);
}

#[test]
fn only_allowed_flags_are_taken_and_required_ones_must_be_there() {
    let allowed = SqeFlags::ASYNC;
    let list = Restrictions::new().allow(Opcode::NOP).allow_flags(allowed);
    let Some(mut ring) = restricted(&list) else { return };
    assert_eq!(run(&mut ring, with_flags(nop(), allowed)), 0);
    assert_eq!(run(&mut ring, with_flags(nop(), SqeFlags::IO_DRAIN)), -libc::EACCES);
    let list = Restrictions::new().allow(Opcode::NOP).require_flags(SqeFlags::ASYNC);
    let Some(mut ring) = restricted(&list) else { return };
    assert_eq!(run(&mut ring, with_flags(nop(), SqeFlags::ASYNC)), 0);
    assert_eq!(run(&mut ring, nop()), -libc::EACCES);
}

#[test]
fn only_allowed_register_calls_are_taken() {
    let list = Restrictions::new().allow_register(RegisterOp::REGISTER_FILES);
    let Some(ring) = restricted(&list) else { return };
    let file = zeros();
    let files = ring.register_files(&[Some(file.as_fd())]).expect("allowed");
    assert_eq!(errno(ring.register_buffers(&[64])), libc::EACCES);
    assert_eq!(errno(ring.register_personality()), libc::EACCES);
    assert_eq!(errno(files.unregister()), libc::EACCES, "giving back is a call as well");
}

#[test]
fn only_registered_files_are_used_where_that_is_required() {
    let Some(mut ring) = disabled_ring() else { return };
    let file = zeros();
    let _files = ring.register_files(&[Some(file.as_fd())]).expect("files");
    let list = Restrictions::new().allow(Opcode::READ).require_flags(SqeFlags::FIXED_FILE);
    ring.register_restrictions(&list).expect("restricted");
    ring.enable().expect("enabled");
    assert_eq!(read_slot(&mut ring, 0), 1);
    let by_descriptor = RawSqe { opcode: Opcode::READ.0, fd: file.as_raw_fd(), ..nop() };
    assert_eq!(run(&mut ring, by_descriptor), -libc::EACCES);
}

#[test]
fn restricted_rings_leave_no_place_taken_in_the_table_of_the_thread() {
    for _ in 0..20 {
        let Some(ring) = restricted(&Restrictions::new()) else { return };
        assert!(ring.registered());
    }
}

#[test]
fn a_ring_is_restricted_once_and_to_what_there_is() {
    let Some(ring) = disabled_ring() else { return };
    let unknown = Restrictions::new().allow(Opcode(255));
    assert_eq!(errno(ring.register_restrictions(&unknown)), libc::EINVAL);
    let unknown = Restrictions::new().allow_register(RegisterOp(u32::MAX));
    assert_eq!(errno(ring.register_restrictions(&unknown)), libc::EINVAL);
    let Some(ring) = disabled_ring() else { return };
    ring.register_restrictions(&Restrictions::new()).expect("restricted");
    assert_eq!(errno(ring.register_restrictions(&Restrictions::new())), libc::EBUSY);
}

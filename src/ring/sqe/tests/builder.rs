//! What is said of a submission whatever its operation, and whose ring it belongs to.

use super::*;
use crate::ring::PersonalityId;
use crate::sys::abi::RwFlags;

#[test]
fn each_flag_has_its_bit() {
    let flags = |sqe: Sqe<'_>| image(sqe).flags;
    assert_eq!(flags(Sqe::nop().drain()), 1 << 1);
    assert_eq!(flags(Sqe::nop().link()), 1 << 2);
    assert_eq!(flags(Sqe::nop().hardlink()), 1 << 3);
    assert_eq!(flags(Sqe::nop().asynchronous()), 1 << 4);
    assert_eq!(flags(Sqe::nop().skip_success()), 1 << 6);
    assert_eq!(multi(MultiSqe::accept(file(), 0).link().asynchronous()).flags, 1 << 2 | 1 << 4);
    let long = Sqe128::nop().hardlink().user_data(5).into_raw();
    assert_eq!((long.raw().first.flags, long.raw().first.user_data), (1 << 3, 5));
}

#[test]
fn a_personality_and_a_group_are_named_with_their_ring() {
    let personality = PersonalityId { id: 3, ring: *RING };
    let entry = Sqe::nop().personality(personality).user_data(6).into_raw();
    assert_eq!(*entry.raw(), RawSqe { fd: -1, personality: 3, user_data: 6, ..ZERO });
    assert_eq!(entry.ring(), Some(*RING));
    let entry = Sqe::read_provided(file(), group(1), 0, None).into_raw();
    assert_eq!(entry.ring(), Some(*RING));
}

#[test]
fn a_registered_file_sets_the_flag_and_names_its_ring() {
    let entry = Sqe::fsync(slot(3).into(), false).into_raw();
    assert_eq!(*entry.raw(), RawSqe { opcode: 3, flags: FIXED, fd: 3, ..ZERO });
    assert_eq!(entry.ring(), Some(*RING));
    assert_eq!(Sqe::close_slot(slot(3)).into_raw().ring(), Some(*RING));
    assert_eq!(Sqe::nop().into_raw().ring(), None);
}

#[test]
fn what_names_things_of_two_rings_belongs_to_neither() {
    let other = RingId::next();
    let theirs = BufGroup { id: 1, ring: other };
    let mixed = Sqe::read_provided(slot(1).into(), theirs, 0, None).into_raw();
    assert_eq!(mixed.ring(), Some(RingId::NOBODYS));
    let same = Sqe::read_provided(slot(1).into(), group(1), 0, None).into_raw();
    assert_eq!(same.ring(), Some(*RING));
}

#[test]
#[should_panic(expected = "Opcode::ACCEPT takes no `ioprio`: leave it out")]
fn a_priority_that_would_make_an_accept_multishot_is_refused() {
    let _ = Sqe::accept(file(), None, 0).ioprio(1);
}

#[test]
#[should_panic(expected = "Opcode::FSYNC takes no `rw_flags`: leave it out")]
fn flags_of_reads_are_refused_elsewhere() {
    let _ = Sqe::fsync(file(), false).rw_flags(RwFlags::HIPRI);
}

#[test]
#[should_panic(expected = "Opcode::RECV takes no `bundle`: leave it out")]
fn a_bundle_without_a_group_is_refused() {
    let _ = Sqe::recv(file(), &mut [0; 4][..], 0).bundle();
}

#[test]
fn a_short_submission_is_padded_for_a_ring_of_long_ones() {
    let long = Sqe128::from(Sqe::fsync(slot(3).into(), false).user_data(4)).into_raw();
    assert_eq!(long.raw().first, RawSqe { opcode: 3, flags: 1, fd: 3, user_data: 4, ..ZERO });
    assert_eq!((long.raw().more, long.ring()), ([0; 64], Some(*RING)));
}

//! Completions that one ring posts to another.

use super::*;
use crate::ring::{Install, RawSqe};
use crate::sim::{Fault, Faults};
use crate::sys::abi::{MsgRingCommand, MsgRingFlags, Opcode};

/// A second ring in the same world.
fn another(sim: &Sim) -> Ring {
    Setup::new(8).build_on(sim.kernel()).expect("a ring")
}

fn number(ring: &Ring) -> RawFd {
    use std::os::fd::AsRawFd;
    ring.fd().expect("a descriptor").as_raw_fd()
}

fn message<'a>(to: RawFd, user_data: u64, result: i32, flags: Option<u32>) -> Sqe<'a> {
    // SAFETY: each test knows its messages by their `user_data`.
    unsafe { Sqe::msg_ring(target(to), user_data, result, flags) }
}

#[test]
fn a_message_brings_its_user_data_result_and_flags_to_another_ring() {
    let (sim, mut ring) = machine(1);
    let mut other = another(&sim);
    let to = number(&other);
    assert!(ring.supports(Opcode::MSG_RING));
    assert_eq!(complete(&mut ring, message(to, 5, -7, None)), 0);
    assert_eq!(complete(&mut ring, message(to, 6, 8, Some(4))), 0);
    // They end the wait of a ring that has nothing in flight.
    other.submit_and_wait(2, None).expect("enter");
    let came: Vec<_> = reap(&mut other)
        .iter()
        .map(|cqe| (cqe.user_data(), cqe.raw_result(), cqe.flags().bits()))
        .collect();
    assert_eq!(came, [(5, -7, 0), (6, 8, 4)]);
    assert_eq!((ring.ready(), sim.in_flight()), (0, 0));
}

#[test]
fn a_message_is_sent_when_it_is_submitted_however_late_its_result_is_posted() {
    for seed in seeds(20) {
        let (sim, mut ring) = machine(seed);
        let mut other = another(&sim);
        // SAFETY: it lends nothing.
        unsafe { ring.push(message(number(&other), 5, 0, None).into_raw()) }.expect("space");
        ring.submit_and_wait(0, None).expect("enter");
        assert_eq!(wait_for(&mut other, 1), [(5, 0)]);
    }
}

#[test]
fn a_message_to_oneself_comes_beside_its_own_result_in_either_order() {
    let mut orders = std::collections::BTreeSet::new();
    for seed in seeds(20) {
        let (_sim, mut ring) = machine(seed);
        let own = message(number(&ring), 77, 5, None).user_data(1);
        // SAFETY: it lends nothing.
        unsafe { ring.push(own.into_raw()) }.expect("space");
        orders.insert(wait_for(&mut ring, 2));
    }
    assert_eq!(orders, [vec![(1, 0), (77, 5)], vec![(77, 5), (1, 0)]].into());
}

#[test]
fn a_wait_ends_by_a_message_that_is_sent_behind_a_timeout() {
    let (_sim, mut ring) = machine(3);
    let later = crate::sys::abi::Timespec { sec: 60, nsec: 0 };
    let own = number(&ring);
    let chain = [
        Sqe::timeout(&later, crate::sys::abi::TimeoutFlags::ETIME_SUCCESS).hardlink().user_data(1),
        message(own, 77, 5, None).user_data(2),
    ];
    for sqe in chain {
        // SAFETY: the time is read when it is taken, below.
        unsafe { ring.push(sqe.into_raw()) }.expect("space");
    }
    let mut done = wait_for(&mut ring, 3);
    done.sort_unstable();
    assert_eq!(done, [(1, -libc::ETIME), (2, 0), (77, 5)]);
}

#[test]
fn messages_to_a_full_queue_wait_for_room_in_their_order() {
    let (sim, mut ring) = machine(4);
    let mut full = Setup::new(1).cq_entries(2).build_on(sim.kernel()).expect("a ring");
    for name in 0..20 {
        assert_eq!(complete(&mut ring, message(number(&full), name, 0, None)), 0);
    }
    let names: Vec<_> = wait_for(&mut full, 20).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, (0..20).collect::<Vec<_>>());
}

#[test]
fn what_is_no_ring_or_is_gone_is_refused() {
    let (sim, mut ring) = machine(5);
    let (reader, _writer) = sim.pipe();
    assert_eq!(complete(&mut ring, message(reader, 1, 0, None)), -libc::EBADFD);
    let other = another(&sim);
    let to = number(&other);
    drop(other);
    assert_eq!(complete(&mut ring, message(to, 1, 0, None)), -libc::EBADF);
    let stranger = machine(6);
    let to = number(&stranger.1);
    assert_eq!(complete(&mut ring, message(to, 1, 0, None)), -libc::EBADF);
}

#[test]
fn fields_that_have_no_meaning_are_refused() {
    let (_sim, mut ring) = machine(6);
    let fd = number(&ring);
    let plain = RawSqe { opcode: Opcode::MSG_RING.0, fd, ..RawSqe::default() };
    let (skip, fds) = (MsgRingFlags::CQE_SKIP.bits(), MsgRingCommand::SEND_FD.0);
    for raw in [
        RawSqe { op_flags: skip, ..plain },
        RawSqe { op_flags: 1 << 7, ..plain },
        RawSqe { splice_fd: 1, ..plain },
        RawSqe { addr3: 1, ..plain },
        RawSqe { buf: 1, ..plain },
        RawSqe { ioprio: 1, ..plain },
        RawSqe { addr: 2, ..plain },
        RawSqe { addr: fds, ..plain },
    ] {
        // SAFETY: a message lends nothing, and these are refused.
        assert_eq!(complete(&mut ring, unsafe { Sqe::raw(raw) }), -libc::EINVAL, "{raw:?}");
    }
}

#[test]
fn a_registered_file_is_sent_to_the_table_of_another_ring() {
    let (sim, mut ring) = machine(7);
    let mut other = another(&sim);
    let to = number(&other);
    let (reader, writer) = sim.pipe();
    let ours = ring.register_files(&[Some(borrow(writer)), None]).expect("a table");
    let send = |slot: u32, install, user_data| {
        let source = ours.slot(slot).expect("a slot");
        // SAFETY: the test knows its messages by their `user_data`.
        unsafe { Sqe::msg_ring_fd(target(to), source, install, user_data) }
    };
    assert_eq!(complete(&mut ring, send(1, Install::Any, Some(9))), -libc::EBADF);
    assert_eq!(complete(&mut ring, send(0, Install::Any, Some(9))), -libc::ENFILE);
    let theirs = other.register_files_sparse(2).expect("a table");
    assert_eq!(complete(&mut ring, send(0, Install::Any, Some(9))), 0);
    assert_eq!(complete(&mut ring, send(0, Install::Any, Some(9))), 1);
    let first = Install::Slot(theirs.slot(0).expect("a slot"));
    assert_eq!(complete(&mut ring, send(0, first, None)), 0);
    assert_eq!(wait_for(&mut other, 2), [(9, 0), (9, 1)]);
    sim._table.close(writer).expect("close");
    drop(ours);
    let slot: Target<'_> = theirs.slot(1).expect("a slot").into();
    assert_eq!(complete(&mut other, Sqe::write(slot, b"sent on", None)), 7);
    assert_eq!(read(&mut ring, reader, 9, None), Ok(b"sent on".to_vec()));
}

#[test]
fn the_descriptor_of_a_ring_is_good_for_messages_alone() {
    let (sim, mut ring) = machine(8);
    let own = number(&ring);
    assert_eq!(sim.open_descriptors(), 0);
    assert_eq!(read(&mut ring, own, 1, None), Err(libc::EINVAL));
    assert_eq!(write(&mut ring, own, b"x", None), -libc::EINVAL);
    let poll = complete(&mut ring, Sqe::poll(target(own), libc::POLLIN as u32));
    assert_eq!(poll, -libc::EOPNOTSUPP);
    let registered = ring.register_files(&[Some(borrow(own))]);
    assert_eq!(registered.err().and_then(|error| error.raw_os_error()), Some(libc::EBADF));
}

#[test]
fn a_message_that_fails_has_no_effect_and_one_that_overflows_comes_later() {
    for seed in seeds(10) {
        let (sim, mut ring) = machine(seed);
        let mut other = another(&sim);
        let _same = sim.clone().faults(Faults::none().with(Fault::Errno, 1024));
        let failed = complete(&mut ring, message(number(&other), 1, 0, None));
        assert!([-libc::ENOMEM, -libc::EOVERFLOW].contains(&failed), "{failed}");
        let _same = sim.clone().faults(Faults::none());
        assert_eq!(complete(&mut ring, message(number(&other), 2, 0, None)), 0);
        let _same = sim.clone().faults(Faults::none().with(Fault::Overflow, 1024));
        other.submit_and_wait(1, None).expect("enter");
        let _same = sim.clone().faults(Faults::none());
        assert_eq!(wait_for(&mut other, 1), [(2, 0)]);
    }
}

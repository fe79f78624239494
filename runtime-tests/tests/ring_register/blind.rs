//! Calls that need no ring, and those that this machine can only refuse.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use uring::ring::{
    BpfFilter, BpfInstruction, CqeFlags, EnterFlags, Features, KnownOpcodes, Opcode, RegisterOp,
    Restrictions, SetupFlags, ZcrxEvent, ZcrxId, ZcrxSetup, filter_task, query, query_opcodes,
    query_queues, query_zcrx, restrict_task, send_message,
};

use crate::{closed, disabled_ring, errno, has, next, ring, zeros};

fn send(ring: BorrowedFd<'_>, user_data: u64, result: i32, flags: Option<u32>) -> io::Result<()> {
    // SAFETY: no request of these tests lends memory.
    unsafe { send_message(ring, user_data, result, flags) }
}

#[test]
fn a_message_reaches_a_ring_from_a_thread_without_one() {
    if !has(RegisterOp::REGISTER_SEND_MSG_RING) {
        return;
    }
    let Some(mut ring) = ring() else { return };
    let fd = ring.fd().expect("a descriptor").try_clone_to_owned().expect("a copy");
    let sender = std::thread::spawn(move || send(fd.as_fd(), 7, 42, None));
    sender.join().expect("no panic").expect("sent");
    let cqe = next(&mut ring);
    assert_eq!((cqe.user_data(), cqe.raw_result(), cqe.flags()), (7, 42, CqeFlags::empty()));
}

#[test]
fn a_message_carries_flags_where_it_is_told_to() {
    if !has(RegisterOp::REGISTER_SEND_MSG_RING) {
        return;
    }
    let Some(mut ring) = ring() else { return };
    let flags = Some(CqeFlags::SOCK_NONEMPTY.bits());
    send(ring.fd().expect("a descriptor"), 7, -5, flags).expect("sent");
    let cqe = next(&mut ring);
    assert_eq!((cqe.raw_result(), cqe.socket_nonempty()), (-5, true));
}

#[test]
fn a_message_to_what_is_no_running_ring_is_refused() {
    if !has(RegisterOp::REGISTER_SEND_MSG_RING) {
        return;
    }
    let Some(disabled) = disabled_ring() else { return };
    let (file, to) = (zeros(), |fd| errno(send(fd, 1, 1, None)));
    assert_eq!(to(file.as_fd()), libc::EBADFD);
    assert_eq!(to(disabled.fd().expect("a descriptor")), libc::EBADFD);
    assert_eq!(to(closed()), libc::EBADF);
}

#[test]
fn a_query_agrees_with_the_probe_and_with_the_ring() {
    if !has(RegisterOp::REGISTER_QUERY) {
        return;
    }
    let Some(ring) = ring() else { return };
    let known: KnownOpcodes = query_opcodes().expect("an answer");
    let last = ring.probe().expect("a probe").last();
    assert!(known.has_opcode(last) && !known.has_opcode(Opcode(last.0 + 1)));
    assert!(known.has_register_op(RegisterOp::REGISTER_QUERY));
    assert!(known.features.contains(ring.report().features()));
    assert!(known.features.contains(Features::SINGLE_MMAP));
    assert!(known.setup_flags.contains(ring.report().flags()));
    assert!(known.setup_flags.contains(SetupFlags::IOPOLL));
    assert!(known.enter_flags.contains(EnterFlags::GETEVENTS));
}

#[test]
fn a_question_that_the_kernel_does_not_know_is_refused() {
    if !has(RegisterOp::REGISTER_QUERY) {
        return;
    }
    let known = query_opcodes().expect("an answer").has_register_op(RegisterOp::REGISTER_ZCRX_CTRL);
    let all = query().expect("an answer");
    assert_eq!(all.opcodes, query_opcodes().expect("an answer"));
    assert_eq!((all.zcrx.is_some(), all.queues.is_some()), (known, known));
    for (knows, question) in [(known, query_zcrx().map(drop)), (known, query_queues().map(drop))] {
        if knows {
            question.expect("an answer");
        } else {
            assert_eq!(errno(question), libc::EOPNOTSUPP);
        }
    }
}

#[test]
fn a_kernel_without_filters_refuses_them() {
    let Some(ring) = ring() else { return };
    if has(RegisterOp::REGISTER_BPF_FILTER) {
        // There they hold for good, for this thread and its rings.
        return runtime_tests::skipped("Linux here has filters");
    }
    // `BPF_RET | BPF_K`: let everything pass.
    let pass = BpfInstruction { code: 0x06, operand: 1, ..BpfInstruction::default() };
    let filter = BpfFilter::new(Opcode::SOCKET, [pass]).context_bytes(12).strict().deny_rest();
    assert_eq!(errno(ring.register_bpf_filter(filter.clone())), libc::EINVAL);
    assert_eq!(errno(filter_task(filter)), libc::EINVAL);
    // Before Linux 6.13 every call that there is needs a ring.
    let refused = errno(restrict_task(&Restrictions::new().allow(Opcode::NOP)));
    assert!([libc::EINVAL, libc::EBADF].contains(&refused), "{refused}");
}

#[test]
fn a_receive_queue_is_refused_to_a_ring_that_is_not_made_for_it() {
    let Some(ring) = ring() else { return };
    // Of an interface that no machine has.
    let setup = ZcrxSetup::new(u32::MAX, 0, 1 << 16).refill_entries(256);
    assert_eq!(errno(ring.register_zcrx(&setup)), libc::EINVAL);
    let from_memory = setup.dma_buf(closed(), 0, 4096).piece_bytes(4096).without_device();
    // SAFETY: refused.
    let reporting = unsafe { from_memory.events(1, &[ZcrxEvent::ALLOC_FAIL, ZcrxEvent::COPY]) };
    assert_eq!(errno(ring.register_zcrx(&reporting)), libc::EINVAL);
    assert_eq!(errno(ring.import_zcrx(closed())), libc::EINVAL);
}

#[test]
fn a_receive_queue_that_there_is_not_cannot_be_controlled() {
    let (Some(ring), Some(other)) = (ring(), ring()) else { return };
    let known = has(RegisterOp::REGISTER_ZCRX_CTRL);
    let absent = ZcrxId::new(ring.id(), 3);
    let errno_of = if known { libc::ENXIO } else { libc::EINVAL };
    assert_eq!(errno(ring.flush_zcrx(absent)), errno_of);
    assert_eq!(errno(ring.export_zcrx(absent)), errno_of);
    assert_eq!(errno(ring.arm_zcrx_event(absent, ZcrxEvent::COPY)), errno_of);
    assert_eq!(errno(other.flush_zcrx(absent)), libc::EINVAL, "another ring's queue");
}

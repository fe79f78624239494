//! Handing submissions over: chains, batches that stop early, and what `enter` refuses.
#![cfg(not(miri))]

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};

use runtime_tests::rings::{errno, everywhere, has, made, nop, nop_with, only, take};
use runtime_tests::{TempDir, pipe, skipped};
use uring::ring::{
    Cqe, EnterFlags, Entry, Features, Link, NopFlags, Opcode, PushError, RawSqe, RegisterOp, Ring,
    Setup, SetupFlags, Sqe, Target,
};
use uring::sim::Sim;

/// What the completions of a chain of three carry and say, when the first one has this result.
fn chain_of_three(ring: &mut Ring, link: Link, first: i32) -> Vec<(u64, i32)> {
    let none = NopFlags::empty();
    let chain = [nop_with(first, none, 1), nop_with(0, none, 2), nop_with(0, none, 3)];
    // SAFETY: nops lend nothing.
    unsafe { ring.push_chain(link, &chain) }.expect("room");
    take(ring, 3).iter().map(|cqe| (cqe.user_data(), cqe.raw_result())).collect()
}

#[test]
fn a_failure_ends_a_soft_chain_and_not_a_hard_one() {
    let Some(mut ring) = only(8, SetupFlags::empty()) else { return };
    if !has(&ring, Features::RECVSEND_BUNDLE) {
        return skipped("nops with a result of one's choice came with Linux 6.10");
    }
    let ended = [(1, -libc::EIO), (2, -libc::ECANCELED), (3, -libc::ECANCELED)];
    assert_eq!(chain_of_three(&mut ring, Link::Soft, -libc::EIO), ended);
    let goes_on = [(1, -libc::EIO), (2, 0), (3, 0)];
    assert_eq!(chain_of_three(&mut ring, Link::Hard, -libc::EIO), goes_on);
    assert_eq!(chain_of_three(&mut ring, Link::Soft, 0), [(1, 0), (2, 0), (3, 0)]);
}

#[test]
fn a_chain_ends_with_its_last_submission() {
    let Some(mut ring) = only(8, SetupFlags::empty()) else { return };
    let bad = Entry::from(RawSqe { opcode: 200, user_data: 1, ..RawSqe::default() });
    // SAFETY: nothing is lent.
    unsafe { ring.push_chain(Link::Soft, &[bad]) }.expect("room");
    nop(&mut ring, 2);
    ring.submit().expect("up to the bad one at least");
    let all: Vec<i32> = take(&mut ring, 2).iter().map(Cqe::raw_result).collect();
    assert_eq!(all, [-libc::EINVAL, 0]);
}

#[test]
fn a_chain_is_queued_whole_or_not_at_all() {
    for mut ring in everywhere(4, 16) {
        let nop_entry = Entry::from(Sqe::nop());
        nop(&mut ring, 1);
        // SAFETY: nops lend nothing.
        unsafe {
            assert_eq!(ring.push_chain(Link::Soft, &[nop_entry; 4]), Err(PushError::Full));
            assert_eq!(ring.push_chain(Link::Soft, &[nop_entry; 5]), Err(PushError::TooLong));
            assert_eq!(ring.queued(), 1);
            assert_eq!(ring.push_chain(Link::Soft, &[]), Ok(()));
            ring.reserve(4).expect("room");
            assert_eq!(ring.push_chain(Link::Soft, &[nop_entry; 4]), Ok(()));
        }
        assert_eq!(take(&mut ring, 5).len(), 5);
    }
}

#[test]
fn a_linked_read_and_write_copy_a_block() {
    let dir = TempDir::new();
    let path = dir.path().join("from");
    File::create(&path).and_then(|mut file| file.write_all(b"a block")).expect("a file");
    let (from, to) = (File::open(&path), File::create(dir.path().join("to")));
    let (from, to) = (from.expect("from"), to.expect("to"));
    let Some(mut ring) = made(&Setup::new(4)) else { return };
    let mut block = [0; 7];
    let read = Entry::from(Sqe::read(Target::Fd(from.as_fd()), &mut block[..], Some(0)));
    let write = Entry::from(Sqe::write(Target::Fd(to.as_fd()), &block, Some(0)));
    // SAFETY: files and block live until both completions were taken, below.
    unsafe { ring.push_chain(Link::Soft, &[read, write]) }.expect("room");
    assert!(take(&mut ring, 2).iter().all(|cqe| cqe.raw_result() == 7));
    assert_eq!(std::fs::read(dir.path().join("to")).expect("the copy"), b"a block");
}

#[test]
fn a_batch_stops_behind_a_bad_submission_unless_it_is_to_go_on() {
    for (flags, taken) in [(SetupFlags::empty(), 2), (SetupFlags::SUBMIT_ALL, 3)] {
        let Some(mut ring) = only(8, flags) else { continue };
        nop(&mut ring, 1);
        // SAFETY: nothing is lent.
        unsafe { ring.push(RawSqe { opcode: 200, ..RawSqe::default() }) }.expect("room");
        nop(&mut ring, 3);
        assert_eq!(ring.submit().expect("some"), taken);
        assert_eq!(ring.queued(), 3 - taken, "what was not taken stays queued");
        assert_eq!(take(&mut ring, 3).len(), 3);
    }
}

#[test]
fn what_was_not_taken_is_handed_over_by_the_next_submit() {
    let Some(mut ring) = only(8, SetupFlags::empty()) else { return };
    for index in 0..5 {
        nop(&mut ring, index);
    }
    assert_eq!(ring.enter(2, 0, EnterFlags::empty()).expect("two"), 2);
    assert_eq!((ring.queued(), ring.space_left()), (3, 5));
    assert_eq!(ring.submit().expect("the rest"), 3);
    assert_eq!(take(&mut ring, 5).len(), 5);
}

#[test]
fn enter_takes_no_more_than_was_queued() {
    for mut ring in everywhere(8, 16) {
        nop(&mut ring, 1);
        assert_eq!(ring.enter(100, 0, EnterFlags::empty()).expect("one"), 1);
        assert_eq!(take(&mut ring, 1)[0].user_data(), 1);
    }
}

#[test]
fn flags_that_enter_does_not_know_are_refused_and_nothing_is_taken() {
    let Some(mut ring) = only(8, SetupFlags::empty()) else { return };
    nop(&mut ring, 1);
    let unknown = EnterFlags::from_bits_retain(1 << 30);
    assert_eq!(errno(ring.enter(1, 0, unknown)), libc::EINVAL);
    assert_eq!(errno(ring.enter(1, 0, EnterFlags::REGISTERED_RING)), libc::EINVAL);
    assert_eq!(ring.queued(), 1);
    assert_eq!(take(&mut ring, 1).len(), 1);
}

#[test]
fn a_submission_of_an_unknown_operation_fails_by_its_completion() {
    for mut ring in everywhere(4, 8) {
        let unknown = RawSqe { opcode: 250, user_data: 9, ..RawSqe::default() };
        // SAFETY: nothing is lent.
        unsafe { ring.push(unknown) }.expect("room");
        let cqe = take(&mut ring, 1)[0];
        assert_eq!((cqe.user_data(), cqe.raw_result()), (9, -libc::EINVAL));
        assert!(!ring.supports(Opcode(250)) && ring.supports(Opcode::NOP));
    }
}

#[test]
fn more_is_in_flight_than_the_queues_have_places() {
    let (read_end, mut write_end) = pipe();
    let Some(mut ring) = made(&Setup::new(4).cq_entries(4)) else { return };
    for index in 0..100 {
        ring.reserve(1).expect("room");
        let poll = Sqe::poll(Target::Fd(read_end.as_fd()), libc::POLLIN as u32);
        // SAFETY: the pipe outlives the polls, which are all taken below.
        unsafe { ring.push(poll.user_data(index)) }.expect("room");
    }
    ring.submit().expect("the last");
    assert_eq!(ring.ready(), 0);
    File::from(write_end.try_clone().expect("a descriptor")).write_all(b"x").expect("a byte");
    let mut all: Vec<u64> = take(&mut ring, 100).iter().map(Cqe::user_data).collect();
    all.sort_unstable();
    assert_eq!(all, (0..100).collect::<Vec<_>>());
    assert_eq!(ring.lost(), 0);
    let _ = &mut write_end;
}

#[test]
fn a_drained_submission_waits_for_all_before_it() {
    let (read_end, write_end) = pipe();
    let Some(mut ring) = made(&Setup::new(8)) else { return };
    let poll = Sqe::poll(Target::Fd(read_end.as_fd()), libc::POLLIN as u32).user_data(1);
    // SAFETY: the pipe outlives the poll, which is taken below.
    unsafe {
        ring.push(poll).expect("room");
        ring.push(Sqe::nop().drain().user_data(2)).expect("room");
    }
    nop(&mut ring, 3);
    ring.submit_and_wait(0, None).expect("three");
    assert_eq!(ring.ready(), 0, "two and three wait for one");
    File::from(write_end).write_all(b"x").expect("a byte");
    let mut all: Vec<u64> = take(&mut ring, 3).iter().map(Cqe::user_data).collect();
    assert_eq!(all[0], 1);
    // Linux 6.1 lets those that waited go together, in an order of its own.
    all.sort_unstable();
    assert_eq!(all, [1, 2, 3]);
}

#[test]
fn rings_have_ids_of_their_own() {
    let ids: Vec<_> = (0..4)
        .map(|_| Setup::new(1).build_on(Sim::new(1).kernel()).expect("a ring").id())
        .collect();
    for (index, id) in ids.iter().enumerate() {
        assert!(!ids[..index].contains(id));
    }
}

#[test]
fn a_refused_push_says_what_to_do_and_is_an_error_of_io_too() {
    let all = [
        (PushError::Full, "submit, then push again"),
        (PushError::TooLong, "more submissions than the queue has places"),
        (PushError::Size, "this size"),
        (PushError::ForeignRing, "registered with another ring"),
        (PushError::OtherProcess, "make a new one"),
    ];
    for (error, says) in all {
        assert!(error.to_string().contains(says), "{error}");
        let full = std::io::Error::from(error).kind() == std::io::ErrorKind::WouldBlock;
        assert_eq!(full, error == PushError::Full);
    }
}

/// The errno of a system call that names no memory, on the descriptor of a ring.
fn errno_of(number: libc::c_long, ring: &impl AsRawFd, first: u32) -> Option<i32> {
    let none = std::ptr::null::<u8>();
    // SAFETY: no memory is named.
    let result = unsafe { libc::syscall(number, ring.as_raw_fd(), first, none, 0, none, 0) };
    if result < 0 { io::Error::last_os_error().raw_os_error() } else { None }
}

#[test]
fn the_kernel_refuses_another_thread_that_has_the_descriptor_of_a_ring_of_one_issuer() {
    let Some(mut ring) = only(8, SetupFlags::SINGLE_ISSUER) else { return };
    let fd = ring.fd().expect("a descriptor").try_clone_to_owned().expect("another one");
    let other = std::thread::spawn(move || {
        let enter = errno_of(libc::SYS_io_uring_enter, &fd, 1);
        let op = RegisterOp::UNREGISTER_FILES.0;
        (enter, errno_of(libc::SYS_io_uring_register, &fd, op))
    });
    let refused = other.join().expect("the other thread");
    assert_eq!(refused, (Some(libc::EEXIST), Some(libc::EEXIST)));
    nop(&mut ring, 1);
    assert_eq!(take(&mut ring, 1)[0].user_data(), 1, "its own thread goes on");
}

#[test]
fn what_was_never_registered_cannot_be_unregistered() {
    let Some(ring) = only(8, SetupFlags::empty()) else { return };
    let fd = ring.fd().expect("a descriptor");
    // The types have no way to ask for it, so the kernel is asked by hand.
    for op in [
        RegisterOp::UNREGISTER_BUFFERS,
        RegisterOp::UNREGISTER_FILES,
        RegisterOp::UNREGISTER_EVENTFD,
    ] {
        assert_eq!(errno_of(libc::SYS_io_uring_register, &fd, op.0), Some(libc::ENXIO), "{op:?}");
    }
}

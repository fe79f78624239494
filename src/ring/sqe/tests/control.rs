//! Operations on requests, rings, processes and memory.

use std::sync::atomic::AtomicU32;

use super::*;
use crate::buf::Room;
use crate::sys::abi::{Opcode, TimeoutFlags, Timespec};

const NONE: RawSqe = RawSqe { fd: -1, ..ZERO };

#[test]
fn nops_in_all_kinds() {
    assert_eq!(image(Sqe::nop()), NONE);
    let result = Sqe::nop_with_result(-5);
    assert_eq!(image(result), RawSqe { op_flags: 1, len: -5_i32 as u32, ..NONE });
    assert_eq!(image(Sqe::nop_on(file())), RawSqe { op_flags: 2, fd: fd(), ..ZERO });
    let on_slot = Sqe::nop_on(slot(3).into()).into_raw();
    assert_eq!(*on_slot.raw(), RawSqe { op_flags: 6, fd: 3, ..ZERO });
    assert_eq!(on_slot.ring(), Some(*RING));
    assert_eq!(image(Sqe::nop_with_buffer(fixed())), RawSqe { op_flags: 8, buf: 5, ..NONE });
    assert_eq!(image(Sqe::nop_deferred()), RawSqe { op_flags: 16, ..NONE });
    assert_eq!(image(Sqe::nop_big([1, 2])), RawSqe { op_flags: 32, off: 1, addr: 2, ..NONE });
    let long = *Sqe128::nop().into_raw().raw();
    assert_eq!((long.first, long.more), (RawSqe { opcode: 63, ..NONE }, [0; 64]));
}

#[test]
fn polls_are_added_changed_and_removed() {
    let events = if cfg!(target_endian = "big") { 1 << 16 } else { 1 };
    let poll = RawSqe { opcode: 6, fd: fd(), op_flags: events, ..ZERO };
    assert_eq!(image(Sqe::poll(file(), 1)), poll);
    assert_eq!(multi(MultiSqe::poll(file(), 1)), RawSqe { len: 1, ..poll });
    let remove = RawSqe { opcode: 7, addr: 9, ..NONE };
    assert_eq!(image(Sqe::poll_remove(9)), remove);
    let update = RawSqe { op_flags: events, ..remove };
    assert_eq!(image(Sqe::poll_update(9, 1, false)), RawSqe { len: 2, ..update });
    assert_eq!(image(Sqe::poll_update(9, 1, true)), RawSqe { len: 3, ..update });
    // SAFETY: never pushed.
    let rename = unsafe { Sqe::poll_rename(9, 10, 1, false) };
    assert_eq!(image(rename), RawSqe { len: 6, off: 10, ..update });
}

#[test]
fn timeouts_point_to_their_time() {
    let time = Timespec { sec: 1, nsec: 2 };
    let (none, abs) = (TimeoutFlags::empty(), TimeoutFlags::ABS | TimeoutFlags::REALTIME);
    let timeout = RawSqe { opcode: 11, addr: at(&time), len: 1, ..NONE };
    assert_eq!(image(Sqe::timeout(&time, none)), timeout);
    assert_eq!(image(Sqe::timeout(&time, abs)), RawSqe { op_flags: 9, ..timeout });
    assert_eq!(image(Sqe::timeout_or_completions(&time, 3, none)), RawSqe { off: 3, ..timeout });
    assert_eq!(
        multi(MultiSqe::timeout(&time, 4, none)),
        RawSqe { off: 4, op_flags: 1 << 6, ..timeout }
    );
    assert_eq!(image(Sqe::link_timeout(&time, none)), RawSqe { opcode: 15, ..timeout });
    let remove = RawSqe { opcode: 12, addr: 9, ..NONE };
    assert_eq!(image(Sqe::timeout_remove(9)), remove);
    let update = RawSqe { off: at(&time), ..remove };
    assert_eq!(image(Sqe::timeout_update(9, &time, abs)), RawSqe { op_flags: 2 | 9, ..update });
    assert_eq!(
        image(Sqe::link_timeout_update(9, &time, none)),
        RawSqe { op_flags: 2 | 16, ..update }
    );
}

#[test]
fn a_timeout_cannot_be_made_another_operation_by_its_flags() {
    let time = Timespec::default();
    assert_eq!(image(Sqe::timeout(&time, TimeoutFlags::all())).op_flags, 1 | 4 | 8 | 32);
}

#[test]
fn cancels_match_by_what_is_given() {
    let cancel = RawSqe { opcode: 14, ..NONE };
    let key = |key: CancelKey<'_>| image(Sqe::cancel_matching(key));
    assert_eq!(image(Sqe::cancel(9)), RawSqe { addr: 9, ..cancel });
    assert_eq!(key(CancelKey::ANY), RawSqe { op_flags: 4, ..cancel });
    let of_one = CancelKey { user_data: Some(9), all: true, ..CancelKey::ANY };
    assert_eq!(key(of_one), RawSqe { addr: 9, op_flags: 1, ..cancel });
    let on_file = CancelKey { file: Some(file()), ..CancelKey::ANY };
    assert_eq!(key(on_file), RawSqe { fd: fd(), op_flags: 2, ..cancel });
    let reads = CancelKey { opcode: Some(Opcode::READ), all: true, ..CancelKey::ANY };
    assert_eq!(key(reads), RawSqe { len: 22, op_flags: 1 | 32, ..cancel });
    let all_three = CancelKey { user_data: Some(9), file: Some(slot(3).into()), ..reads };
    let entry = Sqe::cancel_matching(all_three).into_raw();
    let flags = 1 | 2 | 8 | 16 | 32;
    assert_eq!(*entry.raw(), RawSqe { fd: 3, addr: 9, len: 22, op_flags: flags, ..cancel });
    assert_eq!(entry.ring(), Some(*RING));
}

#[test]
fn classic_buffers_are_counted_in_the_place_of_the_file() {
    let mut memory = [0; 35];
    let addr = at(&memory);
    // SAFETY: never pushed.
    let provide = unsafe { Sqe::provide_buffers(group(9), Room::from(&mut memory[..]), 10, 4) };
    assert_eq!(image(provide), RawSqe { opcode: 31, fd: 3, addr, len: 10, off: 4, buf: 9, ..ZERO });
    assert_eq!(
        image(Sqe::remove_buffers(group(9), 6)),
        RawSqe { opcode: 32, fd: 6, buf: 9, ..ZERO }
    );
}

#[test]
fn buffers_of_no_bytes_are_none() {
    let mut memory = [0; 4];
    // SAFETY: never pushed.
    let provide = unsafe { Sqe::provide_buffers(group(9), Room::from(&mut memory[..]), 0, 0) };
    assert_eq!(image(provide).fd, 0);
}

#[test]
fn epolls_are_changed_and_awaited() {
    let event = libc::epoll_event { events: 1, u64: 2 };
    let epoll = some_file();
    let fields = RawSqe { opcode: 29, fd: epoll.as_raw_fd(), off: fd() as u64, ..ZERO };
    let ctl = |change| image(Sqe::epoll_ctl(epoll.as_fd(), FILE.as_fd(), change));
    let addr = at(&event);
    assert_eq!(ctl(EpollChange::Add(&event)), RawSqe { len: 1, addr, ..fields });
    assert_eq!(ctl(EpollChange::Modify(&event)), RawSqe { len: 3, addr, ..fields });
    assert_eq!(ctl(EpollChange::Delete), RawSqe { len: 2, ..fields });
    let mut events = [event; 2];
    let addr = at(&events);
    assert_eq!(
        image(Sqe::epoll_wait(file(), &mut events)),
        RawSqe { opcode: 59, fd: fd(), addr, len: 2, ..ZERO }
    );
}

#[test]
fn messages_to_rings_say_what_to_post() {
    let on = RawSqe { opcode: 40, fd: fd(), off: 7, ..ZERO };
    // SAFETY: never pushed.
    unsafe {
        assert_eq!(image(Sqe::msg_ring(file(), 7, -1, None)), RawSqe { len: u32::MAX, ..on });
        assert_eq!(
            image(Sqe::msg_ring(file(), 7, 5, Some(2))),
            RawSqe { len: 5, splice_fd: 2, op_flags: 2, ..on }
        );
        let sent = RawSqe { addr: 1, addr3: 3, ..on };
        assert_eq!(
            image(Sqe::msg_ring_fd(file(), slot(3), Install::Any, Some(7))),
            RawSqe { splice_fd: u32::MAX, ..sent }
        );
        assert_eq!(
            image(Sqe::msg_ring_fd(file(), slot(3), Install::Slot(slot(1)), None)),
            RawSqe { splice_fd: 2, op_flags: 1, off: 0, ..sent }
        );
    }
}

#[test]
fn children_are_awaited_by_id() {
    let mut info = ChildInfo::default();
    let off = at(&info);
    let wait = RawSqe { opcode: 50, splice_fd: libc::WEXITED as u32, ..ZERO };
    assert_eq!(
        image(Sqe::wait_id(ChildId::Pid(77), Some(&mut info), libc::WEXITED)),
        RawSqe { fd: 77, len: 1, off, ..wait }
    );
    assert_eq!(image(Sqe::wait_id(ChildId::Any, None, libc::WEXITED)), wait);
    assert_eq!(
        image(Sqe::wait_id(ChildId::PidFd(FILE.as_fd()), None, libc::WEXITED)),
        RawSqe { fd: fd(), len: 3, ..wait }
    );
}

#[test]
fn futexes_keep_size_and_scope_in_the_place_of_the_file() {
    let word = AtomicU32::new(1);
    let fields = RawSqe { fd: 0x82, addr: at(&word), off: 4, addr3: 8, ..ZERO };
    assert_eq!(image(Sqe::futex_wait(&word, 4, 8, true)), RawSqe { opcode: 51, ..fields });
    assert_eq!(image(Sqe::futex_wake(&word, 4, 8, false)), RawSqe { opcode: 52, fd: 2, ..fields });
    let waiters = [FutexWaiter::new(&word, 4, true), FutexWaiter::new(&word, 5, false)];
    assert_eq!(
        image(Sqe::futex_wait_any(&waiters)),
        RawSqe { opcode: 53, addr: at(&waiters), len: 2, ..ZERO }
    );
}

#[test]
fn advice_about_memory() {
    let memory = [0; 16];
    assert_eq!(
        image(Sqe::madvise(&memory, Advice::WillNeed)),
        RawSqe { opcode: 25, addr: at(&memory), len: 16, op_flags: 3, ..NONE }
    );
    let mut memory = [0; 16];
    let addr = at(&memory);
    // SAFETY: never pushed.
    let dropped = unsafe { Sqe::madvise_raw(Room::from(&mut memory[..]), libc::MADV_DONTNEED) };
    assert_eq!(image(dropped), RawSqe { opcode: 25, addr, len: 16, op_flags: 4, ..NONE });
}

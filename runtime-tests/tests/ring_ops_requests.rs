//! Operations on requests, rings, processes, time and memory, each on Linux.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::AtomicU32;

use runtime_tests::ring::{on_a_ring, on_a_ring_of};
use runtime_tests::rings::made;
use runtime_tests::{pipe, skipped};
use uring::buf::Room;
use uring::ring::abi::Timespec;
use uring::ring::{
    Advice, BigCqe, CancelKey, ChildId, ChildInfo, Entry, EpollChange, FutexWaiter, MultiSqe,
    Opcode, RawSqe, Setup, SetupFlags, Sqe, Sqe128, Target, TimeoutFlags,
};

const IN: u32 = libc::POLLIN as u32;
const NONE: TimeoutFlags = TimeoutFlags::empty();
const SOON: Timespec = Timespec { sec: 0, nsec: 2_000_000 };
const NEVER: Timespec = Timespec { sec: 1 << 30, nsec: 0 };

fn on<F: AsFd>(file: &F) -> Target<'_> {
    file.as_fd().into()
}

#[test]
fn a_nop_has_the_result_that_it_was_given() {
    on_a_ring(|ring| {
        assert_eq!(ring.run(Sqe::nop()), 0);
        match ring.run(Sqe::nop_with_result(77)) {
            77 => assert_eq!(ring.run(Sqe::nop_with_result(-libc::EDOM)), -libc::EDOM),
            result => {
                assert!([0, -libc::EINVAL].contains(&result), "{result}");
                skipped("Linux here lacks IORING_NOP_INJECT_RESULT (6.10)");
            }
        }
    });
}

#[test]
fn a_nop_looks_up_its_file_and_its_buffer() {
    on_a_ring(|ring| {
        if ring.run(Sqe::nop_deferred()) != 0 {
            return skipped("Linux here lacks the flags of nops (6.16)");
        }
        let file = File::open("/dev/null").expect("a file");
        assert_eq!(ring.run(Sqe::nop_on(on(&file))), 0);
        let files = ring.ring().register_files(&[Some(file.as_fd()), None]).expect("files");
        let slots: Vec<_> = files.slots().collect();
        assert_eq!(ring.run(Sqe::nop_on(slots[0].into())), 0);
        assert_eq!(ring.run(Sqe::nop_on(slots[1].into())), -libc::EBADF);
        let buffers = ring.ring().register_buffers(&[4096]).expect("buffers");
        assert_eq!(ring.run(Sqe::nop_with_buffer(buffers.part(0).expect("a buffer"))), 0);
        // 16 bytes are too few for what this one wants to say.
        assert_eq!(ring.run(Sqe::nop_big([1, 2])), -libc::EINVAL);
    });
}

#[test]
fn long_submissions_are_not_taken_for_short_ones() {
    on_a_ring(|ring| {
        for opcode in [Opcode::NOP128, Opcode::URING_CMD128] {
            let raw = RawSqe { opcode: opcode.0, ..RawSqe::default() };
            // SAFETY: lends nothing.
            unsafe { ring.start(Entry::from(raw)) };
            assert_eq!(ring.next_cqe().raw_result(), -libc::EINVAL);
        }
        skipped("this ring has entries of 64 bytes (128: Linux 6.19)");
    });
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no io_uring")]
fn a_ring_of_long_entries_takes_short_submissions_and_says_more() {
    let setup = Setup::new(4).require(SetupFlags::SQE128 | SetupFlags::CQE32);
    let Some(mut ring) = made(&setup) else { return };
    let mut complete = |sqe: Sqe128<'_>| {
        // SAFETY: nothing is lent.
        unsafe { ring.push128(sqe) }.expect("space");
        ring.submit_and_wait(1, None).expect("a wait");
        let mut cqes = [BigCqe::default()];
        assert_eq!(ring.copy_big_cqes(&mut cqes), 1);
        cqes[0]
    };
    assert_eq!(complete(Sqe::nop().into()).cqe.raw_result(), 0);
    let said = complete(Sqe::nop_big([3, 4]).into());
    match said.cqe.raw_result() {
        0 => assert_eq!(said.extra, [3, 4]),
        result => {
            assert_eq!(result, -libc::EINVAL);
            skipped("Linux here lacks IORING_NOP_CQE32 (6.18)");
        }
    }
    match complete(Sqe128::nop()).cqe.raw_result() {
        0 => {}
        result => {
            assert_eq!(result, -libc::EINVAL);
            skipped("Linux here lacks NOP128 (6.19)");
        }
    }
}

#[test]
fn a_poll_reports_what_holds() {
    on_a_ring(|ring| {
        let (reader, writer) = pipe();
        assert_eq!(ring.run(Sqe::poll(on(&writer), libc::POLLOUT as u32)), 4);
        drop(writer);
        assert_eq!(ring.run(Sqe::poll(on(&reader), IN)), libc::POLLHUP.into());
        let file = File::open("/proc/self/status").expect("a file");
        let regular = ring.run(Sqe::poll(on(&file), IN));
        assert!([-libc::EOPNOTSUPP, 1].contains(&regular), "{regular}");
    });
}

#[test]
fn a_multishot_poll_reports_again_and_again() {
    on_a_ring(|ring| {
        let (reader, writer) = pipe();
        let mut writer = File::from(writer);
        // SAFETY: the pipe outlives what the test waits for.
        unsafe { ring.start(MultiSqe::poll(on(&reader), IN).user_data(1)) };
        for _ in 0..3 {
            ring.submit();
            writer.write_all(b"x").expect("a write");
            let cqe = ring.next_cqe();
            assert_eq!((cqe.raw_result(), cqe.more()), (1, true));
        }
        // SAFETY: lends nothing.
        unsafe { ring.start(Sqe::poll_remove(1).user_data(2)) };
        assert_eq!(ring.next_sorted(2), [(1, -libc::ECANCELED), (2, 0)]);
    });
}

#[test]
fn a_poll_is_changed_renamed_and_removed() {
    on_a_ring(|ring| {
        let (reader, writer) = pipe();
        assert_eq!(ring.run(Sqe::poll_remove(9)), -libc::ENOENT);
        assert_eq!(ring.run(Sqe::poll_update(9, IN, false)), -libc::ENOENT);
        // SAFETY: the pipe outlives what the test waits for; no request here lends memory.
        unsafe {
            ring.start(Sqe::poll(on(&reader), IN).user_data(1));
            ring.start(Sqe::poll_rename(1, 3, IN, false).user_data(2));
        }
        assert_eq!(ring.next_sorted(1), [(2, 0)]);
        File::from(writer).write_all(b"x").expect("a write");
        assert_eq!(ring.next_sorted(1), [(3, 1)]);
    });
}

#[test]
fn a_poll_is_changed_to_wait_for_what_holds_already() {
    on_a_ring(|ring| {
        let (_reader, writer) = pipe();
        // SAFETY: the pipe outlives what the test waits for.
        unsafe {
            ring.start(Sqe::poll(on(&writer), IN).user_data(1));
            ring.start(Sqe::poll_update(1, libc::POLLOUT as u32, false).user_data(2));
        }
        assert_eq!(ring.next_sorted(2), [(1, 4), (2, 0)]);
    });
}

#[test]
fn a_timer_runs_out_with_etime() {
    on_a_ring(|ring| {
        assert_eq!(ring.run(Sqe::timeout(&SOON, NONE)), -libc::ETIME);
        let past = Timespec { sec: 1, nsec: 0 };
        for clock in [NONE, TimeoutFlags::BOOTTIME, TimeoutFlags::REALTIME] {
            let sqe = Sqe::timeout(&past, TimeoutFlags::ABS | clock);
            assert_eq!(ring.run(sqe), -libc::ETIME, "{clock:?}");
        }
        let negative = Timespec { sec: -1, nsec: 0 };
        assert_eq!(ring.run(Sqe::timeout(&negative, NONE)), -libc::EINVAL);
        let two_clocks = Sqe::timeout(&SOON, TimeoutFlags::CLOCK_MASK);
        assert_eq!(ring.run(two_clocks), -libc::EINVAL);
    });
}

#[test]
fn a_timer_that_may_run_out_keeps_its_link_going() {
    on_a_ring(|ring| {
        let sqes = [Sqe::timeout(&SOON, NONE).link(), Sqe::nop()];
        assert_eq!(ring.run_all(sqes), [-libc::ETIME, -libc::ECANCELED]);
        let sqes = [Sqe::timeout(&SOON, TimeoutFlags::ETIME_SUCCESS).link(), Sqe::nop()];
        assert_eq!(ring.run_all(sqes), [-libc::ETIME, 0]);
        let sqes = [Sqe::timeout(&SOON, NONE).hardlink(), Sqe::nop()];
        assert_eq!(ring.run_all(sqes), [-libc::ETIME, 0]);
    });
}

#[test]
fn a_timer_ends_when_so_many_have_completed() {
    on_a_ring(|ring| {
        let sqes = [Sqe::timeout_or_completions(&NEVER, 1, NONE), Sqe::nop()];
        assert_eq!(ring.run_all(sqes), [0, 0]);
    });
}

#[test]
fn a_multishot_timer_fires_so_many_times() {
    on_a_ring(|ring| {
        // SAFETY: the time lives forever.
        unsafe { ring.start(MultiSqe::timeout(&SOON, 3, NONE)) };
        let first = ring.next_cqe();
        if first.raw_result() == -libc::EINVAL {
            return skipped("Linux here lacks IORING_TIMEOUT_MULTISHOT (6.4)");
        }
        let fired = [first, ring.next_cqe(), ring.next_cqe()];
        assert_eq!(fired.map(|cqe| cqe.more()), [true, true, false]);
        assert_eq!(fired.map(|cqe| cqe.raw_result()), [-libc::ETIME; 3]);
    });
}

#[test]
fn a_timer_is_set_anew_and_removed() {
    on_a_ring(|ring| {
        assert_eq!(ring.run(Sqe::timeout_remove(9)), -libc::ENOENT);
        // SAFETY: the times live forever.
        unsafe {
            ring.start(Sqe::timeout(&NEVER, NONE).user_data(1));
            ring.start(Sqe::timeout_update(1, &SOON, NONE).user_data(2));
        }
        assert_eq!(ring.next_sorted(2), [(1, -libc::ETIME), (2, 0)]);
        // SAFETY: as above.
        unsafe {
            ring.start(Sqe::timeout(&NEVER, NONE).user_data(1));
            ring.start(Sqe::timeout_remove(1).user_data(2));
        }
        assert_eq!(ring.next_sorted(2), [(1, -libc::ECANCELED), (2, 0)]);
    });
}

#[test]
fn a_link_timeout_ends_what_takes_too_long() {
    on_a_ring(|ring| {
        let (reader, _writer) = pipe();
        let mut buf = [0; 1];
        let read = Sqe::read(on(&reader), &mut buf[..], None).link();
        let results = ring.run_all([read, Sqe::link_timeout(&SOON, NONE)]);
        assert!([-libc::ECANCELED, -libc::EINTR].contains(&results[0]), "{results:?}");
        assert_eq!(results[1], -libc::ETIME);
        let in_time = [Sqe::nop().link(), Sqe::link_timeout(&NEVER, NONE)];
        assert_eq!(ring.run_all(in_time), [0, -libc::ECANCELED]);
        assert_eq!(ring.run(Sqe::link_timeout(&SOON, NONE)), -libc::EINVAL);
    });
}

#[test]
fn a_link_timeout_is_set_anew() {
    on_a_ring(|ring| {
        let (reader, _writer) = pipe();
        let mut buf = [0; 1];
        let sqes = [
            Sqe::read(on(&reader), &mut buf[..], None).link(),
            Sqe::link_timeout(&NEVER, NONE),
            // `user_data` is the index here.
            Sqe::link_timeout_update(1, &SOON, NONE),
        ];
        assert_eq!(ring.run_all(sqes)[1..], [-libc::ETIME, 0]);
    });
}

#[test]
fn requests_are_cancelled_by_name_file_and_operation() {
    on_a_ring(|ring| {
        assert_eq!(ring.run(Sqe::cancel(9)), -libc::ENOENT);
        let (reader, _writer) = pipe();
        let poll = || Sqe::poll(on(&reader), IN);
        let key = |key| Sqe::cancel_matching(key);
        let cases = [
            ("user_data", CancelKey { user_data: Some(0), ..CancelKey::ANY }, 0),
            ("file", CancelKey { file: Some(on(&reader)), ..CancelKey::ANY }, 0),
            (
                "all of a file",
                CancelKey { file: Some(on(&reader)), all: true, ..CancelKey::ANY },
                1,
            ),
            ("any", CancelKey::ANY, 1),
        ];
        for (name, by, result) in cases {
            assert_eq!(ring.run_all([poll(), key(by)]), [-libc::ECANCELED, result], "{name}");
        }
        let by_opcode = CancelKey { opcode: Some(Opcode::POLL_ADD), all: true, ..CancelKey::ANY };
        // Debian's 6.1 takes the flag and finds nothing by it, so the errno does not tell.
        if Setup::new(1).require(SetupFlags::NO_SQARRAY).build().is_err() {
            return skipped("Linux here lacks IORING_ASYNC_CANCEL_OP (6.6, as NO_SQARRAY)");
        }
        assert_eq!(ring.run(key(by_opcode)), 0, "there was none");
        let results = ring.run_all([poll(), poll(), key(by_opcode)]);
        assert_eq!(results, [-libc::ECANCELED, -libc::ECANCELED, 2]);
        let of_two = CancelKey { user_data: Some(1), ..by_opcode };
        let all_three = CancelKey { file: Some(on(&reader)), ..of_two };
        // The last one is there to end the other poll; a cancelled one may be counted again.
        let results = ring.run_all([poll(), poll(), key(all_three), key(CancelKey::ANY)]);
        assert_eq!(results[..3], [-libc::ECANCELED, -libc::ECANCELED, 1]);
    });
}

#[test]
fn requests_are_cancelled_by_their_registered_file() {
    on_a_ring(|ring| {
        let (reader, _writer) = pipe();
        let files = ring.ring().register_files(&[Some(reader.as_fd())]).expect("files");
        let slot = files.slot(0).expect("a slot");
        let key = CancelKey { file: Some(slot.into()), ..CancelKey::ANY };
        let results = ring.run_all([Sqe::poll(slot.into(), IN), Sqe::cancel_matching(key)]);
        if results[1] == -libc::EINVAL {
            return skipped("Linux here lacks IORING_ASYNC_CANCEL_FD_FIXED (6.0)");
        }
        assert_eq!(results, [-libc::ECANCELED, 0]);
    });
}

#[test]
fn a_message_reaches_another_ring() {
    on_a_ring(|ring| {
        on_a_ring(|other| {
            if ring.lacks(Opcode::MSG_RING) {
                return;
            }
            let fd = other.ring().fd().expect("a descriptor").try_clone_to_owned();
            let fd = fd.expect("a descriptor");
            let target = on(&fd);
            // SAFETY: nothing else is in flight on the other ring.
            let plain = unsafe { Sqe::msg_ring(target, 5, -7, None) };
            assert_eq!(ring.run(plain), 0);
            let came = other.next_message();
            assert_eq!((came.user_data(), came.raw_result()), (5, -7));
            // SAFETY: as above.
            let flagged = unsafe { Sqe::msg_ring(target, 6, 8, Some(4)) };
            match ring.run(flagged) {
                errno if errno == -libc::EINVAL => {
                    skipped("Linux here lacks IORING_MSG_RING_FLAGS_PASS (6.3)");
                }
                result => {
                    let came = other.next_message();
                    assert_eq!((result, came.raw_result(), came.flags().bits()), (0, 8, 4));
                }
            }
        });
    });
}

#[test]
fn a_message_to_what_is_no_ring_is_refused() {
    on_a_ring(|ring| {
        if ring.lacks(Opcode::MSG_RING) {
            return;
        }
        let file = File::open("/dev/null").expect("a file");
        // SAFETY: it reaches nobody.
        let message = unsafe { Sqe::msg_ring(on(&file), 5, 0, None) };
        assert_eq!(ring.run(message), -libc::EBADFD);
    });
}

#[test]
fn an_epoll_is_changed_and_awaited() {
    on_a_ring(|ring| {
        // SAFETY: a new descriptor that nobody else owns.
        let epoll = unsafe {
            use std::os::fd::{FromRawFd, OwnedFd};
            OwnedFd::from_raw_fd(libc::epoll_create1(libc::EPOLL_CLOEXEC))
        };
        let (reader, writer) = pipe();
        File::from(writer).write_all(b"x").expect("a write");
        let event = libc::epoll_event { events: IN, u64: 42 };
        let ctl = |change| Sqe::epoll_ctl(epoll.as_fd(), reader.as_fd(), change);
        assert_eq!(ring.run(ctl(EpollChange::Add(&event))), 0);
        assert_eq!(ring.run(ctl(EpollChange::Add(&event))), -libc::EEXIST);
        let event = libc::epoll_event { events: IN, u64: 43 };
        assert_eq!(ring.run(ctl(EpollChange::Modify(&event))), 0);
        if !ring.lacks(Opcode::EPOLL_WAIT) {
            let mut events = [libc::epoll_event { events: 0, u64: 0 }; 4];
            assert_eq!(ring.run(Sqe::epoll_wait(on(&epoll), &mut events)), 1);
            assert_eq!({ events[0].u64 }, 43);
        }
        assert_eq!(ring.run(ctl(EpollChange::Delete)), 0);
        assert_eq!(ring.run(ctl(EpollChange::Delete)), -libc::ENOENT);
    });
}

#[test]
fn a_child_is_awaited_and_its_exit_code_told() {
    on_a_ring(|ring| {
        if ring.lacks(Opcode::WAITID) {
            return;
        }
        let mut child = Command::new("sh").args(["-c", "exit 7"]).spawn().expect("a child");
        let mut info = ChildInfo::default();
        let which = ChildId::Pid(child.id());
        assert_eq!(ring.run(Sqe::wait_id(which, Some(&mut info), libc::WEXITED)), 0);
        assert_eq!(
            (info.pid(), info.code(), info.status()),
            (child.id() as i32, libc::CLD_EXITED, 7)
        );
        let gone = Sqe::wait_id(which, Some(&mut info), libc::WEXITED);
        assert_eq!(ring.run(gone), -libc::ECHILD);
        assert!(child.wait().is_err(), "the operation took it off the list of children");
    });
}

#[test]
fn a_futex_is_awaited_and_woken() {
    on_a_ring(|ring| {
        if ring.lacks(Opcode::FUTEX_WAIT) {
            return;
        }
        let word = AtomicU32::new(1);
        let sqes =
            [Sqe::futex_wait(&word, 1, u32::MAX, true), Sqe::futex_wake(&word, 10, u32::MAX, true)];
        assert_eq!(ring.run_all(sqes), [0, 1]);
        let other_value = Sqe::futex_wait(&word, 2, u32::MAX, true);
        assert_eq!(ring.run(other_value), -libc::EAGAIN);
        assert_eq!(ring.run(Sqe::futex_wait(&word, 1, 0, true)), -libc::EINVAL);
        let sqes = [
            Sqe::futex_wait(&word, 1, 0b01, true),
            Sqe::futex_wake(&word, 10, 0b10, true),
            Sqe::futex_wake(&word, 10, 0b11, true),
        ];
        assert_eq!(ring.run_all(sqes), [0, 0, 1]);
    });
}

#[test]
fn one_of_several_futexes_is_woken() {
    on_a_ring(|ring| {
        if ring.lacks(Opcode::FUTEX_WAITV) {
            return;
        }
        let words = [AtomicU32::new(1), AtomicU32::new(2)];
        let waiters = [FutexWaiter::new(&words[0], 1, true), FutexWaiter::new(&words[1], 2, true)];
        let sqes = [Sqe::futex_wait_any(&waiters), Sqe::futex_wake(&words[1], 1, u32::MAX, true)];
        assert_eq!(ring.run_all(sqes), [1, 1]);
        assert_eq!(ring.run(Sqe::futex_wait_any(&[])), -libc::EINVAL);
    });
}

#[test]
fn advice_about_memory_leaves_its_content_alone() {
    on_a_ring(|ring| {
        let mut pages = vec![7; 3 * 4096];
        let start = pages.as_ptr().align_offset(4096);
        let page = &pages[start..start + 4096];
        for advice in [Advice::Normal, Advice::Random, Advice::WillNeed, Advice::Cold] {
            assert_eq!(ring.run(Sqe::madvise(page, advice)), 0, "{advice:?}");
        }
        assert_eq!(ring.run(Sqe::madvise(&page[1..], Advice::Normal)), -libc::EINVAL);
        assert!(pages.iter().all(|byte| *byte == 7));
        let page = Room::from(&mut pages[start..start + 4096]);
        // SAFETY: a whole page, which the test alone uses.
        let drop_it = unsafe { Sqe::madvise_raw(page, libc::MADV_DONTNEED) };
        assert_eq!(ring.run(drop_it), 0);
        assert!(pages[start..start + 4096].iter().all(|byte| *byte == 0));
    });
}

#[test]
fn what_hides_its_success_completes_only_if_it_fails() {
    on_a_ring_of(&Setup::new(8), |ring| {
        // SAFETY: nothing is lent.
        unsafe {
            ring.start(Sqe::poll_remove(99).skip_success().user_data(1));
            ring.start(Sqe::nop().user_data(2));
        }
        assert_eq!(ring.next_sorted(2), [(1, -libc::ENOENT), (2, 0)]);
        assert_eq!(ring.run(Sqe::nop().drain()), -libc::EOPNOTSUPP);
    });
}

#[test]
fn a_failed_fsync_is_no_failure_to_its_link() {
    on_a_ring(|ring| {
        let (reader, _writer) = pipe();
        let sqes = [Sqe::fsync(on(&reader), false).link(), Sqe::nop()];
        assert_eq!(ring.run_all(sqes), [-libc::EINVAL, 0]);
    });
}

#[test]
fn a_worker_thread_does_the_same() {
    on_a_ring(|ring| {
        let zero = File::open("/dev/zero").expect("a file");
        let mut buf = [7; 4];
        assert_eq!(ring.run(Sqe::read(on(&zero), &mut buf[..], None).asynchronous()), 4);
        assert_eq!(buf, [0; 4]);
    });
}

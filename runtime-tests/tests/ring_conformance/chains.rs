//! Chains, drains and hidden completions.

use std::fs::File;
use std::io::{IoSliceMut, Write};
use std::os::fd::AsFd;

use runtime_tests::ring::on_a_ring;
use runtime_tests::rings::{has, nop, only, take};
use runtime_tests::{TempDir, pipe, skipped};
use uring::ring::abi::Timespec;
use uring::ring::{
    Entry, Features, Link, MultiSqe, RawSqe, Ring, Setup, SetupFlags, Signals, Sqe, SyncCancel,
    Target, TimeoutFlags, WaitFor,
};

use super::{IN, poke};

const NONE: SetupFlags = SetupFlags::empty();

fn results(ring: &mut Ring, count: usize) -> Vec<(u64, i32)> {
    take(ring, count).iter().map(|cqe| (cqe.user_data(), cqe.raw_result())).collect()
}

#[test]
fn a_chain_with_a_bad_submission_does_not_start() {
    let Some(mut ring) = only(8, NONE) else { return };
    for link in [Link::Soft, Link::Hard] {
        for (len, bad) in (2..=4_u64).flat_map(|len| (0..len).map(move |bad| (len, bad))) {
            let chain: Vec<Entry> = (0..len)
                .map(|at| {
                    let opcode = if at == bad { 200 } else { 0 };
                    Entry::from(RawSqe { opcode, fd: -1, user_data: at, ..RawSqe::default() })
                })
                .collect();
            // SAFETY: nothing is lent.
            unsafe { ring.push_chain(link, &chain) }.expect("room");
            let result = |at| if at == bad { -libc::EINVAL } else { -libc::ECANCELED };
            let expected: Vec<_> = (0..len).map(|at| (at, result(at))).collect();
            assert_eq!(results(&mut ring, chain.len()), expected, "{link:?}, bad: {bad}");
        }
    }
}

#[test]
fn a_chain_that_fails_does_not_stop_the_next_one() {
    on_a_ring(|ring| {
        if ring.run(Sqe::nop_with_result(-libc::EIO)) != -libc::EIO {
            return skipped("nops with a result of one's choice came with Linux 6.10");
        }
        let fails = || Sqe::nop_with_result(-libc::EIO);
        let results = ring.run_all([fails().link(), Sqe::nop(), Sqe::nop().link(), Sqe::nop()]);
        assert_eq!(results, [-libc::EIO, -libc::ECANCELED, 0, 0]);
        // A hard link behind a soft one goes with its chain.
        let results = ring.run_all([fails().link(), Sqe::nop().hardlink(), Sqe::nop()]);
        assert_eq!(results, [-libc::EIO, -libc::ECANCELED, -libc::ECANCELED]);
    });
}

#[test]
fn a_short_read_ends_its_chain() {
    let dir = TempDir::new();
    let path = dir.path().join("short");
    std::fs::write(&path, b"five!").expect("a file");
    let file = File::open(&path).expect("the file");
    on_a_ring(|ring| {
        let target = Target::from(file.as_fd());
        let (mut room, mut exact) = ([0; 10], [0; 5]);
        let short = Sqe::read(target, &mut room[..], Some(0)).link();
        assert_eq!(ring.run_all([short, Sqe::nop()]), [5, -libc::ECANCELED]);
        let whole = Sqe::read(target, &mut exact[..], Some(0)).link();
        assert_eq!(ring.run_all([whole, Sqe::nop()]), [5, 0]);
    });
}

#[test]
fn a_vectored_read_stops_short_at_the_end_of_its_file() {
    let dir = TempDir::new();
    let path = dir.path().join("short");
    std::fs::write(&path, b"seven b").expect("a file");
    let file = File::open(&path).expect("the file");
    on_a_ring(|ring| {
        let (mut first, mut second) = ([0; 5], [0; 5]);
        let mut rooms = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        let target = Target::from(file.as_fd());
        assert_eq!(ring.run(Sqe::read_vectored(target, &mut rooms[..], Some(0))), 7);
        assert_eq!((&first, &second), (b"seven", b" b\0\0\0"));
    });
}

#[test]
fn a_drained_chain_starts_after_all_before_it_and_before_all_behind_it() {
    let (read_end, write_end) = pipe();
    let Some(mut ring) = only(8, NONE) else { return };
    let poll = Sqe::poll(Target::Fd(read_end.as_fd()), IN).user_data(1);
    let chain = [Sqe::nop().drain().into_raw().user_data(2), Entry::from(Sqe::nop().user_data(3))];
    // SAFETY: the pipe outlives the poll, which is taken below.
    unsafe {
        ring.push(poll).expect("room");
        ring.push_chain(Link::Soft, &chain).expect("room");
    }
    nop(&mut ring, 4);
    ring.submit_and_wait(0, None).expect("four");
    assert_eq!(ring.ready(), 0, "all wait for the poll");
    poke(&write_end);
    let results = results(&mut ring, 4);
    assert_eq!(results[0], (1, 1));
    if results[1] == (4, 0) && Setup::new(1).require(SetupFlags::NO_SQARRAY).build().is_err() {
        return skipped("before Linux 6.6 what waits behind a drained chain may overtake it");
    }
    assert_eq!(results[1..], [(2, 0), (3, 0), (4, 0)]);
}

#[test]
fn a_drained_submission_waits_for_the_end_of_a_multishot() {
    let (read_end, write_end) = pipe();
    let Some(mut ring) = only(8, NONE) else { return };
    if !has(&ring, Features::REG_REG_RING) {
        return;
    }
    // SAFETY: the pipe outlives the poll, which is cancelled below.
    unsafe { ring.push(MultiSqe::poll(Target::Fd(read_end.as_fd()), IN).user_data(1)) }
        .expect("room");
    ring.submit().expect("the poll");
    for _ in 0..3 {
        poke(&write_end);
        assert_eq!(results(&mut ring, 1), [(1, 1)]);
    }
    // SAFETY: nothing is lent.
    unsafe { ring.push(Sqe::nop().drain().user_data(2)) }.expect("room");
    ring.submit_and_wait(0, None).expect("the nop");
    assert_eq!(ring.ready(), 0, "the poll goes on");
    ring.sync_cancel(SyncCancel::user_data(1)).expect("the poll");
    assert_eq!(results(&mut ring, 2), [(1, -libc::ECANCELED), (2, 0)]);
}

#[test]
fn who_fails_decides_whether_those_behind_it_are_told() {
    let Some(mut ring) = only(8, NONE) else { return };
    if !has(&ring, Features::RECVSEND_BUNDLE) {
        return;
    }
    let fails = || Sqe::nop_with_result(-libc::EIO);
    let push = |ring: &mut Ring, sqes: [Sqe<'_>; 3]| {
        for (at, sqe) in (1..).zip(sqes) {
            // SAFETY: nops lend nothing.
            unsafe { ring.push(sqe.user_data(at)) }.expect("room");
        }
        nop(ring, 9);
    };
    // A chain that fails completes behind the call, so what comes after it may be earlier.
    let sorted = |ring: &mut Ring, count| {
        let mut all = results(ring, count);
        ring.submit_and_wait(0, None).expect("whatever is left");
        assert_eq!(ring.ready(), 0, "more than {all:?}");
        all.sort_unstable();
        all
    };
    // It hides its success: then it alone speaks.
    let chain = [Sqe::nop().skip_success().link(), fails().skip_success().link(), Sqe::nop()];
    push(&mut ring, chain);
    assert_eq!(sorted(&mut ring, 2), [(2, -libc::EIO), (9, 0)]);
    // It hides nothing: then those behind it do not, either.
    let chain = [Sqe::nop().skip_success().link(), fails().link(), Sqe::nop().skip_success()];
    push(&mut ring, chain);
    assert_eq!(sorted(&mut ring, 3), [(2, -libc::EIO), (3, -libc::ECANCELED), (9, 0)]);
}

#[test]
fn a_wait_for_two_does_not_return_with_one() {
    let (read_end, write_end) = pipe();
    let Some(mut ring) = only(4, NONE) else { return };
    let poll = Sqe::poll(Target::Fd(read_end.as_fd()), IN).user_data(1);
    // SAFETY: the pipe outlives the poll, which is taken below.
    unsafe { ring.push(poll) }.expect("room");
    nop(&mut ring, 2);
    ring.submit().expect("two");
    let writer = std::thread::spawn(move || File::from(write_end).write_all(b"x"));
    // A signal ends a wait early, and that is no error if one completion is there.
    let both = WaitFor::completions(2).blocking(Signals::all());
    ring.submit_and_wait_for(&both).expect("both");
    assert_eq!(ring.ready(), 2);
    assert_eq!(results(&mut ring, 2).len(), 2);
    writer.join().expect("a thread").expect("a byte");
}

#[test]
fn a_timeout_in_the_middle_of_a_chain_ends_what_is_behind_it_too() {
    let (reader, _writer) = pipe();
    let soon = Timespec { sec: 0, nsec: 2_000_000 };
    on_a_ring(|ring| {
        let mut byte = [0; 1];
        let ends = ring.run_all([
            Sqe::nop().link(),
            Sqe::read(Target::from(reader.as_fd()), &mut byte[..], None).link(),
            Sqe::link_timeout(&soon, TimeoutFlags::empty()).link(),
            Sqe::nop(),
        ]);
        assert!([-libc::ECANCELED, -libc::EINTR].contains(&ends[1]), "{ends:?}");
        assert_eq!([ends[0], ends[2], ends[3]], [0, -libc::ETIME, -libc::ECANCELED]);
    });
}

#[test]
fn a_chain_goes_on_behind_a_timeout_that_was_not_needed() {
    let never = Timespec { sec: 1 << 30, nsec: 0 };
    on_a_ring(|ring| {
        let ends = ring.run_all([
            Sqe::nop().link(),
            Sqe::nop().link(),
            Sqe::link_timeout(&never, TimeoutFlags::empty()).link(),
            Sqe::nop(),
        ]);
        assert_eq!(ends, [0, 0, -libc::ECANCELED, 0]);
    });
}

#[test]
fn a_hidden_success_does_not_hide_the_timeout_that_was_not_needed() {
    let never = Timespec { sec: 1 << 30, nsec: 0 };
    let Some(mut ring) = only(8, NONE) else { return };
    if !has(&ring, Features::CQE_SKIP) {
        return;
    }
    let timeout = Sqe::link_timeout(&never, TimeoutFlags::empty()).user_data(2);
    for entry in [Sqe::nop().user_data(1).link().skip_success(), timeout, Sqe::nop().user_data(3)] {
        // SAFETY: the time outlives all, whose ends are taken below.
        unsafe { ring.push(entry) }.expect("room");
    }
    let mut ends = results(&mut ring, 2);
    ends.sort_unstable();
    assert_eq!(ends, [(2, -libc::ECANCELED), (3, 0)]);
    assert_eq!(ring.ready(), 0);
}

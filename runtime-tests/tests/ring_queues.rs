//! The two queues: room, order, sizes of entries, overflow.

use runtime_tests::rings::{
    everywhere, has, kernel, made, nop, nop_with, only, take, take_big, taken,
};
use runtime_tests::skipped;
use uring::ring::{
    BigCqe, CqFlags, Cqe, Entry, Entry128, Features, NopFlags, Opcode, PushError, RawSqe, Setup,
    SetupFlags, Sqe,
};

#[test]
fn a_submission_queue_is_full_when_all_its_places_are_taken_and_not_before() {
    for mut ring in everywhere(4, 8) {
        for queued in 0..4 {
            assert_eq!((ring.queued(), ring.space_left()), (queued, 4 - queued));
            nop(&mut ring, u64::from(queued));
        }
        // SAFETY: a nop lends nothing.
        let full = unsafe { ring.push(Sqe::nop()) };
        assert_eq!((full, ring.space_left()), (Err(PushError::Full), 0));
        assert_eq!(ring.submit().expect("four"), 4);
        assert_eq!((ring.queued(), ring.space_left()), (0, 4));
    }
}

#[test]
fn room_is_made_by_submitting() {
    for mut ring in everywhere(4, 64) {
        for index in 0..20 {
            ring.reserve(1).expect("room");
            nop(&mut ring, index);
        }
        ring.reserve(4).expect("room for as many as there are places");
        assert_eq!(ring.space_left(), 4);
        let error = ring.reserve(5).expect_err("more than there are places");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        assert_eq!(take(&mut ring, 20).len(), 20);
    }
}

#[test]
fn completions_come_out_in_batches_of_any_size_while_the_queue_wraps() {
    for mut ring in everywhere(4, 4) {
        let mut out = [Cqe::default(); 3];
        for round in 0..64_u64 {
            for index in 0..4 {
                nop(&mut ring, round * 4 + index);
            }
            let mut seen = Vec::new();
            while seen.len() < 4 {
                ring.submit_and_wait(1, None).expect("a wait");
                let count = ring.copy_cqes(&mut out);
                seen.extend(out[..count].iter().map(Cqe::user_data));
            }
            // The simulated kernel completes in any order.
            seen.sort_unstable();
            assert_eq!(seen, (round * 4..round * 4 + 4).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_peek_finds_what_a_copy_finds_later() {
    for mut ring in everywhere(4, 8) {
        nop(&mut ring, 1);
        nop(&mut ring, 2);
        ring.submit_and_wait(2, None).expect("a wait");
        let mut out = [BigCqe::default(); 4];
        for _ in 0..2 {
            assert_eq!((ring.peek_cqes(&mut out), ring.ready()), (2, 2));
        }
        let peeked: Vec<u64> = out[..2].iter().map(|big| big.cqe.user_data()).collect();
        assert_eq!(ring.peek_cqes(&mut out[..1]), 1);
        assert_eq!(taken(&mut ring), peeked);
        assert_eq!(ring.peek_cqes(&mut out), 0);
    }
}

#[test]
fn a_drain_that_is_left_early_leaves_the_rest() {
    for mut ring in everywhere(4, 8) {
        for index in 0..3 {
            nop(&mut ring, index);
        }
        ring.submit_and_wait(3, None).expect("a wait");
        assert!(ring.drain().next().is_some());
        assert_eq!(ring.ready(), 2);
        assert_eq!(ring.drain().count(), 2);
    }
}

#[test]
fn completions_that_find_no_room_are_kept_in_order_and_counted_nowhere() {
    let Some(mut ring) = made(&Setup::new(4).cq_entries(4).only(SetupFlags::empty())) else {
        return;
    };
    for index in 0..16 {
        ring.reserve(1).expect("room");
        nop(&mut ring, index);
    }
    ring.submit().expect("the last four");
    assert!(ring.overflowed() && ring.needs_enter());
    assert_eq!(ring.ready(), 4);
    let mut seen = Vec::new();
    while seen.len() < 16 {
        let mut out = [Cqe::default(); 16];
        let count = ring.wait_cqes(&mut out, 1).expect("a wait");
        seen.extend(out[..count].iter().map(Cqe::user_data));
    }
    assert_eq!(seen, (0..16).collect::<Vec<_>>());
    assert!(!ring.overflowed());
    assert_eq!(ring.lost(), 0);
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no io_uring")]
fn large_completions_bring_their_second_half() {
    if !kernel().supports(Opcode::NOP) || kernel().setup_flags().bits() >> 18 & 1 == 0 {
        return skipped("Linux here lacks nops with large completions (6.18)");
    }
    for shape in [SetupFlags::CQE32, SetupFlags::CQE_MIXED] {
        let Some(mut ring) = only(8, shape) else { continue };
        for user_data in 1..=60 {
            // SAFETY: a nop lends nothing.
            unsafe { ring.push(nop_with(7, NopFlags::CQE32, user_data)) }.expect("room");
            let big = take_big(&mut ring, 1)[0];
            assert_eq!((big.cqe.user_data(), big.cqe.raw_result()), (user_data, 7));
            assert_eq!(big.extra, [user_data + 100, user_data + 200], "{shape:?}");
        }
    }
}

#[test]
fn completions_of_both_sizes_pass_the_overflow_whole_and_in_order() {
    let setup = Setup::new(8).cq_entries(8).only(SetupFlags::CQE_MIXED);
    let Some(mut ring) = made(&setup) else { return };
    for user_data in 0..40 {
        ring.reserve(1).expect("room");
        let large = if user_data % 3 == 0 { NopFlags::CQE32 } else { NopFlags::empty() };
        // SAFETY: a nop lends nothing.
        unsafe { ring.push(nop_with(0, large, user_data)) }.expect("room");
    }
    ring.submit().expect("the last");
    assert!(ring.overflowed());
    let all = take_big(&mut ring, 40);
    for (index, big) in all.iter().enumerate() {
        let user_data = index as u64;
        let extra = if index % 3 == 0 { [user_data + 100, user_data + 200] } else { [0; 2] };
        assert_eq!((big.cqe.user_data(), big.extra), (user_data, extra));
    }
    assert_eq!(ring.lost(), 0);
}

#[test]
fn a_success_that_is_to_be_skipped_posts_nothing_and_a_failure_does() {
    let Some(mut ring) = only(4, SetupFlags::empty()) else { return };
    if !has(&ring, Features::CQE_SKIP) {
        return;
    }
    // SAFETY: nothing is lent; the second one has an opcode that no kernel knows.
    unsafe {
        ring.push(Sqe::nop().skip_success().user_data(1)).expect("room");
        let unknown = RawSqe { opcode: 200, user_data: 2, ..RawSqe::default() };
        ring.push(Sqe::raw(unknown).skip_success()).expect("room");
    }
    let all = take(&mut ring, 1);
    assert_eq!((all[0].user_data(), all[0].raw_result()), (2, -libc::EINVAL));
    assert!(taken(&mut ring).is_empty());
}

#[test]
fn submissions_of_128_bytes_are_taken_by_rings_of_that_size_alone() {
    let wide = |user_data| Entry128::new(Entry::from(Sqe::nop()), [0; 64]).user_data(user_data);
    for mut ring in everywhere(4, 8) {
        // SAFETY: a nop lends nothing.
        assert_eq!(unsafe { ring.push128(wide(1)) }, Err(PushError::Size));
    }
    let Some(mut ring) = only(4, SetupFlags::SQE128) else { return };
    for round in 0..10 {
        // SAFETY: nops lend nothing.
        unsafe {
            ring.push128(wide(round)).expect("room");
            ring.push(Sqe::nop().user_data(round + 100)).expect("room for a small one, too");
        }
        let all: Vec<u64> = take(&mut ring, 2).iter().map(Cqe::user_data).collect();
        assert_eq!(all, [round, round + 100]);
    }
}

#[test]
fn submissions_of_both_sizes_share_a_queue_and_large_ones_never_wrap() {
    let Some(mut ring) = only(8, SetupFlags::SQE_MIXED) else { return };
    let raw = RawSqe { opcode: Opcode::NOP128.0, fd: -1, ..RawSqe::default() };
    for round in 0..50 {
        nop(&mut ring, round);
        // SAFETY: nops lend nothing.
        unsafe { ring.push128(Entry128::new(raw, [0; 64]).user_data(round + 100)) }.expect("room");
        let all: Vec<u64> = take(&mut ring, 2).iter().map(Cqe::user_data).collect();
        assert_eq!(all, [round, round + 100]);
    }
}

#[test]
fn the_flag_that_silences_the_eventfd_is_shown_and_taken_back() {
    for mut ring in everywhere(2, 2) {
        ring.signal_eventfd(false);
        assert_eq!(ring.cq_flags(), CqFlags::EVENTFD_DISABLED);
        ring.signal_eventfd(true);
        assert!(ring.cq_flags().is_empty());
    }
}

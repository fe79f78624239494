//! The queues from both sides at once.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::sys::abi::{CqeFlags, Opcode, RawCqe, SqeFlags};

fn sqe(user_data: u64) -> RawSqe {
    RawSqe { user_data, ..RawSqe::default() }
}

fn copied(queues: &mut Queues, room: usize) -> Vec<u64> {
    let mut out = vec![Cqe::default(); room];
    let count = queues.copy_cqes(&mut out);
    out[..count].iter().map(Cqe::user_data).collect()
}

#[test]
fn entries_travel_in_order_across_the_wrap_of_the_indices() {
    let mut queues = Queues::on_heap(4, 4, SetupFlags::empty()).expect("queues");
    queues.start_at(u32::MAX - 1);
    for round in 0..3u64 {
        for step in 0..4 {
            queues.push(&sqe(round * 4 + step)).expect("space");
        }
        assert_eq!(queues.push(&sqe(99)), Err(PushError::Full));
        assert_eq!(queues.publish(), 4);
        let mut side = queues.kernel_side();
        while let Some(sqe) = side.take_sqe() {
            assert!(side.post_cqe(RawCqe { user_data: sqe.user_data, ..RawCqe::default() }));
        }
        assert_eq!(copied(&mut queues, 8), (round * 4..round * 4 + 4).collect::<Vec<_>>());
    }
}

#[test]
fn an_entry_is_invisible_to_the_kernel_until_it_is_published() {
    let mut queues = Queues::on_heap(2, 2, SetupFlags::empty()).expect("queues");
    queues.push(&sqe(7)).expect("space");
    assert_eq!(queues.kernel_side().take_sqe(), None);
    assert_eq!(queues.publish(), 1);
    assert_eq!(queues.kernel_side().take_sqe().map(|sqe| sqe.user_data), Some(7));
    assert_eq!(queues.sq_pending(), 0);
}

#[test]
fn a_full_completion_queue_takes_no_more_until_it_is_consumed() {
    let mut queues = Queues::on_heap(2, 2, SetupFlags::empty()).expect("queues");
    let mut side = queues.kernel_side();
    let cqe = |user_data| RawCqe { user_data, ..RawCqe::default() };
    assert!(side.post_cqe(cqe(1)) && side.post_cqe(cqe(2)));
    assert!(!side.post_cqe(cqe(3)));
    assert_eq!(copied(&mut queues, 1), [1]);
    assert!(queues.kernel_side().post_cqe(cqe(3)));
    assert_eq!(copied(&mut queues, 8), [2, 3]);
}

#[test]
fn offsets_outside_the_memory_are_refused() {
    let memory = Memory::on_heap(64, 64).expect("memory");
    let params = Params { sq_entries: 1, cq_entries: 1, ..Params::default() };
    let error = Queues::new(memory, &params).expect_err("no room for entries");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn sizes_that_contradict_each_other_are_refused() {
    // All words lie at offset 0, where the mask of a queue of 8 would be 7.
    let memory = Memory::on_heap(1024, 2048).expect("memory");
    let params = Params { sq_entries: 8, cq_entries: 8, ..Params::default() };
    let error = Queues::new(memory, &params).expect_err("a mask of 0");
    assert!(error.to_string().contains("two sizes"), "{error}");
}

fn big(user_data: u64, extra: [u64; 2]) -> (RawCqe, [u64; 2]) {
    (RawCqe { user_data, ..RawCqe::default() }, extra)
}

fn copied_big(queues: &mut Queues, room: usize) -> Vec<(u64, [u64; 2])> {
    let mut out = vec![BigCqe::default(); room];
    let count = queues.copy_big_cqes(&mut out);
    out[..count].iter().map(|big| (big.cqe.user_data(), big.extra)).collect()
}

#[test]
fn completions_of_32_bytes_keep_both_halves_across_the_wrap() {
    let mut queues = Queues::on_heap(2, 4, SetupFlags::CQE32).expect("queues");
    queues.start_at(u32::MAX - 2);
    for round in 0..5 {
        for step in 0..3 {
            let (cqe, extra) = big(round, [step, !step]);
            assert!(queues.kernel_side().post_big_cqe(cqe, extra));
        }
        assert_eq!(queues.cq_ready(), 3);
        let expected: Vec<_> = (0..3).map(|step| (round, [step, !step])).collect();
        assert_eq!(copied_big(&mut queues, 8), expected);
    }
}

#[test]
fn a_large_completion_takes_two_places_and_never_wraps() {
    let mut queues = Queues::on_heap(2, 4, SetupFlags::CQE_MIXED).expect("queues");
    let small = |user_data| RawCqe { user_data, ..RawCqe::default() };
    assert!(queues.kernel_side().post_cqe(small(1)));
    let (cqe, extra) = big(2, [3, 4]);
    assert!(queues.kernel_side().post_big_cqe(cqe, extra));
    assert_eq!(queues.cq_ready(), 3);
    assert_eq!(copied_big(&mut queues, 8), [(1, [0, 0]), (2, [3, 4])]);
    // Now at the last place: a filler stands there, and is never handed out.
    let (cqe, extra) = big(5, [6, 7]);
    assert!(queues.kernel_side().post_big_cqe(cqe, extra));
    assert_eq!(queues.cq_ready(), 3);
    assert!(!queues.kernel_side().post_big_cqe(cqe, extra), "one place is not enough");
    assert_eq!(copied(&mut queues, 8), [5]);
    assert_eq!(queues.cq_ready(), 0);
}

#[test]
fn a_peek_leaves_completions_where_they_are() {
    let mut queues = Queues::on_heap(2, 4, SetupFlags::CQE_MIXED).expect("queues");
    let (cqe, extra) = big(1, [2, 3]);
    assert!(queues.kernel_side().post_big_cqe(cqe, extra));
    let mut out = [BigCqe::default(); 2];
    for _ in 0..2 {
        assert_eq!(queues.peek(&mut out), 1);
        assert_eq!((out[0].cqe.user_data(), out[0].extra), (1, [2, 3]));
    }
    assert_eq!(copied(&mut queues, 1), [1]);
    assert_eq!(queues.peek(&mut out), 0);
}

#[test]
fn a_large_mark_where_there_is_no_second_half_is_read_as_a_small_one() {
    let mut queues = Queues::on_heap(2, 2, SetupFlags::CQE_MIXED).expect("queues");
    queues.start_at(1);
    let hostile = RawCqe { user_data: 9, flags: CqeFlags::LARGE.bits(), ..RawCqe::default() };
    assert!(queues.kernel_side().post_cqe(hostile));
    assert_eq!(copied_big(&mut queues, 4), [(9, [0, 0])]);
    assert_eq!(queues.cq_ready(), 0);
}

#[test]
fn a_completion_tail_that_cannot_be_is_cut_to_the_queue() {
    let mut queues = Queues::on_heap(2, 2, SetupFlags::empty()).expect("queues");
    queues.cq.tail().store(1 << 30, Ordering::Relaxed);
    assert_eq!(queues.cq_ready(), 2);
    assert_eq!(copied(&mut queues, 8).len(), 2);
}

fn taken(queues: &mut Queues) -> Vec<u64> {
    let mut taken = Vec::new();
    queues.take_cqes(|cqe| taken.push(cqe.user_data()));
    taken
}

#[test]
fn completions_are_taken_one_by_one_in_order_across_the_wrap_and_no_more_than_fit() {
    let mut queues = Queues::on_heap(4, 4, SetupFlags::empty()).expect("queues");
    queues.start_at(u32::MAX - 1);
    let cqe = |user_data| RawCqe { user_data, ..RawCqe::default() };
    for round in 0..3u64 {
        let all: Vec<_> = (round * 4..round * 4 + 4).collect();
        let mut side = queues.kernel_side();
        assert!(all.iter().all(|user_data| side.post_cqe(cqe(*user_data))));
        assert_eq!(taken(&mut queues), all);
        assert_eq!((queues.cq_ready(), taken(&mut queues)), (0, vec![]));
    }
    queues.cq.tail().store(1 << 30, Ordering::Relaxed);
    assert_eq!(taken(&mut queues).len(), 4);
}

#[test]
fn a_panic_over_a_completion_loses_that_one_alone() {
    let mut queues = Queues::on_heap(4, 4, SetupFlags::empty()).expect("queues");
    for user_data in 0..3 {
        assert!(queues.kernel_side().post_cqe(RawCqe { user_data, ..RawCqe::default() }));
    }
    let taking = AssertUnwindSafe(|| queues.take_cqes(|cqe| assert_ne!(cqe.user_data(), 1)));
    assert!(catch_unwind(taking).is_err());
    assert_eq!(taken(&mut queues), [2]);
}

#[test]
fn of_completions_of_every_size_each_is_taken_once_and_no_filler_is() {
    for flags in [SetupFlags::CQE32, SetupFlags::CQE_MIXED] {
        let mut queues = Queues::on_heap(2, 4, flags).expect("queues");
        // In the mixed queue the second one finds a single place at the end, for a filler.
        queues.start_at(1);
        for user_data in [1, 2] {
            let (cqe, extra) = big(user_data, [8, 9]);
            assert!(queues.kernel_side().post_big_cqe(cqe, extra));
            assert_eq!(taken(&mut queues), [user_data], "{flags:?}");
        }
    }
    let mut queues = Queues::on_heap(2, 8, SetupFlags::CQE_MIXED).expect("queues");
    let small = |user_data| RawCqe { user_data, ..RawCqe::default() };
    let (cqe, extra) = big(2, [8, 9]);
    let mut side = queues.kernel_side();
    assert!(side.post_cqe(small(1)) && side.post_big_cqe(cqe, extra) && side.post_cqe(small(3)));
    assert_eq!(taken(&mut queues), [1, 2, 3]);
    // Completions of fillers, which a chain that fails brings: alone, first, between, last.
    let mut queues = Queues::on_heap(2, 8, SetupFlags::SQE_MIXED).expect("queues");
    let cases: [&[u64]; 3] = [&[0], &[0, 1, 0, 2], &[1, 0]];
    for case in cases {
        for &number in case {
            let user_data = if number == 0 { FILLER_USER_DATA } else { number };
            assert!(queues.kernel_side().post_cqe(RawCqe { user_data, ..RawCqe::default() }));
        }
        let expected: Vec<_> = case.iter().copied().filter(|number| *number > 0).collect();
        assert_eq!((taken(&mut queues), queues.cq_ready()), (expected, 0));
    }
}

fn sqe128(opcode: Opcode, user_data: u64, byte: u8) -> RawSqe128 {
    let first = RawSqe { opcode: opcode.0, user_data, ..RawSqe::default() };
    RawSqe128 { first, more: [byte; 64] }
}

#[test]
fn submissions_of_128_bytes_travel_whole_and_short_ones_with_zeros() {
    let mut queues = Queues::on_heap(2, 2, SetupFlags::SQE128).expect("queues");
    queues.start_at(u32::MAX);
    queues.push128(&sqe128(Opcode::URING_CMD, 1, 0xab)).expect("space");
    queues.push(&sqe(2)).expect("space");
    assert_eq!(queues.push128(&sqe128(Opcode::NOP, 3, 0)), Err(PushError::Full));
    queues.publish();
    let mut side = queues.kernel_side();
    assert_eq!(side.take_sqe128(), Some(sqe128(Opcode::URING_CMD, 1, 0xab)));
    assert_eq!(side.take_sqe128(), Some(RawSqe128 { first: sqe(2), more: [0; 64] }));
    assert_eq!(side.take_sqe128(), None);
}

#[test]
fn an_entry_of_two_places_is_kept_whole_by_a_filler_that_goes_on_with_the_chain() {
    let mut queues = Queues::on_heap(4, 4, SetupFlags::SQE_MIXED).expect("queues");
    queues.start_at(2);
    let linked = RawSqe { flags: SqeFlags::IO_LINK.bits(), ..sqe(1) };
    queues.push(&linked).expect("space");
    queues.push128(&sqe128(Opcode::NOP128, 2, 7)).expect("space");
    assert_eq!(queues.sq_space(), 0);
    assert_eq!(queues.publish(), 4);
    let mut side = queues.kernel_side();
    assert_eq!(side.take_sqe(), Some(linked));
    let filler = side.take_sqe().expect("a filler");
    let flags = SqeFlags::CQE_SKIP_SUCCESS | SqeFlags::IO_LINK;
    assert_eq!((filler.opcode, filler.flags), (Opcode::NOP.0, flags.bits()));
    assert_eq!(side.take_sqe128(), Some(sqe128(Opcode::NOP128, 2, 7)));
}

#[test]
fn a_filler_that_fails_with_its_chain_brings_no_completion() {
    let mut queues = Queues::on_heap(4, 4, SetupFlags::SQE_MIXED).expect("queues");
    queues.start_at(2);
    queues.push(&RawSqe { flags: SqeFlags::IO_LINK.bits(), ..sqe(1) }).expect("space");
    queues.push128(&sqe128(Opcode::NOP128, 2, 7)).expect("space");
    queues.publish();
    let mut side = queues.kernel_side();
    while let Some(sqe) = side.take_sqe() {
        let (user_data, res) = (sqe.user_data, -libc::ECANCELED);
        assert!(side.post_cqe(RawCqe { user_data, res, flags: 0 }));
    }
    assert_eq!(queues.cq_ready(), 3);
    assert_eq!(copied(&mut queues, 8), [1, 2]);
    assert_eq!(queues.cq_ready(), 0);
}

#[test]
fn an_entry_of_two_places_finds_room_in_a_queue_of_two_at_any_index() {
    let mut queues = Queues::on_heap(2, 2, SetupFlags::SQE_MIXED).expect("queues");
    queues.start_at(1);
    let entry = sqe128(Opcode::NOP128, 1, 1);
    assert_eq!(queues.push128(&entry), Err(PushError::Full));
    queues.publish();
    assert!(queues.kernel_side().take_sqe().is_some(), "the filler");
    assert_eq!(queues.push128(&entry), Ok(()));
}

#[test]
fn an_entry_of_the_wrong_size_is_refused() {
    let mut plain = Queues::on_heap(4, 4, SetupFlags::empty()).expect("queues");
    assert_eq!(plain.push128(&sqe128(Opcode::NOP128, 1, 0)), Err(PushError::Size));
    let mut mixed = Queues::on_heap(4, 4, SetupFlags::SQE_MIXED).expect("queues");
    assert_eq!(mixed.push(&sqe128(Opcode::NOP128, 1, 0).first), Err(PushError::Size));
    assert_eq!(mixed.push128(&sqe128(Opcode::NOP, 1, 0)), Err(PushError::Size));
}

#[test]
fn all_entries_of_a_group_are_pushed_or_none() {
    let mut queues = Queues::on_heap(4, 4, SetupFlags::empty()).expect("queues");
    queues.push(&sqe(1)).expect("space");
    assert_eq!(queues.push_all(4, (2..6).map(sqe)), Err(PushError::Full));
    assert_eq!(queues.push_all(5, (2..7).map(sqe)), Err(PushError::TooLong));
    assert_eq!(queues.sq_pending(), 1);
    assert_eq!(queues.push_all(3, (2..5).map(sqe)), Ok(()));
    assert_eq!(queues.sq_space(), 0);
}

//! Rings of every kind, and requests for rings that cannot be.
#![cfg(not(miri))]

use std::alloc::{Layout, alloc, dealloc};
use std::ptr::NonNull;
use std::time::Duration;

use runtime_tests::rings::{errno, everywhere, made, made_in, nop, only, or_skipped, take, taken};
use runtime_tests::{descriptors, skipped};
use uring::ring::{
    Capabilities, EnterFlags, Opcode, RegisterOp, RingMemory, Setup, SetupError, SetupFlags, Step,
};
use uring::sim::Sim;

const NONE: SetupFlags = SetupFlags::empty();

fn refused(setup: &Setup) -> SetupError {
    let error = setup.build().expect_err("a ring that cannot be");
    assert_eq!(error.step(), Step::Setup);
    error
}

#[test]
fn sizes_are_rounded_up_to_powers_of_two_and_completions_are_twice_the_submissions() {
    for (asked, got) in [(1, 1), (3, 4), (8, 8), (17, 32)] {
        let Some(ring) = only(asked, NONE) else { return };
        assert_eq!(ring.sizes(), (got, 2 * got));
        let simulated = Setup::new(asked).build_on(Sim::new(1).kernel()).expect("a ring");
        assert_eq!(simulated.sizes(), (got, 2 * got));
    }
}

#[test]
fn no_entries_are_refused_whether_or_not_sizes_are_cut() {
    for setup in [Setup::new(0), Setup::new(0).only(NONE), Setup::new(0).only(SetupFlags::CLAMP)] {
        let error = refused(&setup);
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        assert!(error.to_string().contains("at least 1"), "{error}");
    }
    let error = Setup::new(0).build_on(Sim::new(1).kernel()).expect_err("no entries");
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
}

#[test]
fn too_many_entries_are_refused_unless_they_are_to_be_cut() {
    let error = refused(&Setup::new((1 << 15) + 1).only(NONE));
    assert!(error.advice().contains("32,768"), "{error}");
    let Some(ring) = only(u32::MAX, SetupFlags::CLAMP) else { return };
    assert_eq!(ring.sizes(), (1 << 15, 1 << 16));
}

#[test]
fn the_completion_queue_has_its_own_size_of_at_least_the_submissions() {
    for (asked, got) in [(8, 8), (7, 8), (9, 16), (64, 64)] {
        let Some(ring) = made(&Setup::new(8).cq_entries(asked).only(NONE)) else { return };
        assert_eq!(ring.sizes(), (8, got));
    }
    for (asked, why) in [(0, "at least 1"), (4, "smaller"), ((1 << 16) + 1, "65,536")] {
        let error = refused(&Setup::new(8).cq_entries(asked).only(NONE));
        assert!(error.advice().contains(why), "{error}");
    }
    let clamped = Setup::new(8).cq_entries(u32::MAX).only(SetupFlags::CLAMP);
    assert_eq!(made(&clamped).map(|ring| ring.sizes()), Some((8, 1 << 16)));
}

#[test]
fn flags_that_contradict_each_other_are_named() {
    use SetupFlags as F;
    let contradictions = [
        (F::SQ_AFF, F::SQ_AFF),
        (F::HYBRID_IOPOLL, F::HYBRID_IOPOLL),
        (F::TASKRUN_FLAG, F::TASKRUN_FLAG),
        (F::DEFER_TASKRUN, F::DEFER_TASKRUN),
        (F::REGISTERED_FD_ONLY, F::REGISTERED_FD_ONLY),
        (F::SQPOLL | F::COOP_TASKRUN, F::COOP_TASKRUN),
        (F::SQPOLL | F::SINGLE_ISSUER | F::DEFER_TASKRUN, F::DEFER_TASKRUN),
        (F::CQE32 | F::CQE_MIXED, F::CQE32),
        (F::SQE128 | F::SQE_MIXED, F::SQE128),
        (F::SQ_REWIND | F::NO_SQARRAY, F::SQ_REWIND),
        (F::NO_MMAP, F::NO_MMAP),
    ];
    for (flags, culprit) in contradictions {
        let error = refused(&Setup::new(8).only(flags));
        assert_eq!((error.raw_os_error(), error.refused()), (Some(libc::EINVAL), culprit));
        let name = format!("{culprit:?}");
        let name = name.trim_start_matches("SetupFlags(").trim_end_matches(')');
        assert!(error.advice().contains(name), "no {name} in: {error}");
    }
}

#[test]
fn flags_that_this_kernel_does_not_know_are_named() {
    let unknown = SetupFlags::from_bits_retain(1 << 30);
    for setup in [Setup::new(8).only(unknown), Setup::new(8).require(unknown)] {
        let error = refused(&setup);
        assert_eq!(error.refused(), unknown);
        assert!(error.advice().contains("does not know"), "{error}");
    }
}

#[test]
fn a_queue_of_mixed_sizes_needs_two_places() {
    if made(&Setup::new(2).only(SetupFlags::CQE_MIXED)).is_none() {
        return;
    }
    let error = refused(&Setup::new(1).cq_entries(1).only(SetupFlags::CQE_MIXED));
    assert_eq!(error.raw_os_error(), Some(libc::EOVERFLOW));
    assert!(error.advice().contains("at least 2"), "{error}");
}

#[test]
fn a_ring_of_every_shape_and_mode_completes_what_it_is_given() {
    use SetupFlags as F;
    let deferred = F::SINGLE_ISSUER | F::DEFER_TASKRUN | F::TASKRUN_FLAG;
    let modes = [NONE, F::NO_SQARRAY, F::COOP_TASKRUN, deferred, F::SQPOLL, F::IOPOLL];
    for mode in modes {
        for sq in [NONE, F::SQE128, F::SQE_MIXED] {
            for cq in [NONE, F::CQE32, F::CQE_MIXED] {
                let Some(mut ring) = only(4, mode | sq | cq) else { continue };
                for round in 0..5 {
                    for index in 0..4 {
                        nop(&mut ring, round * 4 + index);
                    }
                    let seen: Vec<u64> = take(&mut ring, 4).iter().map(|c| c.user_data()).collect();
                    assert_eq!(seen, (round * 4..round * 4 + 4).collect::<Vec<_>>(), "{mode:?}");
                }
            }
        }
    }
}

#[test]
fn queues_of_every_size_can_be_filled_and_emptied() {
    for power in 0..=15 {
        // The simulated kernel looks at all that is in flight again and again.
        let rings = match power {
            0..=6 => everywhere(1 << power, 1 << power),
            _ => Vec::from_iter(made(&Setup::new(1 << power).cq_entries(1 << power))),
        };
        for mut ring in rings {
            for index in 0..1 << power {
                nop(&mut ring, index);
            }
            assert_eq!(ring.space_left(), 0);
            assert_eq!(take(&mut ring, 1 << power).len(), 1 << power);
            assert_eq!((ring.lost(), ring.dropped()), (0, 0));
        }
    }
}

#[test]
fn a_disabled_ring_takes_nothing_yet() {
    let Some(mut ring) = only(4, SetupFlags::R_DISABLED) else { return };
    nop(&mut ring, 1);
    assert_eq!(errno(ring.submit()), libc::EBADFD);
    assert_eq!(ring.queued(), 1, "what was not taken stays queued");
}

#[test]
fn several_rings_lie_in_one_memory_that_lives_until_the_last_is_gone() {
    let setup = Setup::new(8).cq_entries(32);
    let memory = RingMemory::new(2 * setup.memory_bytes()).expect("memory");
    let Some(mut one) = made_in(&setup, &memory) else { return };
    let mut two = setup.build_in(&memory).expect("room for a second");
    assert_eq!(memory.used_bytes(), memory.len_bytes());
    let error = setup.build_in(&memory).expect_err("no room for a third");
    assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
    assert!(error.advice().contains("0 are free"), "{error}");
    drop(memory);
    for ring in [&mut one, &mut two] {
        for index in 0..40 {
            nop(ring, index);
            assert_eq!(take(ring, 1)[0].user_data(), index);
        }
    }
    drop(one);
    nop(&mut two, 7);
    assert_eq!(take(&mut two, 1)[0].user_data(), 7);
}

#[test]
fn a_ring_of_every_size_and_shape_fits_the_memory_that_was_computed_for_it() {
    use SetupFlags as F;
    for power in 0..=12 {
        for shape in [NONE, F::SQE128, F::CQE32, F::SQE128 | F::CQE32 | F::NO_SQARRAY, F::CQE_MIXED]
        {
            let setup = Setup::new(1 << power).only(shape);
            let memory = RingMemory::new(setup.memory_bytes()).expect("memory");
            let Some(mut ring) = made_in(&setup, &memory) else { continue };
            nop(&mut ring, 1);
            assert_eq!(take(&mut ring, 1)[0].user_data(), 1);
        }
    }
}

#[test]
fn a_ring_in_a_huge_page_works_as_any_other() {
    let memory = match RingMemory::huge(1) {
        Ok(memory) => memory,
        Err(error) => return skipped(format!("there are no huge pages: {error}")),
    };
    let Some(mut ring) = made_in(&Setup::new(4096), &memory) else { return };
    nop(&mut ring, 3);
    assert_eq!(take(&mut ring, 1)[0].user_data(), 3);
}

#[test]
fn no_byte_behind_the_memory_of_a_ring_is_touched() {
    const GUARD: u8 = 0xa5;
    let setup = Setup::new(16);
    let (needed, page) = (setup.memory_bytes(), 4096);
    let layout = Layout::from_size_align(needed + page, page).expect("a layout");
    // SAFETY: the size is not zero.
    let start = NonNull::new(unsafe { alloc(layout) }).expect("memory");
    // SAFETY: the allocation is as large as its layout.
    unsafe {
        start.write_bytes(0, needed);
        start.add(needed).write_bytes(GUARD, page);
    }
    let memory = NonNull::slice_from_raw_parts(start, needed);
    // SAFETY: zeroed memory, which is leaked below, and no child is forked here.
    match or_skipped(unsafe { setup.build_in_foreign(memory) }) {
        Some((mut ring, used)) => {
            assert!(used <= needed);
            for round in 0..100 {
                nop(&mut ring, round);
                assert_eq!(take(&mut ring, 1)[0].user_data(), round);
            }
            drop(ring);
            // SAFETY: the guard was written above.
            let guard = unsafe { std::slice::from_raw_parts(start.as_ptr().add(needed), page) };
            assert!(guard.iter().all(|byte| *byte == GUARD));
        }
        // SAFETY: allocated above with this layout, and no ring was made of it.
        None => unsafe { dealloc(start.as_ptr(), layout) },
    }
}

#[test]
fn memory_that_does_not_start_with_a_page_is_refused() {
    let memory = RingMemory::new(1 << 16).expect("memory");
    let mut bytes = vec![0_u8; 1 << 16];
    let odd = NonNull::from(&mut bytes[1..]);
    let odd = if odd.cast::<u8>().addr().get() % 4096 == 0 {
        NonNull::from(&mut bytes[2..])
    } else {
        odd
    };
    // SAFETY: it is refused before anything is made of it.
    let error = unsafe { Setup::new(8).build_in_foreign(odd) }.expect_err("an odd address");
    assert!(error.advice().contains("start with a page"), "{error}");
    assert_eq!(memory.used_bytes(), 0);
    assert_eq!(errno(RingMemory::new(0).map(|_| ())), libc::EINVAL);
}

#[test]
fn a_ring_without_a_descriptor_is_used_by_its_index_and_given_back() {
    let setup = Setup::new(8).require(SetupFlags::REGISTERED_FD_ONLY);
    // More often than the table of a thread has places, so that each must have been given back.
    for _ in 0..40 {
        let memory = RingMemory::new(setup.memory_bytes()).expect("memory");
        let before = descriptors();
        let Some(mut ring) = made_in(&setup, &memory) else { return };
        assert!(ring.fd().is_none() && ring.registered());
        assert!(descriptors() <= before + 8, "other tests open some at the same time");
        nop(&mut ring, 5);
        assert_eq!(take(&mut ring, 1)[0].user_data(), 5);
        assert!(ring.supports(Opcode::NOP), "register calls go by the index, too");
        assert_eq!(errno(Setup::new(8).attach(&ring)), libc::EBADF);
    }
}

#[test]
fn workers_are_shared_with_a_ring_and_with_nothing_else() {
    let Some(first) = only(8, NONE) else { return };
    let attached = Setup::new(8).only(NONE).attach(&first).expect("a descriptor");
    let mut second = attached.build().expect("a second ring");
    nop(&mut second, 1);
    drop(first);
    assert_eq!(take(&mut second, 1)[0].user_data(), 1);
    // A submission thread is shared with a ring that has one.
    let Some(first) = only(8, NONE) else { return };
    let polled = Setup::new(8).only(NONE).sqpoll(Duration::from_millis(1));
    let error = refused(&polled.attach(&first).expect("a descriptor"));
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    let simulated = Setup::new(8).build_on(Sim::new(1).kernel()).expect("a ring");
    assert_eq!(errno(Setup::new(8).attach(&simulated)), libc::EBADF);
}

#[test]
fn a_kernel_in_user_space_has_no_flags_that_mean_something_to_linux_alone() {
    let setup = Setup::new(8).sqpoll(Duration::from_millis(1));
    let error = setup.build_on(Sim::new(1).kernel()).expect_err("no submission thread");
    assert_eq!(error.refused(), SetupFlags::SQPOLL);
}

#[test]
fn what_the_kernel_says_of_itself_is_what_trying_finds() {
    let said = Capabilities::of_kernel().expect("capabilities");
    if !said.asked() {
        return skipped("Linux here cannot be asked (6.18)");
    }
    let tried = Capabilities::by_trial().expect("capabilities");
    assert_eq!(said.features(), tried.features());
    assert_eq!(said.setup_flags() & SetupFlags::all(), tried.setup_flags());
    assert_eq!(said.enter_flags() & EnterFlags::all(), tried.enter_flags());
    assert_eq!(said.sqe_flags(), tried.sqe_flags());
    for opcode in Opcode::ALL {
        assert_eq!(said.supports(*opcode), tried.supports(*opcode), "{opcode:?}");
    }
    for call in RegisterOp::ALL {
        assert_eq!(said.registers(*call), tried.registers(*call), "{call:?}");
    }
}

#[test]
fn a_report_names_every_operation_and_every_register_call() {
    let text = Capabilities::of_kernel().expect("capabilities").to_string();
    for name in Opcode::ALL.iter().filter_map(|opcode| opcode.name()) {
        assert!(text.contains(name), "{name}");
    }
    for name in RegisterOp::ALL.iter().filter_map(|call| call.name()) {
        assert!(text.contains(name), "{name}");
    }
}

#[test]
fn a_new_ring_is_empty_and_asks_for_nothing() {
    for mut ring in everywhere(4, 8) {
        assert_eq!((ring.queued(), ring.space_left(), ring.ready()), (0, 4, 0));
        assert!(!ring.overflowed() && ring.cq_flags().is_empty());
        assert_eq!(ring.submit().expect("nothing to do"), 0);
        assert_eq!(ring.enters(), 0, "nothing to submit costs no system call");
        assert!(taken(&mut ring).is_empty());
    }
}

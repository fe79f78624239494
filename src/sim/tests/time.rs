//! Order, time, waiting, overflow, interrupts, deadlocks.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::ring::{Enter, Interrupt, Kernel, KernelSide, Opcode, RawSqe};

fn nop<'a>(user_data: u64) -> Sqe<'a> {
    Sqe::nop().user_data(user_data)
}

#[test]
fn a_nop_completes_with_zero() {
    let (sim, mut ring) = machine(1);
    assert_eq!(complete_all(&mut ring, vec![nop(7)]), [(7, 0)]);
    assert_eq!(sim.in_flight(), 0);
    assert!(sim.enters() > 0);
}

#[test]
fn an_unknown_opcode_is_answered_with_einval() {
    let (_sim, mut ring) = machine(1);
    assert!(ring.supports(Opcode::NOP) && !ring.supports(Opcode(200)));
    // SAFETY: an unknown opcode uses no memory.
    let sqe = unsafe { Sqe::raw(RawSqe { opcode: 200, ..RawSqe::default() }) };
    assert_eq!(complete(&mut ring, sqe), -libc::EINVAL);
}

#[test]
fn every_seed_completes_everything_once_and_most_in_an_order_of_their_own() {
    let mut orders = BTreeSet::new();
    for seed in 0..8 {
        let (sim, mut ring) = machine(seed);
        let done = complete_all(&mut ring, (0..6).map(nop).collect());
        assert_eq!(done.iter().copied().collect::<BTreeSet<_>>().len(), 6);
        assert_eq!(sim.in_flight(), 0);
        orders.insert(done);
    }
    assert!(orders.len() > 4, "{orders:?}");
}

#[test]
fn not_all_that_can_complete_does_at_once_and_the_rest_is_announced() {
    let mut announced = 0;
    for seed in seeds(8) {
        let (_sim, mut ring) = machine(seed);
        for user_data in 0..6 {
            // SAFETY: a nop lends nothing.
            unsafe { ring.push(nop(user_data).into_raw()) }.expect("space");
        }
        ring.submit_and_wait(0, None).expect("enter");
        announced += usize::from(ring.needs_enter());
        // Those that take their time are announced only when it has come.
        let mut done = settle(&mut ring).len();
        if done < 6 {
            done += wait_for(&mut ring, 6 - done).len();
        }
        assert_eq!(done, 6);
        assert!(!ring.needs_enter());
    }
    assert!(announced > 0);
}

fn play(seed: u64) -> (u64, Duration) {
    let (sim, mut ring) = machine(seed);
    let (client, server) = connection(&sim, &mut ring);
    let mut room = Vec::with_capacity(5);
    complete_all(
        &mut ring,
        vec![
            Sqe::recv(target(server), room.spare_capacity_mut(), 0).user_data(1),
            Sqe::send(target(client), b"hello", 0).user_data(2),
            nop(3),
            nop(4),
        ],
    );
    (sim.trace_hash(), sim.elapsed())
}

#[test]
fn the_same_seed_is_the_same_run_and_another_is_another() {
    assert_eq!(play(3), play(3));
    assert_ne!(play(3), play(4));
}

#[test]
fn completions_that_do_not_fit_are_kept_in_order_and_flushed_later() {
    let sim = Sim::new(5);
    let mut ring = Setup::new(4).cq_entries(4).build_on(sim.kernel()).expect("a ring");
    let mut pushed = 0;
    while pushed < 16 {
        // SAFETY: a nop lends nothing.
        if unsafe { ring.push(nop(pushed).into_raw()) }.is_ok() {
            pushed += 1;
        } else {
            ring.submit_and_wait(4, None).expect("enter");
        }
    }
    // More than fits: the rest can only overflow.
    while sim.in_flight() > 0 || ring.queued() > 0 {
        ring.submit_and_wait(4, None).expect("enter");
    }
    assert!(ring.overflowed());
    assert_eq!(ring.ready(), 4);
    let done = wait_for(&mut ring, 16);
    assert!(!ring.overflowed());
    assert_eq!(ring.lost(), 0);
    assert_eq!(done.into_iter().collect::<BTreeSet<_>>().len(), 16);
}

#[test]
fn a_wait_for_nothing_ends_at_its_limit_in_virtual_time() {
    let (sim, mut ring) = machine(1);
    let hour = Duration::from_secs(3600);
    let before = ring.now();
    assert_eq!(ring.submit_and_wait(1, Some(hour)).expect("enter"), 0);
    let passed = ring.now() - before;
    assert!(passed >= hour && passed < hour + Duration::from_micros(10), "{passed:?}");
    assert_eq!(sim.now(), ring.now());
}

/// Notes what `enter` returns.
#[derive(Debug)]
struct Spy {
    kernel: Box<dyn Kernel>,
    #[expect(clippy::type_complexity, reason = "results as they come")]
    results: Rc<RefCell<Vec<Result<u32, Option<i32>>>>>,
}

// SAFETY: all is done by the simulation.
unsafe impl Kernel for Spy {
    fn enter(&mut self, side: &mut KernelSide<'_>, request: Enter) -> io::Result<u32> {
        let result = self.kernel.enter(side, request);
        let noted =
            result.as_ref().map_or_else(|error| Err(error.raw_os_error()), |count| Ok(*count));
        self.results.borrow_mut().push(noted);
        result
    }

    fn supports(&self, opcode: Opcode) -> bool {
        self.kernel.supports(opcode)
    }

    fn now(&self) -> Instant {
        self.kernel.now()
    }

    fn interrupt(&self) -> Arc<dyn Interrupt> {
        self.kernel.interrupt()
    }
}

#[test]
fn running_out_of_time_is_etime_only_if_nothing_was_taken_and_nothing_is_there() {
    let sim = Sim::new(1);
    let results = Rc::new(RefCell::new(Vec::new()));
    let spy = Spy { kernel: sim.kernel(), results: Rc::clone(&results) };
    let mut ring = Setup::new(4).build_on(Box::new(spy)).expect("a ring");
    let limit = Some(Duration::from_secs(1));
    ring.submit_and_wait(1, limit).expect("nothing taken, nothing there");
    // SAFETY: a nop lends nothing.
    unsafe { ring.push(nop(1).into_raw()) }.expect("space");
    ring.submit_and_wait(2, limit).expect("one taken");
    ring.submit_and_wait(2, limit).expect("one there");
    assert_eq!(*results.borrow(), [Err(Some(libc::ETIME)), Ok(1), Ok(0)]);
}

#[test]
fn advance_lets_time_pass() {
    let (sim, ring) = machine(1);
    let before = sim.now();
    sim.advance(Duration::from_secs(5));
    assert_eq!(ring.now() - before, Duration::from_secs(5));
}

#[test]
fn reading_the_clock_takes_time() {
    let (sim, ring) = machine(1);
    let before = ring.now();
    assert!(ring.now() > before && sim.enters() == 0);
}

#[test]
fn an_interrupt_before_the_wait_ends_it_at_once() {
    let (sim, mut ring) = machine(1);
    let interrupt = ring.interrupt().expect("not Linux");
    interrupt.interrupt();
    assert_eq!(ring.submit_and_wait(1, None).expect("enter"), 0);
    assert_eq!(ring.ready(), 0);
    assert!(sim.elapsed() < Duration::from_millis(1));
}

#[test]
fn an_interrupt_from_a_thread_ends_a_wait_that_nothing_else_can_end() {
    let (sim, mut ring) = machine(1);
    let (reader, _writer) = sim.pipe();
    // SAFETY: a poll lends nothing.
    unsafe { ring.push(Sqe::poll(target(reader), libc::POLLIN as u32).into_raw()) }.expect("space");
    let interrupt = ring.interrupt().expect("not Linux");
    let thread = std::thread::spawn(move || interrupt.interrupt());
    assert_eq!(ring.submit_and_wait(1, None).expect("enter"), 1);
    thread.join().expect("thread");
    assert_eq!((ring.ready(), sim.in_flight()), (0, 1));
}

#[test]
fn a_deadlock_panics_with_what_is_in_flight() {
    let (sim, mut ring) = machine(1);
    sim.deadlock_limit(Duration::from_millis(1));
    let (reader, _writer) = sim.pipe();
    let mut room = Vec::with_capacity(8);
    let recv = Sqe::read(target(reader), room.spare_capacity_mut(), None).user_data(0xabc).link();
    // SAFETY: `room` outlives the ring's last use, and nothing touches it before.
    unsafe {
        ring.push(recv.into_raw()).expect("space");
        ring.push(nop(0xdef).into_raw()).expect("space");
    }
    let panic = catch_unwind(AssertUnwindSafe(|| ring.submit_and_wait(1, None)));
    let panic = panic.expect_err("a deadlock");
    let text = panic.downcast_ref::<String>().expect("a message");
    assert!(text.contains("READ on fd") && text.contains("user_data 0xabc"), "{text}");
    assert!(text.contains("NOP on fd -1, user_data 0xdef (not started)"), "{text}");
    drop(ring);
    assert_eq!(sim.in_flight(), 0);
}

#[test]
fn two_rings_share_one_world() {
    let sim = Sim::new(9);
    let mut one = Setup::new(4).build_on(sim.kernel()).expect("a ring");
    let mut two = Setup::new(4).build_on(sim.kernel()).expect("a ring");
    let (reader, writer) = sim.pipe();
    assert_eq!(write(&mut one, writer, b"over", None), 4);
    assert_eq!(read(&mut two, reader, 8, None), Ok(b"over".to_vec()));
}

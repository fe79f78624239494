//! One `io_uring_enter(2)`: take submissions, let time pass, hand completions over.

use std::io;
use std::time::Duration;

use super::faults::Fault;
use super::requests::Requests;
use super::world::World;
use crate::ring::{Enter, KernelSide};
use crate::sys::abi::SqFlags;

/// So many completions one `enter` hands over at most, if no more are asked for: as Linux does with
/// `IORING_SETUP_DEFER_TASKRUN`.
const MAX_BATCH: usize = 20;
/// The longest virtual time that an `enter` takes.
const MAX_ENTER_NANOS: u64 = 1000;
/// The longest virtual time that an `enter` takes which neither submits, waits nor brings anything: a program that
/// is busy with nothing else is not alone on its machine.
const MAX_IDLE_NANOS: u64 = 1_000_000;
/// The clock leaps by less than 2 to the power of so many milliseconds.
const JUMP_BITS: u64 = 14;

/// How an `enter` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With as many completions as were wanted, or early.
    Done,
    TimedOut,
    /// By a signal.
    Interrupted,
    /// It is to wait without a limit, and nothing can complete.
    Stuck,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entered {
    pub(super) taken: u32,
    pub(super) end: End,
}

pub(super) fn enter(
    world: &mut World,
    requests: &mut Requests,
    side: &mut KernelSide<'_>,
    request: Enter,
    interrupted: bool,
) -> io::Result<Entered> {
    world.enters += 1;
    let nanos = 1 + world.random.up_to(MAX_ENTER_NANOS - 1);
    world.advance(Duration::from_nanos(nanos));
    if world.strikes(Fault::ClockJump) {
        let millis = world.faults.of_any_size(JUMP_BITS);
        world.advance(Duration::from_millis(millis));
    }
    let entered = match refusal(world, requests, side, request) {
        Some(errno) => Err(errno),
        None => attempt(world, requests, side, request, interrupted),
    };
    idle(world, requests, side, request);
    requests.announced = requests.can_complete(world);
    if requests.announced {
        world.note_fault(Fault::Deferred);
    }
    // Also when only time is missing: a program that is busy enters for nothing else, and time passes by
    // entering.
    side.show_flags(SqFlags::TASKRUN, requests.can_complete_in_time(world));
    side.show_flags(SqFlags::CQ_OVERFLOW, requests.overflowed());
    let entered = entered.and_then(|entered| match entered.end {
        // Errors of the wait are told only where there is nothing else to tell.
        _ if entered.taken > 0 || side.cq_ready() > 0 => Ok(entered),
        End::TimedOut => Err(libc::ETIME),
        End::Interrupted => Err(libc::EINTR),
        End::Done | End::Stuck => Ok(entered),
    });
    note(world, request, entered.map_or_else(|errno| -errno, |entered| entered.taken as i32));
    entered.map_err(io::Error::from_raw_os_error)
}

/// Lets more time pass the longer a program has been idle, up to where something can complete.
fn idle(world: &mut World, requests: &mut Requests, side: &KernelSide<'_>, request: Enter) {
    if request.submit > 0 || request.want > 0 || side.cq_ready() > 0 {
        requests.idle_enters = 0;
        return;
    }
    let Some(next) = requests.next_deadline(world) else { return };
    let nanos = MAX_IDLE_NANOS.min(1 << requests.idle_enters.min(63));
    requests.idle_enters += 1;
    world.advance(next.saturating_sub(world.now()).min(Duration::from_nanos(nanos)));
}

fn note(world: &mut World, request: Enter, result: i32) {
    let now = world.now();
    let Enter { submit, want, events, limit } = request;
    let asked = u64::from(submit) | u64::from(want) << 32;
    world.trace.add([now.as_nanos() as u64, asked, u64::from(events), result as u64], || {
        let limit = limit.map_or(String::new(), |limit| format!(" for {limit:?}"));
        format!("{now:?} enter: submit {submit}, want {want}{limit} -> {result}")
    });
}

/// Why nothing is taken, if so.
fn refusal(
    world: &mut World,
    requests: &mut Requests,
    side: &mut KernelSide<'_>,
    request: Enter,
) -> Option<i32> {
    if request.submit == 0 {
        return None;
    }
    if requests.overflowed() && world.strikes(Fault::EnterBusy) {
        // Linux before 5.19 flushes first, and refuses only if not all of it found room.
        requests.flush_but_one(side);
        return Some(libc::EBUSY);
    }
    world.strikes(Fault::EnterAgain).then_some(libc::EAGAIN)
}

fn attempt(
    world: &mut World,
    requests: &mut Requests,
    side: &mut KernelSide<'_>,
    request: Enter,
    interrupted: bool,
) -> Result<Entered, i32> {
    let deadline = request.limit.map(|limit| world.now().saturating_add(limit));
    let first_new = requests.next_id();
    if request.submit > 1 && world.strikes(Fault::PartialSubmission) {
        // Linux returns at once then: it neither waits nor runs what was deferred.
        let count = 1 + world.faults.random.up_to(u64::from(request.submit) - 2) as u32;
        let taken = requests.submit(world, side, count);
        run_batch(world, requests, side, first_new, 0);
        return Ok(Entered { taken, end: End::Done });
    }
    let taken = requests.submit(world, side, request.submit);
    let waits = request.want > 0;
    let wanted = request.want.min(side.cq_ready() + side.cq_space());
    // Without events only what is being submitted can complete, as deferred work is not run then.
    let from = if request.events || waits { 0 } else { first_new };
    if from == 0 {
        requests.flush(side);
    }
    if waits && side.cq_ready() < wanted && world.strikes(Fault::EnterInterrupted) {
        if taken > 0 {
            run_batch(world, requests, side, first_new, 0);
        }
        return Ok(Entered { taken, end: End::Interrupted });
    }
    let end = loop {
        let missing = wanted.saturating_sub(side.cq_ready()) as usize;
        // Who waits gets something, and so does who was told that something is there.
        let told = request.events && requests.announced;
        run_batch(world, requests, side, from, missing.max(usize::from(waits || told)));
        if waits && side.cq_ready() < wanted {
            // What overflows during a wait is flushed by it.
            requests.flush(side);
        }
        if !waits || interrupted || side.cq_ready() >= wanted {
            break End::Done;
        }
        // Nothing can complete now, so time passes.
        let until = match (requests.next_deadline(world), deadline) {
            (Some(next), limit) if limit.is_none_or(|limit| next <= limit) => next,
            (_, Some(limit)) => {
                world.advance(limit.saturating_sub(world.now()));
                break End::TimedOut;
            }
            (_, None) => break End::Stuck,
        };
        world.advance(until.saturating_sub(world.now()));
    };
    Ok(Entered { taken, end })
}

/// Posts some of what can complete: a seeded number, but `at_least` so many if there are.
fn run_batch(
    world: &mut World,
    requests: &mut Requests,
    side: &mut KernelSide<'_>,
    from: u64,
    at_least: usize,
) {
    let choices = requests.completable(world, from);
    let most = choices.len().min(MAX_BATCH).max(at_least);
    let goal = at_least + world.random.up_to((most - at_least) as u64) as usize;
    requests.run(world, side, from, choices, goal);
}

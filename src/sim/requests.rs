//! The requests of one ring: taking them in, links, drains, cancels, and the seeded choice of what
//! completes next.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use super::faults::{self, Fault};
use super::memory::{self, Taken};
use super::op::{Op, Timer};
use super::registered::RingNumber;
use super::request::{Outcome, Request};
use super::world::World;
use crate::ring::{KernelSide, RawCqe};
use crate::sys::abi::{CqeFlags, Opcode, SqeFlags};

mod choices;
mod timeouts;

/// The longest time that a request takes for no other reason than to come after a later one.
const MAX_DELAY_NANOS: u64 = 20_000;
/// Among the numbers of requests: the oldest message for the ring.
const MESSAGE: u64 = u64::MAX;
/// A stalled request takes less than 2 to the power of so many microseconds.
const STALL_BITS: u64 = 20;
const LINKS: SqeFlags = SqeFlags::IO_LINK.union(SqeFlags::IO_HARDLINK);

#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Whose they are.
    ring: RingNumber,
    /// Requests that were started, by the order in which they were.
    active: BTreeMap<u64, Active>,
    /// Chains that a drain holds back.
    held: VecDeque<Chain>,
    /// Completions that the queue had no room for.
    overflow: VecDeque<RawCqe>,
    next_id: u64,
    /// Completions so far, but for those of timeouts.
    posted: u64,
    unfinished: usize,
    /// Once a submission hid its success, drains are refused for good, as on Linux.
    skip_used: bool,
    /// Whether the ring shows that more could complete.
    pub(super) announced: bool,
    /// How many times in a row the kernel was entered for nothing.
    pub(super) idle_enters: u32,
}

/// Submissions that start one after the other.
#[derive(Debug, Default)]
struct Chain {
    links: VecDeque<(Taken, Result<Op, i32>)>,
    drains: bool,
}

#[derive(Debug)]
struct Active {
    request: Request,
    rest: Chain,
    /// The link timeout that limits its time.
    guard: Option<u64>,
    /// Posts no completion at all: a request that hid its success failed before it in the chain.
    silent: bool,
}

impl Requests {
    /// Those of a new ring: none.
    pub(super) fn of(ring: RingNumber) -> Requests {
        Requests { ring, ..Requests::default() }
    }

    /// Requests that have not finished.
    pub(super) fn unfinished(&self) -> usize {
        self.unfinished
    }

    pub(super) fn overflowed(&self) -> bool {
        !self.overflow.is_empty()
    }

    /// The number that the next request to start will have.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Takes up to `count` submissions; returns how many there were.
    pub(super) fn submit(
        &mut self,
        world: &mut World,
        side: &mut KernelSide<'_>,
        count: u32,
    ) -> u32 {
        let mut taken_count = 0;
        let mut chain = Chain::default();
        while taken_count < count {
            let Some(taken) = memory::take(side) else { break };
            taken_count += 1;
            self.unfinished += 1;
            world.in_flight += 1;
            let flags = SqeFlags::from_bits_retain(taken.sqe().flags);
            let mut op = Op::parse(&taken);
            note_submission(world, &taken, &op);
            let before = chain.links.back().map(|(before, _)| before);
            if is_link_timeout(&taken) && before.is_none_or(is_link_timeout) {
                op = Err(libc::EINVAL);
            }
            if flags.contains(SqeFlags::IO_DRAIN) {
                chain.drains = true;
                if self.skip_used && op.is_ok() {
                    op = Err(libc::EOPNOTSUPP);
                }
            }
            self.skip_used |= flags.contains(SqeFlags::CQE_SKIP_SUCCESS);
            chain.links.push_back((taken, op));
            if !flags.intersects(LINKS) {
                self.admit(world, std::mem::take(&mut chain));
            }
        }
        // A chain ends with the call that submits it.
        self.admit(world, chain);
        taken_count
    }

    /// Starts a chain, or holds it back behind a drain. One bad submission fails its whole chain.
    fn admit(&mut self, world: &mut World, mut chain: Chain) {
        if chain.links.iter().any(|(_, op)| op.is_err()) {
            for (taken, op) in std::mem::take(&mut chain.links) {
                let (op, errno) = match op {
                    Ok(op) => (op, libc::ECANCELED),
                    Err(errno) => (Op::Nop, errno),
                };
                let request = Request::settled(taken, op, self.ring, Some(-errno));
                self.activate(world, request, Chain::default(), false);
            }
            return;
        }
        if !chain.links.is_empty() {
            self.held.push_back(chain);
            self.release(world);
        }
    }

    /// Starts the chains that no drain holds back any longer.
    fn release(&mut self, world: &mut World) {
        while let Some(chain) = self.held.front() {
            let held = if chain.drains {
                !self.active.is_empty()
            } else {
                self.active.values().any(|active| active.rest.drains)
            };
            if held {
                return;
            }
            if let Some(chain) = self.held.pop_front() {
                self.start(world, chain);
            }
        }
    }

    /// Starts the first request of a chain.
    fn start(&mut self, world: &mut World, mut chain: Chain) {
        let Some((taken, Ok(op))) = chain.links.pop_front() else { return };
        let guard = match chain.links.front() {
            Some((_, Ok(Op::LinkTimeout { .. }))) => chain.links.pop_front(),
            _ => None,
        };
        let mut request = Request::start(taken, op, self.ring, world);
        if !request.is_settled() {
            match *request.op() {
                // Linux does these while it takes them: what is submitted later sees their effect.
                Op::Close { slot: 0 } => {
                    let result = close(world, request.sqe().fd);
                    request.settle(result);
                }
                Op::Close { slot } => {
                    let closed = world.registered(self.ring).and_then(|ring| ring.close(slot));
                    request.settle(closed.map_or_else(|errno| -errno, |()| 0));
                }
                Op::Message(message) => {
                    let sent = request.send_message(message, world);
                    request.settle(sent.unwrap_or_else(|errno| -errno));
                }
                Op::TimeoutRemove { user_data, update } => {
                    request.settle(self.change_timeout(world, user_data, update));
                }
                Op::Timeout(Timer { completions, .. }) if completions > 0 => {
                    request.until_posted = Some(self.posted + completions);
                }
                Op::Cancel { user_data } => request.settle(self.cancel(world, user_data)),
                _ => {}
            }
        }
        let id = self.activate(world, request, chain, false);
        if let Some((taken, Ok(op))) = guard {
            self.guard(world, id, taken, op);
        }
    }

    fn activate(
        &mut self,
        world: &mut World,
        mut request: Request,
        rest: Chain,
        silent: bool,
    ) -> u64 {
        if world.random.one_in(4) {
            let nanos = world.random.up_to(MAX_DELAY_NANOS);
            request.not_before = world.now() + Duration::from_nanos(nanos);
        }
        if world.strikes(Fault::Stall) {
            let micros = world.faults.of_any_size(STALL_BITS);
            request.not_before = world.now() + Duration::from_micros(micros);
        }
        self.active.insert(self.next_id, Active { request, rest, guard: None, silent });
        self.next_id += 1;
        self.next_id - 1
    }

    /// `IORING_OP_ASYNC_CANCEL`: the result of the cancel. It comes too late by chance for a request that
    /// could complete, which it then does.
    fn cancel(&mut self, world: &mut World, user_data: u64) -> i32 {
        let mut found = self.active.iter().filter(|(_, active)| {
            active.request.sqe().user_data == user_data
                && !matches!(active.request.op(), Op::Cancel { .. })
                && active.request.notice.is_none()
        });
        let Some((&id, _)) = found.next() else { return -libc::ENOENT };
        self.cancel_one(world, id)
    }

    /// Cancels one request; returns the result of what cancels it.
    fn cancel_one(&mut self, world: &mut World, id: u64) -> i32 {
        let Some(active) = self.active.get(&id) else { return -libc::ENOENT };
        let too_late = if world.random.one_in(2) { -libc::ENOENT } else { -libc::EALREADY };
        if active.request.is_settled() {
            return too_late;
        }
        if world.strikes(Fault::FailedCancel) {
            return too_late;
        }
        let completes = !active.request.op().is_multishot()
            && self.completable(world, 0).contains(&id)
            && (world.random.one_in(3) || world.faults.draws(Fault::LateCancel));
        let Some(active) = self.active.get_mut(&id) else { return -libc::ENOENT };
        if completes {
            world.note_fault(Fault::LateCancel);
            if let Outcome::Done(result) = active.request.go_on(world) {
                active.request.settle(result);
                return too_late;
            }
        }
        if active.request.runs_on_a_worker() && world.strikes(Fault::LateCancel) {
            // The worker got a signal, and the operation says so.
            active.request.settle(-libc::EINTR);
            return -libc::EALREADY;
        }
        active.request.settle(-libc::ECANCELED);
        0
    }

    /// Completes requests numbered `from` and above in seeded order, until `goal` completions were posted
    /// or nothing more can complete. `choices` are those that could when it is called.
    pub(super) fn run(
        &mut self,
        world: &mut World,
        side: &mut KernelSide<'_>,
        from: u64,
        mut choices: Vec<u64>,
        goal: usize,
    ) {
        let mut posted = 0;
        while posted < goal {
            // What one completion changes for others is seen when the choices are used up, or at once for
            // the one that is chosen.
            if choices.is_empty() {
                choices = self.completable(world, from);
                if choices.is_empty() {
                    break;
                }
            }
            let chosen = world.random.up_to(choices.len() as u64 - 1) as usize;
            let id = choices.swap_remove(chosen);
            posted += usize::from(self.complete(world, side, id));
        }
    }

    /// Lets one request go on; returns whether a completion was posted.
    fn complete(&mut self, world: &mut World, side: &mut KernelSide<'_>, id: u64) -> bool {
        if id == MESSAGE {
            let message = world.take_message(self.ring);
            message.into_iter().for_each(|cqe| self.post(world, side, cqe));
            self.posted += u64::from(message.is_some());
            return message.is_some();
        }
        let Some(active) = self.active.get_mut(&id) else { return false };
        if !active.request.is_ready(world) {
            return false;
        }
        if let (Op::LinkTimeout { guarded, .. }, false) =
            (active.request.op(), active.request.is_settled())
        {
            let guarded = *guarded;
            let result = self.time_out(world, guarded);
            return self.finish(world, side, id, result);
        }
        match active.request.go_on_or_fail(world) {
            Outcome::Done(result) => self.finish(world, side, id, result),
            Outcome::Shot(result) if world.strikes(Fault::MultishotEnd) => {
                self.finish(world, side, id, result)
            }
            Outcome::Shot(result) => {
                let user_data = active.request.sqe().user_data;
                let flags = (active.request.say() | CqeFlags::MORE).bits();
                let is_timeout = matches!(active.request.op(), Op::Timeout(_));
                self.posted += u64::from(!is_timeout);
                self.post(world, side, RawCqe { user_data, res: result, flags });
                true
            }
            Outcome::Progress | Outcome::Blocked => false,
        }
    }

    fn finish(
        &mut self,
        world: &mut World,
        side: &mut KernelSide<'_>,
        id: u64,
        result: i32,
    ) -> bool {
        let Some(Active { mut request, mut rest, guard, silent }) = self.active.remove(&id) else {
            return false;
        };
        self.dismiss(guard);
        let flags = SqeFlags::from_bits_retain(request.sqe().flags);
        let user_data = request.sqe().user_data;
        let is_timeout = matches!(request.op(), Op::Timeout(_));
        if result == -libc::ENOBUFS && request.selects().is_some() {
            world.note_fault(Fault::NoBuffers);
        }
        let failed = request.has_failed(result);
        let hides = flags.contains(SqeFlags::CQE_SKIP_SUCCESS);
        let mut said = request.say();
        if !silent && request.lends_on(world) {
            said |= CqeFlags::MORE;
            self.active.insert(id, Active { request, rest: Chain::default(), guard: None, silent });
        } else {
            // The right to use lent memory ends here, before anybody can learn of the completion.
            drop(request);
            self.unfinished -= 1;
            world.in_flight -= 1;
        }
        let posts = !silent && (failed || !hides);
        if posts {
            self.post(world, side, RawCqe { user_data, res: result, flags: said.bits() });
            self.posted += u64::from(!is_timeout);
        }
        if failed && !flags.contains(SqeFlags::IO_HARDLINK) {
            for (taken, op) in std::mem::take(&mut rest.links) {
                let op = op.unwrap_or(Op::Nop);
                let request = Request::settled(taken, op, self.ring, Some(-libc::ECANCELED));
                // What follows a failed request that was to hide its success is silent, else not even
                // what was to be hidden is: io_uring_enter(2), IOSQE_CQE_SKIP_SUCCESS.
                let drains = rest.drains;
                let rest = Chain { links: VecDeque::new(), drains };
                self.activate(world, request, rest, hides);
            }
        } else {
            self.start(world, rest);
        }
        self.release(world);
        posts
    }

    /// Posts a completion, or keeps it until there is room.
    fn post(&mut self, world: &mut World, side: &mut KernelSide<'_>, cqe: RawCqe) {
        let plain = world.plain(cqe.res);
        let result = if plain < 0 { cqe.res } else { plain };
        let now = world.now();
        let RawCqe { user_data, flags, .. } = cqe;
        world
            .trace
            .add([now.as_nanos() as u64, user_data, result as u64, u64::from(flags)], || {
                format!("{now:?} complete: {user_data:#x} -> {result}, flags {flags:#x}")
            });
        let full = !self.overflow.is_empty() || world.strikes(Fault::Overflow);
        if full || !side.post_cqe(cqe) {
            self.overflow.push_back(cqe);
        }
    }

    /// Posts what had no room before, oldest first.
    pub(super) fn flush(&mut self, side: &mut KernelSide<'_>) {
        self.flush_all_but(0, side);
    }

    /// As [`Requests::flush`], as far as the last but one.
    pub(super) fn flush_but_one(&mut self, side: &mut KernelSide<'_>) {
        self.flush_all_but(1, side);
    }

    fn flush_all_but(&mut self, kept: usize, side: &mut KernelSide<'_>) {
        while let Some(&cqe) = self.overflow.front() {
            if self.overflow.len() <= kept || !side.post_cqe(cqe) {
                return;
            }
            self.overflow.pop_front();
        }
    }

    /// What is in flight, in words.
    pub(super) fn report(&self, world: &World) -> String {
        let mut out = String::new();
        let held = self.held.iter().flat_map(|chain| &chain.links);
        let linked = self.active.values().flat_map(|active| &active.rest.links);
        let waiting = held.chain(linked).map(|(taken, _)| (taken.sqe(), " (not started)"));
        for (sqe, note) in
            self.active.values().map(|active| (active.request.sqe(), "")).chain(waiting)
        {
            let name = Opcode(sqe.opcode).name().unwrap_or("unknown opcode");
            let fd = match world.plain(sqe.fd) {
                -1 => format!("fd {}", sqe.fd),
                plain => format!("fd {} (number {plain} of the simulation)", sqe.fd),
            };
            // Writing to a string cannot fail.
            let _ = write!(out, "\n  {name} on {fd}, user_data {:#x}{note}", sqe.user_data);
        }
        out
    }
}

/// Gives a descriptor up; an error that comes of writing late is told, and changes nothing, close(2).
fn close(world: &mut World, number: i32) -> i32 {
    let on_disk = world.file(number).is_ok_and(|file| faults::closes_with_errors(&file));
    match world.close(number) {
        Ok(()) if on_disk && world.strikes(Fault::Errno) => -libc::EIO,
        Ok(()) => 0,
        Err(errno) => -errno,
    }
}

fn is_link_timeout(taken: &Taken) -> bool {
    Opcode(taken.sqe().opcode) == Opcode::LINK_TIMEOUT
}

/// Adds a submission to the trace: all that is the same in every run, so no address.
fn note_submission(world: &mut World, taken: &Taken, op: &Result<Op, i32>) {
    let sqe = taken.sqe();
    let now = world.now();
    let plain = world.plain(sqe.fd);
    let fd = if plain < 0 { sqe.fd } else { plain };
    let head = u64::from(sqe.opcode) | u64::from(sqe.flags) << 8 | u64::from(sqe.ioprio) << 16;
    let (first, second) = match op {
        Ok(Op::Cancel { user_data }) => (*user_data, 0),
        Ok(Op::Fallocate { offset, len_bytes, .. }) => (*offset, *len_bytes),
        Ok(Op::Message(message)) => (message.user_data, message.result as u64),
        Ok(Op::Truncate { len_bytes }) => (*len_bytes, 0),
        Ok(Op::Read { offset, .. } | Op::Write { offset }) => (offset.unwrap_or(u64::MAX), 0),
        _ => (0, 0),
    };
    let (len, flags, user_data) = (sqe.len, sqe.op_flags, sqe.user_data);
    let (time, rest) = (now.as_nanos() as u64, u64::from(len) | u64::from(flags) << 32);
    world.trace.add([time, head, fd as u64, rest, user_data, first, second], || {
        let name = Opcode(sqe.opcode).name().unwrap_or("unknown opcode");
        format!("{now:?} submit: {name} on {fd}, {len} bytes, {first:#x} as {user_data:#x}")
    });
}

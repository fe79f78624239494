//! Messages to other rings: completions, and registered files.

use std::os::fd::{AsRawFd, RawFd};

use uring::ring::{Cqe, FileChange, Install, Opcode, RawSqe, Ring, Setup, Slot, Sqe};

use super::Step;
use super::machine::{Machine, borrow};

const SENT: u64 = 1;
/// Where the names of messages begin.
const MESSAGES: u64 = 100;

pub(crate) fn play(machine: &mut Machine, step: Step) -> String {
    let Step { kind, a, b, c, n } = step;
    match kind % 12 {
        0 => {
            machine.pair(b);
            format!("pair {}", b % 3)
        }
        1 | 8 => {
            let at = u32::from(b) % 4;
            let a = machine.open(a);
            let fd = machine.fd(a);
            let change = if c % 8 == 0 { FileChange::Clear } else { FileChange::Put(borrow(fd)) };
            let done = machine.files.update(at, &[change]).map_err(|e| e.raw_os_error());
            format!("register {} as {at}: {done:?}", a % 6)
        }
        2 | 3 => {
            let flags = if c % 2 == 0 { None } else { Some(u32::from(c & 0xfe)) };
            let (user_data, result) = (MESSAGES + u64::from(b), i32::from(n as i16));
            // SAFETY: no request has a name like this.
            let data = unsafe { Sqe::msg_ring(target(machine, a), user_data, result, flags) };
            format!("data {} {b} {result} {flags:?}: {}", a % 8, sent(machine, data))
        }
        4..=6 => {
            let from = machine.files.slot(u32::from(b) % 4).expect("there are four");
            let install = to_slot(machine, c);
            let user_data = (n % 4 > 0).then_some(MESSAGES + u64::from(n));
            // SAFETY: as above; the slot is of the other ring.
            let file = unsafe { Sqe::msg_ring_fd(target(machine, a), from, install, user_data) };
            format!("file {} {} {c} {user_data:?}: {}", a % 8, b % 4, sent(machine, file))
        }
        7 => {
            let slot = their_slot(machine, a);
            let done = sent_by_other(machine, Sqe::close_slot(slot));
            format!("close theirs {}: {done}", a % 4)
        }
        _ => odd(machine, step),
    }
}

/// Messages that no constructor makes.
fn odd(machine: &mut Machine, Step { a, b, c, .. }: Step) -> String {
    let fd = number(machine, a);
    let plain = RawSqe { opcode: Opcode::MSG_RING.0, fd, off: MESSAGES, ..RawSqe::default() };
    let raw = match b % 9 {
        0 => RawSqe { op_flags: 1, ..plain },
        1 => RawSqe { op_flags: 1 << (2 + c % 30), ..plain },
        2 => RawSqe { splice_fd: 1, ..plain },
        3 => RawSqe { addr3: 1, ..plain },
        4 => RawSqe { buf: 1, ..plain },
        5 => RawSqe { ioprio: 1, ..plain },
        6 => RawSqe { addr: 2 + u64::from(c), ..plain },
        // A file, and a result beside it.
        7 => RawSqe { addr: 1, len: 1, splice_fd: u32::MAX, ..plain },
        _ => RawSqe { addr: 1, splice_fd: u32::from(c % 8), ..plain },
    };
    // SAFETY: a message lends nothing, and no request has this name.
    let sqe = unsafe { Sqe::raw(raw) };
    format!("odd {} {} {c}: {}", a % 8, b % 9, sent(machine, sqe))
}

fn target<'a>(machine: &Machine, which: u8) -> uring::ring::Target<'a> {
    borrow(number(machine, which)).into()
}

/// A ring as a rule, sometimes something else.
fn number(machine: &Machine, which: u8) -> RawFd {
    let of = |ring: &Ring| ring.fd().expect("a descriptor").as_raw_fd();
    match which % 8 {
        0..=3 => of(&machine.other.ring),
        4 | 5 => of(&machine.ring),
        _ => machine.fd(which / 8),
    }
}

fn their_slot(machine: &Machine, which: u8) -> Slot {
    machine.other.files.slot(u32::from(which) % 4).expect("there are four")
}

fn to_slot(machine: &Machine, which: u8) -> Install {
    if which % 2 == 0 { Install::Any } else { Install::Slot(their_slot(machine, which / 2)) }
}

/// Sends a message; its result, and what both rings got.
fn sent(machine: &mut Machine, sqe: Sqe<'_>) -> String {
    // SAFETY: a message lends nothing.
    unsafe { machine.ring.push(sqe.user_data(SENT)) }.expect("space");
    let (mut own, mut theirs) = (Vec::new(), Vec::new());
    // A file reaches a ring whose owner runs what was deferred, and only then has been sent.
    while !own.iter().any(|cqe: &Cqe| cqe.user_data() == SENT) {
        settle(&mut machine.ring, &mut own);
        settle(&mut machine.other.ring, &mut theirs);
    }
    settle(&mut machine.ring, &mut own);
    settle(&mut machine.other.ring, &mut theirs);
    // Which of both comes first is the choice of either kernel.
    own.sort_by_key(Cqe::user_data);
    format!("{} and {}", words(&own), words(&theirs))
}

/// As [`sent`], of a request of the other ring.
fn sent_by_other(machine: &mut Machine, sqe: Sqe<'_>) -> String {
    // SAFETY: it lends nothing.
    unsafe { machine.other.ring.push(sqe.user_data(SENT)) }.expect("space");
    let mut theirs = Vec::new();
    while theirs.is_empty() {
        settle(&mut machine.other.ring, &mut theirs);
    }
    words(&theirs)
}

/// Gathers what is there, or can be without a wait.
fn settle(ring: &mut Ring, out: &mut Vec<Cqe>) {
    loop {
        ring.submit_and_wait(0, None).expect("enter");
        out.extend(ring.drain().map(|completion| completion.cqe));
        if !ring.needs_enter() {
            return;
        }
    }
}

fn words(cqes: &[Cqe]) -> String {
    let word = |cqe: &Cqe| {
        let (name, result) = (cqe.user_data(), cqe.raw_result());
        format!("{name} -> {result} {:?} {:?}", cqe.flags(), cqe.buffer_id())
    };
    format!("[{}]", cqes.iter().map(word).collect::<Vec<_>>().join(", "))
}

/// A second ring with a table of files.
pub(crate) struct Other {
    pub(crate) ring: Ring,
    files: uring::ring::Files,
}

impl Other {
    pub(crate) fn new(sim: Option<&uring::sim::Sim>) -> Other {
        let setup = Setup::new(8);
        let ring = match sim {
            Some(sim) => setup.build_on(sim.kernel()),
            None => setup.build(),
        };
        let ring = ring.expect("a second ring");
        let files = ring.register_files_sparse(4).expect("a table");
        Other { ring, files }
    }
}

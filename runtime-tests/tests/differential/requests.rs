//! Slots of registered files, chains, drains and timeouts.

use uring::ring::{Install, InstallFdFlags, Slot, Sqe, Target, TimeoutFlags, abi::Timespec};

use super::Step;
use super::machine::{Machine, filled, room};

const SOON: Timespec = Timespec { sec: 0, nsec: 1_000_000 };
const LATE: Timespec = Timespec { sec: 1000, nsec: 0 };
const BAD: Timespec = Timespec { sec: -1, nsec: 0 };
const PLAIN: TimeoutFlags = TimeoutFlags::empty();

fn slot(machine: &Machine, which: u8) -> Slot {
    machine.files.slot(u32::from(which) % 4).expect("there are four")
}

fn install(machine: &Machine, which: u8) -> Install {
    if which % 3 == 0 { Install::Any } else { Install::Slot(slot(machine, which)) }
}

pub(crate) fn play(machine: &mut Machine, step: Step) -> String {
    let Step { kind, a, b, c, n } = step;
    match kind % 12 {
        0 | 1 => {
            let path = if a % 4 == 0 { c"none/f" } else { c"f" };
            let (flags, to) = (libc::O_RDWR | libc::O_CREAT, install(machine, b));
            let done = machine.run(Sqe::open_at_direct(machine.root(), path, flags, 0o600, to));
            format!("open direct {path:?} {b}: {}", done.words())
        }
        2 => {
            let to = install(machine, b);
            let kind = [libc::SOCK_STREAM, 77][usize::from(a) % 2];
            let done = machine.run(Sqe::socket_direct(libc::AF_INET, kind, 0, to));
            format!("socket direct {kind} {b}: {}", done.words())
        }
        3 => {
            let done = machine.run(Sqe::close_slot(slot(machine, a)));
            format!("close slot {}: {}", a % 4, done.words())
        }
        4 => {
            let bytes = vec![b; usize::from(n) % 50];
            let target = Target::from(slot(machine, a));
            let done = machine.run(Sqe::write(target, &bytes, Some(u64::from(c))));
            format!("write slot {} {} {c}: {}", a % 4, bytes.len(), done.words())
        }
        5 => {
            let (len, target) = (usize::from(n) % 80, Target::from(slot(machine, a)));
            let mut to = room(len);
            let sqe = Sqe::read(target, &mut to.spare_capacity_mut()[..len], Some(u64::from(c)));
            let done = machine.run(sqe);
            let bytes = filled(to, done.result());
            format!("read slot {} {len} {c}: {} {bytes:?}", a % 4, done.words())
        }
        6 => {
            let install = Sqe::fixed_fd_install(slot(machine, a), InstallFdFlags::empty());
            let done = machine.run(install);
            format!("install {}: {}", a % 4, machine.opened(&done))
        }
        7 => {
            let (start, end) = (u32::from(a % 5), u32::from(b % 6));
            let set = machine.files.set_allocation_range(start..end);
            let errno = set.err().and_then(|error| error.raw_os_error());
            format!("range {start}..{end}: {errno:?}")
        }
        8 => {
            let time = [&SOON, &BAD][usize::from(a) % 2];
            let flags = [PLAIN, TimeoutFlags::ABS, TimeoutFlags::ETIME_SUCCESS];
            let done = machine.run(Sqe::timeout(time, flags[usize::from(b) % 3]));
            format!("timeout {} {}: {}", a % 2, b % 3, done.words())
        }
        9 => {
            let count = u32::from(b % 3) + 1;
            let mut all = vec![Sqe::timeout_or_completions(&LATE, count, PLAIN)];
            all.extend((0..count).map(|_| Sqe::nop()));
            format!("count {count}: {:?}", machine.run_all(all))
        }
        _ => chain(machine, step),
    }
}

/// Three links, of which some may fail.
fn chain(machine: &mut Machine, Step { a, b, c, n, .. }: Step) -> String {
    let link = |which: u8| match which % 7 {
        0 => Sqe::fsync(machine.target(99), false),
        1 => Sqe::timeout(&SOON, PLAIN),
        2 => Sqe::timeout(&SOON, TimeoutFlags::ETIME_SUCCESS),
        3 => Sqe::link_timeout(&LATE, PLAIN),
        4 => Sqe::timeout_remove(77),
        5 => Sqe::cancel(88),
        _ => Sqe::nop(),
    };
    let tie = |sqe: Sqe<'static>, bits: u16| match bits % 4 {
        0 => sqe,
        1 | 2 => sqe.link(),
        _ => sqe.hardlink(),
    };
    let all = vec![tie(link(a), n), tie(link(b), n >> 2), tie(link(c), n >> 4), Sqe::nop()];
    let ties = [n % 4, n >> 2 & 3, n >> 4 & 3];
    format!("chain {:?} {ties:?}: {:?}", [a % 7, b % 7, c % 7], machine.run_all(all))
}

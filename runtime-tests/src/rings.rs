//! What the tests of bare rings share.

use std::io;
use std::rc::Rc;

use uring::ring::{
    BigCqe, BufRing, BufRingSetup, Capabilities, Cqe, Entry, Features, NopFlags, RawSqe,
    RegisterOp, Ring, RingMemory, Setup, SetupError, SetupFlags, Sqe,
};
use uring::sim::Sim;

use crate::alarm::{end_of, uninterrupted};
use crate::skipped;

/// A plain ring of Linux, without anything that the ladder adds; `None`, with the reason said, where there is
/// no Linux or it does not know the flags.
pub fn only(entries: u32, flags: SetupFlags) -> Option<Ring> {
    made(&Setup::new(entries).only(flags))
}

/// A ring of Linux that is to be made where the kernel has what it asks for.
///
/// # Panics
///
/// When it cannot be made though the kernel knows all its flags.
pub fn made(setup: &Setup) -> Option<Ring> {
    crate::alarm::as_asked();
    if cfg!(miri) {
        skipped("Miri has no io_uring");
        return None;
    }
    or_skipped(setup.build())
}

/// As [`made`], in memory of the test's own.
///
/// # Panics
///
/// As [`made`].
pub fn made_in(setup: &Setup, memory: &Rc<RingMemory>) -> Option<Ring> {
    if cfg!(miri) {
        skipped("Miri has no io_uring");
        return None;
    }
    or_skipped(setup.build_in(memory))
}

/// What was made; `None`, with the reason said, where Linux is too old for it.
///
/// # Panics
///
/// When it cannot be made though Linux is new enough.
pub fn or_skipped<T>(made: Result<T, SetupError>) -> Option<T> {
    match made {
        Ok(made) => Some(made),
        // A kernel that can be asked what it knows is newer than the other reason.
        Err(error)
            if error.advice().contains("does not know")
                || error.advice().contains("before Linux 6.14") && !kernel().asked() =>
        {
            skipped(error.advice());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// A group of provided buffers; `None`, with the reason said, where Linux has no rings of buffers of that kind.
///
/// # Panics
///
/// When it cannot be made though Linux has all kinds.
pub fn group(ring: &Ring, setup: &BufRingSetup) -> Option<BufRing> {
    match setup.build(ring) {
        Ok(group) => Some(group),
        // What tells of them came after all kinds of them, in Linux 6.8.
        Err(error)
            if error.raw_os_error() == Some(libc::EINVAL)
                && !kernel().registers(RegisterOp::REGISTER_PBUF_STATUS) =>
        {
            skipped("Linux here lacks rings of buffers of this kind (5.19, in its memory 6.4)");
            None
        }
        Err(error) => panic!("no group: {error}"),
    }
}

/// Rings of `entries` that are no different to a program: on Linux if it is there, and simulated.
pub fn everywhere(entries: u32, cq_entries: u32) -> Vec<Ring> {
    let setup = Setup::new(entries).cq_entries(cq_entries);
    let mut rings = vec![setup.build_on(Sim::new(1).kernel()).expect("a simulated ring")];
    rings.extend(made(&setup));
    rings
}

/// Whether Linux has these features; says so if not.
pub fn has(ring: &Ring, features: Features) -> bool {
    let has = ring.report().features().contains(features);
    if !has {
        skipped(format!("Linux here lacks {features:?}"));
    }
    has
}

/// What Linux here can do.
pub fn kernel() -> Capabilities {
    Capabilities::of_kernel().expect("what the kernel can do")
}

/// Pushes a nop.
pub fn nop(ring: &mut Ring, user_data: u64) {
    // SAFETY: a nop lends nothing.
    unsafe { ring.push(Sqe::nop().user_data(user_data)) }.expect("room for a nop");
}

/// A nop whose result is `result`, on Linux 6.10.
pub fn nop_with(result: i32, flags: NopFlags, user_data: u64) -> Entry {
    let flags = flags | NopFlags::INJECT_RESULT;
    let raw = RawSqe {
        fd: -1,
        len: result as u32,
        op_flags: flags.bits(),
        user_data,
        off: user_data + 100,
        addr: user_data + 200,
        ..RawSqe::default()
    };
    Entry::from(raw)
}

/// Takes all completions that are there, and says what they carry.
pub fn taken(ring: &mut Ring) -> Vec<u64> {
    ring.drain().map(|big| big.cqe.user_data()).collect()
}

/// Submits and waits until so many completions were taken.
pub fn take(ring: &mut Ring, count: usize) -> Vec<Cqe> {
    take_big(ring, count).into_iter().map(Cqe::from).collect()
}

/// As [`take`], with the second halves.
pub fn take_big(ring: &mut Ring, count: usize) -> Vec<BigCqe> {
    let mut all = Vec::new();
    while all.len() < count {
        let missing = (count - all.len()) as u32;
        // Only one at a time: a place of a filler counts as a completion.
        uninterrupted(|| ring.submit_and_wait(missing.min(1), None)).expect("a wait");
        all.extend(ring.drain());
    }
    all
}

/// The errno of a call that must fail.
pub fn errno<T>(result: io::Result<T>) -> i32 {
    match result {
        Ok(_) => 0,
        Err(error) => error.raw_os_error().unwrap_or(-1),
    }
}

/// Runs `test` in a forked child; whether it returned true there.
///
/// `test` allocates little and takes no lock that another thread may hold (glibc makes its allocator usable in
/// children). The child leaves without running destructors.
pub fn in_a_child(test: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child calls `test` alone, under the terms above, and leaves by _exit(2).
    unsafe {
        match libc::fork() {
            0 => libc::_exit(if test() { 0 } else { 1 }),
            child => end_of(child) == 0,
        }
    }
}

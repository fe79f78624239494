//! What the tests of bare rings share.

use std::io;

use uring::ring::{
    BigCqe, Capabilities, Cqe, Entry, Features, NopFlags, RawSqe, Ring, Setup, SetupFlags, Sqe,
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
    match setup.build() {
        Ok(ring) => Some(ring),
        Err(error) if error.advice().contains("does not know") => {
            skipped(error.advice());
            None
        }
        Err(error) => panic!("{error}"),
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

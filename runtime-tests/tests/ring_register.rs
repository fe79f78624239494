//! Every register call on Linux: what it does, what it refuses with which errno, and that what a value has
//! registered is given back at its drop.

#[path = "ring_register/blind.rs"]
mod blind;
#[path = "ring_register/buffers.rs"]
mod buffers;
#[path = "ring_register/cancel.rs"]
mod cancel;
#[path = "ring_register/clones.rs"]
mod clones;
#[path = "ring_register/eventfd.rs"]
mod eventfd;
#[path = "ring_register/files.rs"]
mod files;
#[path = "ring_register/odd_rings.rs"]
mod odd_rings;
#[path = "ring_register/personality.rs"]
mod personality;
#[path = "ring_register/query_chain.rs"]
mod query_chain;
#[path = "ring_register/region.rs"]
mod region;
#[path = "ring_register/restrictions.rs"]
mod restrictions;
#[path = "ring_register/settings.rs"]
mod settings;

use std::fmt::Debug;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use runtime_tests::skipped;
use uring::ring::{
    Capabilities, Cqe, Opcode, RawSqe, RegisterOp, Ring, Setup, SetupFlags, SqeFlags,
};

/// A ring for a test; none under Miri, which has no io_uring.
fn ring() -> Option<Ring> {
    if cfg!(miri) {
        skipped("Miri has no io_uring");
        return None;
    }
    Some(Setup::new(8).build().expect("a ring"))
}

/// A ring that is not enabled yet.
fn disabled_ring() -> Option<Ring> {
    if cfg!(miri) {
        skipped("Miri has no io_uring");
        return None;
    }
    Some(Setup::new(8).require(SetupFlags::R_DISABLED).build().expect("a disabled ring"))
}

/// Whether Linux here has a register call; says so if not.
fn has(op: RegisterOp) -> bool {
    if cfg!(miri) {
        skipped("Miri has no io_uring");
        return false;
    }
    let has = Capabilities::of_kernel().expect("an io_uring").registers(op);
    if !has {
        skipped(format!("Linux here lacks {op:?}"));
    }
    has
}

/// The errno of a failure.
fn errno<T: Debug>(result: io::Result<T>) -> i32 {
    result.expect_err("it was to fail").raw_os_error().expect("an errno")
}

/// Pushes and submits.
fn submit(ring: &mut Ring, sqe: RawSqe) {
    // SAFETY: what these tests lend outlives the request: they wait for its completion, or end its ring.
    unsafe { ring.push(sqe) }.expect("room");
    ring.submit().expect("submitted");
}

/// The next completion, waited for.
fn next(ring: &mut Ring) -> Cqe {
    ring.submit_and_wait(1, None).expect("a completion");
    let mut cqe = [Cqe::default()];
    assert_eq!(ring.copy_cqes(&mut cqe), 1);
    cqe[0]
}

/// The result of a request: what the kernel says of it alone.
fn run(ring: &mut Ring, sqe: RawSqe) -> i32 {
    submit(ring, sqe);
    next(ring).raw_result()
}

/// All completions that are there.
fn completions(ring: &mut Ring) -> Vec<(u64, i32)> {
    ring.submit_and_wait(0, None).expect("entered");
    let mut cqes = [Cqe::default(); 16];
    let count = ring.copy_cqes(&mut cqes);
    cqes[..count].iter().map(|cqe| (cqe.user_data(), cqe.raw_result())).collect()
}

/// Whether Linux here is 6.13, where each file and buffer of a table got a life of its own; says what it does
/// instead if not.
fn has_lives_of_their_own(instead: &str) -> bool {
    let has =
        Capabilities::of_kernel().expect("an io_uring").registers(RegisterOp::REGISTER_MEM_REGION);
    if !has {
        skipped(format!("before Linux 6.13 {instead}"));
    }
    has
}

/// The next completions, so many, waited for: before Linux 6.13 a tag comes when the kernel has time for it.
fn next_sorted(ring: &mut Ring, count: u32) -> Vec<(u64, i32)> {
    ring.submit_and_wait(count, None).expect("completions");
    let mut came = completions(ring);
    came.sort_unstable();
    came
}

fn nop() -> RawSqe {
    RawSqe { opcode: Opcode::NOP.0, fd: -1, ..RawSqe::default() }
}

/// A poll for reading.
fn poll(fd: &impl AsRawFd, user_data: u64) -> RawSqe {
    RawSqe {
        opcode: Opcode::POLL_ADD.0,
        fd: fd.as_raw_fd(),
        op_flags: libc::POLLIN as u32,
        user_data,
        ..RawSqe::default()
    }
}

/// A read of one byte through a slot.
fn read_slot(ring: &mut Ring, slot: u32) -> i32 {
    let mut byte = [0u8; 1];
    run(
        ring,
        RawSqe {
            opcode: Opcode::READ.0,
            flags: SqeFlags::FIXED_FILE.bits(),
            fd: slot as i32,
            addr: byte.as_mut_ptr().expose_provenance() as u64,
            len: 1,
            ..RawSqe::default()
        },
    )
}

/// A descriptor that is open nowhere.
fn closed() -> BorrowedFd<'static> {
    // SAFETY: the number is above every limit of this process, so nobody's descriptor is touched.
    unsafe { BorrowedFd::borrow_raw(1 << 30) }
}

fn zeros() -> std::fs::File {
    std::fs::File::open("/dev/zero").expect("zeros")
}

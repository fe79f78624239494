//! The three system calls of io_uring, as `io::Result`.
//!
//! `libc` has their numbers and no wrappers; the C library has neither. Nothing is retried here.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;

use super::abi::{EnterFlags, GeteventsArg, Params, RegWait, SetupFlags};

/// What `io_uring_setup(2)` returned.
#[derive(Debug)]
pub(crate) enum NewRing {
    /// A descriptor, which is close-on-exec.
    Fd(OwnedFd),
    /// An index of this thread's table of rings (`IORING_SETUP_REGISTERED_FD_ONLY`, Linux 6.5).
    Index(u32),
}

/// `io_uring_setup(2)`, Linux 5.1.
///
/// # Safety
///
/// With `IORING_SETUP_NO_MMAP` the addresses in `params` are those of memory that is as large as the rings
/// asked for and used for nothing else until the new ring is gone.
pub(crate) unsafe fn setup(entries: u32, params: &mut Params) -> io::Result<NewRing> {
    // SAFETY: `params` is a valid, exclusively borrowed `io_uring_params`, which the kernel reads and writes
    // during the call only; the rest is the caller's contract.
    let result = unsafe { libc::syscall(libc::SYS_io_uring_setup, entries, ptr::from_mut(params)) };
    let number = check(result)?;
    if SetupFlags::from_bits_retain(params.flags).contains(SetupFlags::REGISTERED_FD_ONLY) {
        return Ok(NewRing::Index(number as u32));
    }
    // SAFETY: the call returned a new descriptor that nobody else owns.
    Ok(NewRing::Fd(unsafe { OwnedFd::from_raw_fd(number) }))
}

/// The last argument of `io_uring_enter(2)`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Argument<'a> {
    None,
    /// `IORING_ENTER_EXT_ARG`, Linux 5.11.
    Wait(&'a GeteventsArg),
    /// The byte offset of a place in the registered region; with `IORING_ENTER_EXT_ARG_REG` as well, Linux
    /// 6.13.
    Registered(u32),
}

/// `io_uring_enter(2)`, Linux 5.1.
///
/// `ring` is a descriptor, or the registered index where `flags` has `IORING_ENTER_REGISTERED_RING`. That
/// the entries it makes the kernel act upon are sound is the contract of whoever pushed them. Addresses
/// within `arg` are only read by the kernel, which checks them.
pub(crate) fn enter(
    ring: i32,
    submit: u32,
    want: u32,
    flags: EnterFlags,
    arg: Argument<'_>,
) -> io::Result<u32> {
    let (more, arg, size) = match arg {
        Argument::None => (EnterFlags::empty(), ptr::null(), 0),
        Argument::Wait(arg) => (EnterFlags::EXT_ARG, ptr::from_ref(arg), size_of_val(arg)),
        Argument::Registered(offset) => {
            let by_offset = EnterFlags::EXT_ARG | EnterFlags::EXT_ARG_REG;
            (by_offset, ptr::without_provenance(offset as usize), size_of::<RegWait>())
        }
    };
    let flags = (flags | more).bits();
    // SAFETY: `arg` is null, or points to an argument of the stated size that outlives the call, or is an
    // offset that the kernel checks.
    let result =
        unsafe { libc::syscall(libc::SYS_io_uring_enter, ring, submit, want, flags, arg, size) };
    check(result).map(|count| count as u32)
}

/// `io_uring_register(2)`, Linux 5.1.
///
/// # Safety
///
/// `arg` and `count` are what `op` asks for, and memory that the kernel keeps beyond the call stays
/// valid for as long as it keeps it. `ring` is a descriptor; with `IORING_REGISTER_USE_REGISTERED_RING` in
/// `op` a registered index; -1 for the few calls that need no ring.
pub(crate) unsafe fn register<T>(ring: i32, op: u32, arg: *mut T, count: u32) -> io::Result<u32> {
    // SAFETY: the caller's contract.
    let result = unsafe { libc::syscall(libc::SYS_io_uring_register, ring, op, arg, count) };
    check(result).map(|count| count as u32)
}

fn check(result: libc::c_long) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

/// `eventfd(2)`: a counter, non-blocking and close-on-exec.
pub(crate) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: no memory is involved.
    let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }.into())?;
    // SAFETY: the call returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

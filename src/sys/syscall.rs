//! The three system calls of io_uring, as `io::Result`.
//!
//! `libc` has their numbers and no wrappers; the C library has neither. Nothing is retried here.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;

use super::abi::{EnterFlags, GeteventsArg, Params};

/// `io_uring_setup(2)`, Linux 5.1. The descriptor is close-on-exec.
pub(crate) fn setup(entries: u32, params: &mut Params) -> io::Result<OwnedFd> {
    // SAFETY: `params` is a valid, exclusively borrowed `io_uring_params`, which the kernel reads and writes
    // during the call only (no setup flag that we pass makes it keep addresses found in there).
    let result = unsafe { libc::syscall(libc::SYS_io_uring_setup, entries, ptr::from_mut(params)) };
    let fd = check(result)?;
    // SAFETY: the call returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `io_uring_enter(2)`, Linux 5.1; with `arg` its extended form, Linux 5.11.
///
/// `ring` is a descriptor, or the registered index where `flags` has `IORING_ENTER_REGISTERED_RING`. That
/// the entries it makes the kernel act upon are sound is the contract of whoever pushed them.
pub(crate) fn enter(
    ring: i32,
    submit: u32,
    want: u32,
    flags: EnterFlags,
    arg: Option<&GeteventsArg>,
) -> io::Result<u32> {
    let (flags, arg, size) = match arg {
        Some(arg) => (flags | EnterFlags::EXT_ARG, ptr::from_ref(arg), size_of_val(arg)),
        None => (flags, ptr::null(), 0),
    };
    let flags = flags.bits();
    // SAFETY: `arg` is null or points to an argument of the stated size that outlives the call.
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

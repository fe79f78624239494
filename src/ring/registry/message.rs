//! A completion for another ring, from a thread that has none.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::sys::abi::{MsgRingFlags, Opcode, RawSqe, RegisterOp};
use crate::sys::syscall;

/// Posts a completion to a ring: its `user_data`, its result, and its flags where `flags` says some. The
/// caller needs no ring of its own. `io_uring_register(2)`, Linux 6.13.
///
/// # Errors
///
/// `EBADF` for a closed descriptor, `EBADFD` for one that is no ring's or a disabled ring's; `EOVERFLOW` when
/// the completion could not be kept; `EINVAL` from older kernels.
///
/// # Safety
///
/// The holder of the ring does not take the completion for that of a request: a made-up one with the
/// `user_data` of a read would end that read for them, while the kernel still writes to its memory.
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// let mut ring = uring::ring::Setup::new(8).build()?;
/// let fd = ring.fd().expect("a ring of Linux").try_clone_to_owned()?;
/// std::thread::spawn(move || {
///     use std::os::fd::AsFd;
///     // SAFETY: no request of that ring has this `user_data`.
///     unsafe { uring::ring::send_message(fd.as_fd(), 7, 42, None) }
/// });
/// ring.submit_and_wait(1, None)?;
/// # Ok(())
/// # }
/// ```
pub unsafe fn send_message(
    ring: BorrowedFd<'_>,
    user_data: u64,
    result: i32,
    flags: Option<u32>,
) -> io::Result<()> {
    let passed = if flags.is_some() { MsgRingFlags::FLAGS_PASS } else { MsgRingFlags::empty() };
    let mut message = RawSqe {
        opcode: Opcode::MSG_RING.0,
        fd: ring.as_raw_fd(),
        off: user_data,
        len: result as u32,
        op_flags: passed.bits(),
        splice_fd: flags.unwrap_or(0),
        ..RawSqe::default()
    };
    let op = RegisterOp::REGISTER_SEND_MSG_RING.0;
    // SAFETY: one submission entry, read during the call only; it names no memory.
    unsafe { syscall::register(-1, op, &raw mut message, 1) }.map(drop)
}

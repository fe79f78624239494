//! The plain system call that a submission stands for.

use std::io;
use std::mem::MaybeUninit;

use super::abi::{Opcode, RawSqe};

/// Flags of an open file with which a write waits for the disk, however short it is.
const WAITS_FOR_DISK: i32 = libc::O_DIRECT | libc::O_DSYNC | libc::O_SYNC;

/// Does by a plain call, on this thread, what a submission asks for: the result is that of its completion. None,
/// and nothing was done, for operations that have no such call here, and for writes to anything but a regular file
/// in the page cache, which may block for ever.
///
/// # Safety
///
/// What the submission lends is lent during the call.
pub(crate) unsafe fn call(sqe: &RawSqe) -> Option<i32> {
    let RawSqe { fd, off, addr, len, op_flags, .. } = *sqe;
    let (number, arguments): (_, [u64; 5]) = match Opcode(sqe.opcode) {
        Opcode::WRITE if !is_cached(fd) => return None,
        Opcode::WRITE if off == u64::MAX => {
            (libc::SYS_write, [word(fd), addr, u64::from(len), 0, 0])
        }
        Opcode::WRITE => (libc::SYS_pwrite64, [word(fd), addr, u64::from(len), off, 0]),
        Opcode::STATX => {
            (libc::SYS_statx, [word(fd), addr, u64::from(op_flags), u64::from(len), off])
        }
        Opcode::UNLINKAT => (libc::SYS_unlinkat, [word(fd), addr, u64::from(op_flags), 0, 0]),
        Opcode::MKDIRAT => (libc::SYS_mkdirat, [word(fd), addr, u64::from(len), 0, 0]),
        Opcode::SYMLINKAT => (libc::SYS_symlinkat, [addr, word(fd), off, 0, 0]),
        Opcode::RENAMEAT => {
            (libc::SYS_renameat2, [word(fd), addr, word(len as i32), off, u64::from(op_flags)])
        }
        Opcode::LINKAT => {
            (libc::SYS_linkat, [word(fd), addr, word(len as i32), off, u64::from(op_flags)])
        }
        Opcode::FTRUNCATE => (libc::SYS_ftruncate, [word(fd), off, 0, 0, 0]),
        _ => return None,
    };
    let [a, b, c, d, e] = arguments;
    // SAFETY: the addresses are those of memory that the submission lends for just this operation, with the
    // same meaning (the caller's contract); the kernel checks all else.
    let result = unsafe { libc::syscall(number, a, b, c, d, e) };
    Some(if result < 0 { -errno() } else { result as i32 })
}

/// Whether writing to it only fills memory, as far as it can be known beforehand.
fn is_cached(fd: i32) -> bool {
    let mut found = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: a `stat` of ours, written during the call.
    if unsafe { libc::fstat(fd, found.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: the call has filled it.
    let is_file = unsafe { found.assume_init() }.st_mode & libc::S_IFMT == libc::S_IFREG;
    // SAFETY: this command takes no argument.
    is_file && unsafe { libc::fcntl(fd, libc::F_GETFL) } & WAITS_FOR_DISK == 0
}

/// An argument as the kernel takes it: the sign of `AT_FDCWD` goes along.
fn word(number: i32) -> u64 {
    i64::from(number) as u64
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

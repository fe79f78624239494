//! The two claims about results that only the kernel can vouch for.

use std::io;
use std::os::fd::RawFd;

use crate::buf::{BufError, BufResult, IoBufMut};
use crate::fd::Fd;

use super::Completion;

/// The result of an operation that writes to the front of a buffer's room.
///
/// # Safety
///
/// A result of `n` means that the kernel wrote `n` bytes to the front of the memory that
/// [`IoBufMut::room`] of this very buffer returned last, as `prepare` lent it.
pub unsafe fn filled<B: IoBufMut, T>(
    completion: &Completion<T>,
    mut buf: B,
) -> BufResult<usize, B> {
    match completion.result() {
        Ok(n) => {
            let n = n as usize;
            // SAFETY: the caller's contract.
            unsafe { buf.set_filled(n) };
            Ok((n, buf))
        }
        Err(error) => Err(BufError::new(error, buf)),
    }
}

/// Copies bytes that were received earlier to the front of a buffer's room; returns how many fitted.
pub(super) fn copied<B: IoBufMut>(bytes: &[u8], mut buf: B) -> (usize, B) {
    let n = buf.room().write(bytes);
    // SAFETY: so many bytes were just written to the front of the room.
    unsafe { buf.set_filled(n) };
    (n, buf)
}

/// The result of an operation that makes a descriptor.
///
/// # Safety
///
/// A result that is no error is a new descriptor that nobody else owns.
pub unsafe fn new_fd<T>(completion: &Completion<T>) -> io::Result<Fd> {
    let number = completion.result()?;
    // SAFETY: the caller's contract.
    Ok(unsafe { Fd::from_raw(number as RawFd) })
}

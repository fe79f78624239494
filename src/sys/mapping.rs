//! Memory shared with the kernel, unmapped once.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};

/// A shared mapping of a part of a ring.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len_bytes: usize,
}

impl Mapping {
    /// Maps `len_bytes` of `ring` at `offset` (`IORING_OFF_*`), and keeps the mapping out of forked children:
    /// two processes on one submission queue would corrupt it (`MADV_DONTFORK`, madvise(2)).
    pub(crate) fn new(ring: BorrowedFd<'_>, len_bytes: usize, offset: i64) -> io::Result<Mapping> {
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing of ours.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len_bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                ring.as_raw_fd(),
                offset,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let Some(start) = NonNull::new(start.cast()) else {
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        };
        let mapping = Mapping { start, len_bytes };
        // SAFETY: the range is the mapping just made.
        let advised =
            unsafe { libc::madvise(start.as_ptr().cast(), len_bytes, libc::MADV_DONTFORK) };
        if advised < 0 { Err(io::Error::last_os_error()) } else { Ok(mapping) }
    }

    /// The first byte.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// How many bytes are mapped.
    pub(crate) fn len_bytes(&self) -> usize {
        self.len_bytes
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `new`, is unmapped once, and whoever kept pointers into it
        // (`ring::queues`) owns this value, so is being dropped as well.
        let unmapped = unsafe { libc::munmap(self.start.as_ptr().cast(), self.len_bytes) };
        debug_assert_eq!(unmapped, 0, "munmap of a mapping of ours");
    }
}

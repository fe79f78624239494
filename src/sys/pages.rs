//! Whole pages of our own, for memory that the kernel keeps a hold of.
//!
//! The kernel pins the *pages* of a registered buffer, not its addresses. Memory from the allocator would be
//! handed out again once it is freed, while a late request still writes to it; pages that are unmapped here
//! belong to nobody but that request.

use std::io;
use std::ptr::{self, NonNull};
use std::slice;

/// Anonymous memory, aligned to a page and zeroed, kept out of forked children.
#[derive(Debug)]
pub(crate) struct Pages {
    start: NonNull<u8>,
    len_bytes: usize,
    /// The process that has them mapped: a forked child does not.
    process: u32,
}

impl Pages {
    /// Maps room for `len_bytes`, `mmap(2)`; `EINVAL` for none at all.
    pub(crate) fn new(len_bytes: usize) -> io::Result<Pages> {
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing of ours.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len_bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let Some(start) = NonNull::new(start.cast()) else {
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        };
        let pages = Pages { start, len_bytes, process: std::process::id() };
        // A child that writes to a page first would take the page that the kernel has pinned, and leave us
        // with a copy that it knows nothing of (`MADV_DONTFORK`, madvise(2)).
        // SAFETY: the range is the mapping just made.
        let advised =
            unsafe { libc::madvise(start.as_ptr().cast(), len_bytes, libc::MADV_DONTFORK) };
        if advised < 0 { Err(io::Error::last_os_error()) } else { Ok(pages) }
    }

    /// The size of a page, in bytes.
    pub(crate) fn page_bytes() -> usize {
        // SAFETY: no memory is involved.
        let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(bytes).unwrap_or(4096)
    }

    /// The first byte.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// How many bytes were asked for.
    pub(crate) fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// All bytes.
    ///
    /// # Safety
    ///
    /// Nobody writes to them while the borrow lasts.
    pub(crate) unsafe fn bytes(&self) -> &[u8] {
        // SAFETY: mapped and zeroed, so initialized, for as long as `self`; the caller's contract.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len_bytes) }
    }

    /// All bytes, to write to.
    ///
    /// # Safety
    ///
    /// Nobody else reads or writes them while the borrow lasts; `self` may be shared, so its being borrowed
    /// says nothing.
    #[expect(clippy::mut_from_ref, reason = "the owners of shared pages agree on one writer")]
    pub(crate) unsafe fn bytes_mut(&self) -> &mut [u8] {
        // SAFETY: mapped and zeroed, so initialized, for as long as `self`; the caller's contract.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len_bytes) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // In a forked child something else may lie there.
        if self.process != std::process::id() {
            return;
        }
        // SAFETY: the range was mapped by `new` and is unmapped once; what borrowed from it has ended.
        let unmapped = unsafe { libc::munmap(self.start.as_ptr().cast(), self.len_bytes) };
        debug_assert_eq!(unmapped, 0, "munmap of pages of ours");
    }
}

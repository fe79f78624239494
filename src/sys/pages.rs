//! Whole pages of our own, for memory that the kernel keeps a hold of.
//!
//! The kernel pins the *pages* of a registered buffer, not its addresses. Memory from the allocator would be
//! handed out again once it is freed, while a late request still writes to it; pages that are unmapped here
//! belong to nobody but that request. A forked child does not have them: if it wrote to a page first, the
//! pinned one would be its, and ours a copy that the kernel knows nothing of.

use std::io;
use std::ptr::NonNull;
use std::slice;

use super::mapping::{self, Mapping};

/// The size of a huge page on most machines. On others the advice may be given for less than one, which does no
/// harm.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Anonymous memory, aligned to a page and zeroed, kept out of forked children.
#[derive(Debug)]
pub(crate) struct Pages(Mapping);

impl Pages {
    /// Maps room for `len_bytes`, `mmap(2)`; `EINVAL` for none at all.
    pub(crate) fn new(len_bytes: usize) -> io::Result<Pages> {
        Mapping::untouched(len_bytes).map(Pages)
    }

    /// As [`Pages::new`], rounded up to whole pages.
    pub(crate) fn whole(len_bytes: usize) -> io::Result<Pages> {
        let whole = len_bytes.checked_next_multiple_of(mapping::page_bytes());
        Pages::new(whole.ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?)
    }

    /// Asks for huge pages, before the first touch, where there is room for one (`MADV_HUGEPAGE`, `madvise(2)`).
    /// A kernel without them, or with none left, gives ordinary ones.
    pub(crate) fn prefer_huge(&self) {
        if self.len_bytes() >= HUGE_PAGE_BYTES {
            // SAFETY: the range is the mapping of this value; the advice changes nothing in it.
            unsafe {
                libc::madvise(self.start().as_ptr().cast(), self.len_bytes(), libc::MADV_HUGEPAGE)
            };
        }
    }

    /// The first byte.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.0.start()
    }

    /// The address of the first byte, for the kernel.
    pub(crate) fn address(&self) -> u64 {
        self.start().as_ptr().expose_provenance() as u64
    }

    /// Whether this process has them, rather than one that it was forked from.
    pub(crate) fn are_ours(&self) -> bool {
        self.0.made_by().is_current()
    }

    /// How many bytes there are.
    pub(crate) fn len_bytes(&self) -> usize {
        self.0.len_bytes()
    }

    /// All bytes.
    ///
    /// # Safety
    ///
    /// They are ours, and nobody writes to them while the borrow lasts.
    pub(crate) unsafe fn bytes(&self) -> &[u8] {
        // SAFETY: mapped and zeroed, so initialized, for as long as `self`; the caller's contract.
        unsafe { slice::from_raw_parts(self.start().as_ptr(), self.len_bytes()) }
    }

    /// All bytes, to write to.
    ///
    /// # Safety
    ///
    /// They are ours, and nobody else reads or writes them while the borrow lasts; `self` may be shared, so its
    /// being borrowed says nothing.
    #[expect(clippy::mut_from_ref, reason = "the owners of shared pages agree on one writer")]
    pub(crate) unsafe fn bytes_mut(&self) -> &mut [u8] {
        // SAFETY: mapped and zeroed, so initialized, for as long as `self`; the caller's contract.
        unsafe { slice::from_raw_parts_mut(self.start().as_ptr(), self.len_bytes()) }
    }
}

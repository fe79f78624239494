//! Memory shared with the kernel, unmapped once.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};

use super::process::Process;

/// A mapping that is kept out of forked children: two processes on one submission queue would corrupt it
/// (`MADV_DONTFORK`, madvise(2)).
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len_bytes: usize,
    made_by: Process,
}

impl Mapping {
    /// Maps `len_bytes` of `ring` at `offset` (`IORING_OFF_*`).
    pub(crate) fn new(ring: BorrowedFd<'_>, len_bytes: usize, offset: i64) -> io::Result<Mapping> {
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        Mapping::map(len_bytes, flags, ring.as_raw_fd(), offset)
    }

    /// Maps zeroed memory of our own; `huge` in pages of 2 MiB, of which `len_bytes` is a multiple then.
    pub(crate) fn anonymous(len_bytes: usize, huge: bool) -> io::Result<Mapping> {
        // The size is said, since the machine's default may be another: a mapping of that is unmapped in its
        // multiples alone (`munmap(2)`).
        let huge = if huge { libc::MAP_HUGETLB | libc::MAP_HUGE_2MB } else { 0 };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE | huge;
        Mapping::map(len_bytes, flags, -1, 0)
    }

    /// Maps zeroed memory of our own that takes its pages when they are first touched.
    pub(crate) fn untouched(len_bytes: usize) -> io::Result<Mapping> {
        Mapping::map(len_bytes, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    }

    fn map(len_bytes: usize, flags: i32, fd: i32, offset: i64) -> io::Result<Mapping> {
        let made_by = Process::current()?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing of ours.
        let start =
            unsafe { libc::mmap(ptr::null_mut(), len_bytes, protection, flags, fd, offset) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let Some(start) = NonNull::new(start.cast()) else {
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        };
        let mapping = Mapping { start, len_bytes, made_by };
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

    /// The process that has it mapped.
    pub(crate) fn made_by(&self) -> Process {
        self.made_by
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // A forked child does not have the mapping, and may have something else in its place.
        if !self.made_by.is_current() {
            return;
        }
        // SAFETY: the range was mapped by `map` in this process, is unmapped once, and whoever kept pointers
        // into it (`ring::queues`) owns this value, so is being dropped as well.
        let unmapped = unsafe { libc::munmap(self.start.as_ptr().cast(), self.len_bytes) };
        debug_assert_eq!(unmapped, 0, "munmap of a mapping of ours");
    }
}

/// The size of a page, in bytes.
pub(crate) fn page_bytes() -> usize {
    // SAFETY: no memory is involved.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).unwrap_or(4096)
}

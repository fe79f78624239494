//! Whether this is still the process that made something, or a forked child of it.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// What things carry that no process has a copy to touch of.
const NOBODY: u32 = 0;

/// The process that made something.
///
/// A fork is noticed by a word in a page that the kernel hands to a child zeroed (`MADV_WIPEONFORK`, Linux
/// 4.14): asking costs one load, where `getpid(2)` costs a system call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    word: &'static AtomicU32,
    number: u32,
}

impl Process {
    /// The process that calls.
    pub(crate) fn current() -> io::Result<Process> {
        static WORD: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());
        static NEXT: AtomicU32 = AtomicU32::new(1);
        if WORD.load(Ordering::Acquire).is_null() {
            let new = wiped_word()?;
            // A second thread that gets here at the same time loses a page, once.
            let _ = WORD.compare_exchange(
                ptr::null_mut(),
                new.as_ptr(),
                Ordering::AcqRel,
                Ordering::Acquire,
            );
        }
        // SAFETY: not null by now, and made by `wiped_word`, whose page is never unmapped.
        let word = unsafe { &*WORD.load(Ordering::Acquire) };
        // Zero is a process that has not asked before, such as a child just forked. Its counter is a copy of
        // its parent's, so that it gets a number which no ancestor of it had.
        if word.load(Ordering::Relaxed) == NOBODY {
            let number = NEXT.fetch_add(1, Ordering::Relaxed).max(1);
            let _ = word.compare_exchange(NOBODY, number, Ordering::Relaxed, Ordering::Relaxed);
        }
        Ok(Process { word, number: word.load(Ordering::Relaxed) })
    }

    /// Every process: for memory that a forked child has a copy of its own of.
    pub(crate) fn every() -> Process {
        static WORD: AtomicU32 = AtomicU32::new(1);
        Process { word: &WORD, number: 1 }
    }

    /// No process: for memory that is not there at the moment.
    pub(crate) fn nobody() -> Process {
        Process { number: NOBODY, ..Process::every() }
    }

    /// Whether this process is it.
    pub(crate) fn is_current(&self) -> bool {
        self.word.load(Ordering::Relaxed) == self.number
    }

    /// Whether it is [`Process::nobody`].
    pub(crate) fn is_nobody(&self) -> bool {
        self.number == NOBODY
    }
}

/// A zero in a page of its own, which a forked child gets zeroed.
fn wiped_word() -> io::Result<NonNull<AtomicU32>> {
    let len_bytes = size_of::<AtomicU32>();
    // SAFETY: a new private mapping at an address of the kernel's choice overlaps nothing of ours; what is
    // advised is that mapping.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let page = libc::mmap(ptr::null_mut(), len_bytes, protection, flags, -1, 0);
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        if libc::madvise(page, len_bytes, libc::MADV_WIPEONFORK) < 0 {
            let error = io::Error::last_os_error();
            libc::munmap(page, len_bytes);
            return Err(error);
        }
        NonNull::new(page.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))
    }
}

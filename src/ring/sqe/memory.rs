//! Advice about memory.

use super::{Entry, Sqe, read_by_kernel};
use crate::buf::Room;
use crate::sys::abi::{Opcode, RawSqe};

/// How memory will be used, `madvise(2)`: the advice that changes nothing but speed, and so is safe.
///
/// The others are behind [`Sqe::madvise_raw`]: `MADV_DONTNEED`, `MADV_FREE` and `MADV_REMOVE` drop what is in
/// the memory, `MADV_GUARD_INSTALL` and `MADV_HWPOISON` make it unusable, `MADV_DONTFORK` and
/// `MADV_WIPEONFORK` take it from a child. A unique borrow would not make these safe: the kernel rounds the
/// length up to whole pages, and so to what may belong to somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Advice {
    /// As usual.
    Normal = libc::MADV_NORMAL,
    /// In no order: reads nothing ahead.
    Random = libc::MADV_RANDOM,
    /// From front to back: reads more ahead.
    Sequential = libc::MADV_SEQUENTIAL,
    /// Soon: reads it in.
    WillNeed = libc::MADV_WILLNEED,
    /// Not soon: first to be swapped out. Linux 5.4.
    Cold = libc::MADV_COLD,
    /// Not soon: swapped out now. Linux 5.4.
    PageOut = libc::MADV_PAGEOUT,
    /// Faults the pages in for reading. Linux 5.14.
    PopulateRead = libc::MADV_POPULATE_READ,
    /// Faults the pages in for writing; what is in them stays. Linux 5.14.
    PopulateWrite = libc::MADV_POPULATE_WRITE,
    /// May be held in huge pages.
    HugePage = libc::MADV_HUGEPAGE,
    /// Is not to be held in huge pages.
    NoHugePage = libc::MADV_NOHUGEPAGE,
    /// May be merged with pages of the same content.
    Mergeable = libc::MADV_MERGEABLE,
    /// Is not to be merged any more.
    Unmergeable = libc::MADV_UNMERGEABLE,
    /// Is not to be part of a core dump.
    DontDump = libc::MADV_DONTDUMP,
    /// Is to be part of a core dump again.
    DoDump = libc::MADV_DODUMP,
}

impl<'a> Sqe<'a> {
    /// Says how memory will be used. It must begin at a page (`EINVAL`), and its last page counts whole.
    /// `madvise(2)`, Linux 5.6; 4 GiB and more, Linux 6.10.
    pub fn madvise(memory: &'a [u8], advice: Advice) -> Sqe<'a> {
        advise(read_by_kernel(memory), memory.len(), advice as i32)
    }

    /// As [`Sqe::madvise`], with any advice, `MADV_*`.
    ///
    /// # Safety
    ///
    /// What the advice does to the pages that `memory` lies in, up to their end, and from then on, is right for
    /// all that is in them: nobody relies on content that is dropped, or touches what is made unusable.
    pub unsafe fn madvise_raw(mut memory: Room<'a>, advice: i32) -> Sqe<'a> {
        advise(memory.expose(), memory.len(), advice)
    }
}

fn advise<'a>(addr: u64, len_bytes: usize, advice: i32) -> Sqe<'a> {
    // The 64-bit length came later, so what fits the older field goes there.
    let (len, off) = match u32::try_from(len_bytes) {
        Ok(len) => (len, 0),
        Err(_) => (0, len_bytes as u64),
    };
    let fields = RawSqe { addr, len, off, op_flags: advice as u32, ..RawSqe::default() };
    Sqe::new(Entry::of(Opcode::MADVISE, fields))
}

//! The memory that the queues lie in, and how large a part of it they need.

use std::alloc::{self, Layout};
use std::io;
use std::ptr::NonNull;
use std::rc::Rc;

use crate::ring::memory::RingMemory;
use crate::sys::abi::{Params, RawCqe, RawSqe, SetupFlags};
use crate::sys::mapping::Mapping;
use crate::sys::process::Process;

/// The memory that holds the two queues.
#[derive(Debug)]
pub(crate) enum Memory {
    /// Mapped from a ring: the rings (both, `IORING_FEAT_SINGLE_MMAP`) and the submission entries.
    Mapped { rings: Mapping, entries: Mapping },
    /// Lent to the kernel (`IORING_SETUP_NO_MMAP`): the submission entries at the front, the rings at
    /// `rings_at`. `owner` is none if the caller of `Setup::build_in_foreign` sees to it.
    Lent {
        start: NonNull<u8>,
        rings_at: usize,
        len_bytes: usize,
        made_by: Process,
        #[expect(dead_code, reason = "it is kept alive, not looked at")]
        owner: Option<Rc<RingMemory>>,
    },
    /// One allocation, for a kernel in user space: the rings at the front, the submission entries at
    /// `entries_at`.
    Heap { start: NonNull<u8>, layout: Layout, entries_at: usize },
}

impl Memory {
    /// Zeroed memory of our own.
    pub(super) fn on_heap(entries_at: usize, len_bytes: usize) -> io::Result<Memory> {
        let layout = Layout::from_size_align(len_bytes.max(1), 64).map_err(io::Error::other)?;
        // SAFETY: the size is not zero.
        let start = NonNull::new(unsafe { alloc::alloc_zeroed(layout) })
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        Ok(Memory::Heap { start, layout, entries_at: entries_at.min(len_bytes) })
    }

    /// The rings: their start and length.
    pub(super) fn rings(&self) -> (NonNull<u8>, usize) {
        match self {
            Memory::Mapped { rings, .. } => (rings.start(), rings.len_bytes()),
            Memory::Lent { start, rings_at, len_bytes, .. } => {
                // SAFETY: `rings_at` lies inside the memory, by the sizes it was made with.
                (unsafe { start.add(*rings_at) }, len_bytes - rings_at)
            }
            Memory::Heap { start, entries_at, .. } => (*start, *entries_at),
        }
    }

    /// The submission entries: their start and length.
    pub(super) fn entries(&self) -> (NonNull<u8>, usize) {
        match self {
            Memory::Mapped { entries, .. } => (entries.start(), entries.len_bytes()),
            Memory::Lent { start, rings_at, .. } => (*start, *rings_at),
            Memory::Heap { start, layout, entries_at } => {
                // SAFETY: `entries_at` lies inside the allocation, by `Memory::on_heap`.
                (unsafe { start.add(*entries_at) }, layout.size() - entries_at)
            }
        }
    }

    /// The process that may touch it.
    pub(super) fn made_by(&self) -> Process {
        match self {
            Memory::Mapped { rings, .. } => rings.made_by(),
            Memory::Lent { made_by, .. } => *made_by,
            Memory::Heap { .. } => Process::every(),
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Memory::Heap { start, layout, .. } = self {
            // SAFETY: allocated with this layout by `Memory::on_heap`, freed once.
            unsafe { alloc::dealloc(start.as_ptr(), *layout) }
        }
    }
}

/// How entries lie in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// In one place each: submissions of 64 bytes, completions of 16.
    Plain,
    /// In one place of twice the size each.
    Wide,
    /// In one or two places.
    Mixed,
}

impl Shape {
    /// Of the submissions that a ring with these flags takes.
    pub(crate) fn of_submissions(flags: SetupFlags) -> Shape {
        Shape::of(flags, SetupFlags::SQE128, SetupFlags::SQE_MIXED)
    }

    /// Of the completions that a ring with these flags posts.
    pub(crate) fn of_completions(flags: SetupFlags) -> Shape {
        Shape::of(flags, SetupFlags::CQE32, SetupFlags::CQE_MIXED)
    }

    fn of(flags: SetupFlags, wide: SetupFlags, mixed: SetupFlags) -> Shape {
        match (flags.contains(wide), flags.contains(mixed)) {
            (true, _) => Shape::Wide,
            (false, true) => Shape::Mixed,
            (false, false) => Shape::Plain,
        }
    }

    /// By how much an index is shifted to count plain places.
    pub(super) fn shift(self) -> u32 {
        u32::from(self == Shape::Wide)
    }
}

/// The memory that two queues need, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// For the heads and tails, the completions and the array of indices.
    pub(crate) rings: usize,
    /// For the submissions.
    pub(crate) entries: usize,
}

impl Sizes {
    /// Of the queues that the kernel has described.
    pub(crate) fn described(params: &Params) -> Sizes {
        let flags = SetupFlags::from_bits_retain(params.flags);
        let (cqes, sqes) = Sizes::of_entries(flags, params.sq_entries, params.cq_entries);
        let completions_end = (params.cq_off.cqes as usize).saturating_add(cqes);
        let array_end = if flags.contains(SetupFlags::NO_SQARRAY) {
            0
        } else {
            params.sq_off.array as usize + params.sq_entries as usize * size_of::<u32>()
        };
        Sizes { rings: completions_end.max(array_end), entries: sqes }
    }

    /// Of queues that are still to be made: a head of 64 bytes, the completions, and the array of indices
    /// whether or not there will be one.
    pub(crate) fn wanted(flags: SetupFlags, sq_entries: u32, cq_entries: u32) -> Sizes {
        // Linux 6.18 doubles the head together with the completions.
        let head_bytes = 64 << Shape::of_completions(flags).shift();
        let (cqes, sqes) = Sizes::of_entries(flags, sq_entries, cq_entries);
        let array_at = (head_bytes + cqes).next_multiple_of(64);
        Sizes { rings: array_at + sq_entries as usize * size_of::<u32>(), entries: sqes }
    }

    /// Where the kernel puts the array of indices: behind the completions, where a cache line starts, and
    /// behind a head of `head_bytes`.
    pub(crate) fn array_at(params: &Params, head_bytes: u32) -> u32 {
        let flags = SetupFlags::from_bits_retain(params.flags);
        let (cqes, _) = Sizes::of_entries(flags, params.sq_entries, params.cq_entries);
        (head_bytes as usize + cqes).next_multiple_of(64) as u32
    }

    fn of_entries(flags: SetupFlags, sq_entries: u32, cq_entries: u32) -> (usize, usize) {
        let cqe_bytes = size_of::<RawCqe>() << Shape::of_completions(flags).shift();
        let sqe_bytes = size_of::<RawSqe>() << Shape::of_submissions(flags).shift();
        (cq_entries as usize * cqe_bytes, sq_entries as usize * sqe_bytes)
    }
}

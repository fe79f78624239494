//! Heads, tails, masks and fences: the only code that touches the memory shared with the kernel.
//!
//! Indices run freely and wrap at 2³², so every difference is a wrapping one; an index is masked only where
//! it selects an entry. We produce submissions and consume completions; the kernel does the reverse. Each
//! side writes only its own end: the submission tail and the completion head are ours.
//!
//! Memory ordering: we publish the submission tail with Release, after the entries, and the kernel's
//! completion tail is read with Acquire, before the entries. A polling submission thread needs one thing
//! more: a full fence between publishing the tail and reading its "need wake-up" flag, or both sides can
//! miss each other (`io_uring(7)`).
//!
//! # Safety invariant
//!
//! Every pointer here lies within `memory`, which the same value owns, was checked against its size by
//! [`Queues::new`], and is aligned. The completion and submission words are only ever accessed as atomics.
//! An entry is read or written only while it belongs to our side by the indices.

use std::alloc::{self, Layout};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use super::{Cqe, PushError};
use crate::sys::abi::{CqFlags, CqOffsets, Params, RawCqe, RawSqe, SetupFlags, SqFlags, SqOffsets};
use crate::sys::mapping::Mapping;

/// The memory that holds the two queues: mapped from a ring, or allocated for a kernel in user space.
#[derive(Debug)]
pub(crate) enum Memory {
    /// The rings (both, `IORING_FEAT_SINGLE_MMAP`) and the submission entries.
    Mapped { rings: Mapping, entries: Mapping },
    /// One allocation: the rings at the front, the submission entries at `entries_at`.
    Heap { start: NonNull<u8>, layout: Layout, entries_at: usize },
}

impl Memory {
    fn rings(&self) -> (NonNull<u8>, usize) {
        match self {
            Memory::Mapped { rings, .. } => (rings.start(), rings.len_bytes()),
            Memory::Heap { start, entries_at, .. } => (*start, *entries_at),
        }
    }

    fn entries(&self) -> (NonNull<u8>, usize) {
        match self {
            Memory::Mapped { entries, .. } => (entries.start(), entries.len_bytes()),
            Memory::Heap { start, layout, entries_at } => {
                // SAFETY: `entries_at` lies inside the allocation, by `Queues::on_heap`.
                (unsafe { start.add(*entries_at) }, layout.size() - entries_at)
            }
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Memory::Heap { start, layout, .. } = self {
            // SAFETY: allocated with this layout by `Queues::on_heap`, freed once.
            unsafe { alloc::dealloc(start.as_ptr(), *layout) }
        }
    }
}

/// Both queues, with the memory they lie in.
#[derive(Debug)]
pub(crate) struct Queues {
    sq: Submissions,
    cq: Completions,
    /// Owned so that the pointers of `sq` and `cq` stay valid.
    _memory: Memory,
}

#[derive(Debug)]
struct Submissions {
    head: NonNull<AtomicU32>,
    tail: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    entries: NonNull<RawSqe>,
    mask: u32,
    /// Where the next entry goes. Published by `publish`.
    local_tail: u32,
}

#[derive(Debug)]
struct Completions {
    head: NonNull<AtomicU32>,
    tail: NonNull<AtomicU32>,
    overflow: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    entries: NonNull<RawCqe>,
    mask: u32,
}

/// `start + offset` as a `T`, if it lies within the `len_bytes` behind `start` with `count` items.
fn place<T>(
    (start, len_bytes): (NonNull<u8>, usize),
    offset: u32,
    count: u32,
) -> io::Result<NonNull<T>> {
    let bytes = size_of::<T>() as u64 * u64::from(count) + u64::from(offset);
    if bytes > len_bytes as u64 || offset as usize % align_of::<T>() != 0 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the kernel described queues that do not lie within their mapping",
        ));
    }
    // SAFETY: the offset lies within the allocation, as just checked.
    Ok(unsafe { start.add(offset as usize) }.cast())
}

impl Queues {
    /// The queues that `params` describes, in `memory`. What the kernel filled in is checked, not trusted.
    pub(crate) fn new(memory: Memory, params: &Params) -> io::Result<Queues> {
        let (rings, sq, cq) = (memory.rings(), &params.sq_off, &params.cq_off);
        if !params.sq_entries.is_power_of_two() || !params.cq_entries.is_power_of_two() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the kernel reported queue sizes that are no powers of two",
            ));
        }
        let submissions = Submissions {
            head: place(rings, sq.head, 1)?,
            tail: place(rings, sq.tail, 1)?,
            flags: place(rings, sq.flags, 1)?,
            entries: place(memory.entries(), 0, params.sq_entries)?,
            mask: params.sq_entries - 1,
            local_tail: 0,
        };
        let completions = Completions {
            head: place(rings, cq.head, 1)?,
            tail: place(rings, cq.tail, 1)?,
            overflow: place(rings, cq.overflow, 1)?,
            flags: place(rings, cq.flags, 1)?,
            entries: place(rings, cq.cqes, params.cq_entries)?,
            mask: params.cq_entries - 1,
        };
        if !SetupFlags::from_bits_retain(params.flags).contains(SetupFlags::NO_SQARRAY) {
            // The kernel reads entries through an index array; ours never reorders, so the identity is
            // written once and for all.
            let array: NonNull<u32> = place(rings, sq.array, params.sq_entries)?;
            for index in 0..params.sq_entries {
                // SAFETY: `place` checked room for `sq_entries` indices; nothing was submitted yet, so the
                // kernel does not read the array now.
                unsafe { array.add(index as usize).write(index) };
            }
        }
        let mut queues = Queues { sq: submissions, cq: completions, _memory: memory };
        queues.sq.local_tail = queues.sq.tail().load(Ordering::Relaxed);
        Ok(queues)
    }

    /// Queues on the heap for a kernel in user space, laid out as Linux lays them out.
    /// Both sizes are powers of two.
    pub(crate) fn on_heap(sq_entries: u32, cq_entries: u32) -> io::Result<Queues> {
        const CQES_AT: u32 = 64;
        let rings_bytes = CQES_AT as usize + cq_entries as usize * size_of::<RawCqe>();
        let entries_at = rings_bytes.next_multiple_of(64);
        let size = entries_at + sq_entries as usize * size_of::<RawSqe>();
        let layout = Layout::from_size_align(size, 64).map_err(io::Error::other)?;
        // SAFETY: the size is not zero.
        let start = NonNull::new(unsafe { alloc::alloc_zeroed(layout) })
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        let params = Params {
            sq_entries,
            cq_entries,
            flags: SetupFlags::NO_SQARRAY.bits(),
            sq_off: SqOffsets { head: 0, tail: 4, flags: 36, ..SqOffsets::default() },
            cq_off: CqOffsets {
                head: 8,
                tail: 12,
                overflow: 44,
                flags: 40,
                cqes: CQES_AT,
                ..CqOffsets::default()
            },
            ..Params::default()
        };
        Queues::new(Memory::Heap { start, layout, entries_at }, &params)
    }

    /// Entries of the submission queue.
    pub(crate) fn sq_entries(&self) -> u32 {
        self.sq.mask + 1
    }

    /// Entries of the completion queue.
    pub(crate) fn cq_entries(&self) -> u32 {
        self.cq.mask + 1
    }

    /// How many submissions fit before the kernel must take some.
    pub(crate) fn sq_space(&self) -> u32 {
        self.sq_entries() - self.sq_pending()
    }

    /// Submissions written and not yet taken by the kernel.
    pub(crate) fn sq_pending(&self) -> u32 {
        // Acquire: with a polling thread, an entry may be overwritten only after the kernel has read it.
        self.sq.local_tail.wrapping_sub(self.sq.head().load(Ordering::Acquire))
    }

    /// Writes an entry behind the last one; not visible to the kernel before [`Queues::publish`].
    pub(crate) fn push(&mut self, sqe: &RawSqe) -> Result<(), PushError> {
        if self.sq_space() == 0 {
            return Err(PushError::Full);
        }
        let index = self.sq.local_tail & self.sq.mask;
        // SAFETY: the index is masked, and the entry is ours: it lies in [head + entries, ...) seen from the
        // kernel, which has published through `head` that it no longer reads it.
        unsafe { self.sq.entries.add(index as usize).write(*sqe) };
        self.sq.local_tail = self.sq.local_tail.wrapping_add(1);
        Ok(())
    }

    /// Makes all entries pushed so far visible to the kernel; returns how many it has not taken yet.
    pub(crate) fn publish(&mut self) -> u32 {
        // Release: the entries are written before the tail that covers them.
        self.sq.tail().store(self.sq.local_tail, Ordering::Release);
        self.sq_pending()
    }

    /// `IORING_SQ_*`, as the kernel shows them now.
    pub(crate) fn sq_flags(&self) -> SqFlags {
        SqFlags::from_bits_retain(self.sq.flags().load(Ordering::Relaxed))
    }

    /// Whether the polling thread sleeps and must be woken for what `publish` made visible.
    pub(crate) fn needs_wakeup(&self) -> bool {
        // Our store of the tail must not pass this load, or the thread can go to sleep having seen the old
        // tail while we see the old flag. Only a full fence orders a store before a load.
        fence(Ordering::SeqCst);
        self.sq_flags().contains(SqFlags::NEED_WAKEUP)
    }

    /// Completions that can be copied out without entering the kernel.
    pub(crate) fn cq_ready(&self) -> u32 {
        let tail = self.cq.tail().load(Ordering::Acquire);
        tail.wrapping_sub(self.cq.head().load(Ordering::Relaxed))
    }

    /// Completions that the kernel had to give up, for want of memory. Zero on any healthy system.
    pub(crate) fn cq_lost(&self) -> u32 {
        self.cq.overflow().load(Ordering::Relaxed)
    }

    /// `IORING_CQ_*`, as we show them to the kernel.
    pub(crate) fn cq_flags(&self) -> CqFlags {
        CqFlags::from_bits_retain(self.cq.flags().load(Ordering::Relaxed))
    }

    /// Shows or hides `IORING_CQ_*` bits to the kernel, which only reads them.
    pub(crate) fn show_cq_flags(&mut self, which: CqFlags, shown: bool) {
        let mut flags = self.cq_flags();
        flags.set(which, shown);
        self.cq.flags().store(flags.bits(), Ordering::Relaxed);
    }

    /// Copies completions out, oldest first, and gives their places back to the kernel, once for all.
    pub(crate) fn copy_cqes(&mut self, out: &mut [Cqe]) -> usize {
        let head = self.cq.head().load(Ordering::Relaxed);
        let count = out.len().min(self.cq_ready() as usize);
        for (step, slot) in out[..count].iter_mut().enumerate() {
            let index = head.wrapping_add(step as u32) & self.cq.mask;
            // SAFETY: masked; the kernel has written this entry, by the tail read with Acquire in `cq_ready`,
            // and does not write it again before the head below passes it.
            *slot = Cqe::from(unsafe { self.cq.entries.add(index as usize).read() });
        }
        // Release: the copies above are done before the kernel may reuse the places.
        self.cq.head().store(head.wrapping_add(count as u32), Ordering::Release);
        count
    }

    /// The kernel's view of the same memory.
    pub(crate) fn kernel_side(&mut self) -> KernelSide<'_> {
        KernelSide { queues: self }
    }

    /// Starts all four indices at `index`, to test wrapping.
    #[cfg(test)]
    fn start_at(&mut self, index: u32) {
        self.sq.local_tail = index;
        for word in [self.sq.head(), self.sq.tail(), self.cq.head(), self.cq.tail()] {
            word.store(index, Ordering::Relaxed);
        }
    }
}

impl Submissions {
    fn head(&self) -> &AtomicU32 {
        // SAFETY: the safety invariant of this module.
        unsafe { self.head.as_ref() }
    }

    fn tail(&self) -> &AtomicU32 {
        // SAFETY: the safety invariant of this module.
        unsafe { self.tail.as_ref() }
    }

    fn flags(&self) -> &AtomicU32 {
        // SAFETY: the safety invariant of this module.
        unsafe { self.flags.as_ref() }
    }
}

impl Completions {
    fn head(&self) -> &AtomicU32 {
        // SAFETY: the safety invariant of this module.
        unsafe { self.head.as_ref() }
    }

    fn tail(&self) -> &AtomicU32 {
        // SAFETY: the safety invariant of this module.
        unsafe { self.tail.as_ref() }
    }

    fn overflow(&self) -> &AtomicU32 {
        // SAFETY: the safety invariant of this module.
        unsafe { self.overflow.as_ref() }
    }

    fn flags(&self) -> &AtomicU32 {
        // SAFETY: the safety invariant of this module.
        unsafe { self.flags.as_ref() }
    }
}

/// The queues seen from the other side: what a [`Kernel`](super::Kernel) works on.
///
/// The same memory, masks and orderings as Linux sees, so a kernel in user space exercises all of them.
#[derive(Debug)]
pub struct KernelSide<'a> {
    queues: &'a mut Queues,
}

impl KernelSide<'_> {
    /// Takes the oldest published submission.
    pub fn take_sqe(&mut self) -> Option<RawSqe> {
        let sq = &self.queues.sq;
        let head = sq.head().load(Ordering::Relaxed);
        if head == sq.tail().load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: masked; written by `push` before the tail just read was published.
        let sqe = unsafe { sq.entries.add((head & sq.mask) as usize).read() };
        sq.head().store(head.wrapping_add(1), Ordering::Release);
        Some(sqe)
    }

    /// Posts a completion; false when the completion queue is full, and nothing was posted.
    pub fn post_cqe(&mut self, cqe: RawCqe) -> bool {
        if self.cq_space() == 0 {
            return false;
        }
        let cq = &self.queues.cq;
        let tail = cq.tail().load(Ordering::Relaxed);
        // SAFETY: masked; the consumer has passed this place, by the head read in `cq_space`.
        unsafe { cq.entries.add((tail & cq.mask) as usize).write(cqe) };
        cq.tail().store(tail.wrapping_add(1), Ordering::Release);
        true
    }

    /// Places free in the completion queue.
    pub fn cq_space(&self) -> u32 {
        let cq = &self.queues.cq;
        let head = cq.head().load(Ordering::Acquire);
        cq.mask + 1 - cq.tail().load(Ordering::Relaxed).wrapping_sub(head)
    }

    /// Completions posted and not yet consumed.
    pub fn cq_ready(&self) -> u32 {
        self.queues.cq_ready()
    }

    /// Shows or hides `IORING_SQ_*` bits in the submission queue's flags.
    pub fn show_flags(&mut self, which: SqFlags, shown: bool) {
        let (flags, bits) = (self.queues.sq.flags(), which.bits());
        if shown {
            flags.fetch_or(bits, Ordering::Relaxed);
        } else {
            flags.fetch_and(!bits, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sqe(user_data: u64) -> RawSqe {
        RawSqe { user_data, ..RawSqe::default() }
    }

    fn copied(queues: &mut Queues, room: usize) -> Vec<u64> {
        let mut out = vec![Cqe::default(); room];
        let count = queues.copy_cqes(&mut out);
        out[..count].iter().map(Cqe::user_data).collect()
    }

    #[test]
    fn entries_travel_in_order_across_the_wrap_of_the_indices() {
        let mut queues = Queues::on_heap(4, 4).expect("queues");
        queues.start_at(u32::MAX - 1);
        for round in 0..3u64 {
            for step in 0..4 {
                queues.push(&sqe(round * 4 + step)).expect("space");
            }
            assert_eq!(queues.push(&sqe(99)), Err(PushError::Full));
            assert_eq!(queues.publish(), 4);
            let mut side = queues.kernel_side();
            while let Some(sqe) = side.take_sqe() {
                assert!(side.post_cqe(RawCqe { user_data: sqe.user_data, ..RawCqe::default() }));
            }
            assert_eq!(copied(&mut queues, 8), (round * 4..round * 4 + 4).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_entry_is_invisible_to_the_kernel_until_it_is_published() {
        let mut queues = Queues::on_heap(2, 2).expect("queues");
        queues.push(&sqe(7)).expect("space");
        assert_eq!(queues.kernel_side().take_sqe(), None);
        assert_eq!(queues.publish(), 1);
        assert_eq!(queues.kernel_side().take_sqe().map(|sqe| sqe.user_data), Some(7));
        assert_eq!(queues.sq_pending(), 0);
    }

    #[test]
    fn a_full_completion_queue_takes_no_more_until_it_is_consumed() {
        let mut queues = Queues::on_heap(2, 2).expect("queues");
        let mut side = queues.kernel_side();
        let cqe = |user_data| RawCqe { user_data, ..RawCqe::default() };
        assert!(side.post_cqe(cqe(1)) && side.post_cqe(cqe(2)));
        assert!(!side.post_cqe(cqe(3)));
        assert_eq!(copied(&mut queues, 1), [1]);
        assert!(queues.kernel_side().post_cqe(cqe(3)));
        assert_eq!(copied(&mut queues, 8), [2, 3]);
    }

    #[test]
    fn offsets_outside_the_mapping_are_refused() {
        let layout = Layout::from_size_align(64, 64).expect("layout");
        // SAFETY: the size is not zero.
        let start = NonNull::new(unsafe { alloc::alloc_zeroed(layout) }).expect("memory");
        let memory = Memory::Heap { start, layout, entries_at: 64 };
        let params = Params { sq_entries: 1, cq_entries: 1, ..Params::default() };
        let error = Queues::new(memory, &params).expect_err("no room for entries");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}

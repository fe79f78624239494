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
//! An entry is read or written only while it belongs to our side by the indices. And nothing is touched
//! without [`Queues::ours`]: a forked child does not have the memory.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use super::{BigCqe, Cqe, PushError};
use crate::sys::abi::{
    CqFlags, CqOffsets, Params, RawSqe, RawSqe128, SetupFlags, SqFlags, SqOffsets,
};
use crate::sys::process::Process;

mod completions;
mod kernel_side;
mod memory;
mod submissions;
#[cfg(test)]
mod tests;

use completions::Completions;
pub use kernel_side::KernelSide;
pub(crate) use memory::{Memory, Shape, Sizes};
use submissions::Submissions;

/// The `user_data` that a ring with submissions of both sizes
/// ([`SetupFlags::SQE_MIXED`](crate::ring::SetupFlags::SQE_MIXED)) keeps for itself: it has no completions with
/// it.
///
/// It is that of the fillers which [`Ring::push128`](crate::ring::Ring::push128) needs at the end of the queue.
pub const FILLER_USER_DATA: u64 = u64::from_be_bytes(*b"uringnop");

/// Both queues, with the memory they lie in.
#[derive(Debug)]
pub(crate) struct Queues {
    sq: Submissions,
    cq: Completions,
    /// Who may touch the memory.
    process: Process,
    /// The size of the head with which [`Sizes::array_at`] is true; none if it never is.
    array_head: Option<u32>,
    /// Owned so that the pointers of `sq` and `cq` stay valid.
    memory: Memory,
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// `start + offset` as a `T`, if it lies within the `len_bytes` behind `start` with `count` items.
fn place<T>(
    (start, len_bytes): (NonNull<u8>, usize),
    offset: u32,
    count: u64,
) -> io::Result<NonNull<T>> {
    let bytes = size_of::<T>() as u64 * count + u64::from(offset);
    let address = start.addr().get().wrapping_add(offset as usize);
    if bytes > len_bytes as u64 || address % align_of::<T>() != 0 {
        return Err(invalid("the kernel described queues that do not lie within their mapping"));
    }
    // SAFETY: the offset lies within the allocation, as just checked.
    Ok(unsafe { start.add(offset as usize) }.cast())
}

impl Queues {
    /// The queues that `params` describes, in `memory`. What the kernel filled in is checked, not trusted.
    pub(crate) fn new(memory: Memory, params: &Params) -> io::Result<Queues> {
        let flags = SetupFlags::from_bits_retain(params.flags);
        if !params.sq_entries.is_power_of_two() || !params.cq_entries.is_power_of_two() {
            return Err(invalid("the kernel reported queue sizes that are no powers of two"));
        }
        let sq = Submissions::new(&memory, params, Shape::of_submissions(flags))?;
        let mut cq = Completions::new(&memory, params, Shape::of_completions(flags))?;
        cq.of_fillers = sq.shape == Shape::Mixed;
        let process = memory.made_by();
        let mut heads = [params.cq_off.cqes, params.cq_off.cqes.saturating_mul(2)].into_iter();
        let array_head = heads.find(|head| params.sq_off.array == Sizes::array_at(params, *head));
        let mut queues = Queues { sq, cq, process, array_head, memory };
        if !flags.contains(SetupFlags::NO_SQARRAY) {
            queues.write_array(params)?;
        }
        Ok(queues)
    }

    /// The kernel reads entries through an index array; ours never reorders, so the identity is written once
    /// and for all.
    fn write_array(&mut self, params: &Params) -> io::Result<()> {
        let entries = params.sq_entries;
        let completions_end = Sizes::described(&Params {
            flags: params.flags | SetupFlags::NO_SQARRAY.bits(),
            ..*params
        });
        if (params.sq_off.array as usize) < completions_end.rings {
            return Err(invalid("the kernel described an array of indices among the completions"));
        }
        let rings = self.memory.rings();
        let array: NonNull<AtomicU32> = place(rings, params.sq_off.array, u64::from(entries))?;
        for index in 0..entries {
            // SAFETY: `place` checked room for `entries` indices.
            unsafe { array.add(index as usize).as_ref() }.store(index, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Queues on the heap for a kernel in user space, laid out as Linux lays them out. Both sizes are powers
    /// of two, and `flags` says how entries lie.
    pub(crate) fn on_heap(
        sq_entries: u32,
        cq_entries: u32,
        flags: SetupFlags,
    ) -> io::Result<Queues> {
        const CQES_AT: u32 = 64;
        let flags = flags | SetupFlags::NO_SQARRAY;
        let params = Params {
            sq_entries,
            cq_entries,
            flags: flags.bits(),
            sq_off: SqOffsets {
                head: 0,
                tail: 4,
                ring_mask: 16,
                ring_entries: 24,
                dropped: 32,
                flags: 36,
                ..SqOffsets::default()
            },
            cq_off: CqOffsets {
                head: 8,
                tail: 12,
                ring_mask: 20,
                ring_entries: 28,
                flags: 40,
                overflow: 44,
                cqes: CQES_AT,
                ..CqOffsets::default()
            },
            ..Params::default()
        };
        let sizes = Sizes::described(&params);
        let entries_at = sizes.rings.next_multiple_of(64);
        let memory = Memory::on_heap(entries_at, entries_at + sizes.entries)?;
        for (offset, value) in
            [(16, sq_entries - 1), (24, sq_entries), (20, cq_entries - 1), (28, cq_entries)]
        {
            let word: NonNull<AtomicU32> = place(memory.rings(), offset, 1)?;
            // SAFETY: `place` has checked it, and nobody else knows the memory yet.
            unsafe { word.as_ref() }.store(value, Ordering::Relaxed);
        }
        Queues::new(memory, &params)
    }

    /// What [`Sizes::array_at`] is to be told for queues of other sizes; none if nobody knows.
    pub(crate) fn array_head(&self) -> Option<u32> {
        self.array_head
    }

    /// Whether the memory may be touched: it is there, and this is the process that has it.
    fn ours(&self) -> bool {
        self.process.is_current()
    }

    /// Takes the memory away, until other queues take the place of these.
    pub(crate) fn abandon(&mut self) {
        self.process = Process::nobody();
    }

    /// Why nothing may be touched; `None` if it may.
    pub(crate) fn out_of_reach(&self) -> Option<PushError> {
        match (self.ours(), self.process.is_nobody()) {
            (true, _) => None,
            // They have no room at the moment.
            (false, true) => Some(PushError::Full),
            (false, false) => Some(PushError::OtherProcess),
        }
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
        if self.ours() { self.sq.space() } else { 0 }
    }

    /// Submissions written and not yet taken by the kernel.
    pub(crate) fn sq_pending(&self) -> u32 {
        if self.ours() { self.sq.pending() } else { 0 }
    }

    /// Whether there is nothing to submit, to take or to fetch.
    pub(crate) fn are_quiet(&self) -> bool {
        self.ours() && self.sq.pending() == 0 && self.cq.ready() == 0 && !self.needs_enter()
    }

    /// Whether completions wait behind the queue, for an `enter` to fetch them.
    pub(crate) fn needs_enter(&self) -> bool {
        self.sq_flags().intersects(SqFlags::TASKRUN | SqFlags::CQ_OVERFLOW)
    }

    /// Submissions that were dropped for an index out of range: none, as the indices are ours.
    pub(crate) fn sq_dropped(&self) -> u32 {
        if self.ours() { self.sq.dropped().load(Ordering::Relaxed) } else { 0 }
    }

    /// Writes an entry behind the last one; not visible to the kernel before [`Queues::publish`].
    #[cfg(test)]
    pub(crate) fn push(&mut self, sqe: &RawSqe) -> Result<(), PushError> {
        self.push_as(sqe, sqe.user_data)
    }

    /// As `push`, with this `user_data`.
    #[inline]
    pub(crate) fn push_as(&mut self, sqe: &RawSqe, user_data: u64) -> Result<(), PushError> {
        if !self.ours() {
            return self.out_of_reach().map_or(Ok(()), Err);
        }
        self.sq.push_as(sqe, user_data)
    }

    /// Writes an entry of 128 bytes.
    pub(crate) fn push128(&mut self, sqe: &RawSqe128) -> Result<(), PushError> {
        self.out_of_reach().map_or(Ok(()), Err)?;
        self.sq.push128(sqe)
    }

    /// Writes all entries or none.
    pub(crate) fn push_all(
        &mut self,
        count: usize,
        sqes: impl Iterator<Item = RawSqe> + Clone,
    ) -> Result<(), PushError> {
        self.out_of_reach().map_or(Ok(()), Err)?;
        self.sq.push_all(count, sqes)
    }

    /// Makes all entries pushed so far visible to the kernel; returns how many it has not taken yet.
    pub(crate) fn publish(&mut self) -> u32 {
        if !self.ours() {
            return 0;
        }
        self.sq.publish();
        self.sq.pending()
    }

    /// `IORING_SQ_*`, as the kernel shows them now.
    pub(crate) fn sq_flags(&self) -> SqFlags {
        if !self.ours() {
            return SqFlags::empty();
        }
        SqFlags::from_bits_retain(self.sq.flags().load(Ordering::Relaxed))
    }

    /// Whether the polling thread sleeps and must be woken for what `publish` made visible.
    pub(crate) fn needs_wakeup(&self) -> bool {
        // Our store of the tail must not pass this load, or the thread can go to sleep having seen the old
        // tail while we see the old flag. Only a full fence orders a store before a load.
        fence(Ordering::SeqCst);
        self.sq_flags().contains(SqFlags::NEED_WAKEUP)
    }

    /// `IORING_CQ_*`, as we show them to the kernel.
    pub(crate) fn cq_flags(&self) -> CqFlags {
        if !self.ours() {
            return CqFlags::empty();
        }
        CqFlags::from_bits_retain(self.cq.flags().load(Ordering::Relaxed))
    }

    /// Shows or hides `IORING_CQ_*` bits to the kernel.
    pub(crate) fn show_cq_flags(&mut self, which: CqFlags, shown: bool) {
        if !self.ours() {
            return;
        }
        // Only we write this word.
        let mut flags = self.cq_flags();
        flags.set(which, shown);
        self.cq.flags().store(flags.bits(), Ordering::Relaxed);
    }

    /// Places of the completion queue that are filled.
    pub(crate) fn cq_ready(&self) -> u32 {
        if self.ours() { self.cq.ready() } else { 0 }
    }

    /// Completions that the kernel had to give up, for want of memory. Zero on any healthy system.
    pub(crate) fn cq_lost(&self) -> u32 {
        if self.ours() { self.cq.overflow().load(Ordering::Relaxed) } else { 0 }
    }

    /// Copies completions out, oldest first, and gives their places back to the kernel, once for all.
    pub(crate) fn copy_cqes(&mut self, out: &mut [Cqe]) -> usize {
        if self.ours() { self.cq.copy_cqes(out) } else { 0 }
    }

    /// Takes completions one by one, as many as are there now.
    #[inline]
    pub(crate) fn take_cqes(&mut self, take: impl FnMut(Cqe)) {
        if self.ours() {
            self.cq.take(take);
        }
    }

    /// Takes the oldest completion whole.
    pub(crate) fn next_cqe(&mut self) -> Option<BigCqe> {
        if self.ours() { self.cq.next() } else { None }
    }

    /// Copies completions out whole.
    pub(crate) fn copy_big_cqes(&mut self, out: &mut [BigCqe]) -> usize {
        if self.ours() { self.cq.copy(out) } else { 0 }
    }

    /// Copies completions that stay in the queue.
    pub(crate) fn peek(&self, out: &mut [BigCqe]) -> usize {
        if self.ours() { self.cq.peek(out).0 } else { 0 }
    }

    /// Whether there is something in a queue whose entries are not all plain.
    pub(crate) fn hold_large(&self) -> bool {
        self.sq.shape != Shape::Plain && self.sq_pending() > 0
            || self.cq.shape != Shape::Plain && self.cq_ready() > 0
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

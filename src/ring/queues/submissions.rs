//! The submission queue: written by us, read by the kernel.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{FILLER_USER_DATA, Memory, Shape, invalid, place};
use crate::ring::PushError;
use crate::sys::abi::{Opcode, Params, RawSqe, RawSqe128, SqeFlags};

const LINKS: SqeFlags = SqeFlags::IO_LINK.union(SqeFlags::IO_HARDLINK);

#[derive(Debug)]
pub(super) struct Submissions {
    head: NonNull<AtomicU32>,
    tail: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    dropped: NonNull<AtomicU32>,
    pub(super) entries: NonNull<RawSqe>,
    pub(super) mask: u32,
    /// Where the next entry goes. Published by `publish`.
    pub(super) local_tail: u32,
    pub(super) shape: Shape,
    /// How the last entry of a queue of mixed sizes is linked to the next one.
    last_links: SqeFlags,
}

/// Whether an operation takes two places of a queue of mixed sizes.
pub(super) fn is_wide(opcode: u8) -> bool {
    [Opcode::NOP128, Opcode::URING_CMD128].contains(&Opcode(opcode))
}

impl Submissions {
    pub(super) fn new(memory: &Memory, params: &Params, shape: Shape) -> io::Result<Submissions> {
        let (rings, offsets, count) = (memory.rings(), &params.sq_off, params.sq_entries);
        let places = u64::from(count) << shape.shift();
        let mask: NonNull<AtomicU32> = place(rings, offsets.ring_mask, 1)?;
        let mut queue = Submissions {
            head: place(rings, offsets.head, 1)?,
            tail: place(rings, offsets.tail, 1)?,
            flags: place(rings, offsets.flags, 1)?,
            dropped: place(rings, offsets.dropped, 1)?,
            entries: place(memory.entries(), 0, places)?,
            mask: count - 1,
            local_tail: 0,
            shape,
            last_links: SqeFlags::empty(),
        };
        // SAFETY: the safety invariant of `queues`.
        if unsafe { mask.as_ref() }.load(Ordering::Relaxed) != queue.mask {
            return Err(invalid("the kernel reported two sizes of one submission queue"));
        }
        queue.local_tail = queue.tail().load(Ordering::Relaxed);
        if queue.pending() > count {
            return Err(invalid("the kernel reported more submissions than fit their queue"));
        }
        Ok(queue)
    }

    pub(super) fn pending(&self) -> u32 {
        // Acquire: with a polling thread, an entry may be overwritten only after the kernel has read it.
        self.local_tail.wrapping_sub(self.head().load(Ordering::Acquire))
    }

    pub(super) fn space(&self) -> u32 {
        // Saturating: a kernel whose head ran past our tail leaves no room, rather than a panic.
        (self.mask + 1).saturating_sub(self.pending())
    }

    pub(super) fn publish(&self) {
        // Release: the entries are written before the tail that covers them.
        self.tail().store(self.local_tail, Ordering::Release);
    }

    pub(super) fn push(&mut self, sqe: &RawSqe) -> Result<(), PushError> {
        self.push_as(sqe, sqe.user_data)
    }

    /// As `push`, with other `user_data`: set there and not before, as what was just written in a smaller piece than it is
    /// copied in keeps the processor waiting.
    // Always: a call costs every operation 16 instructions.
    #[inline(always)]
    pub(super) fn push_as(&mut self, sqe: &RawSqe, user_data: u64) -> Result<(), PushError> {
        if self.space() == 0 {
            return Err(PushError::Full);
        }
        if self.shape != Shape::Plain {
            return self.push_shaped(&RawSqe { user_data, ..*sqe });
        }
        self.put(RawSqe { user_data, ..*sqe });
        Ok(())
    }

    /// There is room for one.
    #[cold]
    fn push_shaped(&mut self, sqe: &RawSqe) -> Result<(), PushError> {
        match self.shape {
            Shape::Wide => {
                self.put_wide(&RawSqe128 { first: *sqe, ..RawSqe128::default() });
                Ok(())
            }
            // The kernel would take the entry behind it for its second half.
            Shape::Mixed if is_wide(sqe.opcode) => Err(PushError::Size),
            _ => {
                self.put(*sqe);
                self.note_links(sqe);
                Ok(())
            }
        }
    }

    fn note_links(&mut self, sqe: &RawSqe) {
        self.last_links = SqeFlags::from_bits_retain(sqe.flags) & LINKS;
    }

    pub(super) fn push128(&mut self, sqe: &RawSqe128) -> Result<(), PushError> {
        match self.shape {
            Shape::Wide if self.space() == 0 => Err(PushError::Full),
            Shape::Wide => {
                self.put_wide(sqe);
                Ok(())
            }
            Shape::Mixed if is_wide(sqe.first.opcode) && self.mask > 0 => {
                if self.local_tail & self.mask == self.mask && self.space() > 0 {
                    self.put(self.filler());
                }
                if self.space() < 2 {
                    return Err(PushError::Full);
                }
                self.put(sqe.first);
                self.put_bytes(&sqe.more);
                self.note_links(&sqe.first);
                Ok(())
            }
            _ => Err(PushError::Size),
        }
    }

    /// What stands in the last place before an entry that needs two, since an entry must not wrap. It goes on
    /// with a chain that it stands in. If it fails, as all behind a failure in a chain do, it has a completion,
    /// which is known by its `user_data` and never handed out.
    fn filler(&self) -> RawSqe {
        let flags = (SqeFlags::CQE_SKIP_SUCCESS | self.last_links).bits();
        let (opcode, user_data) = (Opcode::NOP.0, FILLER_USER_DATA);
        RawSqe { opcode, fd: -1, flags, user_data, ..RawSqe::default() }
    }

    pub(super) fn push_all(
        &mut self,
        count: usize,
        sqes: impl Iterator<Item = RawSqe> + Clone,
    ) -> Result<(), PushError> {
        if count > self.mask as usize + 1 {
            return Err(PushError::TooLong);
        }
        if count > self.space() as usize {
            return Err(PushError::Full);
        }
        if self.shape == Shape::Mixed && sqes.clone().any(|sqe| is_wide(sqe.opcode)) {
            return Err(PushError::Size);
        }
        sqes.take(count).try_for_each(|sqe| self.push(&sqe))
    }

    /// Writes an entry where there is room for one.
    #[inline]
    fn put(&mut self, sqe: RawSqe) {
        let index = self.local_tail & self.mask;
        // SAFETY: the index is masked, and the entry is ours: it lies in [head + entries, ...) seen from the
        // kernel, which has published through `head` that it no longer reads it.
        unsafe { self.entries.add(index as usize).write(sqe) };
        self.local_tail = self.local_tail.wrapping_add(1);
    }

    /// Writes the second half of an entry where there is room for one.
    fn put_bytes(&mut self, bytes: &[u8; 64]) {
        let index = self.local_tail & self.mask;
        // SAFETY: as in `put`; a place has 64 bytes.
        unsafe { self.entries.add(index as usize).cast::<[u8; 64]>().write(*bytes) };
        self.local_tail = self.local_tail.wrapping_add(1);
    }

    /// Writes an entry into a place of 128 bytes.
    fn put_wide(&mut self, sqe: &RawSqe128) {
        let index = (self.local_tail & self.mask) << self.shape.shift();
        // SAFETY: as in `put`; there are twice as many places of 64 bytes, by `Submissions::new`.
        unsafe { self.entries.add(index as usize).cast::<RawSqe128>().write(*sqe) };
        self.local_tail = self.local_tail.wrapping_add(1);
    }

    pub(super) fn head(&self) -> &AtomicU32 {
        // SAFETY: the safety invariant of `queues`.
        unsafe { self.head.as_ref() }
    }

    pub(super) fn tail(&self) -> &AtomicU32 {
        // SAFETY: the safety invariant of `queues`.
        unsafe { self.tail.as_ref() }
    }

    pub(super) fn flags(&self) -> &AtomicU32 {
        // SAFETY: the safety invariant of `queues`.
        unsafe { self.flags.as_ref() }
    }

    pub(super) fn dropped(&self) -> &AtomicU32 {
        // SAFETY: the safety invariant of `queues`.
        unsafe { self.dropped.as_ref() }
    }
}

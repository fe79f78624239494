//! The queues seen from the other side.

use std::sync::atomic::Ordering;

use super::submissions::is_wide;
use super::{Queues, Shape};
use crate::sys::abi::{CqFlags, CqeFlags, RawCqe, RawSqe, RawSqe128, SqFlags};

/// The queues seen from the other side: what a [`Kernel`](crate::ring::Kernel) works on.
///
/// The same memory, masks and orderings as Linux sees, so a kernel in user space exercises all of them.
#[derive(Debug)]
pub struct KernelSide<'a> {
    pub(super) queues: &'a mut Queues,
}

impl KernelSide<'_> {
    /// Takes the oldest published submission, of one of 128 bytes the first half.
    pub fn take_sqe(&mut self) -> Option<RawSqe> {
        self.take_sqe128().map(|sqe| sqe.first)
    }

    /// Takes the oldest published submission; the second half of one of 64 bytes is zero.
    pub fn take_sqe128(&mut self) -> Option<RawSqe128> {
        let sq = &self.queues.sq;
        let head = sq.head().load(Ordering::Relaxed);
        let published = sq.tail().load(Ordering::Acquire).wrapping_sub(head);
        if published == 0 {
            return None;
        }
        let index = (head & sq.mask) << sq.shape.shift();
        // SAFETY: masked; written by `push` before the tail just read was published.
        let first = unsafe { sq.entries.add(index as usize).read() };
        let in_two = sq.shape == Shape::Mixed && is_wide(first.opcode) && published > 1;
        let more = if sq.shape == Shape::Wide || in_two && index < sq.mask {
            // SAFETY: as above; the second half is in the same wide place, or in the next one.
            unsafe { sq.entries.add(index as usize + 1).cast::<[u8; 64]>().read() }
        } else {
            [0; 64]
        };
        sq.head().store(head.wrapping_add(1 + u32::from(in_two)), Ordering::Release);
        Some(RawSqe128 { first, more })
    }

    /// Posts a completion; false when the completion queue is full, and nothing was posted.
    pub fn post_cqe(&mut self, cqe: RawCqe) -> bool {
        match self.queues.cq.shape {
            Shape::Wide => self.post_big_cqe(cqe, [0; 2]),
            Shape::Plain | Shape::Mixed if self.cq_space() > 0 => {
                self.put(cqe, None);
                true
            }
            _ => false,
        }
    }

    /// Posts a completion of 32 bytes; false when the completion queue has no room for it or takes none of
    /// this size, and nothing was posted. In a queue of mixed sizes it never wraps: a filler stands in the
    /// last place if need be.
    pub fn post_big_cqe(&mut self, mut cqe: RawCqe, extra: [u64; 2]) -> bool {
        let cq = &self.queues.cq;
        let needed = match cq.shape {
            Shape::Plain => return false,
            Shape::Wide => 1,
            Shape::Mixed => 2,
        };
        let at_end = needed == 2 && cq.tail().load(Ordering::Relaxed) & cq.mask == cq.mask;
        if self.cq_space() < needed + u32::from(at_end) {
            return false;
        }
        if at_end {
            self.put(RawCqe { flags: CqeFlags::SKIP.bits(), ..RawCqe::default() }, None);
        }
        if needed == 2 {
            cqe.flags |= CqeFlags::LARGE.bits();
        }
        self.put(cqe, Some(extra));
        true
    }

    /// Writes a completion where there is room for it.
    fn put(&mut self, cqe: RawCqe, extra: Option<[u64; 2]>) {
        let cq = &self.queues.cq;
        let tail = cq.tail().load(Ordering::Relaxed);
        let index = ((tail & cq.mask) << cq.shape.shift()) as usize;
        // SAFETY: masked; the consumer has passed this place, by the head read in `cq_space`.
        unsafe { cq.entries.add(index).write(cqe) };
        let mut places = 1;
        if let Some(extra) = extra {
            // SAFETY: as above; the second half is in the same wide place, or in the next one, which is free
            // and not the first of the queue: `post_big_cqe` has seen to both.
            unsafe { cq.entries.add(index + 1).cast::<[u64; 2]>().write(extra) };
            places += u32::from(cq.shape == Shape::Mixed);
        }
        cq.tail().store(tail.wrapping_add(places), Ordering::Release);
    }

    /// Places free in the completion queue.
    pub fn cq_space(&self) -> u32 {
        let cq = &self.queues.cq;
        let head = cq.head().load(Ordering::Acquire);
        cq.mask + 1 - cq.tail().load(Ordering::Relaxed).wrapping_sub(head)
    }

    /// Completions posted and not yet consumed; in a queue of mixed sizes, the places they take.
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

    /// What the application shows in the completion queue's flags.
    pub fn cq_flags(&self) -> CqFlags {
        self.queues.cq_flags()
    }
}

//! The completion queue: written by the kernel, read by us.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{FILLER_USER_DATA, Memory, Shape, invalid, place};
use crate::ring::{BigCqe, Cqe};
use crate::sys::abi::{CqeFlags, Params, RawCqe};

#[derive(Debug)]
pub(super) struct Completions {
    head: NonNull<AtomicU32>,
    tail: NonNull<AtomicU32>,
    overflow: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    pub(super) entries: NonNull<RawCqe>,
    pub(super) mask: u32,
    pub(super) shape: Shape,
    /// Whether there may be completions of fillers among the submissions.
    pub(super) of_fillers: bool,
}

impl Completions {
    pub(super) fn new(memory: &Memory, params: &Params, shape: Shape) -> io::Result<Completions> {
        let (rings, offsets, count) = (memory.rings(), &params.cq_off, params.cq_entries);
        let places = u64::from(count) << shape.shift();
        let mask: NonNull<AtomicU32> = place(rings, offsets.ring_mask, 1)?;
        let queue = Completions {
            head: place(rings, offsets.head, 1)?,
            tail: place(rings, offsets.tail, 1)?,
            overflow: place(rings, offsets.overflow, 1)?,
            flags: place(rings, offsets.flags, 1)?,
            entries: place(rings, offsets.cqes, places)?,
            mask: count - 1,
            shape,
            of_fillers: false,
        };
        // SAFETY: the safety invariant of `queues`.
        if unsafe { mask.as_ref() }.load(Ordering::Relaxed) != queue.mask {
            return Err(invalid("the kernel reported two sizes of one completion queue"));
        }
        Ok(queue)
    }

    pub(super) fn ready(&self) -> u32 {
        let tail = self.tail().load(Ordering::Acquire);
        // At most as many as there are: a kernel that says more is not believed.
        tail.wrapping_sub(self.head().load(Ordering::Relaxed)).min(self.mask + 1)
    }

    pub(super) fn copy_cqes(&mut self, out: &mut [Cqe]) -> usize {
        if self.shape != Shape::Plain || self.of_fillers {
            return self.copy(out);
        }
        let head = self.head().load(Ordering::Relaxed);
        let count = out.len().min(self.ready() as usize);
        for (step, slot) in out[..count].iter_mut().enumerate() {
            let index = head.wrapping_add(step as u32) & self.mask;
            // SAFETY: masked; the kernel has written this entry, by the tail read with Acquire in `ready`,
            // and does not write it again before the head below passes it.
            *slot = Cqe::from(unsafe { self.entries.add(index as usize).read() });
        }
        self.advance(head, count as u32);
        count
    }

    /// Takes completions one by one, as many as are there now.
    #[inline]
    pub(super) fn take(&mut self, mut take: impl FnMut(Cqe)) {
        if self.shape != Shape::Plain || self.of_fillers {
            return self.take_shaped(&mut take);
        }
        let head = self.head().load(Ordering::Relaxed);
        for step in 0..self.ready() {
            let place = head.wrapping_add(step);
            // SAFETY: masked; the kernel has written this entry, by the tail read with Acquire in `ready`, and does not
            // write it again before the head passes it.
            let cqe = unsafe { self.entries.add((place & self.mask) as usize).read() };
            self.advance(place, 1);
            take(Cqe::from(cqe));
        }
    }

    #[cold]
    fn take_shaped(&mut self, take: &mut dyn FnMut(Cqe)) {
        for _ in 0..self.ready() {
            let Some(next) = self.next() else { return };
            take(next.cqe);
        }
    }

    /// Takes the oldest completion, whatever its shape.
    pub(super) fn next(&mut self) -> Option<BigCqe> {
        let mut next = [BigCqe::default()];
        (self.copy(&mut next) == 1).then_some(next[0])
    }

    /// Copies completions of any shape.
    pub(super) fn copy<T: From<BigCqe>>(&mut self, out: &mut [T]) -> usize {
        let head = self.head().load(Ordering::Relaxed);
        let (count, places) = self.peek(out);
        self.advance(head, places);
        count
    }

    /// Copies completions that stay where they are; returns how many, and how many places they take.
    pub(super) fn peek<T: From<BigCqe>>(&self, out: &mut [T]) -> (usize, u32) {
        let head = self.head().load(Ordering::Relaxed);
        let ready = self.ready();
        let (mut count, mut places) = (0, 0);
        while places < ready {
            let (cqe, step) = self.read(head.wrapping_add(places), ready - places);
            if let Some(cqe) = cqe {
                let Some(slot) = out.get_mut(count) else { break };
                *slot = T::from(cqe);
                count += 1;
            }
            places += step;
        }
        (count, places)
    }

    /// The completion at `head`, none if it is a filler, and how many places it takes; `ready` places, one
    /// at least, are filled from there on.
    fn read(&self, head: u32, ready: u32) -> (Option<BigCqe>, u32) {
        let index = head & self.mask;
        let first = index << self.shape.shift();
        // SAFETY: masked, and there are twice as many plain places in a wide queue, by `Completions::new`. The
        // kernel has written the entry, by the tail read with Acquire in `ready`, and does not write it again
        // before the head passes it.
        let raw = unsafe { self.entries.add(first as usize).read() };
        let flags = CqeFlags::from_bits_retain(raw.flags);
        let large = match self.shape {
            Shape::Plain => false,
            Shape::Wide => true,
            // A large one never wraps; if it seems to, it is read as a small one, which is all there is.
            Shape::Mixed => flags.contains(CqeFlags::LARGE) && index < self.mask && ready > 1,
        };
        let extra = if large {
            // SAFETY: as above; the second half lies in the same wide place, or in the next place, which is
            // not the first of the queue and is filled, too.
            unsafe { self.entries.add(first as usize + 1).cast::<[u64; 2]>().read() }
        } else {
            [0; 2]
        };
        let step = if large && self.shape == Shape::Mixed { 2 } else { 1 };
        let is_filler = self.shape == Shape::Mixed && flags.contains(CqeFlags::SKIP)
            || self.of_fillers && raw.user_data == FILLER_USER_DATA;
        ((!is_filler).then_some(BigCqe { cqe: Cqe::from(raw), extra }), step)
    }

    fn advance(&self, head: u32, places: u32) {
        // Release: the copies are done before the kernel may reuse the places.
        self.head().store(head.wrapping_add(places), Ordering::Release);
    }

    pub(super) fn head(&self) -> &AtomicU32 {
        // SAFETY: the safety invariant of `queues`.
        unsafe { self.head.as_ref() }
    }

    pub(super) fn tail(&self) -> &AtomicU32 {
        // SAFETY: the safety invariant of `queues`.
        unsafe { self.tail.as_ref() }
    }

    pub(super) fn overflow(&self) -> &AtomicU32 {
        // SAFETY: the safety invariant of `queues`.
        unsafe { self.overflow.as_ref() }
    }

    pub(super) fn flags(&self) -> &AtomicU32 {
        // SAFETY: the safety invariant of `queues`.
        unsafe { self.flags.as_ref() }
    }
}

//! A ring of provided buffers, as the kernel sees it.

use std::mem::offset_of;
use std::ptr;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use super::{copy_in, copy_out};
use crate::ring::PbufRingFlags;
use crate::sys::abi::{Buf, BufReg, BufRing};

/// A ring of provided buffers that is registered, as the kernel sees it.
#[derive(Debug)]
pub(in crate::sim) struct BufferRing {
    address: u64,
    count: u16,
    /// The position of the buffer that is used next; counts through.
    pub(in crate::sim) head: u16,
    incremental: bool,
    min_left_bytes: u32,
}

/// Buffers chosen from a ring, for one transfer: each one's address and room.
#[derive(Debug)]
pub(in crate::sim) struct Chosen {
    /// The id of the first.
    pub(in crate::sim) id: u16,
    parts: Vec<(u64, u32)>,
}

impl Chosen {
    /// How many bytes fit.
    pub(in crate::sim) fn len_bytes(&self) -> usize {
        self.parts.iter().map(|&(_, len_bytes)| len_bytes as usize).sum()
    }
}

impl BufferRing {
    /// What a program asks to register.
    ///
    /// # Safety
    ///
    /// So many entries as it says are lent at its address, and the buffers that are published there as well,
    /// until this value is gone.
    pub(in crate::sim) unsafe fn new(reg: &BufReg) -> Result<BufferRing, i32> {
        let flags = PbufRingFlags::from_bits(reg.flags).ok_or(libc::EINVAL)?;
        let incremental = flags.contains(PbufRingFlags::INC);
        let counts = reg.ring_entries.is_power_of_two() && reg.ring_entries <= 1 << 15;
        // Memory of the kernel's would have to be mapped, for which there is no descriptor.
        if !counts || flags.contains(PbufRingFlags::MMAP) || reg.resv != [0; 5] {
            return Err(libc::EINVAL);
        }
        if reg.min_left > 0 && !incremental || reg.ring_addr % 4096 != 0 {
            return Err(libc::EINVAL);
        }
        if reg.ring_addr == 0 {
            return Err(libc::EFAULT);
        }
        Ok(BufferRing {
            address: reg.ring_addr,
            count: reg.ring_entries as u16,
            head: 0,
            incremental,
            min_left_bytes: reg.min_left,
        })
    }

    /// How many buffers it has.
    pub(in crate::sim) fn available(&self) -> u16 {
        // SAFETY: the tail is a `u16` in the first entry.
        let tail = unsafe { self.word::<AtomicU16>(0, offset_of!(BufRing, tail)) };
        tail.load(Ordering::Acquire).wrapping_sub(self.head).min(self.count)
    }

    /// The next `count` buffers, or as many as there are, up to `limit_bytes` in all. None if there are none.
    pub(in crate::sim) fn choose(&self, count: u16, limit_bytes: usize) -> Option<Chosen> {
        let mut left = limit_bytes;
        let mut chosen = Chosen { id: 0, parts: Vec::new() };
        for ahead in 0..self.available().min(count) {
            let position = self.head.wrapping_add(ahead);
            let len_bytes = self.left(position).load(Ordering::Relaxed);
            // SAFETY: two more fields of `io_uring_buf`.
            let (address, id) = unsafe {
                (
                    self.word::<AtomicU64>(position, offset_of!(Buf, addr)).load(Ordering::Relaxed),
                    self.word::<AtomicU16>(position, offset_of!(Buf, bid)).load(Ordering::Relaxed),
                )
            };
            let part = (len_bytes as usize).min(left);
            if chosen.parts.is_empty() {
                chosen.id = id;
            }
            chosen.parts.push((address, part as u32));
            left -= part;
            if left == 0 {
                break;
            }
        }
        Some(chosen).filter(|chosen| !chosen.parts.is_empty())
    }

    /// Fills chosen buffers with what was read or received, one after the other; returns whether the kernel
    /// keeps the last one.
    pub(in crate::sim) fn fill(&mut self, chosen: &Chosen, bytes: &[u8]) -> Result<bool, i32> {
        let mut rest = bytes;
        for &(address, room) in &chosen.parts {
            let (part, after) = rest.split_at(rest.len().min(room as usize));
            // SAFETY: the buffers of a registered ring are lent from when they are published until a completion
            // names them, and this ring is registered. `chosen` was taken from it in the same attempt.
            unsafe { copy_out(address, part)? };
            rest = after;
        }
        Ok(self.consume(bytes.len(), chosen))
    }

    /// The first `len_bytes` in chosen buffers, to be sent.
    pub(in crate::sim) fn bytes(&self, chosen: &Chosen, len_bytes: usize) -> Result<Vec<u8>, i32> {
        let mut bytes = Vec::with_capacity(len_bytes);
        for &(address, room) in &chosen.parts {
            let part = (len_bytes - bytes.len()).min(room as usize);
            // SAFETY: as in `fill`; who has a request send from a group has filled its buffers.
            bytes.extend(unsafe { copy_in(address, part)? });
        }
        Ok(bytes)
    }

    /// Moves on behind `len_bytes` of what was chosen; returns whether the last buffer is used further.
    pub(in crate::sim) fn consume(&mut self, len_bytes: usize, chosen: &Chosen) -> bool {
        let mut rest = len_bytes;
        for &(_, room) in &chosen.parts {
            let part = rest.min(room as usize);
            rest -= part;
            if self.incremental {
                let left = self.left(self.head).load(Ordering::Relaxed) - part as u32;
                let keeps = left > 0 && left >= self.min_left_bytes;
                self.left(self.head).store(if keeps { left } else { 0 }, Ordering::Relaxed);
                if keeps {
                    // SAFETY: a field of `io_uring_buf`.
                    let at = unsafe { self.word::<AtomicU64>(self.head, offset_of!(Buf, addr)) };
                    at.fetch_add(part as u64, Ordering::Relaxed);
                    return true;
                }
            }
            self.head = self.head.wrapping_add(1);
            if rest == 0 {
                break;
            }
        }
        false
    }

    /// How many bytes are left of the buffer at `position`.
    fn left(&self, position: u16) -> &AtomicU32 {
        // SAFETY: a field of `io_uring_buf`.
        unsafe { self.word(position, offset_of!(Buf, len)) }
    }

    /// A word of the entry at `position`.
    ///
    /// # Safety
    ///
    /// An entry has a `T` at `offset`, which is an atomic integer.
    unsafe fn word<T>(&self, position: u16, offset: usize) -> &T {
        let index = usize::from(position & (self.count - 1));
        let start = ptr::with_exposed_provenance::<u8>(self.address as usize);
        // SAFETY: whoever registered the ring lends `count` entries at its address until it is unregistered,
        // which ends this value; all that either side does with them goes by atomic words.
        unsafe { &*start.add(index * size_of::<Buf>() + offset).cast::<T>() }
    }
}

//! The memory of a group: its buffers, and the ring that names them to the kernel.
//!
//! # Safety invariant
//!
//! Pointers lie within the allocation or mapping that the same value owns. A ring entry is only accessed by
//! atomic words, since the kernel reads it, and writes it where buffers are consumed piece by piece. The
//! bytes of a buffer are accessed by whom the ledger names as their owner.

use std::alloc::{self, Layout};
use std::io;
use std::mem::offset_of;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use crate::sys::abi::{Buf, BufRing};
use crate::sys::mapping::Mapping;

/// Zeroed memory, freed once.
#[derive(Debug)]
struct Block {
    start: NonNull<u8>,
    layout: Layout,
}

impl Block {
    fn new(len_bytes: usize, align: usize) -> io::Result<Block> {
        let layout = Layout::from_size_align(len_bytes, align)
            .ok()
            .filter(|layout| layout.size() > 0)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc::alloc_zeroed(layout) };
        match NonNull::new(start) {
            Some(start) => Ok(Block { start, layout }),
            None => Err(io::Error::from_raw_os_error(libc::ENOMEM)),
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout by `new`, freed once.
        unsafe { alloc::dealloc(self.start.as_ptr(), self.layout) }
    }
}

/// The buffers of a group, all of one size, one behind the other.
#[derive(Debug)]
pub(super) struct Buffers {
    block: Block,
    each_bytes: u32,
}

impl Buffers {
    /// `count` zeroed buffers. The pages of a large group are taken from the system when first written to.
    pub(super) fn new(count: u16, each_bytes: u32) -> io::Result<Buffers> {
        // What every C allocator aligns to by itself: asked for more, the standard library writes the zeros
        // by hand, which takes all pages from the system at once.
        const ALIGN: usize = 16;
        let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
        let len_bytes = usize::from(count).checked_mul(each_bytes as usize).ok_or_else(invalid)?;
        Ok(Buffers { block: Block::new(len_bytes, ALIGN)?, each_bytes })
    }

    /// The size of each.
    pub(super) fn each_bytes(&self) -> u32 {
        self.each_bytes
    }

    /// The address of a buffer, for the kernel.
    pub(super) fn address(&self, id: u16) -> u64 {
        self.at(id, 0).as_ptr().expose_provenance() as u64
    }

    /// The byte `offset_bytes` in the buffer `id`.
    ///
    /// Panics if it lies beyond the group: the ledger checks what completions say, so none does.
    fn at(&self, id: u16, offset_bytes: u32) -> NonNull<u8> {
        let at = usize::from(id) * self.each_bytes as usize + offset_bytes as usize;
        assert!(at <= self.block.layout.size(), "bytes beyond the group: please report this");
        // SAFETY: within the block, or one behind its end.
        unsafe { self.block.start.add(at) }
    }

    /// A part of a buffer.
    pub(super) fn part(&self, id: u16, start_bytes: u32, len_bytes: u32) -> NonNull<[u8]> {
        let end = self.at(id, start_bytes.saturating_add(len_bytes).min(self.each_bytes));
        let start = self.at(id, start_bytes);
        let len_bytes = end.as_ptr().addr().saturating_sub(start.as_ptr().addr());
        NonNull::slice_from_raw_parts(start, len_bytes)
    }
}

/// The memory of a ring: ours, or the kernel's.
#[derive(Debug)]
enum Place {
    Heap(Block),
    Mapped(Mapping),
}

/// A ring of buffers, as the kernel reads it: an array of entries, and a tail inside the first one.
#[derive(Debug)]
pub(super) struct Entries {
    place: Place,
    count: u16,
}

impl Entries {
    /// How many bytes a ring takes.
    pub(super) fn len_bytes(count: u16) -> usize {
        usize::from(count) * size_of::<Buf>()
    }

    /// A ring in memory of ours.
    pub(super) fn on_heap(count: u16) -> io::Result<Entries> {
        let page_bytes = page_bytes();
        // Whole pages, since the kernel pins them: nothing else shall lie on a pinned page.
        let len_bytes = Entries::len_bytes(count).next_multiple_of(page_bytes);
        Ok(Entries { place: Place::Heap(Block::new(len_bytes, page_bytes)?), count })
    }

    /// A ring in memory of the kernel's. None if the mapping is too small.
    pub(super) fn mapped(count: u16, mapping: Mapping) -> Option<Entries> {
        let fits = Entries::len_bytes(count) <= mapping.len_bytes();
        fits.then_some(Entries { place: Place::Mapped(mapping), count })
    }

    /// The address of the ring, for the kernel.
    pub(super) fn address(&self) -> u64 {
        self.start().as_ptr().expose_provenance() as u64
    }

    fn start(&self) -> NonNull<u8> {
        match &self.place {
            Place::Heap(block) => block.start,
            Place::Mapped(mapping) => mapping.start(),
        }
    }

    /// A word of the entry at `position`.
    ///
    /// # Safety
    ///
    /// An entry has a `T` at `offset`, which is an atomic integer.
    unsafe fn word<T>(&self, position: u64, offset: usize) -> &T {
        // The number of entries is a power of two that fits 16 bits.
        let index = (position & (u64::from(self.count) - 1)) as usize;
        // SAFETY: the index is less than the count, so the entry lies within the memory, which is as long as
        // `self`; entries are aligned to 8 bytes in memory aligned to a page; atomics may be shared with the
        // kernel; that the word is one is the caller's contract.
        unsafe { self.start().add(index * size_of::<Buf>() + offset).cast::<T>().as_ref() }
    }

    /// Writes the entry at `position`, for the kernel to see at the next [`Entries::publish`].
    ///
    /// Never the last two bytes: in the first entry those are the tail.
    pub(super) fn write(&self, position: u64, address: u64, len_bytes: u32, id: u16) {
        // SAFETY: three fields of `io_uring_buf`, of these sizes.
        let (to_address, to_len, to_id) = unsafe {
            (
                self.word::<AtomicU64>(position, offset_of!(Buf, addr)),
                self.word::<AtomicU32>(position, offset_of!(Buf, len)),
                self.word::<AtomicU16>(position, offset_of!(Buf, bid)),
            )
        };
        to_address.store(address, Ordering::Relaxed);
        to_len.store(len_bytes, Ordering::Relaxed);
        to_id.store(id, Ordering::Relaxed);
    }

    /// Hands all entries before `position` to the kernel. Release, so that it sees what they say.
    pub(super) fn publish(&self, position: u64) {
        // SAFETY: the tail is a `u16` inside the first entry.
        let tail = unsafe { self.word::<AtomicU16>(0, offset_of!(BufRing, tail)) };
        tail.store(position as u16, Ordering::Release);
    }

    /// How much of the buffer at `position` the kernel has left; it counts down in the entry where buffers
    /// are consumed piece by piece (Linux 6.12). `tail` is the position behind the last entry written.
    pub(super) fn left_bytes(&self, position: u64, tail: u64) -> u32 {
        // An entry is written over only when the kernel is done with what was there.
        if tail - position > u64::from(self.count) {
            return 0;
        }
        // SAFETY: a field of `io_uring_buf`, of this size.
        unsafe { self.word::<AtomicU32>(position, offset_of!(Buf, len)) }.load(Ordering::Relaxed)
    }

    /// The entry at `position` and the tail, as the kernel sees them.
    #[cfg(test)]
    pub(super) fn seen_by_kernel(&self, position: u64) -> (u64, u32, u16, u16) {
        // SAFETY: three fields of `io_uring_buf` and the tail of `io_uring_buf_ring`, of these sizes.
        unsafe {
            (
                self.word::<AtomicU64>(position, offset_of!(Buf, addr)).load(Ordering::Relaxed),
                self.word::<AtomicU32>(position, offset_of!(Buf, len)).load(Ordering::Relaxed),
                self.word::<AtomicU16>(position, offset_of!(Buf, bid)).load(Ordering::Relaxed),
                self.word::<AtomicU16>(0, offset_of!(BufRing, tail)).load(Ordering::Acquire),
            )
        }
    }

    /// Counts an entry down, as the kernel does.
    #[cfg(test)]
    pub(super) fn consume(&self, position: u64, len_bytes: u32) {
        // SAFETY: a field of `io_uring_buf`, of this size.
        let left = unsafe { self.word::<AtomicU32>(position, offset_of!(Buf, len)) };
        left.fetch_sub(len_bytes, Ordering::Relaxed);
    }
}

/// The size of a page, to which the kernel wants a ring aligned. `sysconf(3)`.
fn page_bytes() -> usize {
    // SAFETY: no memory is involved.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    // It cannot fail; were it to, this is the size on most machines.
    usize::try_from(bytes).ok().filter(|bytes| bytes.is_power_of_two()).unwrap_or(4096)
}

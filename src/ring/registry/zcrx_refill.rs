//! The refill ring of zero-copy receive: pieces of memory on their way back to the device.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::sys::abi::{ZCRX_AREA_MASK, ZcrxOffsets, ZcrxRqe};
use crate::sys::pages::Pages;

/// A ring of pieces in memory shared with the kernel, which takes them at the head; we publish at the tail.
#[derive(Debug)]
pub(super) struct Refill {
    /// Every pointer below lies in it, aligned, as checked by `new`.
    memory: Pages,
    head: NonNull<AtomicU32>,
    tail: NonNull<AtomicU32>,
    entries: NonNull<ZcrxRqe>,
    mask: u32,
    /// What the kernel wants added to every offset: the area.
    token: u64,
}

impl Refill {
    /// The ring that the kernel has laid out in `memory`; what it says is checked, not trusted.
    pub(super) fn new(
        memory: Pages,
        offsets: &ZcrxOffsets,
        entries: u32,
        token: u64,
    ) -> io::Result<Refill> {
        if !entries.is_power_of_two() {
            return Err(invalid());
        }
        Ok(Refill {
            head: place(&memory, offsets.head, 1)?,
            tail: place(&memory, offsets.tail, 1)?,
            entries: place(&memory, offsets.rqes, entries)?,
            mask: entries - 1,
            token,
            memory,
        })
    }

    /// Gives a piece back; false when the ring is full.
    pub(super) fn push(&mut self, offset: u64, len_bytes: u32) -> bool {
        if !self.memory.are_ours() {
            return false;
        }
        // SAFETY: the pointers lie in the memory of this value, which this process has.
        let (head, tail) = unsafe { (self.head.as_ref(), self.tail.as_ref()) };
        let last = tail.load(Ordering::Relaxed);
        // Acquire: the kernel has read an entry before its head passes it.
        if last.wrapping_sub(head.load(Ordering::Acquire)) > self.mask {
            return false;
        }
        let off = offset & !ZCRX_AREA_MASK | self.token;
        let entry = ZcrxRqe { off, len: len_bytes, pad: 0 };
        // SAFETY: masked; between the tail and the head an entry is ours.
        unsafe { self.entries.add((last & self.mask) as usize).write_volatile(entry) };
        // Release: the entry is written before the tail that covers it.
        tail.store(last.wrapping_add(1), Ordering::Release);
        true
    }
}

fn place<T>(memory: &Pages, offset: u32, count: u32) -> io::Result<NonNull<T>> {
    let end = u64::from(offset) + size_of::<T>() as u64 * u64::from(count);
    if end > memory.len_bytes() as u64 || offset as usize % align_of::<T>() != 0 {
        return Err(invalid());
    }
    // SAFETY: the offset lies within the memory, as just checked.
    Ok(unsafe { memory.start().add(offset as usize) }.cast())
}

fn invalid() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the kernel described a refill ring that does not lie within its memory",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFSETS: ZcrxOffsets = ZcrxOffsets { head: 0, tail: 4, rqes: 64, resv2: 0, resv: [0; 2] };

    fn refill(entries: u32) -> io::Result<Refill> {
        Refill::new(Pages::new(4096).expect("a page"), &OFFSETS, entries, 3 << 48)
    }

    fn entry(refill: &Refill, index: usize) -> ZcrxRqe {
        // SAFETY: the tests look at entries that exist.
        unsafe { refill.entries.add(index).read_volatile() }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri advises no memory")]
    fn a_piece_goes_back_with_the_area_in_place_of_what_the_completion_said() {
        let mut refill = refill(2).expect("a ring");
        assert!(refill.push(7 << 48 | 4096, 100));
        assert_eq!(entry(&refill, 0), ZcrxRqe { off: 3 << 48 | 4096, len: 100, pad: 0 });
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri advises no memory")]
    fn a_full_refill_ring_takes_no_more_until_the_kernel_has_taken_some() {
        let mut refill = refill(2).expect("a ring");
        assert!(refill.push(0, 1) && refill.push(1, 1));
        assert!(!refill.push(2, 1));
        // SAFETY: the word lies in the memory of the ring.
        unsafe { refill.head.as_ref() }.store(1, Ordering::Release);
        assert!(refill.push(2, 1));
        assert_eq!(entry(&refill, 0).off, 3 << 48 | 2);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri advises no memory")]
    fn a_refill_ring_outside_of_its_memory_is_refused() {
        let error = refill(256).expect_err("256 entries of 16 bytes behind byte 64 of 4,096");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(refill(3).is_err(), "no power of two");
    }
}

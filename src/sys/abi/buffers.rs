//! Rings of provided buffers.

use bitflags::bitflags;

/// `struct io_uring_buf`: one buffer of a ring of provided buffers. Linux 5.19.
///
/// The `resv` of the first one is the tail of the ring ([`BufRing`]): the fields of an entry are written one
/// by one, never the struct as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Buf {
    /// The address.
    pub addr: u64,
    /// The length, in bytes.
    pub len: u32,
    /// The buffer's id, handed back in completions.
    pub bid: u16,
    /// Not ours: in the first entry it is the tail.
    pub resv: u16,
}

layout!(Buf, 16, 8, { addr @ 0, len @ 8, bid @ 12, resv @ 14 });

/// `struct io_uring_buf_ring`: the first [`Buf`] of a ring, seen as its head. Linux 5.19.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct BufRing {
    /// The address of the first buffer.
    pub resv1: u64,
    /// The length of the first buffer.
    pub resv2: u32,
    /// The id of the first buffer.
    pub resv3: u16,
    /// The index behind the last buffer that was provided, wrapping at 2¹⁶.
    pub tail: u16,
}

layout!(BufRing, 16, 8, { resv1 @ 0, resv2 @ 8, resv3 @ 12, tail @ 14 });

/// `struct io_uring_buf_reg`: a ring of provided buffers to register. Linux 5.19.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct BufReg {
    /// The address of the ring, aligned to a page; 0 with [`PbufRingFlags::MMAP`].
    pub ring_addr: u64,
    /// How many buffers, a power of two below 2¹⁶.
    pub ring_entries: u32,
    /// The group.
    pub bgid: u16,
    /// [`PbufRingFlags`]. Linux 6.4.
    pub flags: u16,
    /// How many bytes must be left of a buffer for it to be used further, with [`PbufRingFlags::INC`].
    /// Linux 7.1, and carried back to 6.18.
    pub min_left: u32,
    /// Must be zero.
    pub resv: [u32; 5],
}

layout!(BufReg, 40, 8, {
    ring_addr @ 0, ring_entries @ 8, bgid @ 12, flags @ 14, min_left @ 16, resv @ 20,
});

bitflags! {
    /// `IOU_PBUF_RING_*`: how a ring of provided buffers is made.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct PbufRingFlags: u16 {
        /// The kernel allocates the ring, and it is mapped from there. Linux 6.4.
        const MMAP = 1;
        /// Buffers are consumed piece by piece. Linux 6.12.
        const INC = 1 << 1;
    }
}

/// `struct io_uring_buf_status`: how far a ring of provided buffers is consumed. Linux 6.8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct BufStatus {
    /// The group, an input.
    pub buf_group: u32,
    /// The index of the next buffer that the kernel takes, an output.
    pub head: u32,
    /// Must be zero.
    pub resv: [u32; 8],
}

layout!(BufStatus, 40, 4, { buf_group @ 0, head @ 4, resv @ 8 });

//! Zero-copy receive: packets land in memory of the application's.

use bitflags::bitflags;

/// `struct io_uring_zcrx_rqe`: an entry of the refill ring, a piece given back. Linux 6.15.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ZcrxRqe {
    /// The offset, with the area above [`ZCRX_AREA_SHIFT`].
    pub off: u64,
    /// The length, in bytes.
    pub len: u32,
    /// Must be zero.
    pub pad: u32,
}

layout!(ZcrxRqe, 16, 8, { off @ 0, len @ 8, pad @ 12 });

/// `struct io_uring_zcrx_cqe`: the second half of a completion of
/// [`Opcode::RECV_ZC`](super::Opcode::RECV_ZC). Linux 6.15.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ZcrxCqe {
    /// The offset, with the area above [`ZCRX_AREA_SHIFT`].
    pub off: u64,
    /// Zero.
    pub pad: u64,
}

layout!(ZcrxCqe, 16, 8, { off @ 0, pad @ 8 });

/// `IORING_ZCRX_AREA_SHIFT`: where the area stands in an offset. Linux 6.15.
pub const ZCRX_AREA_SHIFT: u32 = 48;

/// `IORING_ZCRX_AREA_MASK`: the bits of an offset that are the area. Linux 6.15.
pub const ZCRX_AREA_MASK: u64 = !((1 << ZCRX_AREA_SHIFT) - 1);

/// `struct io_uring_zcrx_offsets`: where the words of the refill ring lie, in bytes from the start of its
/// region. Linux 6.15.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ZcrxOffsets {
    /// The index of the next entry that the kernel takes.
    pub head: u32,
    /// The index behind the last entry that we published.
    pub tail: u32,
    /// The entries.
    pub rqes: u32,
    /// Zero.
    pub resv2: u32,
    /// Zero.
    pub resv: [u64; 2],
}

layout!(ZcrxOffsets, 32, 8, { head @ 0, tail @ 4, rqes @ 8, resv2 @ 12, resv @ 16 });

/// `struct io_uring_zcrx_area_reg`: the memory that packets land in. Linux 6.15.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ZcrxAreaReg {
    /// The address; for a DMA buffer the offset in it.
    pub addr: u64,
    /// The length, in bytes.
    pub len: u64,
    /// What to add to offsets in the refill ring, an output.
    pub rq_area_token: u64,
    /// [`ZcrxAreaFlags`].
    pub flags: u32,
    /// The DMA buffer, with [`ZcrxAreaFlags::DMABUF`]. Linux 6.16.
    pub dmabuf_fd: u32,
    /// Must be zero.
    pub resv2: [u64; 2],
}

layout!(ZcrxAreaReg, 48, 8, {
    addr @ 0, len @ 8, rq_area_token @ 16, flags @ 24, dmabuf_fd @ 28, resv2 @ 32,
});

bitflags! {
    /// `IORING_ZCRX_AREA_*`: what kind of memory packets land in.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct ZcrxAreaFlags: u32 {
        /// A DMA buffer, such as a device's memory. Linux 6.16.
        const DMABUF = 1;
    }
}

/// `struct io_uring_zcrx_ifq_reg`: a receive queue to register. Linux 6.15.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ZcrxIfqReg {
    /// The index of the network interface.
    pub if_idx: u32,
    /// Its receive queue.
    pub if_rxq: u32,
    /// The size of the refill ring, a power of two.
    pub rq_entries: u32,
    /// [`ZcrxRegFlags`].
    pub flags: u32,
    /// The address of a [`ZcrxAreaReg`].
    pub area_ptr: u64,
    /// The address of the [`RegionDesc`](super::RegionDesc) of the refill ring.
    pub region_ptr: u64,
    /// Where the refill ring lies, an output.
    pub offsets: ZcrxOffsets,
    /// The queue's id, an output.
    pub zcrx_id: u32,
    /// The size of pieces wanted, with [`ZcrxFeatures::RX_PAGE_SIZE`]. Linux 7.0; zero before.
    pub rx_buf_len: u32,
    /// The address of a [`ZcrxEventDesc`], with [`ZcrxFeatures::EVENT`]. Newer than Linux 7.0; zero before.
    pub event_desc: u64,
    /// Must be zero.
    pub resv: [u64; 2],
}

layout!(ZcrxIfqReg, 96, 8, {
    if_idx @ 0, if_rxq @ 4, rq_entries @ 8, flags @ 12, area_ptr @ 16, region_ptr @ 24,
    offsets @ 32, zcrx_id @ 64, rx_buf_len @ 68, event_desc @ 72, resv @ 80,
});

bitflags! {
    /// `ZCRX_REG_*`: how a receive queue is registered.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct ZcrxRegFlags: u32 {
        /// Takes over a queue that another ring exported. Linux 6.19.
        const IMPORT = 1;
        /// Has no device behind it: all data is copied. Newer than Linux 7.0.
        const NODEV = 1 << 1;
    }
}

bitflags! {
    /// `ZCRX_FEATURE_*`: what zero-copy receive can do, in
    /// [`QueryZcrx::features`](super::QueryZcrx::features).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct ZcrxFeatures: u32 {
        /// Takes [`ZcrxIfqReg::rx_buf_len`]. Linux 7.0.
        const RX_PAGE_SIZE = 1;
        /// Takes [`ZcrxIfqReg::event_desc`]. Newer than Linux 7.0.
        const EVENT = 1 << 1;
    }
}

/// `struct zcrx_event_desc`: which events to report, and where. Newer than Linux 7.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ZcrxEventDesc {
    /// Handed back in the completion of an event.
    pub user_data: u64,
    /// The events, the bit `1 << n` for the [`ZcrxEvent`] with number n.
    pub type_mask: u32,
    /// [`ZcrxEventDescFlags`].
    pub flags: u32,
    /// Where the [`ZcrxStats`] lie, in bytes from the start of the refill ring's region.
    pub stats_offset: u64,
    /// Must be zero.
    pub resv2: [u64; 9],
}

layout!(ZcrxEventDesc, 96, 8, {
    user_data @ 0, type_mask @ 8, flags @ 12, stats_offset @ 16, resv2 @ 24,
});

bitflags! {
    /// `ZCRX_EVENT_DESC_FLAG_*`: what of a [`ZcrxEventDesc`] is set.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct ZcrxEventDescFlags: u32 {
        /// `stats_offset` is. Newer than Linux 7.0.
        const STATS = 1;
    }
}

numbers! {
    /// `ZCRX_EVENT_*`: something that happened to a receive queue.
    ZcrxEvent: u32 {
        /// There was no memory for a packet.
        ALLOC_FAIL = 0, "7.x";
        /// Data was copied after all.
        COPY = 1, "7.x";
    }
}

/// `struct zcrx_stats`: what was copied after all, counted from the start. Newer than Linux 7.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ZcrxStats {
    /// Completions.
    pub copy_count: u64,
    /// Bytes.
    pub copy_bytes: u64,
}

layout!(ZcrxStats, 16, 8, { copy_count @ 0, copy_bytes @ 8 });

/// `struct zcrx_ctrl`: controls a receive queue. Linux 6.19.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ZcrxCtrl {
    /// The queue.
    pub zcrx_id: u32,
    /// [`ZcrxCtrlOp`].
    pub op: u32,
    /// Must be zero.
    pub resv: [u64; 2],
    /// What the control takes and gives: [`ZcrxCtrlFlushRq`], [`ZcrxCtrlExport`], [`ZcrxCtrlArmEvent`].
    pub arg: [u32; 12],
}

layout!(ZcrxCtrl, 72, 8, { zcrx_id @ 0, op @ 4, resv @ 8, arg @ 24 });

numbers! {
    /// `ZCRX_CTRL_*`: what a [`ZcrxCtrl`] does.
    ZcrxCtrlOp: u32 {
        /// Takes what is in the refill ring now.
        FLUSH_RQ = 0, "6.19";
        /// Makes a descriptor of the queue, for another ring to import.
        EXPORT = 1, "6.19";
        /// Reports an event once more.
        ARM_EVENT = 2, "7.x";
    }
}

/// `struct zcrx_ctrl_flush_rq`: the [`arg`](ZcrxCtrl::arg) of [`ZcrxCtrlOp::FLUSH_RQ`]. Linux 6.19.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ZcrxCtrlFlushRq {
    /// Must be zero.
    pub resv: [u64; 6],
}

layout!(ZcrxCtrlFlushRq, 48, 8, { resv @ 0 });

/// `struct zcrx_ctrl_export`: the [`arg`](ZcrxCtrl::arg) of [`ZcrxCtrlOp::EXPORT`]. Linux 6.19.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ZcrxCtrlExport {
    /// The descriptor that stands for the queue, an output.
    pub zcrx_fd: u32,
    /// Must be zero.
    pub resv1: [u32; 11],
}

layout!(ZcrxCtrlExport, 48, 4, { zcrx_fd @ 0, resv1 @ 4 });

/// `struct zcrx_ctrl_arm_event`: the [`arg`](ZcrxCtrl::arg) of [`ZcrxCtrlOp::ARM_EVENT`]. Newer than
/// Linux 7.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ZcrxCtrlArmEvent {
    /// [`ZcrxEvent`].
    pub event_type: u32,
    /// Must be zero.
    pub resv: [u32; 11],
}

layout!(ZcrxCtrlArmEvent, 48, 4, { event_type @ 0, resv @ 4 });

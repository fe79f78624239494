//! Arguments and results of `io_uring_setup(2)`, and where the rings are mapped.

use bitflags::bitflags;

/// `struct io_sqring_offsets`: where the words of the submission queue lie, in bytes from the start of the
/// rings. Linux 5.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SqOffsets {
    /// The index of the next entry that the kernel takes.
    pub head: u32,
    /// The index behind the last entry that we published.
    pub tail: u32,
    /// One less than the number of entries.
    pub ring_mask: u32,
    /// The number of entries.
    pub ring_entries: u32,
    /// [`SqFlags`](super::SqFlags).
    pub flags: u32,
    /// How many entries were dropped for an index out of range.
    pub dropped: u32,
    /// The array of indices; 0 with [`SetupFlags::NO_SQARRAY`].
    pub array: u32,
    /// Must be zero.
    pub resv1: u32,
    /// The address of the entries, an input with [`SetupFlags::NO_MMAP`]. Linux 6.5.
    pub user_addr: u64,
}

layout!(SqOffsets, 40, 8, {
    head @ 0, tail @ 4, ring_mask @ 8, ring_entries @ 12, flags @ 16, dropped @ 20, array @ 24,
    resv1 @ 28, user_addr @ 32,
});

/// `struct io_cqring_offsets`: where the words of the completion queue lie, in bytes from the start of the
/// rings. Linux 5.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CqOffsets {
    /// The index of the next entry that we consume.
    pub head: u32,
    /// The index behind the last entry that the kernel posted.
    pub tail: u32,
    /// One less than the number of entries.
    pub ring_mask: u32,
    /// The number of entries.
    pub ring_entries: u32,
    /// How many completions were lost.
    pub overflow: u32,
    /// The entries.
    pub cqes: u32,
    /// [`CqFlags`](super::CqFlags). Linux 5.8.
    pub flags: u32,
    /// Must be zero.
    pub resv1: u32,
    /// The address of the rings, an input with [`SetupFlags::NO_MMAP`]. Linux 6.5.
    pub user_addr: u64,
}

layout!(CqOffsets, 40, 8, {
    head @ 0, tail @ 4, ring_mask @ 8, ring_entries @ 12, overflow @ 16, cqes @ 20, flags @ 24,
    resv1 @ 28, user_addr @ 32,
});

/// `struct io_uring_params`: what to make, and what was made. Linux 5.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Params {
    /// The size of the submission queue, written by the kernel.
    pub sq_entries: u32,
    /// The size of the completion queue; an input with [`SetupFlags::CQSIZE`].
    pub cq_entries: u32,
    /// [`SetupFlags`].
    pub flags: u32,
    /// The processor of the submission thread, with [`SetupFlags::SQ_AFF`].
    pub sq_thread_cpu: u32,
    /// After how many milliseconds the submission thread sleeps, with [`SetupFlags::SQPOLL`]; 0 means 1000.
    pub sq_thread_idle: u32,
    /// [`Features`], written by the kernel.
    pub features: u32,
    /// The ring to share workers with, with [`SetupFlags::ATTACH_WQ`]. Linux 5.6.
    pub wq_fd: u32,
    /// Must be zero.
    pub resv: [u32; 3],
    /// Where the submission queue lies.
    pub sq_off: SqOffsets,
    /// Where the completion queue lies.
    pub cq_off: CqOffsets,
}

layout!(Params, 120, 8, {
    sq_entries @ 0, cq_entries @ 4, flags @ 8, sq_thread_cpu @ 12, sq_thread_idle @ 16,
    features @ 20, wq_fd @ 24, resv @ 28, sq_off @ 40, cq_off @ 80,
});

bitflags! {
    /// `IORING_SETUP_*`: what kind of ring. `io_uring_setup(2)`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct SetupFlags: u32 {
        /// Completions are found by polling the device; for files opened with `O_DIRECT`. Linux 5.1.
        const IOPOLL = 1;
        /// A kernel thread takes the submissions. Linux 5.1.
        const SQPOLL = 1 << 1;
        /// Pins that thread to a processor; only with `SQPOLL`. Linux 5.1.
        const SQ_AFF = 1 << 2;
        /// `cq_entries` is an input. Linux 5.5.
        const CQSIZE = 1 << 3;
        /// Sizes beyond the maximum are cut instead of refused. Linux 5.6.
        const CLAMP = 1 << 4;
        /// Shares workers, and a submission thread, with the ring in `wq_fd`. Linux 5.6.
        const ATTACH_WQ = 1 << 5;
        /// Takes no submissions until it is enabled. Linux 5.10.
        const R_DISABLED = 1 << 6;
        /// Goes on submitting behind an entry that failed at once. Linux 5.18.
        const SUBMIT_ALL = 1 << 7;
        /// Interrupts nobody to complete; not with `SQPOLL`. Linux 5.19.
        const COOP_TASKRUN = 1 << 8;
        /// Shows waiting completions by [`SqFlags::TASKRUN`](super::SqFlags::TASKRUN); only with
        /// `COOP_TASKRUN` or `DEFER_TASKRUN`. Linux 5.19.
        const TASKRUN_FLAG = 1 << 9;
        /// Submissions have 128 bytes. Linux 5.19.
        const SQE128 = 1 << 10;
        /// Completions have 32 bytes. Linux 5.19.
        const CQE32 = 1 << 11;
        /// Only one thread submits. Linux 6.0.
        const SINGLE_ISSUER = 1 << 12;
        /// Completes in `enter` with [`EnterFlags::GETEVENTS`](super::EnterFlags::GETEVENTS) and at no other
        /// time; only with `SINGLE_ISSUER`, not with `SQPOLL`. Linux 6.1; whoever polls the ring's descriptor hears of
        /// completions since 6.3.
        const DEFER_TASKRUN = 1 << 13;
        /// The rings lie in memory of the caller's. Linux 6.5.
        const NO_MMAP = 1 << 14;
        /// Returns a registered index in place of a descriptor; only with `NO_MMAP`. Linux 6.5.
        const REGISTERED_FD_ONLY = 1 << 15;
        /// The submission queue has no array of indices. Linux 6.6.
        const NO_SQARRAY = 1 << 16;
        /// Sleeps a while before polling the device; only with `IOPOLL`. Linux 6.13.
        const HYBRID_IOPOLL = 1 << 17;
        /// Completions have 16 or 32 bytes each; not with `CQE32`. Linux 6.18.
        const CQE_MIXED = 1 << 18;
        /// Submissions have 64 or 128 bytes each; not with `SQE128`. Linux 6.19.
        const SQE_MIXED = 1 << 19;
        /// Submissions are always taken from index 0 on; only with `NO_SQARRAY`, not with `SQPOLL`.
        /// Linux 7.0.
        const SQ_REWIND = 1 << 20;
    }
}

bitflags! {
    /// `IORING_FEAT_*`: what the kernel can do, written by it into [`Params::features`].
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Features: u32 {
        /// One mapping covers both queues. Linux 5.4.
        const SINGLE_MMAP = 1;
        /// Completions that find no room are kept in the kernel. Linux 5.5.
        const NODROP = 1 << 1;
        /// What a submission points to, other than its data, is read before submit returns. Linux 5.5.
        const SUBMIT_STABLE = 1 << 2;
        /// An offset of -1 is the file's own position. Linux 5.6.
        const RW_CUR_POS = 1 << 3;
        /// Works with the credentials of whoever enters, not of whoever made the ring. Linux 5.6.
        const CUR_PERSONALITY = 1 << 4;
        /// Waits for readiness itself rather than in worker threads. Linux 5.7.
        const FAST_POLL = 1 << 5;
        /// Poll masks have 32 bits (`EPOLLEXCLUSIVE`). Linux 5.9.
        const POLL_32BITS = 1 << 6;
        /// A submission thread works on files that are not registered. Linux 5.11.
        const SQPOLL_NONFIXED = 1 << 7;
        /// `enter` takes a [`GeteventsArg`](super::GeteventsArg). Linux 5.11.
        const EXT_ARG = 1 << 8;
        /// Workers are threads of the process; rings are no longer charged to `RLIMIT_MEMLOCK`, until later kernels
        /// did so again (6.18 does). Linux 5.12.
        const NATIVE_WORKERS = 1 << 9;
        /// Registered files and buffers take tags and can be updated. Linux 5.13.
        const RSRC_TAGS = 1 << 10;
        /// [`SqeFlags::CQE_SKIP_SUCCESS`](super::SqeFlags::CQE_SKIP_SUCCESS). Linux 5.17.
        const CQE_SKIP = 1 << 11;
        /// The file of a linked submission is looked up when it starts. Linux 5.18.
        const LINKED_FILE = 1 << 12;
        /// Register calls go through a registered ring, too. Linux 6.3.
        const REG_REG_RING = 1 << 13;
        /// Sends and receives take bundles, and sends select buffers. Linux 6.10.
        const RECVSEND_BUNDLE = 1 << 14;
        /// A wait takes a minimum time. Linux 6.12.
        const MIN_TIMEOUT = 1 << 15;
        /// Reads and writes take attributes. Linux 6.14.
        const RW_ATTR = 1 << 16;
        /// [`EnterFlags::NO_IOWAIT`](super::EnterFlags::NO_IOWAIT). Linux 6.15.
        const NO_IOWAIT = 1 << 17;
    }
}

/// `IORING_OFF_SQ_RING`: both rings, where the kernel has [`Features::SINGLE_MMAP`]. An offset for
/// `mmap(2)`. Linux 5.1.
pub const OFF_SQ_RING: i64 = 0;

/// `IORING_OFF_CQ_RING`: the completion ring alone; needed before Linux 5.4 only. Linux 5.1.
pub const OFF_CQ_RING: i64 = 0x800_0000;

/// `IORING_OFF_SQES`: the submission entries. Linux 5.1.
pub const OFF_SQES: i64 = 0x1000_0000;

/// `IORING_OFF_PBUF_RING`: a buffer ring that the kernel allocated
/// ([`PbufRingFlags::MMAP`](super::PbufRingFlags::MMAP)), its group shifted up by [`OFF_PBUF_SHIFT`] added.
/// Linux 6.4.
pub const OFF_PBUF_RING: i64 = 0x8000_0000;

/// `IORING_OFF_PBUF_SHIFT`: where the group stands in [`OFF_PBUF_RING`]. Linux 6.4.
pub const OFF_PBUF_SHIFT: u32 = 16;

/// `IORING_OFF_MMAP_MASK`: the bits of an offset that choose what is mapped. Linux 6.4.
pub const OFF_MMAP_MASK: i64 = 0xf800_0000;

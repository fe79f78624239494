//! The register calls, and the arguments of those that concern the ring as a whole.

use bitflags::bitflags;

use super::enter::Timespec;

numbers! {
    /// `IORING_REGISTER_*` and `IORING_UNREGISTER_*`: what an `io_uring_register(2)` does.
    RegisterOp: u32 {
        /// Registers buffers.
        REGISTER_BUFFERS = 0, "5.1";
        /// Gives the registered buffers back.
        UNREGISTER_BUFFERS = 1, "5.1";
        /// Registers files.
        REGISTER_FILES = 2, "5.1";
        /// Gives the registered files back.
        UNREGISTER_FILES = 3, "5.1";
        /// Signals an eventfd with every completion.
        REGISTER_EVENTFD = 4, "5.2";
        /// Signals it no longer.
        UNREGISTER_EVENTFD = 5, "5.2";
        /// Replaces registered files, [`RsrcUpdate`](super::RsrcUpdate).
        REGISTER_FILES_UPDATE = 6, "5.5";
        /// Signals an eventfd with every completion that did not come at once.
        REGISTER_EVENTFD_ASYNC = 7, "5.6";
        /// Asks which operations there are, [`Probe`].
        REGISTER_PROBE = 8, "5.6";
        /// Keeps the caller's credentials under an id.
        REGISTER_PERSONALITY = 9, "5.6";
        /// Forgets such credentials.
        UNREGISTER_PERSONALITY = 10, "5.6";
        /// Restricts what the ring may do, [`Restriction`](super::Restriction).
        REGISTER_RESTRICTIONS = 11, "5.10";
        /// Enables a ring that was made disabled.
        REGISTER_ENABLE_RINGS = 12, "5.10";
        /// Registers files, sparse or with tags, [`RsrcRegister`](super::RsrcRegister).
        REGISTER_FILES2 = 13, "5.13";
        /// Replaces files and tags, [`RsrcUpdate2`](super::RsrcUpdate2).
        REGISTER_FILES_UPDATE2 = 14, "5.13";
        /// Registers buffers, sparse or with tags, [`RsrcRegister`](super::RsrcRegister).
        REGISTER_BUFFERS2 = 15, "5.13";
        /// Replaces buffers and tags, [`RsrcUpdate2`](super::RsrcUpdate2).
        REGISTER_BUFFERS_UPDATE = 16, "5.13";
        /// Binds the worker threads to processors.
        REGISTER_IOWQ_AFF = 17, "5.14";
        /// Binds them no longer.
        UNREGISTER_IOWQ_AFF = 18, "5.14";
        /// Limits the number of worker threads, [`WorkerKind`].
        REGISTER_IOWQ_MAX_WORKERS = 19, "5.15";
        /// Registers rings by index, for this thread, [`RsrcUpdate`](super::RsrcUpdate).
        REGISTER_RING_FDS = 20, "5.18";
        /// Gives such indices back.
        UNREGISTER_RING_FDS = 21, "5.18";
        /// Registers a ring of provided buffers, [`BufReg`](super::BufReg).
        REGISTER_PBUF_RING = 22, "5.19";
        /// Gives such a ring back.
        UNREGISTER_PBUF_RING = 23, "5.19";
        /// Cancels requests and waits until they have ended, [`SyncCancelReg`].
        REGISTER_SYNC_CANCEL = 24, "6.0";
        /// Sets the range that free slots are chosen from, [`FileIndexRange`](super::FileIndexRange).
        REGISTER_FILE_ALLOC_RANGE = 25, "6.0";
        /// Asks how far a ring of provided buffers is consumed, [`BufStatus`](super::BufStatus).
        REGISTER_PBUF_STATUS = 26, "6.8";
        /// Polls network devices while waiting, [`Napi`](super::Napi).
        REGISTER_NAPI = 27, "6.9";
        /// Polls them no longer.
        UNREGISTER_NAPI = 28, "6.9";
        /// Chooses the clock of waits, [`ClockRegister`].
        REGISTER_CLOCK = 29, "6.12";
        /// Copies registered buffers from another ring, [`CloneBuffers`](super::CloneBuffers).
        REGISTER_CLONE_BUFFERS = 30, "6.12";
        /// Sends a message to a ring without having one, a [`RawSqe`](super::RawSqe).
        REGISTER_SEND_MSG_RING = 31, "6.13";
        /// Registers a zero-copy receive queue, [`ZcrxIfqReg`](super::ZcrxIfqReg).
        REGISTER_ZCRX_IFQ = 32, "6.15";
        /// Resizes the rings, [`Params`](super::Params).
        REGISTER_RESIZE_RINGS = 33, "6.13";
        /// Registers a region of memory, [`MemRegionReg`](super::MemRegionReg).
        REGISTER_MEM_REGION = 34, "6.13";
        /// Asks what the kernel knows, [`QueryHdr`](super::QueryHdr).
        REGISTER_QUERY = 35, "6.18";
        /// Controls a zero-copy receive queue, [`ZcrxCtrl`](super::ZcrxCtrl).
        REGISTER_ZCRX_CTRL = 36, "6.19";
        /// Attaches a filter to operations, [`Bpf`](super::Bpf).
        REGISTER_BPF_FILTER = 37, "7.0";
    }
}

bitflags! {
    /// Flags of every register call, beside its [`RegisterOp`].
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct RegisterFlags: u32 {
        /// `IORING_REGISTER_USE_REGISTERED_RING`: the ring is given by its registered index. Linux 6.3.
        const USE_REGISTERED_RING = 1 << 31;
    }
}

/// `struct io_uring_probe_op`: what a kernel says of one operation. Linux 5.6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ProbeOp {
    /// The operation, [`Opcode`](super::Opcode).
    pub op: u8,
    /// Zero.
    pub resv: u8,
    /// [`ProbeOpFlags`].
    pub flags: u16,
    /// Zero.
    pub resv2: u32,
}

layout!(ProbeOp, 8, 4, { op @ 0, resv @ 1, flags @ 2, resv2 @ 4 });

bitflags! {
    /// `IO_URING_OP_*`: what a [`ProbeOp`] says.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct ProbeOpFlags: u16 {
        /// The kernel has the operation. Linux 5.6.
        const SUPPORTED = 1;
    }
}

/// `struct io_uring_probe`, with room for every number that an opcode can have. Linux 5.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Probe {
    /// The last operation that the kernel knows.
    pub last_op: u8,
    /// How many of `ops` it filled.
    pub ops_len: u8,
    /// Zero.
    pub resv: u16,
    /// Zero.
    pub resv2: [u32; 3],
    /// The operations, each at its number.
    pub ops: [ProbeOp; 256],
}

layout!(Probe, 2064, 4, { last_op @ 0, ops_len @ 1, resv @ 2, resv2 @ 4, ops @ 16 });

impl Default for Probe {
    fn default() -> Probe {
        Probe { last_op: 0, ops_len: 0, resv: 0, resv2: [0; 3], ops: [ProbeOp::default(); 256] }
    }
}

/// `struct io_uring_sync_cancel_reg`: which requests to cancel, and how long to wait for their end.
/// Linux 6.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SyncCancelReg {
    /// The `user_data` of the requests.
    pub addr: u64,
    /// Their descriptor, with [`CancelFlags::FD`](super::CancelFlags::FD).
    pub fd: i32,
    /// [`CancelFlags`](super::CancelFlags).
    pub flags: u32,
    /// The longest wait; -1 in both fields is forever.
    pub timeout: Timespec,
    /// Their operation, with [`CancelFlags::OP`](super::CancelFlags::OP). Linux 6.6.
    pub opcode: u8,
    /// Must be zero.
    pub pad: [u8; 7],
    /// Must be zero.
    pub pad2: [u64; 3],
}

layout!(SyncCancelReg, 64, 8, {
    addr @ 0, fd @ 8, flags @ 12, timeout @ 16, opcode @ 32, pad @ 33, pad2 @ 40,
});

/// `struct io_uring_clock_register`: the clock of waits. Linux 6.12.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ClockRegister {
    /// `CLOCK_MONOTONIC` or `CLOCK_BOOTTIME`.
    pub clockid: u32,
    /// Must be zero.
    pub resv: [u32; 3],
}

layout!(ClockRegister, 16, 4, { clockid @ 0, resv @ 4 });

numbers! {
    /// `IO_WQ_*`: a kind of worker threads, an index of the array that
    /// [`RegisterOp::REGISTER_IOWQ_MAX_WORKERS`] takes.
    WorkerKind: u32 {
        /// Those for work that ends in bounded time, on regular files and block devices.
        BOUND = 0, "5.15";
        /// Those for work that may take forever, on sockets and pipes.
        UNBOUND = 1, "5.15";
    }
}

//! Flags of operations on requests, on rings, and on memory.

use bitflags::bitflags;

bitflags! {
    /// `IORING_NOP_*`: flags of [`Opcode::NOP`](super::Opcode::NOP), in `op_flags`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct NopFlags: u32 {
        /// The result is `len`. Linux 6.10.
        const INJECT_RESULT = 1;
        /// Looks up the descriptor. Linux 6.13.
        const FILE = 1 << 1;
        /// The descriptor is an index of the registered files; with `FILE`. Linux 6.13.
        const FIXED_FILE = 1 << 2;
        /// Looks up the registered buffer. Linux 6.13.
        const FIXED_BUFFER = 1 << 3;
        /// Completes as task work, not at once. Linux 6.16.
        const TW = 1 << 4;
        /// Completes with 32 bytes, which repeat `off` and `addr`. Linux 6.18.
        const CQE32 = 1 << 5;
    }
}

bitflags! {
    /// `IORING_TIMEOUT_*`: flags of timeouts, in `op_flags`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct TimeoutFlags: u32 {
        /// A point in time, no span. Linux 5.5.
        const ABS = 1;
        /// Changes a timeout rather than ending it; of
        /// [`Opcode::TIMEOUT_REMOVE`](super::Opcode::TIMEOUT_REMOVE) only. Linux 5.11.
        const UPDATE = 1 << 1;
        /// By `CLOCK_BOOTTIME`. Linux 5.15.
        const BOOTTIME = 1 << 2;
        /// By `CLOCK_REALTIME`. Linux 5.15.
        const REALTIME = 1 << 3;
        /// `IORING_LINK_TIMEOUT_UPDATE`: as `UPDATE`, of a link timeout. Linux 5.15.
        const LINK_TIMEOUT_UPDATE = 1 << 4;
        /// Running out is a success: it does not break a link. Linux 5.16.
        const ETIME_SUCCESS = 1 << 5;
        /// Completes again and again; not with `ABS`. Linux 6.4.
        const MULTISHOT = 1 << 6;
        /// `addr` is the time itself, in nanoseconds, no address of one. Linux 7.1.
        const IMMEDIATE_ARG = 1 << 7;
    }
}

impl TimeoutFlags {
    /// `IORING_TIMEOUT_CLOCK_MASK`: the bits that choose a clock, of which at most one may be set.
    pub const CLOCK_MASK: TimeoutFlags = TimeoutFlags::BOOTTIME.union(TimeoutFlags::REALTIME);

    /// `IORING_TIMEOUT_UPDATE_MASK`: the bits that make a removal an update.
    pub const UPDATE_MASK: TimeoutFlags =
        TimeoutFlags::UPDATE.union(TimeoutFlags::LINK_TIMEOUT_UPDATE);
}

bitflags! {
    /// `IORING_POLL_*`: flags of [`Opcode::POLL_ADD`](super::Opcode::POLL_ADD) and
    /// [`Opcode::POLL_REMOVE`](super::Opcode::POLL_REMOVE), in `len`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct PollFlags: u32 {
        /// Reports again and again; of `POLL_ADD`. Linux 5.13.
        const ADD_MULTI = 1;
        /// Changes the events that are waited for; of `POLL_REMOVE`. Linux 5.13.
        const UPDATE_EVENTS = 1 << 1;
        /// Changes the `user_data` of the wait; of `POLL_REMOVE`. Linux 5.13.
        const UPDATE_USER_DATA = 1 << 2;
        /// Reports by level; of `POLL_ADD`. In the header since Linux 6.0, and answered by `EINVAL` on 6.18.
        const ADD_LEVEL = 1 << 3;
    }
}

bitflags! {
    /// `IORING_ASYNC_CANCEL_*`: which requests [`Opcode::ASYNC_CANCEL`](super::Opcode::ASYNC_CANCEL) means,
    /// in `op_flags`, and [`SyncCancelReg`](super::SyncCancelReg) likewise.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct CancelFlags: u32 {
        /// All that match; the result is their number. Linux 5.19.
        const ALL = 1;
        /// Those on `fd`, rather than those with a `user_data`. Linux 5.19.
        const FD = 1 << 1;
        /// Any at all; not with `FD` or `OP`. Linux 5.19.
        const ANY = 1 << 2;
        /// `fd` is an index of the registered files. Linux 6.0.
        const FD_FIXED = 1 << 3;
        /// Those with a `user_data` too, with `FD` or `OP`. Linux 6.6.
        const USERDATA = 1 << 4;
        /// Those of an opcode, which is in `len`. Linux 6.6.
        const OP = 1 << 5;
    }
}

numbers! {
    /// `IORING_MSG_*`: what [`Opcode::MSG_RING`](super::Opcode::MSG_RING) sends, in `addr`.
    MsgRingCommand: u64 {
        /// `IORING_MSG_DATA`: a completion.
        DATA = 0, "5.18";
        /// `IORING_MSG_SEND_FD`: a registered file.
        SEND_FD = 1, "6.0";
    }
}

bitflags! {
    /// `IORING_MSG_RING_*`: flags of [`Opcode::MSG_RING`](super::Opcode::MSG_RING), in `op_flags`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct MsgRingFlags: u32 {
        /// Posts no completion to the other ring; with [`MsgRingCommand::SEND_FD`] only. Linux 6.0.
        const CQE_SKIP = 1;
        /// The flags word of the completion is `splice_fd`. Linux 6.3.
        const FLAGS_PASS = 1 << 1;
    }
}

bitflags! {
    /// `IORING_FIXED_FD_*`: flags of [`Opcode::FIXED_FD_INSTALL`](super::Opcode::FIXED_FD_INSTALL), in
    /// `op_flags`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct InstallFdFlags: u32 {
        /// The new descriptor stays open on exec. Linux 6.8.
        const NO_CLOEXEC = 1;
    }
}

bitflags! {
    /// `IORING_URING_CMD_*`: flags of [`Opcode::URING_CMD`](super::Opcode::URING_CMD), in `op_flags`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct UringCmdFlags: u32 {
        /// Uses a registered buffer; not with buffer selection. Linux 6.1.
        const FIXED = 1;
        /// Completes again and again; with buffer selection, where the driver can. Linux 6.18.
        const MULTISHOT = 1 << 1;
    }
}

bitflags! {
    /// `FUTEX2_*`: flags of the futex operations, in `fd`. `futex_waitv(2)`.
    ///
    /// The two lowest bits are the size of the word together; Linux 6.18 takes 32 bits only.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Futex2Flags: u32 {
        /// A word of 16 bits. Linux 6.7.
        const SIZE_U16 = 1;
        /// A word of 32 bits. Linux 6.7.
        const SIZE_U32 = 1 << 1;
        /// The word is followed by the number of a memory node. Linux 6.16.
        const NUMA = 1 << 2;
        /// The node is that of the memory policy. Linux 6.16.
        const MPOL = 1 << 3;
        /// Of this process only. Linux 6.7.
        const PRIVATE = 1 << 7;
    }
}

impl Futex2Flags {
    /// `FUTEX2_SIZE_U8`: a word of 8 bits. Linux 6.7.
    pub const SIZE_U8: Futex2Flags = Futex2Flags::empty();

    /// `FUTEX2_SIZE_U64`: a word of 64 bits. Linux 6.7.
    pub const SIZE_U64: Futex2Flags = Futex2Flags::SIZE_MASK;

    /// `FUTEX2_SIZE_MASK`: the bits of the size. Linux 6.7.
    pub const SIZE_MASK: Futex2Flags = Futex2Flags::SIZE_U16.union(Futex2Flags::SIZE_U32);
}

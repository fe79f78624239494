//! Completion queue entries, and what the kernel writes beside them.

use bitflags::bitflags;

/// `struct io_uring_cqe`: one completion queue entry. Linux 5.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RawCqe {
    /// What the submission carried.
    pub user_data: u64,
    /// The result, or a negative errno.
    pub res: i32,
    /// [`CqeFlags`], with a buffer id in the upper half.
    pub flags: u32,
}

layout!(RawCqe, 16, 8, { user_data @ 0, res @ 8, flags @ 12 });

/// A completion of 32 bytes: every entry with [`SetupFlags::CQE32`](super::SetupFlags::CQE32) (Linux 5.19),
/// or one with [`CqeFlags::LARGE`] (Linux 6.18).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RawCqe32 {
    /// The first half, as in an entry of 16 bytes.
    pub first: RawCqe,
    /// `big_cqe`: two words whose meaning is the operation's.
    pub extra: [u64; 2],
}

layout!(RawCqe32, 32, 8, { first @ 0, extra @ 16 });

bitflags! {
    /// `IORING_CQE_F_*`: what a completion says beside its result. The upper half of the flags word is no
    /// part of the set: it holds a buffer id, see [`CQE_BUFFER_SHIFT`].
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct CqeFlags: u32 {
        /// The upper half holds the id of the provided buffer that was used. Linux 5.7.
        const BUFFER = 1;
        /// More completions of the same request will follow. Linux 5.13.
        const MORE = 1 << 1;
        /// The socket had more to give; since Linux 6.10 an accept says so too. Linux 5.19.
        const SOCK_NONEMPTY = 1 << 2;
        /// A zero-copy send is done with its buffer. Linux 6.0.
        const NOTIF = 1 << 3;
        /// The buffer is consumed in part and stays with the kernel. Linux 6.12.
        const BUF_MORE = 1 << 4;
        /// A filler before the end of a queue of mixed sizes: to be ignored. Linux 6.18.
        const SKIP = 1 << 5;
        /// `IORING_CQE_F_32`: this entry takes two places of a queue of mixed sizes. Linux 6.18.
        const LARGE = 1 << 15;
    }
}

/// `IORING_CQE_BUFFER_SHIFT`: the buffer id is the flags word shifted down by this. Linux 5.7.
pub const CQE_BUFFER_SHIFT: u32 = 16;

/// `IORING_TIMESTAMP_HW_SHIFT`: the bit that says which clock stamped a packet, in the completions of
/// [`SocketCommand::TX_TIMESTAMP`](super::SocketCommand::TX_TIMESTAMP). Linux 6.17.
pub const TIMESTAMP_HW_SHIFT: u32 = 16;

/// `IORING_CQE_F_TSTAMP_HW`: the stamp is of the hardware's clock. In the half of the flags word that holds
/// a buffer id otherwise, so no part of [`CqeFlags`]. Linux 6.17.
pub const CQE_F_TSTAMP_HW: u32 = 1 << TIMESTAMP_HW_SHIFT;

/// `IORING_TIMESTAMP_TYPE_SHIFT`: the kind of the stamp (`SCM_TSTAMP_*`) is the flags word shifted down by
/// this. Linux 6.17.
pub const TIMESTAMP_TYPE_SHIFT: u32 = 17;

/// `IORING_NOTIF_USAGE_ZC_COPIED`: the result of a zero-copy send's notification, asked for by
/// [`RecvSendFlags::SEND_ZC_REPORT_USAGE`](super::RecvSendFlags::SEND_ZC_REPORT_USAGE), says by this bit
/// that the data was copied after all. Linux 6.2.
pub const NOTIF_USAGE_ZC_COPIED: u32 = 1 << 31;

/// `struct io_uring_recvmsg_out`: the head of the buffer that a multishot `recvmsg` fills; behind it the room
/// for the name, the room for control messages, and the payload. Linux 6.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RecvmsgOut {
    /// The length of the sender's address, in bytes; more than there was room for if it was cut.
    pub namelen: u32,
    /// The length of the control messages, in bytes.
    pub controllen: u32,
    /// The length of the payload, in bytes; more than there was room for if it was cut.
    pub payloadlen: u32,
    /// `MSG_*`, `recvmsg(2)`.
    pub flags: u32,
}

layout!(RecvmsgOut, 16, 4, { namelen @ 0, controllen @ 4, payloadlen @ 8, flags @ 12 });

/// `struct io_timespec`: the time of a packet, in the second half of a completion of
/// [`SocketCommand::TX_TIMESTAMP`](super::SocketCommand::TX_TIMESTAMP). Linux 6.17.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct IoTimespec {
    /// Seconds.
    pub sec: u64,
    /// Nanoseconds within the second.
    pub nsec: u64,
}

layout!(IoTimespec, 16, 8, { sec @ 0, nsec @ 8 });

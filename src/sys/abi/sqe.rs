//! Submission queue entries.

use bitflags::bitflags;

/// `struct io_uring_sqe`: one submission queue entry, as integers. Linux 5.1.
///
/// The unions of the C struct overlay integers, so each word has one name here, the first of the kernel's
/// alternatives, and the others are listed with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RawSqe {
    /// The operation, [`Opcode`](super::Opcode).
    pub opcode: u8,
    /// [`SqeFlags`].
    pub flags: u8,
    /// I/O priority, `ioprio_set(2)`; the send, receive and accept families keep their own flags here
    /// ([`RecvSendFlags`](super::RecvSendFlags), [`AcceptFlags`](super::AcceptFlags)).
    pub ioprio: u16,
    /// The descriptor, or the registered index with [`SqeFlags::FIXED_FILE`].
    pub fd: i32,
    /// `off`, also `addr2`, also `cmd_op` (u32 at 8).
    pub off: u64,
    /// `addr`, also `splice_off_in`, also `level` (u32 at 16) and `optname` (u32 at 20).
    pub addr: u64,
    /// `len`: bytes, or how many items.
    pub len: u32,
    /// The flags word of the operation: `rw_flags`, `msg_flags`, `open_flags` and so on, also
    /// `fadvise_advice`, `poll32_events` (halves swapped on big-endian machines), `poll_events` (u16 at 28).
    pub op_flags: u32,
    /// Handed back in the completion.
    pub user_data: u64,
    /// `buf_index`, also `buf_group`.
    pub buf: u16,
    /// A registered personality.
    pub personality: u16,
    /// `splice_fd_in`, also `file_index`, `zcrx_ifq_idx`, `optlen`, also `addr_len` (u16 at 44), also
    /// `write_stream` (u8 at 44, Linux 6.16).
    pub splice_fd: u32,
    /// `addr3`, also `attr_ptr`, `optval`, also the first byte of `cmd`.
    pub addr3: u64,
    /// Padding, also `attr_type_mask` ([`RwAttrFlags`]).
    pub pad: u64,
}

layout!(RawSqe, 64, 8, {
    opcode @ 0, flags @ 1, ioprio @ 2, fd @ 4, off @ 8, addr @ 16, len @ 24, op_flags @ 28,
    user_data @ 32, buf @ 40, personality @ 42, splice_fd @ 44, addr3 @ 48, pad @ 56,
});

/// A submission of 128 bytes: every entry with [`SetupFlags::SQE128`](super::SetupFlags::SQE128) (Linux
/// 5.19), or one whose opcode ends in 128 (Linux 6.19).
///
/// The command area `cmd` is the last 16 bytes of `first` and all of `more`: 80 bytes in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct RawSqe128 {
    /// The first half, as in an entry of 64 bytes.
    pub first: RawSqe,
    /// The second half: `cmd` from its byte 16 on.
    pub more: [u8; 64],
}

layout!(RawSqe128, 128, 8, { first @ 0, more @ 64 });

impl Default for RawSqe128 {
    fn default() -> RawSqe128 {
        RawSqe128 { first: RawSqe::default(), more: [0; 64] }
    }
}

/// `IORING_FILE_INDEX_ALLOC`: in `file_index`, lets the kernel choose a free slot. Linux 5.19.
pub const FILE_INDEX_ALLOC: u32 = u32::MAX;

bitflags! {
    /// `IOSQE_*`: how a submission is treated, whatever its operation.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct SqeFlags: u8 {
        /// `fd` is an index of the registered files. Linux 5.1.
        const FIXED_FILE = 1;
        /// Starts after all earlier ones, and holds back all later ones. Linux 5.2.
        const IO_DRAIN = 1 << 1;
        /// The next one waits for this one, and is cancelled if this one fails. Linux 5.3.
        const IO_LINK = 1 << 2;
        /// The next one waits for this one, whatever its result. Linux 5.5.
        const IO_HARDLINK = 1 << 3;
        /// Goes to a worker thread at once. Linux 5.6.
        const ASYNC = 1 << 4;
        /// Takes a buffer of the group in `buf`. Linux 5.7.
        const BUFFER_SELECT = 1 << 5;
        /// Posts no completion unless it fails. Linux 5.17.
        const CQE_SKIP_SUCCESS = 1 << 6;
    }
}

/// `struct io_uring_attr_pi`: protection information of a read or write, pointed to by `attr_ptr` with
/// [`RwAttrFlags::PI`]. Linux 6.14.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct AttrPi {
    /// [`IntegrityFlags`].
    pub flags: u16,
    /// The application tag.
    pub app_tag: u16,
    /// The length of the metadata buffer, in bytes.
    pub len: u32,
    /// The address of the metadata buffer.
    pub addr: u64,
    /// The seed of the reference tag.
    pub seed: u64,
    /// Must be zero.
    pub rsvd: u64,
}

layout!(AttrPi, 32, 8, { flags @ 0, app_tag @ 2, len @ 4, addr @ 8, seed @ 16, rsvd @ 24 });

bitflags! {
    /// `IORING_RW_ATTR_FLAG_*`: which attributes `attr_ptr` points to, in `attr_type_mask`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct RwAttrFlags: u64 {
        /// Protection information, [`AttrPi`]. Linux 6.14.
        const PI = 1;
    }
}

bitflags! {
    /// `IO_INTEGRITY_CHK_*` of `linux/fs.h`: what of the protection information is checked.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct IntegrityFlags: u16 {
        /// The guard: a checksum. Linux 6.14.
        const GUARD = 1;
        /// The reference tag. Linux 6.14.
        const REFTAG = 1 << 1;
        /// The application tag. Linux 6.14.
        const APPTAG = 1 << 2;
    }
}

//! Structs and constants of `io_uring.h`, as plain integers, each layout asserted field by field.

// The interface is stated as the kernel has it; which part of it a build uses depends on its features.
#![allow(dead_code)]

use std::mem::{align_of, offset_of, size_of};

/// Asserts size, alignment and the offset of every field of a struct that the kernel reads or writes.
macro_rules! layout {
    ($name:ident, $size:literal, $align:literal, { $($field:ident @ $offset:literal),* $(,)? }) => {
        const _: () = {
            assert!(size_of::<$name>() == $size);
            assert!(align_of::<$name>() == $align);
            $(assert!(offset_of!($name, $field) == $offset);)*
        };
    };
}

/// `struct io_uring_sqe`: one submission queue entry, as integers.
///
/// Every union of the C struct overlays integers of one width, so each word has one name here, the first of
/// the kernel's alternatives, and the others are listed with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RawSqe {
    /// The operation, `IORING_OP_*`.
    pub opcode: u8,
    /// `IOSQE_*`.
    pub flags: u8,
    /// I/O priority; the send, receive and accept families keep their own flags here.
    pub ioprio: u16,
    /// The descriptor, or the registered index with `IOSQE_FIXED_FILE`.
    pub fd: i32,
    /// `off`, also `addr2`, `cmd_op`.
    pub off: u64,
    /// `addr`, also `splice_off_in`, `level` and `optname`.
    pub addr: u64,
    /// `len`.
    pub len: u32,
    /// The flags word of the operation: `rw_flags`, `msg_flags`, `open_flags` and so on.
    pub op_flags: u32,
    /// Handed back in the completion.
    pub user_data: u64,
    /// `buf_index`, also `buf_group`.
    pub buf: u16,
    /// A registered personality.
    pub personality: u16,
    /// `splice_fd_in`, also `file_index`, `optlen`, `addr_len` (low half).
    pub splice_fd: u32,
    /// `addr3`, also `attr_ptr`, `optval`.
    pub addr3: u64,
    /// Padding, also `attr_type_mask`.
    pub pad: u64,
}

layout!(RawSqe, 64, 8, {
    opcode @ 0, flags @ 1, ioprio @ 2, fd @ 4, off @ 8, addr @ 16, len @ 24, op_flags @ 28,
    user_data @ 32, buf @ 40, personality @ 42, splice_fd @ 44, addr3 @ 48, pad @ 56,
});

/// `struct io_uring_cqe`: one completion queue entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RawCqe {
    /// What the submission carried.
    pub user_data: u64,
    /// The result, or a negative errno.
    pub res: i32,
    /// `IORING_CQE_F_*`, with a buffer id in the upper half.
    pub flags: u32,
}

layout!(RawCqe, 16, 8, { user_data @ 0, res @ 8, flags @ 12 });

/// `struct io_sqring_offsets`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct SqOffsets {
    pub(crate) head: u32,
    pub(crate) tail: u32,
    pub(crate) ring_mask: u32,
    pub(crate) ring_entries: u32,
    pub(crate) flags: u32,
    pub(crate) dropped: u32,
    pub(crate) array: u32,
    pub(crate) resv1: u32,
    pub(crate) user_addr: u64,
}

layout!(SqOffsets, 40, 8, {
    head @ 0, tail @ 4, ring_mask @ 8, ring_entries @ 12, flags @ 16, dropped @ 20, array @ 24,
    resv1 @ 28, user_addr @ 32,
});

/// `struct io_cqring_offsets`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct CqOffsets {
    pub(crate) head: u32,
    pub(crate) tail: u32,
    pub(crate) ring_mask: u32,
    pub(crate) ring_entries: u32,
    pub(crate) overflow: u32,
    pub(crate) cqes: u32,
    pub(crate) flags: u32,
    pub(crate) resv1: u32,
    pub(crate) user_addr: u64,
}

layout!(CqOffsets, 40, 8, {
    head @ 0, tail @ 4, ring_mask @ 8, ring_entries @ 12, overflow @ 16, cqes @ 20, flags @ 24,
    resv1 @ 28, user_addr @ 32,
});

/// `struct io_uring_params`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Params {
    pub(crate) sq_entries: u32,
    pub(crate) cq_entries: u32,
    pub(crate) flags: u32,
    pub(crate) sq_thread_cpu: u32,
    pub(crate) sq_thread_idle: u32,
    pub(crate) features: u32,
    pub(crate) wq_fd: u32,
    pub(crate) resv: [u32; 3],
    pub(crate) sq_off: SqOffsets,
    pub(crate) cq_off: CqOffsets,
}

layout!(Params, 120, 8, {
    sq_entries @ 0, cq_entries @ 4, flags @ 8, sq_thread_cpu @ 12, sq_thread_idle @ 16,
    features @ 20, wq_fd @ 24, resv @ 28, sq_off @ 40, cq_off @ 80,
});

/// `struct __kernel_timespec`: 64 bits each on every target.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Timespec {
    pub(crate) sec: i64,
    pub(crate) nsec: i64,
}

layout!(Timespec, 16, 8, { sec @ 0, nsec @ 8 });

/// `struct io_uring_getevents_arg`: the argument of `enter` with `IORING_ENTER_EXT_ARG`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct GeteventsArg {
    pub(crate) sigmask: u64,
    pub(crate) sigmask_sz: u32,
    pub(crate) min_wait_usec: u32,
    pub(crate) ts: u64,
}

layout!(GeteventsArg, 24, 8, { sigmask @ 0, sigmask_sz @ 8, min_wait_usec @ 12, ts @ 16 });

/// `struct io_uring_rsrc_update`: the argument of `IORING_REGISTER_RING_FDS`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct RsrcUpdate {
    pub(crate) offset: u32,
    pub(crate) resv: u32,
    pub(crate) data: u64,
}

layout!(RsrcUpdate, 16, 8, { offset @ 0, resv @ 4, data @ 8 });

/// `struct io_uring_probe_op`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct ProbeOp {
    pub(crate) op: u8,
    pub(crate) resv: u8,
    pub(crate) flags: u16,
    pub(crate) resv2: u32,
}

layout!(ProbeOp, 8, 4, { op @ 0, resv @ 1, flags @ 2, resv2 @ 4 });

/// `struct io_uring_probe` with room for every opcode number.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Probe {
    pub(crate) last_op: u8,
    pub(crate) ops_len: u8,
    pub(crate) resv: u16,
    pub(crate) resv2: [u32; 3],
    pub(crate) ops: [ProbeOp; 256],
}

layout!(Probe, 2064, 4, { last_op @ 0, ops_len @ 1, resv @ 2, resv2 @ 4, ops @ 16 });

pub(crate) const OFF_SQ_RING: i64 = 0;
pub(crate) const OFF_SQES: i64 = 0x1000_0000;

pub(crate) const SETUP_SQPOLL: u32 = 1 << 1;
pub(crate) const SETUP_CQSIZE: u32 = 1 << 3;
pub(crate) const SETUP_CLAMP: u32 = 1 << 4;
pub(crate) const SETUP_SUBMIT_ALL: u32 = 1 << 7;
pub(crate) const SETUP_COOP_TASKRUN: u32 = 1 << 8;
pub(crate) const SETUP_TASKRUN_FLAG: u32 = 1 << 9;
pub(crate) const SETUP_SINGLE_ISSUER: u32 = 1 << 12;
pub(crate) const SETUP_DEFER_TASKRUN: u32 = 1 << 13;
pub(crate) const SETUP_NO_SQARRAY: u32 = 1 << 16;

pub(crate) const FEAT_SINGLE_MMAP: u32 = 1;
pub(crate) const FEAT_NODROP: u32 = 1 << 1;
pub(crate) const FEAT_EXT_ARG: u32 = 1 << 8;
pub(crate) const FEAT_NO_IOWAIT: u32 = 1 << 17;

pub(crate) const ENTER_GETEVENTS: u32 = 1;
pub(crate) const ENTER_SQ_WAKEUP: u32 = 1 << 1;
pub(crate) const ENTER_EXT_ARG: u32 = 1 << 3;
pub(crate) const ENTER_REGISTERED_RING: u32 = 1 << 4;
pub(crate) const ENTER_NO_IOWAIT: u32 = 1 << 7;

pub(crate) const SQ_NEED_WAKEUP: u32 = 1;
pub(crate) const SQ_CQ_OVERFLOW: u32 = 1 << 1;
pub(crate) const SQ_TASKRUN: u32 = 1 << 2;

pub(crate) const SQE_FIXED_FILE: u8 = 1;
pub(crate) const SQE_IO_DRAIN: u8 = 1 << 1;
pub(crate) const SQE_IO_LINK: u8 = 1 << 2;
pub(crate) const SQE_IO_HARDLINK: u8 = 1 << 3;
pub(crate) const SQE_ASYNC: u8 = 1 << 4;
pub(crate) const SQE_BUFFER_SELECT: u8 = 1 << 5;
pub(crate) const SQE_CQE_SKIP_SUCCESS: u8 = 1 << 6;

pub(crate) const CQE_F_BUFFER: u32 = 1;
pub(crate) const CQE_F_MORE: u32 = 1 << 1;
pub(crate) const CQE_F_SOCK_NONEMPTY: u32 = 1 << 2;
pub(crate) const CQE_F_NOTIF: u32 = 1 << 3;
pub(crate) const CQE_BUFFER_SHIFT: u32 = 16;

pub(crate) const FSYNC_DATASYNC: u32 = 1;
pub(crate) const POLL_ADD_MULTI: u32 = 1;
pub(crate) const ACCEPT_MULTISHOT: u16 = 1;
pub(crate) const ACCEPT_DONTWAIT: u16 = 1 << 1;
pub(crate) const ACCEPT_POLL_FIRST: u16 = 1 << 2;
pub(crate) const RECVSEND_POLL_FIRST: u16 = 1;

pub(crate) const REGISTER_PROBE: u32 = 8;
pub(crate) const REGISTER_RING_FDS: u32 = 20;
pub(crate) const UNREGISTER_RING_FDS: u32 = 21;
pub(crate) const OP_SUPPORTED: u16 = 1;

pub(crate) const OP_NOP: u8 = 0;
pub(crate) const OP_FSYNC: u8 = 3;
pub(crate) const OP_POLL_ADD: u8 = 6;
pub(crate) const OP_ACCEPT: u8 = 13;
pub(crate) const OP_ASYNC_CANCEL: u8 = 14;
pub(crate) const OP_CONNECT: u8 = 16;
pub(crate) const OP_FALLOCATE: u8 = 17;
pub(crate) const OP_OPENAT: u8 = 18;
pub(crate) const OP_CLOSE: u8 = 19;
pub(crate) const OP_STATX: u8 = 21;
pub(crate) const OP_READ: u8 = 22;
pub(crate) const OP_WRITE: u8 = 23;
pub(crate) const OP_SEND: u8 = 26;
pub(crate) const OP_RECV: u8 = 27;
pub(crate) const OP_SHUTDOWN: u8 = 34;
pub(crate) const OP_SOCKET: u8 = 45;
pub(crate) const OP_FTRUNCATE: u8 = 55;

/// `struct statx_timestamp`, `statx(2)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct StatxTimestamp {
    /// Seconds since the epoch, negative before it.
    pub sec: i64,
    /// Nanoseconds within the second.
    pub nsec: u32,
    /// Padding.
    pub pad: i32,
}

layout!(StatxTimestamp, 16, 8, { sec @ 0, nsec @ 8, pad @ 12 });

/// `struct statx`, up to the fields of Linux 5.8, `statx(2)`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Statx {
    /// Which fields the kernel filled, `STATX_*`.
    pub mask: u32,
    /// The preferred size of I/O, in bytes.
    pub blksize: u32,
    /// Further attributes, `STATX_ATTR_*`.
    pub attributes: u64,
    /// The number of hard links.
    pub nlink: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Type and permissions.
    pub mode: u16,
    pad: u16,
    /// The inode number.
    pub ino: u64,
    /// The size in bytes.
    pub size: u64,
    /// Blocks of 512 bytes allocated.
    pub blocks: u64,
    /// Which bits of `attributes` mean anything here.
    pub attributes_mask: u64,
    /// Last access.
    pub atime: StatxTimestamp,
    /// Creation.
    pub btime: StatxTimestamp,
    /// Last change of the inode.
    pub ctime: StatxTimestamp,
    /// Last modification.
    pub mtime: StatxTimestamp,
    /// The device that a device file stands for.
    pub rdev_major: u32,
    /// The device that a device file stands for.
    pub rdev_minor: u32,
    /// The device that holds the file.
    pub dev_major: u32,
    /// The device that holds the file.
    pub dev_minor: u32,
    /// The mount (Linux 5.8).
    pub mnt_id: u64,
    spare: [u64; 13],
}

layout!(Statx, 256, 8, {
    mask @ 0, blksize @ 4, attributes @ 8, nlink @ 16, uid @ 20, gid @ 24, mode @ 28, pad @ 30,
    ino @ 32, size @ 40, blocks @ 48, attributes_mask @ 56, atime @ 64, btime @ 80, ctime @ 96,
    mtime @ 112, rdev_major @ 128, rdev_minor @ 132, dev_major @ 136, dev_minor @ 140,
    mnt_id @ 144, spare @ 152,
});

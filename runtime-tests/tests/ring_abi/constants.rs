//! Flags, numbers and single constants.

use bitflags::Flags;
use linux_raw_sys::{general, io_uring as raw};
use uring::ring::abi;

use super::Comparison;

/// The flags of a type, by name.
fn flags_of<F: Flags>() -> Vec<(&'static str, i128)>
where
    F::Bits: Into<u64>,
{
    let value = |flag: &bitflags::Flag<F>| i128::from(flag.value().bits().into());
    F::FLAGS.iter().map(|flag| (flag.name(), value(flag))).collect()
}

/// Compares a type of flags with constants of `raw`.
macro_rules! flags {
    ($c:ident, $of:ident, [$($prefix:literal),*], { $($theirs:ident),* $(,)? }) => {
        let theirs = [$((stringify!($theirs), raw::$theirs as i128)),*];
        $c.by_name(stringify!($of), &flags_of::<abi::$of>(), &[$($prefix),*], &theirs);
    };
}

/// Compares a type of numbers with an enumeration of `raw`.
macro_rules! numbers {
    ($c:ident, $of:ident, $prefix:literal, $enumeration:ident, { $($theirs:ident),* $(,)? }) => {
        let named = abi::$of::ALL.iter().filter_map(|number| Some((number.name()?, number.0.into())));
        let ours: Vec<(&str, i128)> = named.collect();
        let theirs = [$((stringify!($theirs), raw::$enumeration::$theirs as i128)),*];
        $c.by_name(stringify!($of), &ours, &[$prefix], &theirs);
    };
}

/// Compares a type of flags with values from anywhere.
macro_rules! named {
    ($c:ident, $of:ident, { $($name:literal = $theirs:expr),* $(,)? }) => {
        let theirs = [$(($name, $theirs as i128)),*];
        $c.by_name(stringify!($of), &flags_of::<abi::$of>(), &[""], &theirs);
    };
}

/// Compares single constants.
macro_rules! constants {
    ($c:ident, { $($name:literal: $ours:expr => $theirs:expr),* $(,)? }) => {
        $($c.constant($name, $ours as i128, $theirs as i128);)*
    };
}

pub(super) fn compare(c: &mut Comparison) {
    compare_flags(c);
    compare_flags_of_other_forms(c);
    compare_numbers(c);
    compare_single_constants(c);
}

fn compare_flags(c: &mut Comparison) {
    flags!(c, SetupFlags, ["IORING_SETUP_"], {
        IORING_SETUP_IOPOLL, IORING_SETUP_SQPOLL, IORING_SETUP_SQ_AFF, IORING_SETUP_CQSIZE,
        IORING_SETUP_CLAMP, IORING_SETUP_ATTACH_WQ, IORING_SETUP_R_DISABLED,
        IORING_SETUP_SUBMIT_ALL, IORING_SETUP_COOP_TASKRUN, IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_SQE128, IORING_SETUP_CQE32, IORING_SETUP_SINGLE_ISSUER,
        IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_NO_MMAP, IORING_SETUP_REGISTERED_FD_ONLY,
        IORING_SETUP_NO_SQARRAY, IORING_SETUP_HYBRID_IOPOLL,
    });
    flags!(c, Features, ["IORING_FEAT_"], {
        IORING_FEAT_SINGLE_MMAP, IORING_FEAT_NODROP, IORING_FEAT_SUBMIT_STABLE,
        IORING_FEAT_RW_CUR_POS, IORING_FEAT_CUR_PERSONALITY, IORING_FEAT_FAST_POLL,
        IORING_FEAT_POLL_32BITS, IORING_FEAT_SQPOLL_NONFIXED, IORING_FEAT_EXT_ARG,
        IORING_FEAT_NATIVE_WORKERS, IORING_FEAT_RSRC_TAGS, IORING_FEAT_CQE_SKIP,
        IORING_FEAT_LINKED_FILE, IORING_FEAT_REG_REG_RING, IORING_FEAT_RECVSEND_BUNDLE,
        IORING_FEAT_MIN_TIMEOUT, IORING_FEAT_RW_ATTR, IORING_FEAT_NO_IOWAIT,
    });
    flags!(c, EnterFlags, ["IORING_ENTER_"], {
        IORING_ENTER_GETEVENTS, IORING_ENTER_SQ_WAKEUP, IORING_ENTER_SQ_WAIT, IORING_ENTER_EXT_ARG,
        IORING_ENTER_REGISTERED_RING, IORING_ENTER_ABS_TIMER, IORING_ENTER_EXT_ARG_REG,
        IORING_ENTER_NO_IOWAIT,
    });
    flags!(c, SqFlags, ["IORING_SQ_"], {
        IORING_SQ_NEED_WAKEUP, IORING_SQ_CQ_OVERFLOW, IORING_SQ_TASKRUN,
    });
    flags!(c, CqFlags, ["IORING_CQ_"], { IORING_CQ_EVENTFD_DISABLED });
    flags!(c, CqeFlags, ["IORING_CQE_F_"], {
        IORING_CQE_F_BUFFER, IORING_CQE_F_MORE, IORING_CQE_F_SOCK_NONEMPTY, IORING_CQE_F_NOTIF,
        IORING_CQE_F_BUF_MORE,
    });
    flags!(c, FsyncFlags, ["IORING_FSYNC_"], { IORING_FSYNC_DATASYNC });
    flags!(c, TimeoutFlags, ["IORING_TIMEOUT_", "IORING_"], {
        IORING_TIMEOUT_ABS, IORING_TIMEOUT_UPDATE, IORING_TIMEOUT_BOOTTIME, IORING_TIMEOUT_REALTIME,
        IORING_TIMEOUT_ETIME_SUCCESS, IORING_TIMEOUT_MULTISHOT, IORING_LINK_TIMEOUT_UPDATE,
    });
    flags!(c, PollFlags, ["IORING_POLL_"], {
        IORING_POLL_ADD_MULTI, IORING_POLL_UPDATE_EVENTS, IORING_POLL_UPDATE_USER_DATA,
        IORING_POLL_ADD_LEVEL,
    });
    flags!(c, CancelFlags, ["IORING_ASYNC_CANCEL_"], {
        IORING_ASYNC_CANCEL_ALL, IORING_ASYNC_CANCEL_FD, IORING_ASYNC_CANCEL_ANY,
        IORING_ASYNC_CANCEL_FD_FIXED, IORING_ASYNC_CANCEL_USERDATA, IORING_ASYNC_CANCEL_OP,
    });
    flags!(c, RecvSendFlags, ["IORING_RECVSEND_", "IORING_"], {
        IORING_RECVSEND_POLL_FIRST, IORING_RECV_MULTISHOT, IORING_RECVSEND_FIXED_BUF,
        IORING_SEND_ZC_REPORT_USAGE, IORING_RECVSEND_BUNDLE, IORING_SEND_VECTORIZED,
    });
    flags!(c, AcceptFlags, ["IORING_ACCEPT_"], {
        IORING_ACCEPT_MULTISHOT, IORING_ACCEPT_DONTWAIT, IORING_ACCEPT_POLL_FIRST,
    });
    flags!(c, MsgRingFlags, ["IORING_MSG_RING_"], {
        IORING_MSG_RING_CQE_SKIP, IORING_MSG_RING_FLAGS_PASS,
    });
    flags!(c, InstallFdFlags, ["IORING_FIXED_FD_"], { IORING_FIXED_FD_NO_CLOEXEC });
    flags!(c, NopFlags, ["IORING_NOP_"], {
        IORING_NOP_INJECT_RESULT, IORING_NOP_FILE, IORING_NOP_FIXED_FILE, IORING_NOP_FIXED_BUFFER,
        IORING_NOP_TW,
    });
    flags!(c, UringCmdFlags, ["IORING_URING_CMD_"], { IORING_URING_CMD_FIXED });
    flags!(c, RwAttrFlags, ["IORING_RW_ATTR_FLAG_"], { IORING_RW_ATTR_FLAG_PI });
    flags!(c, IntegrityFlags, ["IO_INTEGRITY_CHK_"], {
        IO_INTEGRITY_CHK_GUARD, IO_INTEGRITY_CHK_REFTAG, IO_INTEGRITY_CHK_APPTAG,
    });
    flags!(c, SyncFileRangeFlags, ["SYNC_FILE_RANGE_"], {
        SYNC_FILE_RANGE_WAIT_BEFORE, SYNC_FILE_RANGE_WRITE, SYNC_FILE_RANGE_WAIT_AFTER,
    });
    flags!(c, RegWaitFlags, ["IORING_REG_WAIT_"], { IORING_REG_WAIT_TS });
    flags!(c, MemRegionRegFlags, ["IORING_MEM_REGION_REG_"], { IORING_MEM_REGION_REG_WAIT_ARG });
    flags!(c, RegionFlags, ["IORING_MEM_REGION_"], { IORING_MEM_REGION_TYPE_USER });
    flags!(c, CloneBuffersFlags, ["IORING_REGISTER_"], {
        IORING_REGISTER_SRC_REGISTERED, IORING_REGISTER_DST_REPLACE,
    });
    flags!(c, RsrcRegisterFlags, ["IORING_RSRC_REGISTER_"], { IORING_RSRC_REGISTER_SPARSE });
    flags!(c, ProbeOpFlags, ["IO_URING_OP_"], { IO_URING_OP_SUPPORTED });
}

/// Flags that the bindings have elsewhere, or as an enumeration.
fn compare_flags_of_other_forms(c: &mut Comparison) {
    use raw::io_uring_register_op::IORING_REGISTER_USE_REGISTERED_RING as USE_REGISTERED_RING;
    use raw::io_uring_register_pbuf_ring_flags as pbuf;
    use raw::io_uring_sqe_flags_bit as bit;
    use raw::io_uring_zcrx_area_flags as area;
    named!(c, SqeFlags, {
        "FIXED_FILE" = 1 << bit::IOSQE_FIXED_FILE_BIT as u32,
        "IO_DRAIN" = 1 << bit::IOSQE_IO_DRAIN_BIT as u32,
        "IO_LINK" = 1 << bit::IOSQE_IO_LINK_BIT as u32,
        "IO_HARDLINK" = 1 << bit::IOSQE_IO_HARDLINK_BIT as u32,
        "ASYNC" = 1 << bit::IOSQE_ASYNC_BIT as u32,
        "BUFFER_SELECT" = 1 << bit::IOSQE_BUFFER_SELECT_BIT as u32,
        "CQE_SKIP_SUCCESS" = 1 << bit::IOSQE_CQE_SKIP_SUCCESS_BIT as u32,
    });
    named!(c, PbufRingFlags, {
        "MMAP" = pbuf::IOU_PBUF_RING_MMAP, "INC" = pbuf::IOU_PBUF_RING_INC,
    });
    named!(c, ZcrxAreaFlags, { "DMABUF" = area::IORING_ZCRX_AREA_DMABUF });
    named!(c, RegisterFlags, { "USE_REGISTERED_RING" = USE_REGISTERED_RING as u32 });
    // The bindings stop at RWF_APPEND; the C library has the rest.
    named!(c, RwFlags, {
        "HIPRI" = general::RWF_HIPRI, "DSYNC" = general::RWF_DSYNC, "SYNC" = general::RWF_SYNC,
        "NOWAIT" = general::RWF_NOWAIT, "APPEND" = general::RWF_APPEND,
        "NOAPPEND" = libc::RWF_NOAPPEND, "ATOMIC" = libc::RWF_ATOMIC,
        "DONTCACHE" = libc::RWF_DONTCACHE,
    });
    named!(c, PipeFlags, {
        "CLOEXEC" = general::O_CLOEXEC, "NONBLOCK" = general::O_NONBLOCK,
        "DIRECT" = general::O_DIRECT, "NOTIFICATION" = general::O_EXCL,
    });
    named!(c, SpliceFlags, {
        "MOVE" = general::SPLICE_F_MOVE, "NONBLOCK" = general::SPLICE_F_NONBLOCK,
        "MORE" = general::SPLICE_F_MORE, "FD_IN_FIXED" = raw::SPLICE_F_FD_IN_FIXED,
    });
    named!(c, Futex2Flags, {
        "SIZE_U16" = general::FUTEX2_SIZE_U16, "SIZE_U32" = general::FUTEX2_SIZE_U32,
        "NUMA" = general::FUTEX2_NUMA, "MPOL" = general::FUTEX2_MPOL,
        "PRIVATE" = general::FUTEX2_PRIVATE,
    });
}

fn compare_numbers(c: &mut Comparison) {
    numbers!(c, Opcode, "IORING_OP_", io_uring_op, {
        IORING_OP_NOP, IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_READ_FIXED,
        IORING_OP_WRITE_FIXED, IORING_OP_POLL_ADD, IORING_OP_POLL_REMOVE, IORING_OP_SYNC_FILE_RANGE,
        IORING_OP_SENDMSG, IORING_OP_RECVMSG, IORING_OP_TIMEOUT, IORING_OP_TIMEOUT_REMOVE,
        IORING_OP_ACCEPT, IORING_OP_ASYNC_CANCEL, IORING_OP_LINK_TIMEOUT, IORING_OP_CONNECT,
        IORING_OP_FALLOCATE, IORING_OP_OPENAT, IORING_OP_CLOSE, IORING_OP_FILES_UPDATE,
        IORING_OP_STATX, IORING_OP_READ, IORING_OP_WRITE, IORING_OP_FADVISE, IORING_OP_MADVISE,
        IORING_OP_SEND, IORING_OP_RECV, IORING_OP_OPENAT2, IORING_OP_EPOLL_CTL, IORING_OP_SPLICE,
        IORING_OP_PROVIDE_BUFFERS, IORING_OP_REMOVE_BUFFERS, IORING_OP_TEE, IORING_OP_SHUTDOWN,
        IORING_OP_RENAMEAT, IORING_OP_UNLINKAT, IORING_OP_MKDIRAT, IORING_OP_SYMLINKAT,
        IORING_OP_LINKAT, IORING_OP_MSG_RING, IORING_OP_FSETXATTR, IORING_OP_SETXATTR,
        IORING_OP_FGETXATTR, IORING_OP_GETXATTR, IORING_OP_SOCKET, IORING_OP_URING_CMD,
        IORING_OP_SEND_ZC, IORING_OP_SENDMSG_ZC, IORING_OP_READ_MULTISHOT, IORING_OP_WAITID,
        IORING_OP_FUTEX_WAIT, IORING_OP_FUTEX_WAKE, IORING_OP_FUTEX_WAITV,
        IORING_OP_FIXED_FD_INSTALL, IORING_OP_FTRUNCATE, IORING_OP_BIND, IORING_OP_LISTEN,
        IORING_OP_RECV_ZC, IORING_OP_EPOLL_WAIT, IORING_OP_READV_FIXED, IORING_OP_WRITEV_FIXED,
        IORING_OP_PIPE,
    });
    numbers!(c, MsgRingCommand, "IORING_MSG_", io_uring_msg_ring_flags, {
        IORING_MSG_DATA, IORING_MSG_SEND_FD,
    });
    numbers!(c, RegisterOp, "IORING_", io_uring_register_op, {
        IORING_REGISTER_BUFFERS, IORING_UNREGISTER_BUFFERS, IORING_REGISTER_FILES,
        IORING_UNREGISTER_FILES, IORING_REGISTER_EVENTFD, IORING_UNREGISTER_EVENTFD,
        IORING_REGISTER_FILES_UPDATE, IORING_REGISTER_EVENTFD_ASYNC, IORING_REGISTER_PROBE,
        IORING_REGISTER_PERSONALITY, IORING_UNREGISTER_PERSONALITY, IORING_REGISTER_RESTRICTIONS,
        IORING_REGISTER_ENABLE_RINGS, IORING_REGISTER_FILES2, IORING_REGISTER_FILES_UPDATE2,
        IORING_REGISTER_BUFFERS2, IORING_REGISTER_BUFFERS_UPDATE, IORING_REGISTER_IOWQ_AFF,
        IORING_UNREGISTER_IOWQ_AFF, IORING_REGISTER_IOWQ_MAX_WORKERS, IORING_REGISTER_RING_FDS,
        IORING_UNREGISTER_RING_FDS, IORING_REGISTER_PBUF_RING, IORING_UNREGISTER_PBUF_RING,
        IORING_REGISTER_SYNC_CANCEL, IORING_REGISTER_FILE_ALLOC_RANGE, IORING_REGISTER_PBUF_STATUS,
        IORING_REGISTER_NAPI, IORING_UNREGISTER_NAPI, IORING_REGISTER_CLOCK,
        IORING_REGISTER_CLONE_BUFFERS, IORING_REGISTER_SEND_MSG_RING, IORING_REGISTER_ZCRX_IFQ,
        IORING_REGISTER_RESIZE_RINGS, IORING_REGISTER_MEM_REGION,
    });
    numbers!(c, WorkerKind, "IO_WQ_", io_wq_type, { IO_WQ_BOUND, IO_WQ_UNBOUND });
    numbers!(c, NapiTracking, "IO_URING_NAPI_TRACKING_", io_uring_napi_tracking_strategy, {
        IO_URING_NAPI_TRACKING_DYNAMIC, IO_URING_NAPI_TRACKING_STATIC,
        IO_URING_NAPI_TRACKING_INACTIVE,
    });
    numbers!(c, RestrictionOp, "IORING_RESTRICTION_", io_uring_register_restriction_op, {
        IORING_RESTRICTION_REGISTER_OP, IORING_RESTRICTION_SQE_OP,
        IORING_RESTRICTION_SQE_FLAGS_ALLOWED, IORING_RESTRICTION_SQE_FLAGS_REQUIRED,
    });
    numbers!(c, SocketCommand, "SOCKET_URING_OP_", io_uring_socket_op, {
        SOCKET_URING_OP_SIOCINQ, SOCKET_URING_OP_SIOCOUTQ, SOCKET_URING_OP_GETSOCKOPT,
        SOCKET_URING_OP_SETSOCKOPT, SOCKET_URING_OP_TX_TIMESTAMP,
    });
    numbers!(c, NapiOp, "IO_URING_NAPI_", io_uring_napi_op, {
        IO_URING_NAPI_REGISTER_OP, IO_URING_NAPI_STATIC_ADD_ID, IO_URING_NAPI_STATIC_DEL_ID,
    });
}

fn compare_single_constants(c: &mut Comparison) {
    use raw::io_uring_op::IORING_OP_LAST as OP_LAST;
    use raw::io_uring_register_op::IORING_REGISTER_LAST as REGISTER_LAST;
    use raw::io_uring_register_restriction_op::IORING_RESTRICTION_LAST as RESTRICTION_LAST;
    constants!(c, {
        "TimeoutFlags::CLOCK_MASK":
            abi::TimeoutFlags::CLOCK_MASK.bits() => raw::IORING_TIMEOUT_CLOCK_MASK,
        "TimeoutFlags::UPDATE_MASK":
            abi::TimeoutFlags::UPDATE_MASK.bits() => raw::IORING_TIMEOUT_UPDATE_MASK,
        "SyncFileRangeFlags::WRITE_AND_WAIT":
            abi::SyncFileRangeFlags::WRITE_AND_WAIT.bits() => raw::SYNC_FILE_RANGE_WRITE_AND_WAIT,
        "Futex2Flags::SIZE_U8": abi::Futex2Flags::SIZE_U8.bits() => general::FUTEX2_SIZE_U8,
        "Futex2Flags::SIZE_U64": abi::Futex2Flags::SIZE_U64.bits() => general::FUTEX2_SIZE_U64,
        "Futex2Flags::SIZE_MASK": abi::Futex2Flags::SIZE_MASK.bits() => general::FUTEX2_SIZE_MASK,
        "IntegrityFlags::all()": abi::IntegrityFlags::all().bits() => raw::IO_INTEGRITY_VALID_FLAGS,
        "UringCmdFlags::all()": abi::UringCmdFlags::all().bits() => raw::IORING_URING_CMD_MASK,
        "Opcode::ALL.len()": abi::Opcode::ALL.len() => OP_LAST,
        "RegisterOp::ALL.len()":
            abi::RegisterOp::ALL.len() => REGISTER_LAST,
        "RestrictionOp::ALL.len()":
            abi::RestrictionOp::ALL.len() => RESTRICTION_LAST,
        "NOTIF_USAGE_ZC_COPIED": abi::NOTIF_USAGE_ZC_COPIED => raw::IORING_NOTIF_USAGE_ZC_COPIED,
        "CQE_BUFFER_SHIFT": abi::CQE_BUFFER_SHIFT => raw::IORING_CQE_BUFFER_SHIFT,
        "TIMESTAMP_HW_SHIFT": abi::TIMESTAMP_HW_SHIFT => raw::IORING_TIMESTAMP_HW_SHIFT,
        "TIMESTAMP_TYPE_SHIFT": abi::TIMESTAMP_TYPE_SHIFT => raw::IORING_TIMESTAMP_TYPE_SHIFT,
        "ZCRX_AREA_SHIFT": abi::ZCRX_AREA_SHIFT => raw::IORING_ZCRX_AREA_SHIFT,
        "OFF_SQ_RING": abi::OFF_SQ_RING => raw::IORING_OFF_SQ_RING,
        "OFF_CQ_RING": abi::OFF_CQ_RING => raw::IORING_OFF_CQ_RING,
        "OFF_SQES": abi::OFF_SQES => raw::IORING_OFF_SQES,
        "OFF_PBUF_RING": abi::OFF_PBUF_RING => raw::IORING_OFF_PBUF_RING,
        "OFF_PBUF_SHIFT": abi::OFF_PBUF_SHIFT => raw::IORING_OFF_PBUF_SHIFT,
        "OFF_MMAP_MASK": abi::OFF_MMAP_MASK => raw::IORING_OFF_MMAP_MASK,
        "SYS_io_uring_setup": libc::SYS_io_uring_setup => general::__NR_io_uring_setup,
        "SYS_io_uring_enter": libc::SYS_io_uring_enter => general::__NR_io_uring_enter,
        "SYS_io_uring_register": libc::SYS_io_uring_register => general::__NR_io_uring_register,
        "FILE_INDEX_ALLOC": abi::FILE_INDEX_ALLOC => raw::IORING_FILE_INDEX_ALLOC,
        "REGISTER_FILES_SKIP": abi::REGISTER_FILES_SKIP => raw::IORING_REGISTER_FILES_SKIP,
    });
}

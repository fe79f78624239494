//! Sizes and offsets.

use std::mem::offset_of;

use linux_raw_sys::{general, io_uring as raw};
use uring::ring::abi;

use super::Comparison;

/// Compares a struct with one of `raw`, field by field; a field may have another name there.
macro_rules! same {
    ($c:ident, $ours:ident = $theirs:path { $($field:ident $(= $other:ident)?),* $(,)? }) => {
        // A pattern without `..` does not compile unless all fields are listed.
        let _ = |all: abi::$ours| { let abi::$ours { $($field: _),* } = all; };
        $c.sizes += 1;
        let sizes = (size_of::<abi::$ours>() as i128, size_of::<$theirs>() as i128);
        $c.note(stringify!($ours), sizes.0, sizes.1);
        $(same!(@offset $c, $ours, $theirs, $field $(= $other)?);)*
    };
    (@offset $c:ident, $ours:ident, $theirs:path, $field:ident) => {
        same!(@offset $c, $ours, $theirs, $field = $field)
    };
    (@offset $c:ident, $ours:ident, $theirs:path, $field:ident = $other:ident) => {
        $c.offsets += 1;
        let name = concat!(stringify!($ours), ".", stringify!($field));
        $c.note(name, offset_of!(abi::$ours, $field) as i128, offset_of!($theirs, $other) as i128);
    };
}

pub(super) fn compare(c: &mut Comparison) {
    compare_structs_of_rings(c);
    compare_structs_of_register_calls(c);
    compare_structs_of_other_forms(c);
    compare_the_unions_of_the_submission(c);
}

fn compare_structs_of_rings(c: &mut Comparison) {
    same!(
        c,
        SqOffsets = raw::io_sqring_offsets {
            head,
            tail,
            ring_mask,
            ring_entries,
            flags,
            dropped,
            array,
            resv1,
            user_addr,
        }
    );
    same!(
        c,
        CqOffsets = raw::io_cqring_offsets {
            head,
            tail,
            ring_mask,
            ring_entries,
            overflow,
            cqes,
            flags,
            resv1,
            user_addr,
        }
    );
    same!(
        c,
        Params = raw::io_uring_params {
            sq_entries,
            cq_entries,
            flags,
            sq_thread_cpu,
            sq_thread_idle,
            features,
            wq_fd,
            resv,
            sq_off,
            cq_off,
        }
    );
    same!(c, RawCqe = raw::io_uring_cqe { user_data, res, flags });
    same!(c, AttrPi = raw::io_uring_attr_pi { flags, app_tag, len, addr, seed, rsvd });
    same!(c, Timespec = raw::__kernel_timespec { sec = tv_sec, nsec = tv_nsec });
    same!(c, GeteventsArg = raw::io_uring_getevents_arg { sigmask, sigmask_sz, min_wait_usec, ts });
    same!(
        c,
        RegWait =
            raw::io_uring_reg_wait { ts, min_wait_usec, flags, sigmask, sigmask_sz, pad, pad2 }
    );
    same!(c, RecvmsgOut = raw::io_uring_recvmsg_out { namelen, controllen, payloadlen, flags });
    same!(c, IoTimespec = raw::io_timespec { sec = tv_sec, nsec = tv_nsec });
    same!(c, StatxTimestamp = general::statx_timestamp {
        sec = tv_sec, nsec = tv_nsec, pad = __reserved,
    });
}

fn compare_structs_of_register_calls(c: &mut Comparison) {
    same!(c, FilesUpdate = raw::io_uring_files_update { offset, resv, fds });
    same!(c, RsrcRegister = raw::io_uring_rsrc_register { nr, flags, resv2, data, tags });
    same!(c, RsrcUpdate = raw::io_uring_rsrc_update { offset, resv, data });
    same!(c, RsrcUpdate2 = raw::io_uring_rsrc_update2 { offset, resv, data, tags, nr, resv2 });
    same!(c, ProbeOp = raw::io_uring_probe_op { op, resv, flags, resv2 });
    same!(c, Restriction = raw::io_uring_restriction {
        opcode, subject = __bindgen_anon_1, resv, resv2,
    });
    same!(c, Buf = raw::io_uring_buf { addr, len, bid, resv });
    same!(
        c,
        BufRing = raw::io_uring_buf_ring__bindgen_ty_1__bindgen_ty_1 { resv1, resv2, resv3, tail }
    );
    same!(c, BufReg = raw::io_uring_buf_reg {
        ring_addr, ring_entries, bgid, flags, min_left = resv, resv,
    });
    same!(c, BufStatus = raw::io_uring_buf_status { buf_group, head, resv });
    same!(
        c,
        SyncCancelReg =
            raw::io_uring_sync_cancel_reg { addr, fd, flags, timeout, opcode, pad, pad2 }
    );
    same!(c, FileIndexRange = raw::io_uring_file_index_range { off, len, resv });
    same!(c, ClockRegister = raw::io_uring_clock_register { clockid, resv = __resv });
    same!(
        c,
        CloneBuffers = raw::io_uring_clone_buffers { src_fd, flags, src_off, dst_off, nr, pad }
    );
    same!(c, RegionDesc = raw::io_uring_region_desc {
        user_addr, size, flags, id, mmap_offset, resv = __resv,
    });
    same!(c, MemRegionReg = raw::io_uring_mem_region_reg { region_uptr, flags, resv = __resv });
    same!(
        c,
        Napi = raw::io_uring_napi { busy_poll_to, prefer_busy_poll, opcode, pad, op_param, resv }
    );
    same!(c, ZcrxRqe = raw::io_uring_zcrx_rqe { off, len, pad = __pad });
    same!(c, ZcrxCqe = raw::io_uring_zcrx_cqe { off, pad = __pad });
    same!(c, ZcrxOffsets = raw::io_uring_zcrx_offsets {
        head, tail, rqes, resv2 = __resv2, resv = __resv,
    });
    same!(c, ZcrxAreaReg = raw::io_uring_zcrx_area_reg {
        addr, len, rq_area_token, flags, dmabuf_fd, resv2 = __resv2,
    });
    same!(c, ZcrxIfqReg = raw::io_uring_zcrx_ifq_reg {
        if_idx, if_rxq, rq_entries, flags, area_ptr, region_ptr, offsets, zcrx_id,
        rx_buf_len = __resv2, event_desc = __resv, resv = __resv,
    });
}

/// Structs that end in an array there, or hide fields here.
fn compare_structs_of_other_forms(c: &mut Comparison) {
    let probe = size_of::<abi::Probe>() - 256 * size_of::<abi::ProbeOp>();
    c.sizes += 3;
    c.note("Probe", probe as i128, size_of::<raw::io_uring_probe>() as i128);
    c.note("Statx", size_of::<abi::Statx>() as i128, size_of::<general::statx>() as i128);
    c.note("RawSqe", size_of::<abi::RawSqe>() as i128, size_of::<raw::io_uring_sqe>() as i128);
    macro_rules! offsets {
        ($ours:ident, $theirs:path, [$($field:ident = $other:ident),* $(,)?]) => {
            $(same!(@offset c, $ours, $theirs, $field = $other);)*
        };
    }
    offsets!(
        Probe,
        raw::io_uring_probe,
        [last_op = last_op, ops_len = ops_len, resv = resv, resv2 = resv2, ops = ops,]
    );
    offsets!(
        Statx,
        general::statx,
        [
            mask = stx_mask,
            blksize = stx_blksize,
            attributes = stx_attributes,
            nlink = stx_nlink,
            uid = stx_uid,
            gid = stx_gid,
            mode = stx_mode,
            ino = stx_ino,
            size = stx_size,
            blocks = stx_blocks,
            attributes_mask = stx_attributes_mask,
            atime = stx_atime,
            btime = stx_btime,
            ctime = stx_ctime,
            mtime = stx_mtime,
            rdev_major = stx_rdev_major,
            rdev_minor = stx_rdev_minor,
            dev_major = stx_dev_major,
            dev_minor = stx_dev_minor,
            mnt_id = stx_mnt_id,
        ]
    );
    offsets!(RawCqe32, raw::io_uring_cqe, [extra = big_cqe]);
    offsets!(
        RawSqe,
        raw::io_uring_sqe,
        [
            opcode = opcode,
            flags = flags,
            ioprio = ioprio,
            fd = fd,
            len = len,
            user_data = user_data,
            personality = personality,
        ]
    );
}

/// The unions of the submission: all names of the kernel against the one name here, plus bytes into it.
fn compare_the_unions_of_the_submission(c: &mut Comparison) {
    use abi::RawSqe;
    macro_rules! all {
        ($field:ident: $anonymous:ident { $($($other:ident).+ + $inside:literal),* $(,)? }) => {
            $(
                c.offsets += 1;
                let ours = offset_of!(RawSqe, $field) + $inside;
                let theirs = offset_of!(raw::io_uring_sqe, $anonymous.$($other).+);
                c.note(stringify!($($other).+), ours as i128, theirs as i128);
            )*
        };
    }
    all!(off: __bindgen_anon_1 {
        off + 0, addr2 + 0, __bindgen_anon_1.cmd_op + 0, __bindgen_anon_1.__pad1 + 4,
    });
    all!(addr: __bindgen_anon_2 {
        addr + 0, splice_off_in + 0, __bindgen_anon_1.level + 0, __bindgen_anon_1.optname + 4,
    });
    all!(op_flags: __bindgen_anon_3 {
        rw_flags + 0, fsync_flags + 0, poll_events + 0, poll32_events + 0, sync_range_flags + 0,
        msg_flags + 0, timeout_flags + 0, accept_flags + 0, cancel_flags + 0, open_flags + 0,
        statx_flags + 0, fadvise_advice + 0, splice_flags + 0, rename_flags + 0, unlink_flags + 0,
        hardlink_flags + 0, xattr_flags + 0, msg_ring_flags + 0, uring_cmd_flags + 0,
        waitid_flags + 0, futex_flags + 0, install_fd_flags + 0, nop_flags + 0, pipe_flags + 0,
    });
    all!(buf: __bindgen_anon_4 { buf_index + 0, buf_group + 0 });
    all!(splice_fd: __bindgen_anon_5 {
        splice_fd_in + 0, file_index + 0, zcrx_ifq_idx + 0, optlen + 0,
        __bindgen_anon_1.addr_len + 0, __bindgen_anon_1.__pad3 + 2,
        __bindgen_anon_2.write_stream + 0, __bindgen_anon_2.__pad4 + 1,
    });
    all!(addr3: __bindgen_anon_6 { optval + 0, cmd + 0 });
    // The bindings have this union as markers without a size, which cannot be looked into.
    use raw::io_uring_sqe__bindgen_ty_6__bindgen_ty_1 as Third;
    use raw::io_uring_sqe__bindgen_ty_6__bindgen_ty_2 as Attributes;
    let base = offset_of!(raw::io_uring_sqe, __bindgen_anon_6);
    let (first, second) = (offset_of!(RawSqe, addr3), offset_of!(RawSqe, pad));
    for (name, ours, theirs) in [
        ("addr3", first, offset_of!(Third, addr3)),
        ("__pad2", second, offset_of!(Third, __pad2)),
        ("attr_ptr", first, offset_of!(Attributes, attr_ptr)),
        ("attr_type_mask", second, offset_of!(Attributes, attr_type_mask)),
    ] {
        c.offsets += 1;
        c.note(name, ours as i128, (base + theirs) as i128);
    }
}

//! Flags of operations on files and pipes.

use bitflags::bitflags;

bitflags! {
    /// `RWF_*`: flags of reads and writes, in `op_flags`. `preadv2(2)`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct RwFlags: u32 {
        /// High priority: polls the device; only on a ring with `IOPOLL`. Linux 5.1.
        const HIPRI = 1;
        /// As if opened with `O_DSYNC`. Linux 5.1.
        const DSYNC = 1 << 1;
        /// As if opened with `O_SYNC`. Linux 5.1.
        const SYNC = 1 << 2;
        /// `EAGAIN` rather than waiting. Linux 5.1.
        const NOWAIT = 1 << 3;
        /// As if opened with `O_APPEND`. Linux 5.1.
        const APPEND = 1 << 4;
        /// As if opened without `O_APPEND`. Linux 6.9.
        const NOAPPEND = 1 << 5;
        /// Writes all or nothing, where the device can. Linux 6.11.
        const ATOMIC = 1 << 6;
        /// Leaves nothing in the page cache, where the file system can. Linux 6.14.
        const DONTCACHE = 1 << 7;
    }
}

bitflags! {
    /// `IORING_FSYNC_*`: flags of [`Opcode::FSYNC`](super::Opcode::FSYNC), in `op_flags`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct FsyncFlags: u32 {
        /// Only what is needed to read the data back, `fdatasync(2)`. Linux 5.1.
        const DATASYNC = 1;
    }
}

bitflags! {
    /// `SYNC_FILE_RANGE_*`: flags of [`Opcode::SYNC_FILE_RANGE`](super::Opcode::SYNC_FILE_RANGE), in
    /// `op_flags`. `sync_file_range(2)`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct SyncFileRangeFlags: u32 {
        /// Waits first for what is being written already. Linux 5.2.
        const WAIT_BEFORE = 1;
        /// Starts writing. Linux 5.2.
        const WRITE = 1 << 1;
        /// Waits for what is being written. Linux 5.2.
        const WAIT_AFTER = 1 << 2;
    }
}

impl SyncFileRangeFlags {
    /// `SYNC_FILE_RANGE_WRITE_AND_WAIT`: all three. Linux 5.2.
    pub const WRITE_AND_WAIT: SyncFileRangeFlags = SyncFileRangeFlags::all();
}

bitflags! {
    /// `SPLICE_F_*`: flags of [`Opcode::SPLICE`](super::Opcode::SPLICE) and
    /// [`Opcode::TEE`](super::Opcode::TEE), in `op_flags`. `splice(2)`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct SpliceFlags: u32 {
        /// Moves pages rather than copying them, a hint. Linux 5.7.
        const MOVE = 1;
        /// Does not wait for the pipe. Linux 5.7.
        const NONBLOCK = 1 << 1;
        /// More will follow, a hint for sockets. Linux 5.7.
        const MORE = 1 << 2;
        /// `splice_fd` is an index of the registered files. Linux 5.7.
        const FD_IN_FIXED = 1 << 31;
    }
}

bitflags! {
    /// Flags of [`Opcode::PIPE`](super::Opcode::PIPE), in `op_flags`: the `O_*` that `pipe2(2)` takes, whose
    /// numbers are the architecture's.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct PipeFlags: u32 {
        /// `O_CLOEXEC`: both ends close on exec. Linux 6.16.
        const CLOEXEC = libc::O_CLOEXEC as u32;
        /// `O_NONBLOCK`: both ends are non-blocking. Linux 6.16.
        const NONBLOCK = libc::O_NONBLOCK as u32;
        /// `O_DIRECT`: keeps writes apart, as packets. Linux 6.16.
        const DIRECT = libc::O_DIRECT as u32;
        /// `O_NOTIFICATION_PIPE`: carries notifications of the kernel. Linux 6.16.
        const NOTIFICATION = libc::O_EXCL as u32;
    }
}

/// `BLOCK_URING_CMD_DISCARD` of `linux/blkdev.h`: discards a range of a block device, a command of
/// [`Opcode::URING_CMD`](super::Opcode::URING_CMD). Linux 6.12.
pub const BLOCK_URING_CMD_DISCARD: u32 = ioctl_without_argument(0x12, 0);

/// The C macro `_IO`: some architectures mark by a bit that a command has no argument.
const fn ioctl_without_argument(kind: u32, number: u32) -> u32 {
    let marked = cfg!(any(
        target_arch = "mips",
        target_arch = "mips64",
        target_arch = "powerpc",
        target_arch = "powerpc64",
        target_arch = "sparc",
        target_arch = "sparc64",
    ));
    (marked as u32) << 29 | kind << 8 | number
}

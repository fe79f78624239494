//! The result of `statx(2)`.

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

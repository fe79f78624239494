//! Registered files and buffers.

use bitflags::bitflags;

/// `struct io_uring_files_update`: the older name of [`RsrcUpdate`], for files. Linux 5.5.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FilesUpdate {
    /// The first slot.
    pub offset: u32,
    /// Must be zero.
    pub resv: u32,
    /// The address of the descriptors.
    pub fds: u64,
}

layout!(FilesUpdate, 16, 8, { offset @ 0, resv @ 4, fds @ 8 });

/// `struct io_uring_rsrc_register`: the argument of
/// [`RegisterOp::REGISTER_FILES2`](super::RegisterOp::REGISTER_FILES2) and
/// [`RegisterOp::REGISTER_BUFFERS2`](super::RegisterOp::REGISTER_BUFFERS2). Linux 5.13.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RsrcRegister {
    /// How many.
    pub nr: u32,
    /// [`RsrcRegisterFlags`]. Linux 5.19.
    pub flags: u32,
    /// Must be zero.
    pub resv2: u64,
    /// The address of the descriptors, or of `iovec`s; 0 for a sparse table.
    pub data: u64,
    /// The address of as many tags (u64), or 0.
    pub tags: u64,
}

layout!(RsrcRegister, 32, 8, { nr @ 0, flags @ 4, resv2 @ 8, data @ 16, tags @ 24 });

bitflags! {
    /// `IORING_RSRC_REGISTER_*`: how a table of files or buffers is made.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct RsrcRegisterFlags: u32 {
        /// Makes empty slots. Linux 5.19.
        const SPARSE = 1;
    }
}

/// `struct io_uring_rsrc_update`: the argument of
/// [`RegisterOp::REGISTER_FILES_UPDATE`](super::RegisterOp::REGISTER_FILES_UPDATE) and
/// [`RegisterOp::REGISTER_RING_FDS`](super::RegisterOp::REGISTER_RING_FDS). Linux 5.12.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RsrcUpdate {
    /// The first slot; for rings the index wanted, or -1 for any, and the index given.
    pub offset: u32,
    /// Must be zero.
    pub resv: u32,
    /// The address of the descriptors; for rings the descriptor itself.
    pub data: u64,
}

layout!(RsrcUpdate, 16, 8, { offset @ 0, resv @ 4, data @ 8 });

/// `struct io_uring_rsrc_update2`: the argument of
/// [`RegisterOp::REGISTER_FILES_UPDATE2`](super::RegisterOp::REGISTER_FILES_UPDATE2) and
/// [`RegisterOp::REGISTER_BUFFERS_UPDATE`](super::RegisterOp::REGISTER_BUFFERS_UPDATE). Linux 5.13.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RsrcUpdate2 {
    /// The first slot.
    pub offset: u32,
    /// Must be zero.
    pub resv: u32,
    /// The address of the descriptors, or of `iovec`s.
    pub data: u64,
    /// The address of as many tags (u64), or 0.
    pub tags: u64,
    /// How many.
    pub nr: u32,
    /// Must be zero.
    pub resv2: u32,
}

layout!(RsrcUpdate2, 32, 8, { offset @ 0, resv @ 4, data @ 8, tags @ 16, nr @ 24, resv2 @ 28 });

/// `IORING_REGISTER_FILES_SKIP`: in place of a descriptor, leaves the slot as it is. Linux 5.12.
pub const REGISTER_FILES_SKIP: i32 = -2;

/// `struct io_uring_file_index_range`: the slots that the kernel chooses from. Linux 6.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FileIndexRange {
    /// The first slot.
    pub off: u32,
    /// How many.
    pub len: u32,
    /// Must be zero.
    pub resv: u64,
}

layout!(FileIndexRange, 16, 8, { off @ 0, len @ 4, resv @ 8 });

/// `struct io_uring_clone_buffers`: registered buffers to copy from another ring. Linux 6.12.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CloneBuffers {
    /// The ring to copy from.
    pub src_fd: u32,
    /// [`CloneBuffersFlags`].
    pub flags: u32,
    /// The first slot there. Linux 6.13.
    pub src_off: u32,
    /// The first slot here. Linux 6.13.
    pub dst_off: u32,
    /// How many; 0 for all. Linux 6.13.
    pub nr: u32,
    /// Must be zero.
    pub pad: [u32; 3],
}

layout!(CloneBuffers, 32, 4, {
    src_fd @ 0, flags @ 4, src_off @ 8, dst_off @ 12, nr @ 16, pad @ 20,
});

bitflags! {
    /// `IORING_REGISTER_SRC_*` and `IORING_REGISTER_DST_*`: how buffers are copied from another ring.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct CloneBuffersFlags: u32 {
        /// The other ring is given by its registered index. Linux 6.12.
        const SRC_REGISTERED = 1;
        /// Replaces slots of a table that is there already. Linux 6.13.
        const DST_REPLACE = 1 << 1;
    }
}

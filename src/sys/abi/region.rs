//! Regions of memory that are shared with the kernel.

use bitflags::bitflags;

/// `struct io_uring_region_desc`: a region of memory. Linux 6.13.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RegionDesc {
    /// The address, with [`RegionFlags::TYPE_USER`].
    pub user_addr: u64,
    /// The length, in bytes.
    pub size: u64,
    /// [`RegionFlags`].
    pub flags: u32,
    /// Must be zero.
    pub id: u32,
    /// Where to map a region that the kernel allocated, an output.
    pub mmap_offset: u64,
    /// Must be zero.
    pub resv: [u64; 4],
}

layout!(RegionDesc, 64, 8, {
    user_addr @ 0, size @ 8, flags @ 16, id @ 20, mmap_offset @ 24, resv @ 32,
});

bitflags! {
    /// `IORING_MEM_REGION_TYPE_*`: where a region's memory comes from.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct RegionFlags: u32 {
        /// It is memory of the caller's; without this the kernel allocates it. Linux 6.13.
        const TYPE_USER = 1;
    }
}

/// `struct io_uring_mem_region_reg`: a region to register. Linux 6.13.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MemRegionReg {
    /// The address of a [`RegionDesc`].
    pub region_uptr: u64,
    /// [`MemRegionRegFlags`].
    pub flags: u64,
    /// Must be zero.
    pub resv: [u64; 2],
}

layout!(MemRegionReg, 32, 8, { region_uptr @ 0, flags @ 8, resv @ 16 });

bitflags! {
    /// `IORING_MEM_REGION_REG_*`: what a region is for.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct MemRegionRegFlags: u64 {
        /// It holds the arguments of waits, [`RegWait`](super::RegWait). Linux 6.13.
        const WAIT_ARG = 1;
    }
}

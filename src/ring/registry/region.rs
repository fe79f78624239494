//! A region of memory that a ring shares with the kernel for good, and the arguments of waits in it.

use std::io;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::time::Duration;

use super::{address, errno};
use crate::ring::enter::MAX_WAIT;
use crate::ring::{
    MemRegionRegFlags, RegWaitFlags, RegionFlags, RegisterOp, Ring, RingId, Signals,
};
use crate::sys::abi::{MemRegionReg, RegWait, RegionDesc, SIGSET_BYTES, Timespec};
use crate::sys::mapping::{self, Mapping};
use crate::sys::pages::Pages;

/// A region to register: how long, whose memory, and what for. Linux 6.13.
#[derive(Clone, Copy, Debug)]
pub struct RegionSetup {
    len_bytes: usize,
    from_kernel: bool,
    wait_args: bool,
}

impl RegionSetup {
    /// A region of our own memory, rounded up to whole pages.
    pub fn user(len_bytes: usize) -> RegionSetup {
        RegionSetup { len_bytes, from_kernel: false, wait_args: false }
    }

    /// A region that the kernel allocates and we map, rounded up to whole pages.
    pub fn kernel(len_bytes: usize) -> RegionSetup {
        RegionSetup { from_kernel: true, ..RegionSetup::user(len_bytes) }
    }

    /// The region holds the arguments of waits ([`Region::set`]); for a ring that was made disabled.
    pub fn wait_args(self) -> RegionSetup {
        RegionSetup { wait_args: true, ..self }
    }
}

/// What the memory of a region is.
#[derive(Debug)]
enum Memory {
    User(Pages),
    Kernel(Mapping),
}

impl Memory {
    fn start(&self) -> NonNull<u8> {
        match self {
            Memory::User(pages) => pages.start(),
            Memory::Kernel(mapping) => mapping.start(),
        }
    }

    fn is_ours(&self) -> bool {
        match self {
            Memory::User(pages) => pages.are_ours(),
            Memory::Kernel(mapping) => mapping.made_by().is_current(),
        }
    }

    fn len_bytes(&self) -> usize {
        match self {
            Memory::User(pages) => pages.len_bytes(),
            Memory::Kernel(mapping) => mapping.len_bytes(),
        }
    }
}

/// A ring's region of shared memory. A ring has one in its life: dropping this unmaps our side, and the
/// kernel's stays until the ring is gone; waits by its places go on, without their signals. Linux 6.13.
///
/// With [`RegionSetup::wait_args`] it is a table of places of 64 bytes, in each of which the arguments of a
/// wait are written once and used by many waits, without being copied at each.
#[derive(Debug)]
pub struct Region {
    memory: Memory,
    /// What the places point to, one each.
    masks: Box<[Signals]>,
    ring: RingId,
}

/// The arguments of a wait. Linux 6.13.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitArgs {
    /// How long to wait at most; cut at a hundred years.
    pub limit: Option<Duration>,
    /// For how long to wait for all completions wanted, before fewer will do; in whole microseconds.
    pub min_wait: Duration,
    /// The signals that are held back meanwhile, and no others; none leaves the thread's own mask.
    pub blocking: Option<Signals>,
}

/// A place of a [`Region`] that holds the arguments of a wait. Linux 6.13.
#[derive(Clone, Copy, Debug)]
pub struct WaitSlot<'a> {
    offset_bytes: u32,
    ring: RingId,
    _region: PhantomData<&'a Region>,
}

impl WaitSlot<'_> {
    /// How far from the start of the region it lies, which is what `io_uring_enter(2)` takes.
    pub fn offset_bytes(&self) -> u32 {
        self.offset_bytes
    }

    /// The ring of the region.
    pub fn ring(&self) -> RingId {
        self.ring
    }
}

impl Ring {
    /// Registers a region of memory. `io_uring_register(2)`, Linux 6.13.
    ///
    /// # Errors
    ///
    /// `EBUSY` for the second one in the life of a ring; `EINVAL` for one of wait arguments when the ring is
    /// enabled already, for a length of 0, and from older kernels; `EBADF` for a region of the kernel's on a
    /// ring that has no descriptor to map it by.
    pub fn register_region(&self, setup: RegionSetup) -> io::Result<Region> {
        let ring = self.registrar()?;
        let len_bytes = setup
            .len_bytes
            .checked_next_multiple_of(mapping::page_bytes())
            .ok_or_else(|| errno(libc::EINVAL))?;
        let mut region = RegionDesc { size: len_bytes as u64, ..RegionDesc::default() };
        let user = if setup.from_kernel { None } else { Some(Pages::new(len_bytes)?) };
        if let Some(pages) = &user {
            region.user_addr = pages.address();
            region.flags = RegionFlags::TYPE_USER.bits();
        }
        // Before anything is registered, since a region cannot be taken back.
        let fd = match &user {
            None => Some(ring.fd().ok_or_else(|| errno(libc::EBADF))?),
            Some(_) => None,
        };
        let purpose =
            if setup.wait_args { MemRegionRegFlags::WAIT_ARG } else { MemRegionRegFlags::empty() };
        let mut register = MemRegionReg {
            region_uptr: address(std::slice::from_mut(&mut region)),
            flags: purpose.bits(),
            ..MemRegionReg::default()
        };
        // SAFETY: one `io_uring_mem_region_reg` and the `io_uring_region_desc` that it points to, used during
        // the call only. The memory described is `user`, whose pages the kernel pins: it only reads them, and
        // they are nobody else's when they are unmapped before the ring is gone.
        unsafe { ring.register(RegisterOp::REGISTER_MEM_REGION, &raw mut register, 1)? };
        let memory = match (user, fd) {
            (Some(pages), _) => Memory::User(pages),
            (None, Some(fd)) => {
                let offset = i64::try_from(region.mmap_offset).map_err(io::Error::other)?;
                Memory::Kernel(Mapping::new(fd, len_bytes, offset)?)
            }
            (None, None) => return Err(errno(libc::EBADF)),
        };
        let places = if setup.wait_args { len_bytes / size_of::<RegWait>() } else { 0 };
        Ok(Region { memory, masks: vec![Signals::none(); places].into(), ring: self.id() })
    }
}

impl Region {
    /// Its length, in bytes: whole pages.
    pub fn len_bytes(&self) -> usize {
        self.memory.len_bytes()
    }

    /// How many places for the arguments of waits it has; 0 if it is not for them.
    pub fn wait_slots(&self) -> u32 {
        self.masks.len() as u32
    }

    /// Writes the arguments of a wait to a place. At first all places are of waits without a limit.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a place behind the end; `EEXIST` in a forked child, which does not have the memory.
    pub fn set(&mut self, index: u32, wait: &WaitArgs) -> io::Result<WaitSlot<'_>> {
        if !self.memory.is_ours() {
            return Err(errno(libc::EEXIST));
        }
        let mask = self.masks.get_mut(index as usize).ok_or_else(|| errno(libc::EINVAL))?;
        let mut args = RegWait {
            min_wait_usec: u32::try_from(wait.min_wait.as_micros()).unwrap_or(u32::MAX),
            ..RegWait::default()
        };
        if let Some(limit) = wait.limit {
            let limit = limit.min(MAX_WAIT);
            args.flags = RegWaitFlags::TS.bits();
            args.ts =
                Timespec { sec: limit.as_secs() as i64, nsec: i64::from(limit.subsec_nanos()) };
        }
        if let Some(signals) = wait.blocking {
            *mask = signals;
            args.sigmask = address(&mut mask.0);
            args.sigmask_sz = SIGSET_BYTES;
        }
        let place = self.memory.start().cast::<RegWait>();
        // SAFETY: there are as many places as masks, all within the memory, which is ours and aligned to a page. The
        // kernel reads a place at the start of a wait of this thread, so not now.
        unsafe { place.add(index as usize).write_volatile(args) };
        self.slot(index).ok_or_else(|| errno(libc::EINVAL))
    }

    /// A place with what was written to it before; none behind the end.
    pub fn slot(&self, index: u32) -> Option<WaitSlot<'_>> {
        let offset_bytes = index.checked_mul(size_of::<RegWait>() as u32)?;
        let exists = index < self.wait_slots();
        exists.then_some(WaitSlot { offset_bytes, ring: self.ring, _region: PhantomData })
    }
}

impl Drop for Region {
    /// The kernel keeps the places, but what they point to goes now: nobody is to look there any more.
    fn drop(&mut self) {
        if !self.memory.is_ours() {
            return;
        }
        let places = self.memory.start().cast::<RegWait>();
        for index in 0..self.masks.len() {
            // SAFETY: as in `set`; two words of a place, which the kernel reads at the start of a wait of this
            // thread.
            unsafe {
                let place = places.add(index).as_ptr();
                (&raw mut (*place).sigmask).write_volatile(0);
                (&raw mut (*place).sigmask_sz).write_volatile(0);
            }
        }
    }
}

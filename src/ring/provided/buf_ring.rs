//! Provided buffers that reach the kernel through a ring in shared memory.

use std::fmt;
use std::io;
use std::rc::Rc;

use super::lease::Leases;
use super::ledger::{Consumption, Ledger};
use super::memory::{Buffers, Entries};
use super::pool::{Pool, Returns};
use crate::ring::fd::RingFd;
use crate::ring::{BufGroup, Cqe, Ring};
use crate::sys::abi::{
    BufReg, BufStatus, OFF_PBUF_RING, OFF_PBUF_SHIFT, PbufRingFlags, RegisterOp,
};
use crate::sys::mapping::Mapping;

/// The most buffers that a ring has room for.
const MAX_ENTRIES: u32 = 1 << 15;

/// The kernel's rings are mapped from offsets that have 11 bits for the number of the group.
const MAX_MAPPED_GROUP: u16 = (1 << 11) - 1;

/// How to make a [`BufRing`]. `io_uring_register_buf_ring(3)`, Linux 5.19.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use uring::ring::{BufRingSetup, Setup};
///
/// let ring = Setup::new(64).build()?;
/// let buffers = BufRingSetup::new(256, 16 * 1024).group(7).incremental().build(&ring)?;
/// assert_eq!(buffers.group().id(), 7);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is registered before `build`"]
pub struct BufRingSetup {
    entries: u32,
    each_bytes: u32,
    group: u16,
    at_first: u32,
    flags: PbufRingFlags,
    min_left_bytes: u32,
    returns: Returns,
}

impl BufRingSetup {
    /// A group of `entries` buffers (a power of two up to 32,768) of `each_bytes` bytes, by the number 0.
    ///
    /// The memory of a buffer that was never used costs nothing but addresses.
    pub fn new(entries: u32, each_bytes: u32) -> BufRingSetup {
        BufRingSetup {
            entries,
            each_bytes,
            group: 0,
            at_first: entries,
            flags: PbufRingFlags::empty(),
            min_left_bytes: 0,
            returns: Returns::AtOnce,
        }
    }

    /// The number by which submissions name the group; a ring has 65,536 of them.
    pub fn group(mut self, group: u16) -> BufRingSetup {
        self.group = group;
        self
    }

    /// Provides only so many buffers at first. The kernel hands buffers out in turn, so that all that it has
    /// are soon in use and in memory; [`BufRing::provide`] adds more when they run short.
    pub fn at_first(mut self, count: u32) -> BufRingSetup {
        self.at_first = count;
        self
    }

    /// Keeps buffers whose leases are gone until [`BufRing::provide`] or [`BufRing::fill`] provides them
    /// again, and provides none at first: for sending, where a buffer is provided with what it holds.
    pub fn by_hand(mut self) -> BufRingSetup {
        self.returns = Returns::WhenAsked;
        self.at_first = 0;
        self
    }

    /// Has the kernel fill a buffer piece by piece, until it is full (`IOU_PBUF_RING_INC`, Linux 6.12), so
    /// that few large buffers serve many small messages.
    ///
    /// An older kernel uses a whole buffer for each message: see [`BufRing::is_incremental`].
    pub fn incremental(mut self) -> BufRingSetup {
        self.flags |= PbufRingFlags::INC;
        self
    }

    /// As [`incremental`](BufRingSetup::incremental), and has the kernel leave a buffer when fewer than
    /// `min_left_bytes` are left of it (Linux 7.1, carried back to 6.18), so that no message is cut to fit a
    /// small rest. An older kernel uses the rest as well.
    pub fn min_left(mut self, min_left_bytes: u32) -> BufRingSetup {
        self.min_left_bytes = min_left_bytes;
        self.incremental()
    }

    /// Has the kernel allocate the ring (not the buffers), and maps it from there (`IOU_PBUF_RING_MMAP`,
    /// Linux 6.4). Saves pinning pages of ours, which counts against `RLIMIT_MEMLOCK`. Only groups with a
    /// number below 2048 can be mapped.
    pub fn kernel_memory(mut self) -> BufRingSetup {
        self.flags |= PbufRingFlags::MMAP;
        self
    }

    /// Registers the group with `ring`, and provides its buffers.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a number of buffers that is 0, no power of two or too large, for buffers of no bytes, on
    /// kernels before Linux 5.19, and with [`kernel_memory`](BufRingSetup::kernel_memory) before 6.4 or for
    /// a group whose number is too large for it;
    /// `EEXIST` if the group is in use; `ENOMEM`; `EOPNOTSUPP` on a kernel in user space that has none.
    pub fn build(&self, ring: &Ring) -> io::Result<BufRing> {
        let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
        if !self.entries.is_power_of_two() || self.entries > MAX_ENTRIES || self.each_bytes == 0 {
            return Err(invalid());
        }
        if self.flags.contains(PbufRingFlags::MMAP) && self.group > MAX_MAPPED_GROUP {
            return Err(invalid());
        }
        let entries = self.entries as u16;
        let buffers = Buffers::new(entries, self.each_bytes)?;
        let registration = self.register(ring.registrar()?, entries)?;
        let incremental = registration.flags.contains(PbufRingFlags::INC);
        let consumption = if incremental { Consumption::Incremental } else { Consumption::Whole };
        let ledger = Ledger::new(entries, consumption);
        let group = BufGroup::new(ring, self.group);
        let Registration { ring, entries, min_left_bytes, .. } = registration;
        let pool = Pool::new(ledger, buffers, Some(entries), self.returns);
        pool.provide_idle(self.at_first);
        Ok(BufRing { pool, ring, group, incremental, min_left_bytes })
    }

    /// Registers with all that was asked for, or else with what older kernels know of it.
    fn register(&self, ring: Rc<RingFd>, entries: u16) -> io::Result<Registration> {
        let whole = self.flags - PbufRingFlags::INC;
        let mut tries = vec![(self.flags, self.min_left_bytes)];
        if self.min_left_bytes > 0 {
            tries.push((self.flags, 0));
        }
        if whole != self.flags {
            tries.push((whole, 0));
        }
        let mut refused = io::Error::from_raw_os_error(libc::EINVAL);
        for (flags, min_left_bytes) in tries {
            match register(&ring, self.group, entries, flags, min_left_bytes) {
                Ok(entries) => return Ok(Registration { ring, entries, flags, min_left_bytes }),
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => refused = error,
                Err(error) => return Err(error),
            }
        }
        Err(refused)
    }
}

struct Registration {
    ring: Rc<RingFd>,
    entries: Entries,
    flags: PbufRingFlags,
    min_left_bytes: u32,
}

fn register(
    ring: &RingFd,
    group: u16,
    count: u16,
    flags: PbufRingFlags,
    min_left_bytes: u32,
) -> io::Result<Entries> {
    let mut reg = BufReg {
        ring_entries: u32::from(count),
        bgid: group,
        flags: flags.bits(),
        min_left: min_left_bytes,
        ..BufReg::default()
    };
    if !flags.contains(PbufRingFlags::MMAP) {
        let entries = Entries::on_heap(count)?;
        reg.ring_addr = entries.address();
        // SAFETY: one `io_uring_buf_reg`, used during the call only. The ring it points to is zeroed and
        // large enough, and whoever owns the entries frees them only after `unregister` has succeeded.
        unsafe { ring.register(RegisterOp::REGISTER_PBUF_RING, &raw mut reg, 1) }?;
        return Ok(entries);
    }
    let fd = ring.fd().ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: one `io_uring_buf_reg`, used during the call only; the ring is the kernel's own memory.
    unsafe { ring.register(RegisterOp::REGISTER_PBUF_RING, &raw mut reg, 1) }?;
    let offset = OFF_PBUF_RING | i64::from(group) << OFF_PBUF_SHIFT;
    let mapped = Mapping::new(fd, Entries::len_bytes(count), offset)
        .map(|mapping| Entries::mapped(count, mapping));
    match mapped {
        Ok(Some(entries)) => Ok(entries),
        failed => {
            // No buffer was provided, so it does not matter if the empty group stays.
            let _ = unregister(ring, group);
            Err(failed.err().unwrap_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM)))
        }
    }
}

fn unregister(ring: &RingFd, group: u16) -> io::Result<()> {
    let mut reg = BufReg { bgid: group, ..BufReg::default() };
    // SAFETY: one `io_uring_buf_reg`, used during the call only.
    unsafe { ring.register(RegisterOp::UNREGISTER_PBUF_RING, &raw mut reg, 1) }.map(drop)
}

/// A group of provided buffers that reach the kernel through a ring in shared memory
/// (`IORING_REGISTER_PBUF_RING`, Linux 5.19), made by [`BufRingSetup`].
///
/// It owns the ring and the buffers. Giving a buffer back is a store, without a system call. It borrows
/// nothing of the [`Ring`], and stays valid after that is dropped.
///
/// Drop unregisters the group. Memory that leases point to stays until they are gone; should the kernel
/// refuse to unregister, as a ring with restrictions does, all of the memory stays.
pub struct BufRing {
    pool: Rc<Pool>,
    ring: Rc<RingFd>,
    group: BufGroup,
    incremental: bool,
    min_left_bytes: u32,
}

impl BufRing {
    /// What a submission names the group by.
    pub fn group(&self) -> BufGroup {
        self.group
    }

    /// The size of each buffer, in bytes.
    pub fn buffer_bytes(&self) -> usize {
        self.pool.each_bytes() as usize
    }

    /// Whether buffers are consumed piece by piece (Linux 6.12), as they were asked to be.
    pub fn is_incremental(&self) -> bool {
        self.incremental
    }

    /// How many bytes are left at least when a buffer is used further; 0 if that is not in force.
    pub fn min_left_bytes(&self) -> u32 {
        self.min_left_bytes
    }

    /// How many buffers the kernel has, as far as completions were [taken](BufRing::take). No system call.
    pub fn with_kernel(&self) -> u32 {
        self.pool.books(|ledger| ledger.with_kernel())
    }

    /// How many buffers the kernel can still choose from (`IORING_REGISTER_PBUF_STATUS`, Linux 6.8).
    ///
    /// # Errors
    ///
    /// `EINVAL` on older kernels.
    pub fn available(&self) -> io::Result<u32> {
        let tail = self.pool.books(|ledger| ledger.tail());
        Ok(u32::from((tail as u16).wrapping_sub(self.head()?)))
    }

    /// The index of the buffer that the kernel chooses next, counted through and wrapping at 2¹⁶
    /// (`IORING_REGISTER_PBUF_STATUS`, Linux 6.8).
    ///
    /// # Errors
    ///
    /// `EINVAL` on older kernels.
    pub fn head(&self) -> io::Result<u16> {
        let mut status =
            BufStatus { buf_group: u32::from(self.group.id()), ..BufStatus::default() };
        // SAFETY: one `io_uring_buf_status`, used during the call only.
        unsafe { self.ring.register(RegisterOp::REGISTER_PBUF_STATUS, &raw mut status, 1) }?;
        Ok(status.head as u16)
    }

    /// Provides up to `count` buffers that are neither with the kernel nor in leases, with one store.
    /// Returns how many there were.
    pub fn provide(&self, count: u32) -> u32 {
        self.pool.provide_idle(count)
    }

    /// Copies `bytes` to an idle buffer and provides it, for a send that selects from this group (Linux
    /// 6.10). Sends take the buffers in the order in which they were filled.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there are no bytes or more than a buffer holds; `ENOBUFS` if no buffer is idle.
    pub fn fill(&self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() || bytes.len() > self.buffer_bytes() {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        self.pool.fill(bytes).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOBUFS))
    }

    /// The bytes that a completion brought; any completion of a request that selected from this group can
    /// be passed.
    ///
    /// # Errors
    ///
    /// The completion's own error, after the buffer that it may name has gone back. `InvalidData` if the
    /// completion names a buffer or a length that cannot be; nothing has changed then.
    ///
    /// # Safety
    ///
    /// The [take contract](super#the-take-contract).
    pub unsafe fn take(&self, cqe: Cqe) -> io::Result<Leases> {
        self.pool.take(cqe, |position, tail| self.unread(position, tail))
    }

    /// Whether the kernel has yet to come to the buffer at `position`, the last being before `tail`. Since
    /// Linux 6.12 a request that fails may name its buffer and leave it in the ring all the same.
    fn unread(&self, position: u64, tail: u64) -> bool {
        self.head().is_ok_and(|head| {
            let available = u64::from((tail as u16).wrapping_sub(head));
            position >= tail.saturating_sub(available)
        })
    }
}

impl Drop for BufRing {
    fn drop(&mut self) {
        self.pool.close();
        if unregister(&self.ring, self.group.id()).is_err() {
            // The kernel may go on writing to the buffers, so they are never freed.
            std::mem::forget(Rc::clone(&self.pool));
        }
    }
}

impl fmt::Debug for BufRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufRing")
            .field("group", &self.group.id())
            .field("buffer_bytes", &self.buffer_bytes())
            .field("with_kernel", &self.with_kernel())
            .field("incremental", &self.incremental)
            .finish_non_exhaustive()
    }
}

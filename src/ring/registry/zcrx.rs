//! Zero-copy receive: packets land in memory of the application's, by the device's own hand.
//!
//! It needs a device whose driver takes part, a receive queue of it that is steered and split by hand, a ring
//! with deferred completion and 32-byte completions, and the right to administer networks.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::rc::Rc;

use super::zcrx_refill::Refill;
use super::{address, errno};
use crate::ring::fd::RingFd;
use crate::ring::{
    RegionFlags, RegisterOp, Ring, ZcrxAreaFlags, ZcrxCtrlOp, ZcrxEvent, ZcrxId, ZcrxRegFlags,
};
use crate::sys::abi::{
    RegionDesc, ZCRX_AREA_MASK, ZcrxAreaReg, ZcrxCqe, ZcrxCtrl, ZcrxEventDesc, ZcrxIfqReg, ZcrxRqe,
};
use crate::sys::mapping;
use crate::sys::pages::Pages;

/// Which receive queue to take over, and with how much memory. Linux 6.15.
#[derive(Clone, Copy, Debug)]
pub struct ZcrxSetup<'a> {
    interface: u32,
    queue: u32,
    refill_entries: u32,
    area: Area<'a>,
    flags: ZcrxRegFlags,
    piece_bytes: u32,
    events: Option<(u64, u32)>,
}

/// Where packets land.
#[derive(Clone, Copy, Debug)]
enum Area<'a> {
    Pages { len_bytes: usize },
    DmaBuf { fd: BorrowedFd<'a>, offset_bytes: u64, len_bytes: u64 },
}

impl<'a> ZcrxSetup<'a> {
    /// A receive queue of an interface (its index, `if_nametoindex(3)`), with an area of so many bytes,
    /// rounded up to whole pages.
    pub fn new(interface: u32, queue: u32, area_bytes: usize) -> ZcrxSetup<'a> {
        let area = Area::Pages { len_bytes: area_bytes };
        let flags = ZcrxRegFlags::empty();
        let (refill_entries, piece_bytes, events) = (4096, 0, None);
        ZcrxSetup { interface, queue, refill_entries, area, flags, piece_bytes, events }
    }

    /// How many pieces can be on their way back; 4,096 if not said.
    pub fn refill_entries(self, refill_entries: u32) -> ZcrxSetup<'a> {
        ZcrxSetup { refill_entries, ..self }
    }

    /// Lets packets land in a DMA buffer, such as memory of another device. Linux 6.16.
    pub fn dma_buf(self, fd: BorrowedFd<'a>, offset_bytes: u64, len_bytes: u64) -> ZcrxSetup<'a> {
        ZcrxSetup { area: Area::DmaBuf { fd, offset_bytes, len_bytes }, ..self }
    }

    /// Wants pieces of so many bytes. Linux 7.0.
    pub fn piece_bytes(self, piece_bytes: u32) -> ZcrxSetup<'a> {
        ZcrxSetup { piece_bytes, ..self }
    }

    /// Has no device behind it: all data is copied. Newer than Linux 7.0.
    pub fn without_device(self) -> ZcrxSetup<'a> {
        ZcrxSetup { flags: self.flags | ZcrxRegFlags::NODEV, ..self }
    }

    /// Posts a completion with this `user_data` when one of `events` has happened. Newer than Linux 7.0.
    ///
    /// # Safety
    ///
    /// Nobody takes that completion for that of a request.
    pub unsafe fn events(self, user_data: u64, events: &[ZcrxEvent]) -> ZcrxSetup<'a> {
        let mask = events.iter().fold(0, |mask, event| mask | 1u32.wrapping_shl(event.0));
        ZcrxSetup { events: Some((user_data, mask)), ..self }
    }
}

/// A receive queue that a ring has taken over, for as long as the ring lives; the ring lives as long as this. The
/// kernel has no call that gives it back, so dropping this leaves it with the ring. Linux 6.15.
#[derive(Debug)]
pub struct ZcrxQueue {
    id: ZcrxId,
    /// None where packets land in a DMA buffer.
    area: Option<Pages>,
    refill: Refill,
    _ring: Rc<RingFd>,
}

impl Ring {
    /// Takes over a receive queue of a network interface. `io_uring_register(2)`, Linux 6.15.
    ///
    /// # Errors
    ///
    /// `EPERM` without `CAP_NET_ADMIN`; `EINVAL` on a ring without deferred completion and 32-byte
    /// completions, and from older kernels; `ENODEV` for an interface that does not exist; `EOPNOTSUPP` where
    /// its driver does not take part.
    pub fn register_zcrx(&self, setup: &ZcrxSetup<'_>) -> io::Result<ZcrxQueue> {
        let ring = self.registrar()?;
        let (area, mut area_reg) = area(setup.area)?;
        // Room for the head, whose size the kernel chooses, and the entries.
        let entries_bytes = setup.refill_entries as usize * size_of::<ZcrxRqe>();
        let refill = Pages::whole(entries_bytes + mapping::page_bytes())?;
        let mut region = RegionDesc {
            user_addr: refill.address(),
            size: refill.len_bytes() as u64,
            flags: RegionFlags::TYPE_USER.bits(),
            ..RegionDesc::default()
        };
        let (user_data, type_mask) = setup.events.unwrap_or_default();
        let mut events = ZcrxEventDesc { user_data, type_mask, ..ZcrxEventDesc::default() };
        let mut register = ZcrxIfqReg {
            if_idx: setup.interface,
            if_rxq: setup.queue,
            rq_entries: setup.refill_entries,
            flags: setup.flags.bits(),
            area_ptr: address(std::slice::from_mut(&mut area_reg)),
            region_ptr: address(std::slice::from_mut(&mut region)),
            rx_buf_len: setup.piece_bytes,
            event_desc: setup.events.map_or(0, |_| address(std::slice::from_mut(&mut events))),
            ..ZcrxIfqReg::default()
        };
        // SAFETY: one `io_uring_zcrx_ifq_reg` and what it points to, used during the call only. The area and
        // the refill ring are pages of our own, which the kernel pins; only `ZcrxQueue` lends them.
        unsafe { ring.register(RegisterOp::REGISTER_ZCRX_IFQ, &raw mut register, 1)? };
        let (entries, token) = (register.rq_entries, area_reg.rq_area_token);
        let refill = Refill::new(refill, &register.offsets, entries, token)?;
        let id = ZcrxId::new(self.id(), register.zcrx_id);
        Ok(ZcrxQueue { id, area, refill, _ring: ring })
    }

    /// Uses a receive queue that another ring has [exported](Ring::export_zcrx). Linux 6.19.
    ///
    /// # Errors
    ///
    /// As [`Ring::register_zcrx`].
    pub fn import_zcrx(&self, exported: BorrowedFd<'_>) -> io::Result<ZcrxId> {
        let mut register = ZcrxIfqReg {
            if_idx: exported.as_raw_fd() as u32,
            flags: ZcrxRegFlags::IMPORT.bits(),
            ..ZcrxIfqReg::default()
        };
        let ring = self.registrar()?;
        // SAFETY: one `io_uring_zcrx_ifq_reg` that names no memory, used during the call only.
        unsafe { ring.register(RegisterOp::REGISTER_ZCRX_IFQ, &raw mut register, 1)? };
        Ok(ZcrxId::new(self.id(), register.zcrx_id))
    }

    /// Makes a descriptor of a receive queue, for another ring to [import](Ring::import_zcrx). Linux 6.19.
    ///
    /// # Errors
    ///
    /// `EINVAL` for another ring's queue, and from older kernels; `ENXIO` for one that does not exist.
    pub fn export_zcrx(&self, queue: ZcrxId) -> io::Result<OwnedFd> {
        let done = self.control_zcrx(queue, ZcrxCtrlOp::EXPORT, 0)?;
        let fd = i32::try_from(done.arg[0]).map_err(io::Error::other)?;
        // SAFETY: the call returned a new descriptor that nobody else owns; it is no negative number.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Has the kernel take what is in the refill ring now, rather than when it needs some. Linux 6.19.
    ///
    /// # Errors
    ///
    /// As [`Ring::export_zcrx`].
    pub fn flush_zcrx(&self, queue: ZcrxId) -> io::Result<()> {
        self.control_zcrx(queue, ZcrxCtrlOp::FLUSH_RQ, 0).map(drop)
    }

    /// Reports an event once more, which the kernel does once for each time it is asked. Newer than Linux 7.0.
    ///
    /// # Errors
    ///
    /// As [`Ring::export_zcrx`].
    pub fn arm_zcrx_event(&self, queue: ZcrxId, event: ZcrxEvent) -> io::Result<()> {
        self.control_zcrx(queue, ZcrxCtrlOp::ARM_EVENT, event.0).map(drop)
    }

    fn control_zcrx(&self, queue: ZcrxId, op: ZcrxCtrlOp, arg: u32) -> io::Result<ZcrxCtrl> {
        if queue.ring() != self.id() {
            return Err(errno(libc::EINVAL));
        }
        let mut control = ZcrxCtrl { zcrx_id: queue.id(), op: op.0, ..ZcrxCtrl::default() };
        control.arg[0] = arg;
        let ring = self.registrar()?;
        // SAFETY: one `zcrx_ctrl`, used during the call only.
        unsafe { ring.register(RegisterOp::REGISTER_ZCRX_CTRL, &raw mut control, 0)? };
        Ok(control)
    }
}

impl ZcrxQueue {
    /// What submissions name it by.
    pub fn id(&self) -> ZcrxId {
        self.id
    }

    /// The bytes that a completion has brought: `len_bytes` is its result, `piece` its second half. None where
    /// they do not lie in the area, and where the area is a DMA buffer.
    ///
    /// # Safety
    ///
    /// Both are of a completion of this queue's, and the piece is not [given back](ZcrxQueue::give_back)
    /// before: the device writes to what was given back.
    pub unsafe fn bytes(&self, piece: &ZcrxCqe, len_bytes: u32) -> Option<&[u8]> {
        let start = usize::try_from(piece.off & !ZCRX_AREA_MASK).ok()?;
        let end = start.checked_add(len_bytes as usize)?;
        let area = self.area.as_ref().filter(|area| area.are_ours())?;
        if end > area.len_bytes() {
            return None;
        }
        // SAFETY: within the area, as just checked, which is initialized and lives as long as `self`; nobody
        // writes to this part, by the caller's contract.
        Some(unsafe { std::slice::from_raw_parts(area.start().add(start).as_ptr(), end - start) })
    }

    /// Gives a piece back to the device; false when the refill ring is full, see [`Ring::flush_zcrx`].
    pub fn give_back(&mut self, piece: &ZcrxCqe, len_bytes: u32) -> bool {
        self.refill.push(piece.off, len_bytes)
    }
}

/// The memory of an area, if it is ours, and what describes it.
fn area(area: Area<'_>) -> io::Result<(Option<Pages>, ZcrxAreaReg)> {
    match area {
        Area::Pages { len_bytes } => {
            let pages = Pages::whole(len_bytes)?;
            let (addr, len) = (pages.address(), pages.len_bytes() as u64);
            Ok((Some(pages), ZcrxAreaReg { addr, len, ..ZcrxAreaReg::default() }))
        }
        Area::DmaBuf { fd, offset_bytes, len_bytes } => Ok((
            None,
            ZcrxAreaReg {
                addr: offset_bytes,
                len: len_bytes,
                flags: ZcrxAreaFlags::DMABUF.bits(),
                dmabuf_fd: fd.as_raw_fd() as u32,
                ..ZcrxAreaReg::default()
            },
        )),
    }
}

//! Submissions: one safe constructor per operation, each borrowing what it lends to the kernel.
//!
//! This is the only place that turns references into addresses.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};

use super::{Address, RingId};
use crate::buf::Room;
use crate::sys::abi::{AcceptFlags, FsyncFlags, Opcode, PollFlags, RawSqe, SqeFlags, Statx};

/// `MAX_RW_COUNT`: the kernel cuts every transfer here (read(2)), so longer buffers are lent in part.
const MAX_TRANSFER_BYTES: usize = 0x7fff_f000;

/// `off` for "at the file's own position" (`IORING_FEAT_RW_CUR_POS`, Linux 5.6).
const CURRENT_POSITION: u64 = u64::MAX;

/// The file that an operation works on.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// An open descriptor.
    Fd(BorrowedFd<'a>),
}

impl Target<'_> {
    fn raw(self) -> i32 {
        let Target::Fd(fd) = self;
        fd.as_raw_fd()
    }
}

impl<'a> From<BorrowedFd<'a>> for Target<'a> {
    fn from(fd: BorrowedFd<'a>) -> Target<'a> {
        Target::Fd(fd)
    }
}

/// Where a relative path starts.
#[derive(Clone, Copy, Debug)]
pub enum At<'a> {
    /// The working directory (`AT_FDCWD`).
    WorkingDirectory,
    /// An open directory; with an empty path and `AT_EMPTY_PATH`, any open file itself.
    Fd(BorrowedFd<'a>),
}

impl At<'_> {
    fn raw(self) -> i32 {
        match self {
            At::WorkingDirectory => libc::AT_FDCWD,
            At::Fd(fd) => fd.as_raw_fd(),
        }
    }
}

/// A submission without its borrow: what is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The submission as the kernel reads it.
    pub(crate) sqe: RawSqe,
    /// The ring that gave out what it names; none if it names nothing of the kind.
    pub(super) ring: Option<RingId>,
}

impl Entry {
    /// What the completion will carry.
    pub fn user_data(mut self, user_data: u64) -> Entry {
        self.sqe.user_data = user_data;
        self
    }

    /// The submission as the kernel reads it.
    pub fn raw(&self) -> &RawSqe {
        &self.sqe
    }
}

impl From<RawSqe> for Entry {
    fn from(sqe: RawSqe) -> Entry {
        Entry { sqe, ring: None }
    }
}

impl From<Sqe<'_>> for Entry {
    fn from(sqe: Sqe<'_>) -> Entry {
        sqe.into_raw()
    }
}

impl From<MultiSqe<'_>> for Entry {
    fn from(sqe: MultiSqe<'_>) -> Entry {
        sqe.into_raw()
    }
}

/// A submission that completes once, borrowing for `'a` what it lends to the kernel.
///
/// The borrow is checked up to here; what comes after is the
/// [push contract](crate::ring#the-push-contract).
#[derive(Debug)]
#[must_use = "a submission does nothing until it is pushed"]
pub struct Sqe<'a> {
    raw: RawSqe,
    ring: Option<RingId>,
    _lent: PhantomData<&'a mut ()>,
}

/// A submission that completes many times.
///
/// A type of its own because it lends nothing mutably: completions are handled while the request lives on,
/// so memory that the kernel writes could be seen changing. Nor can it be awaited like one that completes
/// once, which would lose all results but the first.
#[derive(Debug)]
#[must_use = "a submission does nothing until it is pushed"]
pub struct MultiSqe<'a> {
    raw: RawSqe,
    ring: Option<RingId>,
    _lent: PhantomData<&'a ()>,
}

fn base(opcode: Opcode, fd: i32) -> RawSqe {
    RawSqe { opcode: opcode.0, fd, ..RawSqe::default() }
}

fn written_by_kernel<T>(memory: &mut [T]) -> u64 {
    memory.as_mut_ptr().expose_provenance() as u64
}

fn read_by_kernel<T>(memory: &[T]) -> u64 {
    memory.as_ptr().expose_provenance() as u64
}

fn transfer_len(len_bytes: usize) -> u32 {
    len_bytes.min(MAX_TRANSFER_BYTES) as u32
}

impl<'a> Sqe<'a> {
    fn new(raw: RawSqe) -> Sqe<'a> {
        Sqe { raw, ring: None, _lent: PhantomData }
    }

    /// Does nothing. Linux 5.1.
    pub fn nop() -> Sqe<'a> {
        Sqe::new(base(Opcode::NOP, -1))
    }

    /// Reads into the front of `room` at `offset`; `None` is the file's own position. `pread(2)`, Linux 5.6.
    pub fn read(target: Target<'a>, room: impl Into<Room<'a>>, offset: Option<u64>) -> Sqe<'a> {
        let mut room = room.into();
        Sqe::new(RawSqe {
            off: offset.unwrap_or(CURRENT_POSITION),
            len: transfer_len(room.len()),
            addr: room.expose(),
            ..base(Opcode::READ, target.raw())
        })
    }

    /// Writes `bytes` at `offset`; `None` is the file's own position. `pwrite(2)`, Linux 5.6.
    pub fn write(target: Target<'a>, bytes: &'a [u8], offset: Option<u64>) -> Sqe<'a> {
        Sqe::new(RawSqe {
            off: offset.unwrap_or(CURRENT_POSITION),
            len: transfer_len(bytes.len()),
            addr: read_by_kernel(bytes),
            ..base(Opcode::WRITE, target.raw())
        })
    }

    /// Flushes a file to its disk; with `data_only` without metadata that is not needed to read it back.
    /// `fsync(2)`, `fdatasync(2)`, Linux 5.1.
    pub fn fsync(target: Target<'a>, data_only: bool) -> Sqe<'a> {
        let flags = if data_only { FsyncFlags::DATASYNC } else { FsyncFlags::empty() };
        Sqe::new(RawSqe { op_flags: flags.bits(), ..base(Opcode::FSYNC, target.raw()) })
    }

    /// Allocates or punches a range of a file; `mode` is `FALLOC_FL_*`. `fallocate(2)`, Linux 5.6.
    pub fn fallocate(target: Target<'a>, mode: u32, offset: u64, len_bytes: u64) -> Sqe<'a> {
        Sqe::new(RawSqe {
            len: mode,
            off: offset,
            addr: len_bytes,
            ..base(Opcode::FALLOCATE, target.raw())
        })
    }

    /// Sets a file's length. `ftruncate(2)`, Linux 6.9.
    pub fn ftruncate(target: Target<'a>, len_bytes: u64) -> Sqe<'a> {
        Sqe::new(RawSqe { off: len_bytes, ..base(Opcode::FTRUNCATE, target.raw()) })
    }

    /// Opens a file; the result is the new descriptor. `openat(2)`, Linux 5.6.
    pub fn open_at(at: At<'a>, path: &'a CStr, flags: i32, mode: u32) -> Sqe<'a> {
        Sqe::new(RawSqe {
            addr: read_by_kernel(path.to_bytes_with_nul()),
            op_flags: flags as u32,
            len: mode,
            ..base(Opcode::OPENAT, at.raw())
        })
    }

    /// Describes a file; `mask` is `STATX_*`, `flags` `AT_*`. `statx(2)`, Linux 5.6.
    pub fn statx(at: At<'a>, path: &'a CStr, flags: i32, mask: u32, out: &'a mut Statx) -> Sqe<'a> {
        Sqe::new(RawSqe {
            addr: read_by_kernel(path.to_bytes_with_nul()),
            off: written_by_kernel(std::slice::from_mut(out)),
            len: mask,
            op_flags: flags as u32,
            ..base(Opcode::STATX, at.raw())
        })
    }

    /// Closes a descriptor. If this is never pushed, the descriptor stays open. `close(2)`, Linux 5.6.
    pub fn close(fd: OwnedFd) -> Sqe<'a> {
        Sqe::new(base(Opcode::CLOSE, fd.into_raw_fd()))
    }

    /// Makes a socket; the result is the new descriptor. `socket(2)`, Linux 5.19.
    pub fn socket(domain: i32, kind: i32, protocol: i32) -> Sqe<'a> {
        Sqe::new(RawSqe { off: kind as u64, len: protocol as u32, ..base(Opcode::SOCKET, domain) })
    }

    /// Connects a socket. `connect(2)`, Linux 5.5.
    pub fn connect(target: Target<'a>, address: &'a Address) -> Sqe<'a> {
        Sqe::new(RawSqe {
            addr: read_by_kernel(address.as_bytes()),
            off: address.as_bytes().len() as u64,
            ..base(Opcode::CONNECT, target.raw())
        })
    }

    /// Accepts a connection; the result is the new descriptor. `peer` gets the other side's address,
    /// `flags` is `SOCK_*`. `accept4(2)`, Linux 5.5.
    pub fn accept(target: Target<'a>, peer: Option<&'a mut Address>, flags: i32) -> Sqe<'a> {
        let (addr, off) = match peer {
            Some(peer) => {
                let (bytes, len_bytes) = peer.parts_mut();
                *len_bytes = bytes.len() as u32;
                (written_by_kernel(bytes), written_by_kernel(std::slice::from_mut(len_bytes)))
            }
            None => (0, 0),
        };
        Sqe::new(RawSqe { addr, off, op_flags: flags as u32, ..base(Opcode::ACCEPT, target.raw()) })
    }

    /// Receives into the front of `room`; `flags` is `MSG_*`. `recv(2)`, Linux 5.6.
    pub fn recv(target: Target<'a>, room: impl Into<Room<'a>>, flags: i32) -> Sqe<'a> {
        let mut room = room.into();
        Sqe::new(RawSqe {
            len: transfer_len(room.len()),
            addr: room.expose(),
            op_flags: flags as u32,
            ..base(Opcode::RECV, target.raw())
        })
    }

    /// Sends `bytes`; `flags` is `MSG_*`, to which `MSG_NOSIGNAL` is added: a peer that has gone away is
    /// an error, never a signal. `send(2)`, Linux 5.6.
    pub fn send(target: Target<'a>, bytes: &'a [u8], flags: i32) -> Sqe<'a> {
        Sqe::new(RawSqe {
            len: transfer_len(bytes.len()),
            addr: read_by_kernel(bytes),
            op_flags: (flags | libc::MSG_NOSIGNAL) as u32,
            ..base(Opcode::SEND, target.raw())
        })
    }

    /// Shuts down a part of a connection; `how` is `SHUT_*`. `shutdown(2)`, Linux 5.11.
    pub fn shutdown(target: Target<'a>, how: i32) -> Sqe<'a> {
        Sqe::new(RawSqe { len: how as u32, ..base(Opcode::SHUTDOWN, target.raw()) })
    }

    /// Waits until one of `events` (`POLL*`) holds; the result is the set that does. `poll(2)`, Linux 5.1.
    pub fn poll(target: Target<'a>, events: u32) -> Sqe<'a> {
        Sqe::new(poll(target, events))
    }

    /// Cancels the request with this `user_data`: the result is 0, `ENOENT` (none such) or `EALREADY`
    /// (running; it may or may not stop). The request has a completion of its own all the same. Linux 5.5.
    pub fn cancel(user_data: u64) -> Sqe<'a> {
        Sqe::new(RawSqe { addr: user_data, ..base(Opcode::ASYNC_CANCEL, -1) })
    }

    /// An operation that this module does not know.
    ///
    /// # Safety
    ///
    /// All addresses in `raw` point to memory that may be lent for `'a`, and descriptors in it are open and
    /// not closed by it behind their owner's back.
    pub unsafe fn raw(raw: RawSqe) -> Sqe<'a> {
        Sqe::new(raw)
    }

    /// Has the next submission start only after this one has succeeded (`IOSQE_IO_LINK`, Linux 5.3).
    pub fn link(self) -> Sqe<'a> {
        self.flag(SqeFlags::IO_LINK)
    }

    /// Starts this one after all earlier ones, and all later ones after it (`IOSQE_IO_DRAIN`, Linux 5.2).
    pub fn drain(self) -> Sqe<'a> {
        self.flag(SqeFlags::IO_DRAIN)
    }

    /// Goes to a worker thread at once (`IOSQE_ASYNC`, Linux 5.6).
    pub fn asynchronous(self) -> Sqe<'a> {
        self.flag(SqeFlags::ASYNC)
    }

    /// Posts no completion unless it fails (`IOSQE_CQE_SKIP_SUCCESS`, Linux 5.17). Not for a submission that
    /// lends memory: without its completion nobody knows when that memory is free again.
    pub fn skip_success(self) -> Sqe<'a> {
        self.flag(SqeFlags::CQE_SKIP_SUCCESS)
    }

    fn flag(mut self, flag: SqeFlags) -> Sqe<'a> {
        self.raw.flags |= flag.bits();
        self
    }

    /// What the completion will carry.
    pub fn user_data(mut self, user_data: u64) -> Sqe<'a> {
        self.raw.user_data = user_data;
        self
    }

    /// The submission without its borrow, which ends here; [`Ring::push`](super::Ring::push) has the contract
    /// that takes its place.
    pub fn into_raw(self) -> Entry {
        Entry { sqe: self.raw, ring: self.ring }
    }
}

impl<'a> MultiSqe<'a> {
    fn new(raw: RawSqe) -> MultiSqe<'a> {
        MultiSqe { raw, ring: None, _lent: PhantomData }
    }

    /// Accepts connections until it fails or is cancelled; each result is a new descriptor. `accept4(2)`,
    /// Linux 5.19.
    pub fn accept(target: Target<'a>, flags: i32) -> MultiSqe<'a> {
        MultiSqe::new(RawSqe {
            op_flags: flags as u32,
            ioprio: AcceptFlags::MULTISHOT.bits(),
            ..base(Opcode::ACCEPT, target.raw())
        })
    }

    /// Reports `events` (`POLL*`) again and again: the first time by level, later by edge. `poll(2)`,
    /// Linux 5.13.
    pub fn poll(target: Target<'a>, events: u32) -> MultiSqe<'a> {
        MultiSqe::new(RawSqe { len: PollFlags::ADD_MULTI.bits(), ..poll(target, events) })
    }

    /// What every completion will carry.
    pub fn user_data(mut self, user_data: u64) -> MultiSqe<'a> {
        self.raw.user_data = user_data;
        self
    }

    /// The submission without its borrow; see [`Sqe::into_raw`].
    pub fn into_raw(self) -> Entry {
        Entry { sqe: self.raw, ring: self.ring }
    }
}

fn poll(target: Target<'_>, events: u32) -> RawSqe {
    // The kernel wants the two halves of the mask swapped on big-endian machines (io_uring.h).
    let events = if cfg!(target_endian = "big") { events.rotate_left(16) } else { events };
    RawSqe { op_flags: events, ..base(Opcode::POLL_ADD, target.raw()) }
}

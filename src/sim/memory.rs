//! Memory that submissions lend: the only place where the simulation turns addresses into bytes.
//!
//! # Why this is sound
//!
//! A [`Taken`] is made by [`take`] alone, from a submission that came through a queue, so through
//! [`Ring::push`](crate::ring::Ring::push). Whoever pushed it has promised that what it lends stays lent
//! until its final completion is posted. A `Taken` is owned by its request and is dropped before that
//! completion is posted, so while one exists its memory is lent. That promise is called the push contract
//! below.
//!
//! Bytes are copied in or out at once; no reference to lent memory is ever made, but to the atomic words of a
//! ring of buffers. Such a ring is lent by a register call, until it is unregistered: that is the contract of
//! [`Registry`](crate::ring::Registry), and why a [`BufferRing`] is made from an [`Argument`] alone.

use std::ffi::c_void;
use std::mem::offset_of;
use std::ptr;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use crate::ring::{KernelSide, PbufRingFlags, RawSqe, RegisterOp, Statx};
use crate::sys::abi::{Buf, BufReg, BufRing, BufStatus, Opcode};

/// `PATH_MAX`: a path is refused if no zero byte comes within so many.
const MAX_PATH_BYTES: usize = 4096;
/// The size of a `struct sockaddr_storage`.
const MAX_ADDRESS_BYTES: u64 = 128;

/// A submission that was taken and whose final completion was not posted yet.
#[derive(Debug)]
pub(super) struct Taken(RawSqe);

/// Takes the next submission, and with it the right to use what it lends.
pub(super) fn take(side: &mut KernelSide<'_>) -> Option<Taken> {
    side.take_sqe().map(Taken)
}

impl Taken {
    /// The submission as integers.
    pub(super) fn sqe(&self) -> &RawSqe {
        &self.0
    }

    /// The path at `addr`, without its zero byte.
    pub(super) fn path(&self) -> Result<Vec<u8>, i32> {
        self.expect(&[Opcode::OPENAT, Opcode::STATX]);
        if self.0.addr == 0 {
            return Err(libc::EFAULT);
        }
        let start = ptr::with_exposed_provenance::<u8>(self.0.addr as usize);
        let mut path = Vec::new();
        while path.len() < MAX_PATH_BYTES {
            // SAFETY: by the push contract these opcodes lend a path that ends with a zero byte; all bytes
            // before this one were not zero, so this one belongs to it.
            match unsafe { start.add(path.len()).read() } {
                0 => return Ok(path),
                byte => path.push(byte),
            }
        }
        Err(libc::ENAMETOOLONG)
    }

    /// The socket address at `addr`, `off` bytes long.
    pub(super) fn socket_address(&self) -> Result<Vec<u8>, i32> {
        self.expect(&[Opcode::CONNECT]);
        if self.0.off > MAX_ADDRESS_BYTES {
            return Err(libc::EINVAL);
        }
        // SAFETY: by the push contract this opcode lends `off` initialised bytes at `addr`.
        unsafe { copy_in(self.0.addr, self.0.off as usize) }
    }

    /// A part of the lent buffer, to be written or sent.
    pub(super) fn bytes(&self, at: usize, len_bytes: usize) -> Result<Vec<u8>, i32> {
        self.expect(&[Opcode::WRITE, Opcode::SEND, Opcode::SEND_ZC]);
        assert!(at + len_bytes <= self.0.len as usize, "a part of the lent buffer");
        // SAFETY: by the push contract these opcodes lend `len` initialised bytes at `addr`, of which this
        // is a part.
        unsafe { copy_in(self.0.addr + at as u64, len_bytes) }
    }

    /// Fills a part of the lent buffer with what was read or received.
    pub(super) fn fill(&mut self, at: usize, bytes: &[u8]) -> Result<(), i32> {
        self.expect(&[Opcode::READ, Opcode::RECV]);
        assert!(at + bytes.len() <= self.0.len as usize, "a part of the lent buffer");
        // SAFETY: by the push contract these opcodes lend `len` bytes of room at `addr`, of which this is a
        // part.
        unsafe { copy_out(self.0.addr + at as u64, bytes) }
    }

    /// Writes a peer's address to `addr` and its length to `off`, if they were given: cut to the room there
    /// is, with the full length, as accept(2) says.
    pub(super) fn fill_peer(&mut self, address: &[u8]) -> Result<(), i32> {
        self.expect(&[Opcode::ACCEPT]);
        if self.0.addr == 0 {
            return Ok(());
        }
        // SAFETY: by the push contract an accept that lends room for an address lends its length at `off`,
        // initialised to the size of that room.
        let room = unsafe { copy_in(self.0.off, size_of::<u32>()) }?;
        let room = u32::from_ne_bytes(room.try_into().map_err(|_| libc::EFAULT)?) as usize;
        let cut = &address[..address.len().min(room)];
        // SAFETY: as above; the address is cut to the room, and the length is four bytes.
        unsafe {
            copy_out(self.0.addr, cut)?;
            copy_out(self.0.off, &(address.len() as u32).to_ne_bytes())
        }
    }

    /// Writes the answer of a statx to `off`.
    pub(super) fn fill_statx(&mut self, statx: &Statx) -> Result<(), i32> {
        self.expect(&[Opcode::STATX]);
        if self.0.off == 0 {
            return Err(libc::EFAULT);
        }
        let out = ptr::with_exposed_provenance_mut::<u8>(self.0.off as usize);
        // SAFETY: by the push contract this opcode lends room for a `struct statx` at `off`. `Statx` has no
        // padding, by its asserted layout, so all of its bytes are initialised.
        unsafe { ptr::copy_nonoverlapping(ptr::from_ref(statx).cast(), out, size_of::<Statx>()) };
        Ok(())
    }

    /// The fields of a submission mean memory for some opcodes only.
    fn expect(&self, opcodes: &[Opcode]) {
        assert!(opcodes.contains(&Opcode(self.0.opcode)), "this opcode lends no such memory");
    }
}

/// The argument of a register call, for as long as the call takes.
#[derive(Debug)]
pub(super) struct Argument {
    op: RegisterOp,
    address: *mut c_void,
    /// How many, as the call counts.
    count: u32,
}

impl Argument {
    /// # Safety
    ///
    /// The contract of [`Registry::register`](crate::ring::Registry::register), and the value is gone when the
    /// call returns.
    pub(super) unsafe fn new(op: RegisterOp, address: *mut c_void, count: u32) -> Argument {
        Argument { op, address, count }
    }

    pub(super) fn op(&self) -> RegisterOp {
        self.op
    }

    /// What to register a ring of buffers with, or the group to unregister.
    pub(super) fn buf_reg(&self) -> Result<BufReg, i32> {
        self.expect(&[RegisterOp::REGISTER_PBUF_RING, RegisterOp::UNREGISTER_PBUF_RING]);
        // SAFETY: by the contract of `new`, these calls lend one `io_uring_buf_reg`.
        unsafe { self.read() }
    }

    /// The ring of buffers that this call registers.
    pub(super) fn buffer_ring(&self) -> Result<BufferRing, i32> {
        self.expect(&[RegisterOp::REGISTER_PBUF_RING]);
        let reg = self.buf_reg()?;
        let flags = PbufRingFlags::from_bits(reg.flags).ok_or(libc::EINVAL)?;
        let incremental = flags.contains(PbufRingFlags::INC);
        let counts = reg.ring_entries.is_power_of_two() && reg.ring_entries <= 1 << 15;
        // Memory of the kernel's would have to be mapped, for which there is no descriptor.
        if !counts || flags.contains(PbufRingFlags::MMAP) || reg.resv != [0; 5] {
            return Err(libc::EINVAL);
        }
        if reg.min_left > 0 && !incremental || reg.ring_addr % 4096 != 0 {
            return Err(libc::EINVAL);
        }
        if reg.ring_addr == 0 {
            return Err(libc::EFAULT);
        }
        Ok(BufferRing {
            address: reg.ring_addr,
            count: reg.ring_entries as u16,
            head: 0,
            incremental,
            min_left_bytes: reg.min_left,
        })
    }

    /// The group to describe.
    pub(super) fn buf_status(&self) -> Result<BufStatus, i32> {
        self.expect(&[RegisterOp::REGISTER_PBUF_STATUS]);
        // SAFETY: by the contract of `new`, this call lends one `io_uring_buf_status`.
        unsafe { self.read() }
    }

    /// The description.
    pub(super) fn answer_buf_status(&self, status: BufStatus) {
        self.expect(&[RegisterOp::REGISTER_PBUF_STATUS]);
        // SAFETY: as in `buf_status`, which has found it not to be null.
        unsafe { self.address.cast::<BufStatus>().write_unaligned(status) }
    }

    /// # Safety
    ///
    /// The call lends one `T` at its address, of which any bytes make one.
    unsafe fn read<T: Copy>(&self) -> Result<T, i32> {
        if self.count != 1 {
            return Err(libc::EINVAL);
        }
        if self.address.is_null() {
            return Err(libc::EFAULT);
        }
        // SAFETY: the caller's contract.
        Ok(unsafe { self.address.cast::<T>().read_unaligned() })
    }

    /// Arguments mean memory for some calls only.
    fn expect(&self, ops: &[RegisterOp]) {
        assert!(ops.contains(&self.op), "this call lends no such memory");
    }
}

/// A ring of provided buffers that is registered, as the kernel sees it.
#[derive(Debug)]
pub(super) struct BufferRing {
    address: u64,
    count: u16,
    /// The position of the buffer that is used next; counts through.
    pub(super) head: u16,
    incremental: bool,
    min_left_bytes: u32,
}

/// Buffers chosen from a ring, for one transfer: each one's address and room.
#[derive(Debug)]
pub(super) struct Chosen {
    /// The id of the first.
    pub(super) id: u16,
    parts: Vec<(u64, u32)>,
}

impl Chosen {
    /// How many bytes fit.
    pub(super) fn len_bytes(&self) -> usize {
        self.parts.iter().map(|&(_, len_bytes)| len_bytes as usize).sum()
    }
}

impl BufferRing {
    /// How many buffers it has.
    pub(super) fn available(&self) -> u16 {
        // SAFETY: the tail is a `u16` in the first entry.
        let tail = unsafe { self.word::<AtomicU16>(0, offset_of!(BufRing, tail)) };
        tail.load(Ordering::Acquire).wrapping_sub(self.head).min(self.count)
    }

    /// The next `count` buffers, or as many as there are, up to `limit_bytes` in all. None if there are none.
    pub(super) fn choose(&self, count: u16, limit_bytes: usize) -> Option<Chosen> {
        let mut left = limit_bytes;
        let mut chosen = Chosen { id: 0, parts: Vec::new() };
        for ahead in 0..self.available().min(count) {
            let position = self.head.wrapping_add(ahead);
            let len_bytes = self.left(position).load(Ordering::Relaxed);
            // SAFETY: two more fields of `io_uring_buf`.
            let (address, id) = unsafe {
                (
                    self.word::<AtomicU64>(position, offset_of!(Buf, addr)).load(Ordering::Relaxed),
                    self.word::<AtomicU16>(position, offset_of!(Buf, bid)).load(Ordering::Relaxed),
                )
            };
            let part = (len_bytes as usize).min(left);
            if chosen.parts.is_empty() {
                chosen.id = id;
            }
            chosen.parts.push((address, part as u32));
            left -= part;
            if left == 0 {
                break;
            }
        }
        Some(chosen).filter(|chosen| !chosen.parts.is_empty())
    }

    /// Fills chosen buffers with what was read or received, one after the other; returns whether the kernel
    /// keeps the last one.
    pub(super) fn fill(&mut self, chosen: &Chosen, bytes: &[u8]) -> Result<bool, i32> {
        let mut rest = bytes;
        for &(address, room) in &chosen.parts {
            let (part, after) = rest.split_at(rest.len().min(room as usize));
            // SAFETY: the buffers of a registered ring are lent from when they are published until a completion
            // names them, and this ring is registered. `chosen` was taken from it in the same attempt.
            unsafe { copy_out(address, part)? };
            rest = after;
        }
        Ok(self.consume(bytes.len(), chosen))
    }

    /// The first `len_bytes` in chosen buffers, to be sent.
    pub(super) fn bytes(&self, chosen: &Chosen, len_bytes: usize) -> Result<Vec<u8>, i32> {
        let mut bytes = Vec::with_capacity(len_bytes);
        for &(address, room) in &chosen.parts {
            let part = (len_bytes - bytes.len()).min(room as usize);
            // SAFETY: as in `fill`; who has a request send from a group has filled its buffers.
            bytes.extend(unsafe { copy_in(address, part)? });
        }
        Ok(bytes)
    }

    /// Moves on behind `len_bytes` of what was chosen; returns whether the last buffer is used further.
    pub(super) fn consume(&mut self, len_bytes: usize, chosen: &Chosen) -> bool {
        let mut rest = len_bytes;
        for &(_, room) in &chosen.parts {
            let part = rest.min(room as usize);
            rest -= part;
            if self.incremental {
                let left = self.left(self.head).load(Ordering::Relaxed) - part as u32;
                let keeps = left > 0 && left >= self.min_left_bytes;
                self.left(self.head).store(if keeps { left } else { 0 }, Ordering::Relaxed);
                if keeps {
                    // SAFETY: a field of `io_uring_buf`.
                    let at = unsafe { self.word::<AtomicU64>(self.head, offset_of!(Buf, addr)) };
                    at.fetch_add(part as u64, Ordering::Relaxed);
                    return true;
                }
            }
            self.head = self.head.wrapping_add(1);
            if rest == 0 {
                break;
            }
        }
        false
    }

    /// How many bytes are left of the buffer at `position`.
    fn left(&self, position: u16) -> &AtomicU32 {
        // SAFETY: a field of `io_uring_buf`.
        unsafe { self.word(position, offset_of!(Buf, len)) }
    }

    /// A word of the entry at `position`.
    ///
    /// # Safety
    ///
    /// An entry has a `T` at `offset`, which is an atomic integer.
    unsafe fn word<T>(&self, position: u16, offset: usize) -> &T {
        let index = usize::from(position & (self.count - 1));
        let start = ptr::with_exposed_provenance::<u8>(self.address as usize);
        // SAFETY: whoever registered the ring lends `count` entries at its address until it is unregistered,
        // which ends this value; all that either side does with them goes by atomic words.
        unsafe { &*start.add(index * size_of::<Buf>() + offset).cast::<T>() }
    }
}

/// # Safety
///
/// `len_bytes` initialised bytes are lent at `address`.
unsafe fn copy_in(address: u64, len_bytes: usize) -> Result<Vec<u8>, i32> {
    if len_bytes == 0 {
        return Ok(Vec::new());
    }
    if address == 0 {
        return Err(libc::EFAULT);
    }
    let mut bytes = vec![0; len_bytes];
    let start = ptr::with_exposed_provenance::<u8>(address as usize);
    // SAFETY: the caller's contract; the vector is new, so the two do not overlap.
    unsafe { ptr::copy_nonoverlapping(start, bytes.as_mut_ptr(), len_bytes) };
    Ok(bytes)
}

/// # Safety
///
/// Room for `bytes` is lent at `address`, and `bytes` does not lie in it.
unsafe fn copy_out(address: u64, bytes: &[u8]) -> Result<(), i32> {
    if bytes.is_empty() {
        return Ok(());
    }
    if address == 0 {
        return Err(libc::EFAULT);
    }
    let start = ptr::with_exposed_provenance_mut::<u8>(address as usize);
    // SAFETY: the caller's contract.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len()) };
    Ok(())
}

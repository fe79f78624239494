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

use std::ptr;

mod argument;
mod buffer_ring;

pub(super) use argument::Argument;
pub(super) use buffer_ring::{BufferRing, Chosen};

use crate::ring::{KernelSide, RawSqe, Statx};
use crate::sys::abi::{Opcode, Timespec};

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
        self.expect(&[
            Opcode::OPENAT,
            Opcode::STATX,
            Opcode::UNLINKAT,
            Opcode::MKDIRAT,
            Opcode::RENAMEAT,
            Opcode::LINKAT,
            Opcode::SYMLINKAT,
        ]);
        // SAFETY: by the push contract these opcodes lend a path that ends with a zero byte.
        unsafe { copy_path(self.0.addr) }
    }

    /// The second path, at `off`.
    pub(super) fn second_path(&self) -> Result<Vec<u8>, i32> {
        self.expect(&[Opcode::RENAMEAT, Opcode::LINKAT, Opcode::SYMLINKAT]);
        // SAFETY: by the push contract these opcodes lend two paths that end with a zero byte.
        unsafe { copy_path(self.0.off) }
    }

    /// The time at `addr`, or at `off` of what changes another request's.
    pub(super) fn time(&self) -> Result<Timespec, i32> {
        self.expect(&[Opcode::TIMEOUT, Opcode::LINK_TIMEOUT, Opcode::TIMEOUT_REMOVE]);
        let changes = Opcode(self.0.opcode) == Opcode::TIMEOUT_REMOVE;
        let address = if changes { self.0.off } else { self.0.addr };
        if address == 0 {
            return Err(libc::EFAULT);
        }
        let start = ptr::with_exposed_provenance::<Timespec>(address as usize);
        // SAFETY: by the push contract these opcodes lend a time there; the third does when its flags say that
        // it changes one, and nobody else asks.
        Ok(unsafe { start.read_unaligned() })
    }

    /// The socket address at `addr`, `off` bytes long.
    pub(super) fn socket_address(&self) -> Result<Vec<u8>, i32> {
        self.expect(&[Opcode::CONNECT, Opcode::BIND]);
        if self.0.off > MAX_ADDRESS_BYTES {
            return Err(libc::EINVAL);
        }
        // SAFETY: by the push contract this opcode lends `off` initialised bytes at `addr`.
        unsafe { copy_in(self.0.addr, self.0.off as usize) }
    }

    /// The socket address that a send names at `off`, if it does: its length is the first half of `splice_fd`.
    pub(super) fn destination(&self) -> Result<Option<Vec<u8>>, i32> {
        self.expect(&[Opcode::SEND, Opcode::SEND_ZC]);
        if self.0.off == 0 {
            return Ok(None);
        }
        let [a, b, ..] = self.0.splice_fd.to_ne_bytes();
        let len_bytes = u16::from_ne_bytes([a, b]);
        if u64::from(len_bytes) > MAX_ADDRESS_BYTES {
            return Err(libc::EINVAL);
        }
        // SAFETY: by the push contract these opcodes lend so many initialised bytes at `off`, unless it is 0.
        unsafe { copy_in(self.0.off, usize::from(len_bytes)) }.map(Some)
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

/// # Safety
///
/// A path that ends with a zero byte is lent at `address`.
unsafe fn copy_path(address: u64) -> Result<Vec<u8>, i32> {
    if address == 0 {
        return Err(libc::EFAULT);
    }
    let start = ptr::with_exposed_provenance::<u8>(address as usize);
    let mut path = Vec::new();
    while path.len() < MAX_PATH_BYTES {
        // SAFETY: all bytes before this one were not zero, so this one belongs to the path.
        match unsafe { start.add(path.len()).read() } {
            0 => return Ok(path),
            byte => path.push(byte),
        }
    }
    Err(libc::ENAMETOOLONG)
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

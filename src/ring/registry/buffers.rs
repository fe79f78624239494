//! Registered buffers: memory that the kernel has pinned and mapped once, instead of at every request.

use std::io;
use std::mem;
use std::ptr;
use std::rc::Rc;

use super::fixed::Place;
use super::{FixedBuf, FixedBufMut, GiveBack, address, count};
use crate::ring::fd::RingFd;
use crate::ring::{Ring, RingId};
use crate::sys::abi::{RegisterOp, RsrcRegister, RsrcRegisterFlags, RsrcUpdate2};
use crate::sys::pages::Pages;

/// A ring's table of registered buffers, and the memory of those buffers.
///
/// A part of one is borrowed by [`part`](Buffers::part) or [`part_mut`](Buffers::part_mut) for a submission;
/// what comes after its push is the [push contract](crate::ring#the-push-contract), as with any memory. Each
/// buffer is zeroed at first, aligned to a page, at most 1 GiB long, and counts towards `RLIMIT_MEMLOCK`. One of
/// 2 MiB or more lies in huge pages where the kernel grants them, and is then known to it by those.
///
/// Dropping the table unregisters it and frees the memory; it may outlive its ring. Before Linux 6.13 it waits
/// for the requests that use a buffer of it: cancel those first that may take for ever. A ring has one table at a
/// time, of at most 16,384 buffers.
///
/// # Tags
///
/// A buffer that was registered with a tag other than 0 announces its release: a completion comes whose
/// `user_data` is the tag, with result 0 and no flags, when it was replaced or (since Linux 6.13)
/// unregistered with its table, and the last request that uses it has ended. Tags and the `user_data` of
/// submissions share one space, so keep a range for them: a tag that is taken for the end of a request lets its
/// memory go while the kernel still uses it. Linux 5.13.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let ring = uring::ring::Setup::new(8).build()?;
/// let mut buffers = ring.register_buffers(&[4096, 512])?;
/// buffers.bytes_mut(1).expect("there are two")[..5].copy_from_slice(b"hello");
/// let hello = buffers.part(1).and_then(|buffer| buffer.slice(..5)).expect("512 bytes");
/// assert_eq!((hello.index(), hello.len()), (1, 5));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Buffers {
    // Before the memory: it is unregistered before it is unmapped.
    pub(super) table: GiveBack,
    pub(super) ring: RingId,
    pub(super) slots: Vec<Held>,
}

/// What is in a slot. Pages are `Own` in one slot of one ring at most: that is who lends them.
#[derive(Debug)]
pub(super) enum Held {
    Nothing,
    Own(Rc<Pages>),
    /// Another ring's buffer, registered here as well, but lent by that ring's table alone.
    Cloned(Rc<Pages>),
}

impl Held {
    fn new(len_bytes: usize) -> io::Result<Held> {
        if len_bytes == 0 {
            return Ok(Held::Nothing);
        }
        let pages = Pages::new(len_bytes)?;
        pages.prefer_huge();
        Ok(Held::Own(Rc::new(pages)))
    }

    fn iovec(&self) -> libc::iovec {
        match self {
            Held::Nothing => libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 },
            Held::Own(pages) | Held::Cloned(pages) => {
                libc::iovec { iov_base: pages.start().as_ptr().cast(), iov_len: pages.len_bytes() }
            }
        }
    }
}

/// New memory for each length, and what describes it to the kernel.
fn allocate(lens_bytes: impl Iterator<Item = usize>) -> io::Result<(Vec<Held>, Vec<libc::iovec>)> {
    let held = lens_bytes.map(Held::new).collect::<io::Result<Vec<_>>>()?;
    let iovecs = held.iter().map(Held::iovec).collect();
    Ok((held, iovecs))
}

impl Ring {
    /// Allocates and registers a buffer of each length; 0 makes an empty slot (Linux 5.13).
    /// `io_uring_register(2)`, Linux 5.1.
    ///
    /// # Errors
    ///
    /// `EBUSY` when there are buffers already; `ENOMEM` without memory, or beyond `RLIMIT_MEMLOCK`; `EFAULT`
    /// for more than 1 GiB in one; `EINVAL` for none at all, or more than 16,384 (1,024 before Linux 5.13).
    pub fn register_buffers(&self, lens_bytes: &[usize]) -> io::Result<Buffers> {
        let ring = self.registrar()?;
        let (slots, mut iovecs) = allocate(lens_bytes.iter().copied())?;
        let (op, len) = (RegisterOp::REGISTER_BUFFERS, count(lens_bytes)?);
        // SAFETY: `len` iovecs, read during the call only. The memory they describe is pages of our own, which
        // the table below owns: only whoever is lent a part of it by that table says so in a submission.
        unsafe { ring.register(op, iovecs.as_mut_ptr(), len)? };
        Ok(self.buffers(ring, slots))
    }

    /// Registers a table of `len` empty slots, for [`Buffers::update`]. Linux 5.19.
    ///
    /// # Errors
    ///
    /// As [`Ring::register_buffers`].
    pub fn register_buffers_sparse(&self, len: u32) -> io::Result<Buffers> {
        let flags = RsrcRegisterFlags::SPARSE.bits();
        let register = RsrcRegister { nr: len, flags, ..RsrcRegister::default() };
        // SAFETY: a sparse table names no memory.
        let ring = unsafe { self.register_buffers2(register)? };
        Ok(self.buffers(ring, (0..len).map(|_| Held::Nothing).collect()))
    }

    /// Allocates and registers a buffer of each length with a [tag](Buffers#tags); 0 is no tag. Linux 5.13.
    ///
    /// # Errors
    ///
    /// As [`Ring::register_buffers`]; `EINVAL` also for a tag on an empty slot.
    ///
    /// # Safety
    ///
    /// Nobody takes the completions of the [tags](Buffers#tags) for those of requests.
    pub unsafe fn register_buffers_tagged(&self, buffers: &[(usize, u64)]) -> io::Result<Buffers> {
        let (slots, mut iovecs) = allocate(buffers.iter().map(|(len_bytes, _)| *len_bytes))?;
        let mut tags: Vec<u64> = buffers.iter().map(|(_, tag)| *tag).collect();
        let register = RsrcRegister {
            nr: count(buffers)?,
            data: address(&mut iovecs),
            tags: address(&mut tags),
            ..RsrcRegister::default()
        };
        // SAFETY: `nr` iovecs and tags; the memory is the table's below, as in `register_buffers`.
        let ring = unsafe { self.register_buffers2(register)? };
        Ok(self.buffers(ring, slots))
    }

    /// # Safety
    ///
    /// What `register` points to is as long as it says, and the memory of the buffers is owned by the
    /// [`Buffers`] that are made next.
    unsafe fn register_buffers2(&self, mut register: RsrcRegister) -> io::Result<Rc<RingFd>> {
        let ring = self.registrar()?;
        let (op, size) = (RegisterOp::REGISTER_BUFFERS2, size_of::<RsrcRegister>() as u32);
        // SAFETY: one `io_uring_rsrc_register`, read during the call only; the caller's contract.
        unsafe { ring.register(op, &raw mut register, size)? };
        Ok(ring)
    }

    pub(super) fn buffers(&self, ring: Rc<RingFd>, slots: Vec<Held>) -> Buffers {
        let table = GiveBack::new(ring, RegisterOp::UNREGISTER_BUFFERS, 0);
        Buffers { table, ring: self.id(), slots }
    }
}

impl Buffers {
    /// How many slots there are, empty ones included.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are no slots; the kernel makes no such table.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The bytes of a buffer; none for an empty slot, for another ring's buffer, behind the end, and in a
    /// forked child, which does not have the memory.
    pub fn bytes(&self, index: u16) -> Option<&[u8]> {
        match self.slots.get(usize::from(index))? {
            // SAFETY: they are ours; this slot alone lends them, and nobody writes while `self` is borrowed: Rust code
            // needs `bytes_mut` for that, the kernel a submission that was lent a part mutably, which the
            // push contract covers.
            Held::Own(pages) if pages.are_ours() => Some(unsafe { pages.bytes() }),
            _ => None,
        }
    }

    /// The bytes of a buffer, to write to; none as with [`Buffers::bytes`].
    pub fn bytes_mut(&mut self, index: u16) -> Option<&mut [u8]> {
        match self.slots.get(usize::from(index))? {
            // SAFETY: they are ours; this slot alone lends them, and `self` is borrowed mutably; the kernel is covered
            // by the push contract.
            Held::Own(pages) if pages.are_ours() => Some(unsafe { pages.bytes_mut() }),
            _ => None,
        }
    }

    /// A buffer for a submission that has the kernel read it; none as with [`Buffers::bytes`].
    pub fn part(&self, index: u16) -> Option<FixedBuf<'_>> {
        let bytes = self.bytes(index)?;
        let addr = bytes.as_ptr().expose_provenance() as u64;
        Some(FixedBuf::new(Place { addr, len_bytes: bytes.len(), index, ring: self.ring }))
    }

    /// A buffer for a submission that has the kernel write to it; none as with [`Buffers::bytes`].
    pub fn part_mut(&mut self, index: u16) -> Option<FixedBufMut<'_>> {
        let ring = self.ring;
        let bytes = self.bytes_mut(index)?;
        let (addr, len_bytes) = (address(bytes), bytes.len());
        Some(FixedBufMut::new(Place { addr, len_bytes, index, ring }))
    }

    /// Replaces the buffers from `first` on by new ones of these lengths, 0 for none; returns how many were
    /// replaced, which is fewer than asked for when a later one was refused. Requests that still use an old
    /// one go on with its memory. Linux 5.13.
    ///
    /// # Errors
    ///
    /// `EINVAL` for slots behind the end of the table, or none; otherwise as [`Ring::register_buffers`].
    pub fn update(&mut self, first: u32, lens_bytes: &[usize]) -> io::Result<u32> {
        let (held, mut iovecs) = allocate(lens_bytes.iter().copied())?;
        // SAFETY: the memory is put into the table by `replace`.
        let done = unsafe { self.update_raw(first, &mut iovecs, None)? };
        self.replace(first, done, held);
        Ok(done)
    }

    /// As [`Buffers::update`], with a [tag](Buffers#tags) for each buffer; 0 is no tag. Linux 5.13.
    ///
    /// # Errors
    ///
    /// As [`Buffers::update`]; `EINVAL` also for a tag on an empty slot.
    ///
    /// # Safety
    ///
    /// As [`Ring::register_buffers_tagged`].
    pub unsafe fn update_tagged(
        &mut self,
        first: u32,
        buffers: &[(usize, u64)],
    ) -> io::Result<u32> {
        let (held, mut iovecs) = allocate(buffers.iter().map(|(len_bytes, _)| *len_bytes))?;
        let mut tags: Vec<u64> = buffers.iter().map(|(_, tag)| *tag).collect();
        // SAFETY: the memory is put into the table by `replace`.
        let done = unsafe { self.update_raw(first, &mut iovecs, Some(&mut tags))? };
        self.replace(first, done, held);
        Ok(done)
    }

    /// # Safety
    ///
    /// The memory of the buffers is owned by the table afterwards. There are as many tags as iovecs.
    unsafe fn update_raw(
        &self,
        first: u32,
        iovecs: &mut [libc::iovec],
        tags: Option<&mut [u64]>,
    ) -> io::Result<u32> {
        let mut update = RsrcUpdate2 {
            offset: first,
            data: address(iovecs),
            tags: tags.map_or(0, address),
            nr: count(iovecs)?,
            ..RsrcUpdate2::default()
        };
        let (op, size) = (RegisterOp::REGISTER_BUFFERS_UPDATE, size_of::<RsrcUpdate2>() as u32);
        // SAFETY: one `io_uring_rsrc_update2` with its arrays, read during the call only; the caller's
        // contract for the rest.
        unsafe { self.table.ring().register(op, &raw mut update, size) }
    }

    /// Puts what the kernel has taken into the slots; the memory that was there is freed.
    fn replace(&mut self, first: u32, done: u32, held: Vec<Held>) {
        let slots = self.slots.iter_mut().skip(first as usize);
        for (slot, new) in slots.zip(held).take(done as usize) {
            *slot = new;
        }
    }

    /// Unregisters the table, as its drop does, and says whether the kernel agreed.
    ///
    /// # Errors
    ///
    /// `ENXIO` when something else has unregistered it; `EACCES` when a restriction forbids it.
    pub fn unregister(mut self) -> io::Result<()> {
        self.give_back()
    }

    /// Unregisters the table. Where the kernel refuses, it keeps what it was given: then the memory is leaked,
    /// since something else at its address would be taken for it.
    fn give_back(&mut self) -> io::Result<()> {
        let given_back = self.table.now();
        if given_back.is_err() {
            mem::forget(mem::take(&mut self.slots));
        }
        given_back
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        if !self.table.is_done() {
            // A destructor has nobody to tell of an error.
            let _ = self.give_back();
        }
    }
}

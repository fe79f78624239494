//! What the world keeps for a ring: groups of provided buffers, a table of files, and messages to it.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_void;
use std::fmt;
use std::io;
use std::ops::Range;
use std::rc::Rc;

use super::memory::{Argument, BufferRing};
use super::world::{Kind, OpenFile, World};
use crate::ring::{RawCqe, RegisterOp, Registry};
use crate::sys::abi::{FILE_INDEX_ALLOC, REGISTER_FILES_SKIP};

/// In place of a descriptor: no file.
const NO_FILE: i32 = -1;

/// Tells the rings of one world apart.
pub(super) type RingNumber = u64;

/// What one ring has registered.
#[derive(Debug, Default)]
pub(super) struct Registered {
    groups: BTreeMap<u16, BufferRing>,
    files: Option<FileTable>,
    /// What other rings have posted to it, oldest first.
    pub(super) messages: VecDeque<RawCqe>,
}

/// Registered files.
#[derive(Debug)]
struct FileTable {
    slots: Vec<Option<Rc<OpenFile>>>,
    /// The slots that may be chosen from.
    choice: Range<usize>,
    /// Where the search for a free one begins.
    next: usize,
}

impl FileTable {
    fn new(slots: Vec<Option<Rc<OpenFile>>>) -> FileTable {
        FileTable { choice: 0..slots.len(), next: 0, slots }
    }

    /// Puts a file in, or takes one out; what was there is returned.
    fn put(&mut self, slot: usize, file: Option<Rc<OpenFile>>) -> Option<Rc<OpenFile>> {
        self.next = if file.is_some() { slot + 1 } else { slot };
        std::mem::replace(&mut self.slots[slot], file)
    }

    /// A free slot of the kernel's choice.
    fn free(&mut self) -> Option<usize> {
        let Range { start, end } = self.choice;
        let is_free = |slot: &usize| self.slots[*slot].is_none();
        let from = self.next.clamp(start, end);
        (from..end).find(is_free).or_else(|| (start..from).find(is_free))
    }
}

impl Registered {
    /// A group of provided buffers.
    pub(super) fn group(&mut self, group: u16) -> Option<&mut BufferRing> {
        self.groups.get_mut(&group)
    }

    /// The file in a slot.
    pub(super) fn file(&self, slot: i32) -> Result<Rc<OpenFile>, i32> {
        let slot = usize::try_from(slot).map_err(|_| libc::EBADF)?;
        let slots = self.files.as_ref().map(|files| &files.slots).ok_or(libc::EBADF)?;
        slots.get(slot).cloned().flatten().ok_or(libc::EBADF)
    }

    /// Puts a file where a submission says: into a slot that is counted from 1, or in any.
    pub(super) fn install(&mut self, file: Rc<OpenFile>, index: u32) -> Result<i32, i32> {
        if index == FILE_INDEX_ALLOC {
            let files = self.files.as_mut().ok_or(libc::ENFILE)?;
            let slot = files.free().ok_or(libc::ENFILE)?;
            files.put(slot, Some(file));
            return Ok(slot as i32);
        }
        let files = self.files.as_mut().ok_or(libc::ENXIO)?;
        let slot = index.wrapping_sub(1) as usize;
        if slot >= files.slots.len() {
            return Err(libc::EINVAL);
        }
        if files.slots[slot].is_some() {
            // The search for a free slot is about free ones.
            files.slots[slot] = Some(file);
        } else {
            files.put(slot, Some(file));
        }
        Ok(0)
    }

    /// Empties a slot that is counted from 1.
    pub(super) fn close(&mut self, index: u32) -> Result<(), i32> {
        let files = self.files.as_mut().ok_or(libc::ENXIO)?;
        let slot = index.wrapping_sub(1) as usize;
        match files.slots.get(slot) {
            None => Err(libc::EINVAL),
            Some(None) => Err(libc::EBADF),
            Some(Some(_)) => {
                files.put(slot, None);
                Ok(())
            }
        }
    }

    /// `io_uring_register(2)`, but for what needs other parts of the world.
    fn register(&mut self, argument: &Argument) -> Result<u32, i32> {
        match argument.op() {
            RegisterOp::UNREGISTER_FILES => self.files.take().map(|_| 0).ok_or(libc::ENXIO),
            RegisterOp::REGISTER_FILE_ALLOC_RANGE => {
                let range = argument.file_range()?;
                let files = self.files.as_mut().ok_or(libc::ENXIO)?;
                let end = range.off.checked_add(range.len).ok_or(libc::EOVERFLOW)? as usize;
                if range.resv != 0 || end > files.slots.len() {
                    return Err(libc::EINVAL);
                }
                files.choice = range.off as usize..end;
                files.next = files.choice.start;
                Ok(0)
            }
            RegisterOp::REGISTER_PBUF_RING => {
                let group = argument.buf_reg()?.bgid;
                if self.groups.contains_key(&group) {
                    return Err(libc::EEXIST);
                }
                self.groups.insert(group, argument.buffer_ring()?);
                Ok(0)
            }
            RegisterOp::UNREGISTER_PBUF_RING => {
                let group = argument.buf_reg()?.bgid;
                self.groups.remove(&group).map(|_| 0).ok_or(libc::ENOENT)
            }
            RegisterOp::REGISTER_PBUF_STATUS => {
                let mut status = argument.buf_status()?;
                let group = u16::try_from(status.buf_group).map_err(|_| libc::EINVAL)?;
                status.head = u32::from(self.group(group).ok_or(libc::ENOENT)?.head);
                argument.answer_buf_status(status);
                Ok(0)
            }
            // Not `EINVAL`: what is not known here is not known anywhere in user space.
            _ => Err(libc::EOPNOTSUPP),
        }
    }
}

impl World {
    /// `io_uring_register(2)`.
    fn register(&mut self, ring: RingNumber, argument: &Argument) -> Result<u32, i32> {
        match argument.op() {
            RegisterOp::REGISTER_FILES | RegisterOp::REGISTER_FILES2 => {
                let numbers = argument.new_files()?;
                if self.registered(ring)?.files.is_some() {
                    return Err(libc::EBUSY);
                }
                let file = |&number: &i32| match number {
                    NO_FILE => Ok(None),
                    _ => self.registrable(number).map(Some),
                };
                let slots = numbers.iter().map(file).collect::<Result<Vec<_>, i32>>()?;
                if slots.is_empty() {
                    return Err(libc::EINVAL);
                }
                self.registered(ring)?.files = Some(FileTable::new(slots));
                Ok(0)
            }
            RegisterOp::REGISTER_FILES_UPDATE | RegisterOp::REGISTER_FILES_UPDATE2 => {
                let (first, numbers) = argument.changed_files()?;
                self.update_files(ring, first as usize, &numbers)
            }
            _ => self.registered(ring)?.register(argument),
        }
    }

    /// A file that may be registered. Rings may not: their tables would keep each other alive.
    fn registrable(&self, number: i32) -> Result<Rc<OpenFile>, i32> {
        let file = self.file(number)?;
        if matches!(file.kind, Kind::Ring(_)) { Err(libc::EBADF) } else { Ok(file) }
    }

    fn update_files(
        &mut self,
        ring: RingNumber,
        first: usize,
        numbers: &[i32],
    ) -> Result<u32, i32> {
        let len = self.registered(ring)?.files.as_ref().ok_or(libc::ENXIO)?.slots.len();
        if numbers.is_empty() || first + numbers.len() > len {
            return Err(libc::EINVAL);
        }
        for (done, &number) in numbers.iter().enumerate() {
            if number == REGISTER_FILES_SKIP {
                continue;
            }
            let file = match number {
                NO_FILE => Ok(None),
                _ => self.registrable(number).map(Some),
            };
            let bad = file.is_err();
            if let Some(files) = &mut self.registered(ring)?.files {
                // Linux takes out what was there before it looks at what is to come.
                files.put(first + done, file.unwrap_or(None));
            }
            if bad {
                return if done > 0 { Ok(done as u32) } else { Err(libc::EBADF) };
            }
        }
        Ok(numbers.len() as u32)
    }
}

/// What a ring of a simulation registers with. What is registered goes when this does: when the ring and all
/// that owns a part of it are gone.
pub(super) struct RegistryOf {
    world: Rc<RefCell<World>>,
    ring: RingNumber,
}

impl RegistryOf {
    /// For a new ring.
    pub(super) fn new(world: &Rc<RefCell<World>>) -> Rc<RegistryOf> {
        let ring = world.borrow_mut().add_ring();
        Rc::new(RegistryOf { world: Rc::clone(world), ring })
    }

    pub(super) fn ring(&self) -> RingNumber {
        self.ring
    }
}

impl fmt::Debug for RegistryOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryOf").field("ring", &self.ring).finish_non_exhaustive()
    }
}

impl Drop for RegistryOf {
    fn drop(&mut self) {
        // What was registered is dropped after the borrow has ended, as files may close.
        let registered = self.world.borrow_mut().remove_ring(self.ring);
        drop(registered);
    }
}

// SAFETY: what lasts beyond a call is a `BufferRing` alone, which goes when the group is unregistered.
unsafe impl Registry for RegistryOf {
    unsafe fn register(&self, op: RegisterOp, arg: *mut c_void, count: u32) -> io::Result<u32> {
        // SAFETY: the caller's contract; the argument is gone when this returns.
        let argument = unsafe { Argument::new(op, arg, count) };
        let world = &mut *self.world.borrow_mut();
        world.register(self.ring, &argument).map_err(io::Error::from_raw_os_error)
    }
}

//! Changing the table of registered files, and making descriptors of what is in it.

use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use super::{Entry, Sqe, Target, read_by_kernel, written_by_kernel};
use crate::ring::Slot;
use crate::sys::abi::{FILE_INDEX_ALLOC, InstallFdFlags, Opcode, REGISTER_FILES_SKIP, RawSqe};

/// What a slot is to hold from now on.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct SlotUpdate<'a> {
    number: RawFd,
    _lent: PhantomData<BorrowedFd<'a>>,
}

const _: () = assert!(size_of::<SlotUpdate<'_>>() == size_of::<i32>());

impl SlotUpdate<'_> {
    /// Nothing.
    pub const EMPTY: SlotUpdate<'static> = SlotUpdate { number: -1, _lent: PhantomData };

    /// What it holds already (`IORING_REGISTER_FILES_SKIP`, Linux 5.12).
    pub const KEEP: SlotUpdate<'static> =
        SlotUpdate { number: REGISTER_FILES_SKIP, _lent: PhantomData };

    /// After [`Sqe::files_install`]: the number of the slot that the kernel chose.
    pub fn chosen(&self) -> Option<u32> {
        u32::try_from(self.number).ok()
    }
}

impl<'a> From<BorrowedFd<'a>> for SlotUpdate<'a> {
    fn from(fd: BorrowedFd<'a>) -> SlotUpdate<'a> {
        SlotUpdate { number: fd.as_raw_fd(), _lent: PhantomData }
    }
}

impl<'a> Sqe<'a> {
    /// Changes the slots from `first` on; the result is how many were changed. `ENXIO` without a table,
    /// `EINVAL` when it has not so many slots. Linux 5.6.
    pub fn files_update(first: u32, updates: &'a [SlotUpdate<'a>]) -> Sqe<'a> {
        // The highest number would have the kernel choose, and write its choice to `updates`, which is lent to
        // be read. The one below it is behind the end of every table as well.
        let first = first.min(FILE_INDEX_ALLOC - 1);
        Sqe::updating(first, read_by_kernel(updates), updates.len())
    }

    /// Puts files into free slots of the kernel's choice, whose numbers replace the descriptors in `files`
    /// ([`SlotUpdate::chosen`]); the result is how many. `ENFILE` when the table is full. Linux 5.19.
    pub fn files_install<'b: 'a>(files: &'a mut [SlotUpdate<'b>]) -> Sqe<'a> {
        let count = files.len();
        Sqe::updating(FILE_INDEX_ALLOC, written_by_kernel(files), count)
    }

    fn updating(first: u32, addr: u64, count: usize) -> Sqe<'a> {
        let len = u32::try_from(count).unwrap_or(u32::MAX);
        let fields = RawSqe { addr, len, off: first.into(), ..RawSqe::default() };
        Sqe::new(Entry::of(Opcode::FILES_UPDATE, fields))
    }

    /// Makes a descriptor of a registered file; the result is the new descriptor, which closes on exec
    /// unless `flags` says otherwise. Not with a personality (`EPERM`). Linux 6.8.
    pub fn fixed_fd_install(slot: Slot, flags: InstallFdFlags) -> Sqe<'a> {
        let fields = RawSqe { op_flags: flags.bits(), ..RawSqe::default() };
        Sqe::new(Entry::on(Opcode::FIXED_FD_INSTALL, Target::Fixed(slot), fields))
    }
}

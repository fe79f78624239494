//! What operations work on, and where the files go that they make.

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::ring::Slot;
use crate::sys::abi::FILE_INDEX_ALLOC;

/// The file that an operation works on.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// An open descriptor.
    Fd(BorrowedFd<'a>),
    /// A registered file (`IOSQE_FIXED_FILE`, Linux 5.1); `EBADF` if the slot is empty.
    Fixed(Slot),
}

impl Target<'_> {
    pub(super) fn raw(self) -> i32 {
        match self {
            Target::Fd(fd) => fd.as_raw_fd(),
            Target::Fixed(slot) => slot.index as i32,
        }
    }
}

impl<'a> From<BorrowedFd<'a>> for Target<'a> {
    fn from(fd: BorrowedFd<'a>) -> Target<'a> {
        Target::Fd(fd)
    }
}

impl From<Slot> for Target<'_> {
    fn from(slot: Slot) -> Self {
        Target::Fixed(slot)
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
    pub(super) fn raw(self) -> i32 {
        match self {
            At::WorkingDirectory => libc::AT_FDCWD,
            At::Fd(fd) => fd.as_raw_fd(),
        }
    }
}

/// Where a new file goes that gets no descriptor but a place among the registered files (a *direct
/// descriptor*).
///
/// Such a file is in no descriptor table, so it needs no flag to be closed on exec: the constructors leave
/// `O_CLOEXEC` and `SOCK_CLOEXEC` out, which the kernel refuses here. Without a table of files the result is
/// `ENXIO`, or `ENFILE` with [`Install::Any`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Install {
    /// A given slot: the result is 0, and a file that was there before is closed (Linux 5.16; before that,
    /// `EBADF`).
    Slot(Slot),
    /// A free slot of the kernel's choice (`IORING_FILE_INDEX_ALLOC`, Linux 5.19): the result is its
    /// number, or `ENFILE` when the table is full.
    Any,
}

impl Install {
    /// The word `file_index`: slots count from 1, because 0 means a descriptor.
    pub(super) fn raw(self) -> u32 {
        match self {
            Install::Slot(slot) => slot.index.wrapping_add(1),
            Install::Any => FILE_INDEX_ALLOC,
        }
    }
}

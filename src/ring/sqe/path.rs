//! Opening, describing and naming files.

use std::ffi::CStr;
use std::os::fd::{IntoRawFd, OwnedFd};

use super::{At, Entry, Install, Sqe, read_from, text, written_to};
use crate::ring::Slot;
use crate::sys::abi::{Opcode, RawSqe, Statx};

/// `struct open_how` of `openat2(2)`: how a path is walked and opened. Linux 5.6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct OpenHow {
    /// `O_*`; unlike `openat(2)`, what is not known is refused.
    pub flags: u64,
    /// The permissions of a file that is created; 0 if none can be.
    pub mode: u64,
    /// `RESOLVE_*`: which paths are refused.
    pub resolve: u64,
}

const _: () = assert!(size_of::<OpenHow>() == 24);

/// Files are opened by a path that starts at `at`; the result is the new descriptor, or with [`Install`] its
/// place among the registered files. Paths are read while the submission is taken in (except by
/// [`Sqe::drain`] and links on kernels before 5.5).
impl<'a> Sqe<'a> {
    /// Opens a file; the result is the new descriptor. `flags` is `O_*`, `mode` the permissions of a file
    /// that is created. `openat(2)`, Linux 5.6.
    pub fn open_at(at: At<'a>, path: &'a CStr, flags: i32, mode: u32) -> Sqe<'a> {
        let fields =
            RawSqe { addr: text(path), op_flags: flags as u32, len: mode, ..RawSqe::default() };
        Sqe::new(Entry::with_fd(Opcode::OPENAT, at.raw(), fields))
    }

    /// As [`Sqe::open_at`], into the table of registered files. `O_CLOEXEC` is left out. Linux 5.15.
    pub fn open_at_direct(
        at: At<'a>,
        path: &'a CStr,
        flags: i32,
        mode: u32,
        install: Install,
    ) -> Sqe<'a> {
        let mut sqe = Sqe::open_at(at, path, flags & !libc::O_CLOEXEC, mode);
        sqe.entry = sqe.entry.install(install);
        sqe
    }

    /// Opens a file with a say in how its path is walked; the result is the new descriptor. `openat2(2)`,
    /// Linux 5.6.
    pub fn open_at2(at: At<'a>, path: &'a CStr, how: &'a OpenHow) -> Sqe<'a> {
        let fields = RawSqe {
            addr: text(path),
            off: read_from(how),
            len: size_of::<OpenHow>() as u32,
            ..RawSqe::default()
        };
        Sqe::new(Entry::with_fd(Opcode::OPENAT2, at.raw(), fields))
    }

    /// As [`Sqe::open_at2`], into the table of registered files. `how` must not have `O_CLOEXEC`, which is
    /// `EINVAL` here. Linux 5.15.
    pub fn open_at2_direct(
        at: At<'a>,
        path: &'a CStr,
        how: &'a OpenHow,
        install: Install,
    ) -> Sqe<'a> {
        let mut sqe = Sqe::open_at2(at, path, how);
        sqe.entry = sqe.entry.install(install);
        sqe
    }

    /// Closes a descriptor. If this is never pushed, the descriptor stays open. `close(2)`, Linux 5.6.
    pub fn close(fd: OwnedFd) -> Sqe<'a> {
        Sqe::new(Entry::with_fd(Opcode::CLOSE, fd.into_raw_fd(), RawSqe::default()))
    }

    /// Takes a file out of the table of registered files, which closes it if nobody else has it open;
    /// `EBADF` if the slot is empty. Linux 5.15.
    pub fn close_slot(slot: Slot) -> Sqe<'a> {
        let entry = Entry::with_fd(Opcode::CLOSE, 0, RawSqe::default());
        Sqe::new(entry.install(Install::Slot(slot)))
    }

    /// Describes a file; `mask` is `STATX_*`, `flags` `AT_*`. `statx(2)`, Linux 5.6.
    pub fn statx(at: At<'a>, path: &'a CStr, flags: i32, mask: u32, out: &'a mut Statx) -> Sqe<'a> {
        let fields = RawSqe {
            addr: text(path),
            off: written_to(out),
            len: mask,
            op_flags: flags as u32,
            ..RawSqe::default()
        };
        Sqe::new(Entry::with_fd(Opcode::STATX, at.raw(), fields))
    }

    /// Renames `old` to `new`; `flags` is `RENAME_*`. `renameat2(2)`, Linux 5.11.
    pub fn rename_at(
        old_at: At<'a>,
        old: &'a CStr,
        new_at: At<'a>,
        new: &'a CStr,
        flags: u32,
    ) -> Sqe<'a> {
        Sqe::two_paths(Opcode::RENAMEAT, (old_at, old), (new_at, new), flags)
    }

    /// Gives the file `old` the further name `new`; `flags` is `AT_SYMLINK_FOLLOW` or `AT_EMPTY_PATH`.
    /// `linkat(2)`, Linux 5.15.
    pub fn link_at(
        old_at: At<'a>,
        old: &'a CStr,
        new_at: At<'a>,
        new: &'a CStr,
        flags: i32,
    ) -> Sqe<'a> {
        Sqe::two_paths(Opcode::LINKAT, (old_at, old), (new_at, new), flags as u32)
    }

    fn two_paths(
        opcode: Opcode,
        old: (At<'a>, &'a CStr),
        new: (At<'a>, &'a CStr),
        flags: u32,
    ) -> Sqe<'a> {
        let fields = RawSqe {
            addr: text(old.1),
            off: text(new.1),
            len: new.0.raw() as u32,
            op_flags: flags,
            ..RawSqe::default()
        };
        Sqe::new(Entry::with_fd(opcode, old.0.raw(), fields))
    }

    /// Removes a name; with `AT_REMOVEDIR` as `flags` that of an empty directory. `unlinkat(2)`, Linux 5.11.
    pub fn unlink_at(at: At<'a>, path: &'a CStr, flags: i32) -> Sqe<'a> {
        let fields = RawSqe { addr: text(path), op_flags: flags as u32, ..RawSqe::default() };
        Sqe::new(Entry::with_fd(Opcode::UNLINKAT, at.raw(), fields))
    }

    /// Makes a directory with the permissions `mode`, less the umask. `mkdirat(2)`, Linux 5.15.
    pub fn mkdir_at(at: At<'a>, path: &'a CStr, mode: u32) -> Sqe<'a> {
        let fields = RawSqe { addr: text(path), len: mode, ..RawSqe::default() };
        Sqe::new(Entry::with_fd(Opcode::MKDIRAT, at.raw(), fields))
    }

    /// Makes `path` a symbolic link to `target`, a path that need not exist. `symlinkat(2)`, Linux 5.15.
    pub fn symlink_at(target: &'a CStr, at: At<'a>, path: &'a CStr) -> Sqe<'a> {
        let fields = RawSqe { addr: text(target), off: text(path), ..RawSqe::default() };
        Sqe::new(Entry::with_fd(Opcode::SYMLINKAT, at.raw(), fields))
    }
}

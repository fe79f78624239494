//! Extended attributes, `xattr(7)`.

use std::ffi::CStr;

use super::{Entry, Sqe, Target, read_by_kernel, text};
use crate::buf::Room;
use crate::sys::abi::{Opcode, RawSqe};

/// Names have their namespace in front, such as `user.comment`; `flags` is `XATTR_CREATE`, `XATTR_REPLACE` or
/// 0. An attribute that is not there is `ENODATA`. Paths are from the working directory, and symbolic links
/// are followed.
impl<'a> Sqe<'a> {
    /// Sets an attribute of the file at `path`. `setxattr(2)`, Linux 5.19.
    pub fn set_xattr(path: &'a CStr, name: &'a CStr, value: &'a [u8], flags: i32) -> Sqe<'a> {
        let fields = RawSqe { addr3: text(path), ..setting(name, value, flags) };
        Sqe::new(Entry::of(Opcode::SETXATTR, fields))
    }

    /// Sets an attribute of an open file. `fsetxattr(2)`, Linux 5.19.
    pub fn fset_xattr(target: Target<'a>, name: &'a CStr, value: &'a [u8], flags: i32) -> Sqe<'a> {
        Sqe::new(Entry::on(Opcode::FSETXATTR, target, setting(name, value, flags)))
    }

    /// Reads an attribute of the file at `path`; the result is its length. An empty room only asks for that,
    /// one that is too small is `ERANGE`. `getxattr(2)`, Linux 5.19.
    pub fn get_xattr(path: &'a CStr, name: &'a CStr, room: impl Into<Room<'a>>) -> Sqe<'a> {
        let fields = RawSqe { addr3: text(path), ..getting(name, room.into()) };
        Sqe::new(Entry::of(Opcode::GETXATTR, fields))
    }

    /// Reads an attribute of an open file, as [`Sqe::get_xattr`] does. `fgetxattr(2)`, Linux 5.19.
    pub fn fget_xattr(target: Target<'a>, name: &'a CStr, room: impl Into<Room<'a>>) -> Sqe<'a> {
        Sqe::new(Entry::on(Opcode::FGETXATTR, target, getting(name, room.into())))
    }
}

fn setting(name: &CStr, value: &[u8], flags: i32) -> RawSqe {
    RawSqe {
        addr: text(name),
        off: read_by_kernel(value),
        len: length(value.len()),
        op_flags: flags as u32,
        ..RawSqe::default()
    }
}

fn getting(name: &CStr, mut room: Room<'_>) -> RawSqe {
    RawSqe { addr: text(name), len: length(room.len()), off: room.expose(), ..RawSqe::default() }
}

/// Values have 64 KiB at most; a longer one is refused by its length, not cut.
fn length(len_bytes: usize) -> u32 {
    u32::try_from(len_bytes).unwrap_or(u32::MAX)
}

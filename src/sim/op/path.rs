//! Submissions that name files by their paths.

use super::{Op, require};
use crate::sim::memory::Taken;
use crate::sys::abi::{Opcode, SqeFlags};

const STATX_FLAGS: i32 = libc::AT_EMPTY_PATH
    | libc::AT_SYMLINK_NOFOLLOW
    | libc::AT_NO_AUTOMOUNT
    | libc::AT_STATX_SYNC_TYPE;
/// The bit that statx(2) refuses.
const STATX_RESERVED: u32 = 0x8000_0000;
/// A path that names something. Linux finds out that it is empty before it looks at flags.
fn named(path: Result<Vec<u8>, i32>) -> Result<Vec<u8>, i32> {
    path.and_then(|path| if path.is_empty() { Err(libc::ENOENT) } else { Ok(path) })
}

const RENAME_FLAGS: u32 = libc::RENAME_NOREPLACE | libc::RENAME_EXCHANGE;

impl Op {
    pub(super) fn parse_path(taken: &Taken) -> Result<Op, i32> {
        let (sqe, flags) = (taken.sqe(), taken.sqe().op_flags as i32);
        let opcode = Opcode(sqe.opcode);
        require(sqe.buf == 0, libc::EINVAL)?;
        if opcode != Opcode::OPENAT {
            require(sqe.splice_fd == 0, libc::EINVAL)?;
        }
        // A path starts from a descriptor, never from a registered file.
        require(sqe.flags & SqeFlags::FIXED_FILE.bits() == 0, libc::EBADF)?;
        match opcode {
            Opcode::OPENAT => {
                let path = named(taken.path())?;
                // A slot is not inherited, so there is nothing to close on exec.
                let slot = sqe.splice_fd != 0;
                require(!slot || flags & libc::O_CLOEXEC == 0, libc::EINVAL)?;
                Ok(Op::Open { path, flags, mode: sqe.len })
            }
            Opcode::STATX => {
                let may_be_empty = flags & libc::AT_EMPTY_PATH != 0;
                let path = if may_be_empty { taken.path()? } else { named(taken.path())? };
                require(flags & !STATX_FLAGS == 0 && sqe.len & STATX_RESERVED == 0, libc::EINVAL)?;
                let by_descriptor = path.is_empty() && flags & libc::AT_EMPTY_PATH != 0;
                let follow = flags & libc::AT_SYMLINK_NOFOLLOW == 0;
                Ok(Op::Statx { path, by_descriptor, follow })
            }
            Opcode::UNLINKAT => {
                require(sqe.off == 0 && sqe.len == 0, libc::EINVAL)?;
                require(flags & !libc::AT_REMOVEDIR == 0, libc::EINVAL)?;
                let directory = flags & libc::AT_REMOVEDIR != 0;
                Ok(Op::Unlink { path: named(taken.path())?, directory })
            }
            Opcode::MKDIRAT => {
                require(sqe.off == 0 && flags == 0, libc::EINVAL)?;
                Ok(Op::MakeDirectory { path: named(taken.path())?, mode: sqe.len })
            }
            Opcode::SYMLINKAT => {
                require(sqe.len == 0 && flags == 0, libc::EINVAL)?;
                Ok(Op::MakeLink { to: named(taken.path())?, path: named(taken.second_path())? })
            }
            Opcode::LINKAT => {
                let known = libc::AT_SYMLINK_FOLLOW | libc::AT_EMPTY_PATH;
                let may_be_empty = flags & libc::AT_EMPTY_PATH != 0;
                let old = if may_be_empty { taken.path()? } else { named(taken.path())? };
                let new = named(taken.second_path())?;
                require(flags & !known == 0, libc::EINVAL)?;
                Ok(Op::Link { old, new, flags })
            }
            _ => {
                let (old, new) = (named(taken.path())?, named(taken.second_path())?);
                let flags = sqe.op_flags;
                require(flags & !RENAME_FLAGS == 0 && flags != RENAME_FLAGS, libc::EINVAL)?;
                Ok(Op::Rename { old, new, flags })
            }
        }
    }
}

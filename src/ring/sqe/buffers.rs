//! The older kind of provided buffers, which are provided and removed by operations.

use super::{Entry, Sqe};
use crate::buf::Room;
use crate::ring::BufGroup;
use crate::sys::abi::{Opcode, RawSqe};

impl<'a> Sqe<'a> {
    /// Lends memory to a group of buffers, as many of `each_bytes` as it holds (65535 at most), with ids from
    /// `first` on. Linux 5.7; a ring of buffers (Linux 5.19) does without submissions.
    ///
    /// `E2BIG` when it holds none, `EINVAL` when ids would exceed 65535, or when the group is a ring.
    ///
    /// # Safety
    ///
    /// Each buffer stays valid and untouched until a completion named its id, or until it was removed: by
    /// [`Sqe::remove_buffers`], or with the ring. Neither end of this submission nor of the borrow changes
    /// that.
    pub unsafe fn provide_buffers(
        group: BufGroup,
        mut memory: Room<'a>,
        each_bytes: u32,
        first: u16,
    ) -> Sqe<'a> {
        let count = memory.len().checked_div(each_bytes as usize).unwrap_or(0);
        let fields = RawSqe {
            addr: memory.expose(),
            len: each_bytes,
            off: first.into(),
            ..RawSqe::default()
        };
        let count = count.min(usize::from(u16::MAX)) as i32;
        Sqe::grouped(Opcode::PROVIDE_BUFFERS, count, group, fields)
    }

    /// Takes buffers out of a group again, at most `count`; the result is how many there were. Which ones is
    /// the kernel's choice. `ENOENT` if there is no such group. Linux 5.7.
    pub fn remove_buffers(group: BufGroup, count: u16) -> Sqe<'a> {
        Sqe::grouped(Opcode::REMOVE_BUFFERS, count.into(), group, RawSqe::default())
    }

    fn grouped(opcode: Opcode, count: i32, group: BufGroup, fields: RawSqe) -> Sqe<'a> {
        let entry = Entry::with_fd(opcode, count, RawSqe { buf: group.id(), ..fields });
        Sqe::new(entry.names(group.ring()))
    }
}

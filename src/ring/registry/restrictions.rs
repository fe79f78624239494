//! What a ring, or all later rings of a thread, may still do.

use std::io;

use super::{count, errno};
use crate::ring::Ring;
use crate::sys::abi::{Opcode, RegisterOp, Restriction, RestrictionOp, SqeFlags, TaskRestriction};
use crate::sys::syscall;

/// A list of what is allowed; all else is refused with `EACCES`. `io_uring_register(2)`, Linux 5.10.
///
/// The empty list allows nothing.
///
/// ```
/// use uring::ring::{Opcode, Restrictions, SqeFlags};
///
/// let reading = Restrictions::new()
///     .allow(Opcode::READ_FIXED)
///     .allow(Opcode::ASYNC_CANCEL)
///     .require_flags(SqeFlags::FIXED_FILE);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Restrictions(Vec<Restriction>);

impl Restrictions {
    /// Nothing is allowed.
    pub fn new() -> Restrictions {
        Restrictions::default()
    }

    /// Allows an operation.
    pub fn allow(self, opcode: Opcode) -> Restrictions {
        self.with(RestrictionOp::SQE_OP, opcode.0)
    }

    /// Allows a register call, also those that give back: a drop that is not allowed leaves it to the end of
    /// the ring.
    pub fn allow_register(self, op: RegisterOp) -> Restrictions {
        // A number that does not fit is none of the kernel's either, which refuses the highest.
        self.with(RestrictionOp::REGISTER_OP, u8::try_from(op.0).unwrap_or(u8::MAX))
    }

    /// Allows submissions to have these flags.
    pub fn allow_flags(self, flags: SqeFlags) -> Restrictions {
        self.with(RestrictionOp::SQE_FLAGS_ALLOWED, flags.bits())
    }

    /// Requires submissions to have these flags.
    pub fn require_flags(self, flags: SqeFlags) -> Restrictions {
        self.with(RestrictionOp::SQE_FLAGS_REQUIRED, flags.bits())
    }

    fn with(mut self, op: RestrictionOp, subject: u8) -> Restrictions {
        self.0.push(Restriction { opcode: op.0, subject, ..Restriction::default() });
        self
    }
}

impl Ring {
    /// Restricts a ring that was made disabled; it holds from [`Ring::enable`] on, and for good. Linux 5.10.
    ///
    /// # Errors
    ///
    /// `EBADFD` for a ring that is not disabled; `EBUSY` for the second time; `EINVAL` for an operation that
    /// the kernel does not know.
    pub fn register_restrictions(&self, restrictions: &Restrictions) -> io::Result<()> {
        let (ring, mut list) = (self.registrar()?, restrictions.0.clone());
        let (op, len) = (RegisterOp::REGISTER_RESTRICTIONS, count(&list)?);
        // SAFETY: `len` of `io_uring_restriction`, read during the call only.
        unsafe { ring.register(op, list.as_mut_ptr(), len) }.map(drop)
    }
}

/// Restricts all rings that the calling thread, and what it forks, will make. It cannot be undone. Linux 7.0.
///
/// # Errors
///
/// `EINVAL` from older kernels; `EPERM` and `EACCES` are the kernel's for threads that may not.
pub fn restrict_task(restrictions: &Restrictions) -> io::Result<()> {
    let nr_res = u16::try_from(restrictions.0.len()).map_err(|_| errno(libc::EINVAL))?;
    let mut argument = task_argument(nr_res, &restrictions.0);
    // SAFETY: one `io_uring_task_restriction` with its restrictions behind it, read during the call only.
    unsafe { syscall::register(-1, RegisterOp::REGISTER_RESTRICTIONS.0, argument.as_mut_ptr(), 1) }
        .map(drop)
}

/// The head and the restrictions behind it, as one piece of memory. All their fields are words of 16 bytes in
/// all, so they go into arrays of that size, field by field.
fn task_argument(nr_res: u16, restrictions: &[Restriction]) -> Vec<[u8; 16]> {
    let head = TaskRestriction { nr_res, ..TaskRestriction::default() };
    let mut first = [0; 16];
    first[..2].copy_from_slice(&head.flags.to_ne_bytes());
    first[2..4].copy_from_slice(&head.nr_res.to_ne_bytes());
    let rest = restrictions.iter().map(|restriction| {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&restriction.opcode.to_ne_bytes());
        bytes[2] = restriction.subject;
        bytes
    });
    std::iter::once(first).chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_restriction_is_its_head_and_then_its_list() {
        let list = Restrictions::new().allow(Opcode::READ).require_flags(SqeFlags::FIXED_FILE);
        let bytes = task_argument(2, &list.0);
        assert_eq!(bytes.len(), 3);
        assert_eq!(bytes[0][2..4], 2u16.to_ne_bytes());
        assert_eq!((bytes[1][..2].to_vec(), bytes[1][2]), (1u16.to_ne_bytes().to_vec(), 22));
        assert_eq!((bytes[2][..2].to_vec(), bytes[2][2]), (3u16.to_ne_bytes().to_vec(), 1));
    }
}

//! Operations that do nothing: for measuring, testing, and links.

use super::{Entry, Sqe, Sqe128, Target};
use crate::ring::FixedBuf;
use crate::sys::abi::{NopFlags, Opcode, RawSqe};

impl<'a> Sqe<'a> {
    /// Does nothing. Linux 5.1.
    pub fn nop() -> Sqe<'a> {
        Sqe::new(Entry::of(Opcode::NOP, RawSqe::default()))
    }

    /// Does nothing, with a result of the caller's choice (`IORING_NOP_INJECT_RESULT`, Linux 6.10; before,
    /// the result is 0): a negative errno fails it, and breaks a link.
    pub fn nop_with_result(result: i32) -> Sqe<'a> {
        nop(NopFlags::INJECT_RESULT, RawSqe { len: result as u32, ..RawSqe::default() })
    }

    /// Looks a file up and does nothing with it (`IORING_NOP_FILE`, Linux 6.13): `EBADF` if there is none.
    pub fn nop_on(target: Target<'a>) -> Sqe<'a> {
        let (flags, ring) = match target {
            Target::Fd(_) => (NopFlags::FILE, None),
            Target::Fixed(slot) => (NopFlags::FILE | NopFlags::FIXED_FILE, Some(slot.ring)),
        };
        let fields = RawSqe { op_flags: flags.bits(), ..RawSqe::default() };
        let entry = Entry::with_fd(Opcode::NOP, target.raw(), fields);
        Sqe::new(ring.map_or(entry, |ring| entry.names(ring)))
    }

    /// Looks a registered buffer up and does nothing with it (`IORING_NOP_FIXED_BUFFER`, Linux 6.13):
    /// `EFAULT` if there is none.
    pub fn nop_with_buffer(buffer: FixedBuf<'a>) -> Sqe<'a> {
        nop(NopFlags::FIXED_BUFFER, RawSqe::default()).buffer(buffer.index(), buffer.ring())
    }

    /// Does nothing, and completes as task work rather than at once (`IORING_NOP_TW`, Linux 6.16).
    pub fn nop_deferred() -> Sqe<'a> {
        nop(NopFlags::TW, RawSqe::default())
    }

    /// Does nothing, and completes with 32 bytes, of which these are the last 16 (`IORING_NOP_CQE32`, Linux
    /// 6.18). For rings with `IORING_SETUP_CQE32` or `IORING_SETUP_CQE_MIXED`; on others, `EINVAL`.
    pub fn nop_big(extra: [u64; 2]) -> Sqe<'a> {
        let [off, addr] = extra;
        nop(NopFlags::CQE32, RawSqe { off, addr, ..RawSqe::default() })
    }
}

fn nop<'a>(flags: NopFlags, fields: RawSqe) -> Sqe<'a> {
    Sqe::new(Entry::of(Opcode::NOP, RawSqe { op_flags: flags.bits(), ..fields }))
}

impl<'a> Sqe128<'a> {
    /// Does nothing, with a submission of 128 bytes (`IORING_OP_NOP128`, Linux 6.19; before, `EINVAL`).
    pub fn nop() -> Sqe128<'a> {
        Sqe128::new(Entry::of(Opcode::NOP128, RawSqe::default()), [0; 64])
    }
}

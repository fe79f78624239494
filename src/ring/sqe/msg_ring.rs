//! Messages to other rings.

use super::{Entry, Install, Sqe, Target};
use crate::ring::Slot;
use crate::sys::abi::{MsgRingCommand, MsgRingFlags, Opcode, RawSqe};

/// Why these are `unsafe`: whoever holds a ring takes its completions for what became of its requests. A
/// made-up one with the `user_data` of a read would end that read for him, while the kernel still writes to
/// its memory.
impl<'a> Sqe<'a> {
    /// Posts a completion to the ring `target`, with that `user_data` and result, and with that flags word
    /// (Linux 6.3; before, and with `None`, it is 0). Linux 5.18.
    ///
    /// `EBADFD` if the target is no ring or is disabled, `EOVERFLOW` if its queue is full and cannot grow.
    ///
    /// # Safety
    ///
    /// The target's holder does not take the completion for that of another request.
    pub unsafe fn msg_ring(
        target: Target<'a>,
        user_data: u64,
        result: i32,
        flags: Option<u32>,
    ) -> Sqe<'a> {
        let pass = flags.map_or(MsgRingFlags::empty(), |_| MsgRingFlags::FLAGS_PASS);
        let fields = RawSqe {
            addr: MsgRingCommand::DATA.0,
            off: user_data,
            len: result as u32,
            splice_fd: flags.unwrap_or(0),
            op_flags: pass.bits(),
            ..RawSqe::default()
        };
        Sqe::new(Entry::on(Opcode::MSG_RING, target, fields))
    }

    /// Puts a registered file of this ring into the table of the ring `target`, and posts a completion there
    /// with that `user_data`; none with `None`. With [`Install::Any`] the result, here and there, is the slot.
    /// Linux 6.0.
    ///
    /// `EBADF` if one of the rings has no table of files or the slot is empty, `EINVAL` if they are the same.
    ///
    /// # Safety
    ///
    /// The target's holder does not take the completion for that of another request. A slot in `install` is
    /// one of the target's.
    pub unsafe fn msg_ring_fd(
        target: Target<'a>,
        source: Slot,
        install: Install,
        user_data: Option<u64>,
    ) -> Sqe<'a> {
        let skip = if user_data.is_none() { MsgRingFlags::CQE_SKIP } else { MsgRingFlags::empty() };
        let fields = RawSqe {
            addr: MsgRingCommand::SEND_FD.0,
            off: user_data.unwrap_or(0),
            addr3: source.index.into(),
            // The slot belongs to the other ring, so this submission does not name its ring.
            splice_fd: install.raw(),
            op_flags: skip.bits(),
            ..RawSqe::default()
        };
        Sqe::new(Entry::on(Opcode::MSG_RING, target, fields).names(source.ring))
    }
}

//! Moving bytes between files and pipes, and making pipes.

use std::os::fd::RawFd;

use super::{Entry, Install, Sqe, Target, written_by_kernel};
use crate::sys::abi::{Opcode, PipeFlags, RawSqe, SpliceFlags};

/// "No offset", which is what a pipe has.
const NONE: u64 = u64::MAX;

impl<'a> Sqe<'a> {
    /// Moves bytes from one file to another, of which one at least is a pipe; the result is how many. An
    /// offset of `None` is the file's own position, and what a pipe has. `splice(2)`, Linux 5.7.
    pub fn splice(
        from: Target<'a>,
        from_offset: Option<u64>,
        to: Target<'a>,
        to_offset: Option<u64>,
        len_bytes: u32,
        flags: SpliceFlags,
    ) -> Sqe<'a> {
        let fields = RawSqe {
            off: to_offset.unwrap_or(NONE),
            addr: from_offset.unwrap_or(NONE),
            len: len_bytes,
            op_flags: flags.bits(),
            ..RawSqe::default()
        };
        Sqe::between(Opcode::SPLICE, from, to, fields)
    }

    /// Copies bytes from one pipe to another and leaves them in the first; the result is how many. `tee(2)`,
    /// Linux 5.8.
    pub fn tee(from: Target<'a>, to: Target<'a>, len_bytes: u32, flags: SpliceFlags) -> Sqe<'a> {
        let fields = RawSqe { len: len_bytes, op_flags: flags.bits(), ..RawSqe::default() };
        Sqe::between(Opcode::TEE, from, to, fields)
    }

    fn between(opcode: Opcode, from: Target<'a>, to: Target<'a>, fields: RawSqe) -> Sqe<'a> {
        // `fd` is the output, and the input stands apart.
        let mut entry = Entry::on(opcode, to, RawSqe { splice_fd: from.raw() as u32, ..fields });
        let mut flags = SpliceFlags::from_bits_retain(fields.op_flags);
        flags.set(SpliceFlags::FD_IN_FIXED, matches!(from, Target::Fixed(_)));
        entry.sqe.op_flags = flags.bits();
        Sqe::new(match from {
            Target::Fixed(slot) => entry.names(slot.ring),
            Target::Fd(_) => entry,
        })
    }

    /// Makes a pipe: the two new descriptors, the end to read from first, are written to `ends`. `pipe2(2)`,
    /// Linux 6.16.
    pub fn pipe(ends: &'a mut [RawFd; 2], flags: PipeFlags) -> Sqe<'a> {
        let fields =
            RawSqe { addr: written_by_kernel(ends), op_flags: flags.bits(), ..RawSqe::default() };
        // Unlike where there is no file elsewhere, -1 is refused here.
        Sqe::new(Entry::with_fd(Opcode::PIPE, 0, fields))
    }

    /// Makes a pipe in the table of registered files: the numbers of its two slots are written to `slots`.
    /// With [`Install::Slot`] they are that one and the next. `CLOEXEC` is left out of `flags`. Linux 6.16.
    pub fn pipe_direct(slots: &'a mut [RawFd; 2], flags: PipeFlags, install: Install) -> Sqe<'a> {
        let mut sqe = Sqe::pipe(slots, flags - PipeFlags::CLOEXEC);
        sqe.entry = sqe.entry.install(install);
        sqe
    }
}

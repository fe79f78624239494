//! Filters: classic BPF programs that allow or refuse operations by their arguments.

use std::io;
use std::ptr;

use super::{address, count};
use crate::ring::Ring;
use crate::sys::abi::{self, Bpf, BpfCommand, BpfFilterFlags, Opcode, RegisterOp};
use crate::sys::syscall;

/// `struct sock_filter`: one instruction of a classic BPF program, for [`BpfFilter`]. Linux 7.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct BpfInstruction {
    /// What it does, `BPF_*`.
    pub code: u16,
    /// How many instructions to skip where a comparison holds.
    pub if_true: u8,
    /// How many instructions to skip where it does not.
    pub if_false: u8,
    /// Its operand.
    pub operand: u32,
}

const _: () = assert!(size_of::<BpfInstruction>() == 8);

/// A filter of one operation. It reads an [`abi::BpfCtx`] and returns 0 to refuse a submission with `EACCES`,
/// anything else to let it pass. Linux 7.0.
#[derive(Clone, Debug)]
pub struct BpfFilter {
    opcode: Opcode,
    flags: BpfFilterFlags,
    pdu_bytes: u8,
    program: Vec<BpfInstruction>,
}

impl BpfFilter {
    /// A filter of this operation.
    pub fn new(opcode: Opcode, program: impl Into<Vec<BpfInstruction>>) -> BpfFilter {
        let flags = BpfFilterFlags::empty();
        BpfFilter { opcode, flags, pdu_bytes: 0, program: program.into() }
    }

    /// Refuses all operations that have no filter.
    pub fn deny_rest(mut self) -> BpfFilter {
        self.flags |= BpfFilterFlags::DENY_REST;
        self
    }

    /// The size of the operation's own part of the context that the program was written for, in bytes.
    pub fn context_bytes(mut self, pdu_bytes: u8) -> BpfFilter {
        self.pdu_bytes = pdu_bytes;
        self
    }

    /// Is refused with `EMSGSIZE` where the kernel's size of that part is another one.
    pub fn strict(mut self) -> BpfFilter {
        self.flags |= BpfFilterFlags::SZ_STRICT;
        self
    }

    fn raw(&mut self) -> io::Result<Bpf> {
        let filter = abi::BpfFilter {
            opcode: self.opcode.0.into(),
            flags: self.flags.bits(),
            filter_len: count(&self.program)?,
            pdu_size: self.pdu_bytes,
            filter_ptr: address(&mut self.program),
            ..abi::BpfFilter::default()
        };
        Ok(Bpf { cmd_type: BpfCommand::FILTER.0, filter, ..Bpf::default() })
    }
}

impl Ring {
    /// Attaches a filter to this ring. `io_uring_register(2)`, Linux 7.0.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a program that the kernel does not accept, and from older kernels; `EMSGSIZE` as
    /// [`BpfFilter::strict`] says; `ENOMEM`.
    pub fn register_bpf_filter(&self, mut filter: BpfFilter) -> io::Result<()> {
        let (ring, mut bpf) = (self.registrar()?, filter.raw()?);
        // SAFETY: one `io_uring_bpf` and the program it points to, used during the call only.
        unsafe { ring.register(RegisterOp::REGISTER_BPF_FILTER, &raw mut bpf, 1) }.map(drop)
    }
}

/// Attaches a filter to all rings that the calling thread, and what it forks, will make. It cannot be undone.
/// Linux 7.0.
///
/// # Errors
///
/// As [`Ring::register_bpf_filter`].
pub fn filter_task(mut filter: BpfFilter) -> io::Result<()> {
    let mut bpf = filter.raw()?;
    let op = RegisterOp::REGISTER_BPF_FILTER.0;
    // SAFETY: one `io_uring_bpf` and the program it points to, used during the call only.
    unsafe { syscall::register(-1, op, ptr::from_mut(&mut bpf), 1) }.map(drop)
}

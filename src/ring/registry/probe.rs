//! Which operations a kernel has.

use std::io;

use crate::ring::Ring;
use crate::sys::abi::{self, Opcode, ProbeOpFlags, RegisterOp};

/// What a kernel says of its operations. `io_uring_register(2)`, Linux 5.6.
#[derive(Clone, Debug)]
pub struct Probe(Box<abi::Probe>);

impl Ring {
    /// Asks the kernel which operations it has. Linux 5.6.
    ///
    /// # Errors
    ///
    /// `EINVAL` from older kernels.
    pub fn probe(&self) -> io::Result<Probe> {
        let mut probe = Box::<abi::Probe>::default();
        let (ring, room) = (self.registrar()?, probe.ops.len() as u32);
        // SAFETY: a zeroed `io_uring_probe` with room for so many operations, used during the call only.
        unsafe { ring.register(RegisterOp::REGISTER_PROBE, &raw mut *probe, room)? };
        Ok(Probe(probe))
    }
}

impl Probe {
    /// Whether the kernel has an operation.
    pub fn supports(&self, opcode: Opcode) -> bool {
        let op = &self.0.ops[usize::from(opcode.0)];
        let flags = ProbeOpFlags::from_bits_retain(op.flags);
        op.op == opcode.0 && flags.contains(ProbeOpFlags::SUPPORTED)
    }

    /// The highest number that the kernel has an operation for.
    pub fn last(&self) -> Opcode {
        Opcode(self.0.last_op)
    }

    /// All operations that the kernel has, those included that have no name here.
    pub fn supported(&self) -> impl Iterator<Item = Opcode> + '_ {
        (0..=u8::MAX).map(Opcode).filter(|opcode| self.supports(*opcode))
    }
}

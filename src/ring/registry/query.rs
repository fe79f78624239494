//! What a kernel knows, asked without a ring.

use std::io;

use super::errno;
use crate::ring::{
    EnterFlags, Features, Opcode, QueryOp, RegisterOp, SetupFlags, SqeFlags, ZcrxAreaFlags,
    ZcrxFeatures, ZcrxRegFlags,
};
use crate::sys::abi::{QueryHdr, QueryOpcode, QueryScq, QueryZcrx};
use crate::sys::syscall;

/// Which operations, register calls and flags a kernel has. Linux 6.18.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownOpcodes {
    /// How many numbers of operations there are; which of them are built in says [`Probe`](super::Probe).
    pub request_opcodes: u32,
    /// How many register calls.
    pub register_opcodes: u32,
    /// How many questions, 0 from Linux 6.18 itself, which does not say.
    pub query_opcodes: u32,
    /// `IORING_FEAT_*`.
    pub features: Features,
    /// `IORING_SETUP_*`.
    pub setup_flags: SetupFlags,
    /// `IORING_ENTER_*`.
    pub enter_flags: EnterFlags,
    /// `IOSQE_*`.
    pub sqe_flags: SqeFlags,
}

impl KnownOpcodes {
    /// Whether there is a register call of this number.
    pub fn has_register_op(&self, op: RegisterOp) -> bool {
        op.0 < self.register_opcodes
    }

    /// Whether there is an operation of this number; it may still be left out of this kernel.
    pub fn has_opcode(&self, opcode: Opcode) -> bool {
        u32::from(opcode.0) < self.request_opcodes
    }
}

/// What zero-copy receive can do. Linux 6.19.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownZcrx {
    /// `ZCRX_REG_*`.
    pub register_flags: ZcrxRegFlags,
    /// `IORING_ZCRX_AREA_*`.
    pub area_flags: ZcrxAreaFlags,
    /// How many controls there are.
    pub control_opcodes: u32,
    /// `ZCRX_FEATURE_*`.
    pub features: ZcrxFeatures,
    /// The size of the refill ring's head, in bytes.
    pub refill_head_bytes: u32,
    /// The alignment of the refill ring's head, in bytes.
    pub refill_head_align_bytes: u32,
}

/// What memory the queues of a ring begin with. Linux 6.19.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownQueues {
    /// The size of the head of both queues, in bytes.
    pub head_bytes: u64,
    /// Its alignment, in bytes.
    pub head_align_bytes: u64,
}

/// Asks which operations, register calls and flags the kernel has. `io_uring_register(2)`, Linux 6.18.
///
/// # Errors
///
/// `EINVAL` from older kernels; otherwise as `io_uring_setup(2)` where io_uring is forbidden.
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// let known = uring::ring::query_opcodes()?;
/// println!("{} operations, {:?}", known.request_opcodes, known.setup_flags);
/// # Ok(())
/// # }
/// ```
pub fn query_opcodes() -> io::Result<KnownOpcodes> {
    let mut answer = QueryOpcode::default();
    // SAFETY: the answer to this question is an `io_uring_query_opcode`.
    unsafe { ask(QueryOp::OPCODES, &mut answer)? };
    Ok(KnownOpcodes {
        request_opcodes: answer.nr_request_opcodes,
        register_opcodes: answer.nr_register_opcodes,
        query_opcodes: answer.nr_query_opcodes,
        features: Features::from_bits_retain(answer.feature_flags as u32),
        setup_flags: SetupFlags::from_bits_retain(answer.ring_setup_flags as u32),
        enter_flags: EnterFlags::from_bits_retain(answer.enter_flags as u32),
        sqe_flags: SqeFlags::from_bits_retain(answer.sqe_flags as u8),
    })
}

/// Asks what zero-copy receive can do. Linux 6.19.
///
/// # Errors
///
/// `EOPNOTSUPP` from Linux 6.18, `EINVAL` from older kernels.
pub fn query_zcrx() -> io::Result<KnownZcrx> {
    let mut answer = QueryZcrx::default();
    // SAFETY: the answer to this question is an `io_uring_query_zcrx`.
    unsafe { ask(QueryOp::ZCRX, &mut answer)? };
    Ok(KnownZcrx {
        register_flags: ZcrxRegFlags::from_bits_retain(answer.register_flags as u32),
        area_flags: ZcrxAreaFlags::from_bits_retain(answer.area_flags as u32),
        control_opcodes: answer.nr_ctrl_opcodes,
        features: ZcrxFeatures::from_bits_retain(answer.features),
        refill_head_bytes: answer.rq_hdr_size,
        refill_head_align_bytes: answer.rq_hdr_alignment,
    })
}

/// Asks what memory the queues of a ring begin with, which `IORING_SETUP_NO_MMAP` needs to know. Linux 6.19.
///
/// # Errors
///
/// `EOPNOTSUPP` from Linux 6.18, `EINVAL` from older kernels.
pub fn query_queues() -> io::Result<KnownQueues> {
    let mut answer = QueryScq::default();
    // SAFETY: the answer to this question is an `io_uring_query_scq`.
    unsafe { ask(QueryOp::SCQ, &mut answer)? };
    Ok(KnownQueues { head_bytes: answer.hdr_size, head_align_bytes: answer.hdr_alignment })
}

/// Asks one question. A kernel that knows less of the answer leaves its end as it was: zero.
///
/// # Safety
///
/// `T` is the answer to `question`, made of integers alone.
unsafe fn ask<T>(question: QueryOp, answer: &mut T) -> io::Result<()> {
    let mut header = QueryHdr {
        query_data: std::ptr::from_mut(answer).expose_provenance() as u64,
        query_op: question.0,
        size: size_of::<T>() as u32,
        ..QueryHdr::default()
    };
    let op = RegisterOp::REGISTER_QUERY.0;
    // The count is 0: any other is refused.
    // SAFETY: one header with no next one; the kernel writes at most `size` bytes of the answer, during the
    // call only.
    unsafe { syscall::register(-1, op, &raw mut header, 0)? };
    if header.result < 0 { Err(errno(header.result.wrapping_neg())) } else { Ok(()) }
}

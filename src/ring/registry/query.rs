//! What a kernel knows, asked without a ring.

use std::io;
use std::marker::PhantomData;
use std::slice;

use super::{address, errno};
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

/// All that a kernel says of itself. Linux 6.18.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Which operations, register calls and flags it has.
    pub opcodes: KnownOpcodes,
    /// What zero-copy receive can do; none from Linux 6.18, which does not say.
    pub zcrx: Option<KnownZcrx>,
    /// What memory the queues of a ring begin with; none from Linux 6.18, which does not say.
    pub queues: Option<KnownQueues>,
}

/// Asks the kernel all there is to ask, in one call. `io_uring_register(2)`, Linux 6.18.
///
/// # Errors
///
/// `EINVAL` from older kernels; otherwise as `io_uring_setup(2)` where io_uring is forbidden.
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// let known = uring::ring::query()?.opcodes;
/// println!("{} operations, {:?}", known.request_opcodes, known.setup_flags);
/// # Ok(())
/// # }
/// ```
pub fn query() -> io::Result<Known> {
    let mut opcodes = QueryOpcode::default();
    let (mut zcrx, mut queues) = (QueryZcrx::default(), QueryScq::default());
    // Each question points to the next, so the last is made first.
    let mut third = Question::new(&mut queues);
    let mut second = Question::new(&mut zcrx).then(&mut third);
    Question::new(&mut opcodes).then(&mut second).ask()?;
    let knows_zcrx = second.answered().is_ok();
    let knows_queues = third.answered().is_ok();
    Ok(Known {
        opcodes: opcodes.into(),
        zcrx: knows_zcrx.then(|| zcrx.into()),
        queues: knows_queues.then(|| queues.into()),
    })
}

/// Asks which operations, register calls and flags the kernel has. Linux 6.18.
///
/// # Errors
///
/// As [`query`].
pub fn query_opcodes() -> io::Result<KnownOpcodes> {
    let mut answer = QueryOpcode::default();
    Question::new(&mut answer).ask()?;
    Ok(answer.into())
}

/// Asks what zero-copy receive can do. Linux 6.19.
///
/// # Errors
///
/// `EOPNOTSUPP` from Linux 6.18, `EINVAL` from older kernels.
pub fn query_zcrx() -> io::Result<KnownZcrx> {
    let mut answer = QueryZcrx::default();
    Question::new(&mut answer).ask()?;
    Ok(answer.into())
}

/// Asks what memory the queues of a ring begin with, which `IORING_SETUP_NO_MMAP` needs to know. Linux 6.19.
///
/// # Errors
///
/// `EOPNOTSUPP` from Linux 6.18, `EINVAL` from older kernels.
pub fn query_queues() -> io::Result<KnownQueues> {
    let mut answer = QueryScq::default();
    Question::new(&mut answer).ask()?;
    Ok(answer.into())
}

/// An answer: a struct of integers alone, so that whatever the kernel writes is one.
trait Answer {
    /// The question that it answers.
    const TO: QueryOp;
}

impl Answer for QueryOpcode {
    const TO: QueryOp = QueryOp::OPCODES;
}

impl Answer for QueryZcrx {
    const TO: QueryOp = QueryOp::ZCRX;
}

impl Answer for QueryScq {
    const TO: QueryOp = QueryOp::SCQ;
}

/// A question, which borrows the room for its answer, and the question after it.
struct Question<'a> {
    header: QueryHdr,
    _lent: PhantomData<&'a mut ()>,
}

impl<'a> Question<'a> {
    fn new<T: Answer>(answer: &'a mut T) -> Question<'a> {
        let header = QueryHdr {
            query_data: address(slice::from_mut(answer)),
            query_op: T::TO.0,
            size: size_of::<T>() as u32,
            ..QueryHdr::default()
        };
        Question { header, _lent: PhantomData }
    }

    fn then(mut self, next: &'a mut Question<'_>) -> Question<'a> {
        self.header.next_entry = address(slice::from_mut(&mut next.header));
        self
    }

    /// Asks this and all that follow. A kernel that knows less of an answer leaves its end as it was: zero.
    fn ask(mut self) -> io::Result<()> {
        let op = RegisterOp::REGISTER_QUERY.0;
        // The count is 0: any other is refused.
        // SAFETY: a chain of headers that ends, each with room for `size` bytes of an answer of integers, all
        // borrowed mutably by this value; used during the call only.
        unsafe { syscall::register(-1, op, &raw mut self.header, 0)? };
        self.answered()
    }

    fn answered(&self) -> io::Result<()> {
        let result = self.header.result;
        if result < 0 { Err(errno(result.wrapping_neg())) } else { Ok(()) }
    }
}

impl From<QueryOpcode> for KnownOpcodes {
    fn from(answer: QueryOpcode) -> KnownOpcodes {
        KnownOpcodes {
            request_opcodes: answer.nr_request_opcodes,
            register_opcodes: answer.nr_register_opcodes,
            query_opcodes: answer.nr_query_opcodes,
            features: Features::from_bits_retain(answer.feature_flags as u32),
            setup_flags: SetupFlags::from_bits_retain(answer.ring_setup_flags as u32),
            enter_flags: EnterFlags::from_bits_retain(answer.enter_flags as u32),
            sqe_flags: SqeFlags::from_bits_retain(answer.sqe_flags as u8),
        }
    }
}

impl From<QueryZcrx> for KnownZcrx {
    fn from(answer: QueryZcrx) -> KnownZcrx {
        KnownZcrx {
            register_flags: ZcrxRegFlags::from_bits_retain(answer.register_flags as u32),
            area_flags: ZcrxAreaFlags::from_bits_retain(answer.area_flags as u32),
            control_opcodes: answer.nr_ctrl_opcodes,
            features: ZcrxFeatures::from_bits_retain(answer.features),
            refill_head_bytes: answer.rq_hdr_size,
            refill_head_align_bytes: answer.rq_hdr_alignment,
        }
    }
}

impl From<QueryScq> for KnownQueues {
    fn from(answer: QueryScq) -> KnownQueues {
        KnownQueues { head_bytes: answer.hdr_size, head_align_bytes: answer.hdr_alignment }
    }
}

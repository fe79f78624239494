//! What this kernel can do.

use std::fmt;
use std::io;
use std::ptr;

use super::ladder::since;
use super::{KnownOpcodes, Ring, Setup, SetupError, query_opcodes};
use crate::sys::abi::{
    EnterFlags, Features, Opcode, Params, QueryOp, RegisterOp, SetupFlags, SqeFlags,
};
use crate::sys::syscall::{self, Argument, NewRing};

/// What this kernel can do: operations, flags, features and register calls.
///
/// The kernel is asked, and where it cannot say, it is tried on a ring made for that purpose; release numbers
/// are not looked at. A security module or a filter can forbid what is listed here nevertheless.
///
/// ```
/// use uring::ring::{Capabilities, Opcode};
///
/// # fn main() -> Result<(), uring::ring::SetupError> {
/// let kernel = Capabilities::of_kernel()?;
/// assert!(kernel.supports(Opcode::READ));
/// println!("{kernel}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    opcodes: Vec<Opcode>,
    register_calls: Vec<RegisterOp>,
    queries: Vec<QueryOp>,
    setup_flags: SetupFlags,
    enter_flags: EnterFlags,
    sqe_flags: SqeFlags,
    features: Features,
    asked: bool,
}

impl Capabilities {
    /// Asks the kernel (`IORING_REGISTER_QUERY`, Linux 6.18; for the operations `IORING_REGISTER_PROBE`, Linux
    /// 5.6), or tries what it takes.
    ///
    /// # Errors
    ///
    /// When no ring can be made to ask or to try on.
    pub fn of_kernel() -> Result<Capabilities, SetupError> {
        match query_opcodes() {
            Ok(known) => Ok(Capabilities::from_answer(&known, probed(&Setup::new(1).build()?))),
            Err(_) => Capabilities::by_trial(),
        }
    }

    /// Tries what the kernel takes, though it might say so itself.
    ///
    /// # Errors
    ///
    /// As [`Capabilities::of_kernel`].
    pub fn by_trial() -> Result<Capabilities, SetupError> {
        // Zero-copy receive is refused where completions are small, before anything else is looked at.
        let large = Setup::new(1).require(SetupFlags::CQE32).build();
        let ring = large.or_else(|_| Setup::new(1).build())?;
        let features = ring.report().features();
        let is_taken = |call: &RegisterOp| takes_register_call(&ring, *call, features);
        Ok(Capabilities {
            opcodes: probed(&ring),
            register_calls: RegisterOp::ALL.iter().copied().filter(is_taken).collect(),
            queries: Vec::new(),
            setup_flags: SetupFlags::all().iter().filter(|flag| takes_setup_flag(*flag)).collect(),
            enter_flags: EnterFlags::all()
                .iter()
                .filter(|flag| takes_enter_flag(&ring, *flag))
                .collect(),
            sqe_flags: sqe_flags(features),
            features,
            asked: false,
        })
    }

    /// An answer says how many numbers of operations there are, `opcodes` which of them were built in: a kernel
    /// without sockets, futexes or epoll has their numbers all the same.
    fn from_answer(known: &KnownOpcodes, opcodes: Vec<Opcode>) -> Capabilities {
        Capabilities {
            opcodes,
            register_calls: (0..known.register_opcodes.min(256)).map(RegisterOp).collect(),
            queries: (0..known.query_opcodes.min(256)).map(QueryOp).collect(),
            setup_flags: known.setup_flags,
            enter_flags: known.enter_flags,
            sqe_flags: known.sqe_flags,
            features: known.features,
            asked: true,
        }
    }

    /// Whether there is an operation.
    pub fn supports(&self, opcode: Opcode) -> bool {
        self.opcodes.contains(&opcode)
    }

    /// Whether there is a register call.
    pub fn registers(&self, call: RegisterOp) -> bool {
        self.register_calls.contains(&call)
    }

    /// Whether there is a question that the kernel answers; of kernels that were tried, none.
    pub fn answers(&self, question: QueryOp) -> bool {
        self.queries.contains(&question)
    }

    /// The flags of set-up, those that this crate has no name for included.
    pub fn setup_flags(&self) -> SetupFlags {
        self.setup_flags
    }

    /// The flags of `enter`.
    pub fn enter_flags(&self) -> EnterFlags {
        self.enter_flags
    }

    /// The flags of submissions.
    pub fn sqe_flags(&self) -> SqeFlags {
        self.sqe_flags
    }

    /// The features.
    pub fn features(&self) -> Features {
        self.features
    }

    /// Whether the kernel said all this itself, rather than having been tried.
    pub fn asked(&self) -> bool {
        self.asked
    }
}

/// The set-up flags that the kernel knows, at least of those in `interesting`; `None` if that cannot be told.
pub(super) fn known_setup_flags(interesting: SetupFlags) -> Option<SetupFlags> {
    if let Ok(known) = query_opcodes() {
        return Some(known.setup_flags);
    }
    // If the plainest ring is refused as well, it is not for the flags.
    if !takes_setup_flag(SetupFlags::CLAMP) {
        return None;
    }
    let known = interesting.iter().filter(|flag| takes_setup_flag(*flag));
    // Flags that this crate has no name for are newer than the kernels that cannot be asked.
    Some(known.collect())
}

/// An address that no user memory has, so that whoever looks there gets `EFAULT`.
const NOWHERE: usize = usize::MAX - 0xffff;

/// Whether a ring can be made with a flag, and with what that one needs.
fn takes_setup_flag(flag: SetupFlags) -> bool {
    let needed = match flag {
        SetupFlags::SQ_AFF => SetupFlags::SQPOLL,
        SetupFlags::TASKRUN_FLAG => SetupFlags::COOP_TASKRUN,
        SetupFlags::DEFER_TASKRUN => SetupFlags::SINGLE_ISSUER,
        SetupFlags::REGISTERED_FD_ONLY => SetupFlags::NO_MMAP,
        SetupFlags::HYBRID_IOPOLL => SetupFlags::IOPOLL,
        SetupFlags::SQ_REWIND => SetupFlags::NO_SQARRAY,
        _ => SetupFlags::empty(),
    };
    let mut params = Params {
        cq_entries: 4,
        flags: (flag | needed).bits(),
        wq_fd: u32::MAX,
        ..Params::default()
    };
    params.sq_off.user_addr = NOWHERE as u64;
    params.cq_off.user_addr = NOWHERE as u64;
    // SAFETY: with `NO_MMAP` the addresses are no memory at all, which the kernel refuses.
    match unsafe { syscall::setup(2, &mut params) } {
        Ok(NewRing::Fd(_) | NewRing::Index(_)) => true,
        // A flag that is not known is found before anything else is looked at.
        Err(error) => error.raw_os_error() != Some(libc::EINVAL),
    }
}

fn takes_enter_flag(ring: &Ring, flag: EnterFlags) -> bool {
    if flag == EnterFlags::REGISTERED_RING {
        return ring.registered();
    }
    let Some(fd) = ring.fd() else { return false };
    use std::os::fd::AsRawFd;
    // Nothing is submitted and nothing waited for, so that the other arguments are not looked at.
    syscall::enter(fd.as_raw_fd(), 0, 0, flag, Argument::None).is_ok()
}

/// Whether there is a register call: if so, it finds out that its argument lies nowhere.
fn takes_register_call(ring: &Ring, call: RegisterOp, features: Features) -> bool {
    let count = match call {
        // These are older than any kernel that a ring of ours can be made on, or came with a feature.
        _ if call <= RegisterOp::REGISTER_ENABLE_RINGS => return true,
        _ if call <= RegisterOp::REGISTER_BUFFERS_UPDATE => {
            return features.contains(Features::RSRC_TAGS);
        }
        // Those that undo take no argument that could be wrong; they came with what they undo.
        RegisterOp::UNREGISTER_IOWQ_AFF => {
            return takes_register_call(ring, RegisterOp::REGISTER_IOWQ_AFF, features);
        }
        RegisterOp::UNREGISTER_NAPI => {
            return takes_register_call(ring, RegisterOp::REGISTER_NAPI, features);
        }
        RegisterOp::REGISTER_IOWQ_AFF => 8,
        RegisterOp::REGISTER_IOWQ_MAX_WORKERS => 2,
        RegisterOp::REGISTER_FILE_ALLOC_RANGE
        | RegisterOp::REGISTER_CLOCK
        | RegisterOp::REGISTER_QUERY
        | RegisterOp::REGISTER_ZCRX_CTRL => 0,
        _ => 1,
    };
    let nowhere: *mut u8 = ptr::without_provenance_mut(NOWHERE);
    // SAFETY: the argument is no memory at all, so that the call fails before it does anything.
    let done = unsafe { ring.register_raw(call, nowhere, count) };
    match done {
        Ok(_) => true,
        Err(error) => error.raw_os_error() != Some(libc::EINVAL),
    }
}

impl Ring {
    /// A register call on this ring, or on none for those that need none.
    ///
    /// # Safety
    ///
    /// As `RingFd::register`.
    unsafe fn register_raw(&self, op: RegisterOp, arg: *mut u8, count: u32) -> io::Result<u32> {
        if [RegisterOp::REGISTER_SEND_MSG_RING, RegisterOp::REGISTER_QUERY].contains(&op) {
            // SAFETY: the caller's contract.
            return unsafe { syscall::register(-1, op.0, arg, count) };
        }
        // SAFETY: the caller's contract.
        unsafe { self.registrar()?.register(op, arg, count) }
    }
}

/// The operations of a probe. After a refusal none is known to exist.
fn probed(ring: &Ring) -> Vec<Opcode> {
    ring.probe().map_or_else(|_| Vec::new(), |probe| probe.supported().collect())
}

/// The flags of submissions came with features, or before all kernels that we run on.
fn sqe_flags(features: Features) -> SqeFlags {
    let mut flags = SqeFlags::all();
    flags.set(SqeFlags::CQE_SKIP_SUCCESS, features.contains(Features::CQE_SKIP));
    flags
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.asked { "as the kernel says" } else { "found by trying" };
        writeln!(f, "io_uring, {how}")?;
        writeln!(f, "\nsetup flags")?;
        for flag in SetupFlags::all().iter() {
            let (name, has) = (SetName(&flag), self.setup_flags.contains(flag));
            line(f, has, format_args!("{name}"), Some(since(flag)))?;
        }
        writeln!(f, "\nenter flags")?;
        for flag in EnterFlags::all().iter() {
            line(f, self.enter_flags.contains(flag), format_args!("{}", SetName(&flag)), None)?;
        }
        writeln!(f, "\nsubmission flags")?;
        for flag in SqeFlags::all().iter() {
            line(f, self.sqe_flags.contains(flag), format_args!("{}", SetName(&flag)), None)?;
        }
        writeln!(f, "\nfeatures")?;
        for flag in Features::all().iter() {
            line(f, self.features.contains(flag), format_args!("{}", SetName(&flag)), None)?;
        }
        writeln!(f, "\noperations")?;
        for opcode in Opcode::ALL {
            let name = opcode.name().unwrap_or("?");
            line(f, self.supports(*opcode), format_args!("{name}"), opcode.since())?;
        }
        writeln!(f, "\nregister calls")?;
        for call in RegisterOp::ALL {
            let name = call.name().unwrap_or("?");
            line(f, self.registers(*call), format_args!("{name}"), call.since())?;
        }
        Ok(())
    }
}

/// The names of a set of flags.
struct SetName<'a, B>(&'a B);

impl<B: bitflags::Flags> fmt::Display for SetName<'_, B>
where
    B::Bits: bitflags::parser::WriteHex,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bitflags::parser::to_writer(self.0, f)
    }
}

/// One thing, whether it is there, and if not, which kernel has it.
fn line(
    f: &mut fmt::Formatter<'_>,
    has: bool,
    name: fmt::Arguments<'_>,
    since: Option<&str>,
) -> fmt::Result {
    match (has, since) {
        (true, _) => writeln!(f, "  yes  {name}"),
        (false, Some(since)) => writeln!(f, "  no   {name} (Linux {since})"),
        (false, None) => writeln!(f, "  no   {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_that_was_left_out_of_a_kernel_is_not_there_though_its_number_is() {
        let known = KnownOpcodes {
            request_opcodes: 3,
            register_opcodes: 0,
            query_opcodes: 0,
            features: Features::empty(),
            setup_flags: SetupFlags::empty(),
            enter_flags: EnterFlags::empty(),
            sqe_flags: SqeFlags::empty(),
        };
        let kernel = Capabilities::from_answer(&known, vec![Opcode::NOP, Opcode::WRITEV]);
        assert!(kernel.supports(Opcode::NOP) && kernel.supports(Opcode::WRITEV));
        assert!(!kernel.supports(Opcode::READV));
    }
}

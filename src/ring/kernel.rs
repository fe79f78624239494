//! The other side of the queues: Linux, or a kernel in user space.
//!
//! Both share queue memory, fences and entry formats; they differ in what happens on `enter`. The choice is
//! a branch beside a system call, so it costs nothing, and nothing above this file knows of it.

use std::ffi::c_void;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fd::RingFd;
use super::{KernelSide, WaitFor};
use crate::sys::abi::{EnterFlags, Features, Opcode, Probe, ProbeOpFlags, RegisterOp};
use crate::sys::syscall::{self, Argument};

/// What an `enter` asks of the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Enter {
    /// How many submissions to take.
    pub submit: u32,
    /// How many completions to wait for; 0 does not wait.
    pub want: u32,
    /// Whether to post what has been deferred, and to flush what overflowed (`IORING_ENTER_GETEVENTS`).
    pub events: bool,
    /// How long to wait at most.
    pub limit: Option<Duration>,
}

/// A kernel in user space: it takes submissions from the same queue memory as Linux would, and posts
/// completions to it.
///
/// # Safety
///
/// What a completion says must be true: so many bytes were written to the front of the buffer that the
/// submission lent, such a descriptor was made for the caller alone. And memory lent by a submission may be
/// used from the moment the submission was taken until its final completion is posted, and at no other time.
pub unsafe trait Kernel: fmt::Debug {
    /// Takes submissions, works, waits, posts completions; returns how many submissions it took.
    ///
    /// # Errors
    ///
    /// As `io_uring_enter(2)`, `EINTR` and `ETIME` included.
    fn enter(&mut self, side: &mut KernelSide<'_>, request: Enter) -> io::Result<u32>;

    /// Whether this kernel knows an opcode.
    fn supports(&self, opcode: Opcode) -> bool;

    /// The time in this kernel.
    fn now(&self) -> Instant;

    /// What ends a wait of this kernel from another thread.
    fn interrupt(&self) -> Arc<dyn Interrupt>;

    /// The descriptor by which other rings of this kernel send messages to this one. None, unless a kernel says
    /// otherwise.
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// What files and buffers are registered with. None, unless a kernel says otherwise: then registering
    /// fails with `EOPNOTSUPP`.
    fn registry(&self) -> Option<Rc<dyn Registry>> {
        None
    }
}

/// What can be registered with a ring of a kernel in user space: its `io_uring_register(2)`.
///
/// It lives until the ring and all that was registered with it are gone.
///
/// # Safety
///
/// What it answers must be true. Memory named by a call is used during the call only, but for what the call is
/// there to lend: a ring of provided buffers, and the buffers in it, until the group is unregistered.
pub unsafe trait Registry: fmt::Debug {
    /// `io_uring_register(2)`; returns what that returns.
    ///
    /// # Errors
    ///
    /// As `io_uring_register(2)`; `EOPNOTSUPP` for what this kernel does not know.
    ///
    /// # Safety
    ///
    /// `arg` and `count` are what `op` asks for, and what the kernel keeps beyond the call stays valid for as
    /// long as it keeps it.
    unsafe fn register(&self, op: RegisterOp, arg: *mut c_void, count: u32) -> io::Result<u32>;
}

/// Ends the wait of a [`Kernel`] from any thread; the wait returns early with no completion.
///
/// An interrupt that comes while nobody waits ends the next wait.
pub trait Interrupt: Send + Sync + fmt::Debug {
    /// Ends the wait.
    fn interrupt(&self);
}

/// Who answers.
#[derive(Debug)]
pub(crate) enum Backend {
    Linux(Linux),
    Other(Box<dyn Kernel>),
}

impl Backend {
    // Always, here and below: see `Ring::hand_over`.
    #[inline(always)]
    pub(crate) fn enter(
        &mut self,
        side: &mut KernelSide<'_>,
        submit: u32,
        wait: &WaitFor,
        flags: EnterFlags,
    ) -> io::Result<u32> {
        match self {
            Backend::Linux(linux) => linux.enter(submit, wait, flags),
            Backend::Other(kernel) => {
                let events = flags.contains(EnterFlags::GETEVENTS);
                let limit = wait.simple_limit()?;
                kernel.enter(side, Enter { submit, want: wait.count(), events, limit })
            }
        }
    }

    pub(crate) fn now(&self) -> Instant {
        match self {
            Backend::Linux(_) => Instant::now(),
            Backend::Other(kernel) => kernel.now(),
        }
    }
}

/// A ring of Linux.
#[derive(Debug)]
pub(crate) struct Linux {
    fd: Rc<RingFd>,
    /// `IORING_ENTER_NO_IOWAIT` where the kernel has it (6.15), so that an idle server does not count as
    /// waiting for a disk.
    wait_flags: EnterFlags,
    probe: Box<Probe>,
}

impl Linux {
    /// Takes over a new ring, and asks which opcodes there are.
    pub(crate) fn new(fd: RingFd, features: Features) -> Linux {
        let mut probe = Box::<Probe>::default();
        // SAFETY: a zeroed `io_uring_probe` with room for 256 opcodes, used during the call only. A refusal
        // leaves it zeroed: no opcode is known to exist.
        let _ = unsafe { fd.register(RegisterOp::REGISTER_PROBE, &raw mut *probe, 256) };
        let no_iowait = features.contains(Features::NO_IOWAIT);
        let wait_flags = if no_iowait { EnterFlags::NO_IOWAIT } else { EnterFlags::empty() };
        Linux { fd: Rc::new(fd), wait_flags, probe }
    }

    pub(crate) fn fd(&self) -> &Rc<RingFd> {
        &self.fd
    }

    pub(crate) fn supports(&self, opcode: Opcode) -> bool {
        let op = self.probe.ops[usize::from(opcode.0)];
        let flags = ProbeOpFlags::from_bits_retain(op.flags);
        op.op == opcode.0 && flags.contains(ProbeOpFlags::SUPPORTED)
    }

    #[inline(always)]
    fn enter(&self, submit: u32, wait: &WaitFor, mut flags: EnterFlags) -> io::Result<u32> {
        if !self.fd.is_ours() {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        let (ring, by_index) = self.fd.for_enter();
        flags |= by_index;
        if wait.count() == 0 {
            return syscall::enter(ring, submit, 0, flags, Argument::None);
        }
        flags |= EnterFlags::GETEVENTS | self.wait_flags;
        wait.call(flags, |argument, flags| {
            syscall::enter(ring, submit, wait.count(), flags, argument)
        })
    }
}

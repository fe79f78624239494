//! The other side of the queues: Linux, or a kernel in user space.
//!
//! Both share queue memory, fences and entry formats; they differ in what happens on `enter`. The choice is
//! a branch beside a system call, so it costs nothing, and nothing above this file knows of it.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::KernelSide;
use crate::sys::{abi, syscall};

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
    fn supports(&self, opcode: u8) -> bool;

    /// The time in this kernel.
    fn now(&self) -> Instant;

    /// What ends a wait of this kernel from another thread.
    fn interrupt(&self) -> Arc<dyn Interrupt>;
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
    pub(crate) fn enter(
        &mut self,
        side: &mut KernelSide<'_>,
        request: Enter,
        flags: u32,
    ) -> io::Result<u32> {
        match self {
            Backend::Linux(linux) => linux.enter(request, flags),
            Backend::Other(kernel) => kernel.enter(side, request),
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
    fd: OwnedFd,
    /// The index of the ring in this thread's table of registered rings: saves the look-up of the
    /// descriptor in every `enter`, 65 of 185 ns.
    registered: Option<u32>,
    /// `IORING_ENTER_NO_IOWAIT` where the kernel has it (6.15), so that an idle server does not count as
    /// waiting for a disk.
    wait_flags: u32,
    probe: Box<abi::Probe>,
}

impl Linux {
    /// Takes over a new ring: registers its descriptor and asks which opcodes there are. Both are optional.
    pub(crate) fn new(fd: OwnedFd, features: u32) -> Linux {
        let mut update = abi::RsrcUpdate {
            offset: u32::MAX,
            data: fd.as_raw_fd() as u64,
            ..abi::RsrcUpdate::default()
        };
        // SAFETY: one `io_uring_rsrc_update`, used during the call only. Refused before 5.18, which is
        // fine: then the descriptor is used as it is.
        let done = unsafe { syscall::register(fd.as_fd(), abi::REGISTER_RING_FDS, &mut update, 1) };
        let registered = matches!(done, Ok(1)).then_some(update.offset);
        let mut probe = Box::new(abi::Probe {
            last_op: 0,
            ops_len: 0,
            resv: 0,
            resv2: [0; 3],
            ops: [abi::ProbeOp::default(); 256],
        });
        // SAFETY: a zeroed `io_uring_probe` with room for 256 opcodes, used during the call only. A refusal
        // leaves it zeroed: no opcode is known to exist.
        let _ = unsafe {
            syscall::register(fd.as_fd(), abi::REGISTER_PROBE, &mut *probe as *mut abi::Probe, 256)
        };
        let wait_flags = if features & abi::FEAT_NO_IOWAIT != 0 { abi::ENTER_NO_IOWAIT } else { 0 };
        Linux { fd, registered, wait_flags, probe }
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    pub(crate) fn registered(&self) -> bool {
        self.registered.is_some()
    }

    pub(crate) fn supports(&self, opcode: u8) -> bool {
        let op = self.probe.ops[usize::from(opcode)];
        op.op == opcode && op.flags & abi::OP_SUPPORTED != 0
    }

    fn enter(&self, request: Enter, mut flags: u32) -> io::Result<u32> {
        if request.events {
            flags |= abi::ENTER_GETEVENTS;
        }
        if request.want > 0 {
            flags |= abi::ENTER_GETEVENTS | self.wait_flags;
        }
        let ring = match self.registered {
            Some(index) => {
                flags |= abi::ENTER_REGISTERED_RING;
                index as i32
            }
            None => self.fd.as_raw_fd(),
        };
        let Some(limit) = request.limit.filter(|_| request.want > 0) else {
            return syscall::enter(ring, request.submit, request.want, flags, None);
        };
        let timespec = abi::Timespec {
            sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            nsec: i64::from(limit.subsec_nanos()),
        };
        let arg = abi::GeteventsArg {
            ts: (&raw const timespec).expose_provenance() as u64,
            ..abi::GeteventsArg::default()
        };
        syscall::enter(ring, request.submit, request.want, flags, Some(&arg))
    }
}

impl Drop for Linux {
    fn drop(&mut self) {
        // A registered index keeps the ring alive behind the closed descriptor, so it is given back first.
        let Some(offset) = self.registered else { return };
        let mut update = abi::RsrcUpdate { offset, ..abi::RsrcUpdate::default() };
        // SAFETY: one `io_uring_rsrc_update`, used during the call only.
        let _ =
            unsafe { syscall::register(self.fd.as_fd(), abi::UNREGISTER_RING_FDS, &mut update, 1) };
    }
}

//! The ring's descriptor, shared by the ring and everything registered with it.

use std::fmt;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::kernel::Registry;
use crate::sys::abi::{EnterFlags, Features, Params, RegisterFlags, RegisterOp, RsrcUpdate};
use crate::sys::process::Process;
use crate::sys::syscall::{self, NewRing};

/// Tells one ring of this process from all others.
///
/// What means something to one ring only, such as a direct descriptor, carries it, and
/// [`Ring::push`](super::Ring::push) refuses a submission that names another ring's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RingId(NonZeroU32);

impl RingId {
    /// The number of no ring: what names things of two rings belongs to neither.
    pub(super) const NOBODYS: RingId = RingId(NonZeroU32::MAX);

    /// A number that no other ring has, until 2³² rings were made.
    pub(super) fn next() -> RingId {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        RingId(NonZeroU32::new(NEXT.fetch_add(1, Ordering::Relaxed)).unwrap_or(NonZeroU32::MAX))
    }
}

/// A ring of Linux by its descriptor, its registered index, or both; or a ring of a kernel in user space.
///
/// It lives until the ring and all that was registered with it are gone.
pub(crate) struct RingFd {
    /// None for a ring that has a registered index only (`IORING_SETUP_REGISTERED_FD_ONLY`, Linux 6.5).
    fd: Option<OwnedFd>,
    /// The index of the ring in this thread's table of registered rings: saves the look-up of the
    /// descriptor in every `enter`, 65 of 185 ns.
    index: Option<u32>,
    /// Whether register calls may name the ring by its index (`IORING_FEAT_REG_REG_RING`, Linux 6.3).
    registers_by_index: bool,
    /// The process whose ring it is; the index means nothing to a forked child, or another ring.
    process: Process,
    /// What registers in place of Linux, on a kernel in user space.
    other: Option<Rc<dyn Registry>>,
}

impl RingFd {
    /// Takes over a new ring, and registers its descriptor if it has one and the kernel lets us (Linux 5.18).
    pub(super) fn new(ring: NewRing, features: Features) -> io::Result<RingFd> {
        // A ring that is an index only is given back when this value is dropped, so make it first.
        let process = Process::current();
        let (fd, index) = match ring {
            NewRing::Fd(fd) => {
                let index = register(&fd);
                (Some(fd), index)
            }
            NewRing::Index(index) => (None, Some(index)),
        };
        let registers_by_index = features.contains(Features::REG_REG_RING);
        let unknown = process.as_ref().map_or_else(|_| Process::every(), |process| *process);
        let ring = RingFd { fd, index, registers_by_index, process: unknown, other: None };
        process.map(|_| ring)
    }

    /// A ring of a kernel in user space, which has neither descriptor nor index.
    pub(super) fn of_other(registry: Rc<dyn Registry>) -> RingFd {
        // A forked child has a copy of its own of all such a kernel is.
        let (process, other) = (Process::every(), Some(registry));
        RingFd { fd: None, index: None, registers_by_index: false, process, other }
    }

    /// Whether Linux is on the other side.
    pub(super) fn is_linux(&self) -> bool {
        self.other.is_none()
    }

    /// What to name the ring by in `enter`, and the flag that says so.
    pub(super) fn for_enter(&self) -> (i32, EnterFlags) {
        match (self.index, &self.fd) {
            (Some(index), _) => (index as i32, EnterFlags::REGISTERED_RING),
            (None, Some(fd)) => (fd.as_raw_fd(), EnterFlags::empty()),
            (None, None) => (-1, EnterFlags::empty()),
        }
    }

    /// The descriptor, if there is one.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    /// Whether the ring belongs to this process, rather than to one that this was forked from.
    pub(super) fn is_ours(&self) -> bool {
        self.process.is_current()
    }

    /// Whether the ring has a registered index.
    pub(super) fn is_registered(&self) -> bool {
        self.index.is_some()
    }

    /// `io_uring_register(2)` on this ring. In a forked child it fails with `EEXIST`, as it does in another
    /// thread.
    ///
    /// # Safety
    ///
    /// `arg` and `count` are what `op` asks for, and memory that the kernel keeps beyond the call stays
    /// valid for as long as it keeps it.
    pub(crate) unsafe fn register<T>(
        &self,
        op: RegisterOp,
        arg: *mut T,
        count: u32,
    ) -> io::Result<u32> {
        if !self.process.is_current() {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        if let Some(other) = &self.other {
            // SAFETY: the caller's contract.
            return unsafe { other.register(op, arg.cast(), count) };
        }
        let (ring, by_index) = match (self.index, &self.fd) {
            (Some(index), fd) if fd.is_none() || self.registers_by_index => {
                (index as i32, RegisterFlags::USE_REGISTERED_RING.bits())
            }
            (_, Some(fd)) => (fd.as_raw_fd(), 0),
            (_, None) => return Err(io::Error::from_raw_os_error(libc::EBADF)),
        };
        // SAFETY: the caller's contract.
        unsafe { syscall::register(ring, op.0 | by_index, arg, count) }
    }
}

/// Registers a ring for this thread. A refusal does no harm: then the descriptor is used as it is.
fn register(fd: &OwnedFd) -> Option<u32> {
    let number = fd.as_raw_fd();
    let mut update = RsrcUpdate { offset: u32::MAX, data: number as u64, ..RsrcUpdate::default() };
    let op = RegisterOp::REGISTER_RING_FDS;
    // SAFETY: one `io_uring_rsrc_update`, used during the call only.
    let done = unsafe { syscall::register(number, op.0, &raw mut update, 1) };
    matches!(done, Ok(1)).then_some(update.offset)
}

impl Drop for RingFd {
    fn drop(&mut self) {
        // A registered index keeps the ring alive behind the closed descriptor, so it is given back.
        let Some(offset) = self.index else { return };
        let mut update = RsrcUpdate { offset, ..RsrcUpdate::default() };
        let op = RegisterOp::UNREGISTER_RING_FDS;
        // SAFETY: one `io_uring_rsrc_update`, used during the call only.
        let done = unsafe { self.register(op, &raw mut update, 1) };
        if done.is_err_and(|error| error.raw_os_error() == Some(libc::EACCES)) {
            unregister_by_another_ring(update);
        }
    }
}

/// Gives an index back for a ring that its restrictions do not let do so. The table is the thread's, so a ring
/// made for the purpose will do.
fn unregister_by_another_ring(mut update: RsrcUpdate) {
    let mut params = Params::default();
    // SAFETY: a ring whose memory is the kernel's own, which is never mapped.
    let Ok(NewRing::Fd(fd)) = (unsafe { syscall::setup(1, &mut params) }) else { return };
    let op = RegisterOp::UNREGISTER_RING_FDS;
    // SAFETY: one `io_uring_rsrc_update`, used during the call only.
    let _ = unsafe { syscall::register(fd.as_raw_fd(), op.0, &raw mut update, 1) };
}

impl fmt::Debug for RingFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingFd").field("fd", &self.fd).field("index", &self.index).finish()
    }
}

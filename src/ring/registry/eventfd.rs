//! An eventfd that completions signal, for programs that sleep in another loop.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::GiveBack;
use crate::ring::Ring;
use crate::sys::abi::RegisterOp;

/// The eventfd of a ring is registered for as long as this lives, which may be longer than the ring; dropping it
/// unregisters it. Linux 5.2.
///
/// Its counter is a hint: several completions may add 1 between them, so copy out all there are.
/// [`Ring::signal_eventfd`] silences it for a while without a system call.
#[derive(Debug)]
pub struct Eventfd(GiveBack);

impl Ring {
    /// Signals an eventfd with every completion. The ring holds a reference to it of its own.
    /// `eventfd(2)`, Linux 5.2.
    ///
    /// # Errors
    ///
    /// `EBUSY` when one is registered already, in either way; `EBADF` for a closed descriptor, `EINVAL` for
    /// one that is no eventfd.
    pub fn register_eventfd(&self, eventfd: BorrowedFd<'_>) -> io::Result<Eventfd> {
        self.register_eventfd_by(RegisterOp::REGISTER_EVENTFD, eventfd)
    }

    /// Signals an eventfd with the completions that a worker thread brings, and not with those that come at
    /// once, or when the ring's own thread has its deferred work done. Linux 5.6.
    ///
    /// # Errors
    ///
    /// As [`Ring::register_eventfd`].
    pub fn register_eventfd_async(&self, eventfd: BorrowedFd<'_>) -> io::Result<Eventfd> {
        self.register_eventfd_by(RegisterOp::REGISTER_EVENTFD_ASYNC, eventfd)
    }

    fn register_eventfd_by(&self, op: RegisterOp, fd: BorrowedFd<'_>) -> io::Result<Eventfd> {
        let ring = self.registrar()?;
        let mut number = fd.as_raw_fd();
        // SAFETY: one descriptor, read during the call only.
        unsafe { ring.register(op, &raw mut number, 1)? };
        Ok(Eventfd(GiveBack::new(ring, RegisterOp::UNREGISTER_EVENTFD, 0)))
    }
}

impl Eventfd {
    /// Unregisters it, as its drop does, and says whether the kernel agreed.
    ///
    /// # Errors
    ///
    /// `ENXIO` when something else has unregistered it; `EACCES` when a restriction forbids it.
    pub fn unregister(mut self) -> io::Result<()> {
        self.0.now()
    }
}

//! Rings by their index in a table of the thread's.

use std::io;
use std::os::fd::AsRawFd;
use std::ptr;
use std::rc::Rc;

use super::errno;
use crate::ring::Ring;
use crate::ring::fd::RingFd;
use crate::sys::abi::{RegisterOp, RsrcUpdate};

/// A place in this thread's table of 16 registered rings, which names a ring without its descriptor.
///
/// Every ring takes one at set-up by itself, where there is one left ([`Ring::registered`]); this is for those
/// who call `io_uring_enter(2)` on their own. Dropping it frees the place. Linux 5.18.
#[derive(Debug)]
pub struct RegisteredRingFd {
    ring: Rc<RingFd>,
    index: u32,
    done: bool,
}

impl Ring {
    /// Takes a place in the thread's table for this ring: the one asked for, or any. Linux 5.18.
    ///
    /// # Errors
    ///
    /// `EBUSY` when the place is taken, or all are; `EINVAL` for a place behind the end; `EBADF` for a ring
    /// that has no descriptor.
    pub fn register_ring_fd(&self, index: Option<u32>) -> io::Result<RegisteredRingFd> {
        let ring = self.registrar()?;
        let number = ring.fd().ok_or_else(|| errno(libc::EBADF))?.as_raw_fd();
        let offset = index.unwrap_or(u32::MAX);
        let mut update = RsrcUpdate { offset, data: number as u64, ..RsrcUpdate::default() };
        let op = RegisterOp::REGISTER_RING_FDS;
        // SAFETY: one `io_uring_rsrc_update`, used during the call only.
        match unsafe { ring.register(op, ptr::from_mut(&mut update), 1)? } {
            // How many were registered: without an error it is the one.
            0 => Err(errno(libc::EBUSY)),
            _ => Ok(RegisteredRingFd { ring, index: update.offset, done: false }),
        }
    }
}

impl RegisteredRingFd {
    /// What `io_uring_enter(2)` takes in place of a descriptor, with `IORING_ENTER_REGISTERED_RING`.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Frees the place, as the drop does, and says whether the kernel agreed.
    ///
    /// # Errors
    ///
    /// `EACCES` when a restriction forbids it.
    pub fn unregister(mut self) -> io::Result<()> {
        self.now()
    }

    fn now(&mut self) -> io::Result<()> {
        self.done = true;
        let mut update = RsrcUpdate { offset: self.index, ..RsrcUpdate::default() };
        let op = RegisterOp::UNREGISTER_RING_FDS;
        // SAFETY: one `io_uring_rsrc_update`, used during the call only.
        unsafe { self.ring.register(op, &raw mut update, 1) }.map(drop)
    }
}

impl Drop for RegisteredRingFd {
    fn drop(&mut self) {
        if !self.done {
            // Refused only where a restriction forbids it; the end of the thread frees the place.
            let _ = self.now();
        }
    }
}

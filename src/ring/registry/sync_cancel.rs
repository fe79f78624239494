//! Cancelling requests and waiting for their end, in one call.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use super::errno;
use crate::ring::enter::MAX_WAIT;
use crate::ring::{Ring, RingId, Slot};
use crate::sys::abi::{CancelFlags, Opcode, RegisterOp, SyncCancelReg, Timespec};

/// Which requests to cancel, and how long to wait for their end. Linux 6.0.
///
/// ```
/// use std::time::Duration;
/// use uring::ring::{Opcode, SyncCancel};
///
/// let all_polls = SyncCancel::opcode(Opcode::POLL_ADD).all().limit(Duration::from_secs(1));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SyncCancel<'a> {
    user_data: u64,
    fd: Option<BorrowedFd<'a>>,
    slot: Option<Slot>,
    opcode: Opcode,
    flags: CancelFlags,
    limit: Option<Duration>,
}

impl<'a> SyncCancel<'a> {
    fn by(flags: CancelFlags) -> SyncCancel<'a> {
        let (user_data, opcode) = (0, Opcode::NOP);
        SyncCancel { user_data, fd: None, slot: None, opcode, flags, limit: None }
    }

    /// The request with this `user_data`.
    pub fn user_data(user_data: u64) -> SyncCancel<'a> {
        SyncCancel { user_data, ..SyncCancel::by(CancelFlags::empty()) }
    }

    /// Requests on an open file.
    pub fn fd(fd: BorrowedFd<'a>) -> SyncCancel<'a> {
        SyncCancel { fd: Some(fd), ..SyncCancel::by(CancelFlags::FD) }
    }

    /// Requests on a registered file.
    pub fn slot(slot: Slot) -> SyncCancel<'a> {
        let flags = CancelFlags::FD | CancelFlags::FD_FIXED;
        SyncCancel { slot: Some(slot), ..SyncCancel::by(flags) }
    }

    /// Requests with this operation. Linux 6.6.
    pub fn opcode(opcode: Opcode) -> SyncCancel<'a> {
        SyncCancel { opcode, ..SyncCancel::by(CancelFlags::OP) }
    }

    /// Every request of the ring, as if with [`all`](SyncCancel::all).
    pub fn any() -> SyncCancel<'a> {
        SyncCancel::by(CancelFlags::ANY)
    }

    /// Only those that also have this `user_data`. Linux 6.6.
    pub fn and_user_data(self, user_data: u64) -> SyncCancel<'a> {
        SyncCancel { user_data, flags: self.flags | CancelFlags::USERDATA, ..self }
    }

    /// Only those that also have this operation. Linux 6.6.
    pub fn and_opcode(self, opcode: Opcode) -> SyncCancel<'a> {
        SyncCancel { opcode, flags: self.flags | CancelFlags::OP, ..self }
    }

    /// All that match, in place of the first.
    pub fn all(self) -> SyncCancel<'a> {
        SyncCancel { flags: self.flags | CancelFlags::ALL, ..self }
    }

    /// Waits no longer than this for requests that are running, cut at a hundred years; without it, until they
    /// have ended.
    pub fn limit(self, limit: Duration) -> SyncCancel<'a> {
        SyncCancel { limit: Some(limit), ..self }
    }

    /// As the kernel reads it, for a ring.
    fn raw(self, ring: RingId) -> io::Result<SyncCancelReg> {
        let fd = match (self.fd, self.slot) {
            (Some(fd), _) => fd.as_raw_fd(),
            (None, Some(slot)) if slot.ring == ring => slot.index as i32,
            // Another ring's slot: that number is somebody else's file here.
            (None, Some(_)) => return Err(errno(libc::EINVAL)),
            (None, None) => 0,
        };
        let limit = self.limit.map(|limit| limit.min(MAX_WAIT));
        let timeout = limit.map_or(Timespec { sec: -1, nsec: -1 }, |limit| Timespec {
            sec: limit.as_secs() as i64,
            nsec: i64::from(limit.subsec_nanos()),
        });
        Ok(SyncCancelReg {
            addr: self.user_data,
            fd,
            flags: self.flags.bits(),
            timeout,
            opcode: self.opcode.0,
            ..SyncCancelReg::default()
        })
    }
}

impl Ring {
    /// Cancels requests, and waits until those that were running have ended. Returns how many were cancelled
    /// with [`SyncCancel::all`], otherwise 0. Each has its own completion all the same, which is where memory
    /// is given back. `io_uring_register(2)`, Linux 6.0.
    ///
    /// # Errors
    ///
    /// `ENOENT` when none matches (0 with `all` or `any`); `ETIME` when the limit has passed; `EINTR` for a signal;
    /// `EBADF` for a bad descriptor; `EINVAL` for another ring's slot.
    pub fn sync_cancel(&self, which: SyncCancel<'_>) -> io::Result<u32> {
        let (ring, mut register) = (self.registrar()?, which.raw(self.id())?);
        // SAFETY: one `io_uring_sync_cancel_reg`, read during the call only.
        unsafe { ring.register(RegisterOp::REGISTER_SYNC_CANCEL, &raw mut register, 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_centuries_is_cut_to_one_that_can_be_added_to_a_clock() {
        let ring = RingId::next();
        let sent = |which: SyncCancel<'_>| which.raw(ring).expect("no slot").timeout;
        let century = Timespec { sec: 100 * 365 * 24 * 3600, nsec: 0 };
        assert_eq!(sent(SyncCancel::any().limit(Duration::MAX)), century);
        let short = Timespec { sec: 1, nsec: 500_000_000 };
        assert_eq!(sent(SyncCancel::any().limit(Duration::from_millis(1500))), short);
        assert_eq!(sent(SyncCancel::any()), Timespec { sec: -1, nsec: -1 }, "no limit");
    }
}

//! Other sizes for the queues of a living ring.

use std::io;

use super::queues::{Memory, Queues, Sizes};
use super::{PushError, Ring, SetupFlags};
use crate::sys::abi::{self, Params, RegisterOp};
use crate::sys::mapping::Mapping;

use super::kernel::Backend;

impl Ring {
    /// Gives the queues other sizes, both rounded up to powers of two and cut at the largest; `cq_entries`
    /// is twice the submissions if it is none. What is queued and what has completed moves along, what is in
    /// flight takes no notice. `IORING_REGISTER_RESIZE_RINGS`, Linux 6.13.
    ///
    /// # Errors
    ///
    /// `EOVERFLOW`: what is in a queue does not fit its new size. `EBUSY`: a queue of large or mixed entries is
    /// not empty, see below. `EINVAL`: the kernel is older, the ring has no `DEFER_TASKRUN`, or it lies in memory
    /// of the application's own. `EOPNOTSUPP`: the other side is no Linux. The ring is as it was then.
    ///
    /// Kernels do not move large entries safely: some copy only the halves of them, and all of them may put the
    /// second half of one of mixed size behind the wrap of the new queue, where it is a completion that no request
    /// made. So submissions of 128 bytes, or of both sizes, are to be submitted before, and such completions
    /// copied out.
    ///
    /// When the new queues cannot be mapped (`ENOMEM`), it is the kernel alone who has them. The ring then
    /// takes nothing and has no completions, until a call that submits or waits has mapped them; each such
    /// call tries, and fails with the same error if it cannot. Nothing is lost.
    pub fn resize(&mut self, entries: u32, cq_entries: Option<u32>) -> io::Result<()> {
        self.in_reach()?;
        let fd = self.registrar()?;
        if !fd.is_linux() {
            return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
        }
        let own = self.report.flags();
        let has_array = !own.contains(SetupFlags::NO_SQARRAY);
        let lent = own.contains(SetupFlags::NO_MMAP) || fd.fd().is_none();
        let array_head = self.queues.array_head();
        if lent || has_array && array_head.is_none() {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        if self.queues.hold_large() {
            return Err(io::Error::from_raw_os_error(libc::EBUSY));
        }
        let mut flags = SetupFlags::CLAMP;
        flags.set(SetupFlags::CQSIZE, cq_entries.is_some());
        let mut params = Params {
            sq_entries: entries,
            cq_entries: cq_entries.unwrap_or(0),
            flags: flags.bits(),
            ..Params::default()
        };
        // The kernel moves what it can see.
        self.queues.publish();
        // SAFETY: one `io_uring_params`, used during the call only: the new queues are the kernel's memory.
        unsafe { fd.register(RegisterOp::REGISTER_RESIZE_RINGS, &raw mut params, 1)? };
        params.flags = own.bits();
        if let (true, 0, Some(head)) = (has_array, params.sq_off.array, array_head) {
            // Linux 6.18 does not say where the array of the new queues lies.
            params.sq_off.array = Sizes::array_at(&params, head);
        }
        // Nobody writes to the old queues any more, so that nothing there is true. They make room at once.
        self.queues.abandon();
        self.unmapped = Some(Box::new(params));
        self.remap()
    }

    /// Refuses where the queues may not be touched; where they are only not mapped, it maps them.
    pub(super) fn in_reach(&mut self) -> io::Result<()> {
        match self.queues.out_of_reach() {
            None => Ok(()),
            Some(PushError::OtherProcess) => Err(io::Error::from_raw_os_error(libc::EEXIST)),
            Some(_) => self.remap(),
        }
    }

    /// Maps the queues that the kernel has made in a resize.
    fn remap(&mut self) -> io::Result<()> {
        let Some(params) = &self.unmapped else { return Ok(()) };
        let Backend::Linux(linux) = &self.backend else { return Ok(()) };
        self.queues = map(linux.fd().fd(), params)?;
        self.unmapped = None;
        Ok(())
    }
}

/// Maps the queues that `params` describes.
pub(super) fn map(
    ring: Option<std::os::fd::BorrowedFd<'_>>,
    params: &Params,
) -> io::Result<Queues> {
    let ring = ring.ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))?;
    let sizes = Sizes::described(params);
    let rings = Mapping::new(ring, sizes.rings, abi::OFF_SQ_RING)?;
    let entries = Mapping::new(ring, sizes.entries, abi::OFF_SQES)?;
    Queues::new(Memory::Mapped { rings, entries }, params)
}

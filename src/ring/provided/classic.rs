//! Provided buffers that reach the kernel by submissions.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::rc::Rc;

use super::lease::Leases;
use super::ledger::{Consumption, Ledger};
use super::memory::Buffers;
use super::pool::{Pool, Returns};
use crate::ring::{BufGroup, Cqe, Entry, Ring};
use crate::sys::abi::{Opcode, RawSqe};

/// A group of provided buffers that reach the kernel by submissions (`IORING_OP_PROVIDE_BUFFERS`, Linux 5.7).
///
/// For kernels before 5.19: a [`BufRing`](super::BufRing) gives a buffer back by a store, this by a
/// submission of its own. A number is used by one kind of group or the other, never by both.
///
/// It owns the buffers. Drop frees them if the kernel has none, after [`remove`](ClassicBuffers::remove) for
/// example; if it has some, their memory stays, since the kernel would go on choosing them.
///
/// ```no_run
/// use uring::ring::{ClassicBuffers, Cqe, Setup};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut ring = Setup::new(8).build()?;
/// let buffers = ClassicBuffers::new(&ring, 7, 16, 4096)?;
/// let provide = buffers.provide().expect("all are idle");
/// // SAFETY: the buffers live on until the final completion.
/// unsafe { ring.push(provide) }?;
/// ring.submit_and_wait(1, None)?;
/// let mut cqes = [Cqe::default()];
/// ring.copy_cqes(&mut cqes);
/// // SAFETY: the completion of the submission made last, passed once.
/// unsafe { buffers.provided(cqes[0]) }?;
/// # Ok(())
/// # }
/// ```
pub struct ClassicBuffers {
    pool: Rc<Pool>,
    group: BufGroup,
    /// The ids that a submission is providing: the first, and how many.
    pending: Cell<Option<(u16, u16)>>,
    /// Those of the ring that are in use: two with one number would have ids in common.
    groups: Rc<RefCell<BTreeSet<u16>>>,
}

impl ClassicBuffers {
    /// `count` buffers of `each_bytes` bytes for the group of the number `group`. No system call: they are
    /// [provided](ClassicBuffers::provide) by a submission.
    ///
    /// # Errors
    ///
    /// `EINVAL` without buffers or bytes; `ENOMEM`; `EEXIST` if the number is in use by others of this ring, or
    /// was by those that were dropped while the kernel had some.
    pub fn new(ring: &Ring, group: u16, count: u16, each_bytes: u32) -> io::Result<ClassicBuffers> {
        let group = BufGroup::new(ring, group);
        let groups = Rc::clone(&ring.classic_groups);
        // The length of all of them is a signed number for the kernel.
        if u64::from(count) * u64::from(each_bytes) > i32::MAX as u64 {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let buffers = Buffers::new(count, each_bytes)?;
        let ledger = Ledger::new(count, Consumption::Single);
        let pool = Pool::new(ledger, buffers, None, Returns::WhenAsked);
        if !groups.borrow_mut().insert(group.id()) {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        Ok(ClassicBuffers { pool, group, pending: Cell::new(None), groups })
    }

    /// What a submission names the group by.
    pub fn group(&self) -> BufGroup {
        self.group
    }

    /// The size of each buffer, in bytes.
    pub fn buffer_bytes(&self) -> usize {
        self.pool.each_bytes() as usize
    }

    /// How many buffers the kernel has, as far as completions were passed.
    pub fn with_kernel(&self) -> u32 {
        self.pool.books(|ledger| ledger.with_kernel())
    }

    /// The submission that gives the kernel idle buffers: the first ones whose ids follow each other. None
    /// if no buffer is idle, and until the completion of the last one was [passed](ClassicBuffers::provided).
    ///
    /// The buffers count as the kernel's from here on. If this is never pushed, they are out of use.
    pub fn provide(&self) -> Option<Entry> {
        if self.pending.get().is_some() {
            return None;
        }
        let len_bytes = self.pool.each_bytes();
        let (first, count) = self.pool.books(|ledger| {
            let first = ledger.idle_from(0)?;
            let mut count = 0;
            while ledger.provide(first + count, len_bytes).is_some() {
                count += 1;
            }
            Some((first, count))
        })?;
        self.pending.set(Some((first, count)));
        let sqe = RawSqe {
            opcode: Opcode::PROVIDE_BUFFERS.0,
            fd: i32::from(count),
            addr: self.pool.address(first),
            len: len_bytes,
            off: u64::from(first),
            buf: self.group.id(),
            ..RawSqe::default()
        };
        Some(self.entry(sqe))
    }

    /// Says how the submission made last by [`provide`](ClassicBuffers::provide) went; after a failure its
    /// buffers are idle again.
    ///
    /// # Errors
    ///
    /// The completion's own: `EINVAL` if a [`BufRing`](super::BufRing) has the number, `ENOMEM`.
    ///
    /// # Safety
    ///
    /// The completion is that of the submission made last by `provide`, and is passed once.
    pub unsafe fn provided(&self, cqe: Cqe) -> io::Result<()> {
        let pending = self.pending.take();
        let result = cqe.result();
        if let (Err(_), Some((first, count))) = (&result, pending) {
            self.pool.books(|ledger| (first..first + count).for_each(|id| ledger.withdraw(id)));
        }
        result.map(drop)
    }

    /// The submission that has the kernel forget up to `count` buffers (`IORING_OP_REMOVE_BUFFERS`, Linux
    /// 5.7).
    pub fn remove(&self, count: u16) -> Entry {
        let sqe = RawSqe {
            opcode: Opcode::REMOVE_BUFFERS.0,
            fd: i32::from(count),
            buf: self.group.id(),
            ..RawSqe::default()
        };
        self.entry(sqe)
    }

    /// Says how a submission made by [`remove`](ClassicBuffers::remove) went; returns how many buffers the
    /// kernel has forgotten.
    ///
    /// It does not say which. They are idle, so can be provided again, as soon as all others have come back:
    /// at once if none was left.
    ///
    /// # Errors
    ///
    /// The completion's own: `ENOENT` if the kernel has no such group, `EINVAL` if it is a
    /// [`BufRing`](super::BufRing)'s.
    ///
    /// # Safety
    ///
    /// The completion is that of a submission made by `remove`, and is passed once.
    pub unsafe fn removed(&self, cqe: Cqe) -> io::Result<u32> {
        let count = cqe.result()?;
        self.pool.books(|ledger| ledger.remove(count));
        Ok(count)
    }

    /// The bytes that a completion brought; any completion of a request that selected from this group can
    /// be passed. One lease at most: bundles need a [`BufRing`](super::BufRing).
    ///
    /// # Errors
    ///
    /// The completion's own error, after the buffer that it may name has become idle. `InvalidData` if the
    /// completion names a buffer or a length that cannot be; nothing has changed then.
    ///
    /// # Safety
    ///
    /// The [take contract](super#the-take-contract).
    pub unsafe fn take(&self, cqe: Cqe) -> io::Result<Leases> {
        self.pool.take(cqe, |_, _| false)
    }

    fn entry(&self, sqe: RawSqe) -> Entry {
        Entry { sqe, ring: Some(self.group.ring()) }
    }
}

impl Drop for ClassicBuffers {
    fn drop(&mut self) {
        if self.with_kernel() > 0 {
            // The kernel would go on choosing these buffers, so they are never freed.
            std::mem::forget(Rc::clone(&self.pool));
        } else {
            self.groups.borrow_mut().remove(&self.group.id());
        }
    }
}

impl fmt::Debug for ClassicBuffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClassicBuffers")
            .field("group", &self.group.id())
            .field("buffer_bytes", &self.buffer_bytes())
            .field("with_kernel", &self.with_kernel())
            .finish_non_exhaustive()
    }
}

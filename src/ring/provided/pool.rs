//! The books and the memory of a group together: what leases point to.

use std::cell::{Cell, RefCell};
use std::io;
use std::ptr::NonNull;
use std::rc::Rc;

use super::lease::Leases;
use super::ledger::{Consumption, Ledger, Piece, Refused, Span};
use super::memory::{Buffers, Entries};
use crate::ring::Cqe;
use crate::sys::abi::CqeFlags;

/// What becomes of a buffer whose last lease is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returns {
    /// It goes back to the kernel at once.
    AtOnce,
    /// It stays idle until it is provided again.
    WhenAsked,
}

/// The memory of a group and who owns which part of it. Lives until the group and all leases are gone.
#[derive(Debug)]
pub(super) struct Pool {
    ledger: RefCell<Ledger>,
    buffers: Buffers,
    /// None for classic buffers, which reach the kernel by submissions.
    entries: Option<Entries>,
    returns: Cell<Returns>,
}

impl Pool {
    pub(super) fn new(
        ledger: Ledger,
        buffers: Buffers,
        entries: Option<Entries>,
        returns: Returns,
    ) -> Rc<Pool> {
        let (ledger, returns) = (RefCell::new(ledger), Cell::new(returns));
        Rc::new(Pool { ledger, buffers, entries, returns })
    }

    pub(super) fn each_bytes(&self) -> u32 {
        self.buffers.each_bytes()
    }

    pub(super) fn address(&self, id: u16) -> u64 {
        self.buffers.address(id)
    }

    pub(super) fn part(&self, piece: Piece) -> NonNull<[u8]> {
        self.buffers.part(piece.id, piece.start_bytes, piece.len_bytes)
    }

    /// The ring, as the tests' kernel sees it.
    #[cfg(test)]
    pub(super) fn entries(&self) -> &Entries {
        self.entries.as_ref().expect("a ring")
    }

    /// Looks into the books. No lease may be dropped meanwhile.
    pub(super) fn books<T>(&self, look: impl FnOnce(&mut Ledger) -> T) -> T {
        look(&mut self.ledger.borrow_mut())
    }

    /// Has idle buffers stay idle from now on: the kernel does not look any more.
    pub(super) fn close(&self) {
        self.returns.set(Returns::WhenAsked);
    }

    /// Hands up to `count` idle buffers to the kernel, with one store for all. Returns how many.
    pub(super) fn provide_idle(&self, count: u32) -> u32 {
        let mut ledger = self.ledger.borrow_mut();
        let (mut from, mut provided) = (0, 0);
        while provided < count {
            let Some(id) = ledger.idle_from(from) else { break };
            self.write(&mut ledger, id, self.each_bytes());
            (from, provided) = (id + 1, provided + 1);
        }
        self.publish(&ledger);
        provided
    }

    /// Hands one idle buffer to the kernel, of which the first `len_bytes` count.
    pub(super) fn provide(&self, id: u16, len_bytes: u32) {
        let mut ledger = self.ledger.borrow_mut();
        self.write(&mut ledger, id, len_bytes);
        self.publish(&ledger);
    }

    /// Copies `bytes`, which fit a buffer, to an idle one and hands it to the kernel. None if none is idle.
    pub(super) fn fill(&self, bytes: &[u8]) -> Option<()> {
        let id = self.books(|ledger| ledger.idle_from(0))?;
        let len_bytes = bytes.len() as u32;
        let mut part = self.part(Piece { id, start_bytes: 0, len_bytes });
        // SAFETY: an idle buffer is ours, and no lease of it is left.
        unsafe { part.as_mut() }.copy_from_slice(bytes);
        self.provide(id, len_bytes);
        Some(())
    }

    fn write(&self, ledger: &mut Ledger, id: u16, len_bytes: u32) {
        let Some(entries) = &self.entries else { return };
        if let Some(position) = ledger.provide(id, len_bytes) {
            entries.write(position, self.buffers.address(id), len_bytes, id);
        }
    }

    fn publish(&self, ledger: &Ledger) {
        if let Some(entries) = &self.entries {
            entries.publish(ledger.tail());
        }
    }

    /// Turns a completion into leases; see the [take contract](super#the-take-contract). `unread` says
    /// whether the kernel has yet to come to the buffer at a position, given the position behind the last
    /// one provided; it is asked about failures alone.
    pub(super) fn take(
        self: &Rc<Self>,
        cqe: Cqe,
        unread: impl FnOnce(u64, u64) -> bool,
    ) -> io::Result<Leases> {
        let Some(id) = cqe.buffer_id() else {
            if cqe.raw_result() == -libc::ENOBUFS {
                if let Some(id) = self.books(|ledger| ledger.settle(None)) {
                    self.recycle(id);
                }
            }
            return match cqe.result()? {
                0 => Ok(Leases::new(self, Span::default())),
                _ => Err(Refused::NoBuffer.into()),
            };
        };
        let result = cqe.result();
        let len_bytes = *result.as_ref().unwrap_or(&0);
        let more = cqe.flags().contains(CqeFlags::BUF_MORE);
        let (span, settled) = self.books(|ledger| {
            let (position, tail) = (ledger.position(id), ledger.tail());
            let incremental = ledger.consumption() == Consumption::Incremental;
            let mut doubtful = false;
            let kept = |position| match &self.entries {
                Some(entries) if incremental => {
                    // The flag alone will not do: kernels before 7.0 leave it out at the end of a stream and
                    // on regular files. What is left of the buffer tells; it is 0 once the kernel is done.
                    let left = more || entries.left_bytes(position, tail) > 0;
                    doubtful = !left && len_bytes == 0;
                    left || doubtful
                }
                _ => result.is_err() && unread(position, tail),
            };
            let span = ledger.take(id, len_bytes, kept)?;
            let settled = ledger.settle(position);
            if doubtful {
                ledger.doubt(id);
            }
            Ok::<_, Refused>((span, settled))
        })?;
        if let Some(id) = settled {
            self.recycle(id);
        }
        // After a failure the lease, which has no bytes, gives the buffer back here.
        let leases = Leases::new(self, span);
        result.map(|_| leases)
    }

    /// Books the end of a lease.
    pub(super) fn release(&self, id: u16) {
        if self.books(|ledger| ledger.release(id)) {
            self.recycle(id);
        }
    }

    fn recycle(&self, id: u16) {
        if self.returns.get() == Returns::AtOnce {
            self.provide(id, self.each_bytes());
        }
    }
}

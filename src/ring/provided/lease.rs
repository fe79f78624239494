//! Bytes that the kernel put into provided buffers, and the duty to give the buffers back.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use super::ledger::{Piece, Span};
use super::pool::Pool;

/// A part of a provided buffer, ours alone until it is dropped.
///
/// The buffer goes back when the last of its leases is gone and the kernel is done with it: at once to the
/// kernel from a [`BufRing`](super::BufRing), at the next
/// [`provide`](super::ClassicBuffers::provide) from [`ClassicBuffers`](super::ClassicBuffers).
///
/// It may outlive the group, whose memory is freed with the last lease.
pub struct Lease {
    pool: Rc<Pool>,
    piece: Piece,
}

impl Lease {
    /// The id of the buffer that this is a part of.
    pub fn buffer_id(&self) -> u16 {
        self.piece.id
    }

    /// Gives up the first `len_bytes` bytes, all of them if there are fewer: what was parsed or sent.
    pub fn advance(&mut self, len_bytes: usize) {
        let len_bytes = len_bytes.min(self.piece.len_bytes as usize) as u32;
        self.piece.start_bytes += len_bytes;
        self.piece.len_bytes -= len_bytes;
    }

    /// Keeps the first `len_bytes` bytes only, all of them if there are fewer.
    pub fn truncate(&mut self, len_bytes: usize) {
        self.piece.len_bytes = len_bytes.min(self.piece.len_bytes as usize) as u32;
    }
}

impl Deref for Lease {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the part lies within the group's memory, which `pool` keeps, is initialized (zeroed when
        // allocated), and is this lease's alone: the ledger gives out each byte once, and gives a buffer to
        // the kernel only when no lease is left. That its books are true is the take contract.
        unsafe { self.pool.part(self.piece).as_ref() }
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; borrowed mutably, so by nobody else.
        unsafe { self.pool.part(self.piece).as_mut() }
    }
}

impl AsRef<[u8]> for Lease {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.release(self.piece.id);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("buffer_id", &self.piece.id)
            .field("len_bytes", &self.piece.len_bytes)
            .finish()
    }
}

/// The leases that one completion brought, in the order of their bytes.
///
/// One for each buffer that the kernel used: a bundle (`IORING_RECVSEND_BUNDLE`, Linux 6.10) uses several,
/// every other request one. A completion that used a buffer and put nothing into it brings one lease of no
/// bytes; one that used no buffer, such as the end of a stream, brings none.
///
/// Leases that are not iterated give their buffers back when this is dropped.
#[must_use = "dropping leases drops the bytes that the kernel put there"]
pub struct Leases {
    pool: Rc<Pool>,
    span: Span,
}

impl Leases {
    pub(super) fn new(pool: &Rc<Pool>, span: Span) -> Leases {
        Leases { pool: Rc::clone(pool), span }
    }

    /// How many bytes the leases that are left have in all.
    pub fn len_bytes(&self) -> usize {
        self.span.len_bytes as usize
    }
}

impl Iterator for Leases {
    type Item = Lease;

    fn next(&mut self) -> Option<Lease> {
        let piece = self.pool.books(|ledger| ledger.split(&mut self.span))?;
        Some(Lease { pool: Rc::clone(&self.pool), piece })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.span.count as usize, Some(self.span.count as usize))
    }
}

impl ExactSizeIterator for Leases {}

impl Drop for Leases {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases")
            .field("count", &self.span.count)
            .field("len_bytes", &self.span.len_bytes)
            .finish()
    }
}

//! Bytes in a buffer that is on loan.

use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use super::shortage::Shortage;
use crate::ring::Lease;

/// Bytes that were received: in a buffer of a [`BufPool`](super::BufPool), which goes back to the pool when
/// this is dropped, or in memory of their own.
///
/// They have memory of their own where the pool has its buffers from the heap, and where they came too late
/// for a receive that was dropped, since what waits for a later one keeps no buffer of the pool.
///
/// It is a buffer for every operation that reads from one: an echo sends what it has received without a copy.
/// It may outlive the stream, the pool and the runtime.
///
/// ```
/// use uring::pool::Leased;
///
/// let mut bytes = Leased::from(b"GET /".to_vec());
/// bytes.advance(4);
/// assert_eq!(&bytes[..], b"/");
/// ```
pub struct Leased {
    place: Place,
}

enum Place {
    /// Dropped in this order: the buffer goes back, then somebody hears of it.
    Loan { lease: Lease, _returned: Returned },
    /// Without spare capacity, as that would take the place of a word.
    Own { bytes: Box<[u8]>, start: usize },
}

const _: () = assert!(size_of::<Leased>() <= 32, "a connection that sends one is small");

/// Tells a pool that a buffer is back.
struct Returned(Rc<Shortage>);

impl Drop for Returned {
    fn drop(&mut self) {
        self.0.returned();
    }
}

impl Leased {
    pub(super) fn on_loan(lease: Lease, shortage: Rc<Shortage>) -> Leased {
        Leased { place: Place::Loan { lease, _returned: Returned(shortage) } }
    }

    /// Whether a buffer of a pool goes back when this is dropped.
    pub fn is_on_loan(&self) -> bool {
        matches!(self.place, Place::Loan { .. })
    }

    /// Gives up the first `len_bytes` bytes, all of them if there are fewer: what was parsed or sent.
    pub fn advance(&mut self, len_bytes: usize) {
        match &mut self.place {
            Place::Loan { lease, .. } => lease.advance(len_bytes),
            Place::Own { bytes, start } => *start += len_bytes.min(bytes.len() - *start),
        }
    }

    /// Keeps the first `len_bytes` bytes only, all of them if there are fewer. Memory of their own shrinks.
    pub fn truncate(&mut self, len_bytes: usize) {
        match &mut self.place {
            Place::Loan { lease, .. } => lease.truncate(len_bytes),
            Place::Own { bytes, start } if len_bytes >= bytes.len() - *start => {}
            Place::Own { bytes, start } => {
                let mut vec = mem::take(bytes).into_vec();
                vec.truncate(*start + len_bytes);
                *bytes = vec.into_boxed_slice();
            }
        }
    }

    /// The bytes in memory of their own. Copies those on loan, and gives their buffer back.
    pub fn into_vec(self) -> Vec<u8> {
        match self.place {
            Place::Own { bytes, start: 0 } => bytes.into_vec(),
            _ => self.to_vec(),
        }
    }
}

/// No bytes, and no buffer.
impl Default for Leased {
    fn default() -> Leased {
        Leased::from(Vec::new())
    }
}

/// Bytes in memory of their own, without the spare capacity.
impl From<Vec<u8>> for Leased {
    fn from(bytes: Vec<u8>) -> Leased {
        Leased { place: Place::Own { bytes: bytes.into_boxed_slice(), start: 0 } }
    }
}

impl Deref for Leased {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.place {
            Place::Loan { lease, .. } => lease,
            Place::Own { bytes, start } => &bytes[*start..],
        }
    }
}

impl DerefMut for Leased {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.place {
            Place::Loan { lease, .. } => lease,
            Place::Own { bytes, start } => &mut bytes[*start..],
        }
    }
}

impl AsRef<[u8]> for Leased {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Leased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leased")
            .field("len_bytes", &self.len())
            .field("is_on_loan", &self.is_on_loan())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_their_own_are_cut_at_both_ends() {
        let mut bytes = Leased::from(b"abcdef".to_vec());
        bytes.advance(2);
        bytes.truncate(3);
        assert_eq!(&bytes[..], b"cde");
        bytes.truncate(usize::MAX);
        bytes.advance(100);
        assert!(bytes.is_empty() && !bytes.is_on_loan());
        assert_eq!(bytes.into_vec(), b"");
    }

    #[test]
    fn bytes_of_their_own_become_a_vector_of_what_is_left() {
        let mut bytes = Leased::from(b"abcdef".to_vec());
        bytes.advance(4);
        assert_eq!(bytes.into_vec(), b"ef");
        let mut none = Leased::from(b"abcdef".to_vec());
        none.truncate(0);
        none.advance(1);
        assert_eq!(none.into_vec(), b"");
    }
}

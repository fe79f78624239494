//! Parts of registered buffers, as submissions borrow them.

use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};

use crate::ring::RingId;

/// A part of a registered buffer that the kernel may read, for `WRITE_FIXED` and zero-copy sends.
///
/// Borrowed from [`Buffers`](super::Buffers) by [`part`](super::Buffers::part). It carries its ring: a
/// submission with it is refused by the others.
#[derive(Clone, Copy, Debug)]
pub struct FixedBuf<'a> {
    place: Place,
    _lent: PhantomData<&'a [u8]>,
}

/// A part of a registered buffer that the kernel may write to, for `READ_FIXED`.
///
/// Borrowed from [`Buffers`](super::Buffers) by [`part_mut`](super::Buffers::part_mut). It carries its ring: a
/// submission with it is refused by the others.
#[derive(Debug)]
pub struct FixedBufMut<'a> {
    place: Place,
    _lent: PhantomData<&'a mut [u8]>,
}

/// Where a part lies, and under which number its buffer is registered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The address, with its provenance exposed: the kernel uses it.
    pub(crate) addr: u64,
    pub(crate) len_bytes: usize,
    /// The slot of the buffer in its ring's table.
    pub(crate) index: u16,
    pub(crate) ring: RingId,
}

impl Place {
    fn slice(self, range: impl RangeBounds<usize>) -> Option<Place> {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&start) => start.checked_add(1)?,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&end) => end.checked_add(1)?,
            Bound::Excluded(&end) => end,
            Bound::Unbounded => self.len_bytes,
        };
        let fits = start <= end && end <= self.len_bytes;
        fits.then(|| Place { addr: self.addr + start as u64, len_bytes: end - start, ..self })
    }
}

macro_rules! part {
    ($name:ident) => {
        impl<'a> $name<'a> {
            /// The memory at `place` is borrowed for `'a` as this type says.
            pub(in crate::ring) fn new(place: Place) -> $name<'a> {
                $name { place, _lent: PhantomData }
            }

            /// A part of this part; none where the range lies outside of it.
            pub fn slice(self, range: impl RangeBounds<usize>) -> Option<$name<'a>> {
                self.place.slice(range).map($name::new)
            }

            /// Its length, in bytes.
            pub fn len(&self) -> usize {
                self.place.len_bytes
            }

            /// Whether it has no bytes at all.
            pub fn is_empty(&self) -> bool {
                self.place.len_bytes == 0
            }

            /// The slot of its buffer in the ring's table.
            pub fn index(&self) -> u16 {
                self.place.index
            }

            /// The ring that the buffer is registered with.
            pub fn ring(&self) -> RingId {
                self.place.ring
            }

            /// What a submission says of it.
            #[allow(dead_code, reason = "the constructors of submissions use it")]
            pub(crate) fn place(&self) -> Place {
                self.place
            }
        }
    };
}

part!(FixedBuf);
part!(FixedBufMut);

impl<'a> FixedBufMut<'a> {
    /// The same part for reading alone.
    pub fn shared(self) -> FixedBuf<'a> {
        FixedBuf::new(self.place)
    }
}

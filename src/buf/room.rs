//! Memory that may be written to, whether it is initialized or not.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Memory that an operation may write to: `&'a mut [u8]` or `&'a mut [MaybeUninit<u8>]`, without saying
/// which.
///
/// Not a plain `&mut [MaybeUninit<u8>]`, because that lets safe code *uninitialize* bytes which the buffer
/// behind it promises to be initialized. A room can be written to and nothing else.
///
/// ```
/// let mut bytes = [0; 4];
/// let mut room = uring::buf::Room::from(&mut bytes[..]);
/// assert_eq!((room.len(), room.write(b"ab")), (4, 2));
/// assert_eq!(&bytes, b"ab\0\0");
/// ```
#[derive(Debug)]
pub struct Room<'a> {
    start: *mut u8,
    len_bytes: usize,
    _lent: PhantomData<&'a mut [MaybeUninit<u8>]>,
}

impl<'a> Room<'a> {
    /// The whole capacity of a vector, be it in use or not.
    pub fn of_vec(vec: &'a mut Vec<u8>) -> Room<'a> {
        Room { start: vec.as_mut_ptr(), len_bytes: vec.capacity(), _lent: PhantomData }
    }

    /// How many bytes may be written.
    pub fn len(&self) -> usize {
        self.len_bytes
    }

    /// Whether nothing may be written.
    pub fn is_empty(&self) -> bool {
        self.len_bytes == 0
    }

    /// A part of it; what the range has too much is left out.
    pub fn part(self, range: Range<usize>) -> Room<'a> {
        let end = range.end.min(self.len_bytes);
        let start = range.start.min(end);
        Room { start: self.start.wrapping_add(start), len_bytes: end - start, _lent: PhantomData }
    }

    /// Copies to the front; returns how many bytes fitted.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.len_bytes);
        // SAFETY: `self` borrows `len_bytes` writable bytes exclusively, so `bytes` cannot overlap them, and
        // initialized bytes may be written to either kind of memory.
        unsafe { self.start.copy_from_nonoverlapping(bytes.as_ptr(), count) };
        count
    }

    /// The address that goes into a submission.
    pub(crate) fn expose(&mut self) -> u64 {
        self.start.expose_provenance() as u64
    }
}

impl<'a> From<&'a mut [u8]> for Room<'a> {
    fn from(bytes: &'a mut [u8]) -> Room<'a> {
        Room { start: bytes.as_mut_ptr(), len_bytes: bytes.len(), _lent: PhantomData }
    }
}

impl<'a> From<&'a mut [MaybeUninit<u8>]> for Room<'a> {
    fn from(memory: &'a mut [MaybeUninit<u8>]) -> Room<'a> {
        Room { start: memory.as_mut_ptr().cast(), len_bytes: memory.len(), _lent: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_of_a_vector_is_its_whole_capacity_and_leaves_its_bytes_alone() {
        let mut vec = Vec::with_capacity(8);
        vec.extend_from_slice(b"abc");
        assert_eq!(Room::of_vec(&mut vec).len(), 8);
        assert_eq!(vec, b"abc");
    }

    #[test]
    fn a_part_of_a_room_writes_only_there() {
        let mut bytes = *b"......";
        let mut part = Room::from(&mut bytes[..]).part(2..4);
        assert_eq!(part.write(b"abcdef"), 2);
        assert!(Room::from(&mut bytes[..]).part(7..9).is_empty());
        assert_eq!(&bytes, b"..ab..");
    }
}

//! A part of a buffer.

use std::ops::{Bound, RangeBounds};

use super::{IoBuf, IoBufMut, Room};

/// A part of a buffer, made by [`IoBuf::slice`].
///
/// A read into a part leaves the bytes outside it as they were; a vector grows to hold what was read.
#[derive(Clone, Debug)]
pub struct Slice<B> {
    buf: B,
    start: usize,
    end: Option<usize>,
}

impl<B: IoBuf> Slice<B> {
    pub(super) fn new(buf: B, range: impl RangeBounds<usize>) -> Slice<B> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => Some(last.saturating_add(1)),
            Bound::Excluded(end) => Some(*end),
            Bound::Unbounded => None,
        };
        let held = buf.bytes().len();
        assert!(start <= held, "a slice must start within the {held} bytes that the buffer holds");
        assert!(end.is_none_or(|end| start <= end), "a slice must not end before it starts");
        Slice { buf, start, end }
    }

    /// The whole buffer.
    pub fn into_buf(self) -> B {
        self.buf
    }

    /// The whole buffer, borrowed.
    pub fn buf(&self) -> &B {
        &self.buf
    }

    /// Where the part begins in the whole buffer.
    pub fn start(&self) -> usize {
        self.start
    }
}

impl<B: IoBuf> AsRef<[u8]> for Slice<B> {
    fn as_ref(&self) -> &[u8] {
        let bytes = self.buf.bytes();
        let end = self.end.unwrap_or(bytes.len()).min(bytes.len());
        &bytes[self.start.min(end)..end]
    }
}

impl<B: IoBufMut> IoBufMut for Slice<B> {
    fn room(&mut self) -> Room<'_> {
        let range = self.start..self.end.unwrap_or(usize::MAX);
        self.buf.room().part(range)
    }

    unsafe fn set_filled(&mut self, n: usize) {
        // SAFETY: the room was the buffer's from `start` on, so the caller's contract is the buffer's.
        unsafe { self.buf.set_filled_part(self.start, n) }
    }

    unsafe fn set_filled_part(&mut self, start: usize, n: usize) {
        // SAFETY: as in `set_filled`.
        unsafe { self.buf.set_filled_part(self.start + start, n) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(slice: &mut Slice<Vec<u8>>, bytes: &[u8]) {
        assert_eq!(slice.room().write(bytes), bytes.len());
        // SAFETY: so many bytes of the room were just written.
        unsafe { slice.set_filled(bytes.len()) }
    }

    #[test]
    fn a_read_into_a_part_keeps_the_bytes_before_it_and_grows_a_vector() {
        let mut buf = Vec::with_capacity(8);
        buf.extend_from_slice(b"ab");
        let mut slice = buf.slice(2..6);
        assert_eq!(slice.room().len(), 4);
        fill(&mut slice, b"cd");
        assert_eq!(slice.into_buf(), b"abcd");
    }

    #[test]
    fn a_read_into_a_part_keeps_the_bytes_behind_it() {
        let mut slice = b"abcdef".to_vec().slice(1..3);
        fill(&mut slice, b"XY");
        assert_eq!(slice.into_buf(), b"aXYdef");
    }

    #[test]
    fn a_part_of_a_part_counts_from_the_part() {
        let part = b"0123456789".slice(2..).slice(3..=4);
        assert_eq!(part.bytes(), b"56");
    }

    /// Shows more bytes than its vector holds.
    struct Liar(Vec<u8>);

    impl AsRef<[u8]> for Liar {
        fn as_ref(&self) -> &[u8] {
            &[0; 100]
        }
    }

    impl IoBufMut for Liar {
        fn room(&mut self) -> Room<'_> {
            self.0.room()
        }

        unsafe fn set_filled(&mut self, n: usize) {
            // SAFETY: the contract of this very function.
            unsafe { self.0.set_filled(n) }
        }

        unsafe fn set_filled_part(&mut self, start: usize, n: usize) {
            // SAFETY: the contract of this very function.
            unsafe { self.0.set_filled_part(start, n) }
        }
    }

    #[test]
    #[should_panic(expected = "filled beyond the vector's end")]
    fn a_buffer_that_lies_about_its_bytes_cannot_uncover_uninitialized_ones() {
        Liar(Vec::with_capacity(100)).slice(50..).overwrite(b"x");
    }

    #[test]
    fn what_was_filled_of_a_buffer_that_lies_about_its_bytes_is_all_it_holds() {
        let mut slice = Liar(Vec::with_capacity(100)).slice(0..);
        slice.overwrite(b"x");
        assert_eq!(slice.into_buf().0, b"x");
    }

    #[test]
    #[should_panic(expected = "must start within the 3 bytes")]
    fn a_part_that_starts_behind_the_bytes_is_refused() {
        let _ = b"abc".slice(4..);
    }
}

//! Buffers: what may be lent to an operation, and what comes back with its result.
//!
//! A buffer is *moved* into an operation and handed back with the result, on failure inside [`BufError`], so
//! it is never lost. Both traits are safe to implement: nothing here asks a buffer to stay put when it is
//! moved, since the driver does not move it while the kernel has it.

use std::error::Error;
use std::fmt;
use std::io;
use std::ops::RangeBounds;

mod room;
mod slice;

pub use room::Room;
pub use slice::Slice;

/// A buffer that an operation may read from: anything that is `AsRef<[u8]>` and owns its bytes or borrows
/// them for `'static`. `Vec<u8>`, `String`, `&'static str`, `Box<[u8]>`, `Arc<[u8]>`, `[u8; N]`, …
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no buffer that can be lent to the kernel",
    label = "neither owns its bytes nor borrows them for `'static`",
    note = "a buffer is moved into an operation and comes back with its result: pass a `Vec<u8>`, `String`, \
            `Box<[u8]>`, `Arc<[u8]>` or `&'static [u8]`"
)]
pub trait IoBuf: 'static {
    /// The bytes.
    fn bytes(&self) -> &[u8];

    /// A part of this buffer: operations read from, or write into, that part alone.
    ///
    /// The range counts from the front of the buffer. Its end may lie beyond the bytes that are there, up to
    /// the capacity of a vector, for reading into; whatever the buffer lacks of it is left out.
    ///
    /// ```
    /// use uring::buf::IoBuf;
    ///
    /// let part = b"hello world".slice(6..);
    /// assert_eq!(part.bytes(), b"world");
    /// assert_eq!(part.into_buf(), b"hello world");
    /// ```
    ///
    /// # Panics
    ///
    /// When the range starts behind its end or behind the bytes that the buffer holds.
    fn slice(self, range: impl RangeBounds<usize>) -> Slice<Self>
    where
        Self: Sized,
    {
        Slice::new(self, range)
    }
}

impl<T: AsRef<[u8]> + 'static> IoBuf for T {
    fn bytes(&self) -> &[u8] {
        self.as_ref()
    }
}

/// A buffer that an operation may fill.
///
/// Reads start at the front and overwrite: after one of `n` bytes a `Vec` has `len() == n` and keeps its
/// capacity; fixed-size buffers hold the result in their first `n` bytes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no buffer that the kernel can fill",
    label = "does not own bytes that can be written",
    note = "a buffer is moved into an operation and comes back with its result: \
            `let (n, buf) = file.read_at(buf, 0).await?` with a `Vec<u8>`, `Box<[u8]>` or `[u8; N]`"
)]
pub trait IoBufMut: IoBuf {
    /// Where a read may write: for a vector, its whole capacity. Leaves the bytes that are there alone.
    fn room(&mut self) -> Room<'_>;

    /// Tells the buffer that the front of its room was filled.
    ///
    /// # Safety
    ///
    /// The first `n` bytes of the memory that [`room`](IoBufMut::room) returned last are initialized.
    unsafe fn set_filled(&mut self, n: usize);

    /// Tells the buffer that a part of its room was filled, for a read into a [`Slice`]; the bytes that it
    /// held outside that part stay. A buffer that knows how many of its bytes are initialized grows by it.
    ///
    /// By default nothing is to be done, since buffers of fixed size are initialized throughout.
    ///
    /// # Panics
    ///
    /// By default when the part does not lie within [`bytes`](IoBuf::bytes): such a buffer needs a definition
    /// of its own.
    ///
    /// # Safety
    ///
    /// The `n` bytes behind the first `start` of the memory that [`room`](IoBufMut::room) returned last are
    /// initialized.
    unsafe fn set_filled_part(&mut self, start: usize, n: usize) {
        assert!(start + n <= self.bytes().len(), "a part was filled beyond the buffer's end");
    }

    /// Does in safe code what a read of `bytes` does: copies them to the front of the room and says that it
    /// was filled. Returns how many fitted. Overwriting with nothing empties a vector.
    ///
    /// ```
    /// use uring::buf::IoBufMut;
    ///
    /// let mut buf = Vec::with_capacity(2);
    /// let copied = buf.overwrite(b"abc");
    /// assert_eq!(&buf[..copied], &b"abc"[..copied]);
    /// ```
    fn overwrite(&mut self, bytes: &[u8]) -> usize {
        let n = self.room().write(bytes);
        // SAFETY: so many bytes were just written to the front of the room that was returned last.
        unsafe { self.set_filled(n) };
        n
    }
}

impl IoBufMut for Vec<u8> {
    fn room(&mut self) -> Room<'_> {
        Room::of_vec(self)
    }

    unsafe fn set_filled(&mut self, n: usize) {
        assert!(n <= self.capacity(), "filled beyond the vector's capacity");
        // SAFETY: the first `n` bytes of the capacity are initialized, by the contract of `set_filled`.
        unsafe { self.set_len(n) }
    }

    unsafe fn set_filled_part(&mut self, start: usize, n: usize) {
        // What lies before the part is initialized because the vector says so, not the caller.
        assert!(
            start <= self.len() && n <= self.capacity() - start,
            "filled beyond the vector's end"
        );
        let len = self.len().max(start + n);
        // SAFETY: the vector's first `len()` bytes are initialized, at least `start` of them, and the `n`
        // behind `start` are by the contract.
        unsafe { self.set_len(len) }
    }
}

impl IoBufMut for Box<[u8]> {
    fn room(&mut self) -> Room<'_> {
        Room::from(&mut self[..])
    }

    unsafe fn set_filled(&mut self, n: usize) {
        assert!(n <= self.len(), "filled beyond the buffer's end");
    }
}

impl<const N: usize> IoBufMut for [u8; N] {
    fn room(&mut self) -> Room<'_> {
        Room::from(&mut self[..])
    }

    unsafe fn set_filled(&mut self, n: usize) {
        assert!(n <= N, "filled beyond the buffer's end");
    }
}

/// A result that comes with its buffer, or an error that holds it.
///
/// `?` turns the error into an [`io::Error`] where the buffer is of no further use.
pub type BufResult<T, B> = Result<(T, B), BufError<B>>;

/// A failed operation: the error and the buffer that was lent to it.
pub struct BufError<B> {
    error: io::Error,
    buf: B,
}

impl<B> BufError<B> {
    /// An error with the buffer that goes back with it.
    pub fn new(error: io::Error, buf: B) -> BufError<B> {
        BufError { error, buf }
    }

    /// What went wrong.
    pub fn error(&self) -> &io::Error {
        &self.error
    }

    /// The errno.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.error.raw_os_error()
    }

    /// The buffer.
    pub fn into_buf(self) -> B {
        self.buf
    }

    /// Both.
    pub fn into_parts(self) -> (io::Error, B) {
        (self.error, self.buf)
    }

    /// The same error with another buffer made from this one.
    pub fn map_buf<C>(self, change: impl FnOnce(B) -> C) -> BufError<C> {
        BufError { error: self.error, buf: change(self.buf) }
    }
}

impl<B> fmt::Debug for BufError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<B> fmt::Display for BufError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<B> Error for BufError<B> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

impl<B> From<BufError<B>> for io::Error {
    fn from(error: BufError<B>) -> io::Error {
        error.error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_overwrites_a_vector_from_the_front_and_keeps_its_capacity() {
        let mut buf = Vec::with_capacity(16);
        buf.extend_from_slice(b"older bytes");
        assert_eq!(buf.room().len(), 16);
        assert_eq!(buf.overwrite(b"new"), 3);
        assert_eq!((buf.bytes(), buf.capacity()), (&b"new"[..], 16));
    }

    #[test]
    fn a_fixed_buffer_keeps_its_length() {
        let mut buf = *b"....";
        assert_eq!(buf.overwrite(b"ab"), 2);
        assert_eq!(&buf, b"ab..");
    }

    #[test]
    fn a_failed_operation_gives_the_buffer_back_and_keeps_its_errno() {
        let error = io::Error::from_raw_os_error(libc::EIO);
        let failed = BufError::new(error, vec![1, 2]);
        assert_eq!(failed.raw_os_error(), Some(libc::EIO));
        assert_eq!(failed.into_buf(), [1, 2]);
    }
}

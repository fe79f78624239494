//! Reading into buffers that are lent by value.

use std::io;

use crate::buf::{BufError, BufResult, IoBuf, IoBufMut, Slice};

/// How much a full vector is asked to grow by, at least; it doubles when that is more. Below this, the calls
/// would cost more than what they carry.
const MIN_GROWTH_BYTES: usize = 32 << 10;

/// How much is read aside to find out whether a full vector holds everything already.
const PROBE_BYTES: usize = 32;

/// A source of bytes, such as a file or a connection.
// The lint asks for futures that can be bounded by `Send`. None here is: they belong to one thread's ring.
#[allow(async_fn_in_trait)]
pub trait Read {
    /// Reads once, into the front of `buf`; returns how many bytes came. None is the end, if the buffer had
    /// room.
    ///
    /// # Errors
    ///
    /// Whatever the source says. The buffer comes back inside the error.
    async fn read<B: IoBufMut>(&mut self, buf: B) -> BufResult<usize, B>;

    /// Reads until the room of `buf` is full: for a vector, its capacity; for a part made by
    /// [`slice`](IoBuf::slice), that part.
    ///
    /// Dropping its future drops the buffer with what was read so far.
    ///
    /// # Errors
    ///
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) when the source ends before, or what
    /// [`read`](Read::read) fails with. The buffer comes back with what was read until then: that is all
    /// that a vector then holds.
    async fn read_exact<B: IoBufMut>(&mut self, mut buf: B) -> BufResult<(), B> {
        let want = buf.room().len();
        // Empties a vector, so that its length tells how far this came.
        buf.overwrite(&[]);
        let mut filled = 0;
        while filled < want {
            match self.read(buf.slice(filled..want)).await {
                Ok((0, part)) => return Err(BufError::new(ended_early(), part.into_buf())),
                Ok((n, part)) => {
                    filled += n;
                    buf = part.into_buf();
                }
                Err(failed) => buf = retry_interrupted(failed.map_buf(Slice::into_buf))?,
            }
        }
        Ok(((), buf))
    }

    /// Reads until the end and appends it all to `buf`; returns how many bytes came.
    ///
    /// The vector grows as needed. One with the capacity for everything does not grow.
    ///
    /// Dropping its future drops the buffer with what was read so far.
    ///
    /// # Errors
    ///
    /// What [`read`](Read::read) fails with, and [`OutOfMemory`](io::ErrorKind::OutOfMemory). The buffer
    /// comes back with what was read until then.
    async fn read_to_end(&mut self, mut buf: Vec<u8>) -> BufResult<usize, Vec<u8>> {
        let (before, first_capacity) = (buf.len(), buf.capacity());
        loop {
            let read;
            let held = buf.len();
            if held < buf.capacity() {
                (read, buf) = read_behind(self, buf).await?;
            } else if held == first_capacity && held > 0 {
                // Whoever made this vector may have known how much comes. Growing it only to find the end
                // would copy everything.
                (read, buf) = probe(self, buf).await?;
            } else {
                buf = grown(buf)?;
                continue;
            }
            if read == 0 {
                return Ok((buf.len() - before, buf));
            }
        }
    }
}

impl<R: Read + ?Sized> Read for &mut R {
    async fn read<B: IoBufMut>(&mut self, buf: B) -> BufResult<usize, B> {
        (**self).read(buf).await
    }
}

/// Copies from the front of the slice, which is moved on behind what was copied.
impl Read for &[u8] {
    async fn read<B: IoBufMut>(&mut self, mut buf: B) -> BufResult<usize, B> {
        let n = buf.overwrite(self);
        *self = &self[n..];
        Ok((n, buf))
    }
}

fn ended_early() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the source ended before the buffer was full")
}

/// The buffer, to try again with, if the call was only interrupted.
pub(super) fn retry_interrupted<B>(failed: BufError<B>) -> Result<B, BufError<B>> {
    if failed.error().kind() == io::ErrorKind::Interrupted {
        Ok(failed.into_buf())
    } else {
        Err(failed)
    }
}

/// Reads behind what the vector holds.
async fn read_behind<R: Read + ?Sized>(
    source: &mut R,
    mut buf: Vec<u8>,
) -> BufResult<usize, Vec<u8>> {
    loop {
        let held = buf.len();
        match source.read(buf.slice(held..)).await {
            Ok((n, part)) => return Ok((n, part.into_buf())),
            Err(failed) => buf = retry_interrupted(failed.map_buf(Slice::into_buf))?,
        }
    }
}

/// Reads a little aside and appends it.
async fn probe<R: Read + ?Sized>(source: &mut R, mut buf: Vec<u8>) -> BufResult<usize, Vec<u8>> {
    let mut aside = [0; PROBE_BYTES];
    loop {
        match source.read(aside).await {
            Ok((0, _)) => return Ok((0, buf)),
            Ok((n, aside)) => {
                buf = grown(buf)?;
                buf.extend_from_slice(&aside[..n]);
                return Ok((n, buf));
            }
            Err(failed) => match retry_interrupted(failed) {
                Ok(again) => aside = again,
                Err(failed) => return Err(failed.map_buf(|_| buf)),
            },
        }
    }
}

/// Makes room behind what the vector holds. It doubles, so that no byte is copied more than twice on
/// average.
fn grown(mut buf: Vec<u8>) -> Result<Vec<u8>, BufError<Vec<u8>>> {
    match buf.try_reserve(MIN_GROWTH_BYTES) {
        Ok(()) => Ok(buf),
        Err(_) => Err(BufError::new(io::Error::from(io::ErrorKind::OutOfMemory), buf)),
    }
}

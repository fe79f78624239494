//! Writing buffers that are lent by value.

use std::io;

use super::read::retry_interrupted;
use crate::buf::{BufError, BufResult, IoBuf, Slice};

/// A destination of bytes, such as a file or a connection.
// The lint asks for futures that can be bounded by `Send`. None here is: they belong to one thread's ring.
#[allow(async_fn_in_trait)]
pub trait Write {
    /// Writes once; returns how many of the bytes were taken, counted from the front.
    ///
    /// # Errors
    ///
    /// Whatever the destination says. The buffer comes back inside the error.
    async fn write<B: IoBuf>(&mut self, buf: B) -> BufResult<usize, B>;

    /// Writes all bytes of `buf`.
    ///
    /// Dropped in flight, any number of them may have been written.
    ///
    /// # Errors
    ///
    /// [`WriteZero`](io::ErrorKind::WriteZero) when the destination takes no more, or what
    /// [`write`](Write::write) fails with. Any number of the bytes may have been written.
    async fn write_all<B: IoBuf>(&mut self, mut buf: B) -> BufResult<(), B> {
        let mut written = 0;
        while written < buf.bytes().len() {
            match self.write(buf.slice(written..)).await {
                Ok((0, part)) => return Err(BufError::new(takes_no_more(), part.into_buf())),
                Ok((n, part)) => {
                    written += n;
                    buf = part.into_buf();
                }
                Err(failed) => buf = retry_interrupted(failed.map_buf(Slice::into_buf))?,
            }
        }
        Ok(((), buf))
    }

    /// Passes on what the writer itself holds back. Files and connections hold nothing back, so by default
    /// there is nothing to do.
    ///
    /// # Errors
    ///
    /// What passing it on fails with.
    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write + ?Sized> Write for &mut W {
    async fn write<B: IoBuf>(&mut self, buf: B) -> BufResult<usize, B> {
        (**self).write(buf).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        (**self).flush().await
    }
}

/// Appends.
impl Write for Vec<u8> {
    async fn write<B: IoBuf>(&mut self, buf: B) -> BufResult<usize, B> {
        self.extend_from_slice(buf.bytes());
        Ok((buf.bytes().len(), buf))
    }
}

fn takes_no_more() -> io::Error {
    io::Error::new(io::ErrorKind::WriteZero, "the destination takes no more bytes")
}

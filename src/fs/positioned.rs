//! A file from an offset on, as a reader and a writer: so that reading and writing at offsets loops as all
//! else does.

use super::File;
use crate::buf::{BufResult, IoBuf, IoBufMut};
use crate::io::{Read, Write};

/// A file from an offset on. Moves the offset on, not the file's position.
#[derive(Debug)]
pub(super) struct Positioned<'a> {
    pub(super) file: &'a File,
    pub(super) offset: u64,
}

impl Read for Positioned<'_> {
    async fn read<B: IoBufMut>(&mut self, buf: B) -> BufResult<usize, B> {
        let (n, buf) = self.file.read_at(buf, self.offset).await?;
        self.offset = self.offset.saturating_add(n as u64);
        Ok((n, buf))
    }
}

impl Write for Positioned<'_> {
    async fn write<B: IoBuf>(&mut self, buf: B) -> BufResult<usize, B> {
        let (n, buf) = self.file.write_at(buf, self.offset).await?;
        self.offset = self.offset.saturating_add(n as u64);
        Ok((n, buf))
    }
}

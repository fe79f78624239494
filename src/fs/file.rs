//! An open file.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use super::once::Once;
use super::positioned::Positioned;
use super::{Metadata, OpenOptions, uninterrupted};
use crate::buf::{BufError, BufResult, IoBuf, IoBufMut};
use crate::fd::Fd;
use crate::io::{Read, Write};
use crate::op;

/// An open file: a regular file, or whatever else has a descriptor and can be read or written.
///
/// All methods take `&self`, so that several operations can be in flight on one file. Dropping it closes the
/// descriptor, at once or with the last operation in flight; [`close`](File::close) also says whether that
/// went well.
///
/// Reading or writing a part of a buffer, at offsets, two at a time:
///
/// ```no_run
/// use uring::buf::IoBuf;
/// use uring::fs::File;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// uring::Runtime::new()?.block_on(async {
///     let file = File::create("numbers").await?;
///     let head = file.write_all_at("one, two, ".slice(..5), 0);
///     let tail = file.write_all_at("three", 5);
///     let (head, tail) = futures::future::join(head, tail).await;
///     (head?, tail?);
///     file.sync_all().await?;
///     file.close().await
/// })?;
/// # Ok(())
/// # }
/// ```
pub struct File {
    fd: Fd,
}

impl File {
    pub(super) fn new(fd: Fd) -> File {
        File { fd }
    }

    /// Opens a file for reading.
    ///
    /// `openat(2)`, Linux 5.6. Dropped in flight, a descriptor that comes too late is closed.
    ///
    /// # Errors
    ///
    /// Those of the call, with the path. A directory can be opened; reading it fails with `EISDIR`.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).open(path).await
    }

    /// Opens a file for writing: creates it if there is none, and empties it if there is.
    ///
    /// `openat(2)`, Linux 5.6. Dropped in flight, that may have happened all the same.
    ///
    /// # Errors
    ///
    /// Those of the call, with the path.
    pub async fn create(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path).await
    }

    /// Creates a file for reading and writing.
    ///
    /// `openat(2)` with `O_EXCL`, Linux 5.6. Dropped in flight, the file may have been created all the same.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) when there is something of that name, and the other
    /// errors of the call; with the path.
    pub async fn create_new(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path).await
    }

    /// Reads once at the file's position, which moves on, into the front of `buf`; returns how many bytes
    /// came. None is the end, if the buffer had room.
    ///
    /// Several at a time are done in no particular order: for that, [`read_at`](File::read_at).
    ///
    /// `read(2)`, Linux 5.6. Dropped in flight, the position may have moved; of a pipe or a terminal bytes may
    /// be lost.
    ///
    /// # Errors
    ///
    /// Those of the call, with the buffer.
    pub async fn read<B: IoBufMut>(&self, mut buf: B) -> BufResult<usize, B> {
        let room = buf.room().len();
        let before = self.fd.position();
        let (n, buf) = Once::<op::Read<B>>::new(&self.fd, None, buf).await?;
        self.mend_position(before, n, room);
        Ok((n, buf))
    }

    /// Reads once at `offset` bytes from the start, into the front of `buf`; returns how many bytes came,
    /// at most 2 GiB. None is the end, if the buffer had room. The file's position stays.
    ///
    /// `pread(2)`, Linux 5.6. Dropped in flight, the buffer is freed when the kernel is done with it.
    ///
    /// # Errors
    ///
    /// Those of the call, with the buffer.
    pub fn read_at<B: IoBufMut>(
        &self,
        buf: B,
        offset: u64,
    ) -> impl Future<Output = BufResult<usize, B>> {
        Once::<op::Read<B>>::new(&self.fd, Some(offset), buf)
    }

    /// Writes once at the file's position, which moves on; returns how many bytes were taken.
    ///
    /// Several at a time are done in no particular order: for that, [`write_at`](File::write_at).
    ///
    /// `write(2)`, Linux 5.6. Dropped in flight, it may have been made all the same.
    ///
    /// # Errors
    ///
    /// Those of the call, with the buffer.
    pub async fn write<B: IoBuf>(&self, buf: B) -> BufResult<usize, B> {
        let before = self.fd.position();
        let (n, buf) = Once::<op::Write<B>>::new(&self.fd, None, buf).await?;
        self.mend_position(before, n, buf.bytes().len());
        Ok((n, buf))
    }

    /// Writes once at `offset` bytes from the start; returns how many bytes were taken, at most 2 GiB. The
    /// file's position stays. A file opened for appending is written at its end, whatever the offset.
    ///
    /// `pwrite(2)`, Linux 5.6. Dropped in flight, it may have been made all the same.
    ///
    /// # Errors
    ///
    /// Those of the call, with the buffer.
    pub fn write_at<B: IoBuf>(
        &self,
        buf: B,
        offset: u64,
    ) -> impl Future<Output = BufResult<usize, B>> {
        Once::<op::Write<B>>::new(&self.fd, Some(offset), buf)
    }

    /// Moves the position on after a short transfer, if the kernel has not.
    ///
    /// When a part was transferred and the rest fails (no space, a bad sector), io_uring returns the part and
    /// leaves the position where it was; seen on Linux 6.18. The next write would then overwrite that part
    /// instead of failing, the next read return it again and again.
    fn mend_position(&self, before: Option<u64>, transferred: usize, wanted: usize) {
        if transferred == 0 || transferred == wanted {
            return;
        }
        if let Some(before) = before {
            if self.fd.position() == Some(before) {
                self.fd.set_position(before.saturating_add(transferred as u64));
            }
        }
    }

    /// Reads at `offset` until the room of `buf` is full, as [`Read::read_exact`] does.
    ///
    /// `pread(2)`, Linux 5.6. Dropped in flight, the buffer is freed when the kernel is done with it.
    ///
    /// # Errors
    ///
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) when the file ends before, and those of the call. The
    /// buffer comes back with what was read until then.
    pub async fn read_exact_at<B: IoBufMut>(&self, buf: B, offset: u64) -> BufResult<(), B> {
        Positioned { file: self, offset }.read_exact(buf).await
    }

    /// Writes all bytes of `buf` at `offset`.
    ///
    /// `pwrite(2)`, Linux 5.6. Dropped in flight, any number of the bytes may have been written.
    ///
    /// # Errors
    ///
    /// [`WriteZero`](io::ErrorKind::WriteZero) when no more bytes are taken, and those of the call, with the
    /// buffer. Any number of the bytes may have been written.
    pub async fn write_all_at<B: IoBuf>(&self, buf: B, offset: u64) -> BufResult<(), B> {
        Positioned { file: self, offset }.write_all(buf).await
    }

    /// Reads from `offset` to the end and appends it all to `buf`; returns how many bytes came.
    ///
    /// Asks for the file's size first, so that the vector grows once; a size that turns out wrong does no
    /// harm.
    ///
    /// `statx(2)`, `pread(2)`, Linux 5.6. Dropped in flight, the buffer is freed when the kernel is done with
    /// it.
    ///
    /// # Errors
    ///
    /// Those of the calls, and [`OutOfMemory`](io::ErrorKind::OutOfMemory). The buffer comes back with what
    /// was read until then.
    pub async fn read_to_end_at(&self, buf: Vec<u8>, offset: u64) -> BufResult<usize, Vec<u8>> {
        let buf = self.make_room(buf, offset).await?;
        Positioned { file: self, offset }.read_to_end(buf).await
    }

    /// Makes room for what lies behind `offset`, as far as the size tells.
    async fn make_room(&self, mut buf: Vec<u8>, offset: u64) -> Result<Vec<u8>, BufError<Vec<u8>>> {
        // A file that has no size to tell (a pipe, a file of proc(5)) or is not known to have one is read all
        // the same.
        let len = self.metadata().await.map_or(0, |metadata| metadata.len());
        let rest = len.saturating_sub(offset);
        if rest == 0 {
            return Ok(buf);
        }
        // With one byte more, the read that finds the end has room to find it in.
        let room = usize::try_from(rest).unwrap_or(usize::MAX).saturating_add(1);
        match buf.try_reserve_exact(room) {
            Ok(()) => Ok(buf),
            Err(_) => Err(BufError::new(io::Error::from(io::ErrorKind::OutOfMemory), buf)),
        }
    }

    /// Flushes contents and metadata to the disk.
    ///
    /// `fsync(2)`, Linux 5.1. Dropped in flight, nothing is known of what reached the disk.
    ///
    /// # Errors
    ///
    /// Those of the call. After one, what was written since the last success may be lost, and trying again
    /// does not bring it back.
    pub async fn sync_all(&self) -> io::Result<()> {
        uninterrupted(|| op::Fsync { fd: self.fd.clone(), data_only: false }).await
    }

    /// Flushes contents to the disk, and what metadata is needed to read them back.
    ///
    /// `fdatasync(2)`, Linux 5.1. Dropped in flight, nothing is known of what reached the disk.
    ///
    /// # Errors
    ///
    /// As [`sync_all`](File::sync_all).
    pub async fn sync_data(&self) -> io::Result<()> {
        uninterrupted(|| op::Fsync { fd: self.fd.clone(), data_only: true }).await
    }

    /// Sets the file's length in bytes: cuts it, or lengthens it by a hole.
    ///
    /// `ftruncate(2)`, by a submission since Linux 6.9, before by a plain call on this thread. Dropped in
    /// flight, it may have been made all the same.
    ///
    /// # Errors
    ///
    /// Those of the call.
    pub async fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        let fd = || self.fd.clone();
        match uninterrupted(|| op::Ftruncate { fd: fd(), len_bytes }).await {
            // Older kernels say this of the operation, all kernels of a length or a file that cannot be. The
            // plain call tells which. Kernels in user space know the operation.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) && !self.fd.is_virtual() => {
                std::fs::File::from(self.fd.as_fd().try_clone_to_owned()?).set_len(len_bytes)
            }
            done => done,
        }
    }

    /// Allocates disk space for a range, in bytes, so that writing there cannot fail for want of it, and
    /// lengthens the file up to its end.
    ///
    /// `fallocate(2)`, Linux 5.6. Dropped in flight, it may have been made all the same.
    ///
    /// # Errors
    ///
    /// Those of the call, `EOPNOTSUPP` among them where the file system cannot.
    pub async fn allocate(&self, offset: u64, len_bytes: u64) -> io::Result<()> {
        let fd = || self.fd.clone();
        uninterrupted(|| op::Fallocate { fd: fd(), mode: 0, offset, len_bytes }).await
    }

    /// Describes the file.
    ///
    /// `statx(2)`, Linux 5.6. Dropping it in flight does nothing else.
    ///
    /// # Errors
    ///
    /// Those of the call.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        uninterrupted(|| op::Statx::file(self.fd.clone())).await.map(Metadata::new)
    }

    /// Closes the file, when operations in flight on it have ended, and says whether that went well.
    ///
    /// `close(2)`, Linux 5.6. Dropped, the file is closed all the same.
    ///
    /// # Errors
    ///
    /// Those of the call: `EIO` or `ENOSPC` for what was written before, on file systems that write late, such
    /// as NFS. The descriptor is closed in any case.
    pub async fn close(self) -> io::Result<()> {
        op::submit(op::Close::new(self.fd).await).await
    }

    /// The same file for `std`, or `self` again: when operations are in flight on it, be it that their
    /// futures were dropped, or when the descriptor is one of a kernel in user space.
    ///
    /// # Errors
    ///
    /// `self`, as said.
    pub fn into_std(self) -> Result<std::fs::File, File> {
        if self.fd.is_virtual() {
            return Err(self);
        }
        self.fd.into_owned().map(std::fs::File::from).map_err(File::new)
    }
}

impl Read for File {
    async fn read<B: IoBufMut>(&mut self, buf: B) -> BufResult<usize, B> {
        File::read(self, buf).await
    }
}

impl Read for &File {
    async fn read<B: IoBufMut>(&mut self, buf: B) -> BufResult<usize, B> {
        File::read(self, buf).await
    }
}

impl Write for File {
    async fn write<B: IoBuf>(&mut self, buf: B) -> BufResult<usize, B> {
        File::write(self, buf).await
    }
}

impl Write for &File {
    async fn write<B: IoBuf>(&mut self, buf: B) -> BufResult<usize, B> {
        File::write(self, buf).await
    }
}

impl From<std::fs::File> for File {
    fn from(file: std::fs::File) -> File {
        File::from(OwnedFd::from(file))
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> File {
        File::new(Fd::from(fd))
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("fd", &self.fd).finish()
    }
}

//! Plain calls that move bytes between files without a buffer of ours, as `io::Result`.
//!
//! Nothing is retried here. They may block for as long as a disk does.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// `ioctl_ficlone(2)`: has `to` share the contents of `from`, copied only where either is changed. Linux 4.5.
pub(crate) fn share_contents(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the argument of this request is a descriptor, no memory is involved.
    check(unsafe { libc::ioctl(to.as_raw_fd(), libc::FICLONE, from.as_raw_fd()) } as isize)
        .map(drop)
}

/// `copy_file_range(2)`: copies from `offset` to where `to` stands, which moves on. Linux 4.5.
pub(crate) fn copy_range(
    from: BorrowedFd<'_>,
    offset: u64,
    to: BorrowedFd<'_>,
    len_bytes: usize,
) -> io::Result<usize> {
    let mut offset = signed(offset)?;
    let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
    // SAFETY: the offset is ours, read and written during the call only; a null one is the file's own.
    let moved =
        unsafe { libc::copy_file_range(from, &raw mut offset, to, ptr::null_mut(), len_bytes, 0) };
    check(moved)
}

/// `splice(2)`: moves bytes between a file and a pipe; from `offset` if there is one, else from where the file
/// stands. Linux 2.6.17.
pub(crate) fn splice(
    from: BorrowedFd<'_>,
    offset: Option<u64>,
    to: BorrowedFd<'_>,
    len_bytes: usize,
) -> io::Result<usize> {
    let mut offset = offset.map(signed).transpose()?;
    let offset = offset.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
    let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
    // SAFETY: the offset is null, or ours and alive, read and written during the call only.
    let moved =
        unsafe { libc::splice(from, offset, to, ptr::null_mut(), len_bytes, libc::SPLICE_F_MOVE) };
    check(moved)
}

/// `lseek(2)` with `SEEK_DATA` or `SEEK_HOLE`: where the next data, or the next hole, begins. Linux 3.1.
pub(crate) fn seek_next(file: BorrowedFd<'_>, offset: u64, what: i32) -> io::Result<u64> {
    // SAFETY: no memory is involved.
    let found = unsafe { libc::lseek64(file.as_raw_fd(), signed(offset)?, what) };
    u64::try_from(found).map_err(|_| io::Error::last_os_error())
}

/// `pipe2(2)`: the end to read from, and the end to write to.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: two descriptors are written to the array during the call.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } as isize)?;
    // SAFETY: they are new, and nobody else owns them.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// `F_SETPIPE_SZ` of `fcntl(2)`: gives a pipe room for so many bytes. Linux 2.6.35.
pub(crate) fn resize_pipe(pipe: BorrowedFd<'_>, size_bytes: i32) -> io::Result<()> {
    // SAFETY: the argument of this command is a number, no memory is involved.
    check(unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, size_bytes) } as isize)
        .map(drop)
}

/// `f_type` of `fstatfs(2)`: what kind of file system a file lies on.
pub(crate) fn file_system(file: BorrowedFd<'_>) -> io::Result<i64> {
    let mut found = std::mem::MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: a `statfs` of ours, written during the call.
    check(unsafe { libc::fstatfs(file.as_raw_fd(), found.as_mut_ptr()) } as isize)?;
    // SAFETY: integers only, for which zeros are valid, and the call has filled it.
    #[allow(clippy::unnecessary_cast, reason = "the width of the field differs by machine")]
    Ok(unsafe { found.assume_init() }.f_type as i64)
}

fn signed(offset: u64) -> io::Result<i64> {
    i64::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

fn check(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

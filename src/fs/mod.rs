//! Files.
//!
//! The names and meanings are those of [`std::fs`], with two differences: everything that goes to the kernel
//! is an `async fn` that does nothing before it is first polled, and buffers are moved in and come back with
//! the result, on failure inside a [`BufError`].
//!
//! ```no_run
//! use uring::fs::File;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! uring::Runtime::new()?.block_on(async {
//!     let file = File::open("/etc/hostname").await?;
//!     let buf = Vec::with_capacity(4096);
//!     let (n, buf) = file.read_at(buf, 0).await?;
//!     assert_eq!(n, buf.len());
//!     file.close().await
//! })?;
//! # Ok(())
//! # }
//! ```
//!
//! # Dropping
//!
//! Dropping a future in flight asks the kernel to cancel the operation, and does not wait for it. The buffer
//! and the descriptor stay with the operation until the kernel is done with them. Whether it still takes
//! effect is open: a write may have been made, a position moved, a file created.
//!
//! # Errors
//!
//! Functions that were given a path name it in their errors, as an [`OpError`]; find the errno with
//! [`raw_os_error`](crate::io::raw_os_error). Methods of an open [`File`] fail with the plain errno. Calls
//! that a signal interrupted (`EINTR`) are made again.
//!
//! # Which thread does the work
//!
//! Reads of what the page cache holds, opens and closes are done as they are submitted. What may wait inside
//! a file system (buffered writes, metadata, flushes) the kernel does on threads of its own, so it does not
//! hold up this one. [`copy`] uses a thread of the runtime's.
//!
//! # Small file operations
//!
//! So a short write costs more to hand over than to do. Microseconds of the process's CPU time, one operation at a
//! time, ext4, Linux 6.18, two cores, medians of 5 interleaved rounds:
//!
//! | | plain call | these functions | these, [made at once](crate::Builder::inline_file_calls) | a hop to a blocking thread |
//! |---|---|---|---|---|
//! | write of 64 bytes | 1.0 | 3.3 | 1.9 | 5.3 |
//! | write of 4 KiB | 1.2 | 3.5 | 2.0 | 5.4 |
//! | `stat` of a path | 0.4 | 2.3 | 0.6 | 3.4 |
//! | create, close, remove | 4.0 | 8.5 | 6.9 | 8.4 |
//! | rename | 2.1 | 4.2 | 2.3 | 5.9 |
//! | set the length | 1.0 | 2.8 | 1.2 | 4.5 |
//!
//! The kernel's worker takes no more than a thread pool does, so nothing here uses one in its place. It runs where
//! the [runtime's thread may run](crate::Builder::worker_cpus): woken on an idle processor elsewhere it was seen to
//! cost 25 to 60 µs, so a pinned thread keeps its workers with it. Asking the file system first whether it would
//! have to wait (`RWF_NOWAIT`) gains nothing: ext4 refuses that for buffered writes.
//!
//! To get near the plain call: write more at once; keep several in flight; or let the runtime make short calls
//! itself, if the program can bear the moments when one of them does wait for a disk:
//! [`Builder::inline_file_calls`](crate::Builder::inline_file_calls).

#![forbid(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::buf::{BufError, BufResult, IoBuf};
use crate::fd::Fd;
use crate::io::{OpError, interrupted};
use crate::op::{self, Op};

mod copy;
mod directories;
mod file;
mod metadata;
mod names;
mod once;
mod open_options;
mod positioned;
mod transfer;

pub use copy::copy;
pub use directories::{create_dir, create_dir_all, remove_dir};
pub use file::File;
pub use metadata::{Metadata, metadata, symlink_metadata, try_exists};
pub use names::{hard_link, remove_file, rename, symlink};
pub use open_options::OpenOptions;

/// Reads a whole file.
///
/// `openat(2)`, `statx(2)`, `read(2)`, Linux 5.6.
///
/// # Errors
///
/// Those of the calls, with the path.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// uring::Runtime::new()?.block_on(async {
///     let bytes = uring::fs::read("/etc/hostname").await?;
///     println!("{} bytes", bytes.len());
///     std::io::Result::Ok(())
/// })?;
/// # Ok(())
/// # }
/// ```
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let path = path.as_ref();
    let file = File::open(path).await?;
    match file.read_to_end_at(Vec::new(), 0).await {
        Ok((_, bytes)) => Ok(bytes),
        Err(failed) => Err(on(path, "read", failed.into())),
    }
}

/// Reads a whole file that holds UTF-8.
///
/// `openat(2)`, `statx(2)`, `read(2)`, Linux 5.6.
///
/// # Errors
///
/// Those of the calls, and [`InvalidData`](io::ErrorKind::InvalidData) when it is not UTF-8; with the path.
pub async fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let path = path.as_ref();
    String::from_utf8(read(path).await?)
        .map_err(|error| on(path, "read", io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// Makes `contents` the whole contents of a file, which is created if there is none.
///
/// Dropped in flight, or on an error, the file may be empty or hold a part.
///
/// `openat(2)`, `write(2)`, `close(2)`, Linux 5.6.
///
/// # Errors
///
/// Those of the calls, with the path, and with the buffer.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// uring::Runtime::new()?.block_on(async {
///     uring::fs::write("greeting", "hello\n").await
/// })?;
/// # Ok(())
/// # }
/// ```
pub async fn write<B: IoBuf>(path: impl AsRef<Path>, contents: B) -> BufResult<(), B> {
    let path = path.as_ref();
    let file = match File::create(path).await {
        Ok(file) => file,
        Err(error) => return Err(BufError::new(error, contents)),
    };
    let on_file = |error| on(path, "write", error);
    let contents = match file.write_all_at(contents, 0).await {
        Ok(((), contents)) => contents,
        Err(failed) => {
            let (error, contents) = failed.into_parts();
            return Err(BufError::new(on_file(error), contents));
        }
    };
    match file.close().await {
        Ok(()) => Ok(((), contents)),
        Err(error) => Err(BufError::new(on_file(error), contents)),
    }
}

/// Opens `path`. A large file is no error and no descriptor is inherited, whatever the flags say.
async fn open(path: &Path, flags: i32, mode: u32) -> io::Result<Fd> {
    let flags = flags | libc::O_CLOEXEC | libc::O_LARGEFILE;
    at("open", path, |path| op::OpenAt { at: None, path, flags, mode }).await
}

/// Submits an operation, again and again while a signal interrupts it.
async fn uninterrupted<T, X>(mut operation: impl FnMut() -> T) -> io::Result<X>
where
    T: Op<Output = io::Result<X>>,
{
    loop {
        match op::submit(operation()).await {
            Err(error) if interrupted(&error) => {}
            done => return done,
        }
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the path contains a NUL byte"))
}

/// Runs an operation on a path, with errors that name both.
async fn at<T, X>(
    operation: &'static str,
    path: &Path,
    make: impl Fn(CString) -> T,
) -> io::Result<X>
where
    T: Op<Output = io::Result<X>>,
{
    let done = match c_path(path) {
        Ok(name) => uninterrupted(|| make(name.clone())).await,
        Err(error) => Err(error),
    };
    done.map_err(|error| on(path, operation, error))
}

fn on(path: &Path, operation: &'static str, error: io::Error) -> io::Error {
    OpError::new(operation, path.display(), error).into()
}

//! Copying a file to a file.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{File, Metadata, OpenOptions, transfer};
use crate::blocking::{self, AtShutdown};
use crate::io::OpError;

/// Copies the contents and the permissions of a file; returns how many bytes it has. As [`std::fs::copy`],
/// but for a file that is copied onto itself, and for set-user-ID and the like, which are not copied.
///
/// What was at `to` is replaced: a file of that name is emptied first and keeps its owner and its other names,
/// a symbolic link is followed. Holes stay holes. To replace a file in one step, copy to another name and
/// [`rename`](super::rename) that.
///
/// The cheapest way there is: sharing the blocks where the file system can (`FICLONE` on btrfs, XFS, bcachefs),
/// having a file server copy by itself (`copy_file_range(2)` on NFS, SMB, Ceph), else moving pages through a
/// pipe (`splice(2)`), all on one of the runtime's [threads](crate::Builder::max_blocking_threads) for calls
/// that block. A copy is one such call: what is copied at once beyond their number waits its turn.
///
/// Dropped in flight, it stops after the piece that is being copied (256 KiB, of a file server 64 MiB), and is
/// not waited for. A part of the copy may be there.
///
/// # Errors
///
/// Those of the calls, with both paths. [`InvalidInput`](io::ErrorKind::InvalidInput) when `from` is no regular
/// file, and when both are the same file, which is left as it was. After any other error, a part may be there.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// uring::Runtime::new()?.block_on(async {
///     let copied = uring::fs::copy("photo.jpg", "photo (copy).jpg").await?;
///     println!("{copied} bytes");
///     std::io::Result::Ok(())
/// })?;
/// # Ok(())
/// # }
/// ```
pub async fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let (from, to) = (from.as_ref(), to.as_ref());
    let source = File::open(from).await?;
    let copied = copy_opened(source, to).await;
    copied.map_err(|error| {
        let both = format!("{} to {}", from.display(), to.display());
        OpError::new("copy", both, error).into()
    })
}

async fn copy_opened(source: File, to: &Path) -> io::Result<u64> {
    let metadata = source.metadata().await?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the source is no regular file"));
    }
    // Not truncated while it may still turn out to be the source. Permissions as they are to be, lest others
    // see what they may not.
    let mut options = OpenOptions::new();
    let copy = options
        .write(true)
        .create(true)
        .mode(metadata.mode() & transfer::PERMISSIONS)
        .open(to)
        .await?;
    let (source, copy) = match (source.into_std(), copy.into_std()) {
        (Ok(source), Ok(copy)) => match copy_on_thread(source, copy).await? {
            Threaded::Done(copied) => return Ok(copied),
            Threaded::Special(source, copy) => (source, copy),
        },
        // Descriptors of a kernel in user space, on which there are no plain calls.
        (Err(source), Err(copy)) => (source, copy),
        _ => return Err(io::Error::other("the two files belong to different kernels")),
    };
    copy_on_ring(&metadata, source, copy).await
}

/// What the thread came to.
enum Threaded {
    Done(u64),
    /// Nothing was done: the copy is a pipe or a device, on which a thread may block for ever.
    Special(File, File),
}

async fn copy_on_thread(source: fs::File, mut copy: fs::File) -> io::Result<Threaded> {
    let dropped = StopWhenDropped::default();
    let stop = Arc::clone(&dropped.0);
    let call = move || (transfer::copy(&source, &mut copy, &stop), source, copy);
    let (copied, source, copy) = blocking::run(AtShutdown::WaitForIt, call).await?;
    match copied? {
        Some(copied) => {
            File::from(copy).close().await?;
            Ok(Threaded::Done(copied))
        }
        None => Ok(Threaded::Special(File::from(source), File::from(copy))),
    }
}

/// By reads and writes of the ring, which can be cancelled whatever the destination is.
async fn copy_on_ring(metadata: &Metadata, mut source: File, mut copy: File) -> io::Result<u64> {
    empty(metadata, &copy).await?;
    let copied = crate::io::copy(&mut source, &mut copy).await?;
    copy.close().await?;
    Ok(copied)
}

/// Empties the destination, unless it is the source.
async fn empty(source: &Metadata, copy: &File) -> io::Result<()> {
    let there = copy.metadata().await?;
    if (there.dev(), there.ino()) == (source.dev(), source.ino()) {
        return Err(same_file());
    }
    if there.is_file() && there.len() > 0 { copy.set_len(0).await } else { Ok(()) }
}

pub(super) fn same_file() -> io::Error {
    let why = "source and destination are the same file";
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// Tells the thread that copies when nobody waits for it any more.
#[derive(Default)]
struct StopWhenDropped(Arc<AtomicBool>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        // Relaxed: nothing else is said by it.
        self.0.store(true, Ordering::Relaxed);
    }
}

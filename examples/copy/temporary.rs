//! The copy under a temporary name beside its destination, until it is complete.
//!
//! A run that was killed leaves the temporary file behind; the next run to the same destination takes it over.
//! Two runs at once are kept apart by a lock on it (flock(2)), which the kernel lets go of when its holder
//! dies.

use std::error::Error;
use std::ffi::OsStr;
use std::fs::{FileTimes, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::{ffi::OsStrExt, fs::PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use uring::fs::{self, File, Metadata, OpenOptions};
use uring::io::OpError;
use uring::time::sleep;

/// The copy while it is incomplete; removed when dropped.
pub(crate) struct Temporary {
    path: PathBuf,
    file: File,
    complete: bool,
}

impl Temporary {
    /// Creates it, or takes over what a killed run left.
    pub(crate) async fn create(to: &Path) -> Result<Temporary, Box<dyn Error>> {
        let name = to.file_name().ok_or_else(|| format!("{} names no file", to.display()))?;
        // 255 bytes is the longest name there is. Names that are alike up to here exclude each other.
        let name = &name.as_bytes()[..name.len().min(240)];
        let path = to.with_file_name(OsStr::from_bytes(&[b".", name, b".uring-copy"].concat()));
        let mut options = OpenOptions::new();
        options.write(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        loop {
            let file = options.open(&path).await?;
            if let Err(error) = lock(&file).await {
                return Err(format!("another copy to {} is running: {error}", to.display()).into());
            }
            let locked = file.metadata().await?;
            // Its last holder may have renamed or removed it between our open and our lock.
            let named = fs::metadata(&path).await;
            if named.is_ok_and(|named| named.ino() == locked.ino()) {
                // Whoever put something else there may want it overwritten.
                if !locked.is_file() || locked.nlink() != 1 {
                    return Err(format!("{} is in the way: remove it", path.display()).into());
                }
                // Not where it is empty: ext4 writes a file that was truncated out to the disk when it is
                // closed (auto_da_alloc, ext4(5)), which takes as long as the copy.
                if locked.len() > 0 {
                    file.set_len(0).await?;
                }
                return Ok(Temporary { path, file, complete: false });
            }
        }
    }

    /// What to write to.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The same, opened.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Gives it the mode and times of `source` and the name `to`.
    pub(crate) async fn finish(mut self, source: &Metadata, to: &Path) -> io::Result<()> {
        let file = std::fs::File::from(self.file.as_fd().try_clone_to_owned()?);
        // Not the set-user-ID bits: the owner may be another.
        file.set_permissions(Permissions::from_mode(source.mode() & 0o777))?;
        let times = FileTimes::new().set_accessed(source.accessed()?);
        file.set_times(times.set_modified(source.modified()?))?;
        std::fs::rename(&self.path, to)
            .map_err(|error| OpError::new("rename to", to.display(), error))?;
        self.complete = true;
        Ok(())
    }
}

/// Locks the file for this run. The lock of a run that was killed goes when the kernel is done with its last
/// write, which can be a moment later: so an attempt is not the last one at once.
async fn lock(file: &File) -> io::Result<()> {
    for _ in 0..30 {
        // SAFETY: flock(2) touches no memory, and the descriptor is open.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
    Err(io::Error::from_raw_os_error(libc::EWOULDBLOCK))
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.complete {
            // Whoever sees the error that led here learns nothing from a second one.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

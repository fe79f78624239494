//! What a file is.

use std::fmt;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::at;
use crate::op::{self, StatxFields, StatxTimestamp};

/// Describes the file at `path`; follows symbolic links.
///
/// `statx(2)`, Linux 5.6. Dropping it in flight does nothing else.
///
/// # Errors
///
/// Those of the call, with the path.
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    at("stat", path.as_ref(), op::Statx::path).await.map(Metadata::new)
}

/// Describes what is at `path`, be it a symbolic link.
///
/// `statx(2)` with `AT_SYMLINK_NOFOLLOW`, Linux 5.6. Dropping it in flight does nothing else.
///
/// # Errors
///
/// Those of the call, with the path.
pub async fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    at("stat", path.as_ref(), op::Statx::link).await.map(Metadata::new)
}

/// Whether there is something at `path`; a symbolic link that leads nowhere is nothing.
///
/// By the time it is known it may have changed: to create what is not there, use
/// [`File::create_new`](super::File::create_new).
///
/// `statx(2)`, Linux 5.6. Dropping it in flight does nothing else.
///
/// # Errors
///
/// Those of the call that leave it open, such as a directory that may not be searched; with the path.
pub async fn try_exists(path: impl AsRef<Path>) -> io::Result<bool> {
    match metadata(path).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the kernel knows of a file, as [`std::fs::Metadata`] has it and
/// [`MetadataExt`](std::os::unix::fs::MetadataExt) names it. `statx(2)`.
#[derive(Clone)]
pub struct Metadata {
    found: StatxFields,
}

impl Metadata {
    pub(super) fn new(found: StatxFields) -> Metadata {
        Metadata { found }
    }

    /// The size in bytes.
    #[allow(clippy::len_without_is_empty)] // As in std: this is no collection.
    pub fn len(&self) -> u64 {
        self.found.size
    }

    /// Whether this is a regular file.
    pub fn is_file(&self) -> bool {
        self.is(libc::S_IFREG)
    }

    /// Whether this is a directory.
    pub fn is_dir(&self) -> bool {
        self.is(libc::S_IFDIR)
    }

    /// Whether this is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.is(libc::S_IFLNK)
    }

    fn is(&self, file_type: libc::mode_t) -> bool {
        self.mode() & libc::S_IFMT == file_type
    }

    /// Who may do what with it.
    pub fn permissions(&self) -> Permissions {
        Permissions::from_mode(self.mode())
    }

    /// When its contents last changed.
    ///
    /// # Errors
    ///
    /// [`InvalidData`](io::ErrorKind::InvalidData) for a moment that [`SystemTime`] cannot hold.
    pub fn modified(&self) -> io::Result<SystemTime> {
        system_time(self.found.mtime)
    }

    /// When it was last read, as far as the mount keeps account of that.
    ///
    /// # Errors
    ///
    /// [`InvalidData`](io::ErrorKind::InvalidData) for a moment that [`SystemTime`] cannot hold.
    pub fn accessed(&self) -> io::Result<SystemTime> {
        system_time(self.found.atime)
    }

    /// When it was created.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](io::ErrorKind::Unsupported) where the file system does not know,
    /// [`InvalidData`](io::ErrorKind::InvalidData) for a moment that [`SystemTime`] cannot hold.
    pub fn created(&self) -> io::Result<SystemTime> {
        if self.found.mask & libc::STATX_BTIME == 0 {
            let why = "this file system does not record when files were created";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        system_time(self.found.btime)
    }

    /// The device that holds it.
    pub fn dev(&self) -> u64 {
        libc::makedev(self.found.dev_major, self.found.dev_minor)
    }

    /// The inode number.
    pub fn ino(&self) -> u64 {
        self.found.ino
    }

    /// Type and permissions.
    pub fn mode(&self) -> u32 {
        u32::from(self.found.mode)
    }

    /// The number of hard links.
    pub fn nlink(&self) -> u64 {
        u64::from(self.found.nlink)
    }

    /// The owner.
    pub fn uid(&self) -> u32 {
        self.found.uid
    }

    /// The group.
    pub fn gid(&self) -> u32 {
        self.found.gid
    }

    /// The device that a device file stands for.
    pub fn rdev(&self) -> u64 {
        libc::makedev(self.found.rdev_major, self.found.rdev_minor)
    }

    /// The preferred size of transfers, in bytes.
    pub fn blksize(&self) -> u64 {
        u64::from(self.found.blksize)
    }

    /// How many blocks of 512 bytes it takes up; fewer than its size for a file with holes.
    pub fn blocks(&self) -> u64 {
        self.found.blocks
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metadata")
            .field("mode", &format_args!("{:o}", self.mode()))
            .field("len", &self.len())
            .field("modified", &self.modified().ok())
            .finish_non_exhaustive()
    }
}

fn system_time(time: StatxTimestamp) -> io::Result<SystemTime> {
    let whole = Duration::from_secs(time.sec.unsigned_abs());
    let second =
        if time.sec < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    // The nanoseconds count forward on both sides of the epoch.
    second
        .and_then(|second| second.checked_add(Duration::from_nanos(u64::from(time.nsec))))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a time that is out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_the_epoch_count_their_nanoseconds_forward() {
        let time = StatxTimestamp { sec: -2, nsec: 250_000_000, pad: 0 };
        let before = UNIX_EPOCH - Duration::from_millis(1750);
        assert_eq!(system_time(time).expect("in range"), before);
    }

    #[test]
    fn a_time_beyond_all_bounds_is_an_error() {
        let time = StatxTimestamp { sec: i64::MAX, nsec: u32::MAX, pad: 0 };
        assert_eq!(system_time(time).expect_err("too late").kind(), io::ErrorKind::InvalidData);
    }
}

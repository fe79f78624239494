//! Making and removing directories.

use std::io;
use std::path::Path;

use super::{at, metadata};
use crate::op;

/// The permissions of a new directory, before the umask; those that `std` asks for.
const MODE: u32 = 0o777;

/// Makes a directory.
///
/// `mkdirat(2)`, Linux 5.15. Dropped in flight, it may have been made all the same.
///
/// # Errors
///
/// [`AlreadyExists`](io::ErrorKind::AlreadyExists) when there is something of that name, and the other errors
/// of the call; with the path.
pub async fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    at("make directory", path.as_ref(), |path| op::MkdirAt { at: None, path, mode: MODE }).await
}

/// Makes a directory and those above it that are missing. Does nothing where it exists.
///
/// `mkdirat(2)`, Linux 5.15. Dropped in flight, or on an error, any number of them may have been made.
///
/// # Errors
///
/// Those of the call, with the path of the directory that could not be made.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// uring::Runtime::new()?.block_on(async {
///     uring::fs::create_dir_all("logs/2024/may").await
/// })?;
/// # Ok(())
/// # }
/// ```
pub async fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    // The last component of a relative path's ancestors is the empty path, which is always there.
    let named = |path: &&Path| !path.as_os_str().is_empty();
    let mut missing = Vec::new();
    for path in path.as_ref().ancestors().filter(named) {
        match create(path).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(path),
            done => {
                done?;
                break;
            }
        }
    }
    for path in missing.into_iter().rev() {
        create(path).await?;
    }
    Ok(())
}

/// Makes a directory, unless there is one.
async fn create(path: &Path) -> io::Result<()> {
    let Err(error) = create_dir(path).await else { return Ok(()) };
    // Whatever the error was: a root that cannot be written to fails with EROFS rather than EEXIST.
    let is_absent = error.kind() == io::ErrorKind::NotFound;
    let exists = !is_absent && metadata(path).await.is_ok_and(|metadata| metadata.is_dir());
    if exists { Ok(()) } else { Err(error) }
}

/// Removes an empty directory.
///
/// `unlinkat(2)` with `AT_REMOVEDIR`, Linux 5.11. Dropped in flight, it may have been removed all the same.
///
/// # Errors
///
/// Those of the call, `ENOTEMPTY` among them; with the path.
pub async fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let flags = libc::AT_REMOVEDIR;
    at("remove directory", path.as_ref(), |path| op::UnlinkAt { at: None, path, flags }).await
}

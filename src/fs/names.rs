//! The names of files: giving, changing and removing them.

use std::ffi::CString;
use std::io;
use std::path::Path;

use super::{at, c_path, on, uninterrupted};
use crate::io::OpError;
use crate::op::{self, Op};

/// Removes a file, or a symbolic link itself. What it holds is freed when nobody has it open any more.
///
/// `unlinkat(2)`, Linux 5.11. Dropped in flight, it may have been removed all the same.
///
/// # Errors
///
/// Those of the call, with the path; `EISDIR` for a directory, see [`remove_dir`](super::remove_dir).
pub async fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    at("remove", path.as_ref(), |path| op::UnlinkAt { at: None, path, flags: 0 }).await
}

/// Renames a file or a directory. A file that has the name `to` is replaced in one step: whoever opens that
/// name gets the one or the other.
///
/// `renameat2(2)`, Linux 5.11. Dropped in flight, it may have been renamed all the same.
///
/// # Errors
///
/// Those of the call, with both paths; `EXDEV` where they are not on one file system.
///
/// Replacing a file so that a crash leaves the old or the new one:
///
/// ```no_run
/// use uring::fs::{self, File};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// uring::Runtime::new()?.block_on(async {
///     let file = File::create("settings.new").await?;
///     file.write_all_at("colour = blue\n", 0).await?;
///     file.sync_all().await?;
///     fs::rename("settings.new", "settings").await
/// })?;
/// # Ok(())
/// # }
/// ```
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let make = |old, new| op::RenameAt { old_at: None, old, new_at: None, new, flags: 0 };
    between("rename", from.as_ref(), to.as_ref(), make).await
}

/// Gives the file `original` the further name `link`, on the same file system. A symbolic link is not
/// followed.
///
/// `linkat(2)`, Linux 5.15. Dropped in flight, it may have been made all the same.
///
/// # Errors
///
/// Those of the call, with both paths.
pub async fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let make = |old, new| op::LinkAt { old_at: None, old, new_at: None, new, flags: 0 };
    between("link", original.as_ref(), link.as_ref(), make).await
}

/// Makes `link` a symbolic link to `original`, a path that need not exist; a relative one starts where the
/// link is. As [`std::os::unix::fs::symlink`].
///
/// `symlinkat(2)`, Linux 5.15. Dropped in flight, it may have been made all the same.
///
/// # Errors
///
/// Those of the call, with both paths.
pub async fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let make = |target, path| op::SymlinkAt { target, at: None, path };
    between("link", original.as_ref(), link.as_ref(), make).await
}

/// Runs an operation on two paths, with errors that name all three.
async fn between<T>(
    operation: &'static str,
    from: &Path,
    to: &Path,
    make: impl Fn(CString, CString) -> T,
) -> io::Result<()>
where
    T: Op<Output = io::Result<()>>,
{
    let name = |path| c_path(path).map_err(|error| on(path, operation, error));
    let (old, new) = (name(from)?, name(to)?);
    uninterrupted(|| make(old.clone(), new.clone())).await.map_err(|error| {
        let both = format!("{} to {}", from.display(), to.display());
        OpError::new(operation, both, error).into()
    })
}

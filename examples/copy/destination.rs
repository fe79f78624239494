//! What may be copied, and where to.

use std::error::Error;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use uring::fs::{self, Metadata};

/// Refuses what is no regular file: a copy of it would be something else.
pub(crate) fn regular(path: &Path, metadata: &Metadata) -> Result<(), String> {
    let is = if metadata.is_dir() { "a directory" } else { "no regular file" };
    if metadata.is_file() { Ok(()) } else { Err(format!("{} is {is}", path.display())) }
}

/// What a copy of `source` may replace or create: for a symbolic link, what it leads to.
pub(crate) async fn destination(to: &Path, source: &Metadata) -> Result<PathBuf, Box<dyn Error>> {
    match fs::metadata(to).await {
        Ok(there) if (there.dev(), there.ino()) == (source.dev(), source.ino()) => {
            Err(format!("{} is the source itself", to.display()).into())
        }
        Ok(there) => {
            regular(to, &there)?;
            Ok(to.canonicalize()?)
        }
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        Err(_) if to.is_symlink() => Err(format!("{} leads nowhere", to.display()).into()),
        Err(_) => Ok(to.to_path_buf()),
    }
}

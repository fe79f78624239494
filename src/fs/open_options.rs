//! How a file is opened.

use std::io;
use std::path::Path;

use super::{File, on, open};

/// Options for opening a file, as [`std::fs::OpenOptions`].
///
/// ```no_run
/// use uring::fs::OpenOptions;
/// use uring::io::Write;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// uring::Runtime::new()?.block_on(async {
///     let mut log = OpenOptions::new().append(true).create(true).mode(0o640).open("log").await?;
///     log.write_all("started\n").await?;
///     log.close().await
/// })?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    read: bool,
    write: bool,
    append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
    mode: u32,
    custom_flags: i32,
}

impl OpenOptions {
    /// Nothing is allowed yet: at least one of [`read`](Self::read), [`write`](Self::write) and
    /// [`append`](Self::append) is needed.
    pub fn new() -> OpenOptions {
        OpenOptions {
            read: false,
            write: false,
            append: false,
            truncate: false,
            create: false,
            create_new: false,
            mode: 0o666,
            custom_flags: 0,
        }
    }

    /// Allows reading.
    pub fn read(&mut self, read: bool) -> &mut OpenOptions {
        self.read = read;
        self
    }

    /// Allows writing.
    pub fn write(&mut self, write: bool) -> &mut OpenOptions {
        self.write = write;
        self
    }

    /// Allows writing, and only at the end: every write goes there, whatever its offset (`O_APPEND`).
    pub fn append(&mut self, append: bool) -> &mut OpenOptions {
        self.append = append;
        self
    }

    /// Makes an existing file empty. Needs write access.
    pub fn truncate(&mut self, truncate: bool) -> &mut OpenOptions {
        self.truncate = truncate;
        self
    }

    /// Creates the file if there is none. Needs write or append access.
    pub fn create(&mut self, create: bool) -> &mut OpenOptions {
        self.create = create;
        self
    }

    /// Creates the file, and fails if there is something of that name, be it a dangling symbolic link. Needs
    /// write or append access; `create` and `truncate` then mean nothing.
    pub fn create_new(&mut self, create_new: bool) -> &mut OpenOptions {
        self.create_new = create_new;
        self
    }

    /// The permissions of a file that is created, before the umask; `0o666` unless told.
    pub fn mode(&mut self, mode: u32) -> &mut OpenOptions {
        self.mode = mode;
        self
    }

    /// Further `O_*` flags. Those for the access mode have no effect here.
    pub fn custom_flags(&mut self, flags: i32) -> &mut OpenOptions {
        self.custom_flags = flags;
        self
    }

    /// Opens the file at `path`, closed on `exec` and without a limit to its size.
    ///
    /// `openat(2)`, Linux 5.6. Dropped in flight, a file may have been created or emptied; a descriptor that
    /// comes too late is closed.
    ///
    /// # Errors
    ///
    /// Those of the call, and [`InvalidInput`](io::ErrorKind::InvalidInput) for options that contradict each
    /// other and for a path that contains a NUL byte; with the path.
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let path = path.as_ref();
        let flags = self
            .flags()
            .map_err(|why| on(path, "open", io::Error::new(io::ErrorKind::InvalidInput, why)))?;
        open(path, flags, self.mode).await.map(File::new)
    }

    /// The `O_*` flags, or why there are none. The rules are those of `std`.
    fn flags(&self) -> Result<i32, &'static str> {
        let access = match (self.read, self.write, self.append) {
            (true, false, false) => libc::O_RDONLY,
            (false, true, false) => libc::O_WRONLY,
            (true, true, false) => libc::O_RDWR,
            (false, _, true) => libc::O_WRONLY | libc::O_APPEND,
            (true, _, true) => libc::O_RDWR | libc::O_APPEND,
            (false, false, false) => return Err("neither read, write nor append was asked for"),
        };
        if !self.write && !self.append && (self.create || self.create_new || self.truncate) {
            return Err("creating or truncating a file needs write or append access");
        }
        if self.append && self.truncate && !self.create_new {
            return Err("a file cannot be opened for appending and be truncated");
        }
        let creation = match (self.create, self.truncate, self.create_new) {
            (_, _, true) => libc::O_CREAT | libc::O_EXCL,
            (true, true, false) => libc::O_CREAT | libc::O_TRUNC,
            (true, false, false) => libc::O_CREAT,
            (false, true, false) => libc::O_TRUNC,
            (false, false, false) => 0,
        };
        Ok(access | creation | (self.custom_flags & !libc::O_ACCMODE))
    }
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every combination of the six switches.
    fn combinations() -> impl Iterator<Item = [bool; 6]> {
        (0..64).map(|bits| std::array::from_fn(|bit| bits >> bit & 1 == 1))
    }

    #[test]
    #[cfg_attr(miri, ignore = "opens files by std, to compare")]
    fn options_are_valid_exactly_when_those_of_std_are() {
        for [read, write, append, truncate, create, create_new] in combinations() {
            let mut ours = OpenOptions::new();
            ours.read(read).write(write).append(append);
            ours.truncate(truncate).create(create).create_new(create_new);
            let mut theirs = std::fs::OpenOptions::new();
            theirs.read(read).write(write).append(append);
            theirs.truncate(truncate).create(create).create_new(create_new);
            // No file can be made there, so nothing but the options can be invalid.
            let valid = match theirs.open("/proc/none/none") {
                Err(error) => error.kind() != io::ErrorKind::InvalidInput,
                Ok(_) => true,
            };
            assert_eq!(ours.flags().is_ok(), valid, "{ours:?}");
        }
    }

    #[test]
    fn custom_flags_cannot_change_the_access_mode() {
        let flags = OpenOptions::new().read(true).custom_flags(libc::O_RDWR | libc::O_SYNC).flags();
        assert_eq!(flags, Ok(libc::O_RDONLY | libc::O_SYNC));
    }
}

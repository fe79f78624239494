//! The contents of one file to another by plain calls, which block: for a thread of the pool.

use std::fs::{File, Metadata, Permissions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::sync::atomic::{AtomicBool, Ordering};

use super::copy::same_file;
use crate::sys::transfer;

/// What is moved between two looks at whether to go on, and what the pipe holds. Smaller pieces cost more; those
/// of a megabyte have the page cache allocate as much in one piece, which was measured to take up to four times
/// as long where such pieces are rare or the host of a virtual machine has to provide them.
const PIECE_BYTES: usize = 256 << 10;

/// The mode bits that are copied. Not set-user-ID and the like: the owner may be another.
pub(super) const PERMISSIONS: u32 = 0o777;
/// All that there are.
const ALL_PERMISSIONS: u32 = 0o7777;
const OWNER_WRITES: u32 = 0o200;

/// What a file server is asked to copy at once.
const SERVER_PIECE_BYTES: usize = 64 << 20;

/// File systems that have `copy_file_range(2)` done on a server: NFS, SMB (two numbers), Ceph, FUSE.
/// Elsewhere it moves pages as a pipe does, 64 KiB at a time.
const SERVERS: [i64; 5] = [0x6969, 0xff53_4d42, 0xfe53_4d42, 0x00c3_6400, 0x6573_5546];

/// Copies contents and permissions, unless `stop` becomes true; returns the length of the copy in bytes. None,
/// and nothing was done, where the destination is no regular file: that may block for ever.
pub(super) fn copy(from: &File, to: &mut File, stop: &AtomicBool) -> io::Result<Option<u64>> {
    let (source, there) = (from.metadata()?, to.metadata()?);
    if !there.is_file() {
        return Ok(None);
    }
    if (there.dev(), there.ino()) == (source.dev(), source.ino()) {
        return Err(same_file());
    }
    // Meanwhile nobody may read who may not in the end, and the owner may write: whoever goes on with what an
    // interrupted copy left has to open it.
    let mode = source.mode() & PERMISSIONS;
    let meanwhile = there.mode() & (mode | OWNER_WRITES);
    change_mode(to, there.mode() & ALL_PERMISSIONS, meanwhile)?;
    if there.len() > 0 {
        to.set_len(0)?;
    }
    let copied = copy_contents(from, to, &source, stop)?;
    change_mode(to, meanwhile, mode)?;
    Ok(Some(copied))
}

fn change_mode(file: &File, before: u32, after: u32) -> io::Result<()> {
    if before == after { Ok(()) } else { file.set_permissions(Permissions::from_mode(after)) }
}

fn copy_contents(
    from: &File,
    to: &mut File,
    source: &Metadata,
    stop: &AtomicBool,
) -> io::Result<u64> {
    if transfer::share_contents(from.as_fd(), to.as_fd()).is_ok() {
        return to.metadata().map(|copy| copy.len());
    }
    let mut way = Way::between(from, to)?;
    // Fewer blocks than bytes: there are holes. Files that tell neither, as in proc(5), have none.
    if source.blocks() * 512 < source.len() {
        copy_extents(from, to, source, &mut way, stop)
    } else {
        copy_range(from, to, 0..u64::MAX, &mut way, stop)
    }
}

/// Copies what is data, and leaves holes where there are some.
fn copy_extents(
    from: &File,
    to: &mut File,
    source: &Metadata,
    way: &mut Way,
    stop: &AtomicBool,
) -> io::Result<u64> {
    let mut at = 0;
    loop {
        let data = match transfer::seek_next(from.as_fd(), at, libc::SEEK_DATA) {
            Ok(data) => data,
            // No data from here on.
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => break,
            // A file system that knows of no holes.
            Err(_) if at == 0 => return copy_range(from, to, 0..u64::MAX, way, stop),
            Err(error) => return Err(error),
        };
        let end = transfer::seek_next(from.as_fd(), data, libc::SEEK_HOLE)?;
        to.seek(SeekFrom::Start(data))?;
        at = copy_range(from, to, data..end, way, stop)?;
        if at < end {
            // It has become shorter meanwhile.
            return Ok(at);
        }
    }
    // The hole at the end, which nothing was written behind.
    let len = at.max(source.len());
    to.set_len(len)?;
    Ok(len)
}

/// Copies a range to where `to` stands; returns where the copy ended, which is where the source did if that is
/// before the end of the range.
fn copy_range(
    from: &File,
    to: &mut File,
    range: Range<u64>,
    way: &mut Way,
    stop: &AtomicBool,
) -> io::Result<u64> {
    let mut at = range.start;
    while at < range.end {
        if stop.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(libc::ECANCELED));
        }
        let most = usize::try_from(range.end - at).unwrap_or(usize::MAX);
        match way.copy_some(from, at, to, most) {
            Ok(0) => break,
            Ok(moved) => at += moved as u64,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => match way.next(&error) {
                Some(other) => *way = other,
                None => return Err(error),
            },
        }
    }
    Ok(at)
}

/// How bytes go from one file to the other.
enum Way {
    /// By the server that has both.
    Server,
    /// Through a pipe, whose pages are those of the source: a copy less than with a buffer.
    Pipe { reader: OwnedFd, writer: OwnedFd, held: usize },
    /// Through memory of ours.
    Buffer(Vec<u8>),
}

impl Way {
    /// The cheapest one to try first.
    fn between(from: &File, to: &File) -> io::Result<Way> {
        let kind = transfer::file_system(from.as_fd())?;
        let same = kind == transfer::file_system(to.as_fd())?;
        Ok(if same && SERVERS.contains(&kind) { Way::Server } else { Way::pipe() })
    }

    /// A pipe, or a buffer where there is none of a good size: they are limited by user, pipe(7).
    fn pipe() -> Way {
        let pipe = transfer::pipe().and_then(|(reader, writer)| {
            transfer::resize_pipe(writer.as_fd(), PIECE_BYTES as i32)?;
            Ok((reader, writer))
        });
        match pipe {
            Ok((reader, writer)) => Way::Pipe { reader, writer, held: 0 },
            Err(_) => Way::buffer(),
        }
    }

    fn buffer() -> Way {
        Way::Buffer(vec![0; PIECE_BYTES])
    }

    /// What to try after an error that says nothing but that this way leads nowhere here.
    fn next(&self, error: &io::Error) -> Option<Way> {
        let errno = error.raw_os_error().unwrap_or_default();
        match (self, errno) {
            (
                Way::Server,
                libc::EINVAL
                | libc::EOPNOTSUPP
                | libc::EXDEV
                | libc::ENOSYS
                | libc::EPERM
                | libc::EIO,
            ) => Some(Way::pipe()),
            (Way::Pipe { .. }, libc::EINVAL | libc::EOPNOTSUPP) => Some(Way::buffer()),
            _ => None,
        }
    }

    /// Moves some bytes from `at` on; returns how many have arrived. None is the end of the source.
    fn copy_some(&mut self, from: &File, at: u64, to: &mut File, most: usize) -> io::Result<usize> {
        match self {
            Way::Server => {
                let most = most.min(SERVER_PIECE_BYTES);
                match transfer::copy_range(from.as_fd(), at, to.as_fd(), most)? {
                    // Also what some file systems say of a file that does not tell its size.
                    0 => {
                        *self = Way::pipe();
                        self.copy_some(from, at, to, most)
                    }
                    moved => Ok(moved),
                }
            }
            Way::Pipe { reader, writer, held } => {
                if *held == 0 {
                    let most = most.min(PIECE_BYTES);
                    *held = transfer::splice(from.as_fd(), Some(at), writer.as_fd(), most)?;
                    if *held == 0 {
                        return Ok(0);
                    }
                }
                let moved = transfer::splice(reader.as_fd(), None, to.as_fd(), *held)?;
                *held -= moved;
                if moved == 0 { Err(ErrorKind::WriteZero.into()) } else { Ok(moved) }
            }
            Way::Buffer(buffer) => {
                let most = most.min(buffer.len());
                let read = from.read_at(&mut buffer[..most], at)?;
                to.write_all(&buffer[..read])?;
                Ok(read)
            }
        }
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    /// A file of no name that holds `count` bytes.
    fn nameless(count: usize) -> File {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = File::options();
        options.read(true).write(true).custom_flags(libc::O_TMPFILE);
        let file = options.open(std::env::temp_dir()).expect("a temporary file");
        file.write_all_at(&vec![7; count], 0).expect("written");
        file
    }

    #[test]
    fn a_copy_that_is_to_stop_fails_and_leaves_the_rest() {
        let (from, mut to) = (nameless(3 << 20), nameless(0));
        let error = copy(&from, &mut to, &AtomicBool::new(true)).expect_err("stopped");
        // Sharing the contents is done at once where it can be.
        assert_eq!(error.raw_os_error(), Some(libc::ECANCELED));
    }

    #[test]
    fn every_way_copies_a_part_to_where_the_copy_stands() {
        for mut way in [Way::Server, Way::pipe(), Way::buffer()] {
            let (from, mut to) = (nameless(0), nameless(0));
            let bytes: Vec<u8> = (0..3_000_000).map(|i| (i % 251) as u8).collect();
            from.write_all_at(&bytes, 0).expect("written");
            to.seek(SeekFrom::Start(10)).expect("a position");
            let range = 5..2_500_001;
            let go_on = AtomicBool::new(false);
            let end = copy_range(&from, &mut to, range, &mut way, &go_on).expect("copied");
            assert_eq!(end, 2_500_001);
            let mut copied = vec![0; 2_499_996];
            to.read_exact_at(&mut copied, 10).expect("read");
            assert!(copied == bytes[5..2_500_001]);
            assert_eq!(to.metadata().expect("metadata").len(), 2_500_006);
        }
    }

    #[test]
    fn a_source_that_ends_before_the_range_ends_the_copy() {
        for mut way in [Way::Server, Way::pipe(), Way::buffer()] {
            let (from, mut to) = (nameless(100), nameless(0));
            let go_on = AtomicBool::new(false);
            let end = copy_range(&from, &mut to, 0..1000, &mut way, &go_on).expect("copied");
            assert_eq!((end, to.metadata().expect("metadata").len()), (100, 100));
        }
    }
}

//! Operations on files and paths, each on Linux.

use std::ffi::{CStr, CString};
use std::fs::{self, File, OpenOptions};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use runtime_tests::ring::{BareRing, on_a_ring};
use runtime_tests::{TempDir, pipe, skipped};
use uring::ring::{
    At, BufIndex, FileAdvice, Opcode, OpenHow, RwFlags, SpliceFlags, Sqe, Statx,
    SyncFileRangeFlags, Target,
};

const CWD: At<'_> = At::WorkingDirectory;

/// A directory with paths in it as operations want them.
struct Paths(TempDir);

impl Paths {
    fn new() -> Paths {
        Paths(TempDir::new())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn c(&self, name: &str) -> CString {
        CString::new(self.path(name).as_os_str().as_bytes()).expect("no zero byte")
    }

    /// A new file that is open for reading and writing.
    fn file(&self, name: &str, content: &[u8]) -> File {
        fs::write(self.path(name), content).expect("a file");
        let mut options = OpenOptions::new();
        options.read(true).write(true).open(self.path(name)).expect("the file")
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect("the file")
    }
}

fn of(file: &File) -> Target<'_> {
    file.as_fd().into()
}

/// Runs a test with a ring and a directory.
fn with_paths(test: impl FnOnce(&mut BareRing, &Paths)) {
    on_a_ring(|ring| test(ring, &Paths::new()));
}

#[test]
fn a_read_at_the_current_position_moves_it() {
    with_paths(|ring, paths| {
        let file = paths.file("a", b"0123456789");
        let mut buf = [0; 4];
        assert_eq!(ring.run(Sqe::read(of(&file), &mut buf[..], None)), 4);
        assert_eq!(&buf, b"0123");
        assert_eq!(ring.run(Sqe::read(of(&file), &mut buf[..], Some(6))), 4);
        assert_eq!(&buf, b"6789");
        assert_eq!(ring.run(Sqe::read(of(&file), &mut buf[..], None)), 4);
        assert_eq!(&buf, b"4567");
        assert_eq!(ring.run(Sqe::read(of(&file), &mut buf[..], Some(10))), 0);
    });
}

#[test]
fn a_write_lands_where_it_says() {
    with_paths(|ring, paths| {
        let file = paths.file("a", b"......");
        assert_eq!(ring.run(Sqe::write(of(&file), b"ab", Some(3))), 2);
        let append = Sqe::write(of(&file), b"c", Some(0)).rw_flags(RwFlags::APPEND);
        assert_eq!(ring.run(append), 1);
        assert_eq!(paths.read("a"), b"...ab.c");
    });
}

#[test]
fn vectors_are_written_and_read_in_their_order() {
    with_paths(|ring, paths| {
        let file = paths.file("a", b"");
        let slices = [IoSlice::new(b"one"), IoSlice::new(b""), IoSlice::new(b"two")];
        assert_eq!(ring.run(Sqe::write_vectored(of(&file), &slices, Some(1))), 6);
        let (mut a, mut b) = ([0; 2], [0; 8]);
        let mut rooms = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
        assert_eq!(ring.run(Sqe::read_vectored(of(&file), &mut rooms, Some(0))), 7);
        assert_eq!((&a, &b[..5]), (b"\0o", &b"netwo"[..]));
    });
}

#[test]
fn registered_buffers_are_written_and_read() {
    with_paths(|ring, paths| {
        let file = paths.file("a", b"");
        let mut buffers = ring.ring().register_buffers(&[4096]).expect("buffers");
        buffers.bytes_mut(0).expect("a buffer")[..5].copy_from_slice(b"fixed");
        let part = buffers.part(0).and_then(|part| part.slice(..5)).expect("a part");
        assert_eq!(ring.run(Sqe::write_fixed(of(&file), part, Some(0))), 5);
        let part = buffers.part_mut(0).and_then(|part| part.slice(10..14)).expect("a part");
        assert_eq!(ring.run(Sqe::read_fixed(of(&file), part, Some(1))), 4);
        assert_eq!(&buffers.bytes(0).expect("a buffer")[10..15], b"ixed\0");
        assert_eq!(paths.read("a"), b"fixed");
    });
}

#[test]
fn vectors_in_a_registered_buffer_are_written_and_read() {
    with_paths(|ring, paths| {
        if ring.lacks(Opcode::READV_FIXED) {
            return;
        }
        let file = paths.file("a", b"");
        let mut buffers = ring.ring().register_buffers(&[4096]).expect("buffers");
        let index = BufIndex::new(ring.ring().id(), 0);
        let bytes = buffers.bytes_mut(0).expect("a buffer");
        bytes[..6].copy_from_slice(b"abcdef");
        let slices = [IoSlice::new(&bytes[4..6]), IoSlice::new(&bytes[..2])];
        let write = Sqe::write_vectored_fixed(of(&file), index, &slices, Some(0));
        assert_eq!(ring.run(write), 4);
        assert_eq!(paths.read("a"), b"efab");
        let (first, second) = bytes.split_at_mut(2048);
        let mut rooms = [IoSliceMut::new(&mut second[..1]), IoSliceMut::new(&mut first[..3])];
        let read = Sqe::read_vectored_fixed(of(&file), index, &mut rooms, Some(0));
        assert_eq!(ring.run(read), 4);
        assert_eq!((&bytes[2048..2049], &bytes[..3]), (&b"e"[..], &b"fab"[..]));
        let elsewhere = [IoSlice::new(b"not in the buffer")];
        let write = Sqe::write_vectored_fixed(of(&file), index, &elsewhere, Some(0));
        assert_eq!(ring.run(write), -libc::EFAULT);
    });
}

#[test]
fn a_file_is_flushed_whole_or_in_part() {
    with_paths(|ring, paths| {
        let file = paths.file("a", &[1; 8192]);
        let results = ring.run_all([
            Sqe::fsync(of(&file), false),
            Sqe::fsync(of(&file), true),
            Sqe::fsync_range(of(&file), true, 0, 4096),
            Sqe::sync_file_range(of(&file), 0, 4096, SyncFileRangeFlags::WRITE_AND_WAIT),
        ]);
        assert_eq!(results, [0, 0, 0, 0]);
    });
}

#[test]
fn a_file_is_lengthened_and_cut() {
    with_paths(|ring, paths| {
        let file = paths.file("a", b"abc");
        assert_eq!(ring.run(Sqe::fallocate(of(&file), 0, 0, 65536)), 0);
        assert_eq!(paths.read("a").len(), 65536);
        if ring.lacks(Opcode::FTRUNCATE) {
            return;
        }
        assert_eq!(ring.run(Sqe::ftruncate(of(&file), 2)), 0);
        assert_eq!(paths.read("a"), b"ab");
    });
}

#[test]
fn advice_about_a_file_is_taken() {
    with_paths(|ring, paths| {
        let file = paths.file("a", &[1; 8192]);
        for advice in [
            FileAdvice::Normal,
            FileAdvice::Random,
            FileAdvice::Sequential,
            FileAdvice::WillNeed,
            FileAdvice::DontNeed,
            FileAdvice::NoReuse,
        ] {
            assert_eq!(ring.run(Sqe::fadvise(of(&file), 0, 4096, advice)), 0, "{advice:?}");
        }
        let (reader, _writer) = pipe();
        let on_pipe = Sqe::fadvise(reader.as_fd().into(), 0, 0, FileAdvice::Normal);
        assert_eq!(ring.run(on_pipe), -libc::ESPIPE);
    });
}

/// What a result that is a descriptor stands for.
fn opened(result: i32) -> File {
    assert!(result > 2, "{result} is a new descriptor");
    // SAFETY: the operation has just made it, for us alone.
    unsafe { OwnedFd::from_raw_fd(result) }.into()
}

#[test]
fn a_file_is_opened_described_and_closed() {
    with_paths(|ring, paths| {
        let path = paths.c("a");
        let flags = libc::O_CREAT | libc::O_RDWR | libc::O_CLOEXEC;
        let file = opened(ring.run(Sqe::open_at(CWD, &path, flags, 0o600)));
        assert_eq!(ring.run(Sqe::write(of(&file), b"abcdef", Some(0))), 6);
        let mut found = Statx::default();
        let statx = Sqe::statx(CWD, &path, 0, libc::STATX_SIZE, &mut found);
        assert_eq!(ring.run(statx), 0);
        assert_eq!(found.size, 6);
        let at = At::Fd(file.as_fd());
        let statx = Sqe::statx(at, c"", libc::AT_EMPTY_PATH, libc::STATX_MODE, &mut found);
        assert_eq!(ring.run(statx), 0);
        assert_eq!(found.mode & 0o777, 0o600);
        assert_eq!(ring.run(Sqe::close(file.into())), 0);
        let missing = paths.c("missing");
        assert_eq!(ring.run(Sqe::open_at(CWD, &missing, 0, 0)), -libc::ENOENT);
    });
}

#[test]
fn a_path_may_be_kept_below_its_directory() {
    with_paths(|ring, paths| {
        paths.file("a", b"");
        let directory = File::open(paths.0.path()).expect("the directory");
        let at = At::Fd(directory.as_fd());
        let how = OpenHow { flags: 0, mode: 0, resolve: libc::RESOLVE_BENEATH };
        drop(opened(ring.run(Sqe::open_at2(at, c"a", &how))));
        assert_eq!(ring.run(Sqe::open_at2(at, c"../a", &how)), -libc::EXDEV);
        let unknown = OpenHow { flags: 1 << 40, ..how };
        assert_eq!(ring.run(Sqe::open_at2(at, c"a", &unknown)), -libc::EINVAL);
    });
}

#[test]
fn names_are_changed_added_and_removed() {
    with_paths(|ring, paths| {
        paths.file("a", b"content");
        let (a, b, c, d) = (paths.c("a"), paths.c("b"), paths.c("c"), paths.c("d"));
        assert_eq!(ring.run(Sqe::rename_at(CWD, &a, CWD, &b, 0)), 0);
        assert_eq!(paths.read("b"), b"content");
        assert_eq!(ring.run(Sqe::link_at(CWD, &b, CWD, &c, 0)), 0);
        assert_eq!(paths.read("c"), b"content");
        assert_eq!(ring.run(Sqe::symlink_at(&b, CWD, &d)), 0);
        assert_eq!(fs::read_link(paths.path("d")).expect("a link"), paths.path("b"));
        let no_replace = Sqe::rename_at(CWD, &b, CWD, &c, libc::RENAME_NOREPLACE);
        assert_eq!(ring.run(no_replace), -libc::EEXIST);
        assert_eq!(ring.run(Sqe::unlink_at(CWD, &c, 0)), 0);
        assert!(!paths.path("c").exists());
        assert_eq!(ring.run(Sqe::unlink_at(CWD, &c, 0)), -libc::ENOENT);
    });
}

#[test]
fn directories_are_made_and_removed() {
    with_paths(|ring, paths| {
        let sub = paths.c("sub");
        assert_eq!(ring.run(Sqe::mkdir_at(CWD, &sub, 0o755)), 0);
        assert_eq!(ring.run(Sqe::mkdir_at(CWD, &sub, 0o755)), -libc::EEXIST);
        assert_eq!(ring.run(Sqe::unlink_at(CWD, &sub, 0)), -libc::EISDIR);
        assert_eq!(ring.run(Sqe::unlink_at(CWD, &sub, libc::AT_REMOVEDIR)), 0);
        assert!(!paths.path("sub").exists());
    });
}

const NAME: &CStr = c"user.comment";

#[test]
fn attributes_are_set_asked_for_and_read() {
    with_paths(|ring, paths| {
        let (file, path) = (paths.file("a", b""), paths.c("a"));
        match ring.run(Sqe::fset_xattr(of(&file), NAME, b"first", 0)) {
            0 => {}
            errno if errno == -libc::EOPNOTSUPP => {
                return skipped("the file system of the temporary directory has no attributes");
            }
            errno => panic!("{errno}"),
        }
        let mut room = [0; 16];
        assert_eq!(ring.run(Sqe::get_xattr(&path, NAME, &mut room[..0])), 5);
        assert_eq!(ring.run(Sqe::get_xattr(&path, NAME, &mut room[..])), 5);
        assert_eq!(&room[..5], b"first");
        assert_eq!(ring.run(Sqe::set_xattr(&path, NAME, b"second", libc::XATTR_REPLACE)), 0);
        assert_eq!(ring.run(Sqe::fget_xattr(of(&file), NAME, &mut room[..])), 6);
        assert_eq!(&room[..6], b"second");
        assert_eq!(ring.run(Sqe::fget_xattr(of(&file), NAME, &mut room[..2])), -libc::ERANGE);
        let missing = ring.run(Sqe::get_xattr(&path, c"user.missing", &mut room[..]));
        assert_eq!(missing, -libc::ENODATA);
    });
}

#[test]
fn bytes_go_from_file_to_pipe_to_pipe_to_file() {
    with_paths(|ring, paths| {
        let (from, into) = (paths.file("a", b"..splice"), paths.file("b", b""));
        let ((read, write), (read2, write2)) = (pipe(), pipe());
        let (read, write) = (Target::from(read.as_fd()), Target::from(write.as_fd()));
        let (read2, write2) = (Target::from(read2.as_fd()), Target::from(write2.as_fd()));
        let none = SpliceFlags::empty();
        assert_eq!(ring.run(Sqe::splice(of(&from), Some(2), write, None, 100, none)), 6);
        assert_eq!(ring.run(Sqe::tee(read, write2, 100, none)), 6);
        assert_eq!(ring.run(Sqe::splice(read2, None, of(&into), Some(1), 100, none)), 6);
        assert_eq!(paths.read("b"), b"\0splice");
        let mut left = [0; 8];
        assert_eq!(ring.run(Sqe::read(read, &mut left[..], None)), 6);
        let neither = Sqe::splice(of(&from), Some(0), of(&into), Some(0), 1, none);
        assert_eq!(ring.run(neither), -libc::EINVAL);
    });
}

#[test]
fn a_chain_copies_a_file_in_one_submission() {
    with_paths(|ring, paths| {
        let file = paths.file("a", b"");
        let mut buf = [0; 3];
        let results = ring.run_all([
            Sqe::write(of(&file), b"abc", Some(10)).link(),
            Sqe::fsync(of(&file), true).link(),
            Sqe::read(of(&file), &mut buf[..], Some(10)),
        ]);
        assert_eq!((results, &buf), (vec![3, 0, 3], b"abc"));
    });
}

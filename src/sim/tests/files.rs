//! Opening, reading, writing, sizing and describing files.

use std::ffi::CStr;
use std::time::Duration;

use super::*;
use crate::ring::{At, Statx};

const RDWR: i32 = libc::O_RDWR | libc::O_CREAT;

fn try_open(ring: &mut Ring, path: &CStr, flags: i32) -> i32 {
    complete(ring, Sqe::open_at(At::WorkingDirectory, path, flags, 0o644))
}

fn statx(ring: &mut Ring, at: At<'_>, path: &CStr, flags: i32) -> Result<Statx, i32> {
    let mut out = Statx::default();
    match complete(ring, Sqe::statx(at, path, flags, libc::STATX_BASIC_STATS, &mut out)) {
        0 => Ok(out),
        errno => Err(-errno),
    }
}

#[test]
fn open_answers_with_the_errors_of_its_man_page() {
    let (sim, mut ring) = machine(1);
    sim.write_file("/data/file", b"content");
    let directory = libc::O_DIRECTORY;
    for (path, flags, errno) in [
        (c"/data/none", libc::O_RDONLY, libc::ENOENT),
        (c"", libc::O_RDONLY, libc::ENOENT),
        (c"/none/file", RDWR, libc::ENOENT),
        (c"/data/file", RDWR | libc::O_EXCL, libc::EEXIST),
        (c"/data", libc::O_RDWR, libc::EISDIR),
        (c"/data/new/", RDWR, libc::EISDIR),
        (c"/data/file", directory, libc::ENOTDIR),
        (c"/data/file/", libc::O_RDONLY, libc::ENOTDIR),
        (c"/data/file/below", RDWR, libc::ENOTDIR),
    ] {
        assert_eq!(try_open(&mut ring, path, flags), -errno, "{path:?}");
    }
    assert!(try_open(&mut ring, c"/data/../data/./file", libc::O_RDONLY) > 0);
    assert!(try_open(&mut ring, c"data", directory) > 0);
    assert_eq!(sim.open_descriptors(), 2);
}

#[test]
fn paths_start_at_the_directory_they_are_given() {
    let (sim, mut ring) = machine(2);
    sim.write_file("/a/b", b"deep");
    let directory = open(&mut ring, c"/a", libc::O_RDONLY);
    let number = complete(&mut ring, Sqe::open_at(At::Fd(borrow(directory)), c"b", 0, 0));
    assert_eq!(read(&mut ring, number, 8, None), Ok(b"deep".to_vec()));
    let from_file = Sqe::open_at(At::Fd(borrow(number)), c"b", 0, 0);
    assert_eq!(complete(&mut ring, from_file), -libc::ENOTDIR);
}

#[test]
fn reads_and_writes_move_the_position_unless_an_offset_is_given() {
    let (sim, mut ring) = machine(3);
    let number = open(&mut ring, c"/f", RDWR);
    assert_eq!(write(&mut ring, number, b"hello ", None), 6);
    assert_eq!(write(&mut ring, number, b"world", None), 5);
    assert_eq!(write(&mut ring, number, b"J", Some(0)), 1);
    assert_eq!(read(&mut ring, number, 5, Some(0)), Ok(b"Jello".to_vec()));
    assert_eq!(read(&mut ring, number, 5, None), Ok(Vec::new()));
    assert_eq!(sim.read_file("/f"), Some(b"Jello world".to_vec()));
}

#[test]
fn the_direction_that_a_file_was_not_opened_for_is_ebadf() {
    let (sim, mut ring) = machine(4);
    sim.write_file("f", b"x");
    let reading = open(&mut ring, c"f", libc::O_RDONLY);
    let writing = open(&mut ring, c"f", libc::O_WRONLY);
    assert_eq!(write(&mut ring, reading, b"y", None), -libc::EBADF);
    assert_eq!(read(&mut ring, writing, 1, None), Err(libc::EBADF));
    let directory = open(&mut ring, c"/", libc::O_RDONLY);
    assert_eq!(read(&mut ring, directory, 1, None), Err(libc::EISDIR));
    assert_eq!(complete(&mut ring, Sqe::ftruncate(target(reading), 0)), -libc::EINVAL);
}

#[test]
fn appending_ignores_the_offset_and_truncating_empties() {
    let (sim, mut ring) = machine(5);
    sim.write_file("f", b"one");
    let appending = open(&mut ring, c"f", libc::O_WRONLY | libc::O_APPEND);
    assert_eq!(write(&mut ring, appending, b"two", Some(0)), 3);
    assert_eq!(sim.read_file("f"), Some(b"onetwo".to_vec()));
    open(&mut ring, c"f", libc::O_WRONLY | libc::O_TRUNC);
    assert_eq!(sim.read_file("f"), Some(Vec::new()));
}

#[test]
fn a_hole_reads_as_zeros_and_takes_no_blocks() {
    let (_sim, mut ring) = machine(6);
    let number = open(&mut ring, c"f", RDWR);
    assert_eq!(write(&mut ring, number, b"end", Some(100_000)), 3);
    assert_eq!(read(&mut ring, number, 3, Some(50_000)), Ok(vec![0; 3]));
    let found = statx(&mut ring, At::Fd(borrow(number)), c"", libc::AT_EMPTY_PATH).expect("statx");
    assert_eq!((found.size, found.blocks), (100_003, 8));
}

#[test]
fn a_file_grows_up_to_the_limit_and_then_says_enospc() {
    let (sim, mut ring) = machine(7);
    sim.limit_file_size(4);
    let number = open(&mut ring, c"f", RDWR);
    assert_eq!(write(&mut ring, number, b"abcdef", None), 4);
    assert_eq!(write(&mut ring, number, b"ef", None), -libc::ENOSPC);
    assert_eq!(complete(&mut ring, Sqe::fallocate(target(number), 0, 0, 5)), -libc::ENOSPC);
    assert_eq!(complete(&mut ring, Sqe::ftruncate(target(number), 5)), -libc::EFBIG);
    assert_eq!(sim.read_file("f"), Some(b"abcd".to_vec()));
}

#[test]
fn the_devices_swallow_and_refuse() {
    let (_sim, mut ring) = machine(8);
    let null = open(&mut ring, c"/dev/null", libc::O_RDWR);
    assert_eq!(write(&mut ring, null, b"gone", None), 4);
    assert_eq!(read(&mut ring, null, 4, None), Ok(Vec::new()));
    let full = open(&mut ring, c"/dev/full", libc::O_RDWR);
    assert_eq!(write(&mut ring, full, b"x", None), -libc::ENOSPC);
    assert_eq!(read(&mut ring, full, 2, None), Ok(vec![0, 0]));
    assert_eq!(complete(&mut ring, Sqe::fsync(target(null), false)), -libc::EINVAL);
}

#[test]
fn sizes_are_set_by_ftruncate_and_by_fallocate_unless_it_is_to_keep_them() {
    let (sim, mut ring) = machine(9);
    let number = open(&mut ring, c"f", RDWR);
    assert_eq!(write(&mut ring, number, b"abcdef", None), 6);
    assert_eq!(complete(&mut ring, Sqe::ftruncate(target(number), 2)), 0);
    sim._table.truncate(number, 4).expect("truncate");
    assert_eq!(sim.read_file("f"), Some(b"ab\0\0".to_vec()));
    let keep = libc::FALLOC_FL_KEEP_SIZE as u32;
    assert_eq!(complete(&mut ring, Sqe::fallocate(target(number), keep, 0, 9000)), 0);
    let kept = statx(&mut ring, At::WorkingDirectory, c"f", 0).expect("statx");
    assert_eq!((kept.size, kept.blocks), (4, 24));
    assert_eq!(complete(&mut ring, Sqe::fallocate(target(number), 0, 4, 2)), 0);
    assert_eq!(sim.read_file("f").map(|bytes| bytes.len()), Some(6));
    let punch = Sqe::fallocate(target(number), libc::FALLOC_FL_PUNCH_HOLE as u32, 0, 1);
    assert_eq!(complete(&mut ring, punch), -libc::EOPNOTSUPP);
    assert_eq!(complete(&mut ring, Sqe::fsync(target(number), true)), 0);
}

#[test]
fn statx_tells_what_a_file_is_and_when_it_changed() {
    let (sim, mut ring) = machine(10);
    sim.make_dir("/d/below");
    let number = open(&mut ring, c"/d/f", RDWR);
    let first = statx(&mut ring, At::WorkingDirectory, c"/d/f", 0).expect("statx");
    assert_eq!(u32::from(first.mode), libc::S_IFREG | 0o644);
    assert_eq!((first.size, first.nlink), (0, 1));
    sim.advance(Duration::from_secs(60));
    write(&mut ring, number, b"x", None);
    let later = statx(&mut ring, At::WorkingDirectory, c"/d/f", 0).expect("statx");
    assert_eq!(later.ino, first.ino);
    assert!(later.mtime.sec >= first.mtime.sec + 60);
    let directory = statx(&mut ring, At::WorkingDirectory, c"/d", 0).expect("statx");
    assert_eq!(u32::from(directory.mode), libc::S_IFDIR | 0o755);
    assert_eq!(directory.nlink, 3);
    let (reader, _) = sim.pipe();
    let pipe = statx(&mut ring, At::Fd(borrow(reader)), c"", libc::AT_EMPTY_PATH).expect("statx");
    assert_eq!(u32::from(pipe.mode) & libc::S_IFMT, libc::S_IFIFO);
    let none = statx(&mut ring, At::WorkingDirectory, c"/none", 0);
    assert_eq!(none.map(|found| found.ino), Err(libc::ENOENT));
}

#[test]
fn numbers_that_are_not_open_are_ebadf_those_of_linux_too() {
    let (sim, mut ring) = machine(11);
    let number = open(&mut ring, c"f", RDWR);
    assert_eq!(close(&mut ring, number), 0);
    assert_eq!(close(&mut ring, number), -libc::EBADF);
    assert_eq!(write(&mut ring, number, b"x", None), -libc::EBADF);
    assert_eq!(write(&mut ring, 1, b"x", None), -libc::EBADF);
    assert_eq!(sim._table.close(number).map_err(|e| e.raw_os_error()), Err(Some(libc::EBADF)));
    assert_eq!(sim.open_descriptors(), 0);
}

#[test]
fn the_lowest_number_is_given_out_again() {
    let (_sim, mut ring) = machine(12);
    let first = open(&mut ring, c"f", RDWR);
    let second = open(&mut ring, c"f", RDWR);
    assert_eq!(close(&mut ring, first), 0);
    assert_eq!(open(&mut ring, c"f", RDWR), first);
    assert_ne!(second, first);
}

#[test]
fn a_read_in_flight_outlives_the_number_it_was_given() {
    let (sim, mut ring) = machine(13);
    let (reader, writer) = sim.pipe();
    let mut room = Vec::with_capacity(8);
    let sqe = Sqe::read(target(reader), room.spare_capacity_mut(), None).user_data(1);
    // SAFETY: `room` is not touched before the read completes.
    unsafe { ring.push(sqe.into_raw()) }.expect("space");
    ring.submit().expect("enter");
    sim._table.close(reader).expect("close");
    assert_eq!(write(&mut ring, writer, b"late", None), 4);
    let done = if sim.in_flight() > 0 { wait_for(&mut ring, 1) } else { settle(&mut ring) };
    assert_eq!(done, [(1, 4)]);
    assert_eq!(write(&mut ring, writer, b"x", None), -libc::EPIPE);
}

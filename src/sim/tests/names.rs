//! Making, linking, renaming and removing what has a name.

use std::ffi::CStr;

use super::*;
use crate::ring::{At, Statx};

const HERE: At<'static> = At::WorkingDirectory;

fn mkdir(ring: &mut Ring, path: &CStr) -> i32 {
    complete(ring, Sqe::mkdir_at(HERE, path, 0o777))
}

fn unlink(ring: &mut Ring, path: &CStr, flags: i32) -> i32 {
    complete(ring, Sqe::unlink_at(HERE, path, flags))
}

fn rename(ring: &mut Ring, old: &CStr, new: &CStr, flags: u32) -> i32 {
    complete(ring, Sqe::rename_at(HERE, old, HERE, new, flags))
}

fn symlink(ring: &mut Ring, to: &CStr, path: &CStr) -> i32 {
    complete(ring, Sqe::symlink_at(to, HERE, path))
}

fn link(ring: &mut Ring, old: &CStr, new: &CStr) -> i32 {
    complete(ring, Sqe::link_at(HERE, old, HERE, new, 0))
}

fn statx(ring: &mut Ring, path: &CStr, flags: i32) -> (u32, u32, u64) {
    let mut out = Statx::default();
    let sqe = Sqe::statx(HERE, path, flags, libc::STATX_BASIC_STATS, &mut out);
    assert_eq!(complete(ring, sqe), 0);
    (u32::from(out.mode) & libc::S_IFMT, out.nlink, out.size)
}

#[test]
fn directories_are_made_once_and_removed_when_they_are_empty() {
    let (sim, mut ring) = machine(1);
    assert_eq!(mkdir(&mut ring, c"/d"), 0);
    assert_eq!(mkdir(&mut ring, c"/d/e/"), 0);
    for (path, errno) in [
        (c"/d", libc::EEXIST),
        (c"/d/..", libc::EEXIST),
        (c"/none/e", libc::ENOENT),
        (c"/dev/null/e", libc::ENOTDIR),
        (c"", libc::ENOENT),
    ] {
        assert_eq!(mkdir(&mut ring, path), -errno, "{path:?}");
    }
    sim.write_file("/d/f", b"x");
    for (path, flags, errno) in [
        (c"/d", libc::AT_REMOVEDIR, libc::ENOTEMPTY),
        (c"/d", 0, libc::EISDIR),
        (c"/d/f", libc::AT_REMOVEDIR, libc::ENOTDIR),
        (c"/d/f/", 0, libc::ENOTDIR),
        (c"/d/none", 0, libc::ENOENT),
        (c"/d/.", libc::AT_REMOVEDIR, libc::EINVAL),
        (c"/d/e/..", libc::AT_REMOVEDIR, libc::ENOTEMPTY),
        (c"/", libc::AT_REMOVEDIR, libc::EBUSY),
    ] {
        assert_eq!(unlink(&mut ring, path, flags), -errno, "{path:?}");
    }
    assert_eq!(unlink(&mut ring, c"/d/f", 0), 0);
    assert_eq!(unlink(&mut ring, c"/d/e", libc::AT_REMOVEDIR), 0);
    assert_eq!(unlink(&mut ring, c"/d", libc::AT_REMOVEDIR), 0);
    assert_eq!(mkdir(&mut ring, c"/d/e"), -libc::ENOENT);
}

#[test]
fn an_open_file_outlives_its_name() {
    let (sim, mut ring) = machine(2);
    sim.write_file("/f", b"kept");
    let number = open(&mut ring, c"/f", libc::O_RDONLY);
    assert_eq!(unlink(&mut ring, c"/f", 0), 0);
    assert_eq!(sim.read_file("/f"), None);
    assert_eq!(read(&mut ring, number, 8, None), Ok(b"kept".to_vec()));
}

#[test]
fn a_rename_replaces_what_it_may() {
    let (sim, mut ring) = machine(3);
    sim.write_file("/a", b"a");
    sim.write_file("/b", b"b");
    sim.make_dir("/d/below");
    sim.make_dir("/empty");
    let (no_replace, exchange) = (libc::RENAME_NOREPLACE, libc::RENAME_EXCHANGE);
    for (old, new, flags, errno) in [
        (c"/none", c"/x", 0, libc::ENOENT),
        (c"/a", c"/none/x", 0, libc::ENOENT),
        (c"/a", c"/b", no_replace, libc::EEXIST),
        (c"/a", c"/none", exchange, libc::ENOENT),
        (c"/a", c"/empty", 0, libc::EISDIR),
        (c"/empty", c"/a", 0, libc::ENOTDIR),
        (c"/empty", c"/d", 0, libc::ENOTEMPTY),
        (c"/d", c"/d/below/x", 0, libc::EINVAL),
        (c"/d/below", c"/d", 0, libc::ENOTEMPTY),
        (c"/a", c"/x/", 0, libc::ENOTDIR),
        (c"/d/.", c"/x", 0, libc::EBUSY),
        (c"/a", c"/b", no_replace | exchange, libc::EINVAL),
    ] {
        assert_eq!(rename(&mut ring, old, new, flags), -errno, "{old:?} {new:?}");
    }
    assert_eq!(rename(&mut ring, c"/a", c"/b", 0), 0);
    assert_eq!((sim.read_file("/a"), sim.read_file("/b")), (None, Some(b"a".to_vec())));
    assert_eq!(rename(&mut ring, c"/d/below", c"/empty", 0), 0);
    assert_eq!(rename(&mut ring, c"/b", c"/d", exchange), 0);
    assert_eq!(sim.read_file("/d"), Some(b"a".to_vec()));
    assert_eq!(mkdir(&mut ring, c"/b/new"), 0);
}

#[test]
fn links_are_names_of_one_file_and_symbolic_links_lead_to_names() {
    let (sim, mut ring) = machine(4);
    sim.write_file("/d/f", b"once");
    assert_eq!(link(&mut ring, c"/d/f", c"/hard"), 0);
    assert_eq!(statx(&mut ring, c"/hard", 0), (libc::S_IFREG, 2, 4));
    assert_eq!(link(&mut ring, c"/d/f", c"/hard"), -libc::EEXIST);
    assert_eq!(link(&mut ring, c"/d", c"/dir"), -libc::EPERM);
    assert_eq!(link(&mut ring, c"/none", c"/x"), -libc::ENOENT);
    // Two names of one file are one already.
    assert_eq!(rename(&mut ring, c"/d/f", c"/hard", 0), 0);
    assert_eq!(sim.read_file("/d/f"), Some(b"once".to_vec()));

    assert_eq!(symlink(&mut ring, c"d", c"/soft"), 0);
    assert_eq!(symlink(&mut ring, c"d", c"/soft"), -libc::EEXIST);
    assert_eq!(symlink(&mut ring, c"", c"/x"), -libc::ENOENT);
    assert_eq!(sim.read_file("/soft/f"), Some(b"once".to_vec()));
    assert_eq!(statx(&mut ring, c"/soft", libc::AT_SYMLINK_NOFOLLOW), (libc::S_IFLNK, 1, 1));
    assert_eq!(statx(&mut ring, c"/soft", 0).0, libc::S_IFDIR);
    let no_follow = Sqe::open_at(HERE, c"/soft", libc::O_NOFOLLOW, 0);
    assert_eq!(complete(&mut ring, no_follow), -libc::ELOOP);
    assert_eq!(unlink(&mut ring, c"/soft", libc::AT_REMOVEDIR), -libc::ENOTDIR);

    assert_eq!(symlink(&mut ring, c"/new", c"/dangling"), 0);
    assert_eq!(complete(&mut ring, Sqe::open_at(HERE, c"/dangling", 0, 0)), -libc::ENOENT);
    open(&mut ring, c"/dangling", libc::O_CREAT | libc::O_WRONLY);
    assert_eq!(sim.read_file("/new"), Some(Vec::new()));
    assert_eq!(symlink(&mut ring, c"/round", c"/round"), 0);
    assert_eq!(complete(&mut ring, Sqe::open_at(HERE, c"/round", 0, 0)), -libc::ELOOP);
}

#[test]
fn second_paths_start_at_their_own_directory() {
    let (sim, mut ring) = machine(5);
    sim.write_file("/a/f", b"x");
    sim.make_dir("/b");
    let (a, b) = (open(&mut ring, c"/a", libc::O_RDONLY), open(&mut ring, c"/b", libc::O_RDONLY));
    let move_over = Sqe::rename_at(At::Fd(borrow(a)), c"f", At::Fd(borrow(b)), c"g", 0);
    assert_eq!(complete(&mut ring, move_over), 0);
    assert_eq!(sim.read_file("/b/g"), Some(b"x".to_vec()));
    let bad = Sqe::rename_at(At::Fd(borrow(b)), c"g", At::Fd(borrow(77)), c"h", 0);
    assert_eq!(complete(&mut ring, bad), -libc::EBADF);
}

//! Names, and what regular files hold.

use std::ffi::CStr;

use uring::ring::{Sqe, Statx};

use super::Step;
use super::machine::{Machine, filled, room};

const PATHS: [&CStr; 18] = [
    c"a", c"b", c"c", c"a/x", c"a/y", c"b/x", c"a/", c"b/.", c"a/..", c"a/../b", c"l", c"l/x",
    c"m", c"a/x/z", c"", c".", c"l/", c"a//y",
];
const TARGETS: [&CStr; 6] = [c"a", c"b/x", c"l", c"none", c"", c"."];
/// What the numbers of the first bits ask for when a file is opened.
const OPEN: [i32; 8] = [
    libc::O_CREAT,
    libc::O_EXCL,
    libc::O_TRUNC,
    libc::O_APPEND,
    libc::O_DIRECTORY,
    libc::O_NOFOLLOW,
    libc::O_CLOEXEC,
    0,
];

fn path(which: u8) -> &'static CStr {
    PATHS[usize::from(which) % PATHS.len()]
}

fn open_flags(bits: u8, access: u8) -> i32 {
    let chosen = OPEN.iter().enumerate().filter(|(at, _)| bits & 1 << at != 0);
    chosen.fold(i32::from(access % 3), |flags, (_, flag)| flags | flag)
}

pub(crate) fn play(machine: &mut Machine, step: Step) -> String {
    let Step { kind, a, b, c, n } = step;
    let at = machine.root();
    match kind % 16 {
        0 | 1 => {
            let flags = open_flags(b & (c | 1), c);
            let done = machine.run(Sqe::open_at(at, path(a), flags, 0o644));
            format!("open {:?} {flags:#o}: {}", path(a), machine.opened(&done))
        }
        // A file to work with.
        2 => {
            let flags = libc::O_RDWR | libc::O_CREAT;
            let done = machine.run(Sqe::open_at(at, path(a % 4), flags, 0o600));
            format!("open to write {:?}: {}", path(a % 4), machine.opened(&done))
        }
        3 => {
            let flags = [0, 0, libc::AT_REMOVEDIR, libc::AT_REMOVEDIR, 1][usize::from(b) % 5];
            let done = machine.run(Sqe::unlink_at(at, path(a), flags));
            format!("unlink {:?} {flags}: {}", path(a), done.words())
        }
        4 => {
            let done = machine.run(Sqe::mkdir_at(at, path(a), 0o755));
            format!("mkdir {:?}: {}", path(a), done.words())
        }
        5 | 6 => {
            let flags =
                [0, 0, 0, libc::RENAME_NOREPLACE, libc::RENAME_EXCHANGE, 3, 8][usize::from(c) % 7];
            let done = machine.run(Sqe::rename_at(at, path(a), at, path(b), flags));
            format!("rename {:?} {:?} {flags}: {}", path(a), path(b), done.words())
        }
        7 => {
            let flags = [0, 0, libc::AT_SYMLINK_FOLLOW, 1][usize::from(c) % 4];
            let done = machine.run(Sqe::link_at(at, path(a), at, path(b), flags));
            format!("link {:?} {:?} {flags}: {}", path(a), path(b), done.words())
        }
        8 => {
            let to = TARGETS[usize::from(a) % TARGETS.len()];
            let path = if c % 2 == 0 { c"l" } else { path(b) };
            let done = machine.run(Sqe::symlink_at(to, at, path));
            format!("symlink {to:?} {path:?}: {}", done.words())
        }
        9 => {
            let mut out = Statx::default();
            let flags = [0, libc::AT_SYMLINK_NOFOLLOW, libc::AT_EMPTY_PATH][usize::from(b) % 3];
            let mask = libc::STATX_BASIC_STATS;
            let done = machine.run(Sqe::statx(at, path(a), flags, mask, &mut out));
            let kind = u32::from(out.mode) & libc::S_IFMT;
            // How large a directory is, and its blocks, is the file system's business.
            let size = if kind == libc::S_IFDIR { 0 } else { out.size };
            let what = format!("{:o} {} {size}", out.mode, out.nlink);
            format!("statx {:?} {flags}: {} {what}", path(a), done.words())
        }
        10 => {
            let old = machine.take(a);
            format!("close {}: {}", a % 6, machine.run(Sqe::close(old)).words())
        }
        11 | 12 => {
            let bytes = vec![b; usize::from(n) % 300];
            let offset = (c % 2 == 0).then_some(u64::from(n) * 7 % 10_000);
            let done = machine.run(Sqe::write(machine.target(a), &bytes, offset));
            format!("write {} {} {offset:?}: {}", a % 6, bytes.len(), done.words())
        }
        13 => {
            let (len, offset) =
                (usize::from(n) % 400, (c % 2 == 0).then_some(u64::from(n) * 3 % 9_000));
            let mut to = room(len);
            let sqe = Sqe::read(machine.target(a), &mut to.spare_capacity_mut()[..len], offset);
            let done = machine.run(sqe);
            let bytes = filled(to, done.result());
            format!("read {} {len} {offset:?}: {} {bytes:?}", a % 6, done.words())
        }
        14 => {
            let done = machine.run(Sqe::ftruncate(machine.target(a), u64::from(n) % 6_000));
            format!("truncate {} {}: {}", a % 6, n % 6_000, done.words())
        }
        _ => {
            let (mode, len) = (u32::from(b % 2), u64::from(n) % 9_000);
            let sqe = match c % 3 {
                0 => Sqe::fsync(machine.target(a), b % 2 == 0),
                _ => Sqe::fallocate(machine.target(a), mode, u64::from(c), len),
            };
            format!("fsync or allocate {} {mode} {len}: {}", a % 6, machine.run(sqe).words())
        }
    }
}

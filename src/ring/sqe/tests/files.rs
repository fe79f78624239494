//! Files and paths.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::FromRawFd;

use super::*;
use crate::buf::Room;
use crate::sys::abi::{InstallFdFlags, PipeFlags, RwFlags, SpliceFlags, Statx, SyncFileRangeFlags};

const END: u64 = u64::MAX;

#[test]
fn reads_say_where_to_and_how_much() {
    let mut buf = [0; 8];
    let addr = at(&buf);
    let plain = RawSqe { opcode: 22, fd: fd(), addr, len: 8, off: 3, ..ZERO };
    assert_eq!(image(Sqe::read(file(), &mut buf[..], Some(3))), plain);
    assert_eq!(image(Sqe::read(file(), &mut buf[..], None)), RawSqe { off: END, ..plain });
    let nowait = image(Sqe::read(file(), &mut buf[..], Some(3)).rw_flags(RwFlags::NOWAIT));
    assert_eq!(nowait, RawSqe { op_flags: 8, ..plain });
    let ioprio = image(Sqe::read(file(), &mut buf[..], Some(3)).ioprio(0x4003));
    assert_eq!(ioprio, RawSqe { ioprio: 0x4003, ..plain });
    assert_eq!(
        image(Sqe::read_provided(file(), group(7), 20, None)),
        RawSqe { opcode: 22, fd: fd(), flags: SELECT, len: 20, off: END, buf: 7, ..ZERO }
    );
    assert_eq!(
        multi(MultiSqe::read(file(), group(7), 0, None)),
        RawSqe { opcode: 49, fd: fd(), flags: SELECT, off: END, buf: 7, ..ZERO }
    );
}

#[test]
fn vectored_reads_and_writes_point_to_the_array() {
    let (mut a, mut b) = ([0; 2], [0; 3]);
    let mut rooms = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
    let addr = at(&rooms);
    let read = RawSqe { opcode: 1, fd: fd(), addr, len: 2, off: 9, ..ZERO };
    assert_eq!(image(Sqe::read_vectored(file(), &mut rooms, Some(9))), read);
    assert_eq!(
        image(Sqe::read_vectored_fixed(file(), registered(4), &mut rooms, Some(9))),
        RawSqe { opcode: 60, buf: 4, ..read }
    );
    let slices = [IoSlice::new(b"ab"), IoSlice::new(b"c"), IoSlice::new(b"")];
    let write = RawSqe { opcode: 2, fd: fd(), addr: at(&slices), len: 3, off: 9, ..ZERO };
    assert_eq!(image(Sqe::write_vectored(file(), &slices, Some(9))), write);
    assert_eq!(
        image(Sqe::write_vectored_fixed(file(), registered(4), &slices, Some(9))),
        RawSqe { opcode: 61, buf: 4, ..write }
    );
}

#[test]
fn an_array_of_more_than_1024_buffers_is_lent_in_part() {
    let slices = vec![IoSlice::new(b"x"); 1500];
    assert_eq!(image(Sqe::write_vectored(file(), &slices[..], None)).len, 1024);
}

#[test]
fn stored_arrays_are_laid_out_as_those_of_std() {
    let mut bufs = [Vec::with_capacity(5), Vec::with_capacity(6)];
    let expected = [(at(bufs[0].as_slice()), 5), (at(bufs[1].as_slice()), 6)];
    let mut vecs = IoVecs::with_capacity(2);
    let rooms = vecs.rooms(bufs.iter_mut().map(Room::of_vec));
    assert_eq!(rooms.count, 2);
    let found = std::ptr::with_exposed_provenance::<[u64; 2]>(rooms.addr as usize);
    // SAFETY: two `iovec`s, which `vecs` owns.
    let found: [[u64; 2]; 2] = unsafe { [*found, *found.add(1)] };
    assert_eq!(found.map(|[base, len]| (base, len)), expected);
    assert_eq!(vecs.slices([&b"one"[..]]).count, 1);
}

#[test]
fn writes_say_where_from_and_how_much() {
    assert_eq!(
        image(Sqe::write(file(), b"abc", Some(4))),
        RawSqe { opcode: 23, fd: fd(), addr: at(b"abc"), len: 3, off: 4, ..ZERO }
    );
}

#[test]
fn fixed_reads_and_writes_name_the_buffer_beside_its_memory() {
    let fields = RawSqe { fd: fd(), addr: 0x1000, len: 64, off: 2, buf: 5, ..ZERO };
    let read = Sqe::read_fixed(file(), fixed_mut(), Some(2)).into_raw();
    assert_eq!((*read.raw(), read.ring()), (RawSqe { opcode: 4, ..fields }, Some(*RING)));
    let write = Sqe::write_fixed(file(), fixed(), Some(2)).into_raw();
    assert_eq!((*write.raw(), write.ring()), (RawSqe { opcode: 5, ..fields }, Some(*RING)));
}

#[test]
fn what_is_done_to_whole_files() {
    let ranged = RawSqe { fd: fd(), off: 10, len: 20, ..ZERO };
    let on = RawSqe { fd: fd(), ..ZERO };
    assert_eq!(image(Sqe::fsync(file(), true)), RawSqe { opcode: 3, op_flags: 1, ..on });
    assert_eq!(image(Sqe::fsync_range(file(), false, 10, 20)), RawSqe { opcode: 3, ..ranged });
    assert_eq!(
        image(Sqe::sync_file_range(file(), 10, 20, SyncFileRangeFlags::WRITE)),
        RawSqe { opcode: 8, op_flags: 2, ..ranged }
    );
    assert_eq!(
        image(Sqe::fallocate(file(), 1, 10, 20)),
        RawSqe { opcode: 17, off: 10, addr: 20, len: 1, ..on }
    );
    assert_eq!(image(Sqe::ftruncate(file(), 30)), RawSqe { opcode: 55, off: 30, ..on });
    assert_eq!(
        image(Sqe::fadvise(file(), 10, 20, FileAdvice::WillNeed)),
        RawSqe { opcode: 24, op_flags: 3, ..ranged }
    );
    assert_eq!(
        image(Sqe::fadvise(file(), 10, 1 << 32, FileAdvice::Random)),
        RawSqe { opcode: 24, op_flags: 1, off: 10, addr: 1 << 32, ..on }
    );
}

#[test]
fn opens_say_where_the_file_goes() {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    let bare = libc::O_RDONLY as u32;
    let open = RawSqe { opcode: 18, fd: libc::AT_FDCWD, addr: at(c"a"), len: 0o600, ..ZERO };
    assert_eq!(
        image(Sqe::open_at(CWD, c"a", flags, 0o600)),
        RawSqe { op_flags: flags as u32, ..open }
    );
    let into = Install::Slot(slot(6));
    assert_eq!(
        image(Sqe::open_at_direct(CWD, c"a", flags, 0o600, into)),
        RawSqe { op_flags: bare, splice_fd: 7, ..open }
    );
    assert_eq!(
        image(Sqe::open_at_direct(At::Fd(FILE.as_fd()), c"a", flags, 0o600, Install::Any)),
        RawSqe { op_flags: bare, splice_fd: u32::MAX, fd: fd(), ..open }
    );
    let how = OpenHow { flags: 1, mode: 2, resolve: 3 };
    let open = RawSqe { opcode: 28, len: 24, off: at(&how), ..open };
    assert_eq!(image(Sqe::open_at2(CWD, c"a", &how)), open);
    assert_eq!(image(Sqe::open_at2_direct(CWD, c"a", &how, into)), RawSqe { splice_fd: 7, ..open });
}

#[test]
fn closes_take_the_descriptor_or_the_slot() {
    let closed = some_file();
    let number = closed.as_raw_fd();
    let sqe = image(Sqe::close(closed));
    assert_eq!(sqe, RawSqe { opcode: 19, fd: number, ..ZERO });
    // SAFETY: `Sqe::close` took the descriptor apart, and nobody pushed it.
    drop(unsafe { OwnedFd::from_raw_fd(number) });
    assert_eq!(image(Sqe::close_slot(slot(6))), RawSqe { opcode: 19, splice_fd: 7, ..ZERO });
}

#[test]
fn paths_come_one_or_two_at_a_time() {
    let cwd = libc::AT_FDCWD;
    let one = RawSqe { fd: cwd, addr: at(c"a"), ..ZERO };
    let two = RawSqe { off: at(c"b"), len: fd() as u32, op_flags: 4, ..one };
    let there = At::Fd(FILE.as_fd());
    assert_eq!(image(Sqe::rename_at(CWD, c"a", there, c"b", 4)), RawSqe { opcode: 35, ..two });
    assert_eq!(image(Sqe::link_at(CWD, c"a", there, c"b", 4)), RawSqe { opcode: 39, ..two });
    assert_eq!(
        image(Sqe::unlink_at(CWD, c"a", libc::AT_REMOVEDIR)),
        RawSqe { opcode: 36, op_flags: 0x200, ..one }
    );
    assert_eq!(image(Sqe::mkdir_at(CWD, c"a", 0o700)), RawSqe { opcode: 37, len: 0o700, ..one });
    assert_eq!(
        image(Sqe::symlink_at(c"a", CWD, c"b")),
        RawSqe { opcode: 38, off: at(c"b"), ..one }
    );
    let mut found = Statx::default();
    let off = at(&found);
    assert_eq!(
        image(Sqe::statx(CWD, c"a", 1, 2, &mut found)),
        RawSqe { opcode: 21, off, op_flags: 1, len: 2, ..one }
    );
}

#[test]
fn attributes_are_set_and_read_by_path_or_file() {
    let set = RawSqe { addr: at(c"user.a"), off: at(b"value"), len: 5, op_flags: 1, ..ZERO };
    assert_eq!(
        image(Sqe::fset_xattr(file(), c"user.a", b"value", 1)),
        RawSqe { opcode: 41, fd: fd(), ..set }
    );
    assert_eq!(
        image(Sqe::set_xattr(c"p", c"user.a", b"value", 1)),
        RawSqe { opcode: 42, fd: -1, addr3: at(c"p"), ..set }
    );
    let mut room = [0; 9];
    let get = RawSqe { addr: at(c"user.a"), off: at(&room), len: 9, ..ZERO };
    assert_eq!(
        image(Sqe::fget_xattr(file(), c"user.a", &mut room[..])),
        RawSqe { opcode: 43, fd: fd(), ..get }
    );
    assert_eq!(
        image(Sqe::get_xattr(c"p", c"user.a", &mut room[..])),
        RawSqe { opcode: 44, fd: -1, addr3: at(c"p"), ..get }
    );
}

#[test]
fn splices_have_the_output_as_their_file() {
    let other = some_file();
    let (from, into) = (Target::from(other.as_fd()), file());
    let both = RawSqe { fd: fd(), splice_fd: other.as_raw_fd() as u32, len: 5, ..ZERO };
    assert_eq!(
        image(Sqe::splice(from, Some(1), into, None, 5, SpliceFlags::MORE)),
        RawSqe { opcode: 30, addr: 1, off: END, op_flags: 4, ..both }
    );
    assert_eq!(image(Sqe::tee(from, into, 5, SpliceFlags::empty())), RawSqe { opcode: 33, ..both });
    assert_eq!(
        image(Sqe::splice(slot(3).into(), None, slot(4).into(), None, 5, SpliceFlags::empty())),
        RawSqe {
            opcode: 30,
            flags: FIXED,
            fd: 4,
            splice_fd: 3,
            op_flags: 1 << 31,
            addr: END,
            off: END,
            len: 5,
            ..ZERO
        }
    );
}

#[test]
fn pipes_go_to_descriptors_or_slots() {
    let mut ends = [0; 2];
    let pipe = RawSqe { opcode: 62, addr: at(&ends), ..ZERO };
    let cloexec = libc::O_CLOEXEC as u32;
    assert_eq!(
        image(Sqe::pipe(&mut ends, PipeFlags::CLOEXEC)),
        RawSqe { op_flags: cloexec, ..pipe }
    );
    assert_eq!(
        image(Sqe::pipe_direct(&mut ends, PipeFlags::CLOEXEC, Install::Slot(slot(2)))),
        RawSqe { splice_fd: 3, ..pipe }
    );
}

#[test]
fn the_table_of_files_is_changed_by_arrays_of_descriptors() {
    let updates = [SlotUpdate::EMPTY, SlotUpdate::KEEP, FILE.as_fd().into()];
    assert_eq!(
        image(Sqe::files_update(3, &updates)),
        RawSqe { opcode: 20, fd: -1, addr: at(&updates), len: 3, off: 3, ..ZERO }
    );
    let numbers = std::ptr::from_ref(&updates).cast::<[i32; 3]>();
    // SAFETY: `SlotUpdate` is transparent.
    assert_eq!(unsafe { *numbers }, [-1, -2, fd()]);
    let mut files = [SlotUpdate::from(FILE.as_fd())];
    let addr = at(&files);
    assert_eq!(
        image(Sqe::files_install(&mut files)),
        RawSqe { opcode: 20, fd: -1, addr, len: 1, off: u32::MAX.into(), ..ZERO }
    );
    assert_eq!(
        image(Sqe::fixed_fd_install(slot(8), InstallFdFlags::NO_CLOEXEC)),
        RawSqe { opcode: 54, flags: FIXED, fd: 8, op_flags: 1, ..ZERO }
    );
}

#[test]
fn an_update_of_slots_never_has_the_kernel_write_to_what_is_lent_for_reading() {
    let updates = [SlotUpdate::EMPTY];
    assert_eq!(image(Sqe::files_update(u32::MAX, &updates)).off, u64::from(u32::MAX - 1));
}

//! Registered files: descriptors of one ring.

use super::*;
use crate::ring::{At, FileChange, Files, Install, InstallFdFlags, MultiSqe};

const RDWR: i32 = libc::O_RDWR | libc::O_CREAT;

fn open_direct(ring: &mut Ring, install: Install) -> i32 {
    let at = At::WorkingDirectory;
    complete(ring, Sqe::open_at_direct(at, c"/f", RDWR | libc::O_CLOEXEC, 0o644, install))
}

fn slot(files: &Files, index: u32) -> Install {
    Install::Slot(files.slot(index).expect("a slot"))
}

#[test]
fn files_are_opened_into_slots_used_and_closed() {
    let (sim, mut ring) = machine(1);
    let files = ring.register_files_sparse(2).expect("a table");
    assert_eq!(open_direct(&mut ring, slot(&files, 1)), 0);
    let target: Target<'_> = files.slot(1).expect("a slot").into();
    assert_eq!(complete(&mut ring, Sqe::write(target, b"direct", None)), 6);
    assert_eq!(sim.read_file("/f"), Some(b"direct".to_vec()));
    assert_eq!(sim.open_descriptors(), 0);
    let empty: Target<'_> = files.slot(0).expect("a slot").into();
    assert_eq!(complete(&mut ring, Sqe::write(empty, b"x", None)), -libc::EBADF);
    let close = || Sqe::close_slot(files.slot(1).expect("a slot"));
    assert_eq!(complete(&mut ring, close()), 0);
    assert_eq!(complete(&mut ring, close()), -libc::EBADF);
}

#[test]
fn the_kernel_chooses_free_slots_until_there_are_none() {
    let (_sim, mut ring) = machine(2);
    assert_eq!(open_direct(&mut ring, Install::Any), -libc::ENFILE);
    let files = ring.register_files_sparse(2).expect("a table");
    let again = ring.register_files_sparse(2);
    assert_eq!(again.err().and_then(|error| error.raw_os_error()), Some(libc::EBUSY));
    assert_eq!(open_direct(&mut ring, Install::Any), 0);
    assert_eq!(open_direct(&mut ring, Install::Any), 1);
    assert_eq!(open_direct(&mut ring, Install::Any), -libc::ENFILE);
    let first = files.slot(0).expect("a slot");
    assert_eq!(complete(&mut ring, Sqe::close_slot(first)), 0);
    files.set_allocation_range(1..2).expect("a range");
    assert_eq!(open_direct(&mut ring, Install::Any), -libc::ENFILE);
    files.set_allocation_range(0..2).expect("a range");
    assert_eq!(open_direct(&mut ring, Install::Any), 0);
    assert_eq!(open_direct(&mut ring, slot(&files, 0)), 0);
    drop(files);
    assert_eq!(complete(&mut ring, Sqe::close_slot(first)), -libc::ENXIO);
}

#[test]
fn registered_descriptors_outlive_their_numbers() {
    let (sim, mut ring) = machine(3);
    let (reader, writer) = sim.pipe();
    let files = ring.register_files(&[Some(borrow(reader)), None]).expect("a table");
    sim._table.close(reader).expect("close");
    assert_eq!(write(&mut ring, writer, b"on", None), 2);
    let mut room = Vec::with_capacity(2);
    let target: Target<'_> = files.slot(0).expect("a slot").into();
    let read = Sqe::read(target, &mut room.spare_capacity_mut()[..2], None);
    assert_eq!(complete(&mut ring, read), 2);
    let changes = [FileChange::Skip, FileChange::Put(borrow(writer))];
    assert_eq!(files.update(0, &changes).expect("an update"), 2);
    assert_eq!(files.update(0, &[FileChange::Clear]).expect("an update"), 1);
    assert_eq!(write(&mut ring, writer, b"x", None), -libc::EPIPE);
    assert!(files.update(1, &[FileChange::Clear, FileChange::Clear]).is_err());
    let bad = files.update(0, &[FileChange::Put(borrow(reader))]);
    assert_eq!(bad.err().and_then(|error| error.raw_os_error()), Some(libc::EBADF));
}

#[test]
fn sockets_are_made_and_accepted_into_slots() {
    let (sim, mut ring) = machine(4);
    let files = ring.register_files_sparse(2).expect("a table");
    let (listening, address) = listener(&sim, &mut ring, 4);
    let made = Sqe::socket_direct(libc::AF_INET, libc::SOCK_STREAM, 0, slot(&files, 0));
    assert_eq!(complete(&mut ring, made), 0);
    let client: Target<'_> = files.slot(0).expect("a slot").into();
    assert_eq!(complete(&mut ring, Sqe::connect(client, &address.into())), 0);
    let accept = MultiSqe::accept_direct(target(listening), 0).user_data(1);
    // SAFETY: a multishot accept lends nothing.
    unsafe { ring.push(accept.into_raw()) }.expect("space");
    assert_eq!(wait_for(&mut ring, 1), [(1, 1)]);
    let other = socket(&mut ring);
    // The table is full.
    let peer = address.into();
    let connect = Sqe::connect(target(other), &peer).user_data(2).into_raw();
    // SAFETY: an address is read when the submission is taken, and this one outlives that.
    unsafe { ring.push(connect) }.expect("space");
    let mut done = wait_for(&mut ring, 2);
    done.sort();
    assert_eq!(done, [(1, -libc::ENFILE), (2, 0)]);
    assert_eq!(sim.in_flight(), 0);
}

#[test]
fn a_slot_becomes_a_descriptor_again() {
    let (sim, mut ring) = machine(5);
    let files = ring.register_files_sparse(1).expect("a table");
    assert_eq!(open_direct(&mut ring, Install::Any), 0);
    let install = || {
        let slot = files.slot(0).expect("a slot");
        Sqe::fixed_fd_install(slot, InstallFdFlags::empty())
    };
    let number = complete(&mut ring, install());
    assert_eq!(write(&mut ring, number, b"both", None), 4);
    assert_eq!(sim.read_file("/f"), Some(b"both".to_vec()));
    files.update(0, &[FileChange::Clear]).expect("an update");
    assert_eq!(complete(&mut ring, install()), -libc::EBADF);
}

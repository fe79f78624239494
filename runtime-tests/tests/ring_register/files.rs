//! Registered files.

use std::os::fd::AsFd;

use runtime_tests::skipped;
use uring::ring::{FileChange, Opcode, RawSqe, RegisterOp, Ring};

use crate::{
    closed, completions, errno, has, has_lives_of_their_own, next_sorted, read_slot, ring, run,
    zeros,
};

#[test]
fn a_slot_stands_for_its_file_also_when_the_descriptor_is_closed() {
    let Some(mut ring) = ring() else { return };
    let file = zeros();
    let _files = ring.register_files(&[None, Some(file.as_fd())]).expect("files");
    drop(file);
    assert_eq!(read_slot(&mut ring, 1), 1);
    assert_eq!(read_slot(&mut ring, 0), -libc::EBADF, "an empty slot");
}

#[test]
fn files_are_registered_once_at_a_time_and_again_after_the_drop() {
    let Some(ring) = ring() else { return };
    let file = zeros();
    let files = ring.register_files(&[Some(file.as_fd())]).expect("files");
    assert_eq!(errno(ring.register_files(&[Some(file.as_fd())])), libc::EBUSY);
    assert_eq!(errno(ring.register_files_sparse(1)), libc::EBUSY);
    drop(files);
    let files = ring.register_files(&[Some(file.as_fd())]).expect("files again");
    files.unregister().expect("unregistered by hand");
    ring.register_files_sparse(1).expect("files a third time");
}

#[test]
fn a_table_of_files_may_outlive_its_ring() {
    let Some(ring) = ring() else { return };
    let files = ring.register_files(&[Some(zeros().as_fd())]).expect("files");
    drop(ring);
    assert_eq!(files.update(0, &[FileChange::Clear]).expect("still a table"), 1);
    files.unregister().expect("still registered");
}

#[test]
fn a_closed_descriptor_and_a_ring_cannot_be_registered_as_files() {
    let Some(ring) = ring() else { return };
    assert_eq!(errno(ring.register_files(&[Some(closed())])), libc::EBADF);
    let own = ring.fd().expect("a descriptor");
    assert_eq!(errno(ring.register_files(&[Some(own)])), libc::EBADF);
    ring.register_files_sparse(1).expect("nothing was left behind");
}

#[test]
fn no_files_and_too_many_are_refused() {
    let Some(ring) = ring() else { return };
    assert_eq!(errno(ring.register_files(&[])), libc::EINVAL);
    assert_eq!(errno(ring.register_files_sparse(0)), libc::EINVAL);
    assert_eq!(errno(ring.register_files_sparse((1 << 20) + 1)), libc::EMFILE);
}

#[test]
fn a_slot_is_chosen_again_after_the_table_was_made_anew() {
    let Some(mut ring) = ring() else { return };
    if !ring.supports(Opcode::SOCKET) {
        return skipped("Linux here makes no sockets on a ring");
    }
    let files = ring.register_files_sparse(4).expect("files");
    assert_eq!((socket_anywhere(&mut ring), socket_anywhere(&mut ring)), (0, 1));
    drop(files);
    assert_eq!(socket_anywhere(&mut ring), -libc::ENFILE, "no table");
    let _files = ring.register_files_sparse(1).expect("a smaller table");
    assert_eq!((socket_anywhere(&mut ring), socket_anywhere(&mut ring)), (0, -libc::ENFILE));
}

#[test]
fn each_ring_has_files_of_its_own() {
    let (Some(mut one), Some(mut other)) = (ring(), ring()) else { return };
    let file = zeros();
    let ours = one.register_files(&[Some(file.as_fd())]).expect("files");
    let theirs = other.register_files(&[Some(file.as_fd())]).expect("files");
    assert_ne!(ours.slot(0), theirs.slot(0));
    ours.update(0, &[FileChange::Clear]).expect("cleared");
    assert_eq!((read_slot(&mut one, 0), read_slot(&mut other, 0)), (-libc::EBADF, 1));
}

#[test]
fn an_update_puts_clears_and_skips() {
    let Some(mut ring) = ring() else { return };
    let file = zeros();
    let files =
        ring.register_files(&[None, Some(file.as_fd()), Some(file.as_fd())]).expect("files");
    let changes = [FileChange::Put(file.as_fd()), FileChange::Clear, FileChange::Skip];
    assert_eq!(files.update(0, &changes).expect("updated"), 3);
    let results: Vec<i32> = (0..3).map(|slot| read_slot(&mut ring, slot)).collect();
    assert_eq!(results, [1, -libc::EBADF, 1]);
}

#[test]
fn an_update_that_meets_a_bad_file_says_how_many_it_did_before() {
    let Some(mut ring) = ring() else { return };
    let (file, files) = (zeros(), ring.register_files_sparse(2).expect("files"));
    let changes = [FileChange::Put(file.as_fd()), FileChange::Put(closed())];
    assert_eq!(files.update(0, &changes).expect("a part"), 1);
    assert_eq!((read_slot(&mut ring, 0), read_slot(&mut ring, 1)), (1, -libc::EBADF));
}

#[test]
fn an_update_outside_of_the_table_or_of_nothing_is_refused() {
    let Some(ring) = ring() else { return };
    let files = ring.register_files_sparse(2).expect("files");
    assert_eq!(errno(files.update(1, &[FileChange::Clear; 2])), libc::EINVAL);
    assert_eq!(errno(files.update(u32::MAX, &[FileChange::Clear; 2])), libc::EOVERFLOW);
    assert_eq!(errno(files.update(0, &[])), libc::EINVAL);
    assert_eq!(errno(files.update(0, &[FileChange::Put(closed())])), libc::EBADF);
    assert_eq!((files.slot(1).map(|slot| slot.index()), files.slot(2)), (Some(1), None));
    assert!(files.slots().all(|slot| slot.ring() == ring.id()));
}

#[test]
fn a_tag_comes_when_its_file_is_replaced_and_when_the_table_goes() {
    let Some(mut ring) = ring() else { return };
    let file = zeros();
    let tagged = [(Some(file.as_fd()), 71), (Some(file.as_fd()), 72), (None, 0)];
    // SAFETY: no request of these tests that lends memory has this `user_data`.
    let files = unsafe { ring.register_files_tagged(&tagged) }.expect("files");
    assert_eq!(completions(&mut ring), []);
    let change = [(FileChange::Put(file.as_fd()), 73)];
    // SAFETY: no request of these tests that lends memory has this `user_data`.
    assert_eq!(unsafe { files.update_tagged(0, &change) }.expect("updated"), 1);
    assert_eq!(next_sorted(&mut ring, 1), [(71, 0)]);
    drop(files);
    if !has_lives_of_their_own("the end of a table is not announced by its tags") {
        return;
    }
    assert_eq!(next_sorted(&mut ring, 2), [(72, 0), (73, 0)]);
}

#[test]
fn an_empty_slot_has_no_tag() {
    let Some(ring) = ring() else { return };
    // SAFETY: refused.
    assert_eq!(errno(unsafe { ring.register_files_tagged(&[(None, 7)]) }), libc::EINVAL);
    let files = ring.register_files_sparse(1).expect("files");
    // SAFETY: refused.
    let tagged = unsafe { files.update_tagged(0, &[(FileChange::Clear, 7)]) };
    assert_eq!(errno(tagged), libc::EINVAL);
}

/// A socket into a slot of the kernel's choice: the result is the slot.
fn socket_anywhere(ring: &mut Ring) -> i32 {
    run(
        ring,
        RawSqe {
            opcode: Opcode::SOCKET.0,
            fd: libc::AF_UNIX,
            off: libc::SOCK_STREAM as u64,
            splice_fd: u32::MAX,
            ..RawSqe::default()
        },
    )
}

#[test]
fn the_kernel_chooses_slots_from_the_range_it_was_given() {
    if !has(RegisterOp::REGISTER_FILE_ALLOC_RANGE) {
        return;
    }
    let Some(mut ring) = ring() else { return };
    let files = ring.register_files_sparse(8).expect("files");
    files.set_allocation_range(5..7).expect("a range");
    let slots: Vec<i32> = (0..3).map(|_| socket_anywhere(&mut ring)).collect();
    assert_eq!(slots, [5, 6, -libc::ENFILE]);
    files.set_allocation_range(0..0).expect("an empty range");
    assert_eq!(socket_anywhere(&mut ring), -libc::ENFILE);
}

#[test]
fn a_range_that_leaves_the_table_is_refused() {
    if !has(RegisterOp::REGISTER_FILE_ALLOC_RANGE) {
        return;
    }
    let Some(ring) = ring() else { return };
    let files = ring.register_files_sparse(8).expect("files");
    assert_eq!(errno(files.set_allocation_range(4..9)), libc::EINVAL);
    let backwards = std::ops::Range { start: 5, end: 4 };
    assert_eq!(errno(files.set_allocation_range(backwards)), libc::EINVAL);
}

#[test]
fn a_kernel_in_user_space_refuses_what_it_does_not_register() {
    let sim = uring::sim::Sim::new(1);
    let ring = uring::ring::Setup::new(8).build_on(sim.kernel()).expect("a ring");
    assert_eq!(ring.register_files_sparse(1).expect("a table").len(), 1);
    // Pages for the buffers are advised about forks first, and Miri knows no madvise(2).
    if !cfg!(miri) {
        assert_eq!(errno(ring.register_buffers(&[64])), libc::EOPNOTSUPP);
    }
    assert_eq!(errno(ring.enable()), libc::EOPNOTSUPP);
}

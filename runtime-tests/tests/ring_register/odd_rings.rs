//! Registering with rings that have no descriptor, and with those of another process.

use std::os::fd::AsFd;

use runtime_tests::alarm;
use runtime_tests::rings::made_in;
use uring::ring::{RegionSetup, Ring, RingMemory, Setup, SetupFlags};

use crate::{errno, read_slot, ring, zeros};

/// A ring that is an index in this thread's table, and no descriptor.
fn ring_without_descriptor() -> Option<Ring> {
    let setup = Setup::new(8).require(SetupFlags::REGISTERED_FD_ONLY);
    let memory = RingMemory::new(setup.memory_bytes()).expect("memory");
    made_in(&setup, &memory)
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no io_uring")]
fn things_are_registered_with_a_ring_that_has_no_descriptor() {
    let Some(mut ring) = ring_without_descriptor() else { return };
    let file = zeros();
    let files = ring.register_files(&[Some(file.as_fd())]).expect("files");
    assert_eq!(read_slot(&mut ring, 0), 1);
    assert_eq!(errno(ring.register_files_sparse(1)), libc::EBUSY);
    drop(files);
    ring.register_files_sparse(1).expect("files again");
    ring.register_buffers(&[64]).expect("buffers");
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no io_uring")]
fn what_needs_a_descriptor_is_refused_to_a_ring_without() {
    let Some(ring) = ring_without_descriptor() else { return };
    assert_eq!(errno(ring.register_ring_fd(None)), libc::EBADF);
    assert_eq!(errno(ring.register_region(RegionSetup::kernel(4096))), libc::EBADF);
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no io_uring")]
fn buffers_are_cloned_from_a_ring_that_has_no_descriptor() {
    let (Some(one), Some(other)) = (ring_without_descriptor(), ring()) else { return };
    if !crate::has(uring::ring::RegisterOp::REGISTER_CLONE_BUFFERS) {
        return;
    }
    let buffers = one.register_buffers(&[64]).expect("buffers");
    let clones = other.clone_buffers(&buffers, Default::default()).expect("clones");
    assert_eq!(clones.len(), 1);
}

#[test]
fn a_forked_child_neither_sees_nor_gives_back_what_its_parent_registered() {
    let Some(ring) = ring() else { return };
    let files = ring.register_files_sparse(1).expect("files");
    let buffers = ring.register_buffers(&[64]).expect("buffers");
    // SAFETY: the child calls what needs no lock but the allocator's, which a fork leaves usable, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let sees = buffers.bytes(0).is_some() || files.set_allocation_range(0..1).is_ok();
        drop((files, buffers));
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(i32::from(sees)) };
    }
    assert!(child > 0, "a child");
    assert_eq!(alarm::end_of(child), 0, "the child saw what is not its own");
    assert_eq!(errno(ring.register_files_sparse(1)), libc::EBUSY);
    assert_eq!(errno(ring.register_buffers(&[64])), libc::EBUSY);
}

//! One ring's buffers, used by another.

use std::os::fd::AsRawFd;

use runtime_tests::pipe;
use uring::ring::{Buffers, CloneRange, Opcode, RawSqe, RegisterOp, Ring};

use crate::{errno, has, ring, run};

/// Two rings, if Linux here can clone buffers.
fn rings() -> Option<(Ring, Ring)> {
    if !has(RegisterOp::REGISTER_CLONE_BUFFERS) {
        return None;
    }
    Some((ring()?, ring()?))
}

fn write_of(buffers: &Buffers, index: u16, clone: u16, fd: &impl AsRawFd) -> RawSqe {
    let bytes = buffers.bytes(index).expect("a buffer");
    RawSqe {
        opcode: Opcode::WRITE_FIXED.0,
        fd: fd.as_raw_fd(),
        addr: bytes.as_ptr().expose_provenance() as u64,
        len: bytes.len() as u32,
        buf: clone,
        ..RawSqe::default()
    }
}

#[test]
fn a_clone_is_the_same_memory_known_to_another_ring() {
    let Some((one, mut other)) = rings() else { return };
    let buffers = one.register_buffers(&[64, 0, 128]).expect("buffers");
    let clones = other.clone_buffers(&buffers, CloneRange::default()).expect("clones");
    assert_eq!(clones.len(), 3);
    let (_reader, writer) = pipe();
    assert_eq!(run(&mut other, write_of(&buffers, 2, 2, &writer)), 128);
    let same = clones.cloned(2, buffers.part(2).expect("a buffer")).expect("its clone");
    assert_eq!((same.len(), same.index(), same.ring()), (128, 2, other.id()));
}

#[test]
fn a_clone_is_lent_by_nobody_but_the_table_that_has_the_memory() {
    let Some((one, other)) = rings() else { return };
    let mut buffers = one.register_buffers(&[64, 64]).expect("buffers");
    let mut clones = other.clone_buffers(&buffers, CloneRange::default()).expect("clones");
    assert!(clones.bytes(0).is_none() && clones.bytes_mut(0).is_none());
    assert!(clones.part(0).is_none() && clones.part_mut(0).is_none());
    let part = buffers.part(0).expect("a buffer");
    assert!(clones.cloned(1, part).is_none(), "a clone of another buffer");
    assert!(clones.cloned(2, part).is_none(), "behind the end");
    let part = buffers.part_mut(1).expect("a buffer");
    assert_eq!(clones.cloned_mut(1, part).map(|part| part.len()), Some(64));
}

#[test]
fn clones_outlive_the_table_they_were_made_of() {
    let Some((one, mut other)) = rings() else { return };
    let buffers = one.register_buffers(&[64]).expect("buffers");
    let (_reader, writer) = pipe();
    let write = write_of(&buffers, 0, 0, &writer);
    let clones = other.clone_buffers(&buffers, CloneRange::default()).expect("clones");
    drop((buffers, one));
    assert_eq!(run(&mut other, write), 64);
    clones.unregister().expect("still registered");
    assert_eq!(run(&mut other, write), -libc::EFAULT);
}

#[test]
fn buffers_are_not_cloned_over_others_unless_they_replace_them() {
    let Some((one, mut other)) = rings() else { return };
    let buffers = one.register_buffers(&[64, 128]).expect("buffers");
    let mut own = other.register_buffers(&[32, 32]).expect("buffers");
    assert_eq!(errno(other.clone_buffers(&buffers, CloneRange::default())), libc::EBUSY);
    if !has(RegisterOp::REGISTER_RESIZE_RINGS) {
        return; // Of the same release, 6.13.
    }
    let range = CloneRange { source_first: 1, first: 1, count: 2 };
    assert_eq!(errno(own.replace_with_clones(&buffers, range)), libc::EOVERFLOW, "behind the end");
    own.replace_with_clones(&buffers, CloneRange { count: 1, ..range }).expect("clones");
    assert_eq!((own.bytes(0).map(<[u8]>::len), own.bytes(1)), (Some(32), None));
    let (_reader, writer) = pipe();
    assert_eq!(run(&mut other, write_of(&buffers, 1, 1, &writer)), 128);
    assert_eq!(run(&mut other, write_of(&own, 0, 0, &writer)), 32);
}

#[test]
fn a_part_of_a_table_is_cloned_to_where_it_is_wanted() {
    let Some((one, mut other)) = rings() else { return };
    if !has(RegisterOp::REGISTER_RESIZE_RINGS) {
        return; // Of the same release, 6.13.
    }
    let buffers = one.register_buffers(&[64, 128, 256]).expect("buffers");
    let range = CloneRange { source_first: 1, first: 4, count: 0 };
    let clones = other.clone_buffers(&buffers, range).expect("clones");
    assert_eq!(clones.len(), 6);
    let (_reader, writer) = pipe();
    assert_eq!(run(&mut other, write_of(&buffers, 1, 4, &writer)), 128);
    assert_eq!(run(&mut other, write_of(&buffers, 2, 5, &writer)), 256);
    assert_eq!(run(&mut other, write_of(&buffers, 0, 0, &writer)), -libc::EFAULT);
}

#[test]
fn nothing_is_cloned_from_behind_the_end_of_a_table() {
    let Some((one, other)) = rings() else { return };
    let buffers = one.register_buffers(&[64]).expect("buffers");
    let range = CloneRange { source_first: 1, ..CloneRange::default() };
    assert_eq!(errno(other.clone_buffers(&buffers, range)), libc::EINVAL);
    let range = CloneRange { count: 2, ..CloneRange::default() };
    assert_eq!(errno(other.clone_buffers(&buffers, range)), libc::EINVAL);
}

//! Registered buffers.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::process::Command;

use runtime_tests::pipe;
use uring::ring::{Buffers, Opcode, RawSqe, RegisterOp, Ring, Setup};

use crate::{
    completions, errno, has, has_lives_of_their_own, next, next_sorted, ring, run, submit,
};

/// `READ_FIXED` or `WRITE_FIXED` of the front of a buffer.
fn fixed(opcode: Opcode, fd: &impl AsRawFd, buffers: &mut Buffers, index: u16, len: u32) -> RawSqe {
    let bytes = buffers.bytes_mut(index).expect("a buffer");
    RawSqe {
        opcode: opcode.0,
        fd: fd.as_raw_fd(),
        addr: bytes.as_mut_ptr().expose_provenance() as u64,
        len,
        buf: index,
        ..RawSqe::default()
    }
}

/// Whether a slot has a buffer that the kernel knows: a nop that uses it, where there is one, else a write.
fn is_empty(ring: &mut Ring, index: u16) -> bool {
    let null = std::fs::File::options().write(true).open("/dev/null").expect("a sink");
    let opcode = Opcode::WRITE_FIXED.0;
    let write = RawSqe { opcode, fd: null.as_raw_fd(), buf: index, ..RawSqe::default() };
    run(ring, write) == -libc::EFAULT
}

#[test]
fn bytes_travel_through_registered_buffers() {
    let Some(mut ring) = ring() else { return };
    let mut buffers = ring.register_buffers(&[4096, 100]).expect("buffers");
    let (reader, writer) = pipe();
    buffers.bytes_mut(0).expect("a buffer")[..5].copy_from_slice(b"hello");
    let write = fixed(Opcode::WRITE_FIXED, &writer, &mut buffers, 0, 5);
    assert_eq!(run(&mut ring, write), 5);
    let read = fixed(Opcode::READ_FIXED, &reader, &mut buffers, 1, 100);
    assert_eq!(run(&mut ring, read), 5);
    assert_eq!(&buffers.bytes(1).expect("a buffer")[..6], b"hello\0");
}

#[test]
fn a_request_that_leaves_its_buffer_is_refused() {
    let Some(mut ring) = ring() else { return };
    let mut buffers = ring.register_buffers(&[100, 100]).expect("buffers");
    let (_reader, writer) = pipe();
    let mut write = fixed(Opcode::WRITE_FIXED, &writer, &mut buffers, 0, 101);
    assert_eq!(run(&mut ring, write), -libc::EFAULT, "longer than the buffer");
    (write.len, write.buf) = (10, 1);
    assert_eq!(run(&mut ring, write), -libc::EFAULT, "the address of another buffer");
    write.buf = 2;
    assert_eq!(run(&mut ring, write), -libc::EFAULT, "behind the table");
}

#[test]
fn buffers_are_registered_once_at_a_time_and_again_after_the_drop() {
    let Some(ring) = ring() else { return };
    let buffers = ring.register_buffers(&[64]).expect("buffers");
    assert_eq!(errno(ring.register_buffers(&[64])), libc::EBUSY);
    drop(buffers);
    let buffers = ring.register_buffers(&[64]).expect("buffers again");
    buffers.unregister().expect("unregistered by hand");
    ring.register_buffers_sparse(4).expect("buffers a third time");
}

#[test]
fn a_table_of_buffers_may_outlive_its_ring() {
    let Some(ring) = ring() else { return };
    let mut buffers = ring.register_buffers(&[64]).expect("buffers");
    drop(ring);
    buffers.bytes_mut(0).expect("a buffer").fill(7);
    assert_eq!(buffers.update(0, &[128]).expect("still a table"), 1);
    buffers.unregister().expect("still registered");
}

#[test]
fn a_dropped_table_does_not_take_its_memory_from_a_request_under_way() {
    let Some(mut ring) = ring() else { return };
    if !has_lives_of_their_own("the drop of a table waits for the requests that use it") {
        return;
    }
    let mut buffers = ring.register_buffers(&[4096]).expect("buffers");
    let (reader, writer) = pipe();
    let read = fixed(Opcode::READ_FIXED, &reader, &mut buffers, 0, 4096);
    submit(&mut ring, read);
    drop(buffers);
    std::fs::File::from(writer).write_all(b"late").expect("written");
    assert_eq!(next(&mut ring).raw_result(), 4);
    ring.register_buffers(&[64]).expect("buffers again");
}

#[test]
fn none_too_many_and_too_long_buffers_are_refused() {
    let Some(ring) = ring() else { return };
    assert_eq!(errno(ring.register_buffers(&[])), libc::EINVAL);
    assert_eq!(errno(ring.register_buffers_sparse(0)), libc::EINVAL);
    assert_eq!(errno(ring.register_buffers_sparse(16385)), libc::EINVAL);
    assert_eq!(errno(ring.register_buffers(&[(1 << 30) + 1])), libc::EFAULT);
    let full = ring.register_buffers_sparse(16384).expect("as many as there can be");
    assert_eq!((full.len(), full.bytes(0)), (16384, None));
}

#[test]
fn an_update_replaces_and_clears_buffers() {
    let Some(mut ring) = ring() else { return };
    let mut buffers = ring.register_buffers(&[64, 64, 0]).expect("buffers");
    assert!(is_empty(&mut ring, 2));
    assert_eq!(buffers.update(1, &[0, 256]).expect("updated"), 2);
    let lens: Vec<usize> = (0..3).map(|i| buffers.bytes(i).map_or(0, <[u8]>::len)).collect();
    assert_eq!(lens, [64, 0, 256]);
    assert!(is_empty(&mut ring, 1));
    let (_reader, writer) = pipe();
    let write = fixed(Opcode::WRITE_FIXED, &writer, &mut buffers, 2, 256);
    assert_eq!(run(&mut ring, write), 256);
}

#[test]
fn an_update_outside_of_the_table_or_of_nothing_is_refused() {
    let Some(ring) = ring() else { return };
    let mut buffers = ring.register_buffers(&[64]).expect("buffers");
    assert_eq!(errno(buffers.update(1, &[64])), libc::EINVAL);
    assert_eq!(errno(buffers.update(0, &[])), libc::EINVAL);
    assert_eq!(errno(buffers.update(0, &[(1 << 30) + 1])), libc::EFAULT);
    assert_eq!(buffers.bytes(0).map(<[u8]>::len), Some(64), "what was there is there");
}

#[test]
fn a_tag_comes_when_its_buffer_is_replaced_and_when_the_table_goes() {
    let Some(mut ring) = ring() else { return };
    let tagged = [(64, 81), (64, 82), (0, 0)];
    // SAFETY: no request of these tests that lends memory has this `user_data`.
    let mut buffers = unsafe { ring.register_buffers_tagged(&tagged) }.expect("buffers");
    assert_eq!(completions(&mut ring), []);
    // SAFETY: no request of these tests that lends memory has this `user_data`.
    assert_eq!(unsafe { buffers.update_tagged(0, &[(64, 83)]) }.expect("updated"), 1);
    assert_eq!(next_sorted(&mut ring, 1), [(81, 0)]);
    drop(buffers);
    if !has_lives_of_their_own("the end of a table is not announced by its tags") {
        return;
    }
    assert_eq!(next_sorted(&mut ring, 2), [(82, 0), (83, 0)]);
}

#[test]
fn an_empty_slot_has_no_tag() {
    let Some(ring) = ring() else { return };
    // SAFETY: refused.
    assert_eq!(errno(unsafe { ring.register_buffers_tagged(&[(0, 7)]) }), libc::EINVAL);
    let mut buffers = ring.register_buffers_sparse(1).expect("buffers");
    // SAFETY: refused.
    assert_eq!(errno(unsafe { buffers.update_tagged(0, &[(0, 7)]) }), libc::EINVAL);
}

#[test]
fn a_part_lies_within_its_buffer_and_knows_its_ring() {
    let Some(ring) = ring() else { return };
    let mut buffers = ring.register_buffers(&[100, 0]).expect("buffers");
    let part = buffers.part(0).expect("a buffer");
    let middle = part.slice(10..=19).expect("within");
    assert_eq!((middle.len(), middle.index(), middle.ring()), (10, 0, ring.id()));
    assert!(middle.slice(10..).expect("its end").is_empty());
    assert!(middle.slice(..11).is_none() && part.slice(101..).is_none());
    assert!(buffers.part(1).is_none() && buffers.part(2).is_none());
    assert_eq!(
        buffers.part_mut(0).and_then(|part| part.slice(99..)).map(|part| part.len()),
        Some(1)
    );
}

/// The limit is that of a process, and the right to exceed it that of a thread, so this test starts one.
#[test]
fn buffers_beyond_the_limit_of_locked_memory_are_refused() {
    const CHILD: &str = "URING_TEST_LOCKED_MEMORY";
    let name = "buffers::buffers_beyond_the_limit_of_locked_memory_are_refused";
    if !has(RegisterOp::REGISTER_BUFFERS) {
        return;
    }
    if std::env::var_os(CHILD).is_none() {
        let mut again = Command::new(std::env::current_exe().expect("this program"));
        let status = again.args([name, "--exact"]).env(CHILD, "1").status().expect("a process");
        assert!(status.success(), "the test of the child failed");
        return;
    }
    let limit = libc::rlimit { rlim_cur: 64 << 10, rlim_max: 64 << 10 };
    // SAFETY: one `rlimit`, read during the call; the other calls name no memory. The system call gives up
    // root in this thread alone, and with it the right to exceed the limit.
    unsafe {
        assert_eq!(libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit), 0);
        libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534);
    }
    let ring = Setup::new(8).build().expect("a ring");
    assert_eq!(errno(ring.register_buffers(&[1 << 20])), libc::ENOMEM);
    ring.register_buffers(&[4096]).expect("a small one");
}

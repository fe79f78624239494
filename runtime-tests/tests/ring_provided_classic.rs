//! Classic provided buffers: given to the kernel and taken from it by submissions.
#![cfg(not(miri))] // It has no io_uring.

mod ring_provided;

use std::fs::File;
use std::io::Write;
use std::os::unix::net::UnixStream;

use ring_provided::{next, push, read, recv, ring, run};
use uring::ring::{BufRingSetup, ClassicBuffers, Cqe, Lease, PushError, RecvSendFlags, Ring};

fn zeros() -> File {
    File::open("/dev/zero").expect("/dev/zero")
}

/// Provides all idle buffers; returns how many submissions that took.
fn provide(ring: &mut Ring, buffers: &ClassicBuffers) -> usize {
    let mut count = 0;
    while let Some(entry) = buffers.provide() {
        assert!(buffers.provide().is_none(), "one at a time");
        let cqe = run(ring, entry);
        // SAFETY: the completion of the submission made last, passed once.
        unsafe { buffers.provided(cqe) }.expect("provided");
        count += 1;
    }
    count
}

fn take(buffers: &ClassicBuffers, cqe: Cqe) -> Lease {
    // SAFETY: every test passes each completion once, to the group that its request selected from.
    unsafe { buffers.take(cqe) }.expect("bytes").next().expect("a lease")
}

fn remove(ring: &mut Ring, buffers: &ClassicBuffers, count: u16) -> u32 {
    let cqe = run(ring, buffers.remove(count));
    // SAFETY: the completion of the submission made by `remove`, passed once.
    unsafe { buffers.removed(cqe) }.expect("removed")
}

fn failure(buffers: &ClassicBuffers, cqe: Cqe) -> Option<i32> {
    // SAFETY: as in `take`.
    unsafe { buffers.take(cqe) }.expect_err("a failure").raw_os_error()
}

#[test]
fn reads_use_all_buffers_then_fail_and_go_on_after_one_is_provided_again() {
    let mut ring = ring();
    let buffers = ClassicBuffers::new(&ring, 5, 4, 100).expect("buffers");
    assert_eq!((buffers.group().id(), buffers.buffer_bytes()), (5, 100));
    assert_eq!((provide(&mut ring, &buffers), buffers.with_kernel()), (1, 4));
    let file = zeros();
    let mut leases: Vec<Lease> = Vec::new();
    for _ in 0..4 {
        let cqe = run(&mut ring, read(&file, buffers.group()));
        let lease = take(&buffers, cqe);
        assert_eq!(lease[..], [0; 100]);
        leases.push(lease);
    }
    let mut ids: Vec<_> = leases.iter().map(Lease::buffer_id).collect();
    ids.sort_unstable();
    assert_eq!(ids, [0, 1, 2, 3], "each buffer once");
    let cqe = run(&mut ring, read(&file, buffers.group()));
    assert_eq!(failure(&buffers, cqe), Some(libc::ENOBUFS));

    leases.retain(|lease| lease.buffer_id() != 2);
    let cqe = run(&mut ring, read(&file, buffers.group()));
    assert_eq!(failure(&buffers, cqe), Some(libc::ENOBUFS), "idle, and not provided");
    assert_eq!(provide(&mut ring, &buffers), 1);
    let cqe = run(&mut ring, read(&file, buffers.group()));
    assert_eq!(take(&buffers, cqe).buffer_id(), 2);
}

#[test]
fn receives_use_them_as_well() {
    let mut ring = ring();
    let buffers = ClassicBuffers::new(&ring, 5, 2, 4).expect("buffers");
    provide(&mut ring, &buffers);
    let (mut from, to) = UnixStream::pair().expect("sockets");
    push(&mut ring, recv(&to, buffers.group(), RecvSendFlags::empty()));
    from.write_all(b"abcdefgh").expect("written");
    let cqe = next(&mut ring);
    let first = take(&buffers, cqe);
    let cqe = run(&mut ring, recv(&to, buffers.group(), RecvSendFlags::empty()));
    let second = take(&buffers, cqe);
    assert_eq!((&first[..], &second[..]), (&b"abcd"[..], &b"efgh"[..]));
    drop((first, second));
    assert_eq!(provide(&mut ring, &buffers), 1, "both in one submission");
}

#[test]
fn removed_buffers_are_not_chosen_and_can_be_provided_again() {
    let mut ring = ring();
    let buffers = ClassicBuffers::new(&ring, 5, 4, 100).expect("buffers");
    provide(&mut ring, &buffers);
    assert_eq!(remove(&mut ring, &buffers, 3), 3);
    assert_eq!(buffers.with_kernel(), 1);
    assert!(buffers.provide().is_none(), "nobody knows yet which three are ours again");

    let file = zeros();
    let cqe = run(&mut ring, read(&file, buffers.group()));
    let lease = take(&buffers, cqe);
    let cqe = run(&mut ring, read(&file, buffers.group()));
    assert_eq!(failure(&buffers, cqe), Some(libc::ENOBUFS));
    drop(lease);
    provide(&mut ring, &buffers);
    assert_eq!(buffers.with_kernel(), 4);
    assert_eq!(remove(&mut ring, &buffers, u16::MAX), 4);
    assert_eq!(buffers.with_kernel(), 0);
}

#[test]
fn nothing_is_removed_from_a_group_that_is_not_there() {
    let mut ring = ring();
    let buffers = ClassicBuffers::new(&ring, 5, 4, 100).expect("buffers");
    let cqe = run(&mut ring, buffers.remove(1));
    // SAFETY: the completion of the submission made by `remove`, passed once.
    let error = unsafe { buffers.removed(cqe) }.expect_err("no group");
    assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
}

#[test]
fn a_number_is_used_by_one_kind_of_group_or_the_other() {
    let mut ring = ring();
    let Some(_taken) = ring_provided::group(&ring, &BufRingSetup::new(4, 100).group(5)) else {
        return;
    };
    let buffers = ClassicBuffers::new(&ring, 5, 4, 100).expect("buffers");
    let cqe = run(&mut ring, buffers.provide().expect("idle ones"));
    // SAFETY: the completion of the submission made last, passed once.
    let error = unsafe { buffers.provided(cqe) }.expect_err("a ring has the number");
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    assert_eq!(buffers.with_kernel(), 0, "they are idle again");
    assert!(buffers.provide().is_some());

    let other = ClassicBuffers::new(&ring, 6, 4, 100).expect("buffers");
    provide(&mut ring, &other);
    let error = BufRingSetup::new(4, 100).group(6).build(&ring).expect_err("in use");
    assert_eq!(error.raw_os_error(), Some(libc::EEXIST));
}

#[test]
fn another_ring_refuses_the_submissions_of_a_group() {
    let (mine, mut other) = (ring(), ring());
    let buffers = ClassicBuffers::new(&mine, 5, 4, 100).expect("buffers");
    // SAFETY: it is not pushed.
    let refused = unsafe { other.push(buffers.remove(1)) };
    assert_eq!(refused, Err(PushError::ForeignRing));
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let ring = ring();
    for (count, each_bytes) in [(0, 100), (4, 0), (u16::MAX, u32::MAX)] {
        let error = ClassicBuffers::new(&ring, 5, count, each_bytes).expect_err("refused");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }
}

#[test]
fn a_lease_outlives_its_group() {
    let mut ring = ring();
    let buffers = ClassicBuffers::new(&ring, 5, 1, 100).expect("buffers");
    provide(&mut ring, &buffers);
    let cqe = run(&mut ring, read(&zeros(), buffers.group()));
    let lease = take(&buffers, cqe);
    drop(buffers);
    assert_eq!(lease[..], [0; 100]);
}

#[test]
fn a_number_is_free_again_only_when_the_kernel_has_none_of_its_buffers() {
    let mut ring = ring();
    let new = |ring: &Ring| ClassicBuffers::new(ring, 5, 2, 100);
    let buffers = new(&ring).expect("buffers");
    let in_use = |ring: &Ring| new(ring).expect_err("in use").raw_os_error();
    assert_eq!(in_use(&ring), Some(libc::EEXIST));
    provide(&mut ring, &buffers);
    assert_eq!(remove(&mut ring, &buffers, 2), 2);
    drop(buffers);
    let buffers = new(&ring).expect("the kernel has none");
    provide(&mut ring, &buffers);
    drop(buffers);
    assert_eq!(in_use(&ring), Some(libc::EEXIST), "the kernel has two, which it would choose");
}

//! Buffer rings: registering them, choosing from them, giving back to them.
#![cfg(not(miri))] // It has no io_uring.

mod ring_provided;

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixStream};

use ring_provided::{failure, group, next, one, push, read, recv, ring, run, skip};
use uring::ring::{BufRing, BufRingSetup, RecvSendFlags, Ring, Sqe, Target};

fn zeros() -> File {
    File::open("/dev/zero").expect("/dev/zero")
}

/// Reads until no buffer is left, then gives one back and reads again.
fn uses_all_buffers_and_then_one_again(ring: &mut Ring, buffers: &BufRing) {
    let file = zeros();
    let mut leases = Vec::new();
    for _ in 0..4 {
        let cqe = run(ring, read(&file, buffers.group()));
        let lease = one(buffers, cqe);
        assert_eq!(lease[..], [0; 100]);
        leases.push(lease);
    }
    let mut ids: Vec<_> = leases.iter().map(|lease| lease.buffer_id()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [0, 1, 2, 3], "each buffer once");
    let cqe = run(ring, read(&file, buffers.group()));
    assert_eq!(failure(buffers, cqe), Some(libc::ENOBUFS));

    let back = leases.remove(2).buffer_id();
    let cqe = run(ring, read(&file, buffers.group()));
    assert_eq!(one(buffers, cqe).buffer_id(), back);
    drop(leases);
    assert_eq!(buffers.with_kernel(), 4);
}

#[test]
fn reads_use_all_buffers_then_fail_and_go_on_after_a_return() {
    let mut ring = ring();
    let Some(buffers) = group(&ring, &BufRingSetup::new(4, 100).group(3)) else { return };
    assert_eq!((buffers.group().id(), buffers.buffer_bytes()), (3, 100));
    uses_all_buffers_and_then_one_again(&mut ring, &buffers);
}

#[test]
fn buffers_are_chosen_in_the_order_in_which_they_came_back() {
    let mut ring = ring();
    let Some(buffers) = group(&ring, &BufRingSetup::new(4, 100)) else { return };
    let mut read_one = || {
        let cqe = run(&mut ring, read(&zeros(), buffers.group()));
        one(&buffers, cqe)
    };
    let mut leases: Vec<_> = (0..4).map(|_| read_one()).collect();
    for back in [2, 0, 1, 0] {
        drop(leases.remove(back));
    }
    let ids: Vec<_> = (0..4).map(|_| read_one()).map(|lease| lease.buffer_id()).collect();
    assert_eq!(ids, [2, 0, 3, 1]);
}

#[test]
fn a_ring_in_the_kernels_memory_works_like_one_in_ours() {
    let mut ring = ring();
    let setup = BufRingSetup::new(4, 100).group(9).kernel_memory();
    let Some(buffers) = group(&ring, &setup) else { return };
    uses_all_buffers_and_then_one_again(&mut ring, &buffers);
}

#[test]
fn many_rings_in_the_kernels_memory_stand_side_by_side() {
    let mut ring = ring();
    let setups = [0, 1, 255, 2047].map(|id| BufRingSetup::new(4, 100).group(id).kernel_memory());
    let Some(first) = group(&ring, &setups[0]) else { return };
    let rest = setups[1..].iter().map(|setup| setup.build(&ring).expect("a group"));
    let groups: Vec<BufRing> = std::iter::once(first).chain(rest).collect();
    for buffers in &groups {
        uses_all_buffers_and_then_one_again(&mut ring, buffers);
    }
}

#[test]
fn a_ring_in_the_kernels_memory_has_a_number_below_2048() {
    let ring = ring();
    for number in [2048, 4096, u16::MAX] {
        let setup = BufRingSetup::new(4, 100).group(number);
        let error =
            setup.clone().kernel_memory().build(&ring).expect_err("no place to map it from");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        let Some(buffers) = group(&ring, &setup) else { return };
        assert_eq!(buffers.group().id(), number);
    }
}

#[test]
fn two_groups_do_not_mix() {
    let mut ring = ring();
    let Some(small) = group(&ring, &BufRingSetup::new(2, 10).group(1)) else { return };
    let large = BufRingSetup::new(2, 20).group(2).build(&ring).expect("a second group");
    let file = zeros();
    let (a, b) =
        (run(&mut ring, read(&file, small.group())), run(&mut ring, read(&file, large.group())));
    let (a, b) = (one(&small, a), one(&large, b));
    assert_eq!((a.len(), b.len()), (10, 20));
    assert_eq!((small.with_kernel(), large.with_kernel()), (1, 1));
}

#[test]
fn a_number_is_taken_by_one_group_until_that_is_dropped() {
    let ring = ring();
    let setup = BufRingSetup::new(2, 10).group(1);
    let Some(first) = group(&ring, &setup) else { return };
    let error = setup.build(&ring).expect_err("in use");
    assert_eq!(error.raw_os_error(), Some(libc::EEXIST));
    drop(first);
    setup.build(&ring).expect("free again");
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let ring = ring();
    for (entries, each_bytes) in [(0, 10), (3, 10), (65_536, 10), (u32::MAX, 10), (4, 0)] {
        let error = BufRingSetup::new(entries, each_bytes).build(&ring).expect_err("refused");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{entries} of {each_bytes}");
    }
    for entries in [1, 32_768] {
        let Some(buffers) = group(&ring, &BufRingSetup::new(entries, 1)) else { return };
        assert_eq!(buffers.with_kernel(), entries);
    }
}

#[test]
fn a_kernel_in_user_space_has_buffer_rings_too() {
    let sim = uring::sim::Sim::new(1);
    let ring = uring::ring::Setup::new(8).build_on(sim.kernel()).expect("a ring");
    let buffers = BufRingSetup::new(4, 100).build(&ring).expect("a ring of buffers");
    assert_eq!(buffers.with_kernel(), 4);
}

#[test]
fn the_kernel_says_how_many_buffers_it_can_still_choose() {
    let mut ring = ring();
    let Some(buffers) = group(&ring, &BufRingSetup::new(4, 100)) else { return };
    if buffers.head().is_err() {
        return skip("IORING_REGISTER_PBUF_STATUS (6.8)");
    }
    let seen = || (buffers.head().expect("a head"), buffers.available().expect("a count"));
    assert_eq!(seen(), (0, 4));
    let cqe = run(&mut ring, read(&zeros(), buffers.group()));
    assert_eq!(seen(), (1, 3));
    assert_eq!(buffers.with_kernel(), 4, "the completion was not taken yet");
    drop(one(&buffers, cqe));
    assert_eq!(seen(), (1, 4));
}

#[test]
fn buffers_that_are_not_provided_at_first_are_provided_later() {
    let mut ring = ring();
    let Some(buffers) = group(&ring, &BufRingSetup::new(8, 100).at_first(1)) else { return };
    let first = run(&mut ring, read(&zeros(), buffers.group()));
    let first = one(&buffers, first);
    let cqe = run(&mut ring, read(&zeros(), buffers.group()));
    assert_eq!(failure(&buffers, cqe), Some(libc::ENOBUFS));
    assert_eq!((buffers.provide(3), buffers.provide(100), buffers.provide(1)), (3, 4, 0));
    let cqe = run(&mut ring, read(&zeros(), buffers.group()));
    assert_eq!(one(&buffers, cqe).buffer_id(), 1);
    drop(first);
    assert_eq!(buffers.with_kernel(), 8);
}

#[test]
fn a_group_stays_valid_after_its_ring_is_dropped() {
    let mut ring = ring();
    let Some(buffers) = group(&ring, &BufRingSetup::new(4, 100)) else { return };
    let cqe = run(&mut ring, read(&zeros(), buffers.group()));
    drop(ring);
    let lease = one(&buffers, cqe);
    assert_eq!(lease[..], [0; 100]);
    drop(lease);
    assert_eq!(buffers.with_kernel(), 4);
}

#[test]
fn a_lease_outlives_its_group() {
    let mut ring = ring();
    let Some(buffers) = group(&ring, &BufRingSetup::new(4, 100)) else { return };
    let (mut from, to) = UnixStream::pair().expect("sockets");
    from.write_all(b"hello").expect("written");
    let cqe = run(&mut ring, recv(&to, buffers.group(), RecvSendFlags::empty()));
    let lease = one(&buffers, cqe);
    let name = buffers.group();
    drop(buffers);
    assert_eq!(&lease[..], b"hello");
    // The kernel does not know the group any more.
    let cqe = run(&mut ring, recv(&to, name, RecvSendFlags::empty()));
    assert_eq!(cqe.raw_result(), -libc::ENOBUFS);
}

#[test]
fn failed_reads_lose_no_buffer() {
    let mut ring = ring();
    let Some(buffers) = group(&ring, &BufRingSetup::new(4, 100)) else { return };
    let directory = File::open("/").expect("a directory");
    for _ in 0..50 {
        let cqe = run(&mut ring, read(&directory, buffers.group()));
        assert_eq!(failure(&buffers, cqe), Some(libc::EISDIR));
    }
    assert_eq!(buffers.with_kernel(), 4);
    uses_all_buffers_and_then_one_again(&mut ring, &buffers);
}

#[test]
fn reads_that_nobody_looks_at_lose_no_buffer() {
    let mut ring = ring();
    let Some(buffers) = group(&ring, &BufRingSetup::new(8, 100)) else { return };
    let file = zeros();
    for _ in 0..5_000 {
        (0..8).for_each(|_| push(&mut ring, read(&file, buffers.group())));
        for _ in 0..8 {
            let cqe = next(&mut ring);
            // SAFETY: completions of requests that selected from this group, each passed once, in order.
            drop(unsafe { buffers.take(cqe) }.expect("bytes"));
        }
    }
    assert_eq!(buffers.with_kernel(), 8);
}

#[test]
fn a_message_longer_than_its_buffer_brings_that_buffer_alone() {
    let mut ring = ring();
    let Some(buffers) = group(&ring, &BufRingSetup::new(4, 16)) else { return };
    let (one_end, other_end) = UnixDatagram::pair().expect("sockets");
    other_end.send(&[7; 40]).expect("sent");
    let recv = Sqe::recv_provided(Target::Fd(one_end.as_fd()), buffers.group(), 0, libc::MSG_TRUNC);
    let cqe = run(&mut ring, recv);
    // SAFETY: the completion of the only request that selected from this group, passed once.
    let leases: Vec<_> = unsafe { buffers.take(cqe) }.expect("bytes").collect();
    assert_eq!(leases.len(), 1);
    assert_eq!(leases[0][..], [7; 16]);
}

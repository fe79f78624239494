//! Buffers that the kernel picks: groups, multishots, pieces, bundles.

use super::*;
use crate::ring::{BufGroup, BufRing, BufRingSetup, Cqe, CqeFlags, MultiSqe};

fn group(ring: &Ring, setup: &BufRingSetup) -> BufRing {
    setup.build(ring).expect("a group")
}

/// Pushes a multishot, which lends its group.
fn arm(ring: &mut Ring, sqe: MultiSqe<'_>) {
    // SAFETY: each test keeps its group until the multishot has ended.
    unsafe { ring.push(sqe.into_raw()) }.expect("space");
}

/// Waits for the next completion.
fn next(ring: &mut Ring) -> Cqe {
    loop {
        let mut cqes = [Cqe::default(); 1];
        if ring.copy_cqes(&mut cqes) == 1 {
            return cqes[0];
        }
        ring.submit_and_wait(1, None).expect("enter");
    }
}

/// Submits one, and waits for its completion.
fn run(ring: &mut Ring, sqe: Sqe<'_>) -> Cqe {
    // SAFETY: waited for at once.
    unsafe { ring.push(sqe.into_raw()) }.expect("space");
    next(ring)
}

/// The bytes that a completion brought, given back at once.
fn taken(buffers: &BufRing, cqe: Cqe) -> std::io::Result<Vec<u8>> {
    // SAFETY: each completion is of a request that selected from this group, and passed once, in order.
    unsafe { buffers.take(cqe) }.map(|leases| leases.flat_map(|lease| lease.to_vec()).collect())
}

#[test]
fn a_receive_takes_a_buffer_and_the_end_of_a_stream_takes_none() {
    let (sim, mut ring) = machine(1);
    let buffers = group(&ring, &BufRingSetup::new(2, 8));
    let (client, server) = connection(&sim, &mut ring);
    assert_eq!(send(&mut ring, client, b"hello", 0), 5);
    let cqe = run(&mut ring, Sqe::recv_provided(target(server), buffers.group(), 0, 0));
    assert_eq!((cqe.raw_result(), cqe.buffer_id()), (5, Some(0)));
    assert_eq!(taken(&buffers, cqe).expect("bytes"), b"hello");
    assert_eq!(close(&mut ring, client), 0);
    let cqe = run(&mut ring, Sqe::recv_provided(target(server), buffers.group(), 0, 0));
    assert_eq!((cqe.raw_result(), cqe.buffer_id()), (0, None));
    assert_eq!(buffers.available().expect("status"), 2);
}

#[test]
fn a_group_without_buffers_or_that_is_not_there_is_enobufs() {
    let (sim, mut ring) = machine(2);
    let (client, server) = connection(&sim, &mut ring);
    let none = BufGroup::new(&ring, 9);
    let recv = || Sqe::recv_provided(target(server), none, 0, 0);
    assert_eq!(complete(&mut ring, recv()), -libc::ENOBUFS);
    assert_eq!(complete(&mut ring, recv().bundle()), -libc::ENOENT);
    assert_eq!(complete(&mut ring, Sqe::recv_provided(target(7), none, 0, 0)), -libc::EBADF);
    assert_eq!(send(&mut ring, client, b"kept", 0), 4);
    let buffers = group(&ring, &BufRingSetup::new(2, 8).at_first(0));
    let empty = Sqe::recv_provided(target(server), buffers.group(), 0, 0);
    assert_eq!(complete(&mut ring, empty), -libc::ENOBUFS);
    assert_eq!(buffers.provide(1), 1);
    let cqe = run(&mut ring, Sqe::recv_provided(target(server), buffers.group(), 0, 0));
    assert_eq!(taken(&buffers, cqe).expect("bytes"), b"kept");
}

#[test]
fn a_multishot_receive_goes_on_until_buffers_run_out_and_loses_nothing() {
    for seed in seeds(4) {
        let (sim, mut ring) = machine(seed);
        let buffers = group(&ring, &BufRingSetup::new(2, 4));
        let (client, server) = connection(&sim, &mut ring);
        assert_eq!(send(&mut ring, client, b"abcdefghij", 0), 10);
        arm(&mut ring, MultiSqe::recv(target(server), buffers.group(), 0).user_data(1));
        let (first, second, last) = (next(&mut ring), next(&mut ring), next(&mut ring));
        assert!(first.more() && second.more() && !last.more());
        assert!(second.flags().contains(CqeFlags::SOCK_NONEMPTY));
        assert_eq!(last.raw_result(), -libc::ENOBUFS);
        let mut bytes = taken(&buffers, first).expect("bytes");
        bytes.extend(taken(&buffers, second).expect("bytes"));
        arm(&mut ring, MultiSqe::recv(target(server), buffers.group(), 0).user_data(2));
        let cqe = next(&mut ring);
        assert!(cqe.more());
        bytes.extend(taken(&buffers, cqe).expect("bytes"));
        assert_eq!(bytes, b"abcdefghij");
        sim._table.close(client).expect("close");
        let end = next(&mut ring);
        assert_eq!((end.user_data(), end.raw_result(), end.more()), (2, 0, false));
        assert_eq!(sim.in_flight(), 0);
    }
}

#[test]
fn limits_end_a_multishot_receive_and_cap_its_pieces() {
    let (sim, mut ring) = machine(3);
    let buffers = group(&ring, &BufRingSetup::new(4, 8));
    let (client, server) = connection(&sim, &mut ring);
    assert_eq!(send(&mut ring, client, b"abcdefgh", 0), 8);
    arm(&mut ring, MultiSqe::recv(target(server), buffers.group(), 0).limits(2, 5));
    let mut pieces = Vec::new();
    loop {
        let cqe = next(&mut ring);
        pieces.push(taken(&buffers, cqe).expect("bytes"));
        if !cqe.more() {
            break;
        }
    }
    assert_eq!(pieces, [b"ab".to_vec(), b"cd".to_vec(), b"e".to_vec()]);
    assert_eq!(recv(&mut ring, server, 8, 0), Ok(b"fgh".to_vec()));
}

#[test]
fn an_incremental_buffer_is_kept_until_it_is_full() {
    let (sim, mut ring) = machine(4);
    let buffers = group(&ring, &BufRingSetup::new(2, 10).incremental());
    let (client, server) = connection(&sim, &mut ring);
    let mut seen = Vec::new();
    for piece in [&b"abcd"[..], b"efgh", b"ij", b"kl"] {
        assert_eq!(send(&mut ring, client, piece, 0), piece.len() as i32);
        let cqe = run(&mut ring, Sqe::recv_provided(target(server), buffers.group(), 0, 0));
        let more = cqe.flags().contains(CqeFlags::BUF_MORE);
        seen.push((cqe.buffer_id(), more));
        assert_eq!(taken(&buffers, cqe).expect("bytes"), piece);
    }
    let (first, second) = (Some(0), Some(1));
    assert_eq!(seen, [(first, true), (first, true), (first, false), (second, true)]);
}

#[test]
fn a_small_rest_of_an_incremental_buffer_is_left() {
    let (sim, mut ring) = machine(5);
    let buffers = group(&ring, &BufRingSetup::new(2, 10).min_left(4));
    assert_eq!(buffers.min_left_bytes(), 4);
    let (client, server) = connection(&sim, &mut ring);
    for (piece, id, more) in [(&b"abcdefg"[..], 0, false), (b"abcdef", 1, true)] {
        assert_eq!(send(&mut ring, client, piece, 0), piece.len() as i32);
        let cqe = run(&mut ring, Sqe::recv_provided(target(server), buffers.group(), 0, 0));
        assert_eq!(cqe.buffer_id(), Some(id));
        assert_eq!(cqe.flags().contains(CqeFlags::BUF_MORE), more);
        assert_eq!(taken(&buffers, cqe).expect("bytes"), piece);
    }
}

#[test]
fn a_bundle_takes_several_buffers_in_the_order_of_the_ring() {
    let mut most = 0;
    for seed in seeds(4) {
        let (sim, mut ring) = machine(seed);
        let buffers = group(&ring, &BufRingSetup::new(4, 4));
        let (client, server) = connection(&sim, &mut ring);
        assert_eq!(send(&mut ring, client, b"abcdefghij", 0), 10);
        let mut bytes = Vec::new();
        while bytes.len() < 10 {
            let recv = Sqe::recv_provided(target(server), buffers.group(), 0, 0).bundle();
            let cqe = run(&mut ring, recv);
            most = most.max(cqe.raw_result());
            bytes.extend(taken(&buffers, cqe).expect("bytes"));
        }
        assert_eq!(bytes, b"abcdefghij");
        assert_eq!(buffers.available().expect("status"), 4);
    }
    assert!(most > 4, "more than one buffer: {most}");
}

#[test]
fn a_multishot_read_follows_a_pipe_and_refuses_a_file() {
    let (sim, mut ring) = machine(6);
    let buffers = group(&ring, &BufRingSetup::new(4, 8));
    let (reader, writer) = sim.pipe();
    let read_multi = |number| MultiSqe::read(target(number), buffers.group(), 0, None);
    arm(&mut ring, read_multi(reader).user_data(1));
    for piece in [&b"one"[..], b"two"] {
        // SAFETY: waited for below, before the bytes go.
        unsafe { ring.push(Sqe::write(target(writer), piece, None).into_raw()) }.expect("space");
        for _ in 0..2 {
            let cqe = next(&mut ring);
            if cqe.user_data() == 1 {
                assert!(cqe.more());
                assert_eq!(taken(&buffers, cqe).expect("bytes"), piece);
            }
        }
    }
    sim._table.close(writer).expect("close");
    let end = next(&mut ring);
    assert_eq!((end.raw_result(), end.more(), end.buffer_id()), (0, false, None));
    sim.write_file("f", b"x");
    let file = open(&mut ring, c"f", libc::O_RDONLY);
    arm(&mut ring, read_multi(file));
    assert_eq!(next(&mut ring).raw_result(), -libc::EBADFD);
}

#[test]
fn a_send_takes_filled_buffers_in_their_order() {
    let (sim, mut ring) = machine(7);
    let buffers = group(&ring, &BufRingSetup::new(4, 8).by_hand());
    let (client, server) = connection(&sim, &mut ring);
    for part in [&b"one"[..], b"two"] {
        buffers.fill(part).expect("an idle buffer");
        let cqe = run(&mut ring, Sqe::send_provided(target(client), buffers.group(), 0, 0));
        assert_eq!(cqe.raw_result(), 3);
        drop(taken(&buffers, cqe));
    }
    assert_eq!(recv(&mut ring, server, 8, 0), Ok(b"onetwo".to_vec()));
    let empty = Sqe::send_provided(target(client), buffers.group(), 0, 0);
    assert_eq!(complete(&mut ring, empty), -libc::ENOBUFS);
}

#[test]
fn a_group_outlives_its_ring_and_its_number_is_taken_once() {
    let (_sim, ring) = machine(8);
    let buffers = group(&ring, &BufRingSetup::new(2, 8));
    let again = BufRingSetup::new(2, 8).build(&ring);
    assert_eq!(again.err().and_then(|error| error.raw_os_error()), Some(libc::EEXIST));
    drop(ring);
    assert_eq!(buffers.available().expect("status"), 2);
}

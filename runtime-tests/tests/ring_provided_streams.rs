//! Streams that fill provided buffers: many completions of one request, bundles, buffers filled in pieces.
#![cfg(not(miri))] // It has no io_uring.

mod ring_provided;

use std::io::Write;
use std::os::unix::net::UnixStream;

use ring_provided::{
    cancel, failure, group, next, one, push, read, recv, ring, run, select, silent, skip,
};
use runtime_tests::pipe;
use uring::ring::{BufRingSetup, CqeFlags, Features, Opcode, RawSqe, RecvSendFlags, Ring};

const MULTISHOT: RecvSendFlags = RecvSendFlags::RECV_MULTISHOT;
const BUNDLE: RecvSendFlags = RecvSendFlags::BUNDLE;

fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().expect("sockets")
}

fn has_bundles(ring: &Ring) -> bool {
    let has = ring.report().features().contains(Features::RECVSEND_BUNDLE);
    if !has {
        skip("IORING_RECVSEND_BUNDLE (6.10)");
    }
    has
}

#[test]
fn a_receive_takes_a_buffer_when_data_is_there() {
    let mut ring = ring();
    let Some(buffers) = group(&ring, &BufRingSetup::new(2, 100)) else { return };
    let (mut from, to) = pair();
    push(&mut ring, recv(&to, buffers.group(), RecvSendFlags::empty()));
    assert!(silent(&mut ring));
    from.write_all(b"hello").expect("written");
    let cqe = next(&mut ring);
    assert_eq!(&one(&buffers, cqe)[..], b"hello");
    assert_eq!(buffers.with_kernel(), 2);
}

#[test]
fn a_multishot_receive_ends_without_buffers_goes_on_after_a_return_and_is_cancelled() {
    let mut ring = ring();
    let Some(buffers) = group(&ring, &BufRingSetup::new(2, 4)) else { return };
    let (mut from, to) = pair();
    push(&mut ring, RawSqe { user_data: 1, ..recv(&to, buffers.group(), MULTISHOT) });
    from.write_all(b"abcdefghij").expect("written");

    let cqe = next(&mut ring);
    if cqe.raw_result() == -libc::EINVAL {
        return skip("IORING_RECV_MULTISHOT (6.0)");
    }
    assert!(cqe.more());
    let first = one(&buffers, cqe);
    let cqe = next(&mut ring);
    assert!(cqe.more());
    let second = one(&buffers, cqe);
    assert_eq!((&first[..], &second[..]), (&b"abcd"[..], &b"efgh"[..]));
    let cqe = next(&mut ring);
    assert!(!cqe.more(), "running out ends it");
    assert_eq!(failure(&buffers, cqe), Some(libc::ENOBUFS));

    drop((first, second));
    push(&mut ring, RawSqe { user_data: 2, ..recv(&to, buffers.group(), MULTISHOT) });
    let cqe = next(&mut ring);
    assert_eq!((cqe.user_data(), cqe.more()), (2, true));
    assert_eq!(&one(&buffers, cqe)[..], b"ij", "what had no buffer stayed in the socket");

    let cqe = cancel(&mut ring, 2);
    // Before Linux 6.5 it ended as if it had run out.
    assert!(matches!(failure(&buffers, cqe), Some(libc::ECANCELED | libc::ENOBUFS)));
    assert_eq!(buffers.with_kernel(), 2);
}

#[test]
fn receives_use_all_buffers_then_fail_and_go_on_after_a_return() {
    let mut ring = ring();
    let Some(buffers) = group(&ring, &BufRingSetup::new(2, 4)) else { return };
    let (mut from, to) = pair();
    from.write_all(b"abcdefghij").expect("written");
    let mut receive = || run(&mut ring, recv(&to, buffers.group(), RecvSendFlags::empty()));
    let (first, second) = (one(&buffers, receive()), one(&buffers, receive()));
    assert_eq!((&first[..], &second[..]), (&b"abcd"[..], &b"efgh"[..]));
    assert_eq!(failure(&buffers, receive()), Some(libc::ENOBUFS));
    let back = second.buffer_id();
    drop(second);
    let third = one(&buffers, receive());
    assert_eq!((&third[..], third.buffer_id()), (&b"ij"[..], back));
}

#[test]
fn the_end_of_a_stream_uses_no_buffer() {
    let mut ring = ring();
    let Some(buffers) = group(&ring, &BufRingSetup::new(2, 100)) else { return };
    let (from, to) = pair();
    push(&mut ring, recv(&to, buffers.group(), RecvSendFlags::empty()));
    drop(from);
    let cqe = next(&mut ring);
    assert_eq!(cqe.raw_result(), 0);
    // SAFETY: a completion of a request that selected from this group, passed once.
    drop(unsafe { buffers.take(cqe) }.expect("the end"));
    assert_eq!(buffers.with_kernel(), 2);
}

#[test]
fn many_multishot_receives_share_a_group() {
    let mut ring = ring();
    let Some(buffers) = group(&ring, &BufRingSetup::new(8, 16)) else { return };
    let mut pairs: Vec<_> = (0..10).map(|_| pair()).collect();
    for (index, (_, to)) in pairs.iter().enumerate() {
        push(&mut ring, RawSqe { user_data: index as u64, ..recv(to, buffers.group(), MULTISHOT) });
    }
    for round in 0..100u8 {
        for (index, (from, _)) in pairs.iter_mut().enumerate() {
            from.write_all(&[round, index as u8]).expect("written");
            let cqe = next(&mut ring);
            if cqe.raw_result() == -libc::EINVAL {
                return skip("IORING_RECV_MULTISHOT (6.0)");
            }
            assert_eq!((cqe.user_data(), cqe.more()), (index as u64, true));
            assert_eq!(one(&buffers, cqe)[..], [round, index as u8]);
        }
    }
    for index in 0..10 {
        cancel(&mut ring, index);
    }
    assert_eq!(buffers.with_kernel(), 8);
}

#[test]
fn a_buffer_is_filled_in_pieces_and_goes_back_when_it_is_full() {
    let mut ring = ring();
    let setup = BufRingSetup::new(2, 1000).incremental();
    let Some(buffers) = group(&ring, &setup) else { return };
    if !buffers.is_incremental() {
        return skip("IOU_PBUF_RING_INC (6.12)");
    }
    let (mut from, to) = pair();
    let mut pieces = Vec::new();
    for (byte, len) in [(1, 300), (2, 300), (3, 400), (4, 50)] {
        from.write_all(&vec![byte; len]).expect("written");
        let cqe = run(&mut ring, recv(&to, buffers.group(), RecvSendFlags::empty()));
        let piece = one(&buffers, cqe);
        let more = cqe.flags().contains(CqeFlags::BUF_MORE);
        pieces.push((piece.buffer_id(), piece.len(), more));
        assert!(piece.iter().all(|found| *found == byte), "the bytes that were sent");
    }
    let expected = [(0, 300, true), (0, 300, true), (0, 400, false), (1, 50, true)];
    assert_eq!(pieces, expected);
    assert_eq!(buffers.with_kernel(), 2);
    if let Ok(available) = buffers.available() {
        assert_eq!(available, 2, "the first one is back behind the second");
    }
}

#[test]
fn a_piece_that_is_kept_keeps_its_buffer_from_going_back() {
    let mut ring = ring();
    let Some(buffers) = group(&ring, &BufRingSetup::new(1, 10).incremental()) else { return };
    if !buffers.is_incremental() {
        return skip("IOU_PBUF_RING_INC (6.12)");
    }
    let (mut from, to) = pair();
    let mut receive = |ring: &mut Ring, bytes: &[u8]| {
        from.write_all(bytes).expect("written");
        run(ring, recv(&to, buffers.group(), RecvSendFlags::empty()))
    };
    let cqe = receive(&mut ring, b"abcdef");
    let kept = one(&buffers, cqe);
    let cqe = receive(&mut ring, b"ghij");
    assert_eq!(&one(&buffers, cqe)[..], b"ghij");
    let cqe = receive(&mut ring, b"k");
    assert_eq!(failure(&buffers, cqe), Some(libc::ENOBUFS), "full, and a piece of it is in use");
    assert_eq!(&kept[..], b"abcdef");
    drop(kept);
    let cqe = run(&mut ring, recv(&to, buffers.group(), RecvSendFlags::empty()));
    assert_eq!(&one(&buffers, cqe)[..], b"k");
}

#[test]
fn the_end_of_a_pipe_does_not_confuse_buffers_filled_in_pieces() {
    let mut ring = ring();
    let Some(buffers) = group(&ring, &BufRingSetup::new(2, 10).incremental()) else { return };
    if !buffers.is_incremental() {
        return skip("IOU_PBUF_RING_INC (6.12)");
    }
    let (closed, end) = pipe();
    drop(end);
    let (mut from, to) = pair();
    from.write_all(&[7; 25]).expect("written");
    let first = run(&mut ring, recv(&to, buffers.group(), RecvSendFlags::empty()));
    let ended = run(&mut ring, read(&closed, buffers.group()));
    let second = run(&mut ring, recv(&to, buffers.group(), RecvSendFlags::empty()));
    // All three are there before the first is looked at.
    assert_eq!(one(&buffers, first)[..], [7; 10]);
    // SAFETY: a completion of a request that selected from this group, passed once and in order.
    let nothing = unsafe { buffers.take(ended) }.expect("the end").len_bytes();
    assert_eq!(nothing, 0);
    assert_eq!(one(&buffers, second)[..], [7; 10]);
    for _ in 0..4 {
        from.write_all(&[8; 10]).expect("written");
        let cqe = run(&mut ring, recv(&to, buffers.group(), RecvSendFlags::empty()));
        drop(one(&buffers, cqe));
    }
    assert_eq!(buffers.with_kernel(), 2);
}

#[test]
fn a_regular_file_takes_whole_buffers_even_where_pieces_are_allowed() {
    let mut ring = ring();
    let Some(buffers) = group(&ring, &BufRingSetup::new(2, 64).incremental()) else { return };
    let mut file = std::fs::File::from(tempfile());
    let content: Vec<u8> = (0..=255).collect();
    file.write_all(&content).expect("written");
    let mut found = Vec::new();
    for at in [0, 64, 128, 192, 230, 256] {
        let cqe = run(&mut ring, RawSqe { off: at, ..read(&file, buffers.group()) });
        let piece = one(&buffers, cqe);
        assert_eq!(piece[..], content[at as usize..content.len().min(at as usize + 64)]);
        found.push(piece.len());
    }
    assert_eq!(found, [64, 64, 64, 64, 26, 0]);
    let cqe = run(&mut ring, RawSqe { off: 0, ..read(&file, buffers.group()) });
    assert_eq!(one(&buffers, cqe).len(), 64);
    assert_eq!(buffers.with_kernel(), 2);
}

/// A file without a name, `memfd_create(2)`.
fn tempfile() -> std::os::fd::OwnedFd {
    use std::os::fd::FromRawFd;
    // SAFETY: the name is a string that ends in 0; the result is checked, and owned by nobody else.
    unsafe {
        let fd = libc::memfd_create(c"provided".as_ptr(), libc::MFD_CLOEXEC);
        assert!(fd >= 0, "memfd_create failed");
        std::os::fd::OwnedFd::from_raw_fd(fd)
    }
}

#[test]
fn a_multishot_read_of_a_pipe_takes_a_buffer_each_time_until_the_end() {
    for setup in [BufRingSetup::new(4, 100), BufRingSetup::new(2, 100).incremental()] {
        let mut ring = ring();
        let Some(buffers) = group(&ring, &setup) else { return };
        if !ring.supports(Opcode::READ_MULTISHOT) {
            return skip("IORING_OP_READ_MULTISHOT (6.7)");
        }
        let all = buffers.with_kernel();
        let (reader, writer) = pipe();
        let mut writer = std::fs::File::from(writer);
        push(&mut ring, select(Opcode::READ_MULTISHOT, &reader, buffers.group()));
        for round in 0..50u8 {
            writer.write_all(&[round; 25]).expect("written");
            let cqe = next(&mut ring);
            assert!(cqe.more());
            assert_eq!(one(&buffers, cqe)[..], [round; 25]);
        }
        drop(writer);
        let cqe = next(&mut ring);
        assert_eq!((cqe.raw_result(), cqe.more()), (0, false));
        // SAFETY: a completion of a request that selected from this group, passed once.
        drop(unsafe { buffers.take(cqe) }.expect("the end"));
        assert_eq!(buffers.with_kernel(), all);
    }
}

#[test]
fn a_bundle_fills_several_buffers_at_once() {
    let mut ring = ring();
    let Some(buffers) = group(&ring, &BufRingSetup::new(8, 100)) else { return };
    if !has_bundles(&ring) {
        return;
    }
    let (mut from, to) = pair();
    let sent: Vec<u8> = (0..250).collect();
    from.write_all(&sent).expect("written");
    let (mut received, mut sizes) = (Vec::new(), Vec::new());
    while received.len() < sent.len() {
        let cqe = run(&mut ring, recv(&to, buffers.group(), BUNDLE));
        // SAFETY: a completion of a request that selected from this group, passed once.
        for lease in unsafe { buffers.take(cqe) }.expect("bytes") {
            received.extend_from_slice(&lease);
            sizes.push((lease.buffer_id(), lease.len()));
        }
    }
    assert_eq!(received, sent);
    assert_eq!(sizes[..2], [(0, 100), (1, 100)]);
    assert_eq!(buffers.with_kernel(), 8);
}

#[test]
fn bundles_of_a_long_stream_keep_its_order() {
    for setup in [BufRingSetup::new(16, 100), BufRingSetup::new(4, 1000).incremental()] {
        let mut ring = ring();
        let Some(buffers) = group(&ring, &setup) else { return };
        if !has_bundles(&ring) {
            return;
        }
        let (mut from, to) = pair();
        let sent: Vec<u8> = (0..100_000u32).map(|at| (at * 7 / 3) as u8).collect();
        let mut received = Vec::new();
        for part in sent.chunks(1370) {
            from.write_all(part).expect("written");
            let goal = received.len() + part.len();
            while received.len() < goal {
                let cqe = run(&mut ring, recv(&to, buffers.group(), BUNDLE));
                // SAFETY: a completion of a request that selected from this group, passed once.
                let leases = unsafe { buffers.take(cqe) }.expect("bytes");
                leases.for_each(|lease| received.extend_from_slice(&lease));
            }
        }
        assert!(received == sent, "the bytes that were sent, in their order");
        assert_eq!(u32::from(setup_entries(&buffers)), buffers.with_kernel());
    }
}

/// How many buffers a group has, when all of them are back.
fn setup_entries(buffers: &uring::ring::BufRing) -> u16 {
    if buffers.buffer_bytes() == 100 { 16 } else { 4 }
}

#[test]
fn a_send_takes_filled_buffers_in_their_order() {
    let mut ring = ring();
    let Some(buffers) = group(&ring, &BufRingSetup::new(4, 100).by_hand()) else { return };
    if !has_bundles(&ring) {
        return;
    }
    let (from, to) = pair();
    for text in ["one ", "two ", "three"] {
        buffers.fill(text.as_bytes()).expect("an idle buffer");
    }
    let mut sent = 0;
    while sent < 13 {
        let cqe = run(
            &mut ring,
            RawSqe { ioprio: BUNDLE.bits(), ..select(Opcode::SEND, &from, buffers.group()) },
        );
        // SAFETY: a completion of a request that selected from this group, passed once.
        sent += unsafe { buffers.take(cqe) }.expect("bytes sent").len_bytes();
    }
    assert_eq!(buffers.with_kernel(), 0, "what was sent is not provided again by itself");
    let mut text = [0; 13];
    std::io::Read::read_exact(&mut &to, &mut text).expect("received");
    assert_eq!(&text, b"one two three");

    assert_eq!(buffers.fill(b"").map_err(|e| e.raw_os_error()), Err(Some(libc::EINVAL)));
    assert_eq!(buffers.fill(&[0; 101]).map_err(|e| e.raw_os_error()), Err(Some(libc::EINVAL)));
    (0..4).for_each(|_| buffers.fill(b"x").expect("an idle buffer"));
    assert_eq!(buffers.fill(b"x").map_err(|e| e.raw_os_error()), Err(Some(libc::ENOBUFS)));
}

#[test]
fn a_small_rest_of_a_buffer_is_left_where_the_kernel_can() {
    let mut ring = ring();
    let Some(buffers) = group(&ring, &BufRingSetup::new(2, 100).min_left(32)) else { return };
    if buffers.min_left_bytes() != 32 {
        return skip("min_left of IOU_PBUF_RING_INC (7.1)");
    }
    let (mut from, to) = pair();
    let mut found = Vec::new();
    for len in [60, 10, 10] {
        from.write_all(&vec![1; len]).expect("written");
        let cqe = run(&mut ring, recv(&to, buffers.group(), RecvSendFlags::empty()));
        let piece = one(&buffers, cqe);
        found.push((piece.buffer_id(), piece.len(), cqe.flags().contains(CqeFlags::BUF_MORE)));
    }
    assert_eq!(found, [(0, 60, true), (0, 10, false), (1, 10, true)]);
    assert_eq!(buffers.with_kernel(), 2);
}

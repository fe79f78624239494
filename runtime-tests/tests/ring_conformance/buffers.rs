//! Groups of provided buffers at their edges.

use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use runtime_tests::ring::on_a_ring;
use runtime_tests::rings::{group, made_in, take};
use runtime_tests::{Watchdog, pipe, skipped};
use uring::ring::{
    BufRingSetup, Cqe, Features, MsgRooms, MultiSqe, RecvMsgOut, RingMemory, Setup, Sqe,
};

use super::{on, pair, poke};

#[test]
fn a_limited_multishot_receive_ends_after_so_many_bytes() {
    on_a_ring(|ring| {
        let Some(buffers) = group(ring.ring(), &BufRingSetup::new(8, 100)) else { return };
        let (near, mut far) = pair();
        far.write_all(&[7; 60]).expect("bytes");
        let recv = MultiSqe::recv(on(&near), buffers.group(), 0).limits(10, 25);
        // SAFETY: socket and buffers outlive the receive, whose end is taken below.
        unsafe { ring.start(recv) };
        let mut came = Vec::new();
        loop {
            let cqe = ring.next_cqe();
            if cqe.raw_result() == -libc::EINVAL {
                return skipped("a receive is limited in all since Linux 6.17");
            }
            // SAFETY: a completion of a request that selected from this group, passed once.
            let leases = unsafe { buffers.take(cqe) }.expect("bytes");
            came.push((leases.len_bytes(), cqe.more()));
            if !cqe.more() {
                break;
            }
        }
        // The one that reaches the limit may go beyond it, by less than its own limit.
        assert_eq!(came[..2], [(10, true), (10, true)]);
        assert!(came.len() == 3 && (5..=10).contains(&came[2].0), "{came:?}");
    });
}

#[test]
fn a_buffer_ring_of_the_kernels_works_on_a_ring_in_memory_of_ours() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let setup = Setup::new(8);
    let memory = RingMemory::new(setup.memory_bytes()).expect("memory");
    let Some(mut ring) = made_in(&setup, &memory) else { return };
    let (reader, writer) = pipe();
    let Some(buffers) = group(&ring, &BufRingSetup::new(4, 16).kernel_memory()) else { return };
    for _ in 0..10 {
        poke(&writer);
        let read = Sqe::read_provided(on(&reader), buffers.group(), 16, None);
        // SAFETY: pipe and buffers outlive the read, which is taken below.
        unsafe { ring.push(read) }.expect("room");
        let cqe: Cqe = take(&mut ring, 1)[0];
        // SAFETY: a completion of a request that selected from this group, passed once.
        let mut leases = unsafe { buffers.take(cqe) }.expect("bytes");
        assert_eq!(leases.next().as_deref(), Some(&b"x"[..]));
    }
    assert_eq!(buffers.with_kernel(), 4);
}

#[test]
fn a_bundle_that_is_cut_leaves_the_next_buffers_whole() {
    on_a_ring(|ring| {
        if !ring.ring().report().features().contains(Features::RECVSEND_BUNDLE) {
            return skipped("bundles came with Linux 6.10");
        }
        let Some(buffers) = group(ring.ring(), &BufRingSetup::new(4, 100)) else { return };
        let (near, mut far) = pair();
        let sent: Vec<u8> = (0..200).collect();
        far.write_all(&sent).expect("bytes");
        let mut all = Vec::new();
        let mut lens = Vec::new();
        // The first may have 30 bytes, which are less than a buffer; the others what there is, which Linux
        // 6.12 hands out one by one.
        let mut limit_bytes = 30;
        while all.len() < sent.len() {
            let recv = Sqe::recv_provided(on(&near), buffers.group(), limit_bytes, 0).bundle();
            let cqe = ring.complete(recv);
            // SAFETY: a completion of a request that selected from this group, passed once.
            for lease in unsafe { buffers.take(cqe) }.expect("bytes") {
                all.extend_from_slice(&lease);
                lens.push(lease.len());
            }
            limit_bytes = 0;
        }
        assert_eq!(lens, [30, 100, 70]);
        assert_eq!(all, sent);
        assert_eq!(buffers.with_kernel(), 4);
    });
}

#[test]
fn no_message_is_cut_to_the_small_rest_of_a_buffer() {
    on_a_ring(|ring| {
        let setup = BufRingSetup::new(4, 256).min_left(100);
        let Some(buffers) = group(ring.ring(), &setup) else { return };
        if buffers.min_left_bytes() != 100 {
            return skipped("Linux here lacks min_left of rings of buffers (7.1)");
        }
        let (near, far) = UnixDatagram::pair().expect("two sockets");
        let rooms = MsgRooms::new(0, 0);
        // SAFETY: socket, rooms and buffers outlive the receive, which is cancelled below.
        unsafe {
            ring.start(MultiSqe::recv_msg(on(&near), &rooms, buffers.group(), 0).user_data(1));
        }
        for round in 0..20 {
            let sent = [round; 60];
            far.send(&sent).expect("a message");
            let cqe = ring.next_cqe();
            assert!(cqe.more(), "{cqe:?}");
            // SAFETY: a completion of a request that selected from this group, passed once.
            let lease = unsafe { buffers.take(cqe) }.expect("bytes").next().expect("a buffer");
            let message = RecvMsgOut::parse(&lease, 0, 0).expect("a message");
            assert!(!message.payload_truncated() && message.payload() == sent, "{round}");
        }
        // SAFETY: lends nothing.
        unsafe { ring.start(Sqe::cancel(1).user_data(2)) };
        assert_eq!(ring.next_sorted(2), [(1, -libc::ECANCELED), (2, 0)]);
    });
}

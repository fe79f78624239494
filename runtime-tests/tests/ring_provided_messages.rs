//! Multishot `recvmsg`: the sender's address, control messages and payload in one provided buffer.
#![cfg(not(miri))] // It has no io_uring.

mod ring_provided;

use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use ring_provided::{cancel, group, next, one, push, ring, select, skip};
use uring::ring::{
    BufGroup, BufRing, BufRingSetup, Lease, Opcode, RawSqe, RecvMsgOut, RecvSendFlags, Ring,
};

const NAME_BYTES: usize = 16;

fn sockets() -> (UdpSocket, UdpSocket) {
    let bind = || UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let (from, to) = (bind(), bind());
    from.connect(to.local_addr().expect("an address")).expect("connected");
    (from, to)
}

/// A `msghdr` that asks for an address and `control_bytes` of control messages.
fn head(control_bytes: usize) -> Box<libc::msghdr> {
    // SAFETY: all zeros is a `msghdr` of nothing.
    let mut head: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
    head.msg_namelen = NAME_BYTES as u32;
    head.msg_controllen = control_bytes;
    head
}

fn recvmsg(socket: &UdpSocket, buffers: BufGroup, head: &libc::msghdr) -> RawSqe {
    RawSqe {
        addr: std::ptr::from_ref(head).expose_provenance() as u64,
        len: 1,
        ioprio: RecvSendFlags::RECV_MULTISHOT.bits(),
        user_data: 1,
        ..select(Opcode::RECVMSG, socket, buffers)
    }
}

/// The next message, and whether more will follow; none where the kernel has no multishot `recvmsg`.
fn message(ring: &mut Ring, buffers: &BufRing) -> Option<(Lease, bool)> {
    let cqe = next(ring);
    if cqe.raw_result() == -libc::EINVAL {
        skip("IORING_RECV_MULTISHOT of recvmsg (6.0)");
        return None;
    }
    Some((one(buffers, cqe), cqe.more()))
}

#[test]
fn every_message_comes_with_its_sender() {
    let mut ring = ring();
    let Some(buffers) = group(&ring, &BufRingSetup::new(4, 256)) else { return };
    let (from, to) = sockets();
    let head = head(0);
    push(&mut ring, recvmsg(&to, buffers.group(), &head));
    for text in ["hello", "you", "world"] {
        from.send(text.as_bytes()).expect("sent");
        let Some((lease, more)) = message(&mut ring, &buffers) else { return };
        assert!(more);
        let message = RecvMsgOut::parse(&lease, NAME_BYTES, 0).expect("a message");
        assert_eq!(message.payload(), text.as_bytes());
        assert_eq!(message.name().and_then(|name| name.to_std()), from.local_addr().ok());
        assert!(!message.payload_truncated() && !message.name_truncated());
        assert_eq!(message.control_messages().count(), 0);
    }
    cancel(&mut ring, 1);
    assert_eq!(buffers.with_kernel(), 4);
}

#[test]
fn an_empty_message_is_one_too_and_may_be_the_last() {
    let mut ring = ring();
    let Some(buffers) = group(&ring, &BufRingSetup::new(4, 256)) else { return };
    let (from, to) = sockets();
    let head = head(0);
    push(&mut ring, recvmsg(&to, buffers.group(), &head));
    from.send(b"").expect("sent");
    let Some((lease, more)) = message(&mut ring, &buffers) else { return };
    let message = RecvMsgOut::parse(&lease, NAME_BYTES, 0).expect("a message");
    assert_eq!(message.name().and_then(|name| name.to_std()), from.local_addr().ok());
    assert_eq!(message.payload(), b"");
    drop(lease);
    if more {
        cancel(&mut ring, 1);
    }
    assert_eq!(buffers.with_kernel(), 4);
}

#[test]
fn a_datagram_that_is_too_long_is_cut_and_says_so() {
    let mut ring = ring();
    let Some(buffers) = group(&ring, &BufRingSetup::new(4, 256)) else { return };
    let (from, to) = sockets();
    let head = head(0);
    push(&mut ring, recvmsg(&to, buffers.group(), &head));
    let sent: Vec<u8> = (0..400u32).map(|at| at as u8).collect();
    from.send(&sent).expect("sent");
    let Some((lease, _)) = message(&mut ring, &buffers) else { return };
    assert_eq!(lease.len(), 256);
    let message = RecvMsgOut::parse(&lease, NAME_BYTES, 0).expect("a message");
    assert_eq!(message.payload(), &sent[..256 - 16 - NAME_BYTES]);
    assert!(message.payload_truncated());
    assert_eq!(message.flags() & libc::MSG_TRUNC, libc::MSG_TRUNC);
    cancel(&mut ring, 1);
}

#[test]
fn control_messages_are_found_and_their_want_of_room_is_told() {
    let mut ring = ring();
    let Some(buffers) = group(&ring, &BufRingSetup::new(4, 256)) else { return };
    let (from, to) = sockets();
    let on: i32 = 1;
    for option in [libc::IP_RECVTTL, libc::IP_PKTINFO] {
        // SAFETY: an option whose value is one `int`, which outlives the call.
        let done = unsafe {
            let (value, len) = ((&raw const on).cast(), size_of_val(&on) as u32);
            libc::setsockopt(to.as_raw_fd(), libc::IPPROTO_IP, option, value, len)
        };
        assert_eq!(done, 0, "setsockopt");
    }
    for (control_bytes, kinds, cut) in
        [(128, &[libc::IP_PKTINFO, libc::IP_TTL][..], false), (32, &[libc::IP_PKTINFO][..], true)]
    {
        let head = head(control_bytes);
        push(&mut ring, recvmsg(&to, buffers.group(), &head));
        from.send(b"hello").expect("sent");
        let Some((lease, _)) = message(&mut ring, &buffers) else { return };
        let message = RecvMsgOut::parse(&lease, NAME_BYTES, control_bytes).expect("a message");
        let found: Vec<_> = message.control_messages().map(|one| (one.level, one.kind)).collect();
        let expected: Vec<_> = kinds.iter().map(|kind| (libc::IPPROTO_IP, *kind)).collect();
        assert_eq!(found, expected);
        assert_eq!(message.control_truncated(), cut);
        assert_eq!(message.payload(), b"hello");
        let ttl = message.control_messages().find(|one| one.kind == libc::IP_TTL);
        if let Some(ttl) = ttl {
            assert_eq!(ttl.data, 64i32.to_ne_bytes());
        }
        cancel(&mut ring, 1);
    }
}

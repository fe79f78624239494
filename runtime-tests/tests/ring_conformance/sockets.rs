//! Sockets: connections, waiting for all bytes, not waiting at all.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

use runtime_tests::ring::{BareRing, on_a_ring};
use runtime_tests::skipped;
use uring::ring::abi::Timespec;
use uring::ring::{
    BufIndex, Features, MsgHeader, MultiSqe, Opcode, RawSqe, RwFlags, Sqe, TimeoutFlags,
};

use super::{on, pair};

const SOON: Timespec = Timespec { sec: 0, nsec: 2_000_000 };
const CLOEXEC: i32 = libc::SOCK_CLOEXEC;

fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener")
}

fn accepted(result: i32) -> OwnedFd {
    assert!(result >= 0, "an accept failed with {result}");
    // SAFETY: it was just made, for us alone.
    unsafe { OwnedFd::from_raw_fd(result) }
}

#[test]
fn an_accept_says_whether_more_are_waiting() {
    let listener = listener();
    let address = listener.local_addr().expect("its address");
    on_a_ring(|ring| {
        if !ring.ring().report().features().contains(Features::RECVSEND_BUNDLE) {
            return skipped("an accept says so since Linux 6.10");
        }
        let _clients = [(); 3].map(|()| TcpStream::connect(address).expect("a client"));
        let more = [(); 3].map(|()| {
            let cqe = ring.complete(Sqe::accept(on(&listener), None, CLOEXEC));
            drop(accepted(cqe.raw_result()));
            cqe.socket_nonempty()
        });
        assert_eq!(more, [true, true, false]);
    });
}

#[test]
fn an_accept_that_takes_too_long_ends_with_its_timeout() {
    let listener = listener();
    let address = listener.local_addr().expect("its address");
    let never = Timespec { sec: 1 << 30, nsec: 0 };
    on_a_ring(|ring| {
        let accept = || Sqe::accept(on(&listener), None, CLOEXEC).link();
        let late = [accept(), Sqe::link_timeout(&SOON, TimeoutFlags::empty())];
        let ends = ring.run_all(late);
        assert!([-libc::ECANCELED, -libc::EINTR].contains(&ends[0]), "{ends:?}");
        assert_eq!(ends[1], -libc::ETIME);
        let _client = TcpStream::connect(address).expect("a client");
        let in_time = ring.run_all([accept(), Sqe::link_timeout(&never, TimeoutFlags::empty())]);
        drop(accepted(in_time[0]));
        assert_eq!(in_time[1], -libc::ECANCELED);
    });
}

#[test]
fn an_accept_is_cancelled_and_its_listener_goes_on() {
    let listener = listener();
    let address = listener.local_addr().expect("its address");
    on_a_ring(|ring| {
        let ends = ring.run_all([Sqe::accept(on(&listener), None, CLOEXEC), Sqe::cancel(0)]);
        assert_eq!(ends, [-libc::ECANCELED, 0]);
        let _client = TcpStream::connect(address).expect("a client");
        drop(accepted(ring.run(Sqe::accept(on(&listener), None, CLOEXEC))));
    });
}

#[test]
fn a_connect_that_was_refused_is_refused_again() {
    let listener = listener();
    let address = listener.local_addr().expect("its address").into();
    drop(listener);
    on_a_ring(|ring| {
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
        let socket = accepted(ring.run(Sqe::socket(libc::AF_INET, kind, 0)));
        for _ in 0..3 {
            let refused = ring.run(Sqe::connect(on(&socket), &address));
            assert_eq!(refused, -libc::ECONNREFUSED);
        }
    });
}

#[test]
fn a_read_that_is_not_to_wait_says_that_there_is_nothing() {
    let (near, mut far) = pair();
    on_a_ring(|ring| {
        let mut room = [0; 4];
        // A socket has no positions; one that is given makes no difference.
        for offset in [None, Some(0)] {
            let read = Sqe::read(on(&near), &mut room[..], offset).rw_flags(RwFlags::NOWAIT);
            match ring.run(read) {
                errno if errno == -libc::EOPNOTSUPP => {
                    return skipped("sockets know RWF_NOWAIT since Linux 6.4");
                }
                result => assert_eq!(result, -libc::EAGAIN),
            }
        }
        far.write_all(b"now").expect("bytes");
        let read = Sqe::read(on(&near), &mut room[..], None).rw_flags(RwFlags::NOWAIT);
        assert_eq!(ring.run(read), 3);
    });
}

#[test]
fn a_datagram_ends_a_receive_that_waits_for_all() {
    let (near, far) = UnixDatagram::pair().expect("two sockets");
    on_a_ring(|ring| {
        far.send(b"one").expect("a datagram");
        far.send(b"two").expect("a datagram");
        let mut room = [0; 100];
        let recv = Sqe::recv(on(&near), &mut room[..], libc::MSG_WAITALL);
        assert_eq!(ring.run(recv), 3);
        assert_eq!(&room[..4], b"one\0");
    });
}

#[test]
fn a_receive_that_waits_for_all_gathers_what_comes_in_parts() {
    on_a_ring(|ring| {
        let (near, mut far) = pair();
        let mut room = [0; 50];
        // SAFETY: socket and room outlive the receive, which is taken below.
        unsafe { ring.start(Sqe::recv(on(&near), &mut room[..], libc::MSG_WAITALL).user_data(1)) };
        ring.submit();
        for part in 0..5 {
            assert_eq!(ring.ring().ready(), 0, "{part} of 5 parts are not all");
            far.write_all(&[part; 10]).expect("a part");
            ring.submit();
        }
        assert_eq!(ring.next_sorted(1), [(1, 50)]);
        assert_eq!((room[9], room[10], room[49]), (0, 1, 4));
    });
}

#[test]
fn a_stream_that_ends_ends_a_receive_that_waits_for_all() {
    on_a_ring(|ring| {
        let (near, mut far) = pair();
        far.write_all(b"part").expect("bytes");
        far.shutdown(Shutdown::Write).expect("an end");
        let mut room = [0; 50];
        let recv = Sqe::recv(on(&near), &mut room[..], libc::MSG_WAITALL).link();
        let ends = ring.run_all([recv, Sqe::nop()]);
        assert_eq!(ends, [4, -libc::ECANCELED], "fewer than asked for ends the chain");
    });
}

#[test]
fn vectors_pass_through_sockets_of_both_families() {
    let listener = listener();
    let client = TcpStream::connect(listener.local_addr().expect("its address")).expect("a client");
    let (server, _) = listener.accept().expect("the client");
    let (one, two) = pair();
    on_a_ring(|ring| {
        let pairs = [(client.as_fd(), server.as_fd()), (one.as_fd(), two.as_fd())];
        for (from, to) in pairs {
            for blocking in [true, false] {
                let same = from.try_clone_to_owned().map(TcpStream::from).expect("a descriptor");
                same.set_nonblocking(!blocking).expect("a flag");
                let slices = [IoSlice::new(b"one "), IoSlice::new(b"and two")];
                let (mut a, mut b) = ([0; 6], [0; 5]);
                let mut rooms = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
                let ends = ring.run_all([
                    Sqe::write_vectored(from.into(), &slices, None).link(),
                    Sqe::read_vectored(to.into(), &mut rooms, None),
                ]);
                assert_eq!(ends, [11, 11]);
                assert_eq!((&a, &b), (b"one an", b"d two"));
            }
        }
    });
}

#[test]
fn what_is_written_after_a_shutdown_fails() {
    let listener = listener();
    let client = TcpStream::connect(listener.local_addr().expect("its address")).expect("a client");
    on_a_ring(|ring| {
        assert_eq!(ring.run(Sqe::shutdown(on(&client), libc::SHUT_WR)), 0);
        assert_eq!(ring.run(Sqe::write(on(&client), b"late", None)), -libc::EPIPE);
        assert_eq!(ring.run(Sqe::send(on(&client), b"late", libc::MSG_NOSIGNAL)), -libc::EPIPE);
    });
}

#[test]
fn connections_come_and_go_under_one_accept() {
    // More than the completion queue has places, fewer than the listener keeps waiting.
    const CLIENTS: usize = 100;
    let listener = listener();
    let address = listener.local_addr().expect("its address");
    on_a_ring(|ring| {
        let clients = std::thread::spawn(move || {
            for _ in 0..CLIENTS {
                drop(TcpStream::connect(address).expect("a client"));
            }
        });
        let accept = || MultiSqe::accept(on(&listener), CLOEXEC).user_data(1);
        // SAFETY: the listener outlives the accept, which is cancelled below.
        unsafe { ring.start(accept()) };
        for _ in 0..CLIENTS {
            let cqe = ring.next_cqe();
            drop(accepted(cqe.raw_result()));
            // It ends with the client for whom the completion queue had no room.
            if !cqe.more() {
                // SAFETY: as above.
                unsafe { ring.start(accept()) };
            }
        }
        clients.join().expect("all clients");
        // SAFETY: lends nothing.
        unsafe { ring.start(Sqe::cancel(1).user_data(2)) };
        assert_eq!(ring.next_sorted(2), [(1, -libc::ECANCELED), (2, 0)]);
    });
}

/// The result of a zero-copy send, whose notification is awaited.
fn sent(ring: &mut BareRing, sqe: Sqe<'_>) -> i32 {
    let cqe = ring.complete(sqe);
    assert!(!cqe.notification(), "the result comes first");
    cqe.raw_result()
}

/// Two ends of a connection over the loopback.
fn connection() -> (TcpStream, TcpStream) {
    let listener = listener();
    let client = TcpStream::connect(listener.local_addr().expect("its address"));
    (client.expect("a client"), listener.accept().expect("its connection").0)
}

#[test]
fn slices_of_a_registered_buffer_are_sent_without_a_copy_and_others_are_not() {
    on_a_ring(|ring| {
        if ring.lacks(Opcode::SENDMSG_ZC) {
            return;
        }
        let (client, mut server) = connection();
        let (mut header, id) = (MsgHeader::new(), ring.ring().id());
        let mut buffers = ring.ring().register_buffers(&[4096, 4096]).expect("buffers");
        let bytes = buffers.bytes_mut(0).expect("a buffer");
        bytes[..4].copy_from_slice(b"head");
        bytes[3000..3004].copy_from_slice(b"tail");
        let all = buffers.bytes(0).expect("a buffer");
        let slices = [IoSlice::new(&all[..4]), IoSlice::new(&all[3000..3004])];
        let of = |index| BufIndex::new(id, index);
        let send = Sqe::send_msg_zc_fixed(on(&client), &mut header, None, of(0), &slices, 0);
        match sent(ring, send) {
            errno if errno == -libc::EINVAL => {
                return skipped("Linux here lacks it of messages (6.15)");
            }
            result => assert_eq!(result, 8),
        }
        let mut came = [0; 8];
        server.read_exact(&mut came).expect("both");
        assert_eq!(&came, b"headtail");
        let other = Sqe::send_msg_zc_fixed(on(&client), &mut header, None, of(1), &slices, 0);
        assert_eq!(sent(ring, other), -libc::EFAULT);
    });
}

#[test]
fn memory_that_cannot_be_read_is_not_sent_without_a_copy() {
    on_a_ring(|ring| {
        if ring.lacks(Opcode::SEND_ZC) {
            return;
        }
        let (client, _server) = connection();
        let opcode = Opcode::SEND_ZC.0;
        // Nothing is mapped in the first page of any process (`vm.mmap_min_addr`).
        let raw =
            RawSqe { opcode, fd: client.as_raw_fd(), addr: 16, len: 100, ..RawSqe::default() };
        // SAFETY: there is no memory at that address, which the kernel finds out.
        assert_eq!(sent(ring, unsafe { Sqe::raw(raw) }), -libc::EFAULT);
    });
}

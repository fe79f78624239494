//! Operations on sockets, each on Linux.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use runtime_tests::ring::{BareRing, on_a_ring, on_a_ring_of};
use runtime_tests::skipped;
use uring::buf::Room;
use uring::ring::abi::NOTIF_USAGE_ZC_COPIED;
use uring::ring::{Address, BufIndex, Cqe, MsgHeader, MultiSqe, Opcode, Setup, Sqe, Target};

const CLOEXEC: i32 = libc::SOCK_CLOEXEC;

fn on<F: AsFd>(file: &F) -> Target<'_> {
    file.as_fd().into()
}

/// A descriptor that an operation has just made.
fn made(result: i32) -> OwnedFd {
    assert!(result > 2, "{result} is a new descriptor");
    // SAFETY: for us alone.
    unsafe { OwnedFd::from_raw_fd(result) }
}

fn loopback() -> Address {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()
}

fn listener() -> (TcpListener, Address) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    let address = listener.local_addr().expect("its address").into();
    (listener, address)
}

/// Two ends of a TCP connection.
fn connection() -> (TcpStream, TcpStream) {
    let (listener, address) = listener();
    let client = TcpStream::connect(address.to_std().expect("an address")).expect("a client");
    (client, listener.accept().expect("a server").0)
}

#[test]
fn a_socket_is_made_bound_connected_and_shut_down() {
    on_a_ring(|ring| {
        if ring.lacks(Opcode::LISTEN) {
            return;
        }
        let stream = libc::SOCK_STREAM | CLOEXEC;
        let server = made(ring.run(Sqe::socket(libc::AF_INET, stream, 0)));
        let address = loopback();
        let one = 1;
        let reuse = Sqe::setsockopt(on(&server), libc::SOL_SOCKET, libc::SO_REUSEADDR, &one);
        let results = ring.run_all([
            reuse.link(),
            Sqe::bind(on(&server), &address).link(),
            Sqe::listen(on(&server), 1),
        ]);
        assert_eq!(results, [0, 0, 0]);
        let mut listens = 0;
        let ask = Sqe::getsockopt(on(&server), libc::SO_ACCEPTCONN, &mut listens);
        assert_eq!((ring.run(ask), listens), (4, 1));
        let listener = TcpListener::from(server);
        let address = Address::from(listener.local_addr().expect("its address"));
        let client = made(ring.run(Sqe::socket(libc::AF_INET, stream, 0)));
        let mut peer = Address::empty();
        let results = ring.run_all([
            Sqe::connect(on(&client), &address),
            Sqe::accept(on(&listener), Some(&mut peer), CLOEXEC),
        ]);
        let accepted = made(results[1]);
        assert_eq!(results[0], 0);
        let client = TcpStream::from(client);
        assert_eq!(peer.to_std(), client.local_addr().ok());
        assert_eq!(ring.run(Sqe::shutdown(on(&client), libc::SHUT_WR)), 0);
        assert_eq!(ring.run(Sqe::recv(on(&accepted), &mut [0; 4][..], 0)), 0);
    });
}

#[test]
fn what_is_no_socket_and_what_is_not_connected_is_refused() {
    on_a_ring(|ring| {
        let file = std::fs::File::open("/dev/null").expect("a file");
        assert_eq!(ring.run(Sqe::shutdown(on(&file), libc::SHUT_WR)), -libc::ENOTSOCK);
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        assert_eq!(ring.run(Sqe::shutdown(on(&udp), libc::SHUT_WR)), -libc::ENOTCONN);
        if ring.lacks(Opcode::LISTEN) {
            return;
        }
        assert_eq!(ring.run(Sqe::listen(on(&file), 1)), -libc::ENOTSOCK);
    });
}

#[test]
fn a_connect_to_nobody_is_refused() {
    on_a_ring(|ring| {
        let (listener, address) = listener();
        drop(listener);
        let kind = libc::SOCK_STREAM | CLOEXEC;
        let client = made(ring.run(Sqe::socket(libc::AF_INET, kind, 0)));
        assert_eq!(ring.run(Sqe::connect(on(&client), &address)), -libc::ECONNREFUSED);
    });
}

#[test]
fn an_accept_that_does_not_wait_finds_nobody() {
    on_a_ring(|ring| {
        if ring.lacks(Opcode::LISTEN) {
            return;
        }
        let (listener, _) = listener();
        let accept = Sqe::accept(on(&listener), None, 0).dont_wait();
        assert_eq!(ring.run(accept), -libc::EAGAIN);
    });
}

#[test]
fn a_multishot_accept_takes_one_client_after_the_other() {
    on_a_ring(|ring| {
        let (listener, address) = listener();
        let address = address.to_std().expect("an address");
        // SAFETY: the listener outlives what the test waits for.
        unsafe { ring.start(MultiSqe::accept(on(&listener), CLOEXEC).user_data(7)) };
        for _ in 0..4 {
            let client = TcpStream::connect(address).expect("a client");
            let cqe = ring.next_cqe();
            assert!(cqe.more() && cqe.user_data() == 7);
            let accepted = TcpStream::from(made(cqe.raw_result()));
            assert_eq!(accepted.peer_addr().ok(), client.local_addr().ok());
        }
        // SAFETY: nothing is lent.
        unsafe { ring.start(Sqe::cancel(7).user_data(8)) };
        assert_eq!(ring.next_sorted(2), [(7, -libc::ECANCELED), (8, 0)]);
    });
}

#[test]
fn bytes_are_sent_and_received() {
    on_a_ring(|ring| {
        let (client, server) = connection();
        assert_eq!(ring.run(Sqe::send(on(&client), b"hello", 0)), 5);
        let mut buf = [0; 8];
        let recv = Sqe::recv(on(&server), &mut buf[..], 0).poll_first();
        assert_eq!(ring.run(recv), 5);
        assert_eq!(&buf[..5], b"hello");
        let recv = Sqe::recv(on(&server), &mut buf[..], libc::MSG_DONTWAIT);
        assert_eq!(ring.run(recv), -libc::EAGAIN);
        drop(server);
        let results = [(); 3].map(|()| ring.run(Sqe::send(on(&client), b"x", 0)));
        assert_eq!(results[2], -libc::EPIPE, "and no signal: {results:?}");
    });
}

#[test]
fn a_datagram_goes_to_its_address() {
    on_a_ring(|ring| {
        if ring.lacks(Opcode::SEND_ZC) {
            return;
        }
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let to = Address::from(receiver.local_addr().expect("its address"));
        assert_eq!(ring.run(Sqe::send_to(on(&sender), b"plain", 0, &to)), 5);
        assert_eq!(ring.run(Sqe::send_zc_to(on(&sender), b"zero", 0, &to)), 4);
        let mut buf = [0; 8];
        assert_eq!(receiver.recv(&mut buf).expect("a datagram"), 5);
        assert_eq!(receiver.recv(&mut buf).expect("a datagram"), 4);
        assert_eq!(&buf[..5], b"zeron");
    });
}

#[test]
fn slices_are_sent_without_a_header() {
    on_a_ring(|ring| {
        let (client, mut server) = connection();
        let slices = [IoSlice::new(b"one"), IoSlice::new(b"two")];
        match ring.run(Sqe::send_vectored(on(&client), &slices, 0)) {
            errno if errno == -libc::EINVAL => {
                return skipped("Linux here lacks IORING_SEND_VECTORIZED (6.17)");
            }
            result => assert_eq!(result, 6),
        }
        assert_eq!(ring.run(Sqe::send_zc_vectored(on(&client), &slices, 0)), 6);
        let mut buf = [0; 12];
        server.read_exact(&mut buf).expect("all of it");
        assert_eq!(&buf, b"onetwoonetwo");
    });
}

#[test]
fn a_message_carries_its_sender_and_its_parts() {
    on_a_ring(|ring| {
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let to = Address::from(receiver.local_addr().expect("its address"));
        let slices = [IoSlice::new(b"one"), IoSlice::new(b"two")];
        let mut sent = MsgHeader::new();
        let send = Sqe::send_msg(on(&sender), &mut sent, Some(&to), &slices, &[], 0);
        let (mut a, mut b) = ([0; 2], [0; 3]);
        let mut rooms = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
        let (mut header, mut name) = (MsgHeader::new(), Address::empty());
        let recv = Sqe::recv_msg(on(&receiver), &mut header, Some(&mut name), &mut rooms, None, 0);
        assert_eq!(ring.run_all([send.link(), recv]), [6, 5]);
        assert_eq!((&a, &b), (b"on", b"etw"));
        assert_eq!(header.flags() & libc::MSG_TRUNC, libc::MSG_TRUNC, "a byte was cut");
        assert_eq!(header.name(name).to_std(), sender.local_addr().ok());
    });
}

#[test]
fn a_message_carries_a_descriptor_in_its_control_messages() {
    on_a_ring(|ring| {
        let (left, right) = UnixStream::pair().expect("sockets");
        let (mut kept, passed) = UnixStream::pair().expect("sockets");
        // A `cmsghdr` and one descriptor, `cmsg(3)`.
        let mut control = [0u8; 24];
        control[..8].copy_from_slice(&20_usize.to_ne_bytes());
        control[8..12].copy_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
        control[12..16].copy_from_slice(&libc::SCM_RIGHTS.to_ne_bytes());
        let number = std::os::fd::AsRawFd::as_raw_fd(&passed);
        control[16..20].copy_from_slice(&number.to_ne_bytes());
        let (mut sent, slices) = (MsgHeader::new(), [IoSlice::new(b"x")]);
        let send = Sqe::send_msg(on(&left), &mut sent, None, &slices, &control, 0);
        assert_eq!(ring.run(send), 1);
        let (mut byte, mut got) = ([0; 1], [0u8; 24]);
        let mut rooms = [IoSliceMut::new(&mut byte)];
        let mut header = MsgHeader::new();
        let room = Some(Room::from(&mut got[..]));
        let flags = libc::MSG_CMSG_CLOEXEC;
        let recv = Sqe::recv_msg(on(&right), &mut header, None, &mut rooms, room, flags);
        assert_eq!(ring.run(recv), 1);
        assert_eq!(header.control_len(), 24);
        let number = i32::from_ne_bytes(got[16..20].try_into().expect("four bytes"));
        let mut came = UnixStream::from(made(number));
        came.write_all(b"!").expect("a write");
        kept.read_exact(&mut byte).expect("a read");
        assert_eq!(&byte, b"!");
    });
}

/// Runs a zero-copy send: its result, and that of its notification if there was one.
fn zero_copy(ring: &mut BareRing, sqe: Sqe<'_>) -> (i32, Option<Cqe>) {
    // SAFETY: both completions are awaited here.
    unsafe { ring.start(sqe) };
    let first = ring.next_cqe();
    let second = first.more().then(|| ring.next_cqe());
    (first.raw_result(), second)
}

#[test]
fn a_zero_copy_send_notifies_when_its_bytes_are_free() {
    on_a_ring(|ring| {
        if ring.lacks(Opcode::SEND_ZC) {
            return;
        }
        let (client, mut server) = connection();
        let mut buf = [0; 5];
        let (sent, notification) = zero_copy(ring, Sqe::send_zc(on(&client), b"hello", 0));
        server.read_exact(&mut buf).expect("all of it");
        let notification = notification.expect("a notification");
        assert_eq!((sent, &buf), (5, b"hello"));
        assert!(notification.notification() && !notification.more());
        let mut buffers = ring.ring().register_buffers(&[4096]).expect("buffers");
        buffers.bytes_mut(0).expect("a buffer")[..5].copy_from_slice(b"fixed");
        let part = buffers.part(0).and_then(|part| part.slice(..5)).expect("a part");
        let (sent, _) = zero_copy(ring, Sqe::send_zc_fixed(on(&client), part, 0));
        server.read_exact(&mut buf).expect("all of it");
        assert_eq!((sent, &buf), (5, b"fixed"));
    });
}

#[test]
fn a_zero_copy_send_reports_that_loopback_copies() {
    on_a_ring(|ring| {
        if ring.lacks(Opcode::SENDMSG_ZC) {
            return;
        }
        let (client, _server) = connection();
        let send = Sqe::send_zc(on(&client), b"hello", 0).report_usage();
        let (sent, notification) = zero_copy(ring, send);
        if sent == -libc::EINVAL {
            return skipped("Linux here lacks IORING_SEND_ZC_REPORT_USAGE (6.2)");
        }
        let usage = notification.expect("a notification").raw_result() as u32;
        assert_eq!((sent, usage), (5, NOTIF_USAGE_ZC_COPIED));
    });
}

#[test]
fn a_zero_copy_send_to_a_unix_socket_is_refused() {
    on_a_ring(|ring| {
        if ring.lacks(Opcode::SEND_ZC) {
            return;
        }
        let (left, _right) = UnixStream::pair().expect("sockets");
        let (sent, _) = zero_copy(ring, Sqe::send_zc(on(&left), b"x", 0));
        assert_eq!(sent, -libc::EOPNOTSUPP);
        let hidden = Sqe::send_zc(on(&left), b"x", 0).skip_success();
        assert_eq!(zero_copy(ring, hidden).0, -libc::EINVAL);
    });
}

#[test]
fn a_message_is_sent_without_a_copy() {
    on_a_ring(|ring| {
        if ring.lacks(Opcode::SENDMSG_ZC) {
            return;
        }
        let (client, mut server) = connection();
        let (mut header, slices) = (MsgHeader::new(), [IoSlice::new(b"he"), IoSlice::new(b"y")]);
        let send = Sqe::send_msg_zc(on(&client), &mut header, None, &slices, &[], 0);
        assert_eq!(zero_copy(ring, send).0, 3);
        let mut buf = [0; 3];
        server.read_exact(&mut buf).expect("all of it");
        assert_eq!(&buf, b"hey");
        let mut buffers = ring.ring().register_buffers(&[4096]).expect("buffers");
        let bytes = buffers.bytes_mut(0).expect("a buffer");
        bytes[..3].copy_from_slice(b"you");
        let slices = [IoSlice::new(&bytes[..3])];
        let index = BufIndex::new(ring.ring().id(), 0);
        let send = Sqe::send_msg_zc_fixed(on(&client), &mut header, None, index, &slices, 0);
        match zero_copy(ring, send).0 {
            errno if errno == -libc::EINVAL => skipped("Linux here lacks it of messages (6.15)"),
            result => {
                server.read_exact(&mut buf).expect("all of it");
                assert_eq!((result, &buf), (3, b"you"));
            }
        }
    });
}

#[test]
fn a_socket_says_how_much_is_queued() {
    on_a_ring(|ring| {
        let (client, server) = connection();
        assert_eq!(ring.run(Sqe::send(on(&client), b"hello", 0)), 5);
        assert_eq!(ring.run(Sqe::recv(on(&server), &mut [0; 1][..], 0)), 1);
        match ring.run(Sqe::socket_inq(on(&server))) {
            errno if errno == -libc::EOPNOTSUPP => {
                skipped("Linux here lacks commands of sockets (6.4)");
            }
            result => {
                assert_eq!(result, 4);
                assert_eq!(ring.run(Sqe::socket_outq(on(&client))), 0);
            }
        }
    });
}

#[test]
fn options_are_set_and_read() {
    on_a_ring(|ring| {
        let (client, _server) = connection();
        let nodelay = (libc::IPPROTO_TCP, libc::TCP_NODELAY);
        let one = 1;
        match ring.run(Sqe::setsockopt(on(&client), nodelay.0, nodelay.1, &one)) {
            0 => assert!(client.nodelay().expect("an option")),
            errno => {
                assert!([-libc::EOPNOTSUPP, -libc::EINVAL].contains(&errno), "{errno}");
                return skipped("Linux here lacks options by command (6.7)");
            }
        }
        let mut kind = 0;
        assert_eq!(ring.run(Sqe::getsockopt(on(&client), libc::SO_TYPE, &mut kind)), 4);
        assert_eq!(kind, libc::SOCK_STREAM);
        let mut linger = [0; 8];
        let room = Room::from(&mut linger[..]);
        let (level, name) = (libc::SOL_SOCKET, libc::SO_LINGER);
        // SAFETY: `SO_LINGER` has two integers, and no address in them.
        let (set, get) = unsafe {
            (
                Sqe::setsockopt_raw(on(&client), level, name, &[1, 0, 0, 0, 9, 0, 0, 0]),
                Sqe::getsockopt_raw(on(&client), level, name, room),
            )
        };
        assert_eq!(ring.run_all([set.link(), get]), [0, 8]);
        assert_eq!(linger[4], 9);
        let mut other = [0; 4];
        let room = Room::from(&mut other[..]);
        // SAFETY: an integer.
        let get = unsafe { Sqe::getsockopt_raw(on(&client), nodelay.0, nodelay.1, room) };
        assert_eq!(ring.run(get), -libc::EOPNOTSUPP);
    });
}

#[test]
fn asking_for_a_filter_writes_nothing_beyond_the_integer() {
    on_a_ring(|ring| {
        let (client, _server) = connection();
        // `ret 0`, four times: 32 bytes, which the kernel would write for a length of 4.
        let filter = [libc::sock_filter { code: 6, jt: 0, jf: 0, k: 0 }; 4];
        let program = libc::sock_fprog { len: 4, filter: filter.as_ptr().cast_mut() };
        let (level, name) = (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER);
        let size = size_of::<libc::sock_fprog>() as u32;
        let fd = std::os::fd::AsRawFd::as_raw_fd(&client);
        // SAFETY: the program and its filter are read during the call only.
        let done = unsafe { libc::setsockopt(fd, level, name, (&raw const program).cast(), size) };
        assert_eq!(done, 0);
        let mut values = [7; 9];
        let result = ring.run(Sqe::getsockopt(on(&client), name, &mut values[0]));
        if [-libc::EOPNOTSUPP, -libc::EINVAL].contains(&result) {
            return skipped("Linux here lacks options by command (6.7)");
        }
        assert_eq!((result, values), (4, [7; 9]));
    });
}

#[test]
fn a_socket_tells_its_names() {
    on_a_ring(|ring| {
        let (client, _server) = connection();
        for peer in [false, true] {
            let mut name = Address::empty();
            match ring.run(Sqe::getsockname(on(&client), peer, &mut name)) {
                0 => {
                    let expected = if peer { client.peer_addr() } else { client.local_addr() };
                    assert_eq!(name.to_std(), expected.ok());
                }
                errno => {
                    assert!([-libc::EOPNOTSUPP, -libc::EINVAL].contains(&errno), "{errno}");
                    return skipped("Linux here lacks SOCKET_URING_OP_GETSOCKNAME (6.19)");
                }
            }
        }
    });
}

#[test]
fn a_zero_copy_receive_without_a_queue_is_refused() {
    on_a_ring_of(&Setup::new(8), |ring| {
        if ring.lacks(Opcode::RECV_ZC) {
            return;
        }
        let (_client, server) = connection();
        let queue = uring::ring::ZcrxId::new(ring.ring().id(), 0);
        // SAFETY: the socket outlives its completion.
        unsafe { ring.start(MultiSqe::recv_zc(on(&server), queue, 0)) };
        assert_eq!(ring.next_cqe().raw_result(), -libc::EINVAL);
        skipped("no network interface here has a queue for zero-copy receive");
    });
}

#[test]
fn timestamps_need_a_ring_with_large_completions() {
    on_a_ring(|ring| {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        // SAFETY: the socket outlives its completion.
        unsafe { ring.start(MultiSqe::tx_timestamps(on(&socket))) };
        let result = ring.next_cqe().raw_result();
        let refusals = [-libc::EINVAL, -libc::EOPNOTSUPP];
        assert!(refusals.contains(&result), "{result}");
    });
}

#[test]
fn a_command_to_a_file_without_commands_is_refused() {
    on_a_ring(|ring| {
        let file = std::fs::File::open("/proc/self/status").expect("a file");
        assert_eq!(ring.run(Sqe::block_discard(on(&file), 0, 4096)), -libc::EOPNOTSUPP);
        let flags = uring::ring::UringCmdFlags::empty();
        // SAFETY: this file has no commands.
        let command = unsafe { Sqe::command(on(&file), 1, [0; 16], flags) };
        assert_eq!(ring.run(command), -libc::EOPNOTSUPP);
    });
}

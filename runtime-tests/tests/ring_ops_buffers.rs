//! Operations that take their buffers from a group, each on Linux.

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;

use runtime_tests::ring::{BareRing, on_a_ring};
use runtime_tests::{pipe, skipped};
use uring::buf::Room;
use uring::ring::{BufGroup, Cqe, MsgRooms, MultiSqe, Opcode, Sqe, Target};

/// The size of each buffer.
const EACH: usize = 64;

/// Four buffers that are lent to a group.
struct Group {
    memory: Vec<u8>,
    group: BufGroup,
}

impl Group {
    fn new(ring: &BareRing) -> Group {
        let group = BufGroup::new(ring.ring(), 7);
        Group { memory: vec![0; 4 * EACH], group }
    }

    /// Lends `count` buffers from `first` on.
    fn provide(&mut self, ring: &mut BareRing, first: u16, count: usize) {
        let start = usize::from(first) * EACH;
        let room = Room::from(&mut self.memory[start..start + count * EACH]);
        // SAFETY: the memory lives as long as the test, and is looked at where a completion named it.
        let sqe = unsafe { Sqe::provide_buffers(self.group, room, EACH as u32, first) };
        assert_eq!(ring.run(sqe), 0);
    }

    /// The buffer that a completion named.
    fn bytes(&self, cqe: Cqe) -> &[u8] {
        let id = usize::from(cqe.buffer_id().expect("a buffer"));
        &self.memory[id * EACH..][..cqe.raw_result() as usize]
    }
}

/// Runs a test on a ring with a group of four buffers, all of them provided.
fn with_group(test: impl FnOnce(&mut BareRing, &mut Group)) {
    on_a_ring(|ring| {
        let mut group = Group::new(ring);
        group.provide(ring, 0, 4);
        test(ring, &mut group);
    });
}

fn on<F: AsFd>(file: &F) -> Target<'_> {
    file.as_fd().into()
}

fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    let address = listener.local_addr().expect("its address");
    let client = TcpStream::connect(address).expect("a client");
    (client, listener.accept().expect("a server").0)
}

#[test]
fn each_read_takes_a_buffer_until_there_are_none() {
    with_group(|ring, group| {
        let zero = File::open("/dev/zero").expect("a file");
        let read = |group| Sqe::read_provided(on(&zero), group, 0, None);
        let mut ids = Vec::new();
        for _ in 0..4 {
            let cqe = ring.complete(read(group.group));
            assert_eq!(cqe.raw_result(), EACH as i32, "the whole buffer");
            ids.extend(cqe.buffer_id());
        }
        ids.sort_unstable();
        assert_eq!(ids, [0, 1, 2, 3]);
        assert_eq!(ring.run(read(group.group)), -libc::ENOBUFS);
        group.provide(ring, 2, 1);
        let cqe = ring.complete(Sqe::read_provided(on(&zero), group.group, 5, None));
        assert_eq!((cqe.raw_result(), cqe.buffer_id()), (5, Some(2)));
    });
}

#[test]
fn buffers_are_removed_as_far_as_there_are_any() {
    with_group(|ring, group| {
        assert_eq!(ring.run(Sqe::remove_buffers(group.group, 3)), 3);
        assert_eq!(ring.run(Sqe::remove_buffers(group.group, 10)), 1);
        // Before Linux 6.10 the groups below 64 come into being together.
        let other = BufGroup::new(ring.ring(), 64);
        assert_eq!(ring.run(Sqe::remove_buffers(other, 1)), -libc::ENOENT);
    });
}

#[test]
fn wrong_numbers_of_buffers_are_refused() {
    on_a_ring(|ring| {
        let mut memory = [0; 64];
        let group = BufGroup::new(ring.ring(), 7);
        for (first, each, errno) in [(0, 65, libc::E2BIG), (u16::MAX, 32, libc::EINVAL)] {
            let room = Room::from(&mut memory[..]);
            // SAFETY: it is refused.
            let sqe = unsafe { Sqe::provide_buffers(group, room, each, first) };
            let result = ring.run(sqe);
            assert!([-errno, -libc::EINVAL, -libc::E2BIG].contains(&result), "{result}");
        }
    });
}

#[test]
fn a_receive_takes_its_buffer_when_there_is_data() {
    with_group(|ring, group| {
        let (mut client, server) = connection();
        client.write_all(b"hello").expect("a write");
        let cqe = ring.complete(Sqe::recv_provided(on(&server), group.group, 0, 0));
        assert_eq!(group.bytes(cqe), b"hello");
        let read = Sqe::write(on(&server), b"x", None).buffer_group(group.group);
        assert_eq!(ring.run(read), -libc::EOPNOTSUPP, "a write selects none");
    });
}

#[test]
fn a_multishot_receive_goes_on_until_the_stream_ends() {
    with_group(|ring, group| {
        if ring.lacks(Opcode::SEND_ZC) {
            return; // of the same kernel, 6.0
        }
        let (mut client, server) = connection();
        // SAFETY: socket and buffers outlive what the test waits for.
        unsafe { ring.start(MultiSqe::recv(on(&server), group.group, 0)) };
        for text in [&b"one"[..], b"three"] {
            client.write_all(text).expect("a write");
            let cqe = ring.next_cqe();
            assert!(cqe.more());
            assert_eq!(group.bytes(cqe), text);
        }
        drop(client);
        let last = ring.next_cqe();
        assert_eq!((last.raw_result(), last.more(), last.buffer_id()), (0, false, None));
    });
}

#[test]
fn a_multishot_receive_ends_when_the_group_is_empty() {
    with_group(|ring, group| {
        if ring.lacks(Opcode::SEND_ZC) {
            return; // of the same kernel, 6.0
        }
        assert_eq!(ring.run(Sqe::remove_buffers(group.group, 3)), 3);
        let (mut client, server) = connection();
        client.write_all(&[1; 2 * EACH]).expect("a write");
        // SAFETY: socket and buffers outlive what the test waits for.
        unsafe { ring.start(MultiSqe::recv(on(&server), group.group, 0)) };
        let first = ring.next_cqe();
        assert_eq!(group.bytes(first), [1; EACH]);
        let last = ring.next_cqe();
        assert_eq!((last.raw_result(), last.more()), (-libc::ENOBUFS, false));
    });
}

#[test]
fn a_multishot_read_goes_on_while_the_pipe_has_bytes() {
    with_group(|ring, group| {
        if ring.lacks(Opcode::READ_MULTISHOT) {
            return;
        }
        let (reader, writer) = pipe();
        let mut writer = File::from(writer);
        // SAFETY: pipe and buffers outlive what the test waits for.
        unsafe { ring.start(MultiSqe::read(on(&reader), group.group, 0, None)) };
        for text in [&b"one"[..], b"three"] {
            writer.write_all(text).expect("a write");
            let cqe = ring.next_cqe();
            assert_eq!(group.bytes(cqe), text);
        }
        drop(writer);
        assert!(!ring.next_cqe().more());
        let file = File::open("/proc/self/exe").expect("a file");
        // SAFETY: as above.
        unsafe { ring.start(MultiSqe::read(on(&file), group.group, 0, None)) };
        assert_eq!(ring.next_cqe().raw_result(), -libc::EBADFD, "it cannot be polled");
    });
}

#[test]
fn multishot_messages_have_a_head_and_rooms_before_their_data() {
    with_group(|ring, group| {
        if ring.lacks(Opcode::SEND_ZC) {
            return; // of the same kernel, 6.0
        }
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let to = receiver.local_addr().expect("its address");
        let rooms = MsgRooms::new(16, 8);
        let sqe = MultiSqe::recv_msg(on(&receiver), &rooms, group.group, 0);
        // SAFETY: socket, rooms and buffers outlive what the test waits for.
        unsafe { ring.start(sqe.user_data(1)) };
        ring.submit();
        for text in [&b"one"[..], b"three"] {
            sender.send_to(text, to).expect("a datagram");
            let cqe = ring.next_cqe();
            assert!(cqe.more());
            let bytes = group.bytes(cqe);
            assert_eq!(bytes[0..4], 16_u32.to_ne_bytes(), "the name's length");
            assert_eq!(bytes[8..12], (text.len() as u32).to_ne_bytes(), "the data's length");
            let port = sender.local_addr().expect("its address").port();
            assert_eq!(bytes[18..20], port.to_be_bytes(), "the sender");
            assert_eq!(&bytes[16 + 16 + 8..], text);
        }
        // SAFETY: lends nothing.
        unsafe { ring.start(Sqe::cancel(1).user_data(2)) };
        ring.next_sorted(2);
    });
}

#[test]
fn a_bundle_needs_a_group_of_its_kind() {
    on_a_ring(|ring| {
        let (_client, server) = connection();
        let absent = BufGroup::new(ring.ring(), 99);
        let bundle = Sqe::recv_provided(on(&server), absent, 0, libc::MSG_DONTWAIT).bundle();
        let result = ring.run(bundle);
        if result == -libc::EINVAL {
            return skipped("Linux here lacks IORING_RECVSEND_BUNDLE (6.10)");
        }
        assert!([-libc::ENOENT, -libc::ENOBUFS, -libc::EAGAIN].contains(&result), "{result}");
        let send = Sqe::send_provided(on(&server), absent, 0, 0);
        let result = ring.run(send);
        assert!([-libc::ENOENT, -libc::ENOBUFS].contains(&result), "{result}");
    });
}

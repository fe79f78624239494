//! Messages that come whole or not at all.

use super::*;
use crate::ring::{Address, BufRingSetup, CqeFlags, MultiSqe};
use crate::sim::{Fault, Faults};

fn new(ring: &mut Ring, domain: i32) -> RawFd {
    let number = complete(ring, Sqe::socket(domain, libc::SOCK_DGRAM, 0));
    assert!(number > 0, "socket: {number}");
    number
}

/// A socket of datagrams that is bound to an address.
fn bound(ring: &mut Ring, at: &str) -> RawFd {
    let at: SocketAddr = at.parse().expect("an address");
    let number = new(ring, if at.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 });
    assert_eq!(complete(ring, Sqe::bind(target(number), &Address::from(at))), 0);
    number
}

fn address(at: &str) -> Address {
    Address::from(at.parse::<SocketAddr>().expect("an address"))
}

fn connect(ring: &mut Ring, number: RawFd, to: &str) -> i32 {
    complete(ring, Sqe::connect(target(number), &address(to)))
}

fn send_to(ring: &mut Ring, number: RawFd, bytes: &[u8], to: &str) -> i32 {
    complete(ring, Sqe::send_to(target(number), bytes, 0, &address(to)))
}

const NOW: i32 = libc::MSG_DONTWAIT;

#[test]
fn each_send_is_received_by_itself_in_both_internet_families() {
    for (here, there) in [("127.0.0.1:1", "127.0.0.1:2"), ("[::1]:1", "[::1]:2")] {
        let (_sim, mut ring) = machine(1);
        let (from, to) = (bound(&mut ring, here), bound(&mut ring, there));
        assert_eq!(connect(&mut ring, from, there), 0);
        assert_eq!(send(&mut ring, from, b"one", 0), 3);
        assert_eq!(write(&mut ring, from, b"two", None), 3);
        assert_eq!(send(&mut ring, from, b"", 0), 0);
        assert_eq!(recv(&mut ring, to, 99, 0), Ok(b"one".to_vec()));
        assert_eq!(read(&mut ring, to, 99, None), Ok(b"two".to_vec()));
        assert_eq!(recv(&mut ring, to, 99, 0), Ok(Vec::new()));
        assert_eq!(recv(&mut ring, to, 99, NOW), Err(libc::EAGAIN));
    }
}

#[test]
fn what_finds_no_room_is_cut_off_and_its_length_told_to_who_asks() {
    let (sim, mut ring) = machine(2);
    let (here, there) = sim.datagram_pair();
    for _ in 0..2 {
        assert_eq!(send(&mut ring, here, b"abcdef", 0), 6);
    }
    assert_eq!(recv(&mut ring, there, 3, libc::MSG_PEEK), Ok(b"abc".to_vec()));
    let mut room = Vec::with_capacity(4);
    let asks = Sqe::recv(target(there), &mut room.spare_capacity_mut()[..4], libc::MSG_TRUNC);
    assert_eq!(complete(&mut ring, asks), 6);
    assert_eq!(filled(room, 4), Ok(b"abcd".to_vec()));
    assert_eq!(recv(&mut ring, there, 1, 0), Ok(b"a".to_vec()));
    assert_eq!(recv(&mut ring, there, 1, NOW), Err(libc::EAGAIN));
}

#[test]
fn a_connected_socket_hears_its_peer_alone_and_may_change_it() {
    let (sim, mut ring) = machine(3);
    let at = ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"];
    let [server, friend, stranger] = at.map(|at| bound(&mut ring, at));
    assert_eq!(connect(&mut ring, server, at[1]), 0);
    assert_eq!(sim._table.peer_addr(server).expect("a peer"), at[1].parse().expect("an address"));
    assert_eq!(send_to(&mut ring, stranger, b"lost", at[0]), 4);
    assert_eq!(send_to(&mut ring, friend, b"heard", at[0]), 5);
    assert_eq!(recv(&mut ring, server, 99, 0), Ok(b"heard".to_vec()));
    assert_eq!(recv(&mut ring, server, 99, NOW), Err(libc::EAGAIN));
    assert_eq!(connect(&mut ring, server, at[2]), 0);
    assert_eq!(send_to(&mut ring, stranger, b"heard", at[0]), 5);
    assert_eq!(recv(&mut ring, server, 99, 0), Ok(b"heard".to_vec()));
}

#[test]
fn a_full_buffer_drops_what_comes_and_says_nothing() {
    let (_sim, mut ring) = machine(4);
    let (from, to) = (bound(&mut ring, "127.0.0.1:1"), bound(&mut ring, "127.0.0.1:2"));
    assert_eq!(connect(&mut ring, from, "127.0.0.1:2"), 0);
    for name in 0..40 {
        assert_eq!(send(&mut ring, from, &[name; 10_000], 0), 10_000);
    }
    let mut came = 0;
    while let Ok(bytes) = recv(&mut ring, to, 4, NOW) {
        assert_eq!(bytes, [came; 4]);
        came += 1;
    }
    assert!((10..40).contains(&came), "{came}");
    assert_eq!(send(&mut ring, from, b"again", 0), 5);
    assert_eq!(recv(&mut ring, to, 5, 0), Ok(b"again".to_vec()));
}

#[test]
fn a_closed_port_is_reported_once_to_who_is_connected_to_it() {
    let (_sim, mut ring) = machine(5);
    let (from, other) = (bound(&mut ring, "127.0.0.1:1"), bound(&mut ring, "127.0.0.1:2"));
    assert_eq!(send_to(&mut ring, from, b"x", "127.0.0.1:9"), 1);
    assert_eq!(send_to(&mut ring, from, b"x", "127.0.0.1:9"), 1);
    assert_eq!(connect(&mut ring, from, "127.0.0.1:2"), 0);
    assert_eq!(send_to(&mut ring, from, b"x", "127.0.0.1:9"), 1);
    assert_eq!(send(&mut ring, from, b"x", 0), 1);
    assert_eq!(close(&mut ring, other), 0);
    assert_eq!(send(&mut ring, from, b"x", 0), 1);
    let events = complete(&mut ring, Sqe::poll(target(from), 0));
    assert_eq!(events, i32::from(libc::POLLERR));
    assert_eq!(recv(&mut ring, from, 1, 0), Err(libc::ECONNREFUSED));
    assert_eq!(send(&mut ring, from, b"x", 0), 1);
    assert_eq!(send(&mut ring, from, b"x", 0), -libc::ECONNREFUSED);
    assert_eq!(recv(&mut ring, from, 1, NOW), Err(libc::EAGAIN));
}

#[test]
fn what_datagrams_cannot_do_says_so() {
    let (sim, mut ring) = machine(6);
    let number = new(&mut ring, libc::AF_INET);
    assert_eq!(send(&mut ring, number, b"x", 0), -libc::EDESTADDRREQ);
    assert_eq!(send_to(&mut ring, number, b"x", "[::1]:1"), -libc::EAFNOSUPPORT);
    assert_eq!(send_to(&mut ring, number, b"x", "127.0.0.1:0"), -libc::EINVAL);
    assert_eq!(send_to(&mut ring, number, &[0; 65_508], "127.0.0.1:1"), -libc::EMSGSIZE);
    assert_eq!(complete(&mut ring, Sqe::listen(target(number), 1)), -libc::EOPNOTSUPP);
    assert_eq!(complete(&mut ring, Sqe::accept(target(number), None, 0)), -libc::EOPNOTSUPP);
    assert_eq!(shutdown(&mut ring, number, libc::SHUT_WR), -libc::ENOTCONN);
    assert_eq!(connect(&mut ring, number, "127.0.0.1:1"), 0);
    assert_eq!(send(&mut ring, number, b"x", 0), -libc::EPIPE);
    let nodelay = sim._table.nodelay(number).map_err(|error| error.raw_os_error());
    assert_eq!(nodelay, Err(Some(libc::ENOPROTOOPT)));
    let unix = new(&mut ring, libc::AF_UNIX);
    assert_eq!(send(&mut ring, unix, b"x", 0), -libc::ENOTCONN);
}

#[test]
fn ports_of_datagrams_and_of_streams_are_not_the_same() {
    let (sim, mut ring) = machine(7);
    let (listening, at) = listener(&sim, &mut ring, 1);
    let other = bound(&mut ring, &at.to_string());
    let third = new(&mut ring, libc::AF_INET);
    let again = complete(&mut ring, Sqe::bind(target(third), &at.into()));
    assert_eq!(again, -libc::EADDRINUSE);
    assert_eq!(send_to(&mut ring, third, b"to the datagrams", &at.to_string()), 16);
    assert_eq!(recv(&mut ring, other, 99, 0), Ok(b"to the datagrams".to_vec()));
    assert_eq!((close(&mut ring, other), close(&mut ring, listening)), (0, 0));
}

#[test]
fn a_wildcard_socket_takes_what_comes_to_any_address() {
    let (_sim, mut ring) = machine(8);
    let to = bound(&mut ring, "0.0.0.0:5");
    let from = new(&mut ring, libc::AF_INET);
    assert_eq!(send_to(&mut ring, from, b"a", "127.0.0.7:5"), 1);
    assert_eq!(send_to(&mut ring, from, b"b", "0.0.0.0:5"), 1);
    assert_eq!(recv(&mut ring, to, 9, 0), Ok(b"a".to_vec()));
    assert_eq!(recv(&mut ring, to, 9, 0), Ok(b"b".to_vec()));
}

#[test]
fn a_receive_waits_until_something_comes_or_receiving_is_shut_down() {
    let (sim, mut ring) = machine(9);
    let (here, there) = sim.datagram_pair();
    let mut room = Vec::with_capacity(9);
    let waits = Sqe::recv(target(there), &mut room.spare_capacity_mut()[..9], 0).user_data(1);
    let sends = Sqe::send(target(here), b"woken", 0).user_data(2);
    assert_eq!(complete_all(&mut ring, vec![waits, sends]), [(2, 5), (1, 5)]);
    let waits = Sqe::recv(target(there), &mut room.spare_capacity_mut()[..9], 0).user_data(1);
    let ends = Sqe::shutdown(target(there), libc::SHUT_RD).user_data(2);
    assert_eq!(complete_all(&mut ring, vec![waits, ends]), [(2, 0), (1, 0)]);
    assert_eq!(recv(&mut ring, there, 9, NOW), Err(libc::EAGAIN));
    assert_eq!(send(&mut ring, here, b"x", 0), -libc::EPIPE);
}

#[test]
fn a_unix_socket_waits_for_room_and_loses_nothing() {
    let (sim, mut ring) = machine(10);
    let (here, there) = sim.datagram_pair();
    let mut sent = 0;
    while send(&mut ring, here, &[sent; 20_000], NOW) == 20_000 {
        sent += 1;
    }
    assert!(sent > 5);
    let sends = Sqe::send(target(here), b"last", 0).user_data(1).into_raw();
    // SAFETY: the bytes are a constant.
    unsafe { ring.push(sends) }.expect("space");
    ring.submit_and_wait(0, None).expect("enter");
    assert!(settle(&mut ring).is_empty());
    let mut room = Vec::with_capacity(20_000);
    let recv_one = Sqe::recv(target(there), &mut room.spare_capacity_mut()[..20_000], 0);
    // SAFETY: waited for below.
    unsafe { ring.push(recv_one.user_data(2).into_raw()) }.expect("space");
    let mut done = settle(&mut ring);
    done.sort_unstable();
    assert_eq!(done, [(1, 4), (2, 20_000)]);
    assert_eq!(filled(room, 20_000), Ok(vec![0; 20_000]));
    for name in 1..sent {
        assert_eq!(recv(&mut ring, there, 9, NOW), Ok(vec![name; 9]));
    }
    assert_eq!(recv(&mut ring, there, 9, NOW), Ok(b"last".to_vec()));
}

#[test]
fn one_of_a_pair_learns_once_that_the_other_has_gone() {
    let (sim, mut ring) = machine(11);
    let (here, there) = sim.datagram_pair();
    assert_eq!(send(&mut ring, there, b"thrown away", 0), 11);
    assert_eq!(close(&mut ring, there), 0);
    assert_eq!(send(&mut ring, here, b"x", 0), -libc::ECONNREFUSED);
    assert_eq!(send(&mut ring, here, b"x", 0), -libc::ENOTCONN);
    assert_eq!(recv(&mut ring, here, 99, NOW), Err(libc::EAGAIN));
}

#[test]
fn a_multishot_receive_puts_each_datagram_into_a_buffer_of_its_own() {
    let (sim, mut ring) = machine(12);
    let buffers = BufRingSetup::new(4, 4).build(&ring).expect("a group");
    let (here, there) = sim.datagram_pair();
    let all = MultiSqe::recv(target(there), buffers.group(), 0).user_data(7);
    // SAFETY: the group outlives the multishot.
    unsafe { ring.push(all.into_raw()) }.expect("space");
    let mut came = Vec::new();
    for message in [&b"a"[..], b"bcd", b"cut off", b""] {
        // SAFETY: the bytes are constants.
        unsafe { ring.push(Sqe::send(target(here), message, 0).into_raw()) }.expect("space");
        let mut cqes = Vec::new();
        while cqes.len() < 2 {
            ring.submit_and_wait(1, None).expect("enter");
            cqes.extend(reap(&mut ring));
        }
        let cqe = *cqes.iter().find(|cqe| cqe.user_data() == 7).expect("a shot");
        // SAFETY: of the only request that selects from this group, passed once and in order.
        let bytes = unsafe { buffers.take(cqe) }
            .map_or(Vec::new(), |leases| leases.flat_map(|lease| lease.to_vec()).collect());
        assert!(!cqe.flags().contains(CqeFlags::SOCK_NONEMPTY));
        came.push((bytes, cqe.more()));
    }
    let expected = [(&b"a"[..], true), (b"bcd", true), (b"cut ", true), (b"", false)];
    assert_eq!(came, expected.map(|(bytes, more)| (bytes.to_vec(), more)));
}

#[test]
fn a_multishot_poll_reports_every_datagram() {
    let (sim, mut ring) = machine(13);
    let (here, there) = sim.datagram_pair();
    let readable = i32::from(libc::POLLIN);
    let poll = MultiSqe::poll(target(there), readable as u32).user_data(7);
    // SAFETY: a poll lends nothing.
    unsafe { ring.push(poll.into_raw()) }.expect("space");
    for _ in 0..3 {
        // SAFETY: the bytes are a constant.
        unsafe { ring.push(Sqe::send(target(here), b"x", 0).user_data(8).into_raw()) }
            .expect("space");
        assert_eq!(wait_for(&mut ring, 2), [(8, 1), (7, readable)]);
    }
}

#[test]
fn a_seed_chooses_which_of_several_sends_comes_first_and_none_is_lost() {
    let mut orders = std::collections::BTreeSet::new();
    for seed in seeds(20) {
        let (sim, mut ring) = machine(seed);
        let (here, there) = sim.datagram_pair();
        let sends = [b"a", b"b", b"c"].map(|bytes| Sqe::send(target(here), bytes, 0));
        complete_all(&mut ring, sends.into());
        let came = [(); 3].map(|()| recv(&mut ring, there, 1, NOW).expect("a datagram"));
        let mut sorted = came.concat();
        sorted.sort_unstable();
        assert_eq!(sorted, b"abc");
        orders.insert(came.concat());
    }
    assert!(orders.len() > 2, "{orders:?}");
}

#[test]
fn a_zero_copy_send_of_a_datagram_has_its_notification() {
    let (_sim, mut ring) = machine(14);
    let (from, to) = (bound(&mut ring, "127.0.0.1:1"), bound(&mut ring, "127.0.0.1:2"));
    let there = address("127.0.0.1:2");
    let sends = Sqe::send_zc_to(target(from), b"lent", 0, &there).user_data(1);
    // SAFETY: the bytes are a constant, and the address is read when it is taken.
    unsafe { ring.push(sends.into_raw()) }.expect("space");
    assert_eq!(wait_for(&mut ring, 2), [(1, 4), (1, 0)]);
    assert_eq!(recv(&mut ring, to, 9, 0), Ok(b"lent".to_vec()));
}

#[test]
fn faults_interrupt_datagrams_and_fail_them_but_never_cut_them_short() {
    for seed in seeds(20) {
        let (sim, mut ring) = machine(seed);
        let number = new(&mut ring, libc::AF_INET);
        let (here, there) = sim.datagram_pair();
        let faults = Faults::none().with(Fault::ShortRead, 1024).with(Fault::ShortWrite, 1024);
        let _same = sim.clone().faults(faults);
        assert_eq!(send(&mut ring, here, b"whole", 0), 5);
        assert_eq!(recv(&mut ring, there, 9, 0), Ok(b"whole".to_vec()));
        let _same = sim.clone().faults(Faults::none().with(Fault::Interrupted, 1024));
        assert_eq!(send(&mut ring, here, b"x", 0), -libc::EINTR);
        let _same = sim.clone().faults(Faults::none().with(Fault::Errno, 1024));
        assert!([-libc::ENOBUFS, -libc::ENOMEM].contains(&send(&mut ring, here, b"x", 0)));
        assert_eq!(recv(&mut ring, there, 9, NOW), Err(libc::EAGAIN));
        let connected = connect(&mut ring, number, "127.0.0.1:1");
        assert!([-libc::ENETUNREACH, -libc::ENOBUFS].contains(&connected), "{connected}");
        assert_eq!(sim.injected(Fault::ShortRead) + sim.injected(Fault::ShortWrite), 0);
    }
}

//! Sockets until they are connected, and after.

use super::*;
use crate::ring::Address;

fn address(text: &str) -> SocketAddr {
    text.parse().expect("address")
}

#[test]
fn sockets_are_streams_or_datagrams_of_three_families() {
    let (_sim, mut ring) = machine(1);
    for (domain, kind, protocol, expected) in [
        (libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, libc::IPPROTO_TCP, 0),
        (libc::AF_INET6, libc::SOCK_STREAM, 0, 0),
        (libc::AF_UNIX, libc::SOCK_STREAM, 0, 0),
        (libc::AF_NETLINK, libc::SOCK_STREAM, 0, -libc::EAFNOSUPPORT),
        (libc::AF_INET, libc::SOCK_SEQPACKET, 0, -libc::ESOCKTNOSUPPORT),
        (libc::AF_INET, libc::SOCK_DGRAM, 0, 0),
        (libc::AF_INET6, libc::SOCK_DGRAM, libc::IPPROTO_UDP, 0),
        (libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_TCP, -libc::EPROTONOSUPPORT),
        (libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_UDP, -libc::EPROTONOSUPPORT),
    ] {
        let result = complete(&mut ring, Sqe::socket(domain, kind, protocol));
        assert_eq!(result.min(0), expected, "{domain} {kind} {protocol}");
    }
}

#[test]
fn a_unix_peer_that_does_not_listen_is_an_end_and_a_connection_ends_once() {
    let (sim, mut ring) = machine(9);
    let (here, there) = sim.socket_pair();
    assert_eq!(shutdown(&mut ring, there, libc::SHUT_RD), 0);
    assert_eq!(send(&mut ring, here, b"x", 0), -libc::EPIPE);
    let (client, server) = connection(&sim, &mut ring);
    assert_eq!(shutdown(&mut ring, client, libc::SHUT_WR), 0);
    assert_eq!(shutdown(&mut ring, server, libc::SHUT_WR), 0);
    assert_eq!(shutdown(&mut ring, client, libc::SHUT_WR), -libc::ENOTCONN);
}

#[test]
fn an_address_is_bound_and_listened_on_by_submissions() {
    let (_sim, mut ring) = machine(10);
    let (listening, client) = (socket(&mut ring), socket(&mut ring));
    let at = Address::from(address("127.0.0.1:80"));
    assert_eq!(complete(&mut ring, Sqe::bind(target(listening), &at)), 0);
    assert_eq!(complete(&mut ring, Sqe::bind(target(client), &at)), -libc::EADDRINUSE);
    assert_eq!(complete(&mut ring, Sqe::listen(target(listening), 1)), 0);
    assert_eq!(complete(&mut ring, Sqe::connect(target(client), &at)), 0);
}

#[test]
fn nobody_listening_refuses() {
    let (_sim, mut ring) = machine(2);
    let number = socket(&mut ring);
    let nobody = Address::from(address("127.0.0.1:9"));
    let refused = complete(&mut ring, Sqe::connect(target(number), &nobody));
    assert_eq!(refused, -libc::ECONNREFUSED);
    let other_family = Address::from(address("[::1]:9"));
    let refused = complete(&mut ring, Sqe::connect(target(number), &other_family));
    assert_eq!(refused, -libc::EAFNOSUPPORT);
}

#[test]
fn both_sides_know_both_addresses_and_accept_writes_the_peers() {
    let (sim, mut ring) = machine(3);
    let (listening, at) = listener(&sim, &mut ring, 1);
    assert_eq!(at.ip(), address("127.0.0.1:0").ip());
    assert_ne!(at.port(), 0);
    let client = socket(&mut ring);
    let to = Address::from(at);
    let mut peer = Address::empty();
    let mut done = complete_all(
        &mut ring,
        vec![
            Sqe::accept(target(listening), Some(&mut peer), libc::SOCK_CLOEXEC).user_data(1),
            Sqe::connect(target(client), &to).user_data(2),
        ],
    );
    done.sort();
    let server = done[0].1;
    assert_eq!(done[1], (2, 0));
    let from = sim._table.local_addr(client).expect("address");
    assert_eq!(peer.to_std(), Some(from));
    assert_eq!(sim._table.peer_addr(server).expect("address"), from);
    assert_eq!(sim._table.peer_addr(client).expect("address"), at);
    assert_eq!(sim._table.local_addr(server).expect("address"), at);
    let again = complete(&mut ring, Sqe::connect(target(client), &to));
    assert_eq!(again, -libc::EISCONN);
}

#[test]
fn a_wildcard_listener_is_reached_by_any_address_and_its_port_is_taken() {
    let (sim, mut ring) = machine(4);
    let number = socket(&mut ring);
    sim._table.bind(number, address("0.0.0.0:80")).expect("bind");
    sim._table.listen(number, 4).expect("listen");
    let other = socket(&mut ring);
    let taken = sim._table.bind(other, address("127.0.0.1:80")).map_err(|e| e.raw_os_error());
    assert_eq!(taken, Err(Some(libc::EADDRINUSE)));
    let to = Address::from(address("10.0.0.1:80"));
    assert_eq!(complete(&mut ring, Sqe::connect(target(other), &to)), 0);
    assert_eq!(sim._table.peer_addr(other).expect("address"), address("10.0.0.1:80"));
    assert_eq!(close(&mut ring, number), 0);
    let late = socket(&mut ring);
    sim._table.bind(late, address("127.0.0.1:80")).expect("free again");
}

#[test]
fn a_full_backlog_lets_connects_wait() {
    let (sim, mut ring) = machine(5);
    let (listening, at) = listener(&sim, &mut ring, 0);
    let to = Address::from(at);
    let (first, second) = (socket(&mut ring), socket(&mut ring));
    assert_eq!(complete(&mut ring, Sqe::connect(target(first), &to)), 0);
    let waiting = Sqe::connect(target(second), &to).user_data(1).into_raw();
    // SAFETY: `to` outlives the completion.
    unsafe { ring.push(waiting) }.expect("space");
    ring.submit_and_wait(1, Some(std::time::Duration::from_secs(1))).expect("enter");
    assert_eq!((ring.ready(), sim.in_flight()), (0, 1));
    // SAFETY: without room for an address an accept lends nothing.
    unsafe { ring.push(Sqe::accept(target(listening), None, 0).user_data(2).into_raw()) }
        .expect("space");
    let mut done = wait_for(&mut ring, 2);
    done.sort();
    assert_eq!((done[0], done[1].0), ((1, 0), 2));
}

#[test]
fn what_is_not_connected_says_so() {
    let (sim, mut ring) = machine(6);
    let number = socket(&mut ring);
    assert_eq!(recv(&mut ring, number, 1, 0), Err(libc::ENOTCONN));
    assert_eq!(send(&mut ring, number, b"x", 0), -libc::EPIPE);
    assert_eq!(shutdown(&mut ring, number, libc::SHUT_WR), -libc::ENOTCONN);
    assert_eq!(complete(&mut ring, Sqe::accept(target(number), None, 0)), -libc::EINVAL);
    let (reader, _writer) = sim.pipe();
    assert_eq!(recv(&mut ring, reader, 1, 0), Err(libc::ENOTSOCK));
    assert_eq!(shutdown(&mut ring, reader, libc::SHUT_WR), -libc::ENOTSOCK);
}

#[test]
fn shutting_a_listener_down_ends_its_accepts() {
    let (sim, mut ring) = machine(7);
    let (listening, _) = listener(&sim, &mut ring, 1);
    let mut done = complete_all(
        &mut ring,
        vec![
            Sqe::accept(target(listening), None, 0).user_data(1),
            Sqe::shutdown(target(listening), libc::SHUT_RD).user_data(2),
        ],
    );
    done.sort();
    assert_eq!(done, [(1, -libc::EINVAL), (2, 0)]);
}

#[test]
fn nodelay_is_remembered() {
    let (sim, mut ring) = machine(8);
    let number = socket(&mut ring);
    assert!(!sim._table.nodelay(number).expect("option"));
    sim._table.set_nodelay(number, true).expect("option");
    assert!(sim._table.nodelay(number).expect("option"));
}

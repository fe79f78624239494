//! Waiting for readiness.

use super::*;
use crate::ring::MultiSqe;

const IN: u32 = libc::POLLIN as u32;
const OUT: u32 = libc::POLLOUT as u32;
const HUP: u32 = libc::POLLHUP as u32;
const ERR: u32 = libc::POLLERR as u32;
const RDHUP: u32 = libc::POLLRDHUP as u32;

/// What a poll that need not wait finds.
fn poll(ring: &mut Ring, number: RawFd, events: u32) -> u32 {
    let result = complete(ring, Sqe::poll(target(number), events));
    u32::try_from(result).expect("no error")
}

#[test]
fn a_connection_is_writable_then_readable_then_hung_up() {
    let (sim, mut ring) = machine(1);
    let (client, server) = connection(&sim, &mut ring);
    assert_eq!(poll(&mut ring, server, IN | OUT), OUT);
    assert_eq!(send(&mut ring, client, b"x", 0), 1);
    assert_eq!(poll(&mut ring, server, IN | OUT), IN | OUT);
    assert_eq!(shutdown(&mut ring, client, libc::SHUT_WR), 0);
    assert_eq!(poll(&mut ring, server, IN | RDHUP), IN | RDHUP);
    assert_eq!(shutdown(&mut ring, server, libc::SHUT_WR), 0);
    assert_eq!(poll(&mut ring, server, RDHUP), RDHUP | HUP);
}

#[test]
fn a_reset_is_an_error_that_nobody_has_to_ask_for() {
    let (sim, mut ring) = machine(2);
    let (client, server) = connection(&sim, &mut ring);
    assert_eq!(send(&mut ring, client, b"unread", 0), 6);
    assert_eq!(close(&mut ring, server), 0);
    assert_eq!(poll(&mut ring, client, 0), ERR | HUP | RDHUP);
}

#[test]
fn pipes_hang_up_and_break() {
    let (sim, mut ring) = machine(3);
    let (reader, writer) = sim.pipe();
    assert_eq!(poll(&mut ring, writer, OUT), OUT);
    sim._table.close(writer).expect("close");
    assert_eq!(poll(&mut ring, reader, IN), HUP);
    let (reader, writer) = sim.pipe();
    sim._table.close(reader).expect("close");
    assert_eq!(poll(&mut ring, writer, OUT), OUT | ERR);
}

#[test]
fn a_poll_waits_for_what_it_asks_for() {
    let (sim, mut ring) = machine(4);
    let (client, server) = connection(&sim, &mut ring);
    let done = complete_all(
        &mut ring,
        vec![
            Sqe::poll(target(server), IN).user_data(1),
            Sqe::send(target(client), b"x", 0).user_data(2),
        ],
    );
    assert_eq!(done, [(2, 1), (1, IN as i32)]);
}

#[test]
fn a_listener_is_readable_when_somebody_waits_to_be_accepted() {
    let (sim, mut ring) = machine(5);
    let (listening, at) = listener(&sim, &mut ring, 1);
    let client = socket(&mut ring);
    let to = crate::ring::Address::from(at);
    let done = complete_all(
        &mut ring,
        vec![
            Sqe::poll(target(listening), IN).user_data(1),
            Sqe::connect(target(client), &to).user_data(2),
        ],
    );
    assert_eq!(done, [(2, 0), (1, IN as i32)]);
}

#[test]
fn a_multishot_poll_reports_the_level_once_and_then_every_edge() {
    let (sim, mut ring) = machine(6);
    let (here, there) = sim.socket_pair();
    assert_eq!(send(&mut ring, here, b"1", 0), 1);
    // SAFETY: a poll lends nothing.
    unsafe { ring.push(MultiSqe::poll(target(there), IN).user_data(7).into_raw()) }.expect("space");
    assert_eq!(wait_for(&mut ring, 1), [(7, IN as i32)]);
    // Nothing new, so nothing more, although the byte is still there.
    ring.submit_and_wait(1, Some(std::time::Duration::from_secs(1))).expect("enter");
    assert_eq!(ring.ready(), 0);
    // SAFETY: the bytes are a constant.
    unsafe { ring.push(Sqe::send(target(here), b"2", 0).user_data(8).into_raw()) }.expect("space");
    assert_eq!(wait_for(&mut ring, 2), [(8, 1), (7, IN as i32)]);
    sim._table.close(here).expect("close");
    ring.submit_and_wait(1, None).expect("enter");
    let last = reap(&mut ring)[0];
    assert_eq!(last.raw_result() as u32, IN | HUP | RDHUP);
    assert!(last.more());
}

#[test]
fn a_regular_file_cannot_be_polled() {
    let (sim, mut ring) = machine(7);
    sim.write_file("f", b"x");
    let number = open(&mut ring, c"f", libc::O_RDONLY);
    assert_eq!(complete(&mut ring, Sqe::poll(target(number), IN)), -libc::EOPNOTSUPP);
}

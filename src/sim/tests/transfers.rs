//! Bytes through connections and pipes.

use super::*;
use crate::sim::flow::WINDOW_BYTES;

#[test]
fn bytes_arrive_in_order_whoever_completes_first() {
    for seed in seeds(8) {
        let (sim, mut ring) = machine(seed);
        let (client, server) = connection(&sim, &mut ring);
        let (mut first, mut second) = (Vec::with_capacity(2), Vec::with_capacity(2));
        let done = complete_all(
            &mut ring,
            vec![
                Sqe::send(target(client), b"ab", 0).user_data(1),
                Sqe::recv(target(server), &mut first.spare_capacity_mut()[..2], 0).user_data(2),
                Sqe::send(target(client), b"cd", 0).user_data(3),
                Sqe::recv(target(server), &mut second.spare_capacity_mut()[..2], 0).user_data(4),
            ],
        );
        let order: Vec<u64> = done.iter().map(|done| done.0).collect();
        let at = |user_data| order.iter().position(|&other| other == user_data);
        assert!(at(1) < at(3) && at(2) < at(4) && at(1) < at(2), "{order:?}");
        assert_eq!(filled(first, 2), Ok(b"ab".to_vec()));
        assert_eq!(filled(second, 2), Ok(b"cd".to_vec()));
    }
}

#[test]
fn a_closed_peer_is_the_end_after_its_last_bytes() {
    let (sim, mut ring) = machine(2);
    let (client, server) = connection(&sim, &mut ring);
    assert_eq!(send(&mut ring, client, b"bye", 0), 3);
    assert_eq!(close(&mut ring, client), 0);
    assert_eq!(recv(&mut ring, server, 8, 0), Ok(b"bye".to_vec()));
    assert_eq!(recv(&mut ring, server, 8, 0), Ok(Vec::new()));
    assert_eq!(send(&mut ring, server, b"x", 0), -libc::EPIPE);
}

#[test]
fn a_peer_closed_with_unread_bytes_resets() {
    let (sim, mut ring) = machine(3);
    let (client, server) = connection(&sim, &mut ring);
    assert_eq!(send(&mut ring, client, b"unread", 0), 6);
    assert_eq!(close(&mut ring, server), 0);
    assert_eq!(recv(&mut ring, client, 8, 0), Err(libc::ECONNRESET));
    assert_eq!(recv(&mut ring, client, 8, 0), Ok(Vec::new()));
    assert_eq!(send(&mut ring, client, b"x", 0), -libc::EPIPE);
}

#[test]
fn a_shutdown_ends_one_direction_only() {
    let (sim, mut ring) = machine(4);
    let (client, server) = connection(&sim, &mut ring);
    assert_eq!(shutdown(&mut ring, client, libc::SHUT_WR), 0);
    assert_eq!(recv(&mut ring, server, 8, 0), Ok(Vec::new()));
    assert_eq!(send(&mut ring, client, b"x", 0), -libc::EPIPE);
    assert_eq!(send(&mut ring, server, b"still", 0), 5);
    assert_eq!(recv(&mut ring, client, 8, 0), Ok(b"still".to_vec()));
    assert_eq!(shutdown(&mut ring, client, 9), -libc::EINVAL);
}

#[test]
fn the_window_bounds_what_is_sent_and_a_full_one_waits() {
    let (sim, mut ring) = machine(5);
    let (client, server) = connection(&sim, &mut ring);
    let bytes = vec![1; WINDOW_BYTES + 10];
    assert_eq!(send(&mut ring, client, &bytes, 0), WINDOW_BYTES as i32);
    assert_eq!(send(&mut ring, client, b"x", libc::MSG_DONTWAIT), -libc::EAGAIN);
    let mut room = Vec::with_capacity(4);
    let mut done = complete_all(
        &mut ring,
        vec![
            Sqe::send(target(client), b"more", 0).user_data(1),
            Sqe::recv(target(server), &mut room.spare_capacity_mut()[..4], 0).user_data(2),
        ],
    );
    assert_eq!(done[0], (2, 4), "the send waits for room");
    done.sort();
    assert_eq!(done, [(1, 4), (2, 4)]);
}

#[test]
fn all_means_all_in_both_directions() {
    let (sim, mut ring) = machine(6);
    let (client, server) = connection(&sim, &mut ring);
    let bytes = b"seven..".repeat(WINDOW_BYTES / 7 + 100);
    let mut room = Vec::with_capacity(bytes.len());
    let done = complete_all(
        &mut ring,
        vec![
            Sqe::recv(
                target(server),
                &mut room.spare_capacity_mut()[..bytes.len()],
                libc::MSG_WAITALL,
            ),
            Sqe::send(target(client), &bytes, libc::MSG_WAITALL),
        ],
    );
    assert!(done.iter().all(|done| done.1 as usize == bytes.len()), "{done:?}");
    assert!(filled(room, bytes.len() as i32) == Ok(bytes));
    // At the end there is no more to wait for.
    assert_eq!(send(&mut ring, client, b"rest", 0), 4);
    assert_eq!(close(&mut ring, client), 0);
    assert_eq!(recv(&mut ring, server, 8, libc::MSG_WAITALL), Ok(b"rest".to_vec()));
}

#[test]
fn peeking_takes_nothing_and_not_waiting_says_eagain() {
    let (sim, mut ring) = machine(7);
    let (here, there) = sim.socket_pair();
    assert_eq!(recv(&mut ring, there, 4, libc::MSG_DONTWAIT), Err(libc::EAGAIN));
    assert_eq!(send(&mut ring, here, b"look", 0), 4);
    assert_eq!(recv(&mut ring, there, 4, libc::MSG_PEEK), Ok(b"look".to_vec()));
    assert_eq!(read(&mut ring, there, 2, None), Ok(b"lo".to_vec()));
    assert_eq!(recv(&mut ring, there, 4, libc::MSG_DONTWAIT), Ok(b"ok".to_vec()));
}

#[test]
fn a_closed_socket_goes_on_living_in_the_recv_that_waits_on_it() {
    let (sim, mut ring) = machine(8);
    let (here, there) = sim.socket_pair();
    let mut room = Vec::with_capacity(4);
    let sqe = Sqe::recv(target(there), &mut room.spare_capacity_mut()[..4], 0).user_data(1);
    // SAFETY: `room` is not touched before the completion.
    unsafe { ring.push(sqe.into_raw()) }.expect("space");
    ring.submit().expect("enter");
    assert_eq!(close(&mut ring, there), 0);
    let mut done = complete_all(&mut ring, vec![]);
    // SAFETY: the bytes are a constant.
    unsafe { ring.push(Sqe::send(target(here), b"last", 0).user_data(2).into_raw()) }
        .expect("space");
    done.extend(wait_for(&mut ring, 2));
    done.sort();
    assert_eq!(done, [(1, 4), (2, 4)]);
}

#[test]
fn a_pipe_ends_when_its_other_side_is_gone() {
    let (sim, mut ring) = machine(9);
    let (reader, writer) = sim.pipe();
    assert_eq!(write(&mut ring, writer, b"in", None), 2);
    assert_eq!(read(&mut ring, writer, 2, None), Err(libc::EBADF));
    sim._table.close(writer).expect("close");
    assert_eq!(read(&mut ring, reader, 8, None), Ok(b"in".to_vec()));
    assert_eq!(read(&mut ring, reader, 8, None), Ok(Vec::new()));
}

#[test]
fn a_small_write_to_a_pipe_is_whole_or_waits() {
    let (sim, mut ring) = machine(10);
    let (reader, writer) = sim.pipe();
    let bytes = vec![2; WINDOW_BYTES - 1];
    assert_eq!(write(&mut ring, writer, &bytes, None), bytes.len() as i32);
    let mut room = Vec::with_capacity(1);
    let done = complete_all(
        &mut ring,
        vec![
            Sqe::write(target(writer), b"ab", None).user_data(1),
            Sqe::read(target(reader), &mut room.spare_capacity_mut()[..1], None).user_data(2),
        ],
    );
    assert_eq!(done, [(2, 1), (1, 2)]);
}

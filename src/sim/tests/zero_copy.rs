//! Sends that do not copy: a result, and later the notification that their memory is free.

use super::*;
use crate::ring::{Cqe, CqeFlags};
use crate::sys::abi::NOTIF_USAGE_ZC_COPIED;

/// Submits a send, and waits for both of its completions.
fn send_zc(ring: &mut Ring, sqe: Sqe<'_>) -> (Cqe, Cqe) {
    // SAFETY: both completions are waited for.
    unsafe { ring.push(sqe.user_data(1).into_raw()) }.expect("space");
    let mut cqes = Vec::new();
    while cqes.len() < 2 {
        ring.submit_and_wait(1, None).expect("enter");
        cqes.extend(reap(ring));
    }
    (cqes[0], cqes[1])
}

#[test]
fn a_notification_follows_the_result() {
    for seed in seeds(8) {
        let (sim, mut ring) = machine(seed);
        let (client, server) = connection(&sim, &mut ring);
        let (sent, notice) = send_zc(&mut ring, Sqe::send_zc(target(client), b"hello", 0));
        assert_eq!((sent.raw_result(), sent.more(), sent.notification()), (5, true, false));
        assert_eq!((notice.raw_result(), notice.more(), notice.notification()), (0, false, true));
        assert_eq!(notice.flags(), CqeFlags::NOTIF);
        assert_eq!((sent.user_data(), notice.user_data()), (1, 1));
        assert_eq!(sim.in_flight(), 0);
        assert_eq!(recv(&mut ring, server, 8, 0), Ok(b"hello".to_vec()));
    }
}

#[test]
fn a_peer_that_reads_ends_a_long_wait() {
    let mut waited = 0;
    for seed in seeds(8) {
        let (sim, mut ring) = machine(seed);
        let (client, server) = connection(&sim, &mut ring);
        // SAFETY: the bytes are never freed.
        unsafe { ring.push(Sqe::send_zc(target(client), b"hello", 0).into_raw()) }.expect("space");
        let done = wait_for(&mut ring, 1);
        assert_eq!(done, [(0, 5)]);
        ring.submit_and_wait(1, Some(std::time::Duration::from_micros(50))).expect("enter");
        if ring.ready() == 0 {
            waited += 1;
            let before = sim.elapsed();
            let mut room = Vec::with_capacity(8);
            let read = Sqe::recv(target(server), &mut room.spare_capacity_mut()[..8], 0);
            complete_all(&mut ring, vec![read.user_data(2), Sqe::nop().user_data(3)]);
            assert!(sim.elapsed() - before < std::time::Duration::from_millis(1));
        }
    }
    assert!(waited > 0);
}

#[test]
fn a_failure_is_followed_by_a_notification_as_well() {
    let (sim, mut ring) = machine(1);
    let (here, _there) = sim.socket_pair();
    let (sent, notice) = send_zc(&mut ring, Sqe::send_zc(target(here), b"x", 0).report_usage());
    assert_eq!((sent.raw_result(), sent.more()), (-libc::EOPNOTSUPP, true));
    assert_eq!(notice.raw_result(), NOTIF_USAGE_ZC_COPIED as i32);
    let (sent, notice) = send_zc(&mut ring, Sqe::send_zc(target(9), b"x", 0));
    assert_eq!((sent.raw_result(), notice.notification()), (-libc::EBADF, true));
    let hidden = Sqe::send_zc(target(here), b"x", 0).skip_success();
    assert_eq!(complete(&mut ring, hidden), -libc::EINVAL);
    assert_eq!(sim.in_flight(), 0);
}

#[test]
fn what_is_linked_follows_the_result_not_the_notification() {
    for seed in seeds(4) {
        let (sim, mut ring) = machine(seed);
        let (client, _server) = connection(&sim, &mut ring);
        let send = Sqe::send_zc(target(client), b"hello", 0).user_data(1).link();
        // SAFETY: the bytes are never freed; a nop lends nothing.
        unsafe {
            ring.push(send.into_raw()).expect("space");
            ring.push(Sqe::nop().user_data(2).into_raw()).expect("space");
        }
        let mut done = Vec::new();
        while done.len() < 3 {
            ring.submit_and_wait(1, None).expect("enter");
            done.extend(reap(&mut ring).iter().map(|cqe| (cqe.user_data(), cqe.notification())));
        }
        assert_eq!(done[0], (1, false));
        assert!(done[1..].contains(&(2, false)) && done[1..].contains(&(1, true)));
    }
}

#[test]
fn whether_it_was_copied_is_said_when_asked_for() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in seeds(16) {
        let (sim, mut ring) = machine(seed);
        let (client, _server) = connection(&sim, &mut ring);
        let send = Sqe::send_zc(target(client), b"hello", 0).report_usage();
        seen.insert(send_zc(&mut ring, send).1.raw_result());
    }
    let both = [NOTIF_USAGE_ZC_COPIED as i32, 0].into();
    // The few seeds that Miri has see one of the two.
    assert!(seen.is_subset(&both) && (cfg!(miri) || seen == both), "{seen:?}");
}

#[test]
#[should_panic(expected = "changed before its notification")]
fn bytes_that_are_changed_too_early_are_found_out() {
    let (sim, mut ring) = machine(2);
    let (client, _server) = connection(&sim, &mut ring);
    let mut bytes = *b"hello";
    let address = bytes.as_mut_ptr();
    // What is lent below is borrowed no more once the bytes change: the kernel reads them all the same.
    let _ = address.expose_provenance();
    // SAFETY: not kept, as the test is about: but the memory stays.
    unsafe { ring.push(Sqe::send_zc(target(client), &bytes, 0).into_raw()) }.expect("space");
    while ring.ready() == 0 {
        ring.submit_and_wait(1, None).expect("enter");
    }
    // SAFETY: the memory is there, and is borrowed by nobody.
    unsafe { address.write(b'j') };
    wait_for(&mut ring, 2);
}

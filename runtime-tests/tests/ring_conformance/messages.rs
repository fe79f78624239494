//! Messages between rings, where the queue of the receiver is full, closed or one's own.

use std::time::Duration;

use runtime_tests::Watchdog;
use runtime_tests::ring::on_a_ring;
use runtime_tests::rings::{made, take};
use uring::ring::{Opcode, Setup, SetupFlags, Sqe};

use super::on;

#[test]
fn messages_to_a_full_queue_wait_for_room_in_their_order() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let deferred = SetupFlags::SINGLE_ISSUER | SetupFlags::DEFER_TASKRUN;
    on_a_ring(|ring| {
        if ring.lacks(Opcode::MSG_RING) {
            return;
        }
        for flags in [SetupFlags::empty(), deferred] {
            let Some(mut full) = made(&Setup::new(1).cq_entries(2).only(flags)) else { continue };
            let fd = full.fd().expect("a descriptor").try_clone_to_owned().expect("a descriptor");
            for name in 0..20 {
                // SAFETY: nothing is in flight on the other ring.
                let message = unsafe { Sqe::msg_ring(on(&fd), name, name as i32, None) };
                assert_eq!(ring.run(message), 0);
            }
            let came: Vec<_> = take(&mut full, 20).iter().map(|cqe| cqe.user_data()).collect();
            assert_eq!(came, (0..20).collect::<Vec<_>>(), "{flags:?}");
            assert_eq!(full.lost(), 0);
        }
    });
}

#[test]
fn a_message_to_oneself_arrives() {
    on_a_ring(|ring| {
        if ring.lacks(Opcode::MSG_RING) {
            return;
        }
        let own = ring.ring().fd().expect("a descriptor").try_clone_to_owned();
        let own = own.expect("a descriptor");
        // SAFETY: nothing else is in flight, and the message names no request.
        unsafe { ring.start(Sqe::msg_ring(on(&own), 77, 5, None).user_data(1)) };
        let first = ring.next_message();
        let second = ring.next_cqe();
        let mut both = [first, second].map(|cqe| (cqe.user_data(), cqe.raw_result()));
        both.sort_unstable();
        assert_eq!(both, [(1, 0), (77, 5)]);
    });
}

#[test]
fn a_message_to_a_ring_that_is_not_enabled_is_refused() {
    on_a_ring(|ring| {
        if ring.lacks(Opcode::MSG_RING) {
            return;
        }
        let disabled = made(&Setup::new(4).only(SetupFlags::R_DISABLED)).expect("a ring");
        let fd = disabled.fd().expect("a descriptor").try_clone_to_owned().expect("a descriptor");
        // SAFETY: nothing is in flight on the other ring.
        let message = unsafe { Sqe::msg_ring(on(&fd), 1, 0, None) };
        assert_eq!(ring.run(message), -libc::EBADFD);
    });
}

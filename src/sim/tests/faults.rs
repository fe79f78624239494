//! What goes wrong on purpose, each kind alone.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use super::*;
use crate::ring::{Address, MultiSqe};
use crate::sim::{Fault, Faults};

const ALWAYS: u16 = 1024;

/// A ring in a world where one thing always goes wrong, from `begin` on.
fn begin(sim: &Sim, fault: Fault, rate: u16) {
    let _same = sim.clone().faults(Faults::none().with(fault, rate));
}

fn end(sim: &Sim) {
    let _same = sim.clone().faults(Faults::none());
}

fn push(ring: &mut Ring, sqe: Sqe<'_>) {
    // SAFETY: nothing is lent that does not outlive the ring.
    unsafe { ring.push(sqe.into_raw()) }.expect("space");
}

fn errno(result: io::Result<u32>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

#[test]
fn short_transfers_move_a_part_of_a_stream_and_leave_the_rest_in_order() {
    for seed in seeds(20) {
        let (sim, mut ring) = machine(seed);
        let (left, right) = sim.socket_pair();
        begin(&sim, Fault::ShortWrite, ALWAYS);
        let sent = send(&mut ring, left, b"abcdefgh", 0);
        assert!((1..8).contains(&sent) && sim.injected(Fault::ShortWrite) == 1, "{sent}");
        begin(&sim, Fault::ShortRead, ALWAYS);
        let mut received = recv(&mut ring, right, 8, 0).expect("bytes");
        assert!(!received.is_empty());
        end(&sim);
        while received.len() < sent as usize {
            received.extend(recv(&mut ring, right, 8, 0).expect("bytes"));
        }
        assert_eq!(received, b"abcdefgh"[..sent as usize]);
    }
}

#[test]
fn all_may_mean_fewer_when_it_is_cut_short() {
    let (sim, mut ring) = machine(1);
    let (left, right) = sim.socket_pair();
    begin(&sim, Fault::ShortWrite, ALWAYS);
    let sent = send(&mut ring, left, b"abcdefgh", libc::MSG_WAITALL);
    assert!((1..8).contains(&sent), "{sent}");
    end(&sim);
    assert_eq!(recv(&mut ring, right, 8, 0).map(|bytes| bytes.len()), Ok(sent as usize));
}

#[test]
fn small_writes_to_a_pipe_are_whole_all_the_same() {
    let (sim, mut ring) = machine(1);
    let (_reader, writer) = sim.pipe();
    begin(&sim, Fault::ShortWrite, ALWAYS);
    assert_eq!(write(&mut ring, writer, &[1; 4096], None), 4096);
    assert!(write(&mut ring, writer, &[1; 4097], None) < 4097);
    assert_eq!(sim.injected(Fault::ShortWrite), 1);
}

#[test]
fn an_interrupted_operation_and_one_that_failed_have_no_effect() {
    for fault in [Fault::Interrupted, Fault::Errno] {
        let (sim, mut ring) = machine(1);
        sim.write_file("/tmp/file", b"old");
        let file = open(&mut ring, c"/tmp/file", libc::O_RDWR);
        begin(&sim, fault, ALWAYS);
        let failed = write(&mut ring, file, b"new", Some(0));
        assert!([-libc::EINTR, -libc::EIO, -libc::ENOSPC, -libc::EDQUOT].contains(&failed));
        let at = crate::ring::At::WorkingDirectory;
        let made = complete(&mut ring, Sqe::open_at(at, c"/tmp/other", libc::O_CREAT, 0o644));
        assert!(made < 0 && sim.open_descriptors() == 1);
        assert_eq!(
            (sim.read_file("/tmp/file"), sim.read_file("/tmp/other")),
            (Some(b"old".to_vec()), None)
        );
        assert_eq!(sim.injected(fault), 2);
    }
}

/// Those of `accept(2)` and `connect(2)` that say nothing about what they were given.
#[test]
fn an_accept_and_a_connect_fail_with_every_errno_that_the_network_gives_them() {
    let (mut accepts, mut connects) = (BTreeSet::new(), BTreeSet::new());
    let (sim, mut ring) = machine(1);
    let (listener, address) = listener(&sim, &mut ring, 8);
    let (client, other) = (socket(&mut ring), socket(&mut ring));
    let address = Address::from(address);
    assert_eq!(complete(&mut ring, Sqe::connect(target(client), &address)), 0);
    begin(&sim, Fault::Errno, ALWAYS);
    for _ in 0..if cfg!(miri) { 25 } else { 100 } {
        accepts.insert(-complete(&mut ring, Sqe::accept(target(listener), None, 0)));
        connects.insert(-complete(&mut ring, Sqe::connect(target(other), &address)));
    }
    let errnos = [libc::ECONNABORTED, libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    assert_eq!(accepts, BTreeSet::from(errnos));
    let errnos = [
        libc::ECONNREFUSED,
        libc::ECONNABORTED,
        libc::ETIMEDOUT,
        libc::ENETUNREACH,
        libc::EADDRNOTAVAIL,
    ];
    assert_eq!(connects, BTreeSet::from(errnos));
}

#[test]
fn a_close_that_reports_an_error_has_closed() {
    let (sim, mut ring) = machine(1);
    sim.write_file("/tmp/file", b"");
    let file = open(&mut ring, c"/tmp/file", libc::O_WRONLY);
    begin(&sim, Fault::Errno, ALWAYS);
    assert_eq!((close(&mut ring, file), sim.open_descriptors()), (-libc::EIO, 0));
}

#[test]
fn a_lost_connection_is_found_by_both_sides_behind_what_they_had_received() {
    let (sim, mut ring) = machine(1);
    let (client, server) = connection(&sim, &mut ring);
    assert_eq!(send(&mut ring, client, b"last words", 0), 10);
    begin(&sim, Fault::Reset, ALWAYS);
    assert_eq!(recv(&mut ring, server, 99, 0), Ok(b"last words".to_vec()));
    assert_eq!(recv(&mut ring, server, 99, 0), Err(libc::ECONNRESET));
    assert_eq!(recv(&mut ring, server, 99, 0), Ok(Vec::new()));
    assert_eq!(send(&mut ring, client, b"lost", 0), -libc::ECONNRESET);
    assert_eq!(send(&mut ring, client, b"lost", 0), -libc::EPIPE);
    assert_eq!(sim.injected(Fault::Reset), 1);
}

#[test]
fn an_interrupted_enter_says_so_or_says_what_it_took() {
    let (sim, mut ring) = machine(1);
    begin(&sim, Fault::EnterInterrupted, ALWAYS);
    assert_eq!(errno(ring.submit_and_wait(1, None)), Some(libc::EINTR));
    push(&mut ring, Sqe::nop());
    assert_eq!(ring.submit_and_wait(1, None).expect("taken"), 1);
    end(&sim);
    assert_eq!(wait_for(&mut ring, 1), [(0, 0)]);
}

#[test]
fn an_enter_without_memory_takes_nothing() {
    let (sim, mut ring) = machine(1);
    begin(&sim, Fault::EnterAgain, ALWAYS);
    push(&mut ring, Sqe::nop());
    assert_eq!(errno(ring.submit_and_wait(1, None)), Some(libc::EAGAIN));
    assert_eq!((ring.queued(), sim.in_flight()), (1, 0));
    end(&sim);
    assert_eq!(wait_for(&mut ring, 1), [(0, 0)]);
}

#[test]
fn an_enter_may_take_a_part_and_does_not_wait_then() {
    let (sim, mut ring) = machine(1);
    begin(&sim, Fault::PartialSubmission, ALWAYS);
    (0..8).for_each(|user_data| push(&mut ring, Sqe::nop().user_data(user_data)));
    let taken = ring.submit_and_wait(8, None).expect("a part");
    assert!((1..8).contains(&taken) && ring.queued() == 8 - taken, "{taken}");
    end(&sim);
    assert_eq!(wait_for(&mut ring, 8).len(), 8);
}

#[test]
fn what_overflows_waits_for_a_later_enter_which_may_be_busy_first() {
    let (sim, mut ring) = machine(1);
    begin(&sim, Fault::Overflow, ALWAYS);
    push(&mut ring, Sqe::nop().user_data(1));
    while sim.in_flight() > 0 || ring.queued() > 0 {
        ring.submit_and_wait(0, None).expect("enter");
    }
    assert_eq!((ring.ready(), ring.overflowed(), ring.needs_enter()), (0, true, true));
    begin(&sim, Fault::EnterBusy, ALWAYS);
    push(&mut ring, Sqe::nop().user_data(2));
    assert_eq!(errno(ring.submit_and_wait(0, None)), Some(libc::EBUSY));
    assert!(ring.queued() == 1 && ring.overflowed());
    end(&sim);
    assert_eq!(wait_for(&mut ring, 2), [(1, 0), (2, 0)]);
    assert!(!ring.overflowed());
}

#[test]
fn what_overflows_during_a_wait_ends_the_wait() {
    let (sim, mut ring) = machine(1);
    begin(&sim, Fault::Overflow, ALWAYS);
    push(&mut ring, Sqe::nop());
    ring.submit_and_wait(1, None).expect("enter");
    assert_eq!(ring.ready(), 1);
}

#[test]
fn a_failed_cancel_leaves_the_operation_as_it_is() {
    let (sim, mut ring) = machine(1);
    let (reader, writer) = sim.pipe();
    begin(&sim, Fault::FailedCancel, ALWAYS);
    push(&mut ring, Sqe::poll(target(reader), libc::POLLIN as u32).user_data(1));
    push(&mut ring, Sqe::cancel(1).user_data(2));
    let [(2, result)] = wait_for(&mut ring, 1)[..] else { panic!("the cancel alone") };
    assert!([-libc::ENOENT, -libc::EALREADY].contains(&result));
    assert_eq!(sim.in_flight(), 1);
    assert_eq!(write(&mut ring, writer, b"on", None), 2);
    assert_eq!(wait_for(&mut ring, 1), [(1, i32::from(libc::POLLIN))]);
}

#[test]
fn a_multishot_operation_may_end_with_a_good_result() {
    let (sim, mut ring) = machine(1);
    let (reader, writer) = sim.pipe();
    begin(&sim, Fault::MultishotEnd, ALWAYS);
    assert_eq!(write(&mut ring, writer, b"x", None), 1);
    let poll = MultiSqe::poll(target(reader), libc::POLLIN as u32);
    // SAFETY: a poll lends nothing.
    unsafe { ring.push(poll.into_raw()) }.expect("space");
    ring.submit_and_wait(1, None).expect("enter");
    let cqes = reap(&mut ring);
    assert_eq!(
        (cqes.len(), cqes[0].raw_result(), cqes[0].more()),
        (1, i32::from(libc::POLLIN), false)
    );
}

#[test]
fn a_stall_takes_up_to_a_second_and_a_jump_of_the_clock_up_to_sixteen() {
    for (fault, most_secs) in [(Fault::Stall, 2), (Fault::ClockJump, 17)] {
        let mut longest = Duration::ZERO;
        for seed in seeds(50) {
            let (sim, mut ring) = machine(seed);
            begin(&sim, fault, ALWAYS);
            push(&mut ring, Sqe::nop());
            ring.submit_and_wait(1, None).expect("enter");
            longest = longest.max(sim.elapsed());
        }
        let most = Duration::from_secs(most_secs);
        assert!(longest > Duration::from_millis(100) && longest < most, "{fault:?}: {longest:?}");
    }
}

/// The hash and the last lines of a run in which much goes wrong.
fn play(seed: u64) -> (u64, Vec<String>) {
    let (sim, mut ring) = machine(seed);
    sim.keep_trace(10);
    let sim = sim.faults(Faults::everything());
    let (left, _right) = sim.socket_pair();
    (0..20).for_each(|_| push(&mut ring, Sqe::send(target(left), b"hello", 0)));
    let mut done = 0;
    while done < 20 {
        // Whatever it answers: a limit ends each wait.
        let _ = ring.submit_and_wait(1, Some(Duration::from_secs(1)));
        done += reap(&mut ring).len();
    }
    (sim.trace_hash(), sim.trace())
}

#[test]
fn the_same_seed_goes_wrong_in_the_same_way_and_another_in_another() {
    let (hash, lines) = play(3);
    assert_eq!(play(3), (hash, lines.clone()));
    assert_ne!(play(4).0, hash);
    assert_eq!(lines.len(), 10);
    assert!(lines.iter().any(|line| line.contains("complete: 0x0 -> ")), "{lines:#?}");
}

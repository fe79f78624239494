//! Operations that complete many times.

use futures::stream::FusedStream;
use futures::{FutureExt, StreamExt};
use runtime_tests::{Ledger, a_while, all_quiet, on_every_kernel, on_linux, put, skipped, steps};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;
use uring::fd::Fd;
use uring::op::lane::Lane;
use uring::op::{self, Shots};

fn poll(fd: &Fd) -> Shots<op::PollMulti> {
    op::submit_multi(op::PollMulti { fd: fd.clone(), events: libc::POLLIN as u32 })
}

/// Whether this kernel refuses a multishot operation: Linux before 5.13 (poll) and 5.19 (accept).
fn refused<T>(shot: &std::io::Result<T>) -> bool {
    matches!(shot, Err(error) if error.raw_os_error() == Some(libc::EINVAL))
}

#[test]
fn every_input_is_told() {
    on_every_kernel(|runtime, on| {
        let (reader, writer) = on.pipe();
        runtime.block_on(async {
            let mut shots = poll(&reader);
            for _ in 0..10 {
                put(&writer, b"x").await;
                let events = shots.next().await.expect("the stream goes on").expect("a poll");
                assert_ne!(events & libc::POLLIN as u32, 0);
            }
            assert!(!shots.is_terminated());
        });
    });
}

#[test]
fn a_stream_wakes_the_task_that_waits_for_it() {
    on_every_kernel(|runtime, on| {
        let (reader, writer) = on.pipe();
        runtime.block_on(async {
            let task = uring::spawn(async move { poll(&reader).next().await.is_some() });
            a_while().await;
            put(&writer, b"x").await;
            assert!(task.await.expect("a task"));
        });
    });
}

#[test]
fn items_come_in_the_order_of_the_kernel_and_wait_for_their_consumer() {
    on_every_kernel(|runtime, on| {
        let (reader, writer) = on.pipe();
        runtime.block_on(async {
            let mut shots = poll(&reader);
            put(&writer, b"x").await;
            a_while().await;
            drop(writer);
            a_while().await;
            let first = shots.next().await.expect("a shot").expect("a poll");
            assert_eq!(first, libc::POLLIN as u32);
            let second = shots.next().await.expect("a shot").expect("a poll");
            assert_eq!(second, (libc::POLLIN | libc::POLLHUP) as u32);
        });
    });
}

#[test]
#[cfg_attr(miri, ignore = "a thousand shots take minutes")]
fn a_consumer_that_lags_too_far_gets_all_there_was_and_then_the_end() {
    on_every_kernel(|runtime, on| {
        let (reader, writer) = on.pipe();
        runtime.block_on(async {
            let mut shots = poll(&reader);
            let mut told = 0;
            while runtime.metrics().in_flight > 0 {
                put(&writer, b"x").await;
                told += 1;
                assert!(told < 3000, "the operation was not cut off");
                // Longer than any delay of the simulated kernel.
                uring::time::sleep(Duration::from_micros(25)).await;
            }
            let mut items = 0;
            let mut last = None;
            while let Some(item) = shots.next().await {
                assert!(last.is_none_or(|last| last), "an error in the middle");
                last = Some(item.is_ok());
                items += 1;
            }
            // The last one is that of the cancel.
            assert_eq!(last, Some(false));
            assert!((1025..1100).contains(&items), "{items} items");
            assert!(shots.is_terminated());
            assert!(shots.next().await.is_none(), "an ended stream stays ended");
            // It can be armed again.
            let again = poll(&reader).next().await;
            assert!(again.is_some_and(|events| events.is_ok()));
        });
        assert_eq!(runtime.metrics().slots_in_use, 1, "the dropped one is being cancelled");
        runtime.block_on(all_quiet(runtime));
    });
}

#[test]
fn an_operation_that_fails_yields_its_error_and_ends() {
    on_every_kernel(|runtime, on| {
        let (reader, _writer) = on.pipe();
        runtime.block_on(async {
            let lane = Lane::receiving(&reader).hold().now_or_never().expect("it is free");
            // No socket.
            let mut shots = op::submit_multi(op::AcceptMulti { lane });
            let error = shots.next().await.expect("an item").expect_err("no socket");
            assert_eq!(error.raw_os_error(), Some(libc::ENOTSOCK));
            assert!(shots.next().await.is_none());
        });
    });
}

#[test]
fn a_listener_accepts_with_one_operation() {
    on_linux(|runtime| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let fd = Fd::from(OwnedFd::from(listener));
        runtime.block_on(async {
            let lane = Lane::receiving(&fd).hold().now_or_never().expect("it is free");
            let mut shots = op::submit_multi(op::AcceptMulti { lane });
            let _clients: Vec<_> = (0..steps(50, 5))
                .map(|_| TcpStream::connect(address).expect("a connection"))
                .collect();
            for _ in 0..steps(50, 5) {
                let accepted = shots.next().await.expect("the stream goes on");
                if refused(&accepted) {
                    return skipped("this kernel has no multishot accept (Linux 5.19)");
                }
                accepted.expect("a connection");
            }
            assert_eq!(runtime.metrics().in_flight, 1);
        });
    });
}

#[test]
fn connections_that_nobody_took_are_left_in_the_lane() {
    on_linux(|runtime| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let fd = Fd::from(OwnedFd::from(listener));
        runtime.block_on(async {
            let lane = Lane::receiving(&fd);
            let held = lane.hold().await;
            let shots = op::submit_multi(op::AcceptMulti { lane: held });
            let clients: Vec<_> =
                (0..3).map(|_| TcpStream::connect(address).expect("a connection")).collect();
            a_while().await;
            drop(shots);
            all_quiet(runtime).await;
            let held = lane.hold().await;
            for _ in &clients {
                assert!(held.take_late_connection().is_some(), "an accepted connection was lost");
            }
            assert!(held.take_late_connection().is_none());
        });
    });
}

#[test]
fn many_streams_do_not_mix() {
    on_every_kernel(|runtime, on| {
        let ledger = Ledger::new();
        runtime.block_on(async {
            let pipes: Vec<_> = (0..8).map(|_| on.pipe()).collect();
            let tasks: Vec<_> = pipes
                .iter()
                .enumerate()
                .map(|(number, (reader, _))| {
                    let (reader, ledger) = (reader.clone(), ledger.clone());
                    uring::spawn(async move {
                        let mut shots = poll(&reader);
                        while let Some(Ok(events)) = shots.next().await {
                            ledger.note(number);
                            if events & libc::POLLHUP as u32 != 0 {
                                return;
                            }
                        }
                    })
                })
                .collect();
            a_while().await;
            for number in [3, 1, 4, 5, 0, 2, 6, 7] {
                put(&pipes[number].1, b"x").await;
                a_while().await;
            }
            drop(pipes);
            for task in tasks {
                task.await.expect("a task");
            }
        });
        assert_eq!(ledger.events()[..8], ["3", "1", "4", "5", "0", "2", "6", "7"]);
    });
}

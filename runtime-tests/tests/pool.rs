//! Leased buffers: who has them, and when they go back.
//!
//! On kernels without rings of buffers all of it holds too, with buffers from the heap; what is about the
//! ring alone looks whether there is one.

use std::cell::Cell;
use std::io::ErrorKind;
use std::net::Shutdown;

use futures::future::{join, join_all};
use futures::{FutureExt, StreamExt};
use runtime_tests::net::pair;
use runtime_tests::pool::{assert_full, pool, put};
use runtime_tests::{
    a_while, all_quiet, for_turns, on_every_kernel, on_linux, poll_once, skipped, steps,
};
use uring::buf::IoBuf;
use uring::pool::PoolSetup;

#[test]
fn a_leased_receive_yields_what_came_and_its_drop_gives_the_buffer_back() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let ((client, server), pool) = (pair().await, pool(4, 4));
            put(&client, b"hello").await;
            let bytes = server.recv_leased_from(&pool).await.expect("received");
            assert_eq!(&bytes[..], b"hello");
            assert_eq!(bytes.is_on_loan(), pool.is_registered());
            if pool.is_registered() {
                assert_eq!(pool.stats().available, 3);
            }
            drop(bytes);
            assert_full(&pool);
        });
    });
}

#[test]
fn a_buffer_is_filled_to_its_size_at_most_and_the_rest_comes_next() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let ((client, server), pool) = (pair().await, pool(2, 2));
            put(&client, b"0123456789abcdefgh").await;
            let mut received = Vec::new();
            while received.len() < 18 {
                let bytes = server.recv_leased_from(&pool).await.expect("received");
                assert!(bytes.len() <= 16);
                received.extend_from_slice(&bytes);
            }
            assert_eq!(received, b"0123456789abcdefgh");
        });
    });
}

#[test]
fn the_end_of_the_stream_is_no_bytes_and_keeps_no_buffer() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let ((client, server), pool) = (pair().await, pool(2, 2));
            put(&client, b"bye").await;
            client.shutdown(Shutdown::Write).await.expect("shut down");
            assert_eq!(&server.recv_leased_from(&pool).await.expect("received")[..], b"bye");
            for _ in 0..3 {
                let end = server.recv_leased_from(&pool).await.expect("the end");
                assert!(end.is_empty() && !end.is_on_loan());
            }
            assert_full(&pool);
        });
    });
}

#[test]
fn an_echo_sends_from_the_buffer_that_it_received_into() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let ((client, server), pool) = (pair().await, pool(2, 2));
            put(&client, b"echo").await;
            let bytes = server.recv_leased_from(&pool).await.expect("received");
            let received_at = bytes.as_ptr();
            let (_, bytes) = server.send_all(bytes).await.expect("sent");
            assert_eq!(bytes.as_ptr(), received_at);
            // A part of one is a buffer as well.
            server.send_all(bytes.slice(..2)).await.expect("sent");
            let (_, answer) = client.recv_exact(vec![0; 6]).await.expect("the answer");
            assert_eq!(answer, b"echoec");
            assert_full(&pool);
        });
    });
}

#[test]
fn a_runtime_makes_its_own_pool_when_it_is_first_used() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (client, server) = pair().await;
            assert_eq!(runtime.metrics().buf_pool, None);
            put(&client, b"x").await;
            assert_eq!(&server.recv_leased().await.expect("received")[..], b"x");
            let stats = runtime.metrics().buf_pool.expect("made");
            let limit = if cfg!(miri) { 64 } else { 2048 };
            assert_eq!((stats.available, stats.limit), (stats.buffers, limit));
        });
    });
}

#[test]
fn a_dropped_leased_receive_hands_its_bytes_to_the_next_one_of_either_kind() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let ((client, server), pool) = (pair().await, pool(4, 4));
            let mut received = Vec::new();
            for round in 0..steps(200, 10) {
                let dropped = server.recv_leased_from(&pool);
                let sent = async {
                    client.send_all([round as u8]).await.expect("sent");
                };
                let (dropped, ()) = join(for_turns(round as u32 % 4, dropped), sent).await;
                received.extend(dropped.map(|bytes| bytes.expect("received")[0]));
                if received.len() <= round {
                    if round % 2 == 0 {
                        let bytes = server.recv_leased_from(&pool).await.expect("received");
                        received.extend_from_slice(&bytes);
                    } else {
                        let (_, bytes) =
                            server.recv(Vec::with_capacity(1)).await.expect("received");
                        received.extend_from_slice(&bytes);
                    }
                }
            }
            let sent: Vec<u8> = (0..steps(200, 10)).map(|round| round as u8).collect();
            assert_eq!(received, sent);
            all_quiet(runtime).await;
            assert_full(&pool);
        });
    });
}

#[test]
fn a_dropped_plain_receive_hands_its_bytes_to_a_leased_one() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let ((client, server), pool) = (pair().await, pool(4, 4));
            let mut plain = Box::pin(server.recv(Vec::with_capacity(16)));
            assert!(poll_once(&mut plain).is_none());
            put(&client, b"first").await;
            a_while().await;
            drop(plain);
            put(&client, b"second").await;
            let mut received = Vec::new();
            while received.len() < 11 {
                received
                    .extend_from_slice(&server.recv_leased_from(&pool).await.expect("received"));
            }
            assert_eq!(received, b"firstsecond");
        });
    });
}

#[test]
fn after_many_dropped_receives_all_buffers_are_back_and_no_byte_is_missing() {
    on_linux(|runtime| {
        runtime.block_on(async {
            let ((client, server), pool) = (pair().await, pool(8, 8));
            let (done, mut next, mut rounds) = (Cell::new(false), 0u8, 0);
            let send = async {
                let mut byte = 0u8;
                while !done.get() {
                    client.send_all([byte]).await.expect("sent");
                    byte = byte.wrapping_add(1);
                    uring::task::yield_now().await;
                }
                client.shutdown(Shutdown::Write).await.expect("shut down");
            };
            let receive = async {
                loop {
                    rounds += 1;
                    done.set(rounds >= steps(100_000, 0));
                    let receive = server.recv_leased_from(&pool);
                    let received = match done.get() {
                        false => for_turns(rounds as u32 % 3, receive).await,
                        true => Some(receive.await),
                    };
                    let Some(received) = received else { continue };
                    let received = received.expect("received");
                    if received.is_empty() {
                        return;
                    }
                    for byte in received.iter() {
                        assert_eq!(*byte, next);
                        next = next.wrapping_add(1);
                    }
                }
            };
            join(send, receive).await;
            all_quiet(runtime).await;
            assert_full(&pool);
        });
    });
}

#[test]
fn a_stream_of_bytes_that_nobody_reads_for_a_thousand_buffers_goes_on_without_an_error() {
    on_linux(|runtime| {
        runtime.block_on(async {
            let ((client, server), pool) = (pair().await, pool(2048, 2048));
            let mut incoming = server.incoming_bytes_from(&pool);
            assert!(poll_once(&mut incoming.next()).is_none());
            let sent: Vec<u8> = (0..1200 * 16).map(|at| (at / 16) as u8).collect();
            client.send_all(sent.clone()).await.expect("sent");
            client.shutdown(Shutdown::Write).await.expect("shut down");
            a_while().await;
            let mut received = Vec::new();
            while let Some(bytes) = incoming.next().await {
                received.extend_from_slice(&bytes.expect("received"));
            }
            assert!(received == sent, "the stream is what was sent");
            drop(incoming);
            assert_full(&pool);
        });
    });
}

#[test]
fn a_lease_outlives_stream_pool_and_runtime() {
    on_every_kernel(|_, on| {
        let runtime = on.runtime();
        let bytes = runtime.block_on(async {
            let ((client, server), pool) = (pair().await, pool(2, 2));
            put(&client, b"outlives").await;
            server.recv_leased_from(&pool).await.expect("received")
        });
        drop(runtime);
        assert_eq!(&bytes[..], b"outlives");
    });
}

#[test]
fn a_pool_outlives_its_runtime_and_is_refused_by_another() {
    on_every_kernel(|runtime, on| {
        let other = on.runtime();
        let pool = other.block_on(async { pool(2, 2) });
        if pool.is_registered() {
            runtime.block_on(async {
                let (_client, server) = pair().await;
                let refused = server.recv_leased_from(&pool).await.expect_err("a stranger");
                assert_eq!(refused.raw_os_error(), Some(libc::EINVAL));
            });
        }
        drop(other);
        drop(pool);
    });
}

#[test]
fn connections_that_wait_have_no_buffer() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let pool = pool(2, 2);
            let pairs = join_all((0..8).map(|_| pair())).await;
            let mut waiting: Vec<_> =
                pairs.iter().map(|(_, server)| server.incoming_bytes_from(&pool)).collect();
            for incoming in &mut waiting {
                assert!(incoming.next().now_or_never().is_none());
            }
            a_while().await;
            assert_full(&pool);
            for (incoming, (client, _)) in waiting.iter_mut().zip(&pairs) {
                put(client, b"awake").await;
                let bytes = incoming.next().await.expect("not the end").expect("received");
                assert_eq!(&bytes[..], b"awake");
            }
        });
    });
}

#[test]
fn what_a_dropped_stream_of_bytes_had_received_goes_to_the_next_receive_in_order() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let ((client, server), pool) = (pair().await, pool(4, 4));
            put(&client, b"0123456789abcdef").await;
            let mut incoming = server.incoming_bytes_from(&pool);
            let first = incoming.next().await.expect("not the end").expect("received");
            let mut received = first.to_vec();
            put(&client, b"ghijklmnopqrstuvwxyz").await;
            a_while().await;
            drop((incoming, first));
            while received.len() < 36 {
                let (_, bytes) = server.recv(Vec::with_capacity(5)).await.expect("received");
                received.extend_from_slice(&bytes);
            }
            assert_eq!(received, b"0123456789abcdefghijklmnopqrstuvwxyz");
            all_quiet(runtime).await;
            assert_full(&pool);
        });
    });
}

#[test]
fn a_reset_is_an_error_once_and_then_the_stream_of_bytes_has_ended() {
    on_linux(|runtime| {
        runtime.block_on(async {
            let ((client, server), pool) = (pair().await, pool(4, 4));
            let mut incoming = server.incoming_bytes_from(&pool);
            assert!(incoming.next().now_or_never().is_none());
            // Closing with something unread resets the connection.
            put(&server, b"unread").await;
            a_while().await;
            drop(client);
            let reset = incoming.next().await.expect("not the end").expect_err("reset");
            assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
            assert!(incoming.next().await.is_none());
            assert_full(&pool);
        });
    });
}

#[test]
fn buffers_of_two_gibibytes_are_received_into_by_either_receive() {
    on_linux(|runtime| {
        runtime.block_on(async {
            let setup = PoolSetup::new().buffer_bytes(1 << 31).at_first(1).limit(1);
            let Ok(pool) = setup.build() else {
                return skipped("there is no address space for such a buffer");
            };
            let (client, server) = pair().await;
            put(&client, b"one").await;
            assert_eq!(&server.recv_leased_from(&pool).await.expect("received")[..], b"one");
            put(&client, b"many").await;
            let mut incoming = server.incoming_bytes_from(&pool);
            assert_eq!(&incoming.next().await.expect("bytes").expect("received")[..], b"many");
        });
    });
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            for setup in [
                PoolSetup::new().buffer_bytes(0),
                PoolSetup::new().limit(0),
                PoolSetup::new().limit(32_769),
            ] {
                let refused = setup.build().expect_err("nonsense");
                assert_eq!(refused.kind(), ErrorKind::InvalidInput);
            }
        });
    });
}

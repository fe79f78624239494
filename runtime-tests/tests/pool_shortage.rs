//! Pools that have run short of buffers: how they grow, who waits for one to come back, and who gets it.

use std::cell::Cell;
use std::net::Shutdown;
use std::rc::Rc;

use futures::StreamExt;
use futures::future::{join, join_all};
use runtime_tests::net::pair;
use runtime_tests::pool::{assert_full, pool, put};
use runtime_tests::{a_while, for_turns, on_every_kernel, on_linux, poll_once, steps};
use uring::net::TcpStream;
use uring::pool::{BufPool, Leased};

/// A pool whose only buffer is on loan, and connections with data to be received by it.
struct OnLoan {
    pool: BufPool,
    lease: Leased,
    pairs: Vec<(TcpStream, TcpStream)>,
}

/// Two connections that need a buffer; none where the heap has as many as are wanted.
async fn one_buffer_on_loan() -> Option<OnLoan> {
    let pool = pool(1, 1);
    if !pool.is_registered() {
        return None;
    }
    let (client, server) = pair().await;
    put(&client, b"data").await;
    let lease = server.recv_leased_from(&pool).await.expect("received");
    let pairs = join_all((0..2).map(|_| pair())).await;
    for (client, _) in &pairs {
        put(client, b"data").await;
    }
    Some(OnLoan { pool, lease, pairs })
}

#[test]
fn a_pool_grows_to_its_limit_and_then_receives_wait_for_a_return() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let ((client, server), pool) = (pair().await, pool(1, 4));
            if !pool.is_registered() {
                return;
            }
            put(&client, &[7; 16 * 5]).await;
            let mut leases = Vec::new();
            for count in 1..=4 {
                leases.push(server.recv_leased_from(&pool).await.expect("received"));
                assert!(pool.stats().buffers >= count);
            }
            assert_eq!((pool.stats().buffers, pool.stats().shortages), (4, 2));
            let mut waits = Box::pin(server.recv_leased_from(&pool));
            assert!(for_turns(20, &mut waits).await.is_none(), "there is no buffer");
            drop(leases.remove(1));
            assert_eq!(&waits.await.expect("received")[..], [7; 16]);
            drop(leases);
            assert_full(&pool);
        });
    });
}

#[test]
fn of_hundreds_of_connections_with_data_at_once_few_have_a_buffer_at_a_time() {
    on_linux(|runtime| {
        runtime.block_on(async {
            let (pool, out, most_out) = (pool(512, 512), Rc::default(), Rc::default());
            let pairs = join_all((0..400).map(|_| pair())).await;
            for (client, _) in &pairs {
                put(client, b"data").await;
            }
            let echo = |(client, server): (TcpStream, TcpStream)| {
                let pool = pool.clone();
                let (out, most_out): (Rc<Cell<u32>>, Rc<Cell<u32>>) =
                    (Rc::clone(&out), Rc::clone(&most_out));
                uring::spawn(async move {
                    let bytes = server.recv_leased_from(&pool).await.expect("received");
                    out.set(out.get() + 1);
                    most_out.set(most_out.get().max(out.get()));
                    drop(server.send_all(bytes).await.expect("sent"));
                    out.set(out.get() - 1);
                    drop(client);
                })
            };
            for task in join_all(pairs.into_iter().map(echo)).await {
                task.expect("it does not panic");
            }
            // A turn polls 64 tasks: those of the last turn, whose sends are done, are polled before others.
            assert!(most_out.get() <= 128, "{} at a time", most_out.get());
            assert_full(&pool);
        });
    });
}

#[test]
fn ten_thousand_messages_pass_through_a_pool_of_one_buffer() {
    on_every_kernel(|runtime, on| {
        runtime.block_on(async {
            let ((client, server), pool) = (pair().await, pool(1, 1));
            let messages = if on.is_linux() { 10_000 } else { steps(1000, 30) };
            let send = async {
                for number in 0..messages as u32 {
                    client.send_all(number.to_le_bytes()).await.expect("sent");
                }
                client.shutdown(Shutdown::Write).await.expect("shut down");
            };
            let receive = async {
                let mut received = Vec::new();
                let mut incoming = server.incoming_bytes_from(&pool);
                while let Some(bytes) = incoming.next().await {
                    // Kept for a while, so that more comes when no buffer is there.
                    let bytes = bytes.expect("received");
                    if received.len() % 3 == 0 {
                        uring::task::yield_now().await;
                    }
                    received.extend_from_slice(&bytes);
                }
                received
            };
            let ((), received) = join(send, receive).await;
            let sent: Vec<u8> = (0..messages as u32).flat_map(u32::to_le_bytes).collect();
            assert!(received == sent, "the stream is what was sent");
            assert_full(&pool);
            if pool.is_registered() {
                assert!(pool.stats().shortages > 0, "it ran short, and went on");
            }
        });
    });
}

#[test]
fn connections_share_one_buffer_and_each_is_served() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let pool = pool(1, 1);
            let pairs = join_all((0..steps(20, 4)).map(|_| pair())).await;
            let clients = join_all(pairs.iter().map(async |(client, server)| {
                for _ in 0..steps(10, 3) {
                    put(client, b"a message").await;
                    // What a server has received is kept over a turn.
                    let (_, answer) = client.recv_exact(vec![0; 9]).await.expect("an answer");
                    assert_eq!(answer, b"a message");
                }
                client.shutdown(Shutdown::Write).await.expect("shut down");
                let _ = server;
            }));
            let serve = async |number: usize, server: &TcpStream| {
                if number % 2 == 0 {
                    let mut incoming = server.incoming_bytes_from(&pool);
                    while let Some(bytes) = incoming.next().await {
                        server.send_all(bytes.expect("received")).await.expect("sent");
                    }
                } else {
                    loop {
                        let bytes = server.recv_leased_from(&pool).await.expect("received");
                        if bytes.is_empty() {
                            return;
                        }
                        server.send_all(bytes).await.expect("sent");
                    }
                }
            };
            // In boxes: Stacked Borrows, as Miri has it, knows no shared reference to a future that refers to
            // itself, and `join_all` makes some.
            let servers = pairs.iter().enumerate();
            let servers =
                join_all(servers.map(|(number, (_, server))| Box::pin(serve(number, server))));
            join(clients, servers).await;
            assert_full(&pool);
        });
    });
}

#[test]
fn a_receive_that_was_woken_for_a_buffer_and_dropped_lets_the_next_one_have_it() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let Some(OnLoan { pool, lease, pairs }) = one_buffer_on_loan().await else { return };
            let mut second = Box::pin(pairs[0].1.recv_leased_from(&pool));
            let mut third = Box::pin(pairs[1].1.recv_leased_from(&pool));
            assert!(for_turns(20, &mut second).await.is_none());
            assert!(for_turns(20, &mut third).await.is_none());
            drop(lease);
            drop(second);
            assert_eq!(&third.await.expect("received")[..], b"data");
            assert_eq!(&pairs[0].1.recv_leased_from(&pool).await.expect("received")[..], b"data");
        });
    });
}

#[test]
fn a_receive_that_was_woken_for_a_buffer_and_finds_no_data_lets_the_next_one_have_it() {
    on_linux(|runtime| {
        runtime.block_on(async {
            let Some(OnLoan { pool, lease, pairs }) = one_buffer_on_loan().await else { return };
            let mut second = Box::pin(pairs[0].1.recv_leased_from(&pool));
            let third = Box::pin(pairs[1].1.recv_leased_from(&pool));
            assert!(for_turns(20, &mut second).await.is_none());
            // Somebody else takes what the second one waits with.
            let twin = std::os::fd::AsFd::as_fd(&pairs[0].1).try_clone_to_owned().expect("a twin");
            let mut twin = std::net::TcpStream::from(twin);
            let read = std::io::Read::read(&mut twin, &mut [0; 8]).expect("read");
            assert_eq!(read, 4);
            let first = async {
                a_while().await;
                drop(lease);
            };
            let third = async { assert_eq!(&third.await.expect("received")[..], b"data") };
            let both = Box::pin(join(first, third));
            let futures::future::Either::Right((_, second)) =
                futures::future::select(second, both).await
            else {
                panic!("the second one has no data");
            };
            put(&pairs[0].0, b"more").await;
            assert_eq!(&second.await.expect("received")[..], b"more");
            assert_full(&pool);
        });
    });
}

#[test]
fn a_receive_that_was_woken_for_a_buffer_and_waits_for_its_socket_lets_the_next_one_have_it() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let Some(OnLoan { pool, lease, pairs }) = one_buffer_on_loan().await else { return };
            let (client, server) = pair().await;
            let mut woken = Box::pin(server.recv_leased_from(&pool));
            assert!(for_turns(20, &mut woken).await.is_none());
            let mut on_its_socket = Box::pin(server.recv(vec![0; 16]));
            assert!(for_turns(20, &mut on_its_socket).await.is_none());
            let mut next = Box::pin(pairs[0].1.recv_leased_from(&pool));
            assert!(for_turns(20, &mut next).await.is_none());
            drop(lease);
            assert!(for_turns(20, &mut woken).await.is_none());
            assert_eq!(&next.await.expect("received")[..], b"data");
            put(&client, b"more").await;
            assert_eq!(on_its_socket.await.expect("received").0, 4);
        });
    });
}

#[test]
fn a_stream_of_bytes_that_was_woken_for_a_buffer_and_finds_late_bytes_lets_the_next_one_have_it() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let Some(OnLoan { pool, lease, pairs }) = one_buffer_on_loan().await else { return };
            let (client, server) = pair().await;
            let mut incoming = server.incoming_bytes_from(&pool);
            assert!(for_turns(20, incoming.next()).await.is_none());
            let mut plain = Box::pin(server.recv(vec![0; 16]));
            assert!(poll_once(&mut plain).is_none());
            put(&client, b"late").await;
            a_while().await;
            drop(plain);
            let mut next = Box::pin(pairs[0].1.recv_leased_from(&pool));
            assert!(for_turns(20, &mut next).await.is_none());
            drop(lease);
            assert_eq!(&incoming.next().await.expect("bytes").expect("received")[..], b"late");
            assert_eq!(&next.await.expect("received")[..], b"data");
        });
    });
}

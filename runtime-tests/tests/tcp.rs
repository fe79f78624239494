//! TCP connections: what is sent arrives, whatever is dropped in between, and failures say what they are about.

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::pin::pin;
use std::rc::Rc;

use futures::future::join;
use runtime_tests::net::pair;
use runtime_tests::{for_turns, on_every_kernel, on_linux, steps};
use uring::buf::IoBuf;
use uring::io::raw_os_error;
use uring::net::{TcpListener, TcpStream};
use uring::task::yield_now;

/// How many receives the tests of dropping drop. Miri is slow.
const DROPS: u32 = if cfg!(miri) { 30 } else { 1000 };

/// An address where nobody listens.
async fn deserted() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.expect("bound").local_addr().expect("an address")
}

/// The next of a sequence that looks random and is not.
fn draw(from: &mut u32, below: u32) -> u32 {
    *from = from.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    (*from >> 8) % below
}

#[test]
fn what_one_side_sends_the_other_receives() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (client, server) = pair().await;
            client.set_nodelay(true).expect("an option of TCP");
            assert!(client.nodelay().expect("an option of TCP"));
            for round in 0..steps(50, 8) as u32 {
                client.send_all(round.to_be_bytes()).await.expect("sent");
                let (_, question) = server.recv_exact([0; 4]).await.expect("received");
                server.send_all(question).await.expect("sent");
                let (n, answer) = client.recv_exact(Vec::with_capacity(4)).await.expect("received");
                assert_eq!((n, &answer[..]), (4, &round.to_be_bytes()[..]));
            }
        });
    });
}

#[test]
fn addresses_of_both_sides_agree() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (client, server) = pair().await;
            assert_eq!(client.local_addr().expect("bound"), server.peer_addr().expect("there"));
            assert_eq!(client.peer_addr().expect("there"), server.local_addr().expect("bound"));
        });
    });
}

#[test]
fn recv_exact_gathers_what_comes_in_pieces_and_no_more() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (client, server) = pair().await;
            let sending = async {
                for piece in ["one ", "piece ", "after another", "; the rest"] {
                    client.send_all(piece).await.expect("sent");
                    yield_now().await;
                    yield_now().await;
                }
            };
            // Stale bytes and spare capacity: neither counts.
            let mut buf = b"stale".to_vec();
            buf.reserve(100);
            let (received, ()) = join(server.recv_exact(buf.slice(..23)), sending).await;
            let (n, part) = received.expect("received");
            assert_eq!((n, &part.into_buf()[..]), (23, &b"one piece after another"[..]));
            let (_, rest) = server.recv_exact([0; 10]).await.expect("received");
            assert_eq!(&rest, b"; the rest");
        });
    });
}

#[test]
fn recv_exact_at_the_end_of_the_stream_says_so_and_gives_back_what_came() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (client, server) = pair().await;
            client.send_all("abc").await.expect("sent");
            client.shutdown(Shutdown::Write).await.expect("connected");
            let mut buf = b"something longer".to_vec();
            buf.reserve_exact(0);
            let failed = server.recv_exact(buf).await.expect_err("ended");
            assert_eq!(failed.error().kind(), ErrorKind::UnexpectedEof);
            assert_eq!(failed.into_buf(), b"abc");
        });
    });
}

#[test]
fn a_dropped_recv_loses_no_byte_and_keeps_the_order() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (client, server) = pair().await;
            let enough = Rc::new(Cell::new(false));
            let sending = uring::spawn(send_counting(client, Rc::clone(&enough)));
            let (mut received, mut dropped, mut random) = (0u32, 0, 7);
            loop {
                enough.set(dropped >= DROPS);
                let size = 1 + draw(&mut random, 300) as usize;
                let turns = if enough.get() { u32::MAX } else { draw(&mut random, 4) };
                let outcome = if draw(&mut random, 2) == 0 {
                    let outcome = for_turns(turns, server.recv(vec![0; size])).await;
                    outcome.map(|received| received.expect("received").1)
                } else {
                    let outcome = for_turns(turns, server.recv_exact(vec![0; size])).await;
                    outcome.map(|received| match received {
                        Ok((_, bytes)) => bytes,
                        // The stream may end in the middle of it.
                        Err(failed) => {
                            assert_eq!(failed.error().kind(), ErrorKind::UnexpectedEof);
                            failed.into_buf()
                        }
                    })
                };
                match outcome {
                    None => dropped += 1,
                    Some(bytes) if bytes.is_empty() => {
                        assert!(enough.get(), "the end comes when it is enough");
                        break;
                    }
                    Some(bytes) => {
                        for byte in bytes {
                            assert_eq!(byte, received as u8, "byte {received}");
                            received += 1;
                        }
                    }
                }
            }
            assert_eq!(received, sending.await.expect("no panic"));
        });
    });
}

/// Sends 0, 1, 2, … in uneven pieces until told that it is enough; returns how many bytes that were.
async fn send_counting(stream: TcpStream, enough: Rc<Cell<bool>>) -> u32 {
    let (mut sent, mut random) = (0u32, 3);
    while !enough.get() {
        let piece = 1 + draw(&mut random, 100);
        let bytes: Vec<u8> = (sent..sent + piece).map(|n| n as u8).collect();
        stream.send_all(bytes).await.expect("sent");
        sent += piece;
        for _ in 0..draw(&mut random, 5) {
            yield_now().await;
        }
    }
    sent
}

#[test]
fn an_error_that_came_for_a_dropped_recv_goes_to_the_next_one() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (client, server) = pair().await;
            {
                let mut receiving = pin!(client.recv([0; 1]));
                assert!(futures::poll!(receiving.as_mut()).is_pending());
                // Closing with bytes unread resets the connection. (RFC 2525, 2.17)
                client.send_all("unread").await.expect("sent");
                for _ in 0..20 {
                    yield_now().await;
                }
                drop(server);
                for _ in 0..20 {
                    yield_now().await;
                }
            }
            let failed = client.recv([0; 1]).await.expect_err("reset");
            assert_eq!(failed.raw_os_error(), Some(libc::ECONNRESET));
        });
    });
}

#[test]
fn a_send_to_a_peer_that_is_gone_is_an_error_and_gives_the_buffer_back() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (client, server) = pair().await;
            drop(server);
            // The first one may be taken before the peer's answer says that nobody is there.
            let failed = loop {
                if let Err(failed) = client.send_all(vec![1; 1000]).await {
                    break failed;
                }
            };
            assert!(matches!(failed.raw_os_error(), Some(libc::EPIPE | libc::ECONNRESET)));
            assert_eq!(failed.into_buf(), [1; 1000]);
        });
    });
}

#[test]
fn send_all_waits_for_a_reader_that_takes_little_at_a_time() {
    const TOTAL: usize = if cfg!(miri) { 64 << 10 } else { 1 << 20 };
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (client, server) = pair().await;
            let bytes: Vec<u8> = (0..TOTAL).map(|n| (n % 251) as u8).collect();
            let sending = client.send_all(bytes.clone());
            let reading = async {
                let (mut all, mut buf) = (Vec::new(), Vec::with_capacity(5000));
                while all.len() < TOTAL {
                    (_, buf) = server.recv(buf).await.expect("received");
                    all.extend_from_slice(&buf);
                    yield_now().await;
                }
                all
            };
            let (sent, received) = join(sending, reading).await;
            assert_eq!(sent.expect("sent").0, TOTAL);
            assert!(received == bytes, "what was received is what was sent");
        });
    });
}

#[test]
fn what_is_sent_after_a_dropped_send_follows_a_front_part_of_it() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (client, server) = pair().await;
            // More than the kernel takes while nobody reads.
            let sent = if cfg!(miri) { 1 << 18 } else { 8 << 20 };
            assert!(for_turns(2, client.send_all(vec![b'a'; sent])).await.is_none());
            let sending = async {
                client.send_all("END").await.expect("sent");
                client.shutdown(Shutdown::Write).await.expect("connected");
            };
            let reading = async {
                let mut server = &server;
                uring::io::Read::read_to_end(&mut server, Vec::new()).await.expect("received").1
            };
            let ((), all) = join(sending, reading).await;
            let (front, end) = all.split_at(all.len() - 3);
            assert_eq!(end, b"END");
            assert!(front.len() < sent && front == vec![b'a'; front.len()]);
        });
    });
}

#[test]
fn one_task_receives_while_another_sends_on_the_same_stream() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (client, server) = pair().await;
            let client = Rc::new(client);
            let receiver = Rc::clone(&client);
            let receiving =
                uring::spawn(async move { receiver.recv_exact([0; 5]).await.expect("received").1 });
            yield_now().await;
            let sender = Rc::clone(&client);
            let sending = uring::spawn(async move {
                sender.send_all("hello").await.expect("sent");
            });
            sending.await.expect("no panic");
            let (_, heard) = server.recv_exact([0; 5]).await.expect("received");
            server.send_all(heard).await.expect("sent");
            assert_eq!(&receiving.await.expect("no panic"), b"hello");
        });
    });
}

#[test]
fn after_a_shutdown_of_sending_the_peer_receives_the_end_behind_what_was_sent() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (client, server) = pair().await;
            client.send_all("last words").await.expect("sent");
            client.shutdown(Shutdown::Write).await.expect("connected");
            let (_, words) = server.recv_exact([0; 10]).await.expect("received");
            assert_eq!(&words, b"last words");
            assert_eq!(server.recv([0; 1]).await.expect("the end").0, 0);
            server.send_all("answer").await.expect("the other direction is open");
            assert_eq!(&client.recv_exact([0; 6]).await.expect("received").1, b"answer");
        });
    });
}

#[test]
fn close_ends_though_a_dropped_recv_is_still_in_flight_and_the_peer_receives_the_end() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (client, server) = pair().await;
            assert!(for_turns(2, client.recv([0; 8])).await.is_none());
            client.close().await.expect("closed");
            assert_eq!(server.recv([0; 8]).await.expect("the end").0, 0);
        });
    });
}

/// `req_15`
#[test]
#[cfg_attr(miri, ignore = "leaks on purpose")]
fn close_ends_though_a_recv_was_forgotten_and_the_peer_receives_the_end() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (client, server) = pair().await;
            let mut forgotten = Box::pin(client.recv([0; 8]));
            assert!(runtime_tests::poll_once(&mut forgotten).is_none());
            yield_now().await;
            std::mem::forget(forgotten);
            client.close().await.expect("closed");
            assert_eq!(server.recv([0; 8]).await.expect("the end").0, 0);
        });
    });
}

/// `req_15`
#[test]
fn a_task_that_shuts_a_shared_stream_down_ends_the_receive_of_another_and_the_peer_receives_the_end()
 {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (client, server) = pair().await;
            let client = Rc::new(client);
            let shared = Rc::clone(&client);
            let reader = uring::spawn(async move { shared.recv([0; 8]).await.map(|(n, _)| n) });
            yield_now().await;
            client.shutdown(Shutdown::Both).await.expect("shut down");
            assert_eq!(reader.await.expect("a task").expect("the end"), 0);
            assert_eq!(server.recv([0; 8]).await.expect("the end").0, 0);
        });
    });
}

#[test]
fn a_stream_that_is_dropped_with_a_recv_in_flight_closes() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (client, server) = pair().await;
            assert!(for_turns(2, client.recv([0; 8])).await.is_none());
            drop(client);
            assert_eq!(server.recv([0; 8]).await.expect("the end").0, 0);
        });
    });
}

#[test]
fn a_refused_connection_names_its_address() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let address = deserted().await;
            let error = TcpStream::connect(address).await.expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            assert_eq!(raw_os_error(&error), Some(libc::ECONNREFUSED));
            assert!(error.to_string().starts_with(&format!("connect {address}: ")), "{error}");
        });
    });
}

#[test]
fn connect_tries_each_address() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let nobody = deserted().await;
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
            let somebody = listener.local_addr().expect("an address");
            let stream = TcpStream::connect(&[nobody, somebody][..]).await.expect("connected");
            assert_eq!(stream.peer_addr().expect("there"), somebody);
            let error = TcpStream::connect(&[] as &[SocketAddr]).await.expect_err("nowhere");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        });
    });
}

#[test]
fn names_are_looked_up_and_one_that_does_not_exist_is_an_error_that_names_it() {
    on_linux(|runtime| {
        runtime.block_on(async {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("bound");
            let port = listener.local_addr().expect("an address").port();
            TcpStream::connect(("localhost", port)).await.expect("connected");
            let error = TcpStream::connect("no.such.host.invalid:1").await.expect_err("unknown");
            assert!(error.to_string().contains("no.such.host.invalid"), "{error}");
        });
    });
}

#[test]
fn a_connection_that_is_not_wanted_any_more_is_given_up() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
            let address = listener.local_addr().expect("an address");
            for turns in 0..20 {
                for_turns(turns % 5, TcpStream::connect(address)).await;
            }
            let last = TcpStream::connect(address).await.expect("connected");
            let here = last.local_addr().expect("bound");
            while listener.accept().await.expect("accepted").1 != here {}
        });
    });
}

#[test]
fn streams_of_std_become_ours_even_non_blocking_ones_and_go_back() {
    on_linux(|runtime| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let client = std::net::TcpStream::connect(listener.local_addr().expect("an address"));
        let mut client = client.expect("connected");
        let (server, _) = listener.accept().expect("accepted");
        server.set_nonblocking(true).expect("an option");
        runtime.block_on(async {
            let server = TcpStream::from(server);
            assert!(for_turns(3, server.recv([0; 2])).await.is_none(), "it waits");
            client.write_all(b"late").expect("sent");
            let server = std::net::TcpStream::try_from(server).expect_err("a recv is in flight");
            let (_, start) = server.recv_exact([0; 2]).await.expect("received");
            assert_eq!(&start, b"la");
            let mut server = std::net::TcpStream::try_from(server).expect("nobody else uses it");
            let mut rest = [0; 2];
            server.read_exact(&mut rest).expect("received");
            assert_eq!(&rest, b"te");
        });
    });
}

#[test]
fn a_stream_with_late_bytes_does_not_become_one_of_std() {
    on_every_kernel(|runtime, on| {
        runtime.block_on(async {
            let (client, server) = pair().await;
            {
                let mut receiving = pin!(server.recv([0; 5]));
                assert!(futures::poll!(receiving.as_mut()).is_pending());
                client.send_all("bytes").await.expect("sent");
                for _ in 0..50 {
                    yield_now().await;
                }
            }
            let server = std::net::TcpStream::try_from(server).expect_err("bytes wait in it");
            assert_eq!(&server.recv_exact([0; 5]).await.expect("received").1, b"bytes");
            let back = std::net::TcpStream::try_from(server);
            assert_eq!(back.is_ok(), on.is_linux(), "a simulated stream is none of std's");
        });
    });
}

//! Sends without a copy: the result comes first, the buffer when the kernel is done with it.

use futures::FutureExt;
use futures::future::join;
use runtime_tests::net::pair;
use runtime_tests::{Ledger, NotedBuf, all_quiet, on_every_kernel, on_linux, one_turn, skipped};
use uring::Runtime;
use uring::net::TcpStream;
use uring::op::Returned;
use uring::task::yield_now;

/// Runs a test where the kernel sends without a copy, on the two ends of a connection.
fn where_it_is_known(runtime: &Runtime, test: impl AsyncFn(TcpStream, TcpStream)) {
    runtime.block_on(async {
        let (client, server) = pair().await;
        match client.send_zc(b"?").await {
            Err(error) if error.error().kind() == std::io::ErrorKind::Unsupported => {
                return skipped(error.error());
            }
            sent => _ = sent.expect("sent").1.await,
        }
        server.recv_exact([0; 1]).await.expect("received");
        test(client, server).await;
    });
}

#[test]
fn a_zero_copy_send_sends_all_and_its_buffer_comes_back() {
    on_every_kernel(|runtime, _| {
        where_it_is_known(runtime, async |client, server| {
            let bytes: Vec<u8> = (0..40_000u32).map(|n| n as u8).collect();
            let send = async {
                let (sent, returning) = client.send_zc(bytes.clone()).await.expect("sent");
                (sent, returning.await.buf)
            };
            let receive = server.recv_exact(Vec::with_capacity(bytes.len()));
            let ((sent, returned), received) = join(send, receive).await;
            assert_eq!(sent, bytes.len());
            assert!(returned == bytes && received.expect("received").1 == bytes);
        });
    });
}

#[test]
fn what_is_sent_behind_it_neither_waits_for_the_buffer_nor_overtakes() {
    on_every_kernel(|runtime, _| {
        where_it_is_known(runtime, async |client, server| {
            let mut returning = Vec::new();
            for number in 0..10u8 {
                let (_, back) = client.send_zc(vec![number; 10]).await.expect("sent");
                returning.push(back);
                client.send_all(vec![number + 100; 10]).await.expect("sent");
            }
            let (_, received) = server.recv_exact(Vec::with_capacity(200)).await.expect("received");
            let wanted: Vec<u8> =
                (0..10).flat_map(|number| [[number; 10], [number + 100; 10]].concat()).collect();
            assert_eq!(received, wanted);
            for (number, back) in returning.into_iter().enumerate() {
                let Returned { buf, .. } = back.await;
                assert_eq!(buf, [number as u8; 10]);
            }
        });
    });
}

#[test]
fn a_buffer_nobody_waits_for_is_freed_when_it_is_back_and_nothing_is_cancelled() {
    on_every_kernel(|runtime, _| {
        where_it_is_known(runtime, async |client, server| {
            let ledger = Ledger::new();
            let buf = NotedBuf::new(100, &ledger, "freed");
            let (sent, returning) = client.send_zc(buf).await.expect("sent");
            drop(returning);
            let (_, received) =
                server.recv_exact(Vec::with_capacity(sent)).await.expect("received");
            assert_eq!(received.len(), 100);
            all_quiet(runtime).await;
            assert_eq!(ledger.events(), ["freed"]);
        });
    });
}

#[test]
fn a_dropped_zero_copy_send_keeps_its_buffer_and_its_turn_until_it_is_done() {
    on_every_kernel(|runtime, _| {
        where_it_is_known(runtime, async |client, server| {
            let ledger = Ledger::new();
            for turns in 0..4 {
                let buf = NotedBuf::new(50, &ledger, "freed");
                let mut send = Box::pin(client.send_zc(buf));
                let done = (&mut send).now_or_never();
                for _ in 0..turns {
                    yield_now().await;
                }
                drop((send, done));
                client.send_all([7; 10]).await.expect("sent");
                // All or nothing of the dropped one, and then this one.
                let mut received = Vec::new();
                while received.last() != Some(&7) || received.len() % 50 != 10 {
                    let (n, more) = server.recv(Vec::with_capacity(60)).await.expect("received");
                    assert!(n > 0);
                    received.extend_from_slice(&more);
                }
                assert!(received.len() == 10 || received.len() == 60, "{}", received.len());
            }
            all_quiet(runtime).await;
            assert_eq!(ledger.events(), ["freed"; 4]);
        });
    });
}

#[test]
fn a_copy_made_after_all_is_told_and_counted() {
    on_linux(|runtime| {
        where_it_is_known(runtime, async |client, server| {
            let before = runtime.metrics().zero_copy_copied;
            let (sent, returning) = client.send_zc(vec![1; 1000]).await.expect("sent");
            server.recv_exact(Vec::with_capacity(sent)).await.expect("received");
            let returned = returning.await;
            if returned.copied.is_none() {
                return skipped("the kernel says so since Linux 6.2");
            }
            assert_eq!(returned.copied, Some(true), "the loopback interface copies");
            assert_eq!(runtime.metrics().zero_copy_copied, before + 1);
        });
    });
}

#[test]
fn a_failed_zero_copy_send_gives_the_buffer_back_and_lets_the_next_one_go() {
    on_linux(|runtime| {
        where_it_is_known(runtime, async |client, server| {
            drop(server);
            let failed = loop {
                match client.send_zc(vec![9; 10]).await {
                    Ok((_, returning)) => drop(returning.await),
                    Err(failed) => break failed,
                }
                one_turn().await;
            };
            let gone = failed.raw_os_error();
            assert!(matches!(gone, Some(libc::EPIPE | libc::ECONNRESET)), "{gone:?}");
            assert_eq!(failed.into_buf(), [9; 10]);
            assert!(client.send_all("again").await.is_err());
        });
    });
}

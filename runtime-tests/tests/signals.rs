//! A signal every millisecond, handled without `SA_RESTART`: nobody hears of it, nothing is lost. `req_24`
//!
//! The whole suite runs so with the variable `URING_SIGALRM`; here is what does in any case.
#![cfg(not(miri))]

use std::time::{Duration, Instant};

use runtime_tests::{On, Watchdog, alarm, all_quiet, put, scale, steps};
use uring::net::{TcpListener, TcpStream};
use uring::op;
use uring::time::sleep;

fn interrupted(test: impl Fn(&uring::Runtime, &On)) {
    let _watchdog = Watchdog::new(Duration::from_secs(120) * scale());
    alarm::every_millisecond();
    for rung in 0..6 {
        let on = On::Linux { rung };
        let runtime = on.runtime();
        let before = alarm::signals();
        while alarm::signals() < before + 20 {
            test(&runtime, &on);
        }
        assert_eq!(runtime.metrics().strange_completions, 0);
        assert_eq!(runtime.shutdown().leaked, 0);
    }
}

#[test]
fn a_sleep_lasts_its_time_though_signals_end_the_wait() {
    interrupted(|runtime, _| {
        let start = Instant::now();
        runtime.block_on(sleep(Duration::from_millis(7)));
        assert!(start.elapsed() >= Duration::from_millis(7));
    });
}

#[test]
fn a_read_that_waits_through_signals_yields_what_is_written() {
    interrupted(|runtime, on| {
        let (reader, writer) = on.pipe();
        runtime.block_on(async {
            let read = op::submit(op::Read { fd: reader, offset: None, buf: vec![0; 8] });
            sleep(Duration::from_millis(5)).await;
            put(&writer, b"late").await;
            let (count, buf) = read.await.expect("a read that no signal ended");
            assert_eq!(&buf[..count], b"late");
        });
    });
}

#[test]
fn a_stream_carries_every_byte_through_signals() {
    interrupted(|runtime, _| {
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
            let address = listener.local_addr().expect("an address");
            let client = TcpStream::connect(address).await.expect("a connection");
            let (server, _) = listener.accept().await.expect("a connection");
            let len_bytes = steps(1 << 20, 1 << 12);
            let sender = uring::spawn(async move {
                let bytes: Vec<u8> = (0..len_bytes).map(|at| at as u8).collect();
                client.send_all(bytes).await.expect("sent").0
            });
            let (count, bytes) =
                server.recv_exact(vec![0; len_bytes]).await.expect("no signal was told");
            assert_eq!((count, sender.await.expect("a task")), (len_bytes, len_bytes));
            assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == at as u8));
        });
    });
}

#[test]
fn teardown_waits_through_signals() {
    interrupted(|runtime, on| {
        let (reader, _writer) = on.pipe();
        runtime.block_on(async {
            for _ in 0..10 {
                let read = op::Read { fd: reader.clone(), offset: None, buf: vec![0; 8] };
                drop(op::submit(read));
            }
            all_quiet(runtime).await;
        });
    });
}

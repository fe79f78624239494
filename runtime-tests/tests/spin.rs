//! A loop that spins before it sleeps. The limits here are hours: what the loop does not notice while it spins,
//! it does not notice at all.
#![cfg(not(miri))]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use futures::channel::oneshot;
use runtime_tests::Watchdog;
use uring::Runtime;

const HOUR: Duration = Duration::from_secs(3600);
const LIMIT: Duration = Duration::from_secs(120);

fn spinning() -> Runtime {
    Runtime::builder().spin_limit(HOUR).build().expect("a runtime")
}

/// Sleeps so many times; how often the loop entered the kernel for that.
fn enters_of_sleeps(runtime: &Runtime, count: u64) -> u64 {
    let sleep = || uring::time::sleep(Duration::from_millis(1));
    // The first turn has something of the driver's own to submit.
    runtime.block_on(sleep());
    let before = runtime.metrics().enters;
    runtime.block_on(async {
        for _ in 0..count {
            sleep().await;
        }
    });
    runtime.metrics().enters - before
}

#[test]
fn a_timer_ends_the_spin_without_a_system_call() {
    let _watchdog = Watchdog::new(LIMIT);
    assert_eq!(enters_of_sleeps(&spinning(), 10), 0);
}

#[test]
fn when_its_time_is_up_the_loop_sleeps() {
    let _watchdog = Watchdog::new(LIMIT);
    let short = Duration::from_micros(1);
    let runtime = Runtime::builder().spin_limit(short).build().expect("a runtime");
    assert!(enters_of_sleeps(&runtime, 10) >= 10);
}

#[test]
fn a_wake_from_another_thread_ends_the_spin() {
    let _watchdog = Watchdog::new(LIMIT);
    let runtime = spinning();
    for round in 0..20 {
        let (sender, receiver) = oneshot::channel();
        let thread = thread::spawn(move || {
            thread::sleep(Duration::from_micros(100 * round));
            sender.send(round)
        });
        assert_eq!(runtime.block_on(receiver), Ok(round));
        assert_eq!(thread.join().expect("no panic"), Ok(()));
    }
}

#[test]
fn a_message_ends_the_spin() {
    let _watchdog = Watchdog::new(LIMIT);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let client = thread::spawn(move || {
        let mut stream = TcpStream::connect(address).expect("connected");
        let mut answer = [0];
        for byte in 0..100 {
            stream.write_all(&[byte]).expect("sent");
            stream.read_exact(&mut answer).expect("answered");
            assert_eq!(answer, [byte]);
        }
    });
    spinning().block_on(async {
        let listener = uring::net::TcpListener::from(listener);
        let (stream, _) = listener.accept().await.expect("a client");
        let mut buf = Vec::with_capacity(1);
        loop {
            let (n, received) = stream.recv(buf).await.expect("received");
            if n == 0 {
                break;
            }
            (_, buf) = stream.send_all(received).await.expect("sent");
        }
    });
    client.join().expect("no panic");
}

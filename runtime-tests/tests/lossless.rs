//! Receives and accepts that are dropped by the thousand: not a byte and not a connection is lost. Between a
//! thread of `std` and the runtime, over Linux.
#![cfg(not(miri))]

use std::cell::Cell;
use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::{self, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{Either, select};
use runtime_tests::{Watchdog, descriptors, on_linux};
use uring::net::{TcpListener, TcpStream};
use uring::task::yield_now;
use uring::time;

const LIMIT: Duration = Duration::from_secs(300);

/// The full numbers in a release build, or when asked for by `URING_FULL`.
fn drops(full: usize) -> usize {
    if !cfg!(debug_assertions) || std::env::var_os("URING_FULL").is_some() {
        full
    } else {
        full / 10
    }
}

/// These tests count the descriptors of the whole process, so they take turns.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The byte that belongs at a place of the stream: one that moved by any small distance differs.
fn expected(at: u64) -> u8 {
    (at.wrapping_mul(31) ^ (at >> 8) ^ (at >> 16)) as u8
}

/// Numbers that look random and are the same in every run.
#[derive(Clone)]
struct Draws(Cell<u64>);

impl Draws {
    fn new(seed: u64) -> Draws {
        Draws(Cell::new(seed))
    }

    fn below(&self, end: u64) -> u64 {
        let next = self.0.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.0.set(next);
        (next >> 33) % end
    }
}

/// Gives a future a few turns of the loop or a few microseconds, then drops it.
async fn impatiently<F: Future>(draws: &Draws, future: F) -> Option<F::Output> {
    let (turns, micros) = (draws.below(4), draws.below(40));
    let patience = async {
        for _ in 0..turns {
            yield_now().await;
        }
        if turns == 3 {
            time::sleep(Duration::from_micros(micros)).await;
        }
    };
    match select(pin!(future), pin!(patience)).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

/// Sends the pattern in pieces of all sizes until told to stop; returns how many bytes.
fn send_until(stop: &AtomicBool, mut stream: net::TcpStream) -> u64 {
    let (draws, mut sent, mut piece) = (Draws::new(1), 0, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let len_bytes =
            if draws.below(16) == 0 { 1 + draws.below(5000) } else { 1 + draws.below(50) };
        piece.clear();
        piece.extend((sent..sent + len_bytes).map(expected));
        stream.write_all(&piece).expect("the receiver is there");
        sent += len_bytes;
        if draws.below(4) == 0 {
            thread::sleep(Duration::from_micros(1 + draws.below(30)));
        }
    }
    sent
}

/// `req_12`
#[test]
fn randomly_dropped_receives_lose_not_a_byte() {
    let _alone = alone();
    let _watchdog = Watchdog::new(LIMIT);
    on_linux(|runtime| {
        let listener = net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let sender = thread::spawn(move || {
            let stream = net::TcpStream::connect(address).expect("a connection");
            stream.set_nodelay(true).expect("an option of TCP");
            send_until(&stopped, stream)
        });
        let (stream, _) = listener.accept().expect("a connection");
        let received = runtime.block_on(async {
            let stream = TcpStream::from(stream);
            let (draws, mut dropped, mut at) = (Draws::new(2), 0, 0);
            loop {
                if dropped == drops(100_000) {
                    stop.store(true, Ordering::Relaxed);
                }
                let room = 1 + draws.below(200) as usize;
                let result = if stop.load(Ordering::Relaxed) {
                    Some(stream.recv(Vec::with_capacity(room)).await)
                } else {
                    impatiently(&draws, stream.recv(Vec::with_capacity(room))).await
                };
                let Some(result) = result else {
                    dropped += 1;
                    continue;
                };
                let (count, bytes) = result.expect("received");
                if count == 0 {
                    break;
                }
                for byte in &bytes[..count] {
                    assert_eq!(*byte, expected(at), "at byte {at}, after {dropped} drops");
                    at += 1;
                }
            }
            assert!(dropped >= drops(100_000));
            eprintln!("{dropped} receives were dropped over {at} bytes");
            at
        });
        assert_eq!(received, sender.join().expect("the sender"));
    });
}

/// What a client saw of its connection. It is made while `gate` is open.
fn visit(address: SocketAddr, gate: &RwLock<()>) -> Result<(), ErrorKind> {
    let open = gate.read().expect("nobody panics with it");
    let connected = net::TcpStream::connect(address);
    drop(open);
    let mut stream = match connected {
        Ok(stream) => stream,
        Err(error) => return Err(error.kind()),
    };
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("an option of sockets");
    match stream.read(&mut [0; 8]) {
        // Data, or the end of the stream.
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(error.kind()),
    }
}

/// Has clients come and go while `serve` races accepts until it has dropped enough of them.
fn with_visitors(serve: impl AsyncFn(&TcpListener, &Draws)) {
    let _alone = alone();
    let _watchdog = Watchdog::new(LIMIT);
    on_linux(|runtime| {
        let before = descriptors();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("bound");
        let address = listener.local_addr().expect("an address");
        let stop = Arc::new(AtomicBool::new(false));
        // Nobody connects while the listener is being closed: a connection that is made just then is reset or
        // forgotten by the kernel, and the client of a forgotten one hears nothing more. Seen on Linux 6.18, with no
        // descriptor of it in any process.
        let gate = Arc::new(RwLock::new(()));
        let clients: Vec<_> = (0..2)
            .map(|_| {
                let (stop, gate) = (Arc::clone(&stop), Arc::clone(&gate));
                thread::spawn(move || {
                    let mut visits = 0;
                    while !stop.load(Ordering::Relaxed) {
                        match visit(address, &gate) {
                            Ok(()) => visits += 1,
                            // The listener has gone meanwhile.
                            Err(ErrorKind::ConnectionRefused) => break,
                            Err(error) => panic!("a client was left hanging: {error}"),
                        }
                    }
                    visits
                })
            })
            .collect();
        runtime.block_on(serve(&listener, &Draws::new(3)));
        stop.store(true, Ordering::Relaxed);
        let closed = gate.write().expect("nobody panics with it");
        runtime.block_on(async {
            // Whoever is still in the backlog, or was accepted for nobody, sees the end of it here.
            drop(listener);
            runtime_tests::all_quiet(runtime).await;
        });
        drop(closed);
        let visits: usize =
            clients.into_iter().map(|client| client.join().expect("a client")).sum();
        assert!(visits > 0);
        assert_eq!(descriptors(), before, "descriptors are left open after {visits} visits");
        eprintln!("{visits} clients were served");
    });
}

/// `req_13`
#[test]
fn raced_accepts_that_are_dropped_leave_no_client_hanging_and_no_descriptor_open() {
    with_visitors(async |listener, draws| {
        let mut dropped = 0;
        while dropped < drops(10_000) {
            match impatiently(draws, listener.accept()).await {
                None => dropped += 1,
                Some(accepted) => {
                    let (stream, _) = accepted.expect("a connection");
                    stream.send_all(b"hello").await.expect("sent");
                }
            }
        }
    });
}

/// `req_13`
#[test]
fn streams_of_connections_that_are_dropped_leave_no_client_hanging_and_no_descriptor_open() {
    with_visitors(async |listener, draws| {
        let mut dropped = 0;
        while dropped < drops(10_000) {
            let mut incoming = pin!(listener.incoming());
            while let Some(next) = impatiently(draws, incoming.next()).await {
                let stream = next.expect("a listener accepts for ever").expect("a connection");
                stream.send_all(b"hello").await.expect("sent");
            }
            dropped += 1;
        }
    });
}

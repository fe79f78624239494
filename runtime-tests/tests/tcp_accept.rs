//! Listeners: no connection is lost, whatever is dropped in between, and failures say what they are about.

use std::fs::File;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::Command;

use futures::StreamExt;
use futures::future::join;
use runtime_tests::{for_turns, on_every_kernel, on_linux, skipped};
use uring::io::raw_os_error;
use uring::net::{TcpListener, TcpStream};
use uring::task::yield_now;

/// A listener on a free port of the loopback interface, and its address.
async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// Connects; the client and the address it comes from.
async fn client(to: SocketAddr) -> (TcpStream, SocketAddr) {
    let stream = TcpStream::connect(to).await.expect("connected");
    let from = stream.local_addr().expect("bound");
    (stream, from)
}

#[test]
fn accept_yields_the_connection_and_the_address_of_its_peer() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (listener, address) = listener().await;
            let ((client, from), accepted) = join(client(address), listener.accept()).await;
            let (server, peer) = accepted.expect("accepted");
            assert_eq!(peer, from);
            client.send_all("hello").await.expect("sent");
            assert_eq!(&server.recv_exact([0; 5]).await.expect("received").1, b"hello");
        });
    });
}

#[test]
fn a_connection_that_came_for_a_dropped_accept_goes_to_the_next_one() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (listener, address) = listener().await;
            let from = {
                let mut accepting = pin!(listener.accept());
                assert!(futures::poll!(accepting.as_mut()).is_pending());
                // It completes while this connects; nobody polls it any more.
                client(address).await
            };
            let (_, peer) = listener.accept().await.expect("accepted");
            assert_eq!(peer, from.1);
        });
    });
}

#[test]
fn a_late_connection_that_was_reset_meanwhile_is_handed_out_all_the_same() {
    on_linux(|runtime| {
        runtime.block_on(async {
            let (listener, address) = listener().await;
            let mut incoming = listener.incoming();
            assert!(for_turns(3, incoming.next()).await.is_none());
            let client = std::net::TcpStream::connect(address).expect("connected");
            // It is accepted now, and not taken.
            for _ in 0..20 {
                yield_now().await;
            }
            drop(incoming);
            reset(client);
            let (late, peer) = listener.accept().await.expect("accepted");
            assert_eq!(peer, "0.0.0.0:0".parse().expect("an address"));
            let failed = late.recv([0; 1]).await.expect_err("reset");
            assert_eq!(failed.raw_os_error(), Some(libc::ECONNRESET));
        });
    });
}

/// Closes a connection by RST instead of FIN (SO_LINGER of zero, socket(7)).
fn reset(stream: std::net::TcpStream) {
    use std::os::fd::AsRawFd;
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the descriptor is open, and the struct is read during the call only.
    let done = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    assert_eq!(done, 0);
}

#[test]
fn raced_drops_of_accept_lose_no_connection_and_invent_none() {
    const CLIENTS: u32 = if cfg!(miri) { 8 } else { 100 };
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (listener, address) = listener().await;
            let (mut sent, mut accepted) = (Vec::new(), Vec::new());
            for number in 0..CLIENTS {
                let racing = for_turns(number % 7, listener.accept());
                let ((_client, from), raced) = join(client(address), racing).await;
                sent.push(from);
                accepted.extend(raced.map(|raced| raced.expect("accepted").1));
            }
            while accepted.len() < sent.len() {
                accepted.push(listener.accept().await.expect("accepted").1);
            }
            assert!(for_turns(20, listener.accept()).await.is_none(), "there are no more");
            sent.sort();
            accepted.sort();
            assert_eq!(sent, accepted);
        });
    });
}

#[test]
fn incoming_yields_every_connection() {
    const CLIENTS: usize = if cfg!(miri) { 5 } else { 100 };
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (listener, address) = listener().await;
            let connecting = async {
                let mut clients = Vec::new();
                for _ in 0..CLIENTS {
                    clients.push(client(address).await);
                }
                clients
            };
            let accepting = listener.incoming().take(CLIENTS).collect::<Vec<_>>();
            let (clients, servers) = join(connecting, accepting).await;
            let peer = |server| TcpStream::peer_addr(server).expect("there");
            let mut peers: Vec<_> =
                servers.iter().map(|server| peer(server.as_ref().expect("accepted"))).collect();
            let mut sent: Vec<_> = clients.iter().map(|(_, from)| *from).collect();
            peers.sort();
            sent.sort();
            assert_eq!(sent, peers);
        });
    });
}

/// Runs a test in a process of its own with so many descriptors, since their limit is the whole process's.
/// True in that process, where the test is to go on.
fn alone(test: &str, descriptors: u32) -> bool {
    const ALONE: &str = "URING_TEST_ALONE";
    const TOO_FEW: i32 = 77;
    if cfg!(miri) {
        skipped("Miri has neither io_uring nor processes");
        return false;
    }
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let script = format!(
        "ulimit -n {descriptors} || exit {TOO_FEW}; exec \"$0\" --exact {test} --nocapture"
    );
    let program = std::env::current_exe().expect("a path");
    let mut command = Command::new("sh");
    let output = command.args(["-c", &script]).arg(program).env(ALONE, "1").output();
    let output = output.expect("sh runs");
    if output.status.code() == Some(TOO_FEW) {
        skipped(format!("{descriptors} descriptors are above the limit"));
    } else {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    false
}

#[test]
fn incoming_goes_on_behind_more_connections_than_it_accepts_ahead() {
    const CLIENTS: usize = 1100;
    if !alone("incoming_goes_on_behind_more_connections_than_it_accepts_ahead", 3000) {
        return;
    }
    on_linux(|runtime| {
        runtime.block_on(async {
            let (listener, address) = listener().await;
            let mut incoming = listener.incoming();
            assert!(for_turns(3, incoming.next()).await.is_none());
            let mut clients = Vec::new();
            while clients.len() < CLIENTS {
                clients.push(client(address).await);
            }
            let mut servers = Vec::new();
            while servers.len() < CLIENTS {
                servers.push(incoming.next().await.expect("endless").expect("accepted"));
            }
        });
    });
}

#[test]
fn connections_that_a_dropped_incoming_had_accepted_go_to_the_next_who_accepts() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (listener, address) = listener().await;
            let mut incoming = listener.incoming();
            let (connected, taken) = join(client(address), incoming.next()).await;
            let taken = taken.expect("endless").expect("accepted");
            assert_eq!(taken.peer_addr().expect("there"), connected.1);
            let mut sent = Vec::new();
            for _ in 0..3 {
                sent.push(client(address).await);
            }
            drop(incoming);
            let mut peers = vec![listener.accept().await.expect("accepted").1];
            let mut incoming = listener.incoming();
            for _ in 0..2 {
                let stream = incoming.next().await.expect("endless").expect("accepted");
                peers.push(stream.peer_addr().expect("there"));
            }
            assert_eq!(peers, sent.iter().map(|(_, from)| *from).collect::<Vec<_>>());
        });
    });
}

#[test]
fn accept_waits_while_incoming_accepts() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (listener, address) = listener().await;
            let mut incoming = listener.incoming();
            assert!(for_turns(3, incoming.next()).await.is_none());
            let mut accepting = pin!(listener.accept());
            assert!(futures::poll!(accepting.as_mut()).is_pending());
            let (connected, stream) = join(client(address), incoming.next()).await;
            let stream = stream.expect("endless").expect("accepted");
            assert_eq!(stream.peer_addr().expect("there"), connected.1);
            assert!(futures::poll!(accepting.as_mut()).is_pending());
            drop(incoming);
            let (connected, accepted) = join(client(address), accepting).await;
            assert_eq!(accepted.expect("accepted").1, connected.1);
        });
    });
}

#[test]
fn incoming_goes_on_after_a_lack_of_descriptors() {
    if !alone("incoming_goes_on_after_a_lack_of_descriptors", 64) {
        return;
    }
    on_linux(|runtime| {
        runtime.block_on(async {
            let (listener, address) = listener().await;
            let mut incoming = listener.incoming();
            assert!(for_turns(3, incoming.next()).await.is_none());
            let mut hoard: Vec<_> = (0..64).map_while(|_| File::open("/dev/null").ok()).collect();
            // What the client takes is the last one.
            drop(hoard.pop());
            let (_client, from) = client(address).await;
            for _ in 0..3 {
                let error = incoming.next().await.expect("endless").expect_err("none is left");
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
            }
            drop(hoard);
            let stream = incoming.next().await.expect("endless").expect("accepted");
            assert_eq!(stream.peer_addr().expect("there"), from);
        });
    });
}

#[test]
fn an_address_in_use_is_named() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (_listener, address) = listener().await;
            let error = TcpListener::bind(address).await.expect_err("in use");
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
            assert_eq!(raw_os_error(&error), Some(libc::EADDRINUSE));
            assert!(error.to_string().starts_with(&format!("bind {address}: ")), "{error}");
        });
    });
}

#[test]
fn the_port_of_a_listener_dropped_while_it_accepts_can_be_bound_at_once() {
    const ROUNDS: u32 = if cfg!(miri) { 2 } else { 10 };
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (mut listener, address) = listener().await;
            for round in 0..ROUNDS {
                if round % 2 == 0 {
                    assert!(for_turns(2, listener.incoming().next()).await.is_none());
                } else {
                    assert!(for_turns(2, listener.accept()).await.is_none());
                }
                drop(listener);
                listener = TcpListener::bind(address).await.expect("the port is free");
            }
            let (connected, accepted) = join(client(address), listener.accept()).await;
            assert_eq!(accepted.expect("accepted").1, connected.1);
        });
    });
}

#[test]
fn listeners_of_std_become_ours_even_non_blocking_ones_and_go_back() {
    on_linux(|runtime| {
        runtime.block_on(async {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
            listener.set_nonblocking(true).expect("an option");
            let listener = TcpListener::from(listener);
            let address = listener.local_addr().expect("an address");
            assert!(for_turns(3, listener.accept()).await.is_none(), "it waits");
            let listener = std::net::TcpListener::try_from(listener).expect_err("an accept");
            let (connected, accepted) = join(client(address), listener.accept()).await;
            assert_eq!(accepted.expect("accepted").1, connected.1);
            let listener = std::net::TcpListener::try_from(listener).expect("nobody else uses it");
            let second = client(address).await;
            assert_eq!(listener.accept().expect("accepted").1, second.1);
        });
    });
}

#[test]
fn a_host_name_can_be_bound() {
    on_linux(|runtime| {
        runtime.block_on(async {
            let listener = TcpListener::bind("localhost:0").await.expect("bound");
            assert!(listener.local_addr().expect("an address").ip().is_loopback());
            let error = TcpListener::bind("localhost").await.expect_err("no port");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        });
    });
}

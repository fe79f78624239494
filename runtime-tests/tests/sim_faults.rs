//! Each fault of the simulated kernel alone and often: what the runtime makes of it.

use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use runtime_tests::net::pair;
use runtime_tests::{all_quiet, for_turns, steps};
use uring::Runtime;
use uring::net::{TcpListener, TcpStream};
use uring::op;
use uring::sim::{Fault, Faults, Sim};
use uring::time::{sleep, timeout};

/// Runs a test by several seeds with these faults and small queues; nothing may be left afterwards, and each of
/// the faults must have happened.
fn under(faults: &[(Fault, u16)], test: impl AsyncFn(&Runtime, &Sim)) {
    let rates = faults.iter().fold(Faults::none(), |all, &(fault, rate)| all.with(fault, rate));
    let happened = vec![Cell::new(0); faults.len()];
    for seed in 0..steps(20, 2) as u64 {
        let sim = Sim::new(seed).faults(rates);
        sim.deadlock_limit(Duration::ZERO);
        let builder = Runtime::builder().entries(4).cq_entries(8).shutdown_limit(Duration::MAX);
        let runtime = builder.kernel(sim.kernel()).build().expect("a runtime");
        runtime.block_on(async {
            test(&runtime, &sim).await;
            all_quiet(&runtime).await;
        });
        assert_eq!((runtime.metrics().slots_in_use, runtime.metrics().strange_completions), (0, 0));
        assert_eq!(runtime.shutdown().leaked, 0);
        assert_eq!((sim.in_flight(), sim.open_descriptors()), (0, 0), "seed {seed}");
        for (count, (fault, _)) in happened.iter().zip(faults) {
            count.set(count.get() + sim.injected(*fault));
        }
    }
    assert!(happened.iter().all(|count| count.get() > 0), "{faults:?}: {happened:?}");
}

async fn many_nops() {
    let nops = (0..steps(200, 40)).map(|_| op::submit(op::Nop));
    assert!(join_all(nops).await.into_iter().all(|done| done.is_ok()), "a nop failed");
}

/// `req_23`, `req_61`: an operation is pushed once, however often the kernel takes only some of what is queued.
#[test]
fn submissions_taken_in_part_reach_the_kernel_once() {
    under(&[(Fault::PartialSubmission, 900)], async |_, _| many_nops().await);
}

/// `req_24`, `req_61`.
#[test]
fn errors_of_enter_reach_nobody() {
    let faults = [
        (Fault::EnterInterrupted, 400),
        (Fault::EnterAgain, 400),
        (Fault::Overflow, 100),
        (Fault::EnterBusy, 400),
    ];
    under(&faults, async |_, _| {
        for _ in 0..5 {
            many_nops().await;
            sleep(Duration::from_millis(1)).await;
        }
    });
}

/// `req_21`.
#[test]
fn completions_that_overflow_all_come() {
    under(&[(Fault::Overflow, 512)], async |_, _| many_nops().await);
}

#[test]
fn interrupted_operations_are_done_again() {
    under(&[(Fault::Interrupted, 600)], async |_, sim| {
        sim.write_file("/tmp/from", [7; 5000]);
        uring::fs::write("/tmp/to", uring::fs::read("/tmp/from").await.expect("bytes"))
            .await
            .expect("a copy");
        assert_eq!(sim.read_file("/tmp/to"), Some(vec![7; 5000]));
        let (client, server) = pair().await;
        client.send_all("over the wire").await.expect("sent");
        assert_eq!(server.recv_exact([0; 13]).await.expect("received").1, *b"over the wire");
        // Each by itself, as each tries again by itself.
        for _ in 0..5 {
            assert_eq!(client.send("x").await.expect("sent").0, 1);
            assert_eq!(server.recv(Vec::with_capacity(10)).await.expect("received").1, b"x");
            assert_eq!(server.send_zc("y").await.expect("sent").0, 1);
            assert_eq!(client.recv_leased().await.expect("received")[..], *b"y");
        }
    });
}

#[test]
fn short_transfers_are_gone_on_with_until_all_is_there() {
    under(&[(Fault::ShortRead, 900), (Fault::ShortWrite, 900)], async |_, sim| {
        let content: Vec<u8> = (0..3000_u32).map(|n| (n % 251) as u8).collect();
        uring::fs::write("/tmp/file", content.clone()).await.expect("written");
        assert_eq!(sim.read_file("/tmp/file").as_deref(), Some(&content[..]));
        assert_eq!(uring::fs::read("/tmp/file").await.expect("read"), content);
        let (client, server) = pair().await;
        client.send_all(content.clone()).await.expect("sent");
        let room = Vec::with_capacity(content.len());
        assert_eq!(server.recv_exact(room).await.expect("received").1, content);
    });
}

#[test]
fn a_cancel_that_fails_is_tried_again_until_the_operation_ends() {
    under(&[(Fault::FailedCancel, 800)], async |_, _| {
        let (client, server) = pair().await;
        assert!(for_turns(5, Box::pin(client.recv([0; 10]))).await.is_none());
        // The lane is free when the first receive has ended.
        server.send_all("late").await.expect("sent");
        assert_eq!(client.recv_exact([0; 4]).await.expect("received").1, *b"late");
        assert!(for_turns(5, Box::pin(client.recv([0; 10]))).await.is_none());
    });
}

#[test]
fn cancels_that_fail_among_others_that_do_not_are_each_tried_again() {
    under(&[(Fault::FailedCancel, 500)], async |runtime, _| {
        let pairs = join_all((0..4).map(|_| pair())).await;
        let receives = pairs.iter().map(|(client, _)| client.recv([0; 10]));
        // All are dropped at once, so their cancels reach the kernel together. Nothing else ends a receive here.
        assert!(for_turns(5, Box::pin(join_all(receives))).await.is_none());
        all_quiet(runtime).await;
    });
}

#[test]
fn a_multishot_accept_that_ends_without_an_error_is_armed_again() {
    under(&[(Fault::MultishotEnd, 700)], async |_, _| {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let mut incoming = listener.incoming();
        for _ in 0..10 {
            let client = TcpStream::connect(address).await.expect("a client");
            let server = incoming.next().await.expect("no end").expect("a connection");
            assert_eq!(
                server.peer_addr().expect("a peer"),
                client.local_addr().expect("an address")
            );
        }
    });
}

#[test]
fn both_sides_of_a_lost_connection_get_its_error_and_what_came_before() {
    let lost = Cell::new(0);
    under(&[(Fault::Reset, 100)], async |_, sim| {
        let (client, server) = pair().await;
        let mut received = Vec::new();
        while sim.injected(Fault::Reset) == 0 {
            if client.send_all("x").await.is_err() {
                break;
            }
            match server.recv(Vec::with_capacity(10)).await {
                Ok((_, bytes)) => received.extend(bytes),
                Err(failed) => assert_eq!(failed.error().kind(), io::ErrorKind::ConnectionReset),
            }
        }
        assert!(received.iter().all(|&byte| byte == b'x'));
        lost.set(lost.get() + 1);
    });
    assert!(lost.get() > 0);
}

#[test]
fn an_operation_that_stalls_is_given_up_in_time_and_a_leap_of_the_clock_rings_what_is_due() {
    let given_up = Cell::new(0);
    under(&[(Fault::Stall, 1024), (Fault::ClockJump, 20)], async |_, sim| {
        sim.write_file("/tmp/file", b"slow");
        let soon = Duration::from_millis(1);
        for _ in 0..steps(10, 3) {
            let in_time = timeout(soon, uring::fs::read("/tmp/file")).await;
            given_up.set(given_up.get() + u32::from(in_time.is_err()));
            sleep(soon).await;
        }
    });
    assert!(given_up.get() > 0, "every read came in time");
}

/// What a deadlock says, also when faults are about.
#[test]
fn a_deadlock_names_what_is_in_flight() {
    let sim = Sim::new(5);
    sim.deadlock_limit(Duration::ZERO);
    let runtime = Runtime::builder().kernel(sim.kernel()).build().expect("a runtime");
    let stuck = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let (client, _server) = pair().await;
            client.recv([0; 10]).await.map(drop)
        })
    }));
    let panic = stuck.expect_err("nothing ever comes");
    let text = panic.downcast_ref::<String>().expect("a message");
    assert!(text.contains("deadlock") && text.contains("RECV on fd"), "{text}");
}

/// A task that is always ready and looks at the clock alone: time passes for it too.
#[test]
fn a_timer_fires_beside_a_task_that_never_sleeps() {
    under(&[], async |_, _| {
        let rung = Cell::new(false);
        let alarm = async {
            sleep(Duration::from_millis(1)).await;
            rung.set(true);
        };
        let spins = async {
            while !rung.get() {
                uring::task::yield_now().await;
            }
        };
        futures::join!(alarm, spins);
    });
}

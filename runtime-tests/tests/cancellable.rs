//! Typed calls that are cancelled and give their buffers back. `req_17`

use std::cell::Cell;
use std::io::ErrorKind;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use runtime_tests::net::pair;
use runtime_tests::{all_quiet, for_turns, on_every_kernel, one_turn, put};
use uring::op;
use uring::time::timeout;
use uring::{Scope, cancellable, scope};

#[test]
fn a_cancelled_receive_gives_its_buffer_back_and_the_stream_goes_on() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (client, server) = pair().await;
            let mut recv = pin!(cancellable(client.recv(vec![9; 100])));
            assert!(for_turns(2, recv.as_mut()).await.is_none());
            recv.cancel();
            let (error, buf) = recv.await.expect_err("cancelled").into_parts();
            assert_eq!(error.raw_os_error(), Some(libc::ECANCELED));
            assert_eq!(buf, [9; 100]);
            server.send_all("later").await.expect("sent");
            assert_eq!(client.recv_exact([0; 5]).await.expect("received").1, *b"later");
        });
    });
}

#[test]
fn a_receive_that_won_the_race_gives_the_buffer_with_what_came() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (client, server) = pair().await;
            let mut recv = pin!(cancellable(client.recv(Vec::with_capacity(16))));
            assert!(for_turns(2, recv.as_mut()).await.is_none());
            server.send_all("in time").await.expect("sent");
            // Whether it has come or is cancelled before: no byte is lost.
            recv.cancel();
            match recv.await {
                Ok((count, buf)) => assert_eq!((count, &buf[..]), (7, &b"in time"[..])),
                Err(failed) => {
                    assert_eq!(failed.error().raw_os_error(), Some(libc::ECANCELED));
                    assert_eq!(client.recv_exact([0; 7]).await.expect("it").1, *b"in time");
                }
            }
        });
    });
}

#[test]
fn an_exact_receive_that_is_cancelled_gives_back_what_it_had() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (client, server) = pair().await;
            let mut recv = pin!(cancellable(client.recv_exact(vec![0; 10])));
            server.send_all("four").await.expect("sent");
            assert!(for_turns(20, recv.as_mut()).await.is_none());
            uring::time::sleep(Duration::from_millis(1)).await;
            assert!(for_turns(2, recv.as_mut()).await.is_none());
            recv.cancel();
            let (error, buf) = recv.await.expect_err("cancelled").into_parts();
            assert_eq!(error.raw_os_error(), Some(libc::ECANCELED));
            assert_eq!(&buf[..4], b"four");
        });
    });
}

#[test]
fn timed_out_cancelled_and_closed_are_told_apart() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (client, server) = pair().await;
            let mut recv = pin!(cancellable(client.recv([0; 4])));
            let late = timeout(Duration::from_millis(1), recv.as_mut()).await;
            let elapsed = std::io::Error::from(late.expect_err("nothing was sent"));
            assert_eq!((elapsed.kind(), elapsed.raw_os_error()), (ErrorKind::TimedOut, None));
            recv.cancel();
            let cancelled = recv.await.expect_err("cancelled");
            assert_eq!(cancelled.error().raw_os_error(), Some(libc::ECANCELED));
            drop(server);
            assert_eq!(client.recv([0; 4]).await.expect("the end").0, 0);
            let closed = loop {
                if let Err(failed) = client.send_all(vec![0; 1 << 16]).await {
                    break failed;
                }
            };
            assert!(matches!(
                closed.error().kind(),
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
            ));
            assert_eq!(closed.into_buf().len(), 1 << 16);
        });
    });
}

#[test]
fn what_is_cancelled_before_its_first_poll_is_cancelled_when_it_is_polled() {
    on_every_kernel(|runtime, on| {
        let (reader, _writer) = on.pipe();
        runtime.block_on(async {
            let read = op::Read { fd: reader, offset: None, buf: [1; 8] };
            let whole = cancellable(async move { op::submit(read).await });
            whole.cancel();
            let failed = whole.await.expect_err("cancelled");
            assert_eq!(failed.error().raw_os_error(), Some(libc::ECANCELED));
            assert_eq!(failed.into_buf(), [1; 8]);
        });
    });
}

#[test]
fn another_task_cancels_by_a_canceller_and_only_what_it_is_of() {
    on_every_kernel(|runtime, on| {
        let ((reader, writer), (other, other_writer)) = (on.pipe(), on.pipe());
        runtime.block_on(async {
            let read = |fd| op::Read { fd, offset: None, buf: vec![0; 8] };
            let (mine, others) = (read(reader), read(other));
            let mine = cancellable(async move { op::submit(mine).await });
            let canceller = mine.canceller();
            let mine = uring::spawn(mine);
            let others = uring::spawn(async move { op::submit(others).await });
            one_turn().await;
            canceller.cancel();
            let failed = mine.await.expect("a task").expect_err("cancelled");
            assert_eq!(failed.error().raw_os_error(), Some(libc::ECANCELED));
            put(&other_writer, b"alive").await;
            assert_eq!(others.await.expect("a task").expect("a read").0, 5);
            canceller.cancel();
            drop(writer);
        });
    });
}

#[test]
fn a_cancel_reaches_the_scopes_inside() {
    on_every_kernel(|runtime, on| {
        let (reader, _writer) = on.pipe();
        let ends = Rc::new(Cell::new(0));
        runtime.block_on(async {
            let count = |scope: &Scope| {
                let (fd, ends) = (reader.clone(), Rc::clone(&ends));
                scope.spawn(async move {
                    let read = op::Read { fd, offset: None, buf: vec![0; 8] };
                    let failed = op::submit(read).await.expect_err("cancelled");
                    assert_eq!(failed.into_buf().len(), 8);
                    ends.set(ends.get() + 1);
                });
            };
            let whole = cancellable(scope(async |scope| {
                count(scope);
                count(scope);
                scope.all_done().await;
            }));
            // Taken before it is polled: Stacked Borrows, as Miri has it, knows no shared reference to a future that
            // refers to itself.
            let canceller = whole.canceller();
            let mut whole = pin!(whole);
            assert!(for_turns(3, whole.as_mut()).await.is_none());
            canceller.cancel();
            whole.await;
            assert_eq!(ends.get(), 2);
        });
    });
}

#[test]
fn a_dropped_one_cancels_as_any_future_and_loses_no_byte() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (client, server) = pair().await;
            let recv = cancellable(client.recv([0; 8]));
            assert!(for_turns(2, recv).await.is_none());
            server.send_all("all of it").await.expect("sent");
            assert_eq!(client.recv_exact([0; 9]).await.expect("received").1, *b"all of it");
            all_quiet(runtime).await;
        });
    });
}

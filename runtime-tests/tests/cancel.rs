//! Operations that are cancelled, and queues too small for what they are asked to hold.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use runtime_tests::ops::ReadOnWorker;
use runtime_tests::{
    Ledger, NotedBuf, On, a_while, all_quiet, for_turns, on_every_kernel, on_every_kernel_of,
    one_turn, put, skipped, steps,
};
use uring::fd::Fd;
use uring::op::{self, InFlight, Op};
use uring::ring::Sqe;

fn read(fd: &Fd) -> InFlight<op::Read<Vec<u8>>> {
    op::submit(op::Read { fd: fd.clone(), offset: None, buf: Vec::with_capacity(8) })
}

fn is_cancelled(errno: Option<i32>) -> bool {
    // EINTR is what a worker thread answers that was interrupted.
    matches!(errno, Some(libc::ECANCELED | libc::EINTR))
}

#[test]
fn a_cancelled_read_yields_its_error_and_its_buffer() {
    on_every_kernel(|runtime, on| {
        let (ledger, (reader, _writer)) = (Ledger::new(), on.pipe());
        runtime.block_on(async {
            let buf = NotedBuf::new(8, &ledger, "buffer freed");
            let read = op::submit(op::Read { fd: reader, offset: None, buf });
            let error = read.cancel().await.expect_err("nothing was there to read");
            assert!(is_cancelled(error.raw_os_error()), "{error}");
            assert_eq!(error.into_buf().as_ref().len(), 8);
        });
        assert_eq!(ledger.events(), ["buffer freed"]);
    });
}

#[test]
fn a_cancel_that_comes_too_late_yields_the_real_result() {
    on_every_kernel(|runtime, on| {
        let (reader, writer) = on.pipe();
        runtime.block_on(async {
            put(&writer, b"bytes").await;
            let read = read(&reader);
            all_quiet(runtime).await;
            let (count, buf) = read.cancel().await.expect("the read was done already");
            assert_eq!(&buf[..count], b"bytes");
        });
    });
}

#[test]
fn a_cancelled_read_has_taken_nothing_or_yields_what_it_took() {
    on_every_kernel(|runtime, on| {
        let (reader, writer) = on.pipe();
        runtime.block_on(async {
            for _ in 0..steps(200, 6) {
                put(&writer, b"bytes").await;
                let (count, buf) = match read(&reader).cancel().await {
                    Ok(done) => done,
                    Err(error) => {
                        assert!(is_cancelled(error.raw_os_error()), "{error}");
                        read(&reader).await.expect("the bytes are still there")
                    }
                };
                assert_eq!(&buf[..count], b"bytes");
            }
        });
    });
}

#[test]
fn a_second_cancel_is_harmless() {
    on_every_kernel(|runtime, on| {
        let (reader, _writer) = on.pipe();
        runtime.block_on(async {
            let error = read(&reader).cancel().cancel().await.expect_err("cancelled");
            assert!(is_cancelled(error.raw_os_error()), "{error}");
        });
    });
}

#[test]
fn a_future_dropped_after_its_cancel_frees_its_buffer_once_it_is_done() {
    on_every_kernel(|runtime, on| {
        let (ledger, (reader, _writer)) = (Ledger::new(), on.pipe());
        runtime.block_on(async {
            let buf = NotedBuf::new(8, &ledger, "buffer freed");
            drop(op::submit(op::Read { fd: reader, offset: None, buf }).cancel());
            assert!(ledger.events().is_empty());
            all_quiet(runtime).await;
        });
        assert_eq!(ledger.events(), ["buffer freed"]);
    });
}

#[test]
fn a_cancel_never_hits_the_next_operation_in_the_slot() {
    on_every_kernel(|runtime, on| {
        let (reader, writer) = on.pipe();
        let (idle, _idle_writer) = on.pipe();
        runtime.block_on(async {
            for round in 0..steps(300, 6) {
                let first = if round % 2 == 0 { read(&idle) } else { read(&reader) };
                if round % 2 == 1 {
                    put(&writer, b"for one").await;
                }
                if round % 3 == 0 {
                    one_turn().await;
                }
                // Too early, too late or in time, by the round and the seed.
                let first = first.cancel().await;
                let second = read(&reader);
                if round % 2 == 0 || first.is_ok() {
                    put(&writer, b"for two").await;
                }
                let (count, _) = second.await.expect("the second one was never cancelled");
                assert_eq!(count, 7);
            }
        });
    });
}

#[test]
fn dropped_reads_beside_live_ones_cancel_none_of_those() {
    on_every_kernel(|runtime, on| {
        let (reader, writer) = on.pipe();
        let (idle, _idle_writer) = on.pipe();
        runtime.block_on(async {
            for _ in 0..steps(100, 1) {
                let dropped: Vec<_> = (0..5).map(|_| read(&idle)).collect();
                let live = read(&reader);
                drop(dropped);
                one_turn().await;
                let more: Vec<_> = (0..5).map(|_| read(&idle)).collect();
                put(&writer, b"alive").await;
                let (count, _) = live.await.expect("it was never cancelled");
                assert_eq!(count, 5);
                drop(more);
            }
            all_quiet(runtime).await;
        });
    });
}

#[test]
fn an_operation_on_its_way_from_a_worker_to_a_poll_is_cancelled_in_the_end() {
    if cfg!(miri) {
        return skipped("Miri has no io_uring");
    }
    let linux = On::Linux { rung: 0 };
    let (reader, _writer) = linux.pipe();
    for round in 0..400u64 {
        // A new ring has no worker yet: while that starts, one in a hundred cancels comes back with EALREADY
        // and has no effect.
        let runtime = linux.runtime();
        runtime.block_on(async {
            let buf = Vec::with_capacity(8);
            let read = op::submit(ReadOnWorker { fd: reader.clone(), buf });
            one_turn().await;
            let drop_at = Instant::now() + Duration::from_nanos(200 * round);
            while Instant::now() < drop_at {
                std::hint::spin_loop();
            }
            drop(read);
            all_quiet(&runtime).await;
        });
    }
}

/// `req_22`
#[test]
fn ten_thousand_operations_pass_through_a_queue_of_two() {
    on_every_kernel_of(2, 64, |runtime, on| {
        let count = if on.is_linux() { 10_000 } else { steps(1_000, 20) };
        runtime.block_on(async {
            let nops: Vec<_> = (0..count).map(|_| op::submit(op::Nop)).collect();
            for nop in nops {
                nop.await.expect("a nop");
            }
        });
        assert_eq!(runtime.metrics().slots_in_use, 0);
    });
}

/// `req_22`
#[test]
fn operations_of_one_task_keep_their_order_through_a_queue_of_two() {
    on_every_kernel_of(2, 4, |runtime, on| {
        // Not a pipe: before Linux 6.4 a write to one cannot be tried without blocking, so it waits for
        // room by a poll, and those that found it are not run in their order.
        let (reader, writer) = on.socket_pair();
        runtime.block_on(async {
            for round in 0..steps(50, 1) as u8 {
                let writes: Vec<_> = (0..20u8)
                    .map(|step| {
                        let buf = vec![round.wrapping_add(step)];
                        op::submit(op::Write { fd: writer.clone(), offset: None, buf })
                    })
                    .collect();
                for write in join_all(writes).await {
                    assert_eq!(write.expect("a write").0, 1);
                }
                let read = op::Read { fd: reader.clone(), offset: None, buf: vec![0; 32] };
                let (count, buf) = op::submit(read).await.expect("a read");
                let expected: Vec<u8> = (0..20).map(|step| round.wrapping_add(step)).collect();
                assert_eq!(buf[..count], expected);
            }
        });
    });
}

/// `req_16`
#[test]
fn drops_while_the_queue_is_full_still_cancel() {
    on_every_kernel_of(2, 8, |runtime, on| {
        let (ledger, (reader, _writer)) = (Ledger::new(), on.pipe());
        runtime.block_on(async {
            let reads: Vec<_> = (0..steps(200, 10))
                .map(|_| {
                    let buf = NotedBuf::new(8, &ledger, "buffer freed");
                    op::submit(op::Read { fd: reader.clone(), offset: None, buf })
                })
                .collect();
            drop(reads);
            all_quiet(runtime).await;
        });
        assert_eq!(ledger.events().len(), steps(200, 10));
    });
}

/// `req_21`
#[test]
fn ten_thousand_operations_at_once_overflow_a_completion_queue_of_two_and_all_complete() {
    on_every_kernel_of(2, 2, |runtime, on| {
        let (reader, writer) = on.pipe();
        // The simulated kernel looks at everything in flight at every step: that grows with the square.
        let count = if on.is_linux() { 10_000 } else { steps(400, 16) };
        runtime.block_on(async {
            // All of them complete at one moment.
            let polls: Vec<_> = (0..count)
                .map(|_| op::submit(op::Poll { fd: reader.clone(), events: libc::POLLIN as u32 }))
                .collect();
            put(&writer, b"x").await;
            for poll in polls {
                assert_ne!(poll.await.expect("a poll") & libc::POLLIN as u32, 0);
            }
        });
        assert_eq!(runtime.metrics().slots_in_use, 0);
    });
}

/// `req_21`, `req_25`: nothing else takes this loop into the kernel.
#[test]
fn a_loop_that_is_never_idle_fetches_what_overflowed() {
    on_every_kernel_of(2, 2, |runtime, on| {
        if !on.is_linux() {
            return; // Time stands still in a simulation that is not entered.
        }
        runtime.block_on(async {
            let nops = join_all((0..50).map(|_| op::submit(op::Nop)));
            let done = for_turns(100_000, nops).await.expect("completions were left in the kernel");
            assert!(done.into_iter().all(|nop| nop.is_ok()));
        });
    });
}

/// `req_28`
#[test]
fn two_tasks_in_lock_step_finish_on_a_ring_of_two() {
    on_every_kernel_of(2, 2, |runtime, on| {
        let (left, right) = on.socket_pair();
        let rounds = steps(500, 4);
        let turns = Rc::new(Cell::new(0));
        runtime.block_on(async {
            let counted = Rc::clone(&turns);
            let ping = uring::spawn(async move {
                for _ in 0..rounds {
                    put(&left, b"ping").await;
                    let (count, _) = read(&left).await.expect("a pong");
                    assert_eq!(count, 4);
                    counted.set(counted.get() + 1);
                }
            });
            let pong = uring::spawn(async move {
                for _ in 0..rounds {
                    let (count, _) = read(&right).await.expect("a ping");
                    assert_eq!(count, 4);
                    put(&right, b"pong").await;
                }
            });
            ping.await.expect("ping");
            pong.await.expect("pong");
        });
        assert_eq!(turns.get(), rounds);
    });
}

#[test]
fn a_task_that_fills_the_queue_and_waits_for_nothing_is_not_needed_to_flush_it() {
    on_every_kernel_of(2, 2, |runtime, on| {
        let (reader, writer) = on.pipe();
        runtime.block_on(async {
            let reads: Vec<_> = (0..3).map(|_| read(&reader)).collect();
            for _ in 0..3 {
                put(&writer, b"12345678").await;
                a_while().await;
            }
            for read in reads {
                assert_eq!(read.await.expect("a read").0, 8);
            }
        });
    });
}

/// A nop with one more flag.
struct Flagged(fn(Sqe<'_>) -> Sqe<'_>);

impl Op for Flagged {
    type Output = std::io::Result<u32>;

    fn prepare(&mut self) -> Sqe<'_> {
        self.0(Sqe::nop())
    }

    fn complete(self, completion: op::Completion<Self>) -> Self::Output {
        completion.result()
    }
}

#[test]
fn an_operation_that_would_tie_its_neighbours_or_hide_its_completion_is_refused() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            for flag in [|sqe| Sqe::link(sqe), |sqe| Sqe::drain(sqe), |sqe| Sqe::skip_success(sqe)]
                as [fn(Sqe<'_>) -> Sqe<'_>; 3]
            {
                let error = op::submit(Flagged(flag)).await.expect_err("refused");
                assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
            }
            assert_eq!(op::submit(Flagged(|sqe| sqe)).await.expect("a nop"), 0);
        });
    });
}

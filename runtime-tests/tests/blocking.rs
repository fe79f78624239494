//! Calls that block, on threads of the runtime's.

use std::pin::pin;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures::future::join_all;
use runtime_tests::{On, Watchdog, kernels, on_every_kernel, poll_once, steps};
use uring::task::yield_now;
use uring::{Runtime, spawn_blocking};

/// A call that has begun, and ends when the sender is dropped.
async fn busy() -> mpsc::Sender<()> {
    let (begun, has_begun) = mpsc::channel();
    let (end, told) = mpsc::channel::<()>();
    drop(spawn_blocking(move || {
        begun.send(()).expect("the test waits");
        let _ = told.recv();
    }));
    while has_begun.try_recv().is_err() {
        yield_now().await;
    }
    end
}

#[test]
fn the_output_of_a_call_reaches_who_awaits_it() {
    on_every_kernel(|runtime, _| {
        let home = thread::current().id();
        let other = runtime.block_on(async { spawn_blocking(|| thread::current().id()).await });
        assert_ne!(other.expect("no panic"), home);
    });
}

#[test]
fn a_panic_in_a_call_is_the_error_of_its_handle_and_of_nothing_else() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let error = spawn_blocking(|| panic!("on purpose")).await.expect_err("a panic");
            assert_eq!(error.to_string(), "the task panicked: on purpose");
            assert_eq!(spawn_blocking(|| 1).await.expect("no panic"), 1);
        });
    });
}

#[test]
fn a_detached_call_goes_on() {
    on_every_kernel(|runtime, _| {
        let (done, is_done) = mpsc::channel();
        runtime.block_on(async {
            drop(spawn_blocking(move || done.send(7)));
            while is_done.try_recv() != Ok(7) {
                yield_now().await;
            }
        });
    });
}

#[test]
fn an_aborted_call_that_has_not_begun_never_does() {
    for on in kernels() {
        let runtime = few_threads(&on, 1);
        let (ran, has_run) = mpsc::channel();
        runtime.block_on(async {
            let end = busy().await;
            let call = spawn_blocking(move || ran.send(()));
            call.abort();
            assert!(call.await.expect_err("aborted").is_cancelled());
            drop(end);
        });
        assert_eq!(has_run.recv(), Err(mpsc::RecvError));
    }
}

fn few_threads(on: &On, max_blocking_threads: usize) -> Runtime {
    let builder = Runtime::builder().entries(64).max_blocking_threads(max_blocking_threads);
    match on {
        On::Linux { rung } => builder.first_rung(*rung),
        On::Sim { sim, .. } => builder.kernel(sim.kernel()),
    }
    .build()
    .expect("a runtime")
}

#[test]
fn a_full_pool_holds_up_neither_the_loop_nor_who_submits() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    for on in kernels() {
        let runtime = few_threads(&on, 2);
        runtime.block_on(async {
            let ends = [busy().await, busy().await];
            let mut waiting: Vec<_> =
                (0..steps(100, 10)).map(|n| spawn_blocking(move || n)).collect();
            for _ in 0..100 {
                uring::op::submit(uring::op::Nop).await.expect("the loop goes on");
            }
            assert!(poll_once(&mut waiting[0]).is_none());
            assert_eq!(runtime.metrics().blocking_threads, 2);
            drop(ends);
            for (n, output) in join_all(waiting).await.into_iter().enumerate() {
                assert_eq!(output.expect("no panic"), n);
            }
        });
    }
}

#[test]
fn dropping_the_runtime_waits_for_a_call_that_has_begun() {
    on_every_kernel(|_, on| {
        let runtime = few_threads(on, 1);
        let end = runtime.block_on(busy());
        let other = thread::spawn(move || end.send(()));
        assert_eq!(runtime.shutdown().still_blocking, 0);
        other.join().expect("no panic").expect("the call was running");
    });
}

#[test]
fn a_call_that_does_not_end_in_time_is_counted_and_left() {
    for on in kernels() {
        let builder = Runtime::builder().entries(64).shutdown_limit(Duration::ZERO);
        let runtime = match &on {
            On::Linux { rung } => builder.first_rung(*rung),
            On::Sim { sim, .. } => builder.kernel(sim.kernel()),
        };
        let runtime = runtime.build().expect("a runtime");
        // The main future alone, which leaves nothing in flight that a limit of zero could not wait for.
        let end = runtime.block_on(busy());
        assert_eq!(runtime.shutdown().still_blocking, 1);
        drop(end);
    }
}

#[test]
fn a_call_can_be_awaited_beside_others_and_dropped() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let (end, told) = mpsc::channel::<()>();
            {
                let mut call = pin!(spawn_blocking(move || told.recv()));
                assert!(poll_once(&mut call).is_none());
            }
            drop(end);
        });
    });
}

#[test]
#[should_panic(expected = "no uring runtime is running on this thread")]
fn outside_a_runtime_there_are_no_threads_for_calls() {
    drop(spawn_blocking(|| ()));
}

//! Time as a program sees it: what rings when, what a timeout drops, and that nobody keeps the others waiting.

use std::cell::Cell;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::future::join_all;
use runtime_tests::{
    Ledger, NotedBuf, On, Watchdog, a_while, all_quiet, on_every_kernel, on_linux, one_turn, put,
    steps,
};
use uring::task::yield_now;
use uring::{Runtime, op, time};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_sleep_that_is_first_polled_behind_its_deadline_ends() {
    on_linux(|runtime| {
        runtime.block_on(async {
            let late = time::sleep(Duration::from_millis(1));
            std::thread::sleep(Duration::from_millis(5));
            late.await;
        });
    });
}

#[test]
fn sleeps_end_in_the_order_of_their_deadlines() {
    on_every_kernel(|runtime, _| {
        let ledger = Ledger::new();
        runtime.block_on(async {
            let tasks = [30u64, 10, 50, 20, 40].map(|millis| {
                let ledger = ledger.clone();
                uring::spawn(async move {
                    time::sleep(Duration::from_millis(millis)).await;
                    ledger.note(millis);
                })
            });
            for task in tasks {
                task.await.expect("a task");
            }
        });
        assert_eq!(ledger.events(), ["10", "20", "30", "40", "50"]);
    });
}

#[test]
fn sleeps_of_one_deadline_end_in_the_order_of_their_first_polls() {
    on_every_kernel(|runtime, _| {
        let ledger = Ledger::new();
        runtime.block_on(async {
            let deadline = time::now() + Duration::from_millis(5);
            join_all((0..5).map(|number| {
                let ledger = ledger.clone();
                uring::spawn(async move {
                    time::sleep_until(deadline).await;
                    ledger.note(number);
                })
            }))
            .await;
        });
        assert_eq!(ledger.events(), ["0", "1", "2", "3", "4"]);
    });
}

#[test]
fn a_sleep_is_never_too_short() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            for micros in [1, 100, 1_000, 3_000] {
                let (start, nap) = (time::now(), Duration::from_micros(micros));
                time::sleep(nap).await;
                assert!(time::now() - start >= nap);
            }
        });
    });
}

#[test]
fn a_timeout_drops_the_operation_it_wraps_and_its_buffer_waits_for_the_completion() {
    on_every_kernel(|runtime, on| {
        let (ledger, (reader, _writer)) = (Ledger::new(), on.pipe());
        runtime.block_on(async {
            let buf = NotedBuf::new(16, &ledger, "buffer freed");
            let read = op::submit(op::Read { fd: reader, offset: None, buf });
            let result = time::timeout(Duration::from_millis(3), read).await;
            assert!(result.is_err(), "nothing was there to read");
            ledger.note("timed out");
            assert_eq!(runtime.metrics().in_flight, 1);
            all_quiet(runtime).await;
        });
        assert_eq!(ledger.events(), ["timed out", "buffer freed"]);
    });
}

#[test]
fn a_timeout_that_was_not_needed_leaves_no_alarm() {
    on_every_kernel(|runtime, on| {
        let (reader, writer) = on.pipe();
        let before = runtime.block_on(async {
            for _ in 0..steps(100, 10) {
                put(&writer, b"x").await;
                let read = op::Read { fd: reader.clone(), offset: None, buf: vec![0; 8] };
                let read = time::timeout(HOUR, op::submit(read)).await;
                assert_eq!(read.expect("in time").expect("a read").0, 1);
            }
            time::now()
        });
        assert!(runtime.block_on(async { time::now() }) - before < HOUR);
    });
}

#[test]
fn an_hour_passes_at_once_in_the_simulation() {
    on_every_kernel(|runtime, on| {
        let On::Sim { sim, .. } = on else { return };
        let (reader, _writer) = on.pipe();
        let real = Instant::now();
        runtime.block_on(async {
            let read = op::submit(op::Read { fd: reader, offset: None, buf: vec![0; 8] });
            assert!(time::timeout(HOUR, read).await.is_err());
            all_quiet(runtime).await;
        });
        assert!(sim.elapsed() >= HOUR);
        assert!(real.elapsed() < HOUR);
    });
}

/// The turn that slept until a deadline rings it: not the next one, which may have to wait for something else.
#[test]
fn an_alarm_rings_in_the_turn_that_slept_for_it() {
    on_every_kernel(|runtime, on| {
        let On::Sim { .. } = on else { return };
        runtime.block_on(async {
            // Whatever the start of a runtime submits is behind us.
            one_turn().await;
            for _ in 0..3 {
                let before = runtime.metrics().enters;
                time::sleep(Duration::from_millis(1)).await;
                assert_eq!(runtime.metrics().enters - before, 1);
            }
        });
    });
}

#[test]
fn a_task_that_always_wakes_itself_starves_neither_alarms_nor_operations() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    on_every_kernel(|runtime, on| {
        let (reader, writer) = on.pipe();
        runtime.block_on(async {
            let stop = Rc::new(Cell::new(false));
            let stopped = Rc::clone(&stop);
            let busy = uring::spawn(async move {
                while !stopped.get() {
                    yield_now().await;
                }
            });
            for _ in 0..steps(10, 1) {
                time::sleep(Duration::from_micros(10)).await;
                put(&writer, b"x").await;
                let read = op::Read { fd: reader.clone(), offset: None, buf: vec![0; 8] };
                assert_eq!(op::submit(read).await.expect("a read").0, 1);
            }
            stop.set(true);
            busy.await.expect("a task");
        });
    });
}

#[test]
fn a_main_future_that_always_wakes_itself_starves_nobody_either() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    on_every_kernel(|runtime, on| {
        let (reader, writer) = on.pipe();
        let done = Rc::new(Cell::new(false));
        let told = Rc::clone(&done);
        runtime.block_on(async {
            uring::spawn(async move {
                time::sleep(Duration::from_micros(10)).await;
                put(&writer, b"x").await;
                let read = op::Read { fd: reader, offset: None, buf: vec![0; 8] };
                assert_eq!(op::submit(read).await.expect("a read").0, 1);
                told.set(true);
            });
            std::future::poll_fn(|context| {
                context.waker().wake_by_ref();
                if done.get() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        });
    });
}

/// Has the main future spawn and join so many tasks at a time, behind so many others, until a read is done that can end
/// only when what the kernel deferred is fetched.
fn join_until_a_read_is_done(runtime: &Runtime, on: &On, before: usize, at_once: usize) {
    let (reader, writer) = on.pipe();
    let done = Rc::new(Cell::new(false));
    let told = Rc::clone(&done);
    runtime.block_on(async {
        uring::spawn(async move {
            let read = op::Read { fd: reader, offset: None, buf: vec![0; 8] };
            assert_eq!(op::submit(read).await.expect("a read").0, 1);
            told.set(true);
        });
        a_while().await;
        uring::spawn(async move { put(&writer, b"x").await });
        (0..before).for_each(|_| drop(uring::spawn(async {})));
        while !done.get() {
            join_all((0..at_once).map(|_| uring::spawn(async {}))).await;
        }
    });
}

#[test]
fn a_main_future_that_spawns_and_joins_without_pause_lets_completions_come() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    on_every_kernel(|runtime, on| {
        // Whether a turn falls into a round depends on how many polls there were.
        for before in 0..3 {
            for at_once in [1, 2, 25] {
                join_until_a_read_is_done(runtime, on, before, at_once);
            }
        }
    });
}

#[test]
fn a_main_future_that_yields_lets_the_others_run_however_long_it_has_been_busy() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            // Behind each number of polls that a turn may have left.
            for polls in 0..steps(140, 70) {
                (0..polls % 2).for_each(|_| drop(uring::spawn(async {})));
                for _ in 0..polls / 2 {
                    uring::spawn(async {}).await.expect("it does not panic");
                }
                let ran = Rc::new(Cell::new(false));
                let runs = Rc::clone(&ran);
                uring::spawn(async move { runs.set(true) });
                yield_now().await;
                assert!(ran.get(), "behind {polls} polls");
            }
        });
    });
}

#[test]
fn hundreds_of_busy_tasks_let_an_operation_through() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let stop = Rc::new(Cell::new(false));
            for _ in 0..steps(300, 30) {
                let stop = Rc::clone(&stop);
                uring::spawn(async move {
                    while !stop.get() {
                        yield_now().await;
                    }
                });
            }
            for _ in 0..5 {
                op::submit(op::Nop).await.expect("a nop");
            }
            stop.set(true);
            one_turn().await;
        });
    });
}

#[test]
fn an_interval_ticks_beside_operations() {
    on_every_kernel(|runtime, on| {
        let (reader, writer) = on.pipe();
        let ledger = Ledger::new();
        runtime.block_on(async {
            let noted = ledger.clone();
            let ticking = uring::spawn(async move {
                let mut ticks = time::interval(Duration::from_millis(2));
                for _ in 0..5 {
                    ticks.tick().await;
                    noted.note("tick");
                    put(&writer, b"x").await;
                }
            });
            for _ in 0..5 {
                let read = op::Read { fd: reader.clone(), offset: None, buf: vec![0; 1] };
                op::submit(read).await.expect("a read");
                ledger.note("read");
            }
            ticking.await.expect("a task");
        });
        let ticks = ledger.events().iter().filter(|event| *event == "tick").count();
        assert_eq!((ticks, ledger.events().len()), (5, 10));
        assert_eq!(ledger.events()[0], "tick");
    });
}

//! Tasks, wakers, timers, channels: what never needs the kernel, and the wake from another thread.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};

use crate::{Arguments, Meter, Report, Runtime, pin_this_thread};

/// Operations between two looks at the clock.
const BATCH: u64 = 256;
/// A far deadline, spread so that they are not all the same.
const FAR: Duration = Duration::from_secs(3600);
/// Sleeps last up to so long.
const LONGEST_SLEEP_MS: u64 = 100;
/// The core on which another thread runs that wakes this one.
const OTHER_CORE: usize = 1;
/// How long a runtime is left alone before it is woken, so that it sleeps.
const QUIET: Duration = Duration::from_micros(100);

/// Tasks that end at once: `tasks` are started, then waited for.
pub(crate) fn spawn<R: Runtime>(arguments: &Arguments) -> io::Result<Report> {
    let (tasks, window) = (arguments.number("tasks", 1)?, arguments.window()?);
    Ok(R::block_on(async move {
        let mut started = Vec::with_capacity(tasks);
        let (meter, mut ops) = (Meter::start(), 0);
        while !meter.is_over(window) {
            let before = ops;
            while ops - before < BATCH {
                started.extend((0..tasks).map(|_| R::spawn(async {})));
                for task in started.drain(..) {
                    task.await;
                }
                ops += tasks as u64;
            }
        }
        meter.stop(ops)
    }))
}

/// One task that yields.
pub(crate) fn yields<R: Runtime>(arguments: &Arguments) -> io::Result<Report> {
    repeat::<R, _>(arguments, R::yield_now)
}

/// One task that wakes itself and waits.
pub(crate) fn wake_self<R: Runtime>(arguments: &Arguments) -> io::Result<Report> {
    repeat::<R, _>(arguments, || {
        let mut woken = false;
        poll_fn(move |context| {
            if std::mem::replace(&mut woken, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
    })
}

/// The same again and again, in a task of its own.
fn repeat<R: Runtime, F: Future<Output = ()> + 'static>(
    arguments: &Arguments,
    operation: impl Fn() -> F + 'static,
) -> io::Result<Report> {
    let window = arguments.window()?;
    Ok(R::block_on(R::in_task(async move {
        let (meter, mut ops) = (Meter::start(), 0);
        while !meter.is_over(window) {
            for _ in 0..BATCH {
                operation().await;
            }
            ops += BATCH;
        }
        meter.stop(ops)
    })))
}

/// Timers that are made, polled once, dropped, while `armed` others wait.
pub(crate) fn timers<R: Runtime>(arguments: &Arguments) -> io::Result<Report> {
    let (window, armed) = (arguments.window()?, arguments.number("armed", 0)?);
    let limit = arguments.number("ops", 1_000_000)? as u64;
    Ok(R::block_on(R::in_task(async move {
        let mut context = Context::from_waker(Waker::noop());
        let mut waiting: Vec<_> = (0..armed as u32).map(|n| Box::pin(R::sleep(far(n)))).collect();
        for timer in &mut waiting {
            assert!(timer.as_mut().poll(&mut context).is_pending(), "an hour is not over");
        }
        let (meter, mut ops) = (Meter::start(), 0_u64);
        while ops < limit && !meter.is_over(window) {
            for _ in 0..BATCH {
                let timer = pin!(R::sleep(far(ops as u32)));
                assert!(timer.poll(&mut context).is_pending(), "an hour is not over");
                ops += 1;
            }
        }
        meter.stop(ops)
    })))
}

fn far(number: u32) -> Duration {
    FAR + Duration::from_millis(u64::from(number % 1000))
}

/// `tasks` tasks that sleep once each, all at the same time. The latencies are how late they woke.
pub(crate) fn sleeps<R: Runtime>(arguments: &Arguments) -> io::Result<Report> {
    let tasks = arguments.number("tasks", 100_000)?;
    Ok(R::block_on(async move {
        let meter = Meter::start();
        let sleepers = (0..tasks as u64).map(|number| {
            R::spawn(async move {
                let duration = Duration::from_millis(1 + number % LONGEST_SLEEP_MS);
                let started = Instant::now();
                R::sleep(duration).await;
                started.elapsed() - duration
            })
        });
        let sleepers: Vec<_> = sleepers.collect();
        let mut late = Vec::with_capacity(tasks);
        for sleeper in sleepers {
            late.push(sleeper.await);
        }
        meter.stop(tasks as u64).with_latencies(late)
    }))
}

/// Two tasks that send one message to and fro: an operation is a round trip.
pub(crate) fn channel<R: Runtime>(arguments: &Arguments) -> io::Result<Report> {
    let window = arguments.window()?;
    Ok(R::block_on(R::in_task(async move {
        let (mut to, mut arrivals) = mpsc::channel::<u64>(1);
        let (mut back, mut answers) = mpsc::channel::<u64>(1);
        R::detach(async move {
            while let Some(message) = arrivals.next().await {
                if back.send(message).await.is_err() {
                    return;
                }
            }
        });
        let (meter, mut ops) = (Meter::start(), 0);
        while !meter.is_over(window) {
            for _ in 0..BATCH {
                let _ = to.send(ops).await;
                answers.next().await;
            }
            ops += BATCH;
        }
        meter.stop(ops)
    })))
}

/// A thread on the other core wakes a runtime that has nothing to do. The latencies are from the send to the
/// receipt; the CPU time is of both threads, and of the other one's waiting almost nothing.
pub(crate) fn wake_thread<R: Runtime>(arguments: &Arguments) -> io::Result<Report> {
    let window = arguments.window()?;
    let (mut to, mut arrivals) = mpsc::channel::<Instant>(1);
    let (back, answers) = std::sync::mpsc::channel::<()>();
    let waker = std::thread::spawn(move || {
        pin_this_thread(OTHER_CORE)?;
        let started = Instant::now();
        while started.elapsed() < window {
            std::thread::sleep(QUIET);
            if to.try_send(Instant::now()).is_err() || answers.recv().is_err() {
                break;
            }
        }
        io::Result::Ok(())
    });
    let report = R::block_on(R::in_task(async move {
        let mut latencies = Vec::new();
        let meter = Meter::start();
        while let Some(sent) = arrivals.next().await {
            latencies.push(sent.elapsed());
            let _ = back.send(());
        }
        meter.stop(latencies.len() as u64).with_latencies(latencies)
    }));
    waker.join().expect("the other thread does not panic")?;
    Ok(report)
}

//! Single operations for `.ci/callgrind`, which counts their instructions in user space: `instructions WORKLOAD
//! COUNT`. None waits for anything but what completes at once, so that one run is like another.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::join_all;
use futures::{SinkExt, StreamExt};
use uring::Runtime;
use uring::fs::File;
use uring::op::{self, Nop};

/// A name, and how it does so many operations.
type Workload = (&'static str, fn(&Runtime, usize));

const WORKLOADS: [Workload; 9] = [
    ("nop", |runtime, count| runtime.block_on(nops(count))),
    ("nop-64", |runtime, count| runtime.block_on(nops_at_once(count))),
    ("read-32", |runtime, count| runtime.block_on(reads_at_once(count))),
    ("spawn", |runtime, count| runtime.block_on(spawns(count))),
    ("spawn-1000", |runtime, count| runtime.block_on(spawns_at_once(count))),
    ("yield", |runtime, count| runtime.block_on(in_task(yields(count)))),
    ("wake-self", |runtime, count| runtime.block_on(in_task(wakes(count)))),
    ("timer", |runtime, count| runtime.block_on(timers(count))),
    ("channel", |runtime, count| runtime.block_on(in_task(round_trips(count)))),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--list"] => {
            WORKLOADS.iter().for_each(|(name, _)| println!("{name}"));
            ExitCode::SUCCESS
        }
        [wanted, count] if !wanted.starts_with('-') => run(wanted, count),
        // So cargo calls it, as a bench or as a test.
        _ => {
            println!("Nothing is measured here: see .ci/callgrind");
            ExitCode::SUCCESS
        }
    }
}

fn run(wanted: &str, count: &str) -> ExitCode {
    let workload = WORKLOADS.iter().find(|(name, _)| *name == wanted);
    let (Some((_, workload)), Ok(count)) = (workload, count.parse()) else {
        eprintln!("usage: instructions WORKLOAD COUNT; --list has the workloads");
        return ExitCode::FAILURE;
    };
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    workload(&runtime, count);
    ExitCode::SUCCESS
}

async fn in_task(work: impl Future<Output = ()> + 'static) {
    uring::spawn(work).await.expect("it does not panic");
}

async fn nops(count: usize) {
    for _ in 0..count {
        op::submit(Nop).await.expect("a nop succeeds");
    }
}

async fn nops_at_once(count: usize) {
    const TASKS: usize = 64;
    let tasks = (0..TASKS).map(|_| uring::spawn(nops(count / TASKS)));
    for task in join_all(tasks).await {
        task.expect("it does not panic");
    }
}

/// Reads of one page of this program, which is in the page cache.
async fn reads_at_once(count: usize) {
    const TASKS: usize = 32;
    let program = std::env::current_exe().expect("a program has a file");
    let file = Rc::new(File::open(program).await.expect("it can be read"));
    let tasks = (0..TASKS).map(|_| {
        let file = Rc::clone(&file);
        uring::spawn(async move {
            let mut buf = Vec::with_capacity(4096);
            for _ in 0..count / TASKS {
                (_, buf) = file.read_at(buf, 0).await.expect("it can be read");
            }
        })
    });
    for task in join_all(tasks).await {
        task.expect("it does not panic");
    }
}

async fn spawns(count: usize) {
    for _ in 0..count {
        uring::spawn(async {}).await.expect("it does not panic");
    }
}

async fn spawns_at_once(count: usize) {
    const TASKS: usize = 1000;
    let mut tasks = Vec::with_capacity(TASKS);
    for _ in 0..count / TASKS {
        tasks.extend((0..TASKS).map(|_| uring::spawn(async {})));
        for task in tasks.drain(..) {
            task.await.expect("it does not panic");
        }
    }
}

async fn yields(count: usize) {
    for _ in 0..count {
        uring::task::yield_now().await;
    }
}

async fn wakes(count: usize) {
    for _ in 0..count {
        let mut woken = false;
        poll_fn(|context| {
            if std::mem::replace(&mut woken, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

/// Made, polled once, dropped.
async fn timers(count: usize) {
    let mut context = Context::from_waker(Waker::noop());
    for number in 0..count {
        let deadline = Duration::from_secs(3600) + Duration::from_millis(number as u64 % 1000);
        let timer = pin!(uring::time::sleep(deadline));
        assert!(timer.poll(&mut context).is_pending(), "an hour is not over");
    }
}

async fn round_trips(count: usize) {
    let (mut to, mut arrivals) = mpsc::channel::<usize>(1);
    let (mut back, mut answers) = mpsc::channel::<usize>(1);
    drop(uring::spawn(async move {
        while let Some(message) = arrivals.next().await {
            if back.send(message).await.is_err() {
                return;
            }
        }
    }));
    for number in 0..count {
        to.send(number).await.expect("the other task is there");
        answers.next().await.expect("an answer");
    }
}

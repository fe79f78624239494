//! What tasks, wakers and timers cost: nanoseconds of this thread's CPU time, and allocations.
//!
//! `cargo bench --bench tasks [-- WORKLOAD…]` runs rounds of all workloads or of the named ones, and prints
//! the lowest and the median round.
//!
//! `tasks --ops N WORKLOAD` runs N operations once and prints nothing. Under `valgrind --tool=callgrind`, the
//! difference between two such runs is what so many operations more take in instructions, whatever else the
//! machine does; `--instructions` does that, and needs valgrind.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::process::{Command, ExitCode};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::StreamExt;
use futures::channel::{mpsc, oneshot};
use uring::time::sleep;
use uring::{Runtime, spawn, task};

const ROUNDS: usize = 9;

/// A name, how many operations a round of it has, and what does so many.
type Workload = (&'static str, usize, fn(usize));

const WORKLOADS: &[Workload] = &[
    ("spawn", 200_000, spawn_and_join),
    ("spawn-1000", 200_000, spawn_a_thousand),
    ("spawn-in-task", 200_000, spawn_in_a_task),
    ("yield", 500_000, yield_in_a_task),
    ("yield-main", 500_000, yield_in_main),
    ("wake-self", 500_000, wake_self),
    ("oneshot", 100_000, oneshot_ping_pong),
    ("channel", 100_000, channel_ping_pong),
    ("timer-drop", 200_000, timer_dropped),
    ("timer-armed", 200_000, timer_dropped_beside_many),
    ("timer-reset", 200_000, timer_reset_beside_many),
    ("sleeps", 100_000, concurrent_sleeps),
    ("runtime", 200, runtimes),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // `cargo test` runs benches too, without `--bench`.
        [] => {
            println!("This is no test. To measure: cargo bench --bench tasks");
            Ok(())
        }
        ["--ops", count, name] => run_once(count, name),
        ref words => measure(words),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tasks: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_once(count: &str, name: &str) -> Result<(), Box<dyn Error>> {
    let workload = WORKLOADS.iter().find(|workload| workload.0 == name);
    let (_, _, run) = workload.ok_or_else(|| format!("there is no workload {name}"))?;
    run(count.parse()?);
    Ok(())
}

fn measure(words: &[&str]) -> Result<(), Box<dyn Error>> {
    let (flags, names): (Vec<&str>, Vec<&str>) =
        words.iter().partition(|word| word.starts_with("--"));
    let instructions = flags.contains(&"--instructions");
    if let Some(unknown) = names.iter().find(|name| WORKLOADS.iter().all(|w| w.0 != **name)) {
        return Err(format!("there is no workload {unknown}").into());
    }
    println!("{:<14}{:>10}{:>10}{:>10}{:>14}", "", "ns min", "median", "allocs", "instructions");
    for &(name, count, run) in WORKLOADS {
        if !names.is_empty() && !names.contains(&name) {
            continue;
        }
        run(count / 10);
        let mut rounds: Vec<(f64, u64)> = (0..ROUNDS).map(|_| timed(count, run)).collect();
        rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (least, median) = (rounds[0].0, rounds[ROUNDS / 2].0);
        let allocations = rounds[0].1 as f64 / count as f64;
        let instructions =
            if instructions { instructions_of(name, count / 20)?.to_string() } else { "".into() };
        println!("{name:<14}{least:>10.1}{median:>10.1}{allocations:>10.2}{instructions:>14}");
    }
    Ok(())
}

/// Nanoseconds for each of `count` operations, and allocations for all of them.
fn timed(count: usize, run: fn(usize)) -> (f64, u64) {
    let (allocations, started) = (ALLOCATIONS.get(), cpu_time());
    run(count);
    let spent = cpu_time() - started;
    (spent.as_nanos() as f64 / count as f64, ALLOCATIONS.get() - allocations)
}

/// Instructions of one operation, in user space.
fn instructions_of(name: &str, count: usize) -> Result<u64, Box<dyn Error>> {
    let total = |operations: usize| -> Result<u64, Box<dyn Error>> {
        let out =
            std::env::temp_dir().join(format!("uring-tasks-{}.callgrind", std::process::id()));
        let out_option = format!("--callgrind-out-file={}", out.display());
        let program: PathBuf = std::env::current_exe()?;
        let ran = Command::new("valgrind")
            .args(["--tool=callgrind", "--quiet", &out_option])
            .arg(program)
            .args(["--ops", &operations.to_string(), name])
            .output()?;
        let profile = std::fs::read_to_string(&out);
        let _ = std::fs::remove_file(&out);
        if !ran.status.success() {
            return Err(String::from_utf8_lossy(&ran.stderr).into());
        }
        let profile = profile?;
        let line = profile.lines().find_map(|line| line.strip_prefix("totals: "));
        Ok(line.ok_or("callgrind gave no total")?.trim().parse()?)
    };
    Ok((total(count * 3)? - total(count)?) / (count as u64 * 2))
}

fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists since Linux 2.6.12 and fills in the timespec (clock_gettime(2)).
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn in_a_runtime<F: Future>(future: F) -> F::Output {
    Runtime::new().expect("a runtime").block_on(future)
}

fn spawn_and_join(count: usize) {
    in_a_runtime(async {
        for number in 0..count {
            assert_eq!(spawn(async move { number }).await.expect("a task"), number);
        }
    });
}

fn spawn_a_thousand(count: usize) {
    in_a_runtime(async {
        let mut handles = Vec::with_capacity(1000);
        for _ in 0..count / 1000 {
            handles.extend((0..1000).map(|number| spawn(async move { number })));
            for handle in handles.drain(..) {
                handle.await.expect("a task");
            }
        }
    });
}

fn spawn_in_a_task(count: usize) {
    in_a_runtime(async {
        let task = spawn(async move {
            for number in 0..count {
                assert_eq!(spawn(async move { number }).await.expect("a task"), number);
            }
        });
        task.await.expect("a task");
    });
}

fn yield_in_a_task(count: usize) {
    in_a_runtime(async {
        let task = spawn(async move {
            for _ in 0..count {
                task::yield_now().await;
            }
        });
        task.await.expect("a task");
    });
}

fn yield_in_main(count: usize) {
    in_a_runtime(async {
        for _ in 0..count {
            task::yield_now().await;
        }
    });
}

fn wake_self(count: usize) {
    in_a_runtime(async {
        let mut left = count;
        let task = spawn(poll_fn(move |cx| {
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        task.await.expect("a task");
    });
}

fn oneshot_ping_pong(count: usize) {
    in_a_runtime(async {
        let (requests, mut served) = mpsc::unbounded::<oneshot::Sender<usize>>();
        let server = spawn(async move {
            let mut number = 0;
            while let Some(request) = served.next().await {
                number += 1;
                request.send(number).expect("somebody waits");
            }
        });
        let client = spawn(async move {
            for number in 1..=count {
                let (answer, answered) = oneshot::channel();
                requests.unbounded_send(answer).expect("the server lives");
                assert_eq!(answered.await, Ok(number));
            }
        });
        client.await.expect("a task");
        server.await.expect("a task");
    });
}

fn channel_ping_pong(count: usize) {
    in_a_runtime(async {
        let (ping, mut pinged) = mpsc::unbounded::<usize>();
        let (pong, mut ponged) = mpsc::unbounded::<usize>();
        let server = spawn(async move {
            while let Some(number) = pinged.next().await {
                pong.unbounded_send(number).expect("the client lives");
            }
        });
        let client = spawn(async move {
            for number in 0..count {
                ping.unbounded_send(number).expect("the server lives");
                assert_eq!(ponged.next().await, Some(number));
            }
        });
        client.await.expect("a task");
        server.await.expect("a task");
    });
}

/// Deadlines of no order, an hour or more away.
fn far(seed: &mut u64) -> Duration {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    Duration::from_secs(3600) + Duration::from_nanos(*seed % 1_000_000_000_000)
}

fn set<F: Future<Output = ()> + Unpin>(alarm: &mut F) {
    assert!(Pin::new(alarm).poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

fn timer_dropped(count: usize) {
    in_a_runtime(async {
        let mut seed = 1;
        for _ in 0..count {
            set(&mut pin!(sleep(far(&mut seed))));
        }
    });
}

fn many_sleeps(seed: &mut u64) -> Vec<Pin<Box<uring::time::Sleep>>> {
    let arm = |_| {
        let mut alarm = Box::pin(sleep(far(seed)));
        set(&mut alarm);
        alarm
    };
    (0..100_000).map(arm).collect()
}

fn timer_dropped_beside_many(count: usize) {
    in_a_runtime(async {
        let mut seed = 1;
        let _others = many_sleeps(&mut seed);
        for _ in 0..count {
            set(&mut pin!(sleep(far(&mut seed))));
        }
    });
}

fn timer_reset_beside_many(count: usize) {
    in_a_runtime(async {
        let mut seed = 1;
        let mut others = many_sleeps(&mut seed);
        let (now, many) = (uring::time::now(), others.len());
        for number in 0..count {
            others[number.wrapping_mul(7919) % many].as_mut().reset(now + far(&mut seed));
        }
    });
}

fn concurrent_sleeps(count: usize) {
    in_a_runtime(async {
        let nap =
            |number: usize| sleep(Duration::from_micros((number * 7919 % 99_000) as u64 + 1000));
        let tasks: Vec<_> =
            (0..count).map(|number| spawn(async move { nap(number).await })).collect();
        for task in tasks {
            task.await.expect("a task");
        }
    });
}

fn runtimes(count: usize) {
    for _ in 0..count {
        in_a_runtime(async {});
    }
}

/// Counts what this thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: the system's allocator does the work; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's contract is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is that of `System`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

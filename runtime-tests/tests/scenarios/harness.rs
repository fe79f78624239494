//! Runs a scenario by seeds, and looks at what it leaves.

use std::cell::Cell;
use std::fmt::Display;
use std::io;
use std::mem::ManuallyDrop;
use std::panic::{self, AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::LocalBoxFuture;
use uring::io::raw_os_error;
use uring::sim::{Fault, Faults, Sim};
use uring::time::{sleep, timeout};
use uring::{Builder, Runtime};

/// Lines of the trace that a failure shows.
const TRACE_LINES: usize = 80;
/// Virtual time after which a scenario is stuck.
const LIMIT: Duration = Duration::from_secs(3600);
/// So often each kind of fault is injected at least in a run of [`FULL_RUN`] seeds.
const EACH_AT_LEAST: u64 = 1000;
const FULL_RUN: u64 = 10_000;

/// A program to run on the simulated kernel.
pub(crate) struct Scenario {
    /// That of its test.
    pub(crate) name: &'static str,
    pub(crate) play: fn(Rc<Stage>) -> LocalBoxFuture<'static, ()>,
}

/// What a scenario is given.
pub(crate) struct Stage {
    pub(crate) sim: Sim,
    /// Errors that made the program give a connection up.
    pub(crate) trouble: Cell<u64>,
    draws: Cell<u64>,
    lives: Rc<Lives>,
}

/// How many things were made, and how many dropped.
#[derive(Debug, Default)]
struct Lives {
    begun: Cell<u64>,
    ended: Cell<u64>,
}

/// Something that is to be dropped once.
pub(crate) struct Life(Rc<Lives>);

impl Drop for Life {
    fn drop(&mut self) {
        self.0.ended.set(self.0.ended.get() + 1);
    }
}

impl Stage {
    /// A number below `end`, by the seed.
    pub(crate) fn below(&self, end: u64) -> u64 {
        let next = self.draws.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.draws.set(next);
        (next >> 33) % end
    }

    /// A number below `end`, small ones as likely as large ones.
    pub(crate) fn of_any_size(&self, end: u64) -> u64 {
        let digits = u64::from(end.ilog2()) + 1;
        let most = end.min(1 << (1 + self.below(digits)));
        self.below(most)
    }

    /// A time of a microsecond to some milliseconds.
    pub(crate) fn moment(&self) -> Duration {
        Duration::from_micros(1 + self.of_any_size(8000))
    }

    /// A life that ends with what holds it: a task, a connection.
    pub(crate) fn life(&self) -> Life {
        self.lives.begun.set(self.lives.begun.get() + 1);
        Life(Rc::clone(&self.lives))
    }

    /// What may have cut a connection short so far: its loss, or that the other side gave it up.
    pub(crate) fn mishaps(&self) -> u64 {
        self.trouble.get() + self.sim.injected(Fault::Reset)
    }

    /// Fails the test if the connection of `who` was cut off and there has been no mishap more than the `before` that
    /// there were when it was begun.
    pub(crate) fn excuses(&self, error: &io::Error, before: u64, who: impl Display) {
        let cut_off = [
            io::ErrorKind::UnexpectedEof,
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::BrokenPipe,
        ];
        assert!(
            !cut_off.contains(&error.kind()) || self.mishaps() > before,
            "{who} was cut off, and nothing had happened: {error}"
        );
    }

    /// What a robust program does about an error: waits a little before it tries again. One that nothing should
    /// lead to fails the test.
    pub(crate) async fn again(&self, error: &io::Error) {
        let expected = [
            libc::EIO,
            libc::ENOSPC,
            libc::EDQUOT,
            libc::ENOMEM,
            libc::ENOBUFS,
            libc::EMFILE,
            libc::ENFILE,
            libc::ECONNREFUSED,
            libc::ECONNABORTED,
            libc::ETIMEDOUT,
            libc::ENETUNREACH,
            libc::EADDRNOTAVAIL,
            libc::ECONNRESET,
            libc::EPIPE,
            libc::ENOTCONN,
        ];
        let errno = raw_os_error(error);
        let known = errno.is_some_and(|errno| expected.contains(&errno))
            || error.kind() == io::ErrorKind::UnexpectedEof;
        assert!(known, "nobody should see this error: {error:?}");
        sleep(self.moment()).await;
    }
}

/// Whether an error leaves a connection as it was.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::ENOBUFS))
}

/// The byte that belongs at a place of a stream: one that moved by any small distance differs.
pub(crate) fn expected(stream: u64, at: u64) -> u8 {
    (at.wrapping_mul(31) ^ (at >> 8) ^ (at >> 16) ^ stream.wrapping_mul(97)) as u8
}

/// The bytes of a stream from a place on.
pub(crate) fn stretch(stream: u64, from: u64, len_bytes: u64) -> Vec<u8> {
    (from..from + len_bytes).map(|at| expected(stream, at)).collect()
}

static INJECTED: [AtomicU64; Fault::ALL.len()] = [const { AtomicU64::new(0) }; Fault::ALL.len()];
static RUNS: AtomicU64 = AtomicU64::new(0);

fn variable(name: &str) -> Option<u64> {
    let said = std::env::var(name).ok()?;
    Some(said.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

thread_local! {
    static PLAYING: Cell<(&'static str, u64)> = const { Cell::new(("", 0)) };
}

/// Has every panic say how to play it again: also one that ends the process.
fn tell_how_to_replay() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            usual(panic);
            let (name, seed) = PLAYING.get();
            eprintln!(
                "play it again: URING_SEED={seed} cargo test -p runtime-tests --test scenarios {name}"
            );
        }));
    });
}

/// Runs a scenario by as many seeds as were asked for.
pub(crate) fn run(scenario: &Scenario) {
    let (count, start) =
        (variable("URING_SEEDS").unwrap_or(if cfg!(miri) { 1 } else { 20 }), Instant::now());
    let seeds = variable("URING_SEED").map_or(0..count, |seed| seed..seed + 1);
    for seed in seeds.clone() {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| play(scenario, seed, &world(seed)))) {
            show(scenario, seed);
            resume_unwind(panic);
        }
    }
    eprintln!("{}: {} seeds in {:?}", scenario.name, seeds.end - seeds.start, start.elapsed());
    // Who is the last of the four counts for all.
    if RUNS.fetch_add(1, Ordering::Relaxed) == 3 {
        for fault in Fault::ALL {
            let injected = INJECTED[fault as usize].load(Ordering::Relaxed);
            eprintln!("{fault:?}: injected {injected} times");
            assert!(count < FULL_RUN || injected >= EACH_AT_LEAST, "{fault:?} is too seldom");
        }
    }
}

fn world(seed: u64) -> Sim {
    let sim = Sim::new(seed).faults(Faults::everything());
    // No other thread could end a wait.
    sim.deadlock_limit(Duration::ZERO);
    sim
}

/// Plays a seed that failed once more, with its trace.
fn show(scenario: &Scenario, seed: u64) {
    let sim = world(seed);
    sim.keep_trace(TRACE_LINES);
    let again = catch_unwind(AssertUnwindSafe(|| play(scenario, seed, &sim)));
    eprintln!(
        "the last of the trace of seed {seed} ({} enters, {:?}):",
        sim.enters(),
        sim.elapsed()
    );
    sim.trace().iter().for_each(|line| eprintln!("  {line}"));
    if again.is_ok() {
        eprintln!("it did not fail again: something else than the seed decides");
    }
}

/// The hash of a run's trace.
pub(crate) fn trace_of(scenario: &Scenario, seed: u64) -> u64 {
    let sim = world(seed);
    play(scenario, seed, &sim);
    sim.trace_hash()
}

fn play(scenario: &Scenario, seed: u64, sim: &Sim) {
    tell_how_to_replay();
    PLAYING.set((scenario.name, seed));
    let lives = Rc::new(Lives::default());
    let stage = Rc::new(Stage {
        sim: sim.clone(),
        trouble: Cell::new(0),
        draws: Cell::new(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        lives: Rc::clone(&lives),
    });
    let runtime = builder(&stage).kernel(sim.kernel()).build().expect("a runtime");
    // What has failed is not torn down, which could fail once more and end the process.
    let runtime = ManuallyDrop::new(runtime);
    // Some runs are broken off, with whatever is in flight then.
    let breaks_off = stage.below(8) == 0;
    let limit = if breaks_off { stage.moment() * 4 } else { LIMIT };
    let life = stage.life();
    let played = runtime.block_on(timeout(limit, (scenario.play)(stage)));
    drop(life);
    if played.is_ok() {
        leaves_nothing(&runtime);
    } else {
        assert!(breaks_off, "the scenario is stuck: {:?}, {runtime:?}", runtime.metrics());
    }
    assert_eq!(runtime.metrics().strange_completions, 0);
    assert_eq!(
        ManuallyDrop::into_inner(runtime).shutdown().leaked,
        0,
        "operations were left to the kernel"
    );
    assert_eq!((sim.in_flight(), sim.open_descriptors()), (0, 0), "left in the kernel");
    assert_eq!(lives.begun, lives.ended, "something was dropped twice or never");
    for fault in Fault::ALL {
        INJECTED[fault as usize].fetch_add(sim.injected(fault), Ordering::Relaxed);
    }
}

/// Queues of any size, so that they are full now and then.
fn builder(stage: &Stage) -> Builder {
    let entries = 1 << stage.below(7);
    let cq_entries = entries << stage.below(3);
    Runtime::builder().entries(entries).cq_entries(cq_entries).shutdown_limit(Duration::MAX)
}

/// Waits for what was dropped in flight; nothing else may be there.
fn leaves_nothing(runtime: &Runtime) {
    runtime.block_on(async {
        // A notification may take a minute.
        for _ in 0..10_000 {
            if runtime.metrics().in_flight == 0 {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    });
    let metrics = runtime.metrics();
    assert_eq!((metrics.slots_in_use, metrics.blocks_in_use), (0, 0), "slots and blocks");
    assert_eq!((metrics.timers, metrics.tasks), (0, 0), "timers and tasks");
    assert_eq!(metrics.lost_completions, 0);
}

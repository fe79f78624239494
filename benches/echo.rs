//! What an echo costs: our server, the same loop written by hand on our own `Ring`, and tokio's.
//!
//! `cargo bench --bench echo [-- --quick | --rounds N] [--json]` (under three minutes)
//!
//! Each server runs alone on core 0 and this process loads it from core 1. Machines drift by more
//! than the servers differ, so the contenders take turns, ratios are formed within a round, and
//! the table shows medians over the rounds with the lowest and highest in brackets.

mod load;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use load::{Outcome, Plan, Server};

const SERVER_CORE: usize = 0;
const LOAD_CORE: usize = 1;
const CONNECTIONS: [usize; 3] = [1, 64, 1000];
const MESSAGE_BYTES: usize = 64;
const WARM_UP: Duration = Duration::from_millis(500);
const WINDOW: Duration = Duration::from_millis(2000);

struct Contender {
    name: &'static str,
    program: PathBuf,
}

/// Where the baselines are in the list of contenders.
const BY_HAND: usize = 1;
const TOKIO: usize = 2;

struct Options {
    rounds: usize,
    json: bool,
}

/// Outcomes by number of connections and contender, one for each round.
type Outcomes = BTreeMap<(usize, usize), Vec<Outcome>>;

fn main() -> ExitCode {
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<(), Box<dyn Error>> {
    let Some(options) = options()? else {
        println!("This is no test. To measure: cargo bench --bench echo");
        return Ok(());
    };
    let contenders = build()?;
    pin_this_process()?;

    let mut outcomes = Outcomes::new();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for connections in CONNECTIONS {
            for (index, contender) in contenders.iter().enumerate() {
                let outcome = measure(contender, connections).map_err(|error| {
                    format!("{}, {connections} connections: {error}", contender.name)
                })?;
                if options.json {
                    print_json(round, contender.name, connections, &outcome);
                }
                outcomes.entry((connections, index)).or_default().push(outcome);
            }
        }
    }
    if !options.json {
        print_table(&contenders, &outcomes, options.rounds);
    }
    Ok(())
}

/// None when cargo runs this as a test: only `cargo bench` gives `--bench`.
fn options() -> Result<Option<Options>, Box<dyn Error>> {
    let mut options = Options { rounds: 5, json: false };
    let mut is_bench = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => is_bench = true,
            "--quick" => options.rounds = 2,
            "--json" => options.json = true,
            "--rounds" => {
                let rounds = arguments.next().ok_or("--rounds needs a number")?;
                options.rounds = rounds.parse().map_err(|error| format!("--rounds: {error}"))?;
            }
            other => return Err(format!("unknown argument {other:?}").into()),
        }
    }
    if options.rounds == 0 {
        return Err("--rounds must be at least 1".into());
    }
    Ok(is_bench.then_some(options))
}

/// Builds all contenders, in the order the constants above rely on.
fn build() -> Result<Vec<Contender>, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    cargo_build(root, &["--example", "echo", "--example", "echo_by_hand"])?;
    let rivals = root.join("benches/rivals");
    let rivals_target = rivals.join("target");
    let target_argument = rivals_target.to_str().ok_or("the path to the repository is no UTF-8")?;
    cargo_build(&rivals, &["--target-dir", target_argument])?;

    // This program is TARGET/release/deps/echo-…, and cargo puts examples in TARGET/release.
    let this = std::env::current_exe()?;
    let release = this.ancestors().nth(2).ok_or("this program does not lie where cargo puts it")?;
    Ok(vec![
        Contender { name: "uring", program: release.join("examples/echo") },
        Contender { name: "by hand", program: release.join("examples/echo_by_hand") },
        Contender { name: "tokio", program: rivals_target.join("release/tokio_echo") },
    ])
}

fn cargo_build(folder: &Path, arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked"])
        .args(arguments)
        .current_dir(folder)
        .status()?;
    if status.success() { Ok(()) } else { Err("cargo build failed".into()) }
}

/// Binds this thread, the only one, to its core.
fn pin_this_process() -> Result<(), Box<dyn Error>> {
    let pid = std::process::id().to_string();
    let status = Command::new("taskset")
        .args(["-cp", &LOAD_CORE.to_string(), &pid])
        .stdout(Stdio::null())
        .status()
        .map_err(|error| format!("taskset (util-linux): {error}"))?;
    if status.success() { Ok(()) } else { Err("two cores are needed, 0 and 1".into()) }
}

/// A fresh process each time: what an earlier cell left in its heap must not count.
fn measure(contender: &Contender, connections: usize) -> std::io::Result<Outcome> {
    let server = Server::start(&contender.program, SERVER_CORE)?;
    let plan = Plan { connections, message_bytes: MESSAGE_BYTES, warm_up: WARM_UP, window: WINDOW };
    load::run(&server, &plan)
}

fn print_json(round: usize, name: &str, connections: usize, outcome: &Outcome) {
    let Outcome { echoes, echoes_per_s, cpu_us_per_echo, p50_us, p99_us } = outcome;
    println!(
        "{{\"round\":{round},\"contender\":\"{name}\",\"connections\":{connections},\
         \"message_bytes\":{MESSAGE_BYTES},\"echoes\":{echoes},\
         \"echoes_per_s\":{echoes_per_s:.0},\"cpu_us_per_echo\":{cpu_us_per_echo:.3},\
         \"p50_us\":{p50_us:.1},\"p99_us\":{p99_us:.1}}}"
    );
}

fn print_table(contenders: &[Contender], outcomes: &Outcomes, rounds: usize) {
    println!("{MESSAGE_BYTES} B messages, {rounds} rounds of {WINDOW:?}: median (lowest-highest)");
    println!(
        "{:>11} {:8} {:>20} {:>9} {:>8} {:>8} {:>18} {:>18} {:>13} {:>11}",
        "connections",
        "server",
        "CPU µs/echo",
        "echoes/s",
        "p50 µs",
        "p99 µs",
        "CPU / by hand",
        "CPU / tokio",
        "rate/by hand",
        "rate/tokio",
    );
    for (&(connections, index), own) in outcomes {
        let cpu_over = |baseline: usize| {
            ratios(own, &outcomes[&(connections, baseline)], |outcome| outcome.cpu_us_per_echo)
        };
        let rate_over = |baseline: usize| {
            ratios(own, &outcomes[&(connections, baseline)], |outcome| outcome.echoes_per_s)
        };
        let figures = |figure: fn(&Outcome) -> f64| Spread::of(own.iter().map(figure).collect());
        println!(
            "{connections:>11} {:8} {:>20} {:>9.0} {:>8.1} {:>8.1} {:>18} {:>18} {:>13.2} {:>11.2}",
            contenders[index].name,
            figures(|outcome| outcome.cpu_us_per_echo).to_string(),
            figures(|outcome| outcome.echoes_per_s).median,
            figures(|outcome| outcome.p50_us).median,
            figures(|outcome| outcome.p99_us).median,
            cpu_over(BY_HAND).to_string(),
            cpu_over(TOKIO).to_string(),
            rate_over(BY_HAND).median,
            rate_over(TOKIO).median,
        );
    }
}

/// The ratio of a figure in each round to the baseline's in the same round.
fn ratios(own: &[Outcome], baseline: &[Outcome], figure: fn(&Outcome) -> f64) -> Spread {
    Spread::of(own.iter().zip(baseline).map(|(own, base)| figure(own) / figure(base)).collect())
}

struct Spread {
    lowest: f64,
    median: f64,
    highest: f64,
}

impl Spread {
    /// Of at least one figure. An even number of them has the mean of the middle two as median.
    fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let (count, middle) = (figures.len(), figures.len() / 2);
        let median = (figures[(count - 1) / 2] + figures[middle]) / 2.0;
        Self { lowest: figures[0], median, highest: figures[count - 1] }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ({:.2}-{:.2})", self.median, self.lowest, self.highest)
    }
}

//! What `uring` costs, beside what others cost: `cargo bench --bench suite [-- OPTIONS] [WORKLOAD…]`.
//!
//! Every contender is a process of its own on core 0, loaded from core 1 where it serves. Machines drift by
//! more than contenders differ, so they take turns, A B C A B C …, ratios are formed within a round, and the
//! tables show medians over the rounds with the lowest and the highest. Servers of echoes take turns within a round,
//! too.
//!
//! What was measured is in `target/bench-report/`: `samples.jsonl`, `tables.md`, and a chart for each workload.
//! `--docs` writes `docs/benchmarks.md` from the samples; with `--report` nothing is measured before.

mod cells;
mod chart;
mod contenders;
mod load;
mod machine;
mod measure;
mod options;
mod report;
mod samples;
mod tables;
mod tools;
mod turns;

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use cells::Cell;
use contenders::Contender;
use measure::{Bench, Measured};
use options::Options;
use report::Report;

/// How many contenders further a round begins than the one before it. Neither 1 nor a divisor of their number, so that
/// nobody is always behind the same one of the first.
const SHIFT: usize = 4;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("suite: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let Some(options) = Options::of_process()? else {
        println!("This is no test. To measure: cargo bench --bench suite -- --help");
        return Ok(());
    };
    if options.help {
        println!("{}", options::USAGE);
        return Ok(());
    }
    let report = if options.report_only { Report::read()? } else { take_turns(&options)? };
    report.write()?;
    println!("{}", report.tables());
    if options.docs {
        report.write_docs()?;
    }
    Ok(())
}

/// Measures every cell with every contender, round by round.
fn take_turns(options: &Options) -> Result<Report, Box<dyn Error>> {
    let cells: Vec<Cell> =
        cells::all(options.quick).into_iter().filter(|cell| options.wants(cell)).collect();
    if cells.is_empty() {
        return Err("no such workload: see --help".into());
    }
    let contenders: Vec<Contender> =
        contenders::build()?.into_iter().filter(|contender| options.has(contender)).collect();
    let bench = Bench::prepare(&cells, options.quick)?;
    machine::pin_this_process(machine::LOAD_CORE)?;

    let mut report = Report::new(options.rounds, &cells);
    let started = Instant::now();
    for round in 1..=options.rounds {
        for cell in &cells {
            // Each round begins with another: behind freshly written files or a busy cell, the first pays.
            let (later, first) = contenders.split_at((round - 1) * SHIFT % contenders.len().max(1));
            let taking_part: Vec<&Contender> = first
                .iter()
                .chain(later)
                .chain(cell.tools())
                .filter(|contender| contender.takes_part(cell.workload))
                .filter(|contender| !report.lacks(cell, contender))
                .collect();
            let measured = bench.measure_all(cell, &taking_part);
            for (contender, measured) in taking_part.into_iter().zip(measured) {
                match measured {
                    Ok(Measured::Sample(sample)) => report.add(round, cell, contender, sample),
                    Ok(Measured::Lacks(reason)) => {
                        report.add_lack(cell, contender, &reason, false);
                    }
                    Err(error) => report.add_lack(cell, contender, &error.to_string(), true),
                }
            }
        }
        let elapsed = started.elapsed();
        eprintln!("round {round} of {}: {:.0} s", options.rounds, elapsed.as_secs_f64());
        report.set_rounds(round);
        let next = elapsed / round as u32;
        if round < options.rounds && elapsed + next > options.limit() {
            eprintln!("no time for more rounds");
            break;
        }
    }
    Ok(report)
}

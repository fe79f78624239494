//! The command line.

use std::time::Duration;

use crate::cells::{self, Cell};
use crate::contenders::Contender;

pub(crate) const USAGE: &str = "\
Measures uring, other runtimes, and bare loops on the ring, in turns.

Usage: cargo bench --bench suite -- [OPTIONS] [WORKLOAD…]

  WORKLOAD        echo, think, stream, accept, idle, read, write, open, create, copy, nop, spawn, yield, timers,
                  channel, wake, start; without one, all of them
  --quick         fewer cells and shorter windows: under 3 minutes
  --rounds N      so many turns of each contender (5; 3 with --quick)
  --only NAME     only this contender; can be given again
  --report        measures nothing: makes tables and charts of the samples that are there
  --docs          writes docs/benchmarks.md";

/// What the whole may take. Where a machine is too slow for all rounds, it gets fewer.
const LIMIT: Duration = Duration::from_secs(20 * 60);
const QUICK_LIMIT: Duration = Duration::from_secs(3 * 60);
const ROUNDS: usize = 5;
const QUICK_ROUNDS: usize = 3;

pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) rounds: usize,
    pub(crate) report_only: bool,
    pub(crate) docs: bool,
    pub(crate) help: bool,
    workloads: Vec<String>,
    only: Vec<String>,
}

impl Options {
    /// None when cargo runs this as a test: only `cargo bench` gives `--bench`.
    pub(crate) fn of_process() -> Result<Option<Options>, String> {
        let mut options = Options {
            quick: false,
            rounds: 0,
            report_only: false,
            docs: false,
            help: false,
            workloads: Vec::new(),
            only: Vec::new(),
        };
        let mut is_bench = false;
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--bench" => is_bench = true,
                "--quick" => options.quick = true,
                "--report" => options.report_only = true,
                "--docs" => options.docs = true,
                "--help" | "-h" => options.help = true,
                "--only" => options.only.push(value()?),
                "--rounds" => {
                    options.rounds =
                        value()?.parse().map_err(|error| format!("--rounds: {error}"))?;
                }
                flag if flag.starts_with('-') => {
                    return Err(format!("{flag} is unknown: see --help"));
                }
                workload if cells::is_known(workload) => options.workloads.push(argument),
                workload => return Err(format!("no workload {workload:?}: see --help")),
            }
        }
        if options.rounds == 0 {
            options.rounds = if options.quick { QUICK_ROUNDS } else { ROUNDS };
        }
        Ok(is_bench.then_some(options))
    }

    pub(crate) fn limit(&self) -> Duration {
        if self.quick { QUICK_LIMIT } else { LIMIT }
    }

    pub(crate) fn wants(&self, cell: &Cell) -> bool {
        self.workloads.is_empty() || self.workloads.iter().any(|workload| workload == cell.workload)
    }

    pub(crate) fn has(&self, contender: &Contender) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == contender.name)
    }
}

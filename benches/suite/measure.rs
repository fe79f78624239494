//! Measuring one cell: a fresh process for each contender, because what an earlier cell left in a heap must not
//! count.

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cells::{Cell, DataFile, What};
use crate::contenders::{Contender, Program};
use crate::load::{self, Done, Load, Server, Started};
use crate::machine::{self, CONTENDER_CORE};
use crate::samples::Sample;
use crate::tools;
use crate::turns::{self, Turns};

const LARGE_BYTES: usize = 1 << 30;
/// How long system calls are counted, apart from what is measured: counting is not free.
const COUNTING: Duration = Duration::from_millis(150);

pub(crate) enum Measured {
    Sample(Sample),
    /// Not to be had, and why.
    Lacks(String),
}

/// Whether contenders read the large file.
fn uses_large(cell: &Cell) -> bool {
    matches!(cell.what, What::Copy | What::Own { file: Some(DataFile::Large), .. })
}

/// What all measurements share.
pub(crate) struct Bench {
    window: Duration,
    warm_up: Duration,
    folder: PathBuf,
    /// Whether perf(1) can count system calls.
    counts_calls: bool,
    descriptors: u64,
}

impl Bench {
    /// Makes the files that `cells` need.
    pub(crate) fn prepare(cells: &[Cell], quick: bool) -> Result<Bench, Box<dyn Error>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-data");
        fs::create_dir_all(&folder)?;
        let descriptors = machine::allow_many_descriptors();
        let (window, warm_up) = if quick { (120, 50) } else { (400, 150) };
        let (window, warm_up) = (Duration::from_millis(window), Duration::from_millis(warm_up));
        let counts_calls = !quick && count_calls(&["true"]).is_some();
        if !quick && !counts_calls {
            eprintln!("system calls are not counted: perf(1) is missing or may not");
        }
        let bench = Bench { window, warm_up, folder, counts_calls, descriptors };
        if cells.iter().any(uses_large) {
            bench.make_large()?;
        }
        fs::write(bench.path(DataFile::Small), [1; 4096])?;
        Ok(bench)
    }

    /// A file of bytes that no file system can leave out.
    fn make_large(&self) -> io::Result<()> {
        let path = self.path(DataFile::Large);
        if fs::metadata(&path).is_ok_and(|found| found.len() == LARGE_BYTES as u64) {
            return Ok(());
        }
        let mut file = fs::File::create(path)?;
        let mut piece = vec![0_u8; 1 << 20];
        for number in 0..LARGE_BYTES / piece.len() {
            for (index, byte) in piece.iter_mut().enumerate() {
                *byte = (number * 7 + index * 31) as u8;
            }
            file.write_all(&piece)?;
        }
        file.sync_all()
    }

    /// Reading it brings it back to the page cache.
    fn cache_large(&self) -> io::Result<()> {
        io::copy(&mut fs::File::open(self.path(DataFile::Large))?, &mut io::sink()).map(drop)
    }

    fn path(&self, file: DataFile) -> PathBuf {
        self.folder.join(match file {
            DataFile::Large => "large",
            DataFile::Scratch => "scratch",
            DataFile::Small => "small",
        })
    }

    /// One sample of each contender, in their order.
    pub(crate) fn measure_all(
        &self,
        cell: &Cell,
        contenders: &[&Contender],
    ) -> Vec<Result<Measured, Box<dyn Error>>> {
        match &cell.what {
            What::Echo { connections, bytes, think }
                if think.is_zero() && self.can_open(connections * contenders.len()) =>
            {
                self.in_turns(*connections, *bytes, contenders)
            }
            _ => contenders.iter().map(|contender| self.measure(cell, contender)).collect(),
        }
    }

    fn in_turns(
        &self,
        connections: usize,
        bytes: usize,
        contenders: &[&Contender],
    ) -> Vec<Result<Measured, Box<dyn Error>>> {
        let start = |contender: &&Contender| -> Result<Started<Turns>, Box<dyn Error>> {
            let program = match &contender.program {
                Program::Ours(program) => program,
                Program::Missing(reason) => return Ok(Started::Lacks(reason.clone())),
                Program::Tool => return Err("it serves nobody".into()),
            };
            let asked = Asked { program, arguments: contender.arguments };
            let server = match Server::start(asked.pinned("echo", &[echo_buffers(bytes)]))? {
                Started::Serving(server) => server,
                Started::Lacks(reason) => return Ok(Started::Lacks(reason)),
            };
            let echoes = load::Echoes::connect(&server, connections, bytes, Duration::ZERO)?;
            Ok(Started::Serving(Turns::new(server, echoes, self.warm_up)?))
        };
        let mut servers: Vec<_> = contenders.iter().map(start).collect();
        turns::take(&mut servers, self.window);
        let finish = |server| match server? {
            Started::Serving(Turns { server, mut echoes, cpu, done }) => {
                self.sample(&server, &mut echoes, cpu, &done).map(Measured::Sample)
            }
            Started::Lacks(reason) => Ok(Measured::Lacks(reason)),
        };
        servers.into_iter().map(finish).collect()
    }

    /// Whether so many connections, and some files beside them.
    fn can_open(&self, connections: usize) -> bool {
        self.descriptors >= connections as u64 + 64
    }

    fn measure(&self, cell: &Cell, contender: &Contender) -> Result<Measured, Box<dyn Error>> {
        if uses_large(cell) {
            // Each time: where memory is reclaimed ahead of need, a part has left the page cache since the last one.
            self.cache_large()?;
        }
        match &contender.program {
            Program::Missing(reason) => Ok(Measured::Lacks(reason.clone())),
            Program::Tool => self.measure_tool(&cell.what),
            Program::Ours(program) => {
                let asked = Asked { program, arguments: contender.arguments };
                self.measure_contender(&cell.what, &asked)
            }
        }
    }

    fn measure_tool(&self, what: &What) -> Result<Measured, Box<dyn Error>> {
        match what {
            What::Own { arguments, .. } => {
                let value =
                    |index: usize| arguments[index].split('=').next_back().unwrap_or_default();
                tools::fio(&self.path(DataFile::Large), value(0), value(1), self.window)
            }
            _ => {
                let to = self.fresh_target();
                let measured = tools::cp(&self.path(DataFile::Large), &to);
                fs::remove_file(to)?;
                measured
            }
        }
    }

    fn measure_contender(
        &self,
        what: &What,
        asked: &Asked<'_>,
    ) -> Result<Measured, Box<dyn Error>> {
        match what {
            What::Echo { connections, bytes, think } => {
                let buffers = echo_buffers(*bytes);
                self.serve(asked, "echo", &[buffers], *connections, |server| {
                    load::Echoes::connect(server, *connections, *bytes, *think)
                })
            }
            What::Sink { connections } => {
                self.serve(asked, "sink", &["bytes=65536".into()], *connections, |server| {
                    load::Streams::sending(server, *connections)
                })
            }
            What::Source { connections } => {
                self.serve(asked, "source", &["bytes=65536".into()], *connections, |server| {
                    load::Streams::receiving(server, *connections)
                })
            }
            What::Accept => self.serve(asked, "accept", &[], 64, load::Connects::new),
            What::Idle { connections } => self.idle(asked, *connections),
            What::Own { workload, arguments, file } => {
                let mut words: Vec<String> = arguments.clone();
                words.push(format!("ms={}", self.window.as_millis() / 2));
                words.extend(file.map(|file| format!("path={}", self.path(file).display())));
                self.own(asked, workload, &words, true)
            }
            What::Copy => {
                let to = self.fresh_target();
                let from = self.path(DataFile::Large);
                let words = [format!("path={}", from.display()), format!("to={}", to.display())];
                let measured = self.own(asked, "copy", &words, false)?;
                if matches!(measured, Measured::Sample(_)) {
                    let same = fs::metadata(&to)?.len() == LARGE_BYTES as u64;
                    fs::remove_file(&to)?;
                    if !same {
                        return Err("the copy is not as long as the original".into());
                    }
                }
                Ok(measured)
            }
        }
    }

    /// A server under load: it is measured from outside, between two looks at its clock.
    fn serve<L: Load>(
        &self,
        asked: &Asked<'_>,
        workload: &str,
        arguments: &[String],
        connections: usize,
        load: impl FnOnce(&Server) -> io::Result<L>,
    ) -> Result<Measured, Box<dyn Error>> {
        if !self.can_open(connections) {
            let limit = self.descriptors;
            return Ok(Measured::Lacks(format!("the limit of open descriptors is {limit}")));
        }
        let server = match Server::start(asked.pinned(workload, arguments))? {
            Started::Serving(server) => server,
            Started::Lacks(reason) => return Ok(Measured::Lacks(reason)),
        };
        let mut load = load(&server)?;
        load.run(self.warm_up)?;
        let before = server.cpu_time()?;
        let done = load.run(self.window)?;
        let cpu = server.cpu_time()? - before;
        self.sample(&server, &mut load, cpu, &done).map(Measured::Sample)
    }

    fn sample<L: Load>(
        &self,
        server: &Server,
        load: &mut L,
        cpu: Duration,
        done: &Done,
    ) -> Result<Sample, Box<dyn Error>> {
        let calls = if self.counts_calls { self.calls_per_op(server, load)? } else { None };
        let quantile =
            |fraction| done.latencies.as_ref().map(|latencies| latencies.quantile(fraction) as f64);
        Ok(Sample {
            cpu_ns: Some(cpu.as_nanos() as f64 / done.ops),
            ops_per_s: Some(done.ops / done.seconds),
            p50_ns: quantile(0.5),
            p99_ns: quantile(0.99),
            p999_ns: quantile(0.999),
            calls,
            memory_bytes: Some(server.resident_bytes()? as f64),
            allocations: None,
        })
    }

    /// Counted beside a load that goes on a little longer than the counting.
    fn calls_per_op<L: Load>(&self, server: &Server, load: &mut L) -> io::Result<Option<f64>> {
        let (pid, seconds) = (server.pid().to_string(), COUNTING.as_secs_f64().to_string());
        let counting = std::thread::spawn(move || count_calls(&["-p", &pid, "sleep", &seconds]));
        let done = load.run(COUNTING * 2)?;
        let calls = counting.join().ok().flatten();
        Ok(calls.map(|calls| calls / (done.ops / done.seconds * COUNTING.as_secs_f64())))
    }

    /// What the process grows by for each connection that has been used once and waits for more.
    fn idle(&self, asked: &Asked<'_>, connections: usize) -> Result<Measured, Box<dyn Error>> {
        if !self.can_open(connections) {
            let limit = self.descriptors;
            return Ok(Measured::Lacks(format!("the limit of open descriptors is {limit}")));
        }
        let server = match Server::start(asked.pinned("echo", &[]))? {
            Started::Serving(server) => server,
            Started::Lacks(reason) => return Ok(Measured::Lacks(reason)),
        };
        // One connection brings what is there once: code, tables, the first buffers.
        let _first = load::Echoes::connect(&server, 1, 64, Duration::ZERO)?.run(self.warm_up)?;
        let before = server.resident_bytes()?;
        let mut echoes = load::Echoes::connect(&server, connections, 64, Duration::ZERO)?;
        echoes.once()?;
        let grown = server.resident_bytes()?.saturating_sub(before);
        let memory_bytes = Some(grown as f64 / connections as f64);
        Ok(Measured::Sample(Sample { memory_bytes, ..Sample::default() }))
    }

    /// A workload that measures itself and says what it saw.
    fn own(
        &self,
        asked: &Asked<'_>,
        workload: &str,
        arguments: &[String],
        pinned: bool,
    ) -> Result<Measured, Box<dyn Error>> {
        let mut command = if pinned {
            asked.pinned(workload, arguments)
        } else {
            asked.loose(workload, arguments)
        };
        let output = command.output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.trim();
        if let Some(reason) = line.strip_prefix("lacks ") {
            return Ok(Measured::Lacks(reason.to_owned()));
        }
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            let first = errors.lines().next().unwrap_or("no message").to_owned();
            return Ok(Measured::Lacks(format!("it failed: {first}")));
        }
        let value = |key: &str| -> Option<f64> {
            let pair =
                line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
            pair?.parse().ok()
        };
        let ops = value("ops").filter(|ops| *ops > 0.0).ok_or("it did not say what it did")?;
        Ok(Measured::Sample(Sample {
            cpu_ns: value("cpu_ns").map(|cpu| cpu / ops),
            ops_per_s: value("wall_ns").map(|wall| ops * 1e9 / wall),
            p50_ns: value("p50_ns"),
            p99_ns: value("p99_ns"),
            p999_ns: value("p999_ns"),
            calls: value("enters").map(|enters| enters / ops),
            allocations: value("allocations").map(|allocations| allocations / ops),
            memory_bytes: None,
        }))
    }

    fn fresh_target(&self) -> PathBuf {
        let to = self.folder.join("copy");
        // What is not there need not be removed.
        let _ = fs::remove_file(&to);
        to
    }
}

/// How large the buffers of an echo are: as large as its messages, and large in any case.
fn echo_buffers(message_bytes: usize) -> String {
    format!("bytes={}", message_bytes.max(16 << 10))
}

/// A contender's program with what it is told in any case.
struct Asked<'a> {
    program: &'a Path,
    arguments: &'a [&'a str],
}

impl Asked<'_> {
    fn pinned(&self, workload: &str, arguments: &[String]) -> Command {
        let mut command = machine::pinned(CONTENDER_CORE, self.program);
        command.arg(workload).args(self.arguments).args(arguments);
        command
    }

    fn loose(&self, workload: &str, arguments: &[String]) -> Command {
        // This process is pinned, and a child inherits that.
        let mut command = Command::new("taskset");
        command.args(["-c", "0,1"]).arg(self.program);
        command.arg(workload).args(self.arguments).args(arguments);
        command
    }
}

/// System calls as perf(1) counts them in the process that `arguments` name or start.
fn count_calls(arguments: &[&str]) -> Option<f64> {
    let output = Command::new("perf")
        .args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter"])
        .args(arguments)
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines().find(|line| line.contains("sys_enter"))?.split(',').next()?.parse().ok()
}

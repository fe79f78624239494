//! Programs of the system's that do what one workload does: `fio` and `cp`.

use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::contenders::{Contender, Program};
use crate::machine::{self, CONTENDER_CORE};
use crate::measure::Measured;
use crate::samples::Sample;

pub(crate) static FIO: [Contender; 1] =
    [Contender { name: "fio", arguments: &[], workloads: &[], program: Program::Tool }];
pub(crate) static CP: [Contender; 1] =
    [Contender { name: "cp", arguments: &[], workloads: &[], program: Program::Tool }];

/// Places of what is needed in the 130 fields of fio's terse format, version 3. fio(1)
const IOPS: usize = 7;
const USER_PERCENT: usize = 87;
const SYSTEM_PERCENT: usize = 88;

/// The same reads by fio's engine for io_uring, one job.
pub(crate) fn fio(
    file: &Path,
    depth: &str,
    direct: &str,
    window: Duration,
) -> Result<Measured, Box<dyn Error>> {
    let found = Command::new("fio").arg("--version").stdout(Stdio::null()).status();
    if found.is_err() {
        return Ok(Measured::Lacks("fio is not installed (Debian: apt-get install fio)".into()));
    }
    let mut command = machine::pinned(CONTENDER_CORE, Path::new("fio"));
    command.args(["--name=read", "--rw=randread", "--bs=4k", "--ioengine=io_uring", "--thread=1"]);
    command.args([
        "--time_based=1",
        "--norandommap=1",
        "--invalidate=0",
        "--minimal",
        "--terse-version=3",
    ]);
    command.args([format!("--iodepth={depth}"), format!("--direct={direct}")]);
    command.arg(format!("--filename={}", file.display()));
    // fio counts whole percents of the time, and knows no shorter time than this.
    command.arg(format!("--runtime={}ms", window.as_millis().max(500)));
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let fields: Vec<&str> = text.trim().lines().last().unwrap_or_default().split(';').collect();
    let number = |index: usize| -> Result<f64, Box<dyn Error>> {
        let field = fields.get(index).ok_or("fio said something else than expected")?;
        Ok(field.trim_end_matches('%').parse()?)
    };
    let ops_per_s = number(IOPS)?;
    let busy = (number(USER_PERCENT)? + number(SYSTEM_PERCENT)?) / 100.0;
    let cpu_ns = Some(busy * 1e9 / ops_per_s);
    Ok(Measured::Sample(Sample { cpu_ns, ops_per_s: Some(ops_per_s), ..Sample::default() }))
}

/// `cp`, with its CPU time from wait4(2).
pub(crate) fn cp(from: &Path, to: &Path) -> Result<Measured, Box<dyn Error>> {
    let before = cpu_of_children();
    let started = Instant::now();
    // This process is pinned, and a child inherits that.
    let mut command = Command::new("taskset");
    command.args(["-c", "0,1", "cp"]).args([from, to]);
    let status = command.status()?;
    let wall = started.elapsed();
    if !status.success() {
        return Err("cp failed".into());
    }
    let cpu_ns = Some((cpu_of_children() - before).as_nanos() as f64);
    let ops_per_s = Some(1.0 / wall.as_secs_f64());
    Ok(Measured::Sample(Sample { cpu_ns, ops_per_s, ..Sample::default() }))
}

/// CPU time of all children that have ended and were waited for.
fn cpu_of_children() -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: getrusage(2) writes one rusage, of which all zeros is a value too.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr());
        usage.assume_init()
    };
    let time = |time: libc::timeval| {
        Duration::new(time.tv_sec as u64, 0) + Duration::from_micros(time.tv_usec as u64)
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

//! The machine: its cores, its limits, its name.

use std::error::Error;
use std::fs;
use std::process::{Command, Stdio};

pub(crate) const CONTENDER_CORE: usize = 0;
pub(crate) const LOAD_CORE: usize = 1;

/// A command that runs pinned: taskset(1) executes the program in its own place, so that the process id stays.
pub(crate) fn pinned(core: usize, program: &std::path::Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

/// Binds this thread, the only one, to its core.
pub(crate) fn pin_this_process(core: usize) -> Result<(), Box<dyn Error>> {
    let status = Command::new("taskset")
        .args(["-cp", &core.to_string(), &std::process::id().to_string()])
        .stdout(Stdio::null())
        .status()
        .map_err(|error| format!("taskset (util-linux): {error}"))?;
    if status.success() { Ok(()) } else { Err("two cores are needed, 0 and 1".into()) }
}

/// Raises the limit of open descriptors as far as it goes; the contenders inherit it. Returns the limit.
pub(crate) fn allow_many_descriptors() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit(2) and setrlimit(2) use the struct during the call only. Where they fail, the limit
    // stays what it was.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
    limit.rlim_cur
}

/// Processor, number of cores, kernel and compiler, for the head of the tables.
pub(crate) fn description() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> = cpus
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, model)| model)
        .collect();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc = rustc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let model = models.first().copied().unwrap_or("unknown processor");
    let (cores, rustc) = (models.len(), rustc.unwrap_or_else(|_| "unknown compiler".into()));
    format!("{model}, {cores} cores; Linux {}; {rustc}", kernel.trim())
}

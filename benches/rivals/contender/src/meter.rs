//! Measuring oneself: the CPU time of all threads of this process, the kernel's workers among them.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use crate::allocations;

/// Runs from its making to [`Meter::stop`].
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    started: Instant,
    cpu: Duration,
    allocations: u64,
}

/// What was measured, as `key=value` pairs.
#[derive(Debug)]
pub struct Report {
    ops: u64,
    cpu: Duration,
    wall: Duration,
    allocations: u64,
    latencies: Vec<Duration>,
    enters: Option<u64>,
}

impl Meter {
    /// Starts.
    pub fn start() -> Meter {
        Meter { started: Instant::now(), cpu: cpu_time(), allocations: allocations::count() }
    }

    /// Whether it has run for `window`.
    pub fn is_over(&self, window: Duration) -> bool {
        self.started.elapsed() >= window
    }

    /// What it took to do `ops` operations.
    pub fn stop(&self, ops: u64) -> Report {
        Report {
            ops,
            cpu: cpu_time() - self.cpu,
            wall: self.started.elapsed(),
            allocations: allocations::count() - self.allocations,
            latencies: Vec::new(),
            enters: None,
        }
    }
}

impl Report {
    /// Adds how long single operations took.
    pub fn with_latencies(mut self, mut latencies: Vec<Duration>) -> Report {
        latencies.sort_unstable();
        self.latencies = latencies;
        self
    }

    /// Adds how often the ring was entered.
    pub fn with_enters(mut self, enters: u64) -> Report {
        self.enters = Some(enters);
        self
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cpu, wall) = (self.cpu.as_nanos(), self.wall.as_nanos());
        write!(f, "ops={} cpu_ns={cpu} wall_ns={wall} allocations={}", self.ops, self.allocations)?;
        if let Some(enters) = self.enters {
            write!(f, " enters={enters}")?;
        }
        let Some(last) = self.latencies.len().checked_sub(1) else { return Ok(()) };
        for (name, fraction) in [("p50_ns", 0.5), ("p99_ns", 0.99), ("p999_ns", 0.999)] {
            let rank = (last as f64 * fraction).round() as usize;
            write!(f, " {name}={}", self.latencies[rank].as_nanos())?;
        }
        Ok(())
    }
}

/// CPU time of this process so far.
pub fn cpu_time() -> Duration {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: clock_gettime(2) writes one timespec, and `time` has room for it.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, time.as_mut_ptr()) };
    assert_eq!(result, 0, "the clock of a process is always there");
    // SAFETY: the call succeeded, so it has written the timespec.
    let time = unsafe { time.assume_init() };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Binds the thread to one core.
pub fn pin_this_thread(core: usize) -> io::Result<()> {
    // SAFETY: a set of processors is plain data, and all zeros is the empty one.
    let mut set: libc::cpu_set_t = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: changes the set alone, and checks the number against its size.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: sched_setaffinity(2) reads the set during the call only.
    let result =
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

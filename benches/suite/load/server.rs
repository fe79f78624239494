//! A contender that serves, under measurement: a process of its own, on a core of its own.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

pub(crate) struct Server {
    process: Child,
    addr: SocketAddr,
    cpu_clock: libc::clockid_t,
    /// Kept open, so that a server that prints again is not ended by SIGPIPE.
    _stdout: BufReader<ChildStdout>,
}

/// What came of starting one.
pub(crate) enum Started<S = Server> {
    Serving(S),
    /// It cannot serve, and says why.
    Lacks(String),
}

impl Server {
    /// Starts a contender, and reads where it listens: the last word of its first line.
    pub(crate) fn start(mut command: Command) -> io::Result<Started> {
        let mut process = command.stdout(Stdio::piped()).spawn()?;
        let stdout = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let Some(addr) = line.split_whitespace().last().and_then(|word| word.parse().ok()) else {
            process.kill()?;
            process.wait()?;
            let reason = line.trim().strip_prefix("lacks ").unwrap_or("it printed no address");
            return Ok(Started::Lacks(reason.to_owned()));
        };
        let cpu_clock = cpu_clock_of(process.id())?;
        Ok(Started::Serving(Self { process, addr, cpu_clock, _stdout: stdout }))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Memory of its own that is in memory: what is shared with files does not count. proc_pid_status(5)
    pub(crate) fn resident_bytes(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        number.map(|kib| kib << 10).ok_or_else(|| io::Error::other("no RssAnon in its status"))
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// CPU time so far of all threads, io_uring's workers among them and also those that ended;
    /// exact to the nanosecond, where /proc/PID/stat counts ticks.
    pub(crate) fn cpu_time(&self) -> io::Result<Duration> {
        let mut time = MaybeUninit::<libc::timespec>::uninit();
        // SAFETY: clock_gettime(2) writes one timespec, and `time` has room for it.
        if unsafe { libc::clock_gettime(self.cpu_clock, time.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so it has written the timespec.
        let time = unsafe { time.assume_init() };
        Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only when the server has ended already, and then there is nothing left to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The clock that counts the CPU time of process `pid`.
fn cpu_clock_of(pid: u32) -> io::Result<libc::clockid_t> {
    let mut clock = 0;
    // SAFETY: clock_getcpuclockid(3) writes one clockid_t.
    match unsafe { libc::clock_getcpuclockid(pid as libc::pid_t, &raw mut clock) } {
        0 => Ok(clock),
        // Unlike system calls, this function returns its error.
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

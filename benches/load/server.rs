//! An echo server under measurement: a process of its own, on a core of its own.

use std::io::{self, BufRead, BufReader};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

pub(crate) struct Server {
    process: Child,
    addr: SocketAddr,
    cpu_clock: libc::clockid_t,
    /// Kept open, so that a server that prints again is not ended by SIGPIPE.
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    /// Starts `program --listen 127.0.0.1:0` on `core`, and reads where it listens: the last word
    /// of its first line.
    pub(crate) fn start(program: &Path, core: usize) -> io::Result<Self> {
        // taskset(1) executes the program in its own place: the process id stays the same.
        let mut process = Command::new("taskset")
            .args(["-c", &core.to_string()])
            .arg(program)
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let Some(addr) = line.split_whitespace().last().and_then(|word| word.parse().ok()) else {
            process.kill()?;
            process.wait()?;
            let message = format!("{} printed no address but {line:?}", program.display());
            return Err(io::Error::other(message));
        };
        let cpu_clock = cpu_clock_of(process.id())?;
        Ok(Self { process, addr, cpu_clock, _stdout: stdout })
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

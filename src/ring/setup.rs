//! Making a ring: sizes, the ladder of flags for older kernels, and errors that say what to do.

use std::error::Error;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use super::fd::RingFd;
use super::kernel::{Backend, Kernel, Linux};
use super::queues::{Memory, Queues};
use super::{Ring, Rung};
use crate::sys::abi::{self, Features, Params, SetupFlags};
use crate::sys::mapping::Mapping;
use crate::sys::syscall;

/// The features a ring of ours cannot do without: one mapping for both queues (5.4), completions that are
/// kept when the queue is full (5.5), and waiting with a time limit (5.11).
const NEEDED: Features = Features::SINGLE_MMAP.union(Features::NODROP).union(Features::EXT_ARG);

/// The flags of every rung.
const ALWAYS: SetupFlags = SetupFlags::CLAMP.union(SetupFlags::CQSIZE);

/// Flag sets from the newest kernel to the oldest; a kernel that answers `EINVAL` gets the next one.
///
/// What they bring: `NO_SQARRAY` saves an index per entry; `DEFER_TASKRUN` runs completions when we ask for
/// them and at no other time, 30 % off an unbatched round trip; `COOP_TASKRUN` is its weaker predecessor;
/// `TASKRUN_FLAG` shows by a plain load that completions wait; `SUBMIT_ALL` goes on after a bad entry.
const LADDER: [Rung; 6] = {
    const SINGLE: SetupFlags = SetupFlags::SINGLE_ISSUER;
    const ALL: SetupFlags = ALWAYS.union(SetupFlags::SUBMIT_ALL);
    const SHOWN: SetupFlags = ALL.union(SetupFlags::TASKRUN_FLAG);
    const DEFERRED: SetupFlags = SHOWN.union(SINGLE).union(SetupFlags::DEFER_TASKRUN);
    const COOPERATIVE: SetupFlags = SHOWN.union(SetupFlags::COOP_TASKRUN);
    [
        Rung { first_kernel: "6.6", flags: DEFERRED.union(SetupFlags::NO_SQARRAY) },
        Rung { first_kernel: "6.1", flags: DEFERRED },
        Rung { first_kernel: "6.0", flags: COOPERATIVE.union(SINGLE) },
        Rung { first_kernel: "5.19", flags: COOPERATIVE },
        Rung { first_kernel: "5.18", flags: ALL },
        Rung { first_kernel: "5.11", flags: ALWAYS },
    ]
};

/// How to make a [`Ring`]. `io_uring_setup(2)`.
///
/// ```
/// # fn main() -> Result<(), uring::ring::SetupError> {
/// let ring = uring::ring::Setup::new(64).cq_entries(256).build()?;
/// println!("{}", ring.report());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Setup {
    entries: u32,
    cq_entries: Option<u32>,
    sqpoll_idle: Option<Duration>,
    disabled: bool,
    first_rung: usize,
}

impl Setup {
    /// A ring with room for `entries` submissions at a time, rounded up to a power of two and cut at
    /// 32,768. How many operations are in flight is not limited by it.
    pub fn new(entries: u32) -> Setup {
        Setup { entries, cq_entries: None, sqpoll_idle: None, disabled: false, first_rung: 0 }
    }

    /// Room for another number of submissions; see [`Setup::new`].
    pub fn entries(mut self, entries: u32) -> Setup {
        self.entries = entries;
        self
    }

    /// Room for so many completions, rounded up to a power of two, raised to the submissions' number and
    /// cut at 65,536. Without it, twice the submissions. More completions than fit are kept by the kernel,
    /// but slowly: 3.5 times the cost of each.
    pub fn cq_entries(mut self, cq_entries: u32) -> Setup {
        self.cq_entries = Some(cq_entries);
        self
    }

    /// Has a kernel thread take the submissions, which sleeps after `idle` without any (in milliseconds at
    /// the kernel; 0 means its default of one second). `IORING_SETUP_SQPOLL`; without privileges since 5.13.
    ///
    /// It needs a core of its own to pay; deferred and cooperative completion do not go with it.
    pub fn sqpoll(mut self, idle: Duration) -> Setup {
        self.sqpoll_idle = Some(idle);
        self
    }

    /// Makes a ring that takes no submissions before it is enabled ([`Ring::enable`]), so that it can be
    /// restricted first. `IORING_SETUP_R_DISABLED`, Linux 5.10.
    pub fn disabled(mut self) -> Setup {
        self.disabled = true;
        self
    }

    /// Starts at a lower rung of the flag ladder, as an older kernel would make it: 0 is the newest. For
    /// tests of what old kernels do, and for rings that several threads submit to (rung 3).
    pub fn first_rung(mut self, rung: usize) -> Setup {
        self.first_rung = rung.min(LADDER.len() - 1);
        self
    }

    /// Makes the ring, on the thread that is to use it.
    ///
    /// # Errors
    ///
    /// [`SetupError`] names the step that failed, its errno, the likely cause and the cure.
    pub fn build(&self) -> Result<Ring, SetupError> {
        let mut refused = Vec::new();
        for rung in &LADDER[self.first_rung..] {
            let mut params = self.params(rung.flags);
            match syscall::setup(self.entries, &mut params) {
                Ok(fd) => {
                    let features = Features::from_bits_retain(params.features);
                    if !features.contains(NEEDED) {
                        let source = io::Error::from_raw_os_error(libc::EOPNOTSUPP);
                        return Err(SetupError::new(Step::Features, source));
                    }
                    let fail = |source| SetupError::new(Step::Map, source);
                    let queues = map(fd.as_fd(), &params).map_err(fail)?;
                    let backend = Backend::Linux(Linux::new(RingFd::new(fd, features), features));
                    let flags = SetupFlags::from_bits_retain(params.flags);
                    let chosen = Rung { flags, ..*rung };
                    let report = SetupReport { chosen, refused, features };
                    return Ok(Ring::new(queues, backend, report));
                }
                // Zero entries is the one EINVAL that no lower rung can mend.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) && self.entries > 0 => {
                    refused.push(*rung);
                }
                Err(error) => return Err(SetupError::new(Step::Setup, error)),
            }
        }
        Err(SetupError::new(Step::Setup, io::Error::from_raw_os_error(libc::EINVAL)))
    }

    /// Makes a ring whose other side is `kernel` instead of Linux.
    ///
    /// # Errors
    ///
    /// When there is no memory for the queues, or no entries were asked for.
    pub fn build_on(&self, kernel: Box<dyn Kernel>) -> Result<Ring, SetupError> {
        let fail = |source| SetupError::new(Step::Setup, source);
        if self.entries == 0 {
            return Err(fail(io::Error::from_raw_os_error(libc::EINVAL)));
        }
        let sq_entries = self.entries.min(1 << 15).next_power_of_two();
        let cq_entries = self.cq_entries.unwrap_or(sq_entries * 2).min(1 << 16);
        let cq_entries = cq_entries.max(sq_entries).next_power_of_two();
        let queues = Queues::on_heap(sq_entries, cq_entries).map_err(fail)?;
        let chosen = Rung { first_kernel: "user space", flags: SetupFlags::NO_SQARRAY };
        let report = SetupReport { chosen, refused: Vec::new(), features: NEEDED };
        Ok(Ring::new(queues, Backend::Other(kernel), report))
    }

    fn params(&self, mut flags: SetupFlags) -> Params {
        // A completion queue smaller than the submission queue is refused, so ask for as much at least.
        let cq_entries = self.cq_entries.unwrap_or(self.entries.saturating_mul(2));
        let mut params =
            Params { cq_entries: cq_entries.max(self.entries.min(1 << 15)), ..Params::default() };
        if let Some(idle) = self.sqpoll_idle {
            flags -= SetupFlags::DEFER_TASKRUN
                | SetupFlags::COOP_TASKRUN
                | SetupFlags::TASKRUN_FLAG
                | SetupFlags::SINGLE_ISSUER;
            flags |= SetupFlags::SQPOLL;
            params.sq_thread_idle = u32::try_from(idle.as_millis()).unwrap_or(u32::MAX);
        }
        if self.disabled {
            flags |= SetupFlags::R_DISABLED;
        }
        params.flags = flags.bits();
        params
    }
}

fn map(ring: std::os::fd::BorrowedFd<'_>, params: &Params) -> io::Result<Queues> {
    let completions_end =
        params.cq_off.cqes as usize + params.cq_entries as usize * size_of::<abi::RawCqe>();
    let array_end = params.sq_off.array as usize + params.sq_entries as usize * size_of::<u32>();
    let rings = Mapping::new(ring, completions_end.max(array_end), abi::OFF_SQ_RING)?;
    let entries_bytes = params.sq_entries as usize * size_of::<abi::RawSqe>();
    let entries = Mapping::new(ring, entries_bytes, abi::OFF_SQES)?;
    Queues::new(Memory::Mapped { rings, entries }, params)
}

/// What set-up arrived at: the flags in force, and the newer ones that this kernel refused.
#[derive(Clone, Debug)]
pub struct SetupReport {
    chosen: Rung,
    refused: Vec<Rung>,
    features: Features,
}

impl SetupReport {
    /// The flags in force, `IORING_SETUP_*`.
    pub fn flags(&self) -> SetupFlags {
        self.chosen.flags
    }

    /// `IORING_FEAT_*`.
    pub fn features(&self) -> Features {
        self.features
    }

    /// The rungs of the flag ladder that the kernel refused with `EINVAL`, newest first, each with the
    /// first kernel that takes it.
    pub fn refused(&self) -> &[Rung] {
        &self.refused
    }
}

impl fmt::Display for SetupReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rung { flags, first_kernel } = self.chosen;
        write!(f, "flags {flags:#x} (Linux {first_kernel}), features {:#x}", self.features)?;
        for Rung { flags, first_kernel } in &self.refused {
            write!(f, "; refused {flags:#x} (EINVAL; needs Linux {first_kernel})")?;
        }
        Ok(())
    }
}

/// Which step of set-up failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// `io_uring_setup(2)`.
    Setup,
    /// Mapping the queues, `mmap(2)`.
    Map,
    /// The kernel lacks a feature that is needed.
    Features,
    /// Making the descriptor that other threads wake a sleeping loop through, `eventfd(2)`.
    Wake,
}

/// A ring could not be made: the step, the errno, the likely cause, and what to do.
#[derive(Debug)]
pub struct SetupError {
    step: Step,
    source: io::Error,
    advice: String,
}

impl SetupError {
    pub(crate) fn new(step: Step, source: io::Error) -> SetupError {
        let advice = advice(step, source.raw_os_error());
        SetupError { step, source, advice }
    }

    /// The step that failed.
    pub fn step(&self) -> Step {
        self.step
    }

    /// The errno.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.source.raw_os_error()
    }

    /// The likely cause and the cure, a sentence.
    pub fn advice(&self) -> &str {
        &self.advice
    }
}

/// The likely cause of a failed step and its cure.
fn advice(step: Step, errno: Option<i32>) -> String {
    match (step, errno) {
        (Step::Features, _) => "this kernel is too old: uring needs Linux 5.11 or newer".into(),
        (Step::Setup, Some(libc::ENOSYS)) => "this kernel has no io_uring, or a sandbox hides it \
             (gVisor, some seccomp profiles): run on Linux 5.11 or newer, and allow the system calls \
             io_uring_setup, io_uring_enter and io_uring_register"
            .into(),
        (Step::Setup, Some(libc::EPERM)) => match disabled_by_sysctl().as_deref() {
            Some("2") => "io_uring is switched off for everybody: set the sysctl \
                 kernel.io_uring_disabled to 0"
                .into(),
            Some("1") => "io_uring is switched off for unprivileged processes: set the sysctl \
                 kernel.io_uring_disabled to 0, or join the group that kernel.io_uring_group names"
                .into(),
            _ => "a seccomp filter or security module forbids io_uring (the default in most \
                 container runtimes): allow the system calls io_uring_setup, io_uring_enter and \
                 io_uring_register in its profile"
                .into(),
        },
        (_, Some(libc::ENOMEM)) => "no memory for the ring, or RLIMIT_MEMLOCK is too small (kernels \
             before 5.12 charge rings to it): raise `ulimit -l`, or ask for fewer entries"
            .into(),
        (_, Some(libc::EMFILE | libc::ENFILE)) => {
            "no descriptor is left: raise RLIMIT_NOFILE (`ulimit -n`)".into()
        }
        (Step::Setup, Some(libc::EINVAL)) => "the kernel refused every set of flags: the number \
             of entries must be at least 1, and io_uring as old as Linux 5.11"
            .into(),
        _ => "see io_uring_setup(2)".into(),
    }
}

/// The sysctl `kernel.io_uring_disabled` (Linux 6.6), where it can be read.
fn disabled_by_sysctl() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?;
    Some(text.trim().to_owned())
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.step {
            Step::Setup => "io_uring_setup failed",
            Step::Map => "mapping the ring failed",
            Step::Features => "io_uring lacks a feature that is needed",
            Step::Wake => "making the wake-up descriptor failed",
        };
        write!(f, "{what}: {}: {}", self.source, self.advice)
    }
}

impl Error for SetupError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

impl From<SetupError> for io::Error {
    fn from(error: SetupError) -> io::Error {
        io::Error::new(error.source.kind(), error)
    }
}

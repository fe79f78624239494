//! Why a ring could not be made: the step, the errno, the likely cause, and what to do.

use std::error::Error;
use std::fmt;
use std::io;

use super::ladder::since;
use crate::sys::abi::SetupFlags;

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
    refused: SetupFlags,
    advice: String,
}

/// What was asked of `io_uring_setup(2)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) flags: SetupFlags,
    pub(super) entries: u32,
    pub(super) cq_entries: u32,
}

impl SetupError {
    pub(crate) fn new(step: Step, source: io::Error) -> SetupError {
        let advice = advice(step, source.raw_os_error());
        SetupError { step, source, refused: SetupFlags::empty(), advice }
    }

    /// `io_uring_setup(2)` refused what was asked for, on a kernel that knows the flags `known`.
    pub(super) fn refusal(
        source: io::Error,
        asked: Asked,
        known: Option<SetupFlags>,
    ) -> SetupError {
        let mut error = SetupError::new(Step::Setup, source);
        if let Some((refused, reason)) = explain(&error, asked, known) {
            error.refused = refused;
            error.advice = reason;
        }
        error
    }

    /// What was asked for makes no sense to this layer, so that the kernel was not asked.
    pub(super) fn refused_here(refused: SetupFlags, advice: &str) -> SetupError {
        let source = io::Error::from_raw_os_error(libc::EINVAL);
        SetupError { step: Step::Setup, source, refused, advice: advice.to_owned() }
    }

    /// The memory that the ring was to lie in is too small.
    pub(super) fn no_room(needed_bytes: usize, free_bytes: usize) -> SetupError {
        let source = io::Error::from_raw_os_error(libc::ENOMEM);
        let advice = format!("the ring needs {needed_bytes} bytes, and {free_bytes} are free");
        SetupError { step: Step::Setup, source, refused: SetupFlags::NO_MMAP, advice }
    }

    /// The step that failed.
    pub fn step(&self) -> Step {
        self.step
    }

    /// The flags that the kernel refused, as far as that can be told: it only says `EINVAL`.
    pub fn refused(&self) -> SetupFlags {
        self.refused
    }

    /// The error number of the system call.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.source.raw_os_error()
    }

    /// The likely cause, and what to do about it.
    pub fn advice(&self) -> &str {
        &self.advice
    }
}

/// Flags that need one of others, and flags that do not go with others.
struct Rule {
    flag: SetupFlags,
    others: SetupFlags,
    needs: bool,
}

const RULES: &[Rule] = &[
    needs(SetupFlags::SQ_AFF, SetupFlags::SQPOLL),
    needs(SetupFlags::HYBRID_IOPOLL, SetupFlags::IOPOLL),
    needs(SetupFlags::REGISTERED_FD_ONLY, SetupFlags::NO_MMAP),
    needs(SetupFlags::TASKRUN_FLAG, SetupFlags::COOP_TASKRUN.union(SetupFlags::DEFER_TASKRUN)),
    needs(SetupFlags::DEFER_TASKRUN, SetupFlags::SINGLE_ISSUER),
    excludes(SetupFlags::COOP_TASKRUN, SetupFlags::SQPOLL),
    excludes(SetupFlags::TASKRUN_FLAG, SetupFlags::SQPOLL),
    excludes(SetupFlags::DEFER_TASKRUN, SetupFlags::SQPOLL),
    excludes(SetupFlags::SQE128, SetupFlags::SQE_MIXED),
    excludes(SetupFlags::CQE32, SetupFlags::CQE_MIXED),
];

const fn needs(flag: SetupFlags, others: SetupFlags) -> Rule {
    Rule { flag, others, needs: true }
}

const fn excludes(flag: SetupFlags, others: SetupFlags) -> Rule {
    Rule { flag, others, needs: false }
}

/// Names the flags as the kernel does, without their prefix.
struct Names(SetupFlags);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bitflags::parser::to_writer(&self.0, f)
    }
}

/// What of the request is at fault, and the reason in words.
fn explain(
    error: &SetupError,
    asked: Asked,
    known: Option<SetupFlags>,
) -> Option<(SetupFlags, String)> {
    let Asked { flags, entries, cq_entries } = asked;
    let none = SetupFlags::empty();
    match error.raw_os_error() {
        Some(libc::EOVERFLOW) => {
            let mixed = flags & (SetupFlags::CQE_MIXED | SetupFlags::SQE_MIXED);
            Some((mixed, "a queue of mixed sizes needs at least 2 entries".into()))
        }
        Some(libc::ENXIO | libc::EBADF) if flags.contains(SetupFlags::ATTACH_WQ) => {
            Some((SetupFlags::ATTACH_WQ, "what was to be shared with is no ring".into()))
        }
        Some(libc::EINVAL) => {
            if flags.contains(SetupFlags::SQ_REWIND) {
                let why = "SQ_REWIND keeps no indices in the queue, and this layer does";
                return Some((SetupFlags::SQ_REWIND, why.into()));
            }
            if let Some(broken) = RULES.iter().find(|rule| rule.broken_by(flags)) {
                return Some((broken.flag, broken.to_string()));
            }
            let unknown = known.map_or(none, |known| flags - known);
            if !unknown.is_empty() {
                let since = since(unknown);
                let why = format!("this kernel does not know {}: Linux {since}", Names(unknown));
                return Some((unknown, why));
            }
            sizes(flags, entries, cq_entries).map(|why| (none, why)).or_else(|| hints(flags))
        }
        _ => None,
    }
}

impl Rule {
    fn broken_by(&self, flags: SetupFlags) -> bool {
        flags.contains(self.flag) && flags.intersects(self.others) != self.needs
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (flag, others) = (Names(self.flag), Names(self.others));
        if self.needs {
            write!(f, "{flag} needs {others} (one of them)")
        } else {
            write!(f, "{flag} does not go with {others}")
        }
    }
}

fn sizes(flags: SetupFlags, entries: u32, cq_entries: u32) -> Option<String> {
    let clamp = flags.contains(SetupFlags::CLAMP);
    let own_size = flags.contains(SetupFlags::CQSIZE);
    if entries == 0 {
        return Some("the number of entries must be at least 1".into());
    }
    if !clamp && entries > 1 << 15 {
        return Some("at most 32,768 submissions fit a queue; CLAMP cuts what is more".into());
    }
    if own_size && cq_entries == 0 {
        return Some("the number of completion entries must be at least 1".into());
    }
    if own_size && !clamp && cq_entries > 1 << 16 {
        return Some("at most 65,536 completions fit a queue; CLAMP cuts what is more".into());
    }
    if own_size && cq_entries.next_power_of_two() < entries.next_power_of_two() {
        return Some("the completion queue must not be smaller than the submission queue".into());
    }
    None
}

/// What else it may be, where the request is sound by itself.
fn hints(flags: SetupFlags) -> Option<(SetupFlags, String)> {
    let hints = [
        (
            SetupFlags::NO_MMAP,
            "before Linux 6.14 each part of the ring must lie in one page: ask for fewer entries, or use \
             huge pages",
        ),
        (SetupFlags::SQ_AFF, "the processor does not exist or is not allowed to this process"),
        (SetupFlags::ATTACH_WQ, "the other ring has no submission thread, or it is no ring"),
    ];
    let (flag, hint) = hints.into_iter().find(|(flag, _)| flags.contains(*flag))?;
    Some((flag, hint.into()))
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
             before 5.12 charge rings to it, and so does 6.18): raise `ulimit -l`, or ask for fewer entries"
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

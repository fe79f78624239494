//! Making a ring.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::capabilities::known_setup_flags;
use super::fd::RingFd;
use super::kernel::{Backend, Kernel, Linux};
use super::ladder::{LADDER, since, with_wishes};
use super::memory::RingMemory;
use super::queues::{Memory, Queues, Sizes};
use super::refusal::Asked;
use super::resize::map;
use super::{Ring, Rung, SetupError, Step};
use crate::sys::abi::{Features, Params, SetupFlags};
use crate::sys::mapping::page_bytes;
use crate::sys::process::Process;
use crate::sys::syscall::{self, NewRing};

/// The features a ring of ours cannot do without: one mapping for both queues (5.4), completions that are
/// kept when the queue is full (5.5), and waiting with a time limit (5.11).
const NEEDED: Features = Features::SINGLE_MMAP.union(Features::NODROP).union(Features::EXT_ARG);

/// The most entries that the kernel makes queues of.
const MAX_SQ_ENTRIES: u32 = 1 << 15;
const MAX_CQ_ENTRIES: u32 = 1 << 16;

/// How to make a [`Ring`]. `io_uring_setup(2)`.
///
/// What is not said is chosen: the best set of flags that the kernel takes, from the newest kernel's down to
/// that of Linux 5.11. [`require`](Setup::require) adds flags to every such set, [`only`](Setup::only) takes
/// their place.
///
/// ```
/// # fn main() -> Result<(), uring::ring::SetupError> {
/// let ring = uring::ring::Setup::new(64).cq_entries(256).build()?;
/// println!("{}", ring.report());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a set-up makes a ring when it is built"]
pub struct Setup {
    entries: u32,
    cq_entries: Option<u32>,
    first_rung: usize,
    /// In place of the ladder.
    only: Option<SetupFlags>,
    wishes: SetupFlags,
    sqpoll_idle: Duration,
    sqpoll_cpu: u32,
    attach: Option<Arc<OwnedFd>>,
}

/// Memory that is lent for the rings.
struct Lent<'a> {
    memory: NonNull<[u8]>,
    owner: Option<&'a Rc<RingMemory>>,
    made_by: Process,
}

impl Setup {
    /// A ring with room for `entries` submissions at a time, rounded up to a power of two and cut at
    /// 32,768. How many operations are in flight is not limited by it.
    pub fn new(entries: u32) -> Setup {
        Setup {
            entries,
            cq_entries: None,
            first_rung: 0,
            only: None,
            wishes: SetupFlags::empty(),
            sqpoll_idle: Duration::ZERO,
            sqpoll_cpu: 0,
            attach: None,
        }
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

    /// Has a kernel thread take the submissions, which sleeps after `idle` without any, rounded up to whole
    /// milliseconds; 0 means the kernel's default of one second. `IORING_SETUP_SQPOLL`; without privileges
    /// since Linux 5.13.
    ///
    /// It needs a core of its own to pay; deferred and cooperative completion do not go with it.
    pub fn sqpoll(mut self, idle: Duration) -> Setup {
        self.sqpoll_idle = idle;
        self.require(SetupFlags::SQPOLL)
    }

    /// Keeps that thread on one processor. `IORING_SETUP_SQ_AFF`.
    pub fn sqpoll_cpu(mut self, cpu: u32) -> Setup {
        self.sqpoll_cpu = cpu;
        self.require(SetupFlags::SQ_AFF)
    }

    /// Shares the workers of another ring of this process, and its submission thread if both have one.
    /// `IORING_SETUP_ATTACH_WQ`, Linux 5.6; since 5.12 workers belong to the thread anyway.
    ///
    /// # Errors
    ///
    /// `EBADF` when that ring has no descriptor; otherwise as `dup(2)`.
    pub fn attach(mut self, ring: &Ring) -> io::Result<Setup> {
        let fd = ring.fd().ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))?;
        self.attach = Some(Arc::new(fd.try_clone_to_owned()?));
        Ok(self.require(SetupFlags::ATTACH_WQ))
    }

    /// Insists on flags: whatever else the kernel takes, the ring has these, or there is none. Flags that do
    /// not go with [`SetupFlags::SQPOLL`] are left out if that is among them.
    ///
    /// [`SetupFlags::NO_MMAP`] is set by [`Setup::build_in`]; [`SetupFlags::SQ_REWIND`] is refused, since the
    /// queues here keep their indices, and so are flags that [`SetupFlags`] does not name.
    pub fn require(mut self, flags: SetupFlags) -> Setup {
        self.wishes |= flags;
        self
    }

    /// Has these flags, those required, and no others; sizes that the kernel does not like are then errors
    /// unless [`SetupFlags::CLAMP`] is among them.
    pub fn only(mut self, flags: SetupFlags) -> Setup {
        self.only = Some(flags);
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
        // Without memory for them, these flags would have the kernel take address 0.
        if self.only.unwrap_or(self.wishes).union(self.wishes).contains(SetupFlags::NO_MMAP) {
            return Err(SetupError::refused_here(
                SetupFlags::NO_MMAP,
                "NO_MMAP needs memory to make the ring in: use Setup::build_in",
            ));
        }
        self.build_at(None).map(|(ring, _)| ring)
    }

    /// Makes the ring in memory of the application's own (`IORING_SETUP_NO_MMAP`, Linux 6.5), behind the
    /// rings that are there already.
    ///
    /// # Errors
    ///
    /// As [`Setup::build`]; `ENOMEM` when the memory has not enough room, see [`Setup::memory_bytes`].
    pub fn build_in(&self, memory: &Rc<RingMemory>) -> Result<Ring, SetupError> {
        let made_by = memory.made_by();
        if !made_by.is_current() {
            let source = io::Error::from_raw_os_error(libc::EFAULT);
            return Err(SetupError::new(Step::Setup, source));
        }
        let lent = Lent { memory: memory.rest(), owner: Some(memory), made_by };
        self.build_at(Some(lent)).map(|(ring, _)| ring)
    }

    /// Makes the ring in any memory (`IORING_SETUP_NO_MMAP`, Linux 6.5); returns how many bytes of it were
    /// used, from its start on.
    ///
    /// # Errors
    ///
    /// As [`Setup::build_in`]; `EINVAL` when the memory does not start with a page.
    ///
    /// # Safety
    ///
    /// The memory is zeroed, and readable and writable. Until the ring, and all that was registered with it,
    /// is gone, it stays mapped, is touched by nobody else, and is kept out of forked children
    /// (`MADV_DONTFORK`). The bytes used are not written by the kernel after that only if no request was in
    /// flight; memory that is to be used again is better unmapped first.
    pub unsafe fn build_in_foreign(
        &self,
        memory: NonNull<[u8]>,
    ) -> Result<(Ring, usize), SetupError> {
        let made_by = Process::current().map_err(|e| SetupError::new(Step::Setup, e))?;
        self.build_at(Some(Lent { memory, owner: None, made_by }))
    }

    /// How many bytes a ring needs of the memory that it is [made in](Setup::build_in), at most: whole
    /// pages, for sizes as the kernel would round them.
    pub fn memory_bytes(&self) -> usize {
        let flags = self.rungs(true).first().map_or(self.wishes, |rung| rung.flags);
        let (entries_bytes, rings_bytes) = self.lent_bytes(flags);
        entries_bytes + rings_bytes
    }

    /// Whole pages for the submissions, and whole pages for the rings.
    fn lent_bytes(&self, flags: SetupFlags) -> (usize, usize) {
        let sq_entries = self.entries.clamp(1, MAX_SQ_ENTRIES).next_power_of_two();
        let cq_entries = match self.params(flags) {
            params if flags.contains(SetupFlags::CQSIZE) => params.cq_entries,
            _ => sq_entries * 2,
        };
        let cq_entries = cq_entries.clamp(sq_entries, MAX_CQ_ENTRIES).next_power_of_two();
        let sizes = Sizes::wanted(flags, sq_entries, cq_entries);
        let page = page_bytes();
        (sizes.entries.next_multiple_of(page), sizes.rings.next_multiple_of(page))
    }

    /// The sets of flags to try, for a ring in memory that is lent or in the kernel's own.
    fn rungs(&self, lent: bool) -> Vec<Rung> {
        let lent = if lent { SetupFlags::NO_MMAP } else { SetupFlags::empty() };
        let wishes = self.wishes | lent;
        match self.only {
            Some(flags) => {
                let mut flags = flags | wishes;
                flags.set(SetupFlags::CQSIZE, self.cq_entries.is_some());
                vec![Rung { flags, first_kernel: since(flags) }]
            }
            None => {
                let ladder = LADDER[self.first_rung..].iter();
                ladder.map(|rung| with_wishes(*rung, wishes)).collect()
            }
        }
    }

    fn build_at(&self, lent: Option<Lent<'_>>) -> Result<(Ring, usize), SetupError> {
        let mut refused = Vec::new();
        let mut last = None;
        for rung in self.rungs(lent.is_some()) {
            let mut params = self.params(rung.flags);
            let asked =
                Asked { flags: rung.flags, entries: self.entries, cq_entries: params.cq_entries };
            let part = lent.as_ref().map(|lent| self.lend(lent, &mut params)).transpose()?;
            // A flag that nobody here knows may change how the queues are to be used, as SQ_REWIND does.
            let unknown = !SetupFlags::all().contains(rung.flags);
            let made = if unknown || rung.flags.contains(SetupFlags::SQ_REWIND) {
                Err(io::Error::from_raw_os_error(libc::EINVAL))
            } else {
                // SAFETY: addresses are in `params` only if memory was lent, and then `lend` has checked that
                // it is large enough; it is the ring's alone, as the caller of `build_in_foreign` promises, or
                // as it is taken from the owner below.
                unsafe { syscall::setup(self.entries, &mut params) }
            };
            match made {
                Ok(new) => {
                    if let Some(Lent { owner: Some(owner), .. }) = &lent {
                        owner.use_up(part.as_ref().map_or(0, |part| part.len_bytes));
                    }
                    let used = part.as_ref().map_or(0, |part| part.len_bytes);
                    let ring = finish(new, &params, part, Found { rung, refused })?;
                    return Ok((ring, used));
                }
                // Zero entries is the one EINVAL that no lower rung can mend.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) && self.entries > 0 => {
                    refused.push(rung);
                    last = last.or(Some((error, asked)));
                }
                Err(error) => return Err(SetupError::refusal(error, asked, None)),
            }
        }
        match last {
            Some((error, asked)) => {
                // What a lower rung was refused without is not at fault.
                let plainest = refused.last().map_or(asked.flags, |rung| rung.flags);
                let known = known_setup_flags(asked.flags);
                let known = known.map(|known| known | (asked.flags - plainest));
                Err(SetupError::refusal(error, asked, known))
            }
            None => Err(SetupError::new(Step::Setup, io::Error::from_raw_os_error(libc::EINVAL))),
        }
    }

    /// Has the kernel make the rings in a part of the memory that was lent.
    fn lend(&self, lent: &Lent<'_>, params: &mut Params) -> Result<Part, SetupError> {
        let (rings_at, rings_bytes) = self.lent_bytes(SetupFlags::from_bits_retain(params.flags));
        let start: NonNull<u8> = lent.memory.cast();
        if start.addr().get() % page_bytes() != 0 {
            return Err(SetupError::refused_here(
                SetupFlags::NO_MMAP,
                "the memory for a ring must start with a page",
            ));
        }
        let len_bytes = rings_at + rings_bytes;
        if len_bytes > lent.memory.len() {
            return Err(SetupError::no_room(len_bytes, lent.memory.len()));
        }
        let address = start.as_ptr().expose_provenance() as u64;
        params.sq_off.user_addr = address;
        params.cq_off.user_addr = address + rings_at as u64;
        Ok(Part { start, rings_at, len_bytes, owner: lent.owner.cloned(), made_by: lent.made_by })
    }

    /// Makes a ring whose other side is `kernel` instead of Linux. Of the flags required, those for sizes of
    /// entries hold.
    ///
    /// # Errors
    ///
    /// When there is no memory for the queues, or no entries were asked for, or flags that mean something to
    /// Linux alone.
    pub fn build_on(&self, kernel: Box<dyn Kernel>) -> Result<Ring, SetupError> {
        let fail = |source| SetupError::new(Step::Setup, source);
        let shapes =
            SetupFlags::CQE32 | SetupFlags::CQE_MIXED | SetupFlags::SQE128 | SetupFlags::SQE_MIXED;
        let not_here =
            (self.only.unwrap_or(self.wishes) | self.wishes) - shapes - IGNORED_ELSEWHERE;
        if !not_here.is_empty() {
            return Err(SetupError::refused_here(
                not_here,
                "a kernel in user space has none of these",
            ));
        }
        if self.entries == 0 {
            return Err(fail(io::Error::from_raw_os_error(libc::EINVAL)));
        }
        let sq_entries = self.entries.min(MAX_SQ_ENTRIES).next_power_of_two();
        let cq_entries = self.cq_entries.unwrap_or(sq_entries * 2).min(MAX_CQ_ENTRIES);
        let cq_entries = cq_entries.max(sq_entries).next_power_of_two();
        let flags =
            ((self.only.unwrap_or(self.wishes) | self.wishes) & shapes) | SetupFlags::NO_SQARRAY;
        let queues = Queues::on_heap(sq_entries, cq_entries, flags).map_err(fail)?;
        let chosen = Rung { first_kernel: "user space", flags };
        let report = SetupReport { chosen, refused: Vec::new(), features: NEEDED };
        Ok(Ring::new(queues, Backend::Other(kernel), report))
    }

    fn params(&self, flags: SetupFlags) -> Params {
        // A completion queue smaller than the submission queue is refused, so ask for as much at least, unless
        // everything is to be as it was said.
        let cq_entries = match (self.only, self.cq_entries) {
            (Some(_), cq_entries) => cq_entries.unwrap_or(0),
            (None, cq_entries) => cq_entries
                .unwrap_or(self.entries.saturating_mul(2))
                .max(self.entries.min(MAX_SQ_ENTRIES)),
        };
        let idle_ms = self.sqpoll_idle.as_nanos().div_ceil(1_000_000);
        Params {
            cq_entries,
            flags: flags.bits(),
            sq_thread_idle: u32::try_from(idle_ms).unwrap_or(u32::MAX),
            sq_thread_cpu: self.sqpoll_cpu,
            wq_fd: self.attach.as_ref().map_or(0, |fd| fd.as_raw_fd() as u32),
            ..Params::default()
        }
    }
}

/// What is about time and threads of Linux, and does no harm where there are none.
const IGNORED_ELSEWHERE: SetupFlags = SetupFlags::CLAMP
    .union(SetupFlags::CQSIZE)
    .union(SetupFlags::SUBMIT_ALL)
    .union(SetupFlags::SINGLE_ISSUER)
    .union(SetupFlags::COOP_TASKRUN)
    .union(SetupFlags::DEFER_TASKRUN)
    .union(SetupFlags::TASKRUN_FLAG)
    .union(SetupFlags::NO_SQARRAY);

/// The part of lent memory that one ring lies in.
struct Part {
    start: NonNull<u8>,
    rings_at: usize,
    len_bytes: usize,
    owner: Option<Rc<RingMemory>>,
    made_by: Process,
}

/// The flags that were taken, and those that were not.
struct Found {
    rung: Rung,
    refused: Vec<Rung>,
}

/// A ring of what the kernel has made.
fn finish(
    new: NewRing,
    params: &Params,
    part: Option<Part>,
    found: Found,
) -> Result<Ring, SetupError> {
    let features = Features::from_bits_retain(params.features);
    let fail = |source| SetupError::new(Step::Map, source);
    let fd = RingFd::new(new, features).map_err(fail)?;
    if !features.contains(NEEDED) {
        let source = io::Error::from_raw_os_error(libc::EOPNOTSUPP);
        return Err(SetupError::new(Step::Features, source));
    }
    let flags = SetupFlags::from_bits_retain(params.flags);
    if !flags.contains(found.rung.flags) {
        let source = io::Error::from_raw_os_error(libc::EOPNOTSUPP);
        return Err(SetupError::new(Step::Features, source));
    }
    let queues = match part {
        None => map(fd.fd(), params),
        Some(Part { start, rings_at, len_bytes, owner, made_by }) => {
            let memory = Memory::Lent { start, rings_at, len_bytes, made_by, owner };
            Queues::new(memory, params)
        }
    };
    let queues = queues.map_err(fail)?;
    let chosen = Rung { flags, ..found.rung };
    let report = SetupReport { chosen, refused: found.refused, features };
    Ok(Ring::new(queues, Backend::Linux(Linux::new(fd, features)), report))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_idle_time_of_a_submission_thread_is_rounded_up_to_milliseconds_and_cut() {
        let asked = |idle| Setup::new(1).sqpoll(idle).params(SetupFlags::SQPOLL).sq_thread_idle;
        assert_eq!(asked(Duration::ZERO), 0);
        assert_eq!(asked(Duration::from_nanos(1)), 1);
        assert_eq!(asked(Duration::from_micros(1000)), 1);
        assert_eq!(asked(Duration::from_micros(1001)), 2);
        assert_eq!(asked(Duration::MAX), u32::MAX);
    }

    #[test]
    fn a_ring_in_lent_memory_says_which_kernel_takes_that_too() {
        let kernels = |lent| Setup::new(1).rungs(lent).into_iter().map(|rung| rung.first_kernel);
        assert_eq!(
            kernels(false).collect::<Vec<_>>(),
            ["6.6", "6.1", "6.0", "5.19", "5.18", "5.11"]
        );
        assert_eq!(kernels(true).collect::<Vec<_>>(), ["6.6", "6.5", "6.5", "6.5", "6.5", "6.5"]);
    }
}

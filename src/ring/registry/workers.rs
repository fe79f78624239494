//! The threads that do what cannot be done without blocking (io-wq): where they run, and how many.

use std::io;

use super::{GiveBack, count};
use crate::ring::Ring;
use crate::sys::abi::RegisterOp;

/// A set of processors, by their numbers. `sched_setaffinity(2)`.
///
/// ```
/// let first_four: uring::ring::CpuSet = (0..4).collect();
/// assert!(first_four.contains(3) && !first_four.contains(4));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuSet {
    /// Bytes, so that the order of the kernel's words does not matter on little-endian machines; on others
    /// `mask` puts them right.
    bytes: Vec<u8>,
}

impl CpuSet {
    /// An empty set.
    pub fn new() -> CpuSet {
        CpuSet::default()
    }

    /// Those that this thread may run on. `sched_getaffinity(2)`.
    ///
    /// # Errors
    ///
    /// `EINVAL` on machines of more than 4,096 processors.
    pub fn of_thread() -> io::Result<CpuSet> {
        let mut words = [0_u64; 64];
        // SAFETY: a mask of that many bytes, written during the call only; 0 is the calling thread.
        let found =
            unsafe { libc::sched_getaffinity(0, size_of_val(&words), words.as_mut_ptr().cast()) };
        if found != 0 {
            return Err(io::Error::last_os_error());
        }
        // A runtime asks when it is made, and few machines fill more than the first word.
        let used = words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        let mut bytes: Vec<u8> = words[..used].iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
        Ok(CpuSet { bytes })
    }

    /// Adds a processor.
    pub fn insert(&mut self, cpu: u16) {
        let byte = usize::from(cpu / 8);
        if self.bytes.len() <= byte {
            self.bytes.resize(byte + 1, 0);
        }
        self.bytes[byte] |= 1 << (cpu % 8);
    }

    /// Whether a processor is in it.
    pub fn contains(&self, cpu: u16) -> bool {
        self.bytes.get(usize::from(cpu / 8)).is_some_and(|byte| byte & 1 << (cpu % 8) != 0)
    }

    /// Whether it has no processor.
    pub fn is_empty(&self) -> bool {
        self.bytes.iter().all(|byte| *byte == 0)
    }

    /// The kernel's form: whole words in the machine's byte order, at least one.
    fn mask(&self) -> Vec<u64> {
        let len = self.bytes.len().div_ceil(8).max(1);
        let mut words = vec![0u64; len];
        for (index, byte) in self.bytes.iter().enumerate() {
            words[index / 8] |= u64::from(*byte) << (index % 8 * 8);
        }
        words
    }
}

impl FromIterator<u16> for CpuSet {
    fn from_iter<T: IntoIterator<Item = u16>>(cpus: T) -> CpuSet {
        let mut set = CpuSet::new();
        cpus.into_iter().for_each(|cpu| set.insert(cpu));
        set
    }
}

/// The workers are bound for as long as this lives; dropping it unbinds them. Linux 5.14.
#[derive(Debug)]
pub struct WorkerAffinity(GiveBack);

impl WorkerAffinity {
    /// Unbinds the workers, as the drop does, and says whether the kernel agreed.
    ///
    /// # Errors
    ///
    /// `EINVAL` when the workers are gone; `EACCES` when a restriction forbids it.
    pub fn unregister(mut self) -> io::Result<()> {
        self.0.now()
    }
}

/// How many worker threads there may be; 0 leaves a number as it is. Linux 5.15.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerLimits {
    /// Those for work that ends in bounded time, on regular files and block devices.
    pub bounded: u32,
    /// Those for work that may take forever, on sockets and pipes.
    pub unbounded: u32,
}

impl Ring {
    /// Binds the worker threads to processors; the returned value unbinds them at its drop. They belong to
    /// the thread (with a submission thread, to that), so all its rings see it. Linux 5.14.
    ///
    /// # Errors
    ///
    /// `EINVAL` for processors that the thread may not use, `cpuset(7)`. Numbers that are too high for any processor
    /// of this machine are left out by some kernels rather than refused (measured on Linux 6.18); a set without
    /// any is accepted, and binds to nothing.
    pub fn bind_workers(&self, cpus: &CpuSet) -> io::Result<WorkerAffinity> {
        let ring = self.registrar()?;
        let mut mask = cpus.mask();
        let len_bytes = count(&mask)? * size_of::<u64>() as u32;
        // SAFETY: a mask of `len_bytes` bytes, read during the call only.
        unsafe { ring.register(RegisterOp::REGISTER_IOWQ_AFF, mask.as_mut_ptr(), len_bytes)? };
        Ok(WorkerAffinity(GiveBack::new(ring, RegisterOp::UNREGISTER_IOWQ_AFF, 0)))
    }

    /// Limits the number of worker threads, and returns the limits before. They are the thread's, not only
    /// this ring's. Linux 5.15.
    ///
    /// # Errors
    ///
    /// `EINVAL` from older kernels.
    pub fn limit_workers(&self, limits: WorkerLimits) -> io::Result<WorkerLimits> {
        let ring = self.registrar()?;
        let mut numbers = [limits.bounded, limits.unbounded];
        let op = RegisterOp::REGISTER_IOWQ_MAX_WORKERS;
        // SAFETY: two numbers, read and written during the call only.
        unsafe { ring.register(op, numbers.as_mut_ptr(), 2)? };
        Ok(WorkerLimits { bounded: numbers[0], unbounded: numbers[1] })
    }

    /// The limits in force. Linux 5.15.
    ///
    /// # Errors
    ///
    /// As [`Ring::limit_workers`].
    pub fn worker_limits(&self) -> io::Result<WorkerLimits> {
        self.limit_workers(WorkerLimits::default())
    }
}

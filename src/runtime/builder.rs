//! How to make a runtime.

use std::time::Duration;

use super::Runtime;
use crate::blocking::Pool;
use crate::driver::Driver;
use crate::pool::PoolSetup;
use crate::ring::{CpuSet, Kernel, Ring, Setup, SetupError, WorkerLimits};

/// Submissions that fit in one turn of the loop before an extra system call; small, because batches of 20 to
/// 64 bring all there is to gain, and bigger ones fall out of the cache.
const ENTRIES: u32 = 256;

/// Completions that fit. More are kept by the kernel, at 3.5 times the cost; the queue costs 16 bytes each.
const CQ_ENTRIES: u32 = 4096;

/// Submissions that a queue has room for at least when memory is short: with the completions, two pages.
const LEAST_ENTRIES: u32 = 8;

/// How long teardown waits for operations that the kernel does not let go.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

/// Worker threads of the kernel at most. Without a limit, it starts one for each operation that may block for ever,
/// until the user may have no more threads; and for file work four a core, which would be one more thing that
/// differs from machine to machine.
const MAX_WORKERS: WorkerLimits = WorkerLimits { bounded: 32, unbounded: 128 };

/// Enough for a burst of look-ups of which some hang; an idle thread costs some kilobytes, and that not for long.
const MAX_BLOCKING_THREADS: usize = 64;

/// How long a thread for blocking calls waits for the next one before it ends.
const BLOCKING_IDLE_LIMIT: Duration = Duration::from_secs(10);

/// Settings of a [`Runtime`], all of them optional.
///
/// ```
/// # fn main() -> Result<(), uring::ring::SetupError> {
/// let runtime = uring::Runtime::builder().entries(128).cq_entries(1024).build()?;
/// assert_eq!(runtime.block_on(async { 2 + 2 }), 4);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    setup: Setup,
    /// Whether the sizes of the queues are ours to choose.
    any_sizes: bool,
    kernel: Option<Box<dyn Kernel>>,
    buf_pool: PoolSetup,
    shutdown_limit: Duration,
    max_workers: WorkerLimits,
    max_blocking_threads: usize,
    worker_cpus: Option<CpuSet>,
    inline_limit_bytes: Option<usize>,
    spin_limit: Duration,
}

impl Builder {
    pub(super) fn new() -> Builder {
        Builder {
            setup: Setup::new(ENTRIES).cq_entries(CQ_ENTRIES),
            any_sizes: true,
            kernel: None,
            buf_pool: PoolSetup::new(),
            shutdown_limit: SHUTDOWN_LIMIT,
            max_workers: MAX_WORKERS,
            max_blocking_threads: MAX_BLOCKING_THREADS,
            worker_cpus: None,
            inline_limit_bytes: None,
            spin_limit: Duration::ZERO,
        }
    }

    /// Entries of the submission queue, 256 by default: how many operations one turn of the loop can submit
    /// in one system call. It limits neither tasks nor operations in flight.
    pub fn entries(mut self, entries: u32) -> Builder {
        self.setup = self.setup.entries(entries);
        self.any_sizes = false;
        self
    }

    /// Entries of the completion queue, 4,096 by default. More completions at once than fit are not lost,
    /// but cost 3.5 times as much.
    pub fn cq_entries(mut self, cq_entries: u32) -> Builder {
        self.setup = self.setup.cq_entries(cq_entries);
        self.any_sizes = false;
        self
    }

    /// Makes the ring as an older kernel would have it; see [`Setup::first_rung`].
    pub fn first_rung(mut self, rung: usize) -> Builder {
        self.setup = self.setup.first_rung(rung);
        self
    }

    /// How long teardown waits for calls that [block](crate::spawn_blocking), and then for operations that the
    /// kernel does not let go, 5 s by default. Calls go on afterwards on threads of nobody's; the memory of
    /// operations is leaked, never freed. [`Duration::MAX`] waits for ever.
    pub fn shutdown_limit(mut self, shutdown_limit: Duration) -> Builder {
        self.shutdown_limit = shutdown_limit;
        self
    }

    /// The pool that leased receives take their buffers from, made when the first of them is polled; see
    /// [`pool`](crate::pool). By default 64 buffers of 16 KiB, up to 2,048.
    pub fn buf_pool(mut self, buf_pool: PoolSetup) -> Builder {
        self.buf_pool = buf_pool;
        self
    }

    /// How many worker threads of the kernel (io-wq) may do what cannot be done without blocking: 32 for work on
    /// regular files and block devices, which ends in bounded time, and 128 for work that may take for ever, on
    /// pipes and sockets for example. What exceeds that waits for a worker. 0 leaves the kernel's own number,
    /// which for the second kind is as many threads as the user may have.
    ///
    /// The limits are the thread's: a later runtime on it sets them anew. `IORING_REGISTER_IOWQ_MAX_WORKERS`;
    /// before Linux 5.15 there is no limit.
    pub fn max_workers(mut self, bounded: u32, unbounded: u32) -> Builder {
        self.max_workers = WorkerLimits { bounded, unbounded };
        self
    }

    /// On which processors the worker threads of the kernel run; by default those that this thread may run on when
    /// the runtime is made. So pin the thread first: a worker on another processor has to be woken there for every
    /// operation, which costs several times the operation.
    ///
    /// The choice is the thread's: a later runtime on it sets it anew. `IORING_REGISTER_IOWQ_AFF`; before Linux 5.14
    /// workers run anywhere.
    pub fn worker_cpus(mut self, cpus: CpuSet) -> Builder {
        self.worker_cpus = Some(cpus);
        self
    }

    /// Makes short calls on files at once, as plain system calls on this thread: writes of up to so many bytes to
    /// regular files, and what names, describes, links, cuts or removes files. Not so by default.
    ///
    /// The kernel hands these to its workers, since they may have to wait for a disk, although they seldom do:
    /// mostly they only change memory. On the thread itself a write of 64 bytes takes 0.6 of the CPU time, describing
    /// a file a quarter ([figures](crate::fs#small-file-operations)); and when it has to wait, so does all else on this
    /// thread. So this is for files on local disks, of programs that can bear a pause of some milliseconds. Flushing,
    /// opening and writing by `O_DIRECT` or `O_SYNC` stay with the workers, and what one turn of the loop
    /// has too much of does too. A few kilobytes is a good limit: copying 64 KiB takes 20 µs.
    ///
    /// A write beyond `RLIMIT_FSIZE` raises `SIGXFSZ` then, as any `write(2)` does; a worker's is `EFBIG` and nothing else.
    pub fn inline_file_calls(mut self, limit_bytes: usize) -> Builder {
        self.inline_limit_bytes = Some(limit_bytes);
        self
    }

    /// How many threads there may be for calls that block, 64 by default and 1 at least: those of
    /// [`spawn_blocking`](crate::spawn_blocking), of looking up names and of copying files. They are made when
    /// they are needed. What comes when all are busy waits for one, without holding up anything else.
    pub fn max_blocking_threads(mut self, max_blocking_threads: usize) -> Builder {
        self.max_blocking_threads = max_blocking_threads;
        self
    }

    /// How long the loop watches for completions before it sleeps, as long as its recent waits were short
    /// (shorter than twice this, on the average). Off by default, as it takes time from whoever shares the
    /// core.
    ///
    /// To be woken costs a thread, and whoever wakes it, more than a short wait: with 50 µs here, one client
    /// that answers at once is served three times as fast, for less CPU time. With longer pauses between
    /// its messages the loop stops spinning by itself. Less than the peers take to answer only costs.
    pub fn spin_limit(mut self, spin_limit: Duration) -> Builder {
        self.spin_limit = spin_limit;
        self
    }

    /// Runs on a kernel in user space instead of Linux.
    pub fn kernel(mut self, kernel: Box<dyn Kernel>) -> Builder {
        self.kernel = Some(kernel);
        self
    }

    /// Makes the runtime, on the thread that is to run it.
    ///
    /// Where memory is short, the queues get smaller, unless their sizes were asked for. A user may lock 64 KiB
    /// on some machines (`RLIMIT_MEMLOCK`), and Linux before 5.12 charges queues to that, as 6.18 was seen to.
    ///
    /// # Errors
    ///
    /// When this process gets no io_uring; the error says why that is likely so and what to do.
    pub fn build(self) -> Result<Runtime, SetupError> {
        let ring = match self.kernel {
            Some(kernel) => self.setup.build_on(kernel)?,
            None if self.any_sizes => smaller_if_need_be(&self.setup)?,
            None => self.setup.build()?,
        };
        // A kernel that knows no limit, or a sandbox that forbids to set it, is no reason not to run.
        let _ = ring.limit_workers(self.max_workers);
        let cpus = self.worker_cpus.map_or_else(CpuSet::of_thread, Ok);
        let bound = cpus.and_then(|cpus| ring.bind_workers(&cpus)).ok();
        let blocking = Pool::new(self.max_blocking_threads, BLOCKING_IDLE_LIMIT);
        let driver = Driver::new(ring, self.spin_limit)?;
        if let Some(limit_bytes) = self.inline_limit_bytes {
            driver.allow_inline_calls(limit_bytes);
        }
        let mut runtime = Runtime::on(driver, blocking, self.buf_pool, self.shutdown_limit);
        runtime.bound_workers = bound;
        Ok(runtime)
    }
}

/// Makes a ring with queues half, a quarter, an eighth, … as large where there is no memory for larger ones.
fn smaller_if_need_be(setup: &Setup) -> Result<Ring, SetupError> {
    let mut made = setup.build();
    let mut divisor = 2;
    while made.as_ref().is_err_and(is_out_of_memory) && ENTRIES / divisor >= LEAST_ENTRIES {
        let smaller = setup.clone().entries(ENTRIES / divisor).cq_entries(CQ_ENTRIES / divisor);
        made = smaller.build();
        divisor *= 2;
    }
    made
}

fn is_out_of_memory(error: &SetupError) -> bool {
    error.raw_os_error() == Some(libc::ENOMEM)
}

//! What the tests of every situation share: running on every kernel, ledgers of events, temporary
//! directories.

pub mod alarm;
pub mod net;
pub mod ops;
pub mod pool;
pub mod ring;

use std::cell::RefCell;
use std::fmt::Display;
use std::io::{self, Write};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

pub mod rings;

use futures::future::{Either, select};
use uring::fd::Fd;
use uring::pool::PoolSetup;
use uring::sim::Sim;
use uring::task::yield_now;
use uring::{Builder, Runtime, op};

/// A kernel that a test can run on.
#[derive(Clone, Debug)]
pub enum On {
    /// Linux with the set-up flags of one rung of the ladder: 0 is the newest kernel's, 5 the oldest.
    Linux {
        /// The rung to start from.
        rung: usize,
    },
    /// The simulated kernel, which completes in an order of the seed's choice.
    Sim {
        /// The seed.
        seed: u64,
        /// Its controls.
        sim: Sim,
    },
}

impl On {
    /// A runtime on this kernel.
    pub fn runtime(&self) -> Runtime {
        self.runtime_of(64, 256)
    }

    /// A runtime on this kernel with queues of a size of the test's choice.
    pub fn runtime_of(&self, entries: u32, cq_entries: u32) -> Runtime {
        alarm::as_asked();
        let builder = Runtime::builder().entries(entries).cq_entries(cq_entries);
        self.on_this_kernel(builder).build().expect("a runtime")
    }

    fn on_this_kernel(&self, builder: Builder) -> Builder {
        // Miri keeps books on each byte of a pool: with 32 MiB of them that is most of what it does.
        let pool = PoolSetup::new();
        let builder = builder.buf_pool(if cfg!(miri) { pool.limit(64) } else { pool });
        match self {
            On::Linux { rung } => builder.first_rung(*rung),
            On::Sim { sim, .. } => builder.kernel(sim.kernel()),
        }
    }

    /// A pipe: the end to read from, and the end to write to.
    pub fn pipe(&self) -> (Fd, Fd) {
        match self {
            On::Linux { .. } => {
                let (reader, writer) = pipe();
                (Fd::from(reader), Fd::from(writer))
            }
            On::Sim { sim, .. } => {
                let (reader, writer) = sim.pipe();
                (adopted(reader), adopted(writer))
            }
        }
    }

    /// Two stream sockets that are connected to each other.
    pub fn socket_pair(&self) -> (Fd, Fd) {
        match self {
            On::Linux { .. } => {
                let (left, right) = UnixStream::pair().expect("a pair of sockets");
                (Fd::from(OwnedFd::from(left)), Fd::from(OwnedFd::from(right)))
            }
            On::Sim { sim, .. } => {
                let (left, right) = sim.socket_pair();
                (adopted(left), adopted(right))
            }
        }
    }

    /// Whether this is Linux.
    pub fn is_linux(&self) -> bool {
        matches!(self, On::Linux { .. })
    }
}

/// Says on which kernel a test was when it panicked.
struct Place(String);

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the panic above happened on {}", self.0);
        }
    }
}

/// How many times slower than usual this machine is, by the variable `URING_TEST_SCALE`; 1 without it.
/// Waits are longer by it and long runs shorter. An emulated machine takes milliseconds to start a worker of io_uring.
pub fn scale() -> u32 {
    let said = std::env::var("URING_TEST_SCALE").ok();
    said.map_or(1, |scale| scale.parse().expect("URING_TEST_SCALE is a number"))
}

/// How many seeds of the simulated kernel each test runs on: as many as the variable `URING_SIM_SEEDS` says, or few where
/// the machine is slow.
fn seeds() -> u64 {
    let said = std::env::var("URING_SIM_SEEDS").ok();
    let usual = if cfg!(miri) { 2 } else { u64::from(20 / scale()).max(2) };
    said.map_or(usual, |seeds| seeds.parse().expect("URING_SIM_SEEDS is a number"))
}

/// Every kernel there is here: Linux by each rung of the set-up ladder, and the simulated one by several
/// seeds. Under Miri, which has no io_uring, the simulated one alone.
pub fn kernels() -> Vec<On> {
    alarm::as_asked();
    let rungs = if cfg!(miri) { 0 } else { 6 };
    let linux = (0..rungs).map(|rung| On::Linux { rung });
    let sim = (0..seeds()).map(|seed| On::Sim { seed, sim: Sim::new(seed) });
    linux.chain(sim).collect()
}

/// A descriptor of the simulation that nobody owns yet.
fn adopted(number: RawFd) -> Fd {
    // SAFETY: the simulation has just made it, for us alone.
    unsafe { Fd::from_raw(number) }
}

/// A pipe of Linux, `pipe2(2)`; std has none before Rust 1.87.
pub fn pipe() -> (OwnedFd, OwnedFd) {
    let mut ends = [0; 2];
    // SAFETY: `pipe2` writes two descriptors to the array, which outlives the call.
    let done = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) };
    assert_eq!(done, 0, "pipe2 failed: {}", io::Error::last_os_error());
    // SAFETY: two new descriptors that nobody else owns.
    unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) }
}

/// Waits until nothing is in flight: what was dropped has then reached its final completion.
pub async fn all_quiet(runtime: &Runtime) {
    for _ in 0..10_000 {
        if runtime.metrics().in_flight == 0 {
            return;
        }
        uring::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{} operations are still in flight", runtime.metrics().in_flight);
}

/// Lets the loop turn once without sleeping: what is queued is submitted, what is ready is handed out.
pub async fn one_turn() {
    uring::task::yield_now().await;
}

/// Lets everything complete that can: longer than any delay of the simulated kernel.
pub async fn a_while() {
    uring::time::sleep(Duration::from_millis(2) * scale()).await;
}

/// Writes all of `bytes` to the end of a pipe or socket that has room for them.
pub async fn put(fd: &Fd, bytes: &'static [u8]) {
    let write = op::Write { fd: fd.clone(), offset: None, buf: bytes };
    let (count, _) = op::submit(write).await.expect("a write");
    assert_eq!(count, bytes.len(), "a short write");
}

/// Open descriptors of this process that lead to `path`, or to something below it.
pub fn descriptors_below(path: &Path) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").expect("the list of descriptors");
    open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| target.starts_with(path))
        .count()
}

/// Open descriptors of this process. Other tests of the same program may change it.
pub fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("the list of descriptors").count()
}

/// Ends the program if it is not dropped in time: what hangs is to fail, not to hang everything.
#[derive(Debug)]
pub struct Watchdog(#[expect(dead_code, reason = "its end is the signal")] Sender<()>);

impl Watchdog {
    /// One that waits for so long.
    pub fn new(limit: Duration) -> Watchdog {
        alarm::as_asked();
        let (sender, receiver) = mpsc::channel::<()>();
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        std::thread::spawn(move || {
            if receiver.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{test} hangs: not done after {limit:?}");
                std::process::abort();
            }
        });
        Watchdog(sender)
    }
}

/// So many steps; few under Miri, which is hundreds of times slower, and something between by [`scale`].
pub fn steps(full: usize, under_miri: usize) -> usize {
    if cfg!(miri) { under_miri } else { (full / scale() as usize).max(under_miri.min(full)) }
}

/// Runs a test on every kernel; afterwards nothing may be left in flight, and nothing strange have come.
pub fn on_every_kernel(test: impl Fn(&Runtime, &On)) {
    on_every_kernel_of(64, 256, test);
}

/// As [`on_every_kernel`], with queues of another size.
pub fn on_every_kernel_of(entries: u32, cq_entries: u32, test: impl Fn(&Runtime, &On)) {
    for on in kernels() {
        let _place = Place(format!("{on:?}"));
        let runtime = on.runtime_of(entries, cq_entries);
        test(&runtime, &on);
        assert_eq!(runtime.metrics().strange_completions, 0);
        assert_eq!(runtime.metrics().lost_completions, 0);
        assert_eq!(runtime.metrics().blocks_in_use, runtime.metrics().slots_in_use);
        assert_eq!(runtime.shutdown().leaked, 0);
        if let On::Sim { sim, .. } = &on {
            assert_eq!((sim.in_flight(), sim.open_descriptors()), (0, 0), "left in the kernel");
        }
    }
}

/// Runs a test on Linux alone, where the simulated kernel cannot show the behaviour.
pub fn on_linux(test: impl Fn(&Runtime)) {
    if cfg!(miri) {
        return skipped("Miri has no io_uring");
    }
    alarm::as_asked();
    let _place = Place("Linux".into());
    let runtime = On::Linux { rung: 0 }.runtime();
    test(&runtime);
    assert_eq!(runtime.metrics().strange_completions, 0);
    assert_eq!(runtime.shutdown().leaked, 0);
}

/// Says that a test did not run, and why; where the variable `URING_SHOW_SKIPS` is set, also of a test that passes,
/// whose other words libtest keeps to itself.
pub fn skipped(because: impl Display) {
    if std::env::var_os("URING_SHOW_SKIPS").is_none() {
        return eprintln!("skipped, because {because}");
    }
    // Not by a macro, whose output libtest takes. Nobody is there to tell that this failed.
    let _ = writeln!(io::stderr(), "skipped, because {because}");
}

/// What happened, in order.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Rc<RefCell<Vec<String>>>);

impl Ledger {
    /// An empty one.
    pub fn new() -> Ledger {
        Ledger::default()
    }

    /// Writes an event down.
    pub fn note(&self, event: impl Display) {
        self.0.borrow_mut().push(event.to_string());
    }

    /// All events so far.
    pub fn events(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    /// Something that notes its own destruction.
    pub fn on_drop(&self, event: impl Display) -> NoteOnDrop {
        NoteOnDrop { ledger: self.clone(), event: event.to_string() }
    }
}

/// Notes its own destruction; made by [`Ledger::on_drop`].
#[derive(Debug)]
pub struct NoteOnDrop {
    ledger: Ledger,
    event: String,
}

impl Drop for NoteOnDrop {
    fn drop(&mut self) {
        self.ledger.note(&self.event);
    }
}

/// A buffer that notes when it is freed.
#[derive(Debug)]
pub struct NotedBuf {
    bytes: Vec<u8>,
    _freed: NoteOnDrop,
}

impl NotedBuf {
    /// So many zero bytes; notes `event` when freed.
    pub fn new(len_bytes: usize, ledger: &Ledger, event: impl Display) -> NotedBuf {
        NotedBuf { bytes: vec![0; len_bytes], _freed: ledger.on_drop(event) }
    }
}

impl AsRef<[u8]> for NotedBuf {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl uring::buf::IoBufMut for NotedBuf {
    fn room(&mut self) -> uring::buf::Room<'_> {
        self.bytes.room()
    }

    // SAFETY (of the implementation): the room is the vector's own, so its contract is passed on.
    unsafe fn set_filled(&mut self, n: usize) {
        // SAFETY: the contract of this very function.
        unsafe { self.bytes.set_filled(n) }
    }

    unsafe fn set_filled_part(&mut self, start: usize, n: usize) {
        // SAFETY: the contract of this very function.
        unsafe { self.bytes.set_filled_part(start, n) }
    }
}

/// A waker that counts its wakes.
#[derive(Debug, Default)]
pub struct CountWakes(AtomicU32);

impl CountWakes {
    /// How often it was woken.
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for CountWakes {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Runs something that panics; what it said.
pub fn panic_of<T>(what: impl FnOnce() -> T) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(what)) else { panic!("it did not panic") };
    match panic.downcast::<String>() {
        Ok(said) => *said,
        Err(panic) => (*panic.downcast::<&str>().expect("a message")).to_owned(),
    }
}

/// Polls a future once, with a waker that does nothing.
pub fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    match std::pin::Pin::new(future).poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

/// A directory of the test's own, removed at its end.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// Makes one under the system's temporary directory.
    pub fn new() -> TempDir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("uring-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a temporary directory");
        TempDir(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for TempDir {
    fn default() -> TempDir {
        TempDir::new()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a test on every kernel, in an empty directory.
pub fn in_every_world(test: impl AsyncFn(&Path)) {
    on_every_kernel(|runtime, on| match on {
        On::Linux { .. } => {
            let directory = TempDir::new();
            runtime.block_on(test(directory.path()));
        }
        On::Sim { sim, .. } => {
            sim.make_dir("/directory");
            sim.limit_file_size(u64::MAX);
            runtime.block_on(test(Path::new("/directory")));
        }
    });
}

/// Polls a future for so many turns of the loop, then drops it.
pub async fn for_turns<F: Future>(turns: u32, future: F) -> Option<F::Output> {
    let patience = async {
        for _ in 0..turns {
            yield_now().await;
        }
    };
    match select(pin!(future), pin!(patience)).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

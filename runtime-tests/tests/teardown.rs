//! Runtimes that end with operations in flight. On Linux, whose kernel goes on writing to memory that was
//! lent to it when a ring is closed: closing is no barrier, completions are.
#![cfg(not(miri))]

use std::cell::{Cell, RefCell};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::mem;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use runtime_tests::ops::ReadOnWorker;
use runtime_tests::{
    Ledger, NotedBuf, Watchdog, descriptors, one_turn, pipe, poll_once, skipped, steps,
};
use uring::buf::{IoBufMut, Room};
use uring::fd::Fd;
use uring::op::lane::Lane;
use uring::op::{self, Op};
use uring::ring::Sqe;
use uring::{Builder, Runtime, time};

/// These tests count the descriptors of the whole process, so they take turns.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

const POISON: u8 = 0xDB;
const DIRECT_BYTES: usize = 1 << 20;

/// Memory of buffers that were freed, which nobody may write to any more.
#[derive(Debug, Default)]
struct Graveyard(RefCell<Vec<Vec<u8>>>);

impl Graveyard {
    fn check(&self) {
        for (number, grave) in self.0.borrow().iter().enumerate() {
            let changed = grave.iter().position(|byte| *byte != POISON);
            assert_eq!(changed, None, "a byte of freed buffer {number} has changed");
        }
    }
}

/// A buffer whose memory is poisoned when it is freed, and kept.
#[derive(Debug)]
struct Mortal {
    memory: Vec<u8>,
    /// Where the part begins that is aligned for O_DIRECT.
    start: usize,
    len_bytes: usize,
    graveyard: Rc<Graveyard>,
}

impl Mortal {
    fn new(len_bytes: usize, graveyard: &Rc<Graveyard>) -> Mortal {
        let memory = vec![0; len_bytes + 4096];
        let start = memory.as_ptr().align_offset(4096);
        Mortal { memory, start, len_bytes, graveyard: Rc::clone(graveyard) }
    }
}

impl AsRef<[u8]> for Mortal {
    fn as_ref(&self) -> &[u8] {
        &self.memory[self.start..][..self.len_bytes]
    }
}

impl IoBufMut for Mortal {
    fn room(&mut self) -> Room<'_> {
        Room::from(&mut self.memory[self.start..][..self.len_bytes])
    }

    unsafe fn set_filled(&mut self, n: usize) {
        assert!(n <= self.len_bytes);
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        let mut memory = mem::take(&mut self.memory);
        memory.fill(POISON);
        self.graveyard.0.borrow_mut().push(memory);
    }
}

/// A file opened for direct I/O, if the file system of the build has that.
fn direct_file() -> io::Result<File> {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("uring-teardown-direct");
    if !path.exists() {
        let mut file = File::create(&path)?;
        file.write_all(&vec![7; DIRECT_BYTES])?;
        file.sync_all()?;
    }
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path)
}

/// What every round works on, so that rounds make no descriptors of their own but those of their runtime.
struct World {
    direct: Option<Fd>,
    pipe: (Fd, Fd),
    worker_pipe: (Fd, Fd),
    socket: Fd,
    _peer: UnixStream,
    listener: TcpListener,
    graveyard: Rc<Graveyard>,
}

impl World {
    fn new() -> World {
        let direct = direct_file().map_err(|e| skipped(format!("O_DIRECT is refused here: {e}")));
        let (socket, peer) = UnixStream::pair().expect("sockets");
        let both = |(reader, writer): (OwnedFd, OwnedFd)| (Fd::from(reader), Fd::from(writer));
        World {
            direct: direct.ok().map(|file| Fd::from(OwnedFd::from(file))),
            pipe: both(pipe()),
            worker_pipe: both(pipe()),
            socket: Fd::from(OwnedFd::from(socket)),
            _peer: peer,
            listener: TcpListener::bind("127.0.0.1:0").expect("a listener"),
            graveyard: Rc::default(),
        }
    }

    fn listener(&self) -> Fd {
        Fd::from(OwnedFd::from(self.listener.try_clone().expect("a clone")))
    }

    fn buf(&self, len_bytes: usize) -> Mortal {
        Mortal::new(len_bytes, &self.graveyard)
    }

    /// Everything the issue names, in flight at once: a future that never ends.
    async fn everything(&self) {
        let direct = self.direct.as_ref().map(|fd| {
            let (fd, buf) = (fd.clone(), self.buf(DIRECT_BYTES));
            op::submit(op::Read { fd, offset: Some(0), buf })
        });
        let worker =
            op::submit(ReadOnWorker { fd: self.worker_pipe.0.clone(), buf: self.buf(512) });
        let read = op::Read { fd: self.pipe.0.clone(), offset: None, buf: self.buf(512) };
        let read = op::submit(read);
        let lane = Lane::receiving(&self.socket).hold().now_or_never().expect("it is free");
        let recv = op::Recv { buf: self.buf(512), lane };
        let recv = op::submit(recv);
        let listener = self.listener();
        let lane = Lane::receiving(&listener).hold().now_or_never().expect("it is free");
        let accept = op::submit_multi(op::AcceptMulti { lane });
        let _all = (direct, worker, read, recv, accept);
        std::future::pending::<()>().await;
    }

    /// How many buffers a round frees.
    fn buffers(&self) -> usize {
        3 + usize::from(self.direct.is_some())
    }
}

fn small() -> Builder {
    Runtime::builder().entries(16).cq_entries(64)
}

/// Runs `round` many times, then looks at all that was freed.
fn rounds(count: usize, round: impl Fn(&World, Runtime, usize) -> Duration) {
    let _alone = alone();
    let _watchdog = Watchdog::new(Duration::from_secs(120));
    let world = World::new();
    let before = descriptors();
    let mut longest = Duration::ZERO;
    for number in 0..count {
        let runtime = small().first_rung(number % 6).build().expect("a runtime");
        longest = longest.max(round(&world, runtime, number));
        assert_eq!(world.graveyard.0.borrow().len(), world.buffers(), "buffers freed");
        world.graveyard.check();
        // The kernel would need a moment to write to what was freed too early.
        if number % 10 == 0 {
            std::thread::sleep(Duration::from_millis(2));
            world.graveyard.check();
        }
        world.graveyard.0.borrow_mut().clear();
    }
    assert_eq!(descriptors(), before, "descriptors are left open");
    eprintln!("the longest of {count} shutdowns took {longest:?}");
}

fn timed(what: impl FnOnce()) -> Duration {
    let start = Instant::now();
    what();
    start.elapsed()
}

/// `req_1`, `req_19`
#[test]
fn no_byte_of_a_freed_buffer_changes_after_a_runtime_was_dropped() {
    rounds(300, |world, runtime, number| {
        let mut everything = Box::pin(world.everything());
        runtime.block_on(async {
            assert!(poll_once(&mut everything).is_none());
            // Dropped before, right after, and a while after the kernel has seen it all.
            for _ in 0..number % 3 {
                one_turn().await;
            }
            drop(everything);
        });
        timed(|| assert_eq!(runtime.shutdown().leaked, 0, "round {number}"))
    });
}

#[test]
fn a_runtime_dropped_with_live_tasks_ends_their_operations_too() {
    rounds(100, |world, runtime, number| {
        // The world outlives the runtime, but a task cannot know that.
        let direct = world.direct.as_ref().map(|fd| (fd.clone(), world.buf(DIRECT_BYTES)));
        let reads = [(world.pipe.0.clone(), world.buf(64)), (world.socket.clone(), world.buf(64))];
        let on_worker = ReadOnWorker { fd: world.worker_pipe.0.clone(), buf: world.buf(64) };
        runtime.block_on(async {
            for (fd, buf) in reads.into_iter().chain(direct) {
                let read = op::Read { fd, offset: None, buf };
                uring::spawn(async move { op::submit(read).await.map(drop) });
            }
            uring::spawn(async move { op::submit(on_worker).await.map(drop) });
            for _ in 0..number % 3 {
                one_turn().await;
            }
        });
        timed(|| assert_eq!(runtime.shutdown().leaked, 0, "round {number}"))
    });
}

#[test]
fn a_runtime_dropped_by_a_panic_ends_its_operations_too() {
    rounds(30, |world, runtime, _| {
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let runtime = runtime;
            runtime.block_on(async {
                let mut everything = Box::pin(world.everything());
                assert!(poll_once(&mut everything).is_none());
                one_turn().await;
                // As `panic!`, without thirty messages.
                std::panic::resume_unwind(Box::new("on purpose"));
            });
        }));
        assert!(result.is_err());
        Duration::ZERO
    });
}

#[test]
fn connections_accepted_during_teardown_are_closed() {
    let _alone = alone();
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    let before = descriptors();
    for number in 0..100 {
        let runtime = small().build().expect("a runtime");
        let clients = runtime.block_on(async {
            let fd = Fd::from(OwnedFd::from(listener.try_clone().expect("a clone")));
            let lane = Lane::receiving(&fd).hold().now_or_never().expect("it is free");
            let accept = op::submit_multi(op::AcceptMulti { lane });
            one_turn().await;
            let clients: Vec<_> =
                (0..3).map(|_| TcpStream::connect(address).expect("a connection")).collect();
            if number % 2 == 0 {
                drop(accept);
            } else {
                // Kept until the task is dropped, at teardown.
                uring::spawn(async move {
                    let _accept = accept;
                    std::future::pending::<()>().await;
                });
            }
            clients
        });
        drop(runtime);
        drop(clients);
        // What was not accepted waits in the backlog for the next round.
    }
    assert_eq!(descriptors(), before, "descriptors are left open");
}

#[test]
fn ten_thousand_runtimes_with_live_tasks_leave_no_descriptors_and_no_memory_behind() {
    let _alone = alone();
    let _watchdog = Watchdog::new(Duration::from_secs(300));
    let dropped = Rc::new(Cell::new(0));
    // A task that waits for ever is dropped with its runtime, whatever it waits for.
    let one = || {
        let (reader, _writer) = pipe();
        let runtime = small().build().expect("a runtime");
        let fd = Fd::from(reader);
        for waits in 0..3 {
            let (fd, counted) = (fd.clone(), Counted(Rc::clone(&dropped)));
            runtime.spawn(async move {
                let _counted = counted;
                match waits {
                    0 => drop(op::submit(op::Read { fd, offset: None, buf: vec![0; 1000] }).await),
                    1 => time::sleep(Duration::from_secs(3600)).await,
                    _ => std::future::pending().await,
                }
            });
        }
        runtime.block_on(async { op::submit(op::Nop).await }).expect("a nop");
    };
    (0..100).for_each(|_| one());
    let before = (descriptors(), resident_bytes());
    let count = steps(10_000, 0);
    (0..count).for_each(|_| one());
    assert_eq!(dropped.get(), 3 * (100 + count), "tasks were not dropped, or twice");
    assert_eq!(descriptors(), before.0, "descriptors are left open");
    if std::env::var_os("ASAN_OPTIONS").is_some() {
        return skipped("AddressSanitizer keeps freed memory back: what is resident says nothing");
    }
    let grown = resident_bytes().saturating_sub(before.1);
    assert!(grown < 4 << 20, "grown by {grown} bytes: {} a runtime", grown / count);
}

/// Counts its drops.
struct Counted(Rc<Cell<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Memory of this process that is in use, `proc_pid_statm(5)`.
fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("the number of pages") * 4096
}

/// A read of an empty pipe that nobody cancels, in place of a disk that hangs.
struct Stuck {
    fd: Fd,
    buf: NotedBuf,
}

impl Op for Stuck {
    type Output = ();

    const CANCEL_ON_DROP: bool = false;

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::read(self.fd.as_fd().into(), self.buf.room(), None)
    }

    fn complete(self, _: op::Completion<Self>) {}
}

#[test]
fn what_the_kernel_does_not_let_go_is_leaked_and_counted_and_never_freed() {
    let _alone = alone();
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let ledger = Ledger::new();
    let (reader, writer) = pipe();
    let runtime = small().shutdown_limit(Duration::from_millis(50)).build().expect("a runtime");
    let reader = Fd::from(reader);
    runtime.block_on(async {
        let buf = NotedBuf::new(16, &ledger, "freed");
        drop(op::submit(Stuck { fd: reader.clone(), buf }));
        one_turn().await;
    });
    assert_eq!(runtime.shutdown().leaked, 1);
    // The kernel has the memory still, and may use it.
    File::from(writer).write_all(b"late").expect("a write");
    std::thread::sleep(Duration::from_millis(20));
    assert!(ledger.events().is_empty());
}

thread_local! {
    static RUNTIME: RefCell<Option<Runtime>> = const { RefCell::new(None) };
}

/// `req_27`
#[test]
fn a_runtime_kept_in_a_thread_local_ends_with_its_thread() {
    let _alone = alone();
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let before = descriptors();
    std::thread::spawn(|| {
        let (reader, writer) = pipe();
        RUNTIME.set(Some(small().build().expect("a runtime")));
        RUNTIME.with_borrow(|runtime| {
            let runtime = runtime.as_ref().expect("just set");
            runtime.spawn(async move {
                let _writer = writer;
                let fd = Fd::from(reader);
                op::submit(op::Read { fd, offset: None, buf: vec![0; 16] }).await.map(drop)
            });
            runtime.block_on(one_turn());
        });
    })
    .join()
    .expect("the thread");
    assert_eq!(descriptors(), before, "descriptors are left open");
}

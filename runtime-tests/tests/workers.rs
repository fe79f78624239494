//! The worker threads of the kernel (io-wq): never more than the runtime's limit. `req_32`
#![cfg(not(miri))]

use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use runtime_tests::rings::kernel;
use runtime_tests::{TempDir, Watchdog, one_turn, pipe, scale, skipped, steps};
use uring::buf::{BufResult, IoBufMut};
use uring::fd::Fd;
use uring::op::{self, Op};
use uring::ring::Sqe;
use uring::{Builder, Runtime, scope};

/// These tests count the threads of the whole process, so they take turns.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Threads of this process that the kernel made for this one: their name holds its number.
fn workers() -> usize {
    // SAFETY: gettid(2) has no arguments.
    let name = format!("iou-wrk-{}", unsafe { libc::gettid() });
    let tasks = std::fs::read_dir("/proc/self/task").expect("the list of threads");
    let comm =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    comm.filter(|comm| comm.trim() == name).count()
}

/// A read that always goes to a worker. The kernel has not looked at the file by then (since Linux 5.19), so that a
/// read of a regular file counts as one that may block for ever: measured on Linux 6.18.
struct OnWorker {
    fd: Fd,
    offset: Option<u64>,
    buf: Vec<u8>,
}

impl Op for OnWorker {
    type Output = BufResult<usize, Vec<u8>>;

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::read(self.fd.as_fd().into(), self.buf.room(), self.offset).asynchronous()
    }

    fn complete(self, completion: op::Completion<Self>) -> Self::Output {
        // SAFETY: read(2) fills as many bytes of the room as it returns.
        unsafe { op::filled(&completion, self.buf) }
    }
}

/// The limits are those of a thread, so each test has one of its own.
fn on_a_thread(builder: fn() -> Builder, test: impl FnOnce(Runtime) + Send + 'static) {
    let _alone = alone();
    let _watchdog = Watchdog::new(std::time::Duration::from_secs(120) * scale());
    let made = move || test(builder().build().expect("a runtime"));
    let thread = std::thread::spawn(made);
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn lacks_limits() -> bool {
    let lacks = !kernel().registers(uring::ring::RegisterOp::REGISTER_IOWQ_MAX_WORKERS);
    if lacks {
        skipped("Linux here has no limit of workers");
    }
    lacks
}

/// Reads a file by so many operations that block, and returns the most workers seen meanwhile.
fn most_workers_of_file_reads(runtime: &Runtime, count: usize) -> usize {
    let directory = TempDir::new();
    let path = directory.path().join("file");
    std::fs::write(&path, [7; 4096]).expect("a file");
    let file = Fd::from(OwnedFd::from(std::fs::File::open(&path).expect("a file")));
    let most = Rc::new(Cell::new(0));
    runtime.block_on(scope(async |scope| {
        for number in 0..count as u64 {
            let (fd, most) = (file.clone(), Rc::clone(&most));
            scope.spawn(async move {
                let read = OnWorker { fd, offset: Some(number % 4096), buf: vec![0; 1] };
                let (read, buf) = op::submit(read).await.expect("a read");
                assert_eq!((read, buf[0]), (1, 7));
                if number % 500 == 0 {
                    most.set(most.get().max(workers()));
                }
            });
        }
        scope.all_done().await;
    }));
    most.get()
}

#[test]
fn ten_thousand_blocking_reads_of_a_file_never_have_more_workers_than_the_limit() {
    if lacks_limits() {
        return;
    }
    on_a_thread(
        || Runtime::builder().max_workers(3, 3),
        |runtime| {
            let most = most_workers_of_file_reads(&runtime, steps(10_000, 100));
            assert!((1..=3).contains(&most), "{most} workers");
        },
    );
}

#[test]
fn work_on_regular_files_never_has_more_workers_than_its_own_limit() {
    if lacks_limits() {
        return;
    }
    on_a_thread(
        || Runtime::builder().max_workers(2, 9),
        |runtime| {
            let directory = TempDir::new();
            let file = std::fs::File::create(directory.path().join("file")).expect("a file");
            let fd = Fd::from(OwnedFd::from(file));
            let most = runtime.block_on(async {
                let mut most = 0;
                for _ in 0..steps(20, 2) {
                    // A worker does every fsync(2), and the kernel takes it for one that ends.
                    let syncs = (0..50).map(|_| op::Fsync { fd: fd.clone(), data_only: false });
                    let syncs: Vec<_> = syncs.map(op::submit).collect();
                    one_turn().await;
                    most = most.max(workers());
                    for sync in syncs {
                        sync.await.expect("synced");
                    }
                }
                most
            });
            assert!((1..=2).contains(&most), "{most} workers");
        },
    );
}

#[test]
fn reads_that_block_for_ever_never_have_more_workers_than_the_limit_and_are_all_cancelled() {
    if lacks_limits() {
        return;
    }
    on_a_thread(
        || Runtime::builder().max_workers(3, 5),
        |runtime| {
            // Opening a pipe waits for its other end, on a worker: an open that may create something is not tried
            // without blocking.
            let directory = TempDir::new();
            let path = directory.path().join("fifo");
            let name = std::ffi::CString::new(path.to_str().expect("a name")).expect("no NUL byte");
            // SAFETY: a path that ends with a NUL byte.
            assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
            let most = runtime.block_on(scope(async |_| {
                let opens: Vec<_> = (0..steps(1_000, 20))
                    .map(|_| {
                        let path = name.clone();
                        let flags = libc::O_RDONLY | libc::O_CREAT;
                        op::submit(op::OpenAt { at: None, path, flags, mode: 0o600 })
                    })
                    .collect();
                let mut most = 0;
                for _ in 0..20 {
                    uring::time::sleep(std::time::Duration::from_millis(1)).await;
                    most = most.max(workers());
                }
                drop(opens);
                most
            }));
            assert!((1..=8).contains(&most), "{most} workers");
            assert_eq!(runtime.metrics().in_flight, 0);
        },
    );
}

#[test]
fn there_is_a_limit_by_default() {
    if lacks_limits() {
        return;
    }
    on_a_thread(Runtime::builder, |runtime| {
        let most = most_workers_of_file_reads(&runtime, steps(10_000, 100));
        assert!((1..=128).contains(&most), "{most} workers");
        drop(runtime);
        // What is asked for without changing it: the thread's limits, which the runtime has set.
        let ring = uring::ring::Setup::new(2).build().expect("a ring");
        let limits = ring.worker_limits().expect("the limits");
        assert_eq!((limits.bounded, limits.unbounded), (32, 128));
    });
}

#[test]
fn a_later_runtime_of_the_thread_sets_its_own_limits() {
    if lacks_limits() {
        return;
    }
    on_a_thread(Runtime::builder, |_first| {
        let runtime = Runtime::builder().max_workers(2, 2).build().expect("a second runtime");
        let most = most_workers_of_file_reads(&runtime, steps(1_000, 100));
        assert!((1..=3).contains(&most), "{most} workers");
        let (reader, _writer) = pipe();
        let reader = Fd::from(reader);
        runtime.block_on(scope(async |_| {
            // A pipe can be polled: no worker waits for it.
            let reads: Vec<_> = (0..100)
                .map(|_| {
                    let read = OnWorker { fd: reader.clone(), offset: None, buf: vec![0; 1] };
                    op::submit(read)
                })
                .collect();
            one_turn().await;
            drop(reads);
        }));
        assert_eq!(runtime.metrics().in_flight, 0);
    });
}

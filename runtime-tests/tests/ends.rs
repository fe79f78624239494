//! How runtimes end: with their thread, and however long it takes.

use std::cell::OnceCell;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use runtime_tests::{On, kernels, one_turn};
use uring::Runtime;
use uring::fd::Fd;
use uring::op::{self, Completion, Op};
use uring::ring::Sqe;

thread_local! {
    /// First used before the crate's own thread-locals, so dropped after them.
    static STAGE: OnceCell<(Runtime, On)> = const { OnceCell::new() };
}

/// Waits for something to read, and says when it is dropped.
struct Waits {
    reader: Fd,
    dropped: Arc<AtomicBool>,
}

impl Op for Waits {
    type Output = io::Result<u32>;

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::poll(self.reader.as_fd().into(), libc::POLLIN as u32)
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        completion.result()
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::Release);
    }
}

/// Whether an operation that nothing else ends has been dropped when a thread has ended that kept its runtime.
fn is_dropped_with_its_thread(kernel: usize) -> bool {
    let dropped = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&dropped);
    let thread = thread::spawn(move || {
        STAGE.with(|stage| {
            let (runtime, on) = stage.get_or_init(|| {
                let on = kernels().swap_remove(kernel);
                (on.runtime(), on)
            });
            let (reader, writer) = on.pipe();
            let waits = Waits { reader, dropped: Arc::clone(&told) };
            drop(runtime.spawn(async move {
                let _writer = writer;
                op::submit(waits).await
            }));
            runtime.block_on(one_turn());
            assert_eq!(runtime.metrics().in_flight, 1, "it waits");
            assert!(!told.load(Ordering::Acquire), "nothing has ended it yet");
        });
    });
    thread.join().expect("the thread ended well");
    dropped.load(Ordering::Acquire)
}

#[test]
fn a_runtime_in_a_thread_local_is_torn_down_when_its_thread_ends() {
    for (kernel, on) in kernels().iter().enumerate() {
        assert!(is_dropped_with_its_thread(kernel), "on {on:?}");
    }
}

#[test]
#[expect(clippy::async_yields_async, reason = "the operation is to outlive its runtime")]
fn a_runtime_that_waits_for_ever_ends_when_its_operations_do() {
    for on in kernels() {
        let (reader, _writer) = on.pipe();
        let builder = match &on {
            On::Linux { rung } => Runtime::builder().first_rung(*rung),
            On::Sim { sim, .. } => Runtime::builder().kernel(sim.kernel()),
        };
        let runtime = builder.shutdown_limit(Duration::MAX).build().expect("a runtime");
        let read = op::Read { fd: reader, offset: None, buf: Vec::with_capacity(1) };
        let read = runtime.block_on(async { op::submit(read) });
        assert_eq!(runtime.shutdown().leaked, 0);
        drop(read);
    }
}

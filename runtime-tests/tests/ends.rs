//! How runtimes end: with their thread, and however long it takes.

use std::thread;
use std::time::Duration;

use runtime_tests::{On, kernels};
use uring::Runtime;
use uring::op;

thread_local! {
    /// Made before the crate's own thread-locals, so dropped after them.
    static RUNTIME: Runtime = kernels().swap_remove(0).runtime();
}

#[test]
fn a_runtime_in_a_thread_local_is_torn_down_when_its_thread_ends() {
    let worked = thread::spawn(|| {
        RUNTIME.with(|runtime| {
            let pending = runtime.spawn(std::future::pending::<()>());
            let result = runtime.block_on(async { op::submit(op::Nop).await });
            drop(pending);
            result.is_ok()
        })
    });
    assert!(worked.join().expect("the thread ended well"));
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

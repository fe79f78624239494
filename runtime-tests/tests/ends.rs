//! How runtimes end that live as long as their thread.

use std::thread;

use runtime_tests::kernels;
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

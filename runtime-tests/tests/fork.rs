//! A runtime in a forked child: it is the parent's, says so, and the parent takes no harm. `req_10`, `req_26`
#![cfg(not(miri))]

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use runtime_tests::rings::in_a_child;
use runtime_tests::{On, Watchdog, alarm, one_turn, put};
use uring::fd::Fd;
use uring::{Runtime, op};

/// A hook that says nothing is that of the whole process, so these tests take turns.
fn quietly() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    std::panic::set_hook(Box::new(|_| {}));
    alone
}

fn linux() -> [(Runtime, (Fd, Fd)); 6] {
    std::array::from_fn(|rung| {
        let on = On::Linux { rung };
        (on.runtime(), on.pipe())
    })
}

fn panic_of<T>(what: impl FnOnce() -> T) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(what)) else { return String::new() };
    match panic.downcast::<String>() {
        Ok(said) => *said,
        Err(panic) => panic.downcast_ref::<&str>().copied().unwrap_or_default().to_owned(),
    }
}

#[test]
fn block_on_in_a_forked_child_says_that_the_runtime_is_the_parents() {
    let _alone = quietly();
    let _watchdog = Watchdog::new(std::time::Duration::from_secs(60));
    for (runtime, (reader, writer)) in linux() {
        let mut pending = None;
        runtime.block_on(async {
            let read = op::Read { fd: reader.clone(), offset: None, buf: [0; 8] };
            pending = Some(op::submit(read));
            one_turn().await;
        });
        let mut pending = pending.expect("a read in flight");
        let said = in_a_child(|| {
            let said = panic_of(|| runtime.block_on(async {}));
            let again = panic_of(|| runtime.block_on(async { op::submit(op::Nop).await }));
            said.contains("forked") && said.contains("after the fork") && said == again
        });
        assert!(said, "the child was not told, or hung");
        // The parent's operation has not been cancelled, taken or doubled by the child.
        runtime.block_on(async {
            assert!((&mut pending).now_or_never().is_none());
            put(&writer, b"parent's").await;
            let (count, buf) = pending.await.expect("a read");
            assert_eq!(&buf[..count], b"parent's");
        });
        assert_eq!(runtime.metrics().strange_completions, 0);
    }
}

#[test]
fn a_child_forked_inside_of_a_runtime_is_refused_what_it_submits_and_what_it_awaits() {
    let _alone = quietly();
    let _watchdog = Watchdog::new(std::time::Duration::from_secs(60));
    for (runtime, (_reader, writer)) in linux() {
        runtime.block_on(async {
            let refused = in_a_child(|| {
                // The future is ready at once, with the error that the ring gives.
                let nop = op::submit(op::Nop).now_or_never();
                let error = nop.and_then(Result::err);
                error.and_then(|error| error.raw_os_error()) == Some(libc::EEXIST)
            });
            assert!(refused, "the child was let through, or hung");
            put(&writer, b"on").await;
        });
        assert_eq!(runtime.metrics().in_flight, 0);
    }
}

#[test]
fn a_child_that_goes_on_with_the_loop_it_was_forked_in_is_told_and_does_not_hang() {
    let _alone = quietly();
    let _watchdog = Watchdog::new(std::time::Duration::from_secs(60));
    for (runtime, (reader, _writer)) in linux() {
        let child = Cell::new(-1);
        let said = panic_of(|| {
            runtime.block_on(async {
                // A cancel to be submitted is something to do, instead of sleeping.
                drop(op::submit(op::Read { fd: reader, offset: None, buf: [0; 8] }));
                // SAFETY: the child polls futures, and leaves by _exit(2) below.
                child.set(unsafe { libc::fork() });
                if child.get() == 0 {
                    std::future::pending::<()>().await;
                }
            });
        });
        if child.get() == 0 {
            let told = said.contains("forked") && said.contains("after the fork");
            // SAFETY: ends this process at once.
            unsafe { libc::_exit(if told { 0 } else { 1 }) };
        }
        assert_eq!((alarm::end_of(child.get()), said.as_str()), (0, ""));
        assert_eq!(runtime.shutdown().leaked, 0);
    }
}

#[test]
fn a_child_whose_task_is_always_ready_is_told_too() {
    let _alone = quietly();
    let _watchdog = Watchdog::new(std::time::Duration::from_secs(60));
    for (runtime, _pipe) in linux() {
        let child = Cell::new(-1);
        let said = panic_of(|| {
            runtime.block_on(async {
                one_turn().await;
                // SAFETY: the child polls futures, and leaves by _exit(2) below.
                child.set(unsafe { libc::fork() });
                while child.get() == 0 {
                    uring::task::yield_now().await;
                }
            });
        });
        if child.get() == 0 {
            let told = said.contains("forked") && said.contains("after the fork");
            // SAFETY: ends this process at once.
            unsafe { libc::_exit(if told { 0 } else { 1 }) };
        }
        assert_eq!((alarm::end_of(child.get()), said.as_str()), (0, ""));
    }
}

#[test]
fn a_child_drops_the_parents_runtime_without_harm_and_makes_its_own() {
    let _alone = quietly();
    let _watchdog = Watchdog::new(std::time::Duration::from_secs(60));
    for (runtime, (reader, writer)) in linux() {
        let read = runtime.spawn(async move {
            let read = op::Read { fd: reader, offset: None, buf: [0; 8] };
            op::submit(read).await.map(|(count, _)| count)
        });
        runtime.block_on(one_turn());
        let mut runtime = Some(runtime);
        let worked = in_a_child(|| {
            let leaked = runtime.take().is_some_and(|runtime| runtime.shutdown().leaked == 1);
            let Ok(own) = Runtime::new() else { return false };
            leaked && own.block_on(async { op::submit(op::Nop).await }).is_ok()
        });
        assert!(worked, "the child could not, or hung");
        let runtime = runtime.expect("the parent's");
        let count = runtime.block_on(async {
            put(&writer, b"for one").await;
            read.await.expect("a task").expect("a read")
        });
        assert_eq!(count, 7);
    }
}

//! Panics of code of the user's that have nobody to go to, or others to keep from something.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Waker;
use std::thread;

/// Runs code of the user's whose panic has nobody to go to, and must not end what goes on.
pub(crate) fn contain(run: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
        // What was thrown may panic when it is dropped; what that throws is leaked, to end it.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            mem::forget(again);
        }
    }
}

/// Runs code of the user's in a destructor: while a panic passes, a second one would make it an abort, and is contained.
pub(crate) fn in_drop(run: impl FnOnce()) {
    if thread::panicking() { contain(run) } else { run() }
}

/// Drops a waker in a destructor; a call of its own, as it is rare where there is one.
#[cold]
pub(crate) fn let_go(waker: Waker) {
    in_drop(|| drop(waker));
}

/// Wakes them all, in their order. A wake is anybody's code, and nobody tells of the event a second time: one that
/// panics keeps none of the others from theirs. The first panic passes when all are woken, unless one is passing
/// already, which a second would make an abort.
pub(crate) fn wake_all(wakers: Vec<Waker>) {
    let mut first: Option<Box<dyn Any + Send>> = None;
    for waker in wakers {
        match (catch_unwind(AssertUnwindSafe(|| waker.wake())), &first) {
            (Ok(()), _) => {}
            (Err(panic), None) => first = Some(panic),
            (Err(panic), Some(_)) => contain(|| drop(panic)),
        }
    }
    match first {
        Some(panic) if thread::panicking() => contain(|| drop(panic)),
        Some(panic) => resume_unwind(panic),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    /// Counts, then panics if it is told to.
    struct Counts {
        count: Arc<AtomicU32>,
        panics: bool,
    }

    impl Wake for Counts {
        fn wake(self: Arc<Self>) {
            let before = self.count.fetch_add(1, Ordering::Relaxed);
            if self.panics {
                // Not by `panic!`, which prints where it is while another panic passes: seconds, under Miri.
                resume_unwind(Box::new(format!("wake {before}")));
            }
        }
    }

    fn wakers(count: &Arc<AtomicU32>) -> Vec<Waker> {
        let waker = |panics| Waker::from(Arc::new(Counts { count: Arc::clone(count), panics }));
        vec![waker(false), waker(true), waker(true), waker(false)]
    }

    #[test]
    fn wakers_that_panic_keep_nobody_from_being_woken_and_the_first_panic_passes() {
        let count = Arc::new(AtomicU32::new(0));
        let panic = catch_unwind(AssertUnwindSafe(|| wake_all(wakers(&count))));
        let said = panic.expect_err("two panicked").downcast::<String>().expect("a text");
        assert_eq!((*said, count.load(Ordering::Relaxed)), ("wake 1".to_owned(), 4));
    }

    #[test]
    fn what_a_destructor_runs_may_panic_and_does_not_while_another_panic_passes() {
        struct Panics;
        impl Drop for Panics {
            fn drop(&mut self) {
                in_drop(|| resume_unwind(Box::new("inner")));
            }
        }
        let said = |run: &dyn Fn()| {
            let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("it panicked");
            *panic.downcast::<&str>().expect("a text")
        };
        assert_eq!(said(&|| drop(Panics)), "inner");
        let during = said(&|| {
            let _panics = Panics;
            resume_unwind(Box::new("outer"));
        });
        assert_eq!(during, "outer");
    }

    /// Wakes when it is dropped.
    struct WakesOnDrop(Arc<AtomicU32>);

    impl Drop for WakesOnDrop {
        fn drop(&mut self) {
            wake_all(wakers(&self.0));
        }
    }

    #[test]
    fn all_are_woken_while_a_panic_passes_and_nothing_is_thrown_into_it() {
        let count = Arc::new(AtomicU32::new(0));
        let panic = catch_unwind(AssertUnwindSafe(|| {
            let _wakes = WakesOnDrop(Arc::clone(&count));
            panic!("outer");
        }));
        let said = panic.expect_err("it panicked").downcast::<&str>().expect("a text");
        assert_eq!((*said, count.load(Ordering::Relaxed)), ("outer", 4));
    }
}

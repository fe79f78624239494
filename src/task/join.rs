//! The two ends of a task's result: the job that makes it, the handle that awaits it.

use std::{
    any::Any,
    cell::Cell,
    error::Error,
    fmt,
    future::Future,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::{Rc, Weak},
    sync::{Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use pin_project_lite::pin_project;

use super::{executor::Executor, waker::TaskId};

/// What job and handle share. Cells only: nothing here can be found borrowed.
pub(super) struct Join<T> {
    result: Cell<Option<Result<T, JoinError>>>,
    finished: Cell<bool>,
    awaiting: Cell<Option<Waker>>,
}

impl<T> Join<T> {
    fn finish(&self, result: Result<T, JoinError>) {
        self.result.set(Some(result));
        self.finished.set(true);
        if let Some(waker) = self.awaiting.take() {
            contain(|| waker.wake());
        }
    }
}

pin_project! {
    /// A task's future, and the duty to report its end. However it ends (output, panic, or being
    /// dropped), the handle hears of it after the future is gone, and no panic leaves this type.
    struct Job<F: Future> {
        #[pin]
        future: Option<F>,
        join: Option<Rc<Join<F::Output>>>,
    }

    impl<F: Future> PinnedDrop for Job<F> {
        fn drop(this: Pin<&mut Self>) {
            this.finish(Err(JoinError { panic: None }));
        }
    }
}

/// A future as a task's job, and what its handle needs.
pub(super) fn job<F: Future>(
    future: F,
) -> (impl Future<Output = ()> + use<F>, Rc<Join<F::Output>>) {
    let join = Rc::new(Join {
        result: Cell::new(None),
        finished: Cell::new(false),
        awaiting: Cell::new(None),
    });
    (Job { future: Some(future), join: Some(Rc::clone(&join)) }, join)
}

impl<F: Future> Job<F> {
    /// Drops the future, then hands over the result; a panic of the destructor becomes the result.
    fn finish(self: Pin<&mut Self>, result: Result<F::Output, JoinError>) {
        let mut this = self.project();
        let Some(join) = this.join.take() else { return };
        match catch_unwind(AssertUnwindSafe(|| this.future.set(None))) {
            Ok(()) => join.finish(result),
            Err(panic) => {
                contain(|| drop(result));
                join.finish(Err(JoinError::from_panic(panic)));
            }
        }
        // Without a handle, this drops the output.
        contain(|| drop(join));
    }
}

impl<F: Future> Future for Job<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(future) = self.as_mut().project().future.as_pin_mut() else {
            return Poll::Ready(());
        };
        let result = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(panic) => Err(JoinError::from_panic(panic)),
        };
        self.finish(result);
        Poll::Ready(())
    }
}

/// Runs user code that nobody waits for, so that its panic has nobody to go to.
fn contain(run: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
        // What was thrown may panic when it is dropped; what that throws is leaked, to end it.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            std::mem::forget(again);
        }
    }
}

/// A spawned task, as a future for its output. Returned by [`spawn`](crate::task::spawn).
///
/// The output is an `Err` when the task panicked or was cancelled. Dropping the handle detaches
/// the task: it goes on, and its output is dropped when it ends.
///
/// # Panics
///
/// When polled again after it gave the result.
pub struct JoinHandle<T> {
    join: Rc<Join<T>>,
    abort: AbortHandle,
}

impl<T> JoinHandle<T> {
    pub(super) fn new(join: Rc<Join<T>>, executor: Weak<Executor>, id: TaskId) -> JoinHandle<T> {
        JoinHandle { join, abort: AbortHandle { executor, id } }
    }

    /// Cancels the task: its future is dropped before this returns, on this thread.
    ///
    /// A task that is being polled (it aborts itself, or something it called does) is dropped when
    /// that poll returns, unless the poll completes it. The handle then yields a cancelled
    /// [`JoinError`]. A task that has finished keeps its result.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example() {
    /// let task = uring::spawn(std::future::pending::<()>());
    /// task.abort();
    /// assert!(task.await.unwrap_err().is_cancelled());
    /// # }
    /// ```
    pub fn abort(&self) {
        self.abort.abort();
    }

    /// A means to cancel the task that does not hold its output, for somebody else to keep.
    pub fn abort_handle(&self) -> AbortHandle {
        self.abort.clone()
    }

    /// Whether the task has ended: by its output, a panic, or an abort.
    pub fn is_finished(&self) -> bool {
        self.join.finished.get()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let join = &*self.join;
        if !join.finished.get() {
            match join.awaiting.take() {
                Some(waker) if waker.will_wake(cx.waker()) => join.awaiting.set(Some(waker)),
                stale => {
                    let waker = cx.waker().clone();
                    join.awaiting.set(Some(waker));
                    drop(stale);
                }
            }
        }
        // Asked again because a waker's clone or drop, just now, may have ended the task.
        if !join.finished.get() {
            return Poll::Pending;
        }
        drop(join.awaiting.take());
        match join.result.take() {
            Some(result) => Poll::Ready(result),
            None => panic!("JoinHandle: polled after it gave the result; await it once"),
        }
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        // The task may live on for long; who awaited it is not to be kept or woken by it.
        drop(self.join.awaiting.take());
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

/// Cancels a task without holding its output. Made by [`JoinHandle::abort_handle`].
#[derive(Clone)]
pub struct AbortHandle {
    executor: Weak<Executor>,
    id: TaskId,
}

impl AbortHandle {
    /// Cancels the task, as [`JoinHandle::abort`] does. Nothing happens if it has ended.
    pub fn abort(&self) {
        if let Some(executor) = self.executor.upgrade() {
            executor.abort(self.id);
        }
    }
}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortHandle").finish_non_exhaustive()
    }
}

/// Why a task has no output: it panicked, or it was cancelled.
pub struct JoinError {
    /// What the task panicked with, if it did. The lock makes the error `Sync`, as `?` into a
    /// boxed error asks for; it is never contended.
    panic: Option<Mutex<Box<dyn Any + Send>>>,
}

impl JoinError {
    fn from_panic(panic: Box<dyn Any + Send>) -> JoinError {
        JoinError { panic: Some(Mutex::new(panic)) }
    }

    /// Whether the task panicked, in its code or in a destructor of its future.
    pub fn is_panic(&self) -> bool {
        self.panic.is_some()
    }

    /// Whether the task was aborted, or dropped with its runtime.
    pub fn is_cancelled(&self) -> bool {
        self.panic.is_none()
    }

    /// What the task panicked with, as [`std::thread::JoinHandle::join`] has it.
    ///
    /// To let the panic go on here, give it to [`std::panic::resume_unwind`].
    ///
    /// # Panics
    ///
    /// When the task was cancelled; [`try_into_panic`](JoinError::try_into_panic) does not.
    #[track_caller]
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        match self.try_into_panic() {
            Ok(panic) => panic,
            Err(_) => panic!(
                "JoinError::into_panic: the task was cancelled, it did not panic; \
                 ask is_panic first, or use try_into_panic"
            ),
        }
    }

    /// What the task panicked with, or this error back if it was cancelled.
    ///
    /// # Errors
    ///
    /// The error itself, when the task was cancelled.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send>, JoinError> {
        match self.panic {
            Some(panic) => Ok(panic.into_inner().unwrap_or_else(PoisonError::into_inner)),
            None => Err(self),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(panic) = &self.panic else { return f.write_str("the task was cancelled") };
        let panic = panic.lock().unwrap_or_else(PoisonError::into_inner);
        let message = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
            (Some(message), _) => message,
            (None, Some(message)) => message.as_str(),
            (None, None) => return f.write_str("the task panicked"),
        };
        write!(f, "the task panicked: {message}")
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl Error for JoinError {}

impl From<JoinError> for io::Error {
    fn from(error: JoinError) -> io::Error {
        io::Error::other(error)
    }
}

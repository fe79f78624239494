//! What awaits a task's end, and what that was.

use std::{
    any::Any,
    error::Error,
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};

use super::raw::{JoinRef, TaskRef};

/// A spawned task, as a future for its output. Returned by [`spawn`](crate::task::spawn).
///
/// The output is an `Err` when the task panicked or was cancelled. Dropping the handle detaches
/// the task: it goes on, and its output is dropped when it ends.
///
/// # Panics
///
/// When polled again after it gave the result.
pub struct JoinHandle<T> {
    join: JoinRef<T>,
}

impl<T> JoinHandle<T> {
    pub(super) fn new(join: JoinRef<T>) -> JoinHandle<T> {
        JoinHandle { join }
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
        self.join.task().abort();
    }

    /// A means to cancel the task that does not hold its output, for somebody else to keep.
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle { task: self.join.task().clone() }
    }

    /// Whether the task has ended: by its output, a panic, or an abort.
    pub fn is_finished(&self) -> bool {
        self.join.is_finished()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let join = &self.join;
        if !join.is_finished() {
            let awaiting = join.awaiting();
            match awaiting.take() {
                Some(waker) if waker.will_wake(cx.waker()) => awaiting.set(Some(waker)),
                stale => {
                    let waker = cx.waker().clone();
                    awaiting.set(Some(waker));
                    drop(stale);
                }
            }
        }
        // Asked again because a waker's clone or drop, just now, may have ended the task.
        if !join.is_finished() {
            return Poll::Pending;
        }
        drop(join.awaiting().take());
        match join.result().take() {
            Some(result) => Poll::Ready(result),
            None => panic!("JoinHandle: polled after it gave the result; await it once"),
        }
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
    task: TaskRef,
}

impl AbortHandle {
    /// Cancels the task, as [`JoinHandle::abort`] does. Nothing happens if it has ended.
    pub fn abort(&self) {
        self.task.abort();
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
    /// boxed error asks for; it is never contended. Boxed, as every task has room for an error.
    panic: Option<Box<Mutex<Box<dyn Any + Send>>>>,
}

impl JoinError {
    pub(super) fn cancelled() -> JoinError {
        JoinError { panic: None }
    }

    pub(super) fn from_panic(panic: Box<dyn Any + Send>) -> JoinError {
        JoinError { panic: Some(Box::new(Mutex::new(panic))) }
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

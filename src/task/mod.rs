//! Tasks: futures that run side by side on one thread.
//!
//! [`spawn`] hands a future to the runtime of this thread and returns a [`JoinHandle`], a future
//! for its output. Neither the future nor the output needs to be `Send`: both live and die on the
//! thread that spawned them. Only wakers travel, and on a foreign thread a waker touches nothing of a task
//! but a flag and a count (see `raw/`), so no future is ever dropped there.
//!
//! What this layer promises:
//!
//! 1. User code (a poll, a destructor, a waker's clone, wake or drop) runs only while no `RefCell`
//!    of the executor is borrowed. A task may therefore spawn, wake or abort any task, itself
//!    included, from any of these places.
//! 2. A panic in a task ends that task and reaches its [`JoinHandle`]; the other tasks go on.
//! 3. A task that is woken goes to the back of the queue, so no task can starve another one.
//!
//! What it refuses to know: operations, rings, time. It is driven by whoever calls
//! `Executor::run` and is told how to wake that thread by an `Unpark`.

mod current;
mod executor;
mod join;
mod raw;
#[cfg(test)]
mod tests;
mod waker;

use std::{
    future::{Future, poll_fn},
    task::Poll,
};

pub(crate) use current::{Entered, enter};
pub(crate) use executor::Executor;
pub use join::{AbortHandle, JoinError, JoinHandle};
pub(crate) use waker::Unpark;

/// Runs a future as a task of the runtime on this thread, beside the caller.
///
/// The task is first polled by the runtime's next round, never by this call. It goes on when the
/// handle is dropped, until it completes, is aborted, or the runtime is dropped. While the
/// runtime shuts down, the future is dropped at once and the handle reports a cancelled task.
///
/// # Panics
///
/// When no runtime is running on this thread.
///
/// # Examples
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = uring::Runtime::builder().build()?;
/// let sum = runtime.block_on(async {
///     let left = uring::spawn(async { 1 + 2 });
///     let right = uring::spawn(async { 3 + 4 });
///     Ok::<i32, uring::task::JoinError>(left.await? + right.await?)
/// })?;
/// assert_eq!(sum, 10);
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    // Without a reference of its own, counted up and down for each task.
    let Some((handle, is_refused)) = current::with_current(|executor| executor.add(future)) else {
        panic!(
            "uring::spawn: no runtime is running on this thread; \
             call it inside Runtime::block_on or #[uring::main]"
        );
    };
    if is_refused {
        handle.abort();
    }
    handle
}

/// Lets other tasks that are ready run before the caller goes on: all of them, once, if the caller is a task;
/// up to 64 if it is the main future.
///
/// A task that computes for long without waiting for anything keeps the thread to itself;
/// awaiting this now and then gives the others, and I/O, their turn.
///
/// # Examples
///
/// ```no_run
/// # async fn sum(numbers: Vec<u64>) -> u64 {
/// let mut total = 0;
/// for part in numbers.chunks(10_000) {
///     total += part.iter().sum::<u64>();
///     uring::task::yield_now().await;
/// }
/// total
/// # }
/// ```
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

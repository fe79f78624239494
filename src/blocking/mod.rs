//! Threads for calls that block and have no operation of the ring's.
//!
//! A runtime has a pool of its own: threads are made when there is more to do than there are idle ones, never
//! more than [`Builder::max_blocking_threads`](crate::Builder::max_blocking_threads), and end when they have
//! been idle for ten seconds. What comes when all are busy waits its turn in a queue, and who submitted it is
//! an ordinary pending future: neither a full pool nor a long queue holds up the runtime's thread.
//!
//! What this layer promises:
//!
//! 1. A call that has not begun when its future is dropped never begins. One that has begun goes on to its
//!    end, since a thread cannot be stopped from outside; its result is dropped there.
//! 2. A panic ends the call and nothing else, and reaches whoever awaits it.
//! 3. User code (a call, a destructor, a waker) runs only while the pool's lock is not held.
//!
//! What it refuses to know: operations, rings, what the calls do.

#![forbid(unsafe_code)]

use std::io;
use std::panic::resume_unwind;

mod current;
mod pool;
#[cfg(test)]
mod tests;

use crate::task::{self, JoinHandle};
pub(crate) use current::{Entered, enter};
use pool::Ended;
pub(crate) use pool::{AtShutdown, Pool};

/// Runs a call that blocks on a thread of its own, beside the caller: for what would hold up everything else on
/// the runtime's thread, be it a library that waits for something or a long computation.
///
/// The call starts at once if the runtime may have
/// [one thread more](crate::Builder::max_blocking_threads), else when one is free. Dropping the handle detaches
/// it. [Aborting](JoinHandle::abort) it keeps a call from starting that has not begun; one that has begun goes
/// on, and its output is dropped. Dropping the runtime waits for calls that have begun, at most for its
/// [limit](crate::Builder::shutdown_limit).
///
/// The handle's [`JoinError`](crate::task::JoinError) is a panic when the call panicked, and when the system
/// has no thread for it and none is running.
///
/// # Panics
///
/// When no runtime is running on this thread.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// uring::Runtime::new()?.block_on(async {
///     let entries = uring::spawn_blocking(|| std::fs::read_dir("/").map(Iterator::count)).await??;
///     println!("{entries} entries");
///     Ok(())
/// })
/// # }
/// ```
#[track_caller]
pub fn spawn_blocking<F, R>(call: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let submitted = current::current().submit(AtShutdown::WaitForIt, call);
    task::spawn(async move {
        let waiting = match submitted {
            Ok(waiting) => waiting,
            Err(error) => panic!("uring::spawn_blocking: the system has no thread for it: {error}"),
        };
        match waiting.await {
            Ok(output) => output,
            Err(Ended::Panicked(panic)) => resume_unwind(panic),
            // Only when the runtime ends, and this task with it.
            Err(Ended::Closed) => std::future::pending().await,
        }
    })
}

/// Runs a call that blocks, for other layers; a panic in it goes on here.
///
/// # Errors
///
/// When the system has no thread for it, or the runtime has ended.
pub(crate) async fn run<F, R>(at_shutdown: AtShutdown, call: F) -> io::Result<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let waiting = current::current().submit(at_shutdown, call)?;
    match waiting.await {
        Ok(output) => Ok(output),
        Err(Ended::Panicked(panic)) => resume_unwind(panic),
        Err(Ended::Closed) => Err(io::Error::other("the runtime has ended")),
    }
}

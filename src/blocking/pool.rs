//! The threads, and the calls that wait for one.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::channel::oneshot::{self, Receiver};

use crate::panics::contain;

/// What the end of the runtime means to a call that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtShutdown {
    /// It changes something: the runtime waits for it.
    WaitForIt,
    /// Nobody misses it: its thread goes on by itself, and ends with it.
    LeaveIt,
}

/// Why there is no output.
pub(super) enum Ended {
    /// The call panicked with this.
    Panicked(Box<dyn Any + Send>),
    /// The pool was closed before the call began.
    Closed,
}

/// One runtime's threads for calls that block.
pub(crate) struct Pool(Arc<Shared>);

/// What the threads share with the runtime, and keep while they run.
struct Shared {
    queue: Mutex<Queue>,
    /// Signalled when there is a call to take, or when all is over.
    work: Condvar,
    /// Signalled when the last call that the runtime waits for has ended.
    settled: Condvar,
    max_threads: usize,
    idle_limit: Duration,
}

#[derive(Default)]
struct Queue {
    /// Calls that have not begun, oldest first; by number, so that any one can be taken out.
    waiting: BTreeMap<u64, Call>,
    next: u64,
    threads: usize,
    /// Threads that are about to look for a call, or wait for one.
    idle: usize,
    /// Calls that have begun and that the runtime waits for.
    awaited: usize,
    closed: bool,
}

struct Call {
    at_shutdown: AtShutdown,
    run: Box<dyn FnOnce() + Send>,
}

impl Pool {
    /// A pool without threads.
    pub(crate) fn new(max_threads: usize, idle_limit: Duration) -> Pool {
        Pool(Arc::new(Shared {
            queue: Mutex::default(),
            work: Condvar::new(),
            settled: Condvar::new(),
            max_threads: max_threads.max(1),
            idle_limit,
        }))
    }

    /// Queues a call, and has a thread made for it if none is idle and there may be another.
    ///
    /// # Errors
    ///
    /// When the system makes no thread and none is there that would take the call later.
    pub(super) fn submit<F, R>(&self, at_shutdown: AtShutdown, call: F) -> io::Result<Waiting<R>>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let run = Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(call)).map_err(Ended::Panicked);
            // Nobody may be waiting any more: then nobody misses the answer.
            drop(answer.send(result));
        });
        let number = self.0.enqueue(Call { at_shutdown, run })?;
        Ok(Waiting { answered, queued: Some((Arc::clone(&self.0), number)) })
    }

    /// How many threads there are.
    pub(crate) fn threads(&self) -> usize {
        self.0.lock().threads
    }

    /// How many threads wait for a call.
    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.0.lock().idle
    }

    /// Takes no more calls, drops those that have not begun, and waits for those that have, at most for
    /// `limit`; returns how many of them still run. Idle threads end. The second time it does not wait.
    pub(crate) fn close(&self, limit: Duration) -> usize {
        let mut queue = self.0.lock();
        if mem::replace(&mut queue.closed, true) {
            return queue.awaited;
        }
        let waiting = mem::take(&mut queue.waiting);
        drop(queue);
        self.0.work.notify_all();
        for call in waiting.into_values() {
            contain(|| drop(call));
        }
        // None where the limit ends later than time does: then there is none.
        let deadline = Instant::now().checked_add(limit);
        let mut queue = self.0.lock();
        while queue.awaited > 0 {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            queue = match left {
                Some(Duration::ZERO) => break,
                Some(left) => ignore_poison(self.0.settled.wait_timeout(queue, left)).0,
                None => ignore_poison(self.0.settled.wait(queue)),
            };
        }
        queue.awaited
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close(Duration::ZERO);
    }
}

impl Shared {
    /// No user code runs while it is locked, so that what it guards is whole even after a panic.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        ignore_poison(self.queue.lock())
    }

    fn enqueue(self: &Arc<Shared>, call: Call) -> io::Result<u64> {
        let mut queue = self.lock();
        if queue.closed {
            drop(queue);
            // Its channel closes with it, which tells who waits.
            drop(call);
            return Ok(u64::MAX);
        }
        let number = queue.next;
        queue.next += 1;
        queue.waiting.insert(number, call);
        if queue.waiting.len() <= queue.idle {
            drop(queue);
            self.work.notify_one();
            return Ok(number);
        }
        if queue.threads < self.max_threads {
            if let Err(error) = self.add_thread(&mut queue) {
                if queue.threads == 0 {
                    let call = queue.waiting.remove(&number);
                    drop(queue);
                    drop(call);
                    return Err(error);
                }
            }
        }
        Ok(number)
    }

    fn add_thread(self: &Arc<Shared>, queue: &mut Queue) -> io::Result<()> {
        let shared = Arc::clone(self);
        let thread = thread::Builder::new().name("uring-blocking".into());
        thread.spawn(move || shared.work())?;
        queue.threads += 1;
        queue.idle += 1;
        Ok(())
    }

    /// What a thread does: one call after the other, until none has come for long.
    fn work(&self) {
        while let Some(Call { at_shutdown, run }) = self.next_call() {
            contain(run);
            let mut queue = self.lock();
            queue.idle += 1;
            if at_shutdown == AtShutdown::WaitForIt {
                queue.awaited -= 1;
                if queue.awaited == 0 {
                    self.settled.notify_all();
                }
            }
        }
    }

    /// The next call, or none when this thread is to end. The thread is idle until this returns.
    fn next_call(&self) -> Option<Call> {
        let mut queue = self.lock();
        let mut waited_enough = false;
        loop {
            if let Some((_, call)) = queue.waiting.pop_first() {
                queue.idle -= 1;
                queue.awaited += usize::from(call.at_shutdown == AtShutdown::WaitForIt);
                return Some(call);
            }
            if queue.closed || waited_enough {
                queue.idle -= 1;
                queue.threads -= 1;
                return None;
            }
            let (again, waited) = ignore_poison(self.work.wait_timeout(queue, self.idle_limit));
            (queue, waited_enough) = (again, waited.timed_out());
        }
    }
}

/// A call that was submitted, as a future for its output. Dropped before the call has begun, it never does.
pub(super) struct Waiting<R> {
    answered: Receiver<Result<R, Ended>>,
    /// Where the call may still stand in the queue; none once there is an answer.
    queued: Option<(Arc<Shared>, u64)>,
}

impl<R> Future for Waiting<R> {
    type Output = Result<R, Ended>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = std::task::ready!(self.answered.poll_unpin(context));
        self.queued = None;
        Poll::Ready(answer.unwrap_or(Err(Ended::Closed)))
    }
}

impl<R> Drop for Waiting<R> {
    fn drop(&mut self) {
        let Some((shared, number)) = self.queued.take() else { return };
        let call = shared.lock().waiting.remove(&number);
        drop(call);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads()).finish_non_exhaustive()
    }
}

fn ignore_poison<T>(locked: Result<T, PoisonError<T>>) -> T {
    locked.unwrap_or_else(PoisonError::into_inner)
}

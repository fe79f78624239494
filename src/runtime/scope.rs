//! Tasks and operations that end together.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::within::Within;
use crate::driver::{CancelScope, Joined, Member};
use crate::task::{self, AbortHandle, JoinHandle};

/// Runs `body` with a scope for tasks, and returns when everything beneath has ended: every task that was
/// spawned into the scope, and every operation that these or `body` have submitted, down to its final completion.
///
/// When `body` is done, tasks that still run are aborted; to let them finish, await
/// [`Scope::all_done`] at its end. So what a scope returns is the last that happens in it: no buffer of it
/// is in the kernel's hands any more, and descriptors that only it held are closed.
///
/// Scopes can lie in each other, and a task can open its own. [`spawn`](crate::spawn) makes a task that belongs
/// to none; operations do where they are submitted. An operation that must happen, such as a close, is
/// waited for; any other that outlives `body` and the tasks is cancelled.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # uring::Runtime::new()?.block_on(async {
/// use std::time::Duration;
/// use uring::net::TcpListener;
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// uring::scope(async |scope| {
///     scope.spawn(async move { listener.accept().await });
///     uring::time::sleep(Duration::from_millis(1)).await;
/// })
/// .await;
/// // The accept is cancelled and over, and its listener is closed.
/// # std::io::Result::Ok(())
/// # })?;
/// # Ok(())
/// # }
/// ```
///
/// # Panics
///
/// When `body` does, after everything beneath has ended. A task's panic is in its [`JoinHandle`], and ends
/// nothing else.
///
/// # Dropping
///
/// Aborts the tasks, whose futures are dropped before the drop returns, and cancels their operations without
/// waiting for their ends.
pub async fn scope<R>(body: impl AsyncFnOnce(&Scope) -> R) -> R {
    let scope = Scope::new();
    // Aborts also if this future is dropped.
    let leaving = Leaving(&scope);
    let output = {
        let mut body = pin!(Within::new(scope.0.operations.clone(), body(&scope)));
        // A panic may pass when nothing is left beneath.
        poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(context))) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Err::<R, Box<dyn Any + Send>>(panic).into(),
        })
        .await
    };
    drop(leaving);
    scope.0.tasks.ended().await;
    scope.0.operations.ended().await;
    output.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Where tasks are spawned that end with the body of [`scope`]. Clones are the same scope, for tasks that spawn
/// others.
#[derive(Clone)]
pub struct Scope(Rc<Shared>);

struct Shared {
    operations: CancelScope,
    /// Counts the tasks.
    tasks: CancelScope,
    /// In the order of their spawning. None while a task is being spawned.
    running: RefCell<BTreeMap<u64, Option<AbortHandle>>>,
    next_number: Cell<u64>,
    left: Cell<bool>,
}

impl Scope {
    fn new() -> Scope {
        Scope(Rc::new(Shared {
            operations: CancelScope::new(),
            tasks: CancelScope::new(),
            running: RefCell::default(),
            next_number: Cell::new(0),
            left: Cell::new(false),
        }))
    }

    /// Runs a future as a task that ends with the scope; see [`spawn`](crate::spawn). In a scope whose body is
    /// done, it is aborted at once.
    ///
    /// # Panics
    ///
    /// When no runtime is running on this thread.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let shared = &self.0;
        let number = shared.next_number.get();
        shared.next_number.set(number + 1);
        shared.running.borrow_mut().insert(number, None);
        let listed = Listed {
            shared: Rc::clone(shared),
            number,
            _counted: shared.tasks.join(Joined::Other),
        };
        let inside = Within::new(shared.operations.clone(), future);
        let handle = task::spawn(Beneath { inside, _listed: listed });
        if let Some(place) = shared.running.borrow_mut().get_mut(&number) {
            *place = Some(handle.abort_handle());
        }
        if shared.left.get() {
            handle.abort();
        }
        handle
    }

    /// Aborts the tasks that run now: their futures are dropped before this returns, their operations are
    /// cancelled. A task that calls it for itself is dropped when its poll returns. More can be spawned
    /// afterwards.
    pub fn abort_all(&self) {
        let running: Vec<AbortHandle> =
            self.0.running.borrow().values().flatten().cloned().collect();
        running.iter().for_each(AbortHandle::abort);
    }

    /// Waits until no task of the scope is left. Operations that were cancelled may still be on their way.
    ///
    /// A task that awaits it for its own scope waits for itself, until it is aborted.
    pub async fn all_done(&self) {
        self.0.tasks.ended().await;
    }

    /// How many tasks of the scope there are.
    pub fn len(&self) -> usize {
        self.0.running.borrow().len()
    }

    /// Whether the scope has no task.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("tasks", &self.len()).finish_non_exhaustive()
    }
}

pin_project! {
    /// A task of a scope, which leaves the scope's list when it is gone: fields are dropped in their order.
    struct Beneath<F> {
        #[pin]
        inside: Within<F>,
        _listed: Listed,
    }
}

impl<F: Future> Future for Beneath<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.project().inside.poll(context)
    }
}

/// The entry of a task in its scope's list.
struct Listed {
    shared: Rc<Shared>,
    number: u64,
    _counted: Member,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let unlisted = self.shared.running.borrow_mut().remove(&self.number);
        drop(unlisted);
    }
}

/// Ends what is beneath a scope whose body is done or dropped.
struct Leaving<'a>(&'a Scope);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.0.left.set(true);
        self.0.abort_all();
        self.0.0.operations.cancel();
    }
}

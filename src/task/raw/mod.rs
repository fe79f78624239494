//! A task in one allocation: what its wakers, its handle and the executor share, the result, the future.
//!
//! In safe code a task takes three allocations (a waker that may travel, a result that two ends share, a boxed
//! future) and several atomic read-modify-writes, because a `Waker` is `Send` and so must be an `Arc` of something
//! `Send`. Here the parts that never leave the thread are plain cells beside the few that do.
//!
//! # The safety chapter
//!
//! `wakers.rs` has the part that any thread may run. *Home* is the thread that made the task's executor.
//! `docs/soundness.md` says where each rule is relied on, and which tests guard it.
//!
//! 1. **Who is at home.** A [`HomeId`] is drawn once from a counter that never repeats, for one executor, and cannot
//!    leave its thread. [`AtHome`] makes it the present one of this thread, and only its drop ends that. So a thread
//!    whose present id is a task's is that task's home. A thread that is home but has not entered counts as foreign,
//!    which is always allowed.
//! 2. **Cells are touched at home alone.** A [`TaskRef`] and a [`JoinRef`] are not `Send`, so whoever has one is at
//!    home; a waker asks rule 1 first. Foreign threads touch the immutable fields and the atomics.
//! 3. **References.** Owners (`TaskRef`s) are counted in a cell. Wakers are counted in two parts whose sum is their
//!    number: `local`, a cell, for what is cloned and dropped at home, and `shared`, an atomic that starts at
//!    `BIAS`. When the last owner goes, the parts are merged: `shared` becomes the number of wakers left, and home
//!    counts there too from then on. Memory is freed by who finds the number zero at or after the merge; before it,
//!    `shared` cannot reach zero, as there are never `BIAS` wakers.
//! 4. **The future** is touched only through the functions of the vtable, which need [`Stage::Waiting`] and leave it
//!    (`Polled` while it is polled, `Ending` before it is dropped in place), so there is one access at a time; it is
//!    dropped once, at home, and never moved. The caller of such a function owns a reference for as long as it runs.
//! 5. **What is freed last** owns nothing of the user's: the future was dropped by rule 4, and result and awaiter are
//!    taken out by the end of the task or by its handle, both at home. So it may be freed on any thread.
//! 6. **The remote queue** is kept by the executor's `Core`, which a task holds until it ends. If any waker is
//!    left then, the task takes a reference of its own, which is given back when the memory is freed. No waker is
//!    made of a task that has ended but from another waker.
//! 7. **Casts.** A pointer to a `Task<F>` is one to its first field, `Join<F::Output>`, and to that one's first,
//!    `Header`, by `repr(C)`. All pointers come from the one `Box::into_raw` in [`create`], never from a reference.

#[cfg(all(test, not(loom)))]
mod tests;
mod wakers;

use std::{
    cell::{self, UnsafeCell},
    future::Future,
    marker::PhantomData,
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    ptr::NonNull,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use super::{executor::Core, join::JoinError, waker::Remote};
use crate::panics::{contain, let_go};
use crate::sync::{AtomicBool, AtomicI64, Cell, Lifetime, thread_local};

pub(super) use wakers::Called;

/// What `shared` is ahead of the number of wakers before the merge (rule 3).
const BIAS: i64 = 1 << 62;

thread_local! {
    static PRESENT: cell::Cell<u64> = const { cell::Cell::new(0) };
}

/// Names one executor for ever (rule 1).
pub(super) struct HomeId(u64, PhantomData<*const ()>);

impl HomeId {
    pub(super) fn new() -> HomeId {
        static LAST: AtomicU64 = AtomicU64::new(0);
        HomeId(LAST.fetch_add(1, Ordering::Relaxed) + 1, PhantomData)
    }
}

/// While this lives, wakers of the executor's tasks know this thread for their home (rule 1).
pub(super) struct AtHome {
    previous: u64,
    not_send: PhantomData<*const ()>,
}

impl AtHome {
    #[inline]
    pub(super) fn enter(id: &HomeId) -> AtHome {
        AtHome { previous: PRESENT.with(|present| present.replace(id.0)), not_send: PhantomData }
    }
}

impl Drop for AtHome {
    #[inline]
    fn drop(&mut self) {
        PRESENT.with(|present| present.set(self.previous));
    }
}

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// For its next poll.
    Waiting,
    Polled,
    /// As `Polled`, and to end when the poll returns.
    Aborted,
    /// Its future is being dropped.
    Ending,
    Ended,
}

/// What is the same for tasks of every type.
struct Header {
    vtable: &'static VTable,
    home: u64,
    /// Alive by rule 6.
    remote: NonNull<Remote>,
    lifetime: Lifetime,
    /// Whether this is the main future's, which is no task: flags are all there is to set.
    is_main: bool,

    shared: AtomicI64,
    /// Whether a foreign wake is on its way, so that further ones cost nothing. Stays set after the end.
    called: AtomicBool,

    // From here on at home alone (rule 2).
    /// Wide enough for every handle that safe code can forget, so that it needs no check.
    owners: Cell<u64>,
    local: Cell<i32>,
    merged: Cell<bool>,
    owns_remote: Cell<bool>,
    stage: Cell<Stage>,
    /// Whether it waits for its next poll already. Stays set after the end.
    queued: Cell<bool>,
    /// Whether there is a handle, which the result is for.
    has_handle: Cell<bool>,
    /// Its place among the executor's tasks.
    index: Cell<u32>,
    /// None before it is the executor's and after its end.
    core: cell::Cell<Option<Rc<Core>>>,
    awaiting: Cell<Option<Waker>>,
}

/// What is the same for tasks of one output.
#[repr(C)]
struct Join<T> {
    header: Header,
    result: Cell<Option<Result<T, JoinError>>>,
}

#[repr(C)]
struct Task<F: Future> {
    join: Join<F::Output>,
    future: UnsafeCell<ManuallyDrop<F>>,
}

/// What depends on the future's type. All have rule 4 for their contract, `free` rules 3 and 5.
struct VTable {
    /// True when it has ended.
    poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> bool,
    cancel: unsafe fn(NonNull<Header>),
    free: unsafe fn(NonNull<Header>),
}

impl<F: Future> Task<F> {
    const VTABLE: &'static VTable =
        &VTable { poll: poll::<F>, cancel: cancel::<F>, free: free::<F> };
}

/// Makes a task of `core`, not yet among its tasks, and its owner.
fn create<F: Future>(future: F, core: &Core, is_main: bool) -> TaskRef {
    // Before what comes into it, so that it can be written where it stays and need not be copied.
    let mut task = Box::<Task<F>>::new_uninit();
    let header = Header {
        vtable: Task::<F>::VTABLE,
        home: core.id().0,
        // SAFETY: what an `Arc` points to is not at null.
        remote: unsafe { NonNull::new_unchecked(Arc::as_ptr(core.remote()).cast_mut()) },
        lifetime: Lifetime::new(),
        is_main,
        shared: AtomicI64::new(BIAS),
        called: AtomicBool::new(false),
        owners: Cell::new(1),
        local: Cell::new(0),
        merged: Cell::new(false),
        owns_remote: Cell::new(false),
        stage: Cell::new(Stage::Waiting),
        queued: Cell::new(false),
        has_handle: Cell::new(false),
        index: Cell::new(u32::MAX),
        core: cell::Cell::new(None),
        awaiting: Cell::new(None),
    };
    let join = Join { header, result: Cell::new(None) };
    task.write(Task { join, future: UnsafeCell::new(ManuallyDrop::new(future)) });
    // SAFETY: rule 7; a box is not null.
    TaskRef(unsafe { NonNull::new_unchecked(Box::into_raw(task).cast()) })
}

/// Polls a task that is `Polled`, and ends it if that was all.
unsafe fn poll<F: Future>(task: NonNull<Header>, context: &mut Context<'_>) -> bool {
    // SAFETY: rule 7; the caller owns a reference (rule 4).
    let task = unsafe { task.cast::<Task<F>>().as_ref() };
    let header = &task.join.header;
    let polled = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: rule 4: nobody else has the future, which stays where it is until it is dropped there.
        unsafe { Pin::new_unchecked(&mut **task.future.get()) }.poll(context)
    }));
    let result = match polled {
        Ok(Poll::Pending) if header.stage.get() == Stage::Polled => {
            header.stage.set(Stage::Waiting);
            return false;
        }
        Ok(Poll::Pending) => Err(JoinError::cancelled()),
        Ok(Poll::Ready(output)) => Ok(output),
        Err(panic) => Err(JoinError::from_panic(panic)),
    };
    end(task, result);
    true
}

/// Ends a task that is `Waiting`.
unsafe fn cancel<F: Future>(task: NonNull<Header>) {
    // SAFETY: rule 7; the caller owns a reference (rule 4).
    end(unsafe { task.cast::<Task<F>>().as_ref() }, Err(JoinError::cancelled()));
}

/// Frees the memory of a task.
unsafe fn free<F: Future>(task: NonNull<Header>) {
    // Without its drop, as nothing is left in it to be dropped (rule 5).
    // SAFETY: rules 3, 5 and 7; `ManuallyDrop` has the layout of what it holds.
    drop(unsafe { Box::from_raw(task.cast::<ManuallyDrop<Task<F>>>().as_ptr()) });
}

/// Drops the future, then hands over the result; a panic of the destructor becomes the result. Nothing unwinds
/// from here. Called by `poll` and `cancel` alone, whose callers have made sure that no poll is going on.
fn end<F: Future>(task: &Task<F>, mut result: Result<F::Output, JoinError>) {
    let header = &task.join.header;
    header.stage.set(Stage::Ending);
    // All further wakes do nothing.
    header.queued.set(true);
    header.called.store(true, Ordering::Release);
    let core = header.core.take();
    if let Some(core) = &core {
        core.remove(header.index.get() as usize);
    }
    // SAFETY: rule 4: `Ending` is entered once, and nobody polls the future now or later.
    let dropped = catch_unwind(AssertUnwindSafe(|| unsafe {
        ManuallyDrop::drop(&mut *task.future.get());
    }));
    if let Err(panic) = dropped {
        contain(|| drop(result));
        result = Err(JoinError::from_panic(panic));
    }
    if let Some(core) = core {
        header.leave(core);
    }

    task.join.result.set(Some(result));
    header.stage.set(Stage::Ended);
    if let Some(awaiting) = header.awaiting.take() {
        contain(|| awaiting.wake());
    }
    if !header.has_handle.get() {
        // Rule 5: nobody is left to take it.
        contain(|| drop(task.join.result.take()));
    }
}

impl Header {
    /// Counts a waker more or less in the cell; false if that is not the place (rule 3).
    #[inline]
    fn count_at_home(&self, change: i32) -> bool {
        if !self.is_home() || self.merged.get() {
            return false;
        }
        let Some(local) = self.local.get().checked_add(change) else { return false };
        self.local.set(local);
        true
    }

    /// Counts an owner more.
    #[inline]
    fn own(&self) {
        self.owners.set(self.owners.get() + 1);
    }

    /// Whether this thread is home and has entered, so that cells may be touched through a waker (rules 1, 2).
    #[inline]
    fn is_home(&self) -> bool {
        PRESENT.with(cell::Cell::get) == self.home
    }

    #[inline]
    fn has_ended(&self) -> bool {
        matches!(self.stage.get(), Stage::Ending | Stage::Ended)
    }

    /// Lets the executor go, and keeps its remote queue for the wakers that are left (rule 6).
    #[inline]
    fn leave(&self, core: Rc<Core>) {
        if self.shared.load(Ordering::Acquire) != BIAS - i64::from(self.local.get()) {
            // SAFETY: the pointer is of an `Arc`, which `core` keeps alive.
            unsafe { Arc::increment_strong_count(self.remote.as_ptr()) };
            self.owns_remote.set(true);
        }
        drop(core);
    }
}

/// Frees a task that nobody refers to any more.
unsafe fn free_task(task: NonNull<Header>) {
    // SAFETY: the caller's word (rule 3): this is the only access.
    unsafe {
        let header = task.as_ref();
        debug_assert!(header.has_ended(), "rule 5: a task is freed with its future in it");
        let remote = header.owns_remote.get().then_some(header.remote.as_ptr());
        header.lifetime.freed();
        (header.vtable.free)(task);
        if let Some(remote) = remote {
            // Rule 6: the reference that `leave` took.
            Arc::decrement_strong_count(remote.cast_const());
        }
    }
}

/// A reference at home to a task of whatever type. Dropping it runs no code of the user's.
pub(super) struct TaskRef(NonNull<Header>);

impl TaskRef {
    /// A task of no executor yet, with its handle's end.
    pub(super) fn new<F: Future>(future: F, core: &Core) -> (TaskRef, JoinRef<F::Output>) {
        let task = create(future, core, false);
        task.header().has_handle.set(true);
        let join = JoinRef { task: task.clone(), result: PhantomData };
        (task, join)
    }

    /// What the main future's waker wakes.
    pub(super) fn main(core: &Rc<Core>) -> TaskRef {
        let main = create(std::future::pending::<()>(), core, true);
        main.header().core.set(Some(Rc::clone(core)));
        main
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: rule 3: this is an owner. Rule 2 allows to touch all of it.
        unsafe { self.0.as_ref() }
    }

    /// Makes it a task of `core`, in this place, about to be queued for its first poll.
    #[inline]
    pub(super) fn enlist(&self, core: &Rc<Core>, index: usize) {
        let header = self.header();
        // A wrong index would take another task out of the slab, which frees it with its future undropped.
        header.index.set(u32::try_from(index).expect("2^32 tasks at once on one thread"));
        header.queued.set(true);
        header.core.set(Some(Rc::clone(core)));
    }

    /// Polls it, unless it has ended. Contains its panics.
    #[inline]
    pub(super) fn poll(&self) {
        let header = self.header();
        if header.stage.get() != Stage::Waiting {
            return;
        }
        // Before the poll, so that later wakes count anew.
        header.queued.set(false);
        header.stage.set(Stage::Polled);
        // SAFETY: the contract of the vtable below; an uncounted waker, which is not dropped, of a task that
        // this reference keeps.
        let waker = ManuallyDrop::new(unsafe { Waker::from_raw(wakers::raw_waker(self.0)) });
        // SAFETY: rule 4: it was `Waiting` and is `Polled`.
        unsafe { (header.vtable.poll)(self.0, &mut Context::from_waker(&waker)) };
    }

    /// Ends it now, or after the poll it is in. Ended tasks are ignored.
    pub(super) fn abort(&self) {
        let header = self.header();
        match header.stage.get() {
            Stage::Waiting => {
                let kept = self.clone();
                // SAFETY: rule 4: it is `Waiting`.
                unsafe { (header.vtable.cancel)(kept.0) };
            }
            Stage::Polled => header.stage.set(Stage::Aborted),
            Stage::Aborted | Stage::Ending | Stage::Ended => {}
        }
    }

    /// A counted waker.
    pub(super) fn waker(&self) -> Waker {
        // SAFETY: `clone_waker` counts a waker of a task that this reference keeps.
        unsafe { Waker::from_raw(wakers::clone_waker(self.0.as_ptr().cast_const().cast())) }
    }

    /// Whether a wake waits to be taken.
    #[inline]
    pub(super) fn is_woken(&self) -> bool {
        let header = self.header();
        header.queued.get() || header.called.load(Ordering::Acquire)
    }

    /// Takes the wakes so far.
    ///
    /// A swap and not a store: it has to read what the last waking thread wrote, so that the poll sees whatever
    /// that thread did before it woke, even when its wake found the flag set.
    #[inline]
    pub(super) fn take_woken(&self) -> bool {
        let header = self.header();
        let called =
            header.called.load(Ordering::Acquire) && header.called.swap(false, Ordering::AcqRel);
        header.queued.replace(false) || called
    }
}

impl Clone for TaskRef {
    #[inline]
    fn clone(&self) -> TaskRef {
        self.header().own();
        TaskRef(self.0)
    }
}

impl Drop for TaskRef {
    #[inline]
    fn drop(&mut self) {
        let header = self.header();
        let owners = header.owners.get() - 1;
        header.owners.set(owners);
        if owners > 0 {
            return;
        }
        let wakers_left = BIAS - i64::from(header.local.get());
        // Rule 3. Without a waker nobody else can be at the counts; the load sees what the last one's drop released.
        if header.shared.load(Ordering::Acquire) != wakers_left {
            header.merged.set(true);
            if header.shared.fetch_sub(wakers_left, Ordering::AcqRel) != wakers_left {
                return;
            }
        }
        // SAFETY: rule 3: no owner and no waker is left.
        unsafe { free_task(self.0) };
    }
}

/// A reference at home to a task whose output is known: the handle's.
pub(super) struct JoinRef<T> {
    task: TaskRef,
    result: PhantomData<*mut T>,
}

impl<T> JoinRef<T> {
    #[inline]
    fn join(&self) -> &Join<T> {
        // SAFETY: rule 7: made by `TaskRef::new` alone, for a future of this output.
        unsafe { self.task.0.cast::<Join<T>>().as_ref() }
    }

    #[inline]
    pub(super) fn task(&self) -> &TaskRef {
        &self.task
    }

    /// The result, once: after the end.
    #[inline]
    pub(super) fn result(&self) -> &Cell<Option<Result<T, JoinError>>> {
        &self.join().result
    }

    /// Whom the end wakes.
    #[inline]
    pub(super) fn awaiting(&self) -> &Cell<Option<Waker>> {
        &self.join().header.awaiting
    }

    /// Whether the future is gone and the result there, or taken.
    #[inline]
    pub(super) fn is_finished(&self) -> bool {
        self.join().header.stage.get() == Stage::Ended
    }
}

impl<T> Drop for JoinRef<T> {
    fn drop(&mut self) {
        self.join().header.has_handle.set(false);
        // The task may live on for long; who awaited it is not to be kept or woken by it. Both are taken before
        // one is dropped, as that may panic, and rule 5 wants the task without either.
        let (awaiting, result) = (self.awaiting().take(), self.result().take());
        // Rare: who awaited it has not seen its end.
        if let Some(awaiting) = awaiting {
            let_go(awaiting);
        }
        drop(result);
    }
}

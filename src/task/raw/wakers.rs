//! Wakers of tasks: cloned, called and dropped on any thread. The rules are those of the safety chapter in `mod.rs`.

use std::{
    ptr::NonNull,
    sync::atomic::Ordering,
    task::{RawWaker, RawWakerVTable},
};

use super::{Header, TaskRef, free_task};
use crate::task::executor::Core;

/// A waker on its way home, in the remote queue.
pub(in crate::task) struct Called(NonNull<Header>);

// SAFETY: rule 3 counts it as a waker; rule 2 is kept, as `arrive` alone touches cells and asks who is at home.
unsafe impl Send for Called {}

impl Called {
    /// The task to be queued, unless it has ended or is queued already.
    pub(in crate::task) fn arrive(self, core: &Core) -> Option<TaskRef> {
        // SAFETY: rule 3: it is counted.
        let header = unsafe { self.0.as_ref() };
        // Rule 1: a core is not `Send`, so who has that of the task is at home.
        assert_eq!(header.home, core.id().0, "a wake in the queue of another executor");
        if header.has_ended() {
            return None;
        }
        // A swap for the reason in `take_woken`.
        header.called.swap(false, Ordering::AcqRel);
        if header.queued.replace(true) {
            return None;
        }
        header.own();
        Some(TaskRef(self.0))
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        // SAFETY: rule 3: it was counted.
        unsafe { release(self.0) };
    }
}

/// Counts one waker less, and frees the task if that was the last of all.
#[inline]
unsafe fn release(task: NonNull<Header>) {
    // No reference to the whole is held across the decrement: the memory may be gone after it.
    // SAFETY: rule 3: the waker that goes is still counted.
    unsafe {
        if task.as_ref().count_at_home(-1) {
            return;
        }
        task.as_ref().lifetime.used();
        if (*task.as_ptr()).shared.fetch_sub(1, Ordering::Release) == 1 {
            // Acquires what every thread released that let go before: all counts are one release sequence. A load, as a
            // fence would do too but ThreadSanitizer does not know fences.
            (*task.as_ptr()).shared.load(Ordering::Acquire);
            free_task(task);
        }
    }
}

static WAKER: RawWakerVTable = RawWakerVTable::new(clone_waker, wake, wake_by_ref, drop_waker);

#[inline]
pub(super) fn raw_waker(task: NonNull<Header>) -> RawWaker {
    RawWaker::new(task.as_ptr().cast_const().cast(), &WAKER)
}

/// The task that a waker's data names, which was made by [`raw_waker`].
#[inline]
unsafe fn named(data: *const ()) -> NonNull<Header> {
    // SAFETY: it came from a `NonNull`.
    unsafe { NonNull::new_unchecked(data.cast_mut().cast()) }
}

pub(super) unsafe fn clone_waker(data: *const ()) -> RawWaker {
    // SAFETY: rule 3: the waker that is cloned, or who polls, keeps the task.
    let (task, header) = unsafe { (named(data), named(data).as_ref()) };
    header.lifetime.used();
    if !header.count_at_home(1) {
        header.shared.fetch_add(1, Ordering::Relaxed);
    }
    raw_waker(task)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: rule 3: the waker keeps the task until it is counted less in the cell, and then an owner does: without one
    // the counts would be merged, and the cell would not count.
    let (task, header) = unsafe { (named(data), named(data).as_ref()) };
    if header.count_at_home(-1) {
        // SAFETY: at home, or the cell would not have counted; an owner is left.
        return unsafe { queue(task) };
    }
    // SAFETY: the waker is there until `drop_waker`.
    unsafe {
        wake_by_ref(data);
        drop_waker(data);
    }
}

unsafe fn drop_waker(data: *const ()) {
    // SAFETY: rule 3: this waker was counted.
    unsafe { release(named(data)) };
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: rule 3: the waker keeps the task.
    let (task, header) = unsafe { (named(data), named(data).as_ref()) };
    header.lifetime.used();
    if header.is_home() {
        // SAFETY: at home; the waker keeps the task.
        return unsafe { queue(task) };
    }
    if header.called.swap(true, Ordering::AcqRel) {
        return;
    }
    // SAFETY: rule 6: the task has not ended, or has a reference of its own for the sake of this waker.
    let remote = unsafe { header.remote.as_ref() };
    if header.is_main {
        remote.unpark();
    } else {
        header.shared.fetch_add(1, Ordering::Relaxed);
        remote.push(Called(task));
    }
}

/// Queues a task for its next poll, unless it is queued or has ended.
///
/// # Safety
///
/// This thread is home (rule 2), and an owner or a waker keeps the task meanwhile (rule 3).
#[inline]
unsafe fn queue(task: NonNull<Header>) {
    // SAFETY: the caller's contract.
    let header = unsafe { task.as_ref() };
    header.lifetime.used();
    if header.queued.replace(true) || header.is_main {
        return;
    }
    // SAFETY: rule 2, and nothing in `push_ready` sets another core meanwhile: it runs no code of the user's.
    let core = unsafe { &*header.core.as_ptr() };
    if let Some(core) = core {
        header.own();
        core.push_ready(TaskRef(task));
    }
}

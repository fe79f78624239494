//! What cannot be counted to in a test, by counts that are put where long runs of safe code would bring them.

use std::thread;

use super::*;
use crate::task::{Unpark, enter, executor::Executor};

struct Deaf;

impl Unpark for Deaf {
    fn unpark(&self) {}
}

/// A task that never ends of itself, as if so many wakers had been cloned at home and dropped abroad.
fn used_for_long(executor: &Rc<Executor>, moved: i32) -> (TaskRef, JoinRef<()>) {
    let (task, join) = TaskRef::new(std::future::pending::<()>(), &executor.core);
    let header = task.header();
    header.local.set(moved);
    header.shared.store(BIAS - i64::from(moved), Ordering::Relaxed);
    (task, join)
}

fn wakers_left(task: &TaskRef) -> i64 {
    let header = task.header();
    header.shared.load(Ordering::Relaxed) - BIAS + i64::from(header.local.get())
}

#[test]
fn wakers_beyond_what_the_cell_can_count_are_counted_in_the_atomic() {
    for moved in [i32::MAX, i32::MIN] {
        let unpark: Arc<dyn Unpark> = Arc::new(Deaf);
        let executor = Executor::new(unpark.clone());
        let _entered = enter(executor.clone());
        let (task, join) = used_for_long(&executor, moved);
        let first = task.waker();
        let second = first.clone();
        assert_eq!(wakers_left(&task), 2);
        drop(first);
        let third = second.clone();
        thread::spawn(move || drop(second)).join().unwrap();
        assert_eq!(wakers_left(&task), 1);
        drop(third);
        assert_eq!(wakers_left(&task), 0);
        task.abort();
        drop((task, join));
    }
}

#[test]
fn counts_far_apart_are_merged_to_the_number_of_wakers_left() {
    for moved in [i32::MAX, i32::MIN, -1, 1] {
        let executor = Executor::new(Arc::new(Deaf));
        let _entered = enter(executor.clone());
        let (task, join) = used_for_long(&executor, moved);
        let kept = [task.waker(), task.waker(), task.waker()];
        let header = task.0;
        // As the end of a task does it for a task that is the executor's.
        task.header().core.set(Some(executor.core.clone()));
        task.abort();
        drop((task, join));
        // SAFETY: the wakers are counted.
        let shared = || unsafe { header.as_ref() }.shared.load(Ordering::Relaxed);
        assert_eq!(shared(), 3);
        let [here, there, last] = kept;
        drop(here);
        thread::spawn(move || drop(there)).join().unwrap();
        assert_eq!(shared(), 1);
        drop(last);
    }
}

/// Room for idle tasks is what a server with many connections pays for.
#[test]
fn what_every_task_has_takes_no_more_than_eighty_bytes() {
    assert!(size_of::<Header>() <= 80, "{} bytes", size_of::<Header>());
}

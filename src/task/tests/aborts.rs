//! Aborts: before, during, between and after polls.

use std::cell::Cell;

use super::*;

#[test]
fn a_task_aborted_before_its_first_poll_is_dropped_at_once_and_never_polled() {
    let (executor, _) = executor();
    let ledger = Ledger::default();
    let dropped = ledger.on_drop("dropped");
    let noted = ledger.clone();
    let handle = executor.spawn(async move {
        let _dropped = dropped;
        noted.note("polled");
    });
    handle.abort();
    ledger.expect(&["dropped"]);
    assert!(handle.is_finished());
    settle(&executor);
    ledger.expect(&["dropped"]);
    assert!(result_of(handle).unwrap_err().is_cancelled());
}

#[test]
fn a_task_aborted_between_polls_is_dropped_at_once() {
    let (executor, _) = executor();
    let ledger = Ledger::default();
    let dropped = ledger.on_drop("dropped");
    let handle = executor.spawn(async move {
        let _dropped = dropped;
        pending::<()>().await;
    });
    settle(&executor);
    ledger.expect(&[]);
    handle.abort_handle().abort();
    ledger.expect(&["dropped"]);
    assert!(result_of(handle).unwrap_err().is_cancelled());
}

#[test]
fn a_task_that_aborts_itself_is_dropped_after_the_poll_it_is_in() {
    let (executor, _) = executor();
    let ledger = Ledger::default();
    let own: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
    let handle = executor.spawn({
        let (ledger, own, dropped) = (ledger.clone(), own.clone(), ledger.on_drop("dropped"));
        async move {
            let _dropped = dropped;
            own.borrow().as_ref().unwrap().abort();
            ledger.note("aborted");
            yield_now().await;
            ledger.note("polled again");
        }
    });
    *own.borrow_mut() = Some(handle);
    settle(&executor);
    ledger.expect(&["aborted", "dropped"]);
    let handle = own.take().unwrap();
    assert!(result_of(handle).unwrap_err().is_cancelled());
}

#[test]
fn a_task_that_aborts_itself_and_completes_in_that_poll_keeps_its_output() {
    let (executor, _) = executor();
    let own: Rc<RefCell<Option<JoinHandle<i32>>>> = Rc::default();
    let seen = own.clone();
    let handle = executor.spawn(async move {
        seen.borrow().as_ref().unwrap().abort();
        3
    });
    *own.borrow_mut() = Some(handle);
    settle(&executor);
    let handle = own.take().unwrap();
    assert_eq!(result_of(handle).unwrap(), 3);
}

#[test]
fn a_slot_freed_by_an_abort_during_the_poll_may_be_taken_during_that_poll() {
    let (executor, _) = executor();
    let _entered = enter(executor.clone());
    let own: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
    let successor: Rc<RefCell<Option<JoinHandle<i32>>>> = Rc::default();
    let handle = executor.spawn({
        let (own, successor) = (own.clone(), successor.clone());
        async move {
            own.borrow().as_ref().unwrap().abort();
            *successor.borrow_mut() = Some(spawn(async { 11 }));
            pending::<()>().await;
        }
    });
    *own.borrow_mut() = Some(handle);
    settle(&executor);
    let (aborted, successor) = (own.take().unwrap(), successor.take().unwrap());
    assert!(result_of(aborted).unwrap_err().is_cancelled());
    assert_eq!(result_of(successor).unwrap(), 11);
}

#[test]
fn an_abort_after_the_end_changes_nothing_and_hits_no_other_task() {
    let (executor, _) = executor();
    let handle = executor.spawn(async { 1 });
    settle(&executor);
    let successor = executor.spawn(async { 2 });
    handle.abort();
    settle(&executor);
    assert_eq!(result_of(handle).unwrap(), 1);
    assert_eq!(result_of(successor).unwrap(), 2);
}

#[test]
fn an_abort_wakes_the_one_who_awaits_the_task() {
    let (executor, _) = executor();
    let mut handle = executor.spawn(pending::<()>());
    let wakes = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&wakes));
    assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(&waker)).is_pending());
    handle.abort();
    assert_eq!(wakes.get(), 1);
    assert!(result_of(handle).unwrap_err().is_cancelled());
}

#[test]
fn tasks_that_abort_each_other_in_their_destructors_are_each_dropped_once() {
    let (executor, _) = executor();
    let handles: Rc<RefCell<Vec<JoinHandle<()>>>> = Rc::default();
    let drops = Rc::new(Cell::new(0));
    for _ in 0..3 {
        let (aborts, drops) = (handles.clone(), drops.clone());
        let aborts_all = OnDrop(Some(move || {
            drops.set(drops.get() + 1);
            aborts.borrow().iter().for_each(JoinHandle::abort);
        }));
        let handle = executor.spawn(async move {
            let _aborts_all = aborts_all;
            pending::<()>().await;
        });
        handles.borrow_mut().push(handle);
    }
    settle(&executor);
    let first = handles.borrow()[0].abort_handle();
    first.abort();
    assert_eq!(drops.get(), 3);
    assert!(handles.borrow().iter().all(JoinHandle::is_finished));
}

#[test]
fn an_abort_handle_outlives_the_executor() {
    let (executor, _) = executor();
    let handle = executor.spawn(async {}).abort_handle();
    drop(executor);
    handle.abort();
}

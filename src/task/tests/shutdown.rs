//! The end of an executor, and what outlives it.

use super::*;

#[test]
fn shutdown_drops_every_task_and_their_handles_report_cancelled_tasks() {
    let (executor, _) = executor();
    let ledger = Ledger::default();
    let handles: Vec<_> = ["polled", "never polled"]
        .map(|event| {
            let dropped = ledger.on_drop(event);
            let handle = executor.spawn(async move {
                let _dropped = dropped;
                pending::<()>().await;
            });
            executor.run(usize::from(event == "polled"));
            handle
        })
        .into();
    executor.shutdown();
    ledger.expect(&["polled", "never polled"]);
    for handle in handles {
        assert!(result_of(handle).unwrap_err().is_cancelled());
    }
    assert!(!run(&executor, 64));
}

#[test]
fn tasks_that_spawn_in_their_destructors_do_not_prolong_the_shutdown() {
    let (executor, _) = executor();
    let _entered = enter(executor.clone());
    let ledger = Ledger::default();
    for _ in 0..3 {
        let ledger = ledger.clone();
        let spawns = OnDrop(Some(move || {
            let dropped = ledger.on_drop("late task dropped");
            let late = spawn(async move { drop(dropped) });
            assert!(result_of(late).unwrap_err().is_cancelled());
            ledger.note("late task cancelled");
        }));
        drop(executor.spawn(async move {
            let _spawns = spawns;
            pending::<()>().await;
        }));
    }
    settle(&executor);
    executor.shutdown();
    ledger.expect(&["late task dropped", "late task cancelled"].repeat(3));
}

#[test]
fn a_destructor_that_panics_does_not_keep_the_other_tasks_from_being_dropped() {
    let (executor, _) = executor();
    let ledger = Ledger::default();
    let panics = OnDrop(Some(|| panic!("destructor")));
    let dropped = ledger.on_drop("dropped");
    let first = executor.spawn(async move { drop(panics) });
    executor.spawn(async move { drop(dropped) });
    executor.shutdown();
    ledger.expect(&["dropped"]);
    assert!(result_of(first).unwrap_err().is_panic());
}

#[test]
fn a_task_that_shuts_its_executor_down_is_dropped_after_its_poll() {
    let (executor, _) = executor();
    let ledger = Ledger::default();
    let (noted, dropped) = (ledger.clone(), ledger.on_drop("dropped"));
    let ends = Rc::downgrade(&executor);
    let handle = executor.spawn(async move {
        let _dropped = dropped;
        ends.upgrade().unwrap().shutdown();
        noted.note("shut down");
        pending::<()>().await;
    });
    settle(&executor);
    ledger.expect(&["shut down", "dropped"]);
    assert!(result_of(handle).unwrap_err().is_cancelled());
}

/// Requirement 48: nothing of a task outlives its executor.
#[test]
fn a_dropped_executor_drops_its_tasks_even_when_they_hold_each_others_handles() {
    let (executor, unparks) = executor();
    let ledger = Ledger::default();
    let dropped = ledger.on_drop("dropped");
    let task = executor.spawn(async move {
        let _dropped = dropped;
        pending::<()>().await;
    });
    drop(executor.spawn(async move {
        let _ = task.await;
    }));
    settle(&executor);
    assert_eq!(Rc::strong_count(&executor), 1);
    drop(executor);
    ledger.expect(&["dropped"]);
    assert_eq!(Arc::strong_count(&unparks), 1);
}

#[test]
fn wakers_that_outlive_their_executor_do_nothing() {
    let (executor, unparks) = executor();
    let wakers = Rc::new(RefCell::new(Vec::new()));
    executor.spawn(forever(&wakers));
    settle(&executor);
    drop(executor);
    let wakers = wakers.take();
    wakers.iter().for_each(Waker::wake_by_ref);
    std::thread::spawn(move || wakers.into_iter().for_each(Waker::wake)).join().unwrap();
    assert_eq!(unparks.get(), 0);
}

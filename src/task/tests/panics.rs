//! Panics: of tasks, their destructors, their outputs and foreign wakers (requirement 47).

use std::panic::panic_any;

use super::*;

fn message(error: JoinError) -> String {
    assert!(error.is_panic() && !error.is_cancelled());
    error.to_string()
}

#[test]
fn a_panic_reaches_the_handle_and_the_other_tasks_go_on() {
    let (executor, _) = executor();
    let before = executor.spawn(async { 1 });
    let panics = executor.spawn(async { panic!("no {}", "luck") });
    let after = executor.spawn(async { 2 });
    settle(&executor);
    assert_eq!(result_of(before).unwrap(), 1);
    assert_eq!(message(result_of::<()>(panics).unwrap_err()), "the task panicked: no luck");
    assert_eq!(result_of(after).unwrap(), 2);
}

#[test]
fn a_panic_payload_of_any_type_can_be_had_back() {
    let (executor, _) = executor();
    let handle = executor.spawn(async { panic_any(42_u8) });
    settle(&executor);
    let error = result_of::<()>(handle).unwrap_err();
    assert_eq!(error.to_string(), "the task panicked");
    assert_eq!(*error.into_panic().downcast::<u8>().unwrap(), 42);
}

#[test]
fn a_cancelled_task_has_no_panic_to_give() {
    let (executor, _) = executor();
    let handle = executor.spawn(pending::<()>());
    handle.abort();
    let error = result_of(handle).unwrap_err().try_into_panic().unwrap_err();
    assert_eq!(error.to_string(), "the task was cancelled");
    let error = std::io::Error::from(error);
    assert!(error.get_ref().unwrap().is::<JoinError>());
}

#[test]
fn a_future_whose_poll_panicked_is_dropped_before_the_handle_hears_of_it() {
    let (executor, _) = executor();
    let ledger = Ledger::default();
    let dropped = ledger.on_drop("dropped");
    let handle = executor.spawn(poll_fn(move |_| -> Poll<()> {
        let _borrowed = &dropped;
        panic!("poll")
    }));
    settle(&executor);
    ledger.expect(&["dropped"]);
    assert_eq!(message(result_of(handle).unwrap_err()), "the task panicked: poll");
}

#[test]
fn a_panic_in_the_destructor_of_a_completed_future_becomes_the_result() {
    let (executor, _) = executor();
    let ledger = Ledger::default();
    let panics = OnDrop(Some(|| panic!("destructor")));
    let output = ledger.on_drop("output dropped");
    let mut output = Some(output);
    let handle = executor.spawn(poll_fn(move |_| {
        let _kept = &panics;
        Poll::Ready(output.take())
    }));
    let other = executor.spawn(async { 1 });
    settle(&executor);
    ledger.expect(&["output dropped"]);
    let error = result_of(handle).err().unwrap();
    assert_eq!(message(error), "the task panicked: destructor");
    assert_eq!(result_of(other).unwrap(), 1);
}

#[test]
fn a_panic_in_the_destructor_of_an_aborted_future_reaches_the_handle_not_the_aborter() {
    let (executor, _) = executor();
    let panics = OnDrop(Some(|| panic!("destructor")));
    let handle = executor.spawn(async move {
        let _panics = panics;
        pending::<()>().await;
    });
    settle(&executor);
    handle.abort();
    assert_eq!(message(result_of(handle).unwrap_err()), "the task panicked: destructor");
}

#[test]
fn a_panic_in_the_destructor_of_a_detached_output_harms_nobody() {
    let (executor, _) = executor();
    executor.spawn(async { OnDrop(Some(|| panic!("output"))) });
    let other = executor.spawn(async { 1 });
    settle(&executor);
    assert_eq!(result_of(other).unwrap(), 1);
}

#[test]
#[cfg_attr(miri, ignore = "the last payload is leaked on purpose")]
fn a_panic_in_the_destructor_of_a_panic_payload_harms_nobody() {
    let (executor, _) = executor();
    let payload = || OnDrop(Some(|| panic_any(OnDrop(Some(|| panic!("third"))))));
    executor.spawn(async move { OnDrop(Some(move || panic_any(payload()))) });
    let other = executor.spawn(async { 1 });
    settle(&executor);
    assert_eq!(result_of(other).unwrap(), 1);
}

#[test]
fn an_awaiter_whose_waker_panics_does_not_stop_the_executor() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("waker");
        }
    }
    let (executor, _) = executor();
    let mut handle = executor.spawn(async { 1 });
    let other = executor.spawn(async { 2 });
    let waker = Waker::from(Arc::new(Panics));
    assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(&waker)).is_pending());
    settle(&executor);
    assert_eq!(result_of(handle).unwrap(), 1);
    assert_eq!(result_of(other).unwrap(), 2);
}

#[test]
#[should_panic(expected = "ask is_panic first, or use try_into_panic")]
fn who_asks_a_cancelled_task_for_its_panic_is_told_what_to_do() {
    let (executor, _) = executor();
    let handle = executor.spawn(pending::<()>());
    handle.abort();
    drop(result_of(handle).unwrap_err().into_panic());
}

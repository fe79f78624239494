//! Code of the user's that comes back into the executor from where it is called.

use std::{mem, pin::pin};

use super::*;

/// Where a handle is kept for the task that it is of.
type Own = Rc<RefCell<Option<JoinHandle<()>>>>;

#[test]
fn a_destructor_may_wake_abort_and_poll_its_own_task_and_spawn_another() {
    for aborted in [true, false] {
        let (executor, _) = executor();
        let _entered = enter(executor.clone());
        let ledger = Ledger::default();
        let (own, wakers): (Own, _) = (Own::default(), Rc::new(RefCell::new(Vec::<Waker>::new())));
        let comes_back = OnDrop(Some({
            let (ledger, own, wakers) = (ledger.clone(), own.clone(), wakers.clone());
            move || {
                wakers.borrow().iter().for_each(Waker::wake_by_ref);
                wakers.borrow().clone().into_iter().for_each(Waker::wake);
                let mut handle = own.take().unwrap();
                handle.abort();
                handle.abort_handle().abort();
                assert!(poll_once(&mut handle).is_pending());
                let noted = ledger.clone();
                drop(spawn(async move { noted.note("another ran") }));
                *own.borrow_mut() = Some(handle);
                ledger.note("dropped");
            }
        }));
        let polls = wakers.clone();
        *own.borrow_mut() = Some(executor.spawn(async move {
            let _comes_back = comes_back;
            let mut polled = 0;
            poll_fn(|context| {
                polls.borrow_mut().push(context.waker().clone());
                polled += 1;
                if polled == 2 { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }));
        settle(&executor);
        if aborted {
            let aborts = own.borrow().as_ref().unwrap().abort_handle();
            aborts.abort();
        } else {
            wakers.borrow()[0].wake_by_ref();
        }
        settle(&executor);
        ledger.expect(&["dropped", "another ran"]);
        let handle = own.take().unwrap();
        assert_eq!(result_of(handle).is_err(), aborted);
        assert_eq!(executor.tasks(), 0);
    }
}

#[test]
fn a_task_that_holds_its_own_handle_is_dropped_once_and_its_output_with_it() {
    let (executor, _) = executor();
    let ledger = Ledger::default();
    let own: Rc<RefCell<Option<JoinHandle<_>>>> = Rc::default();
    let (inside, output) = (own.clone(), ledger.on_drop("output dropped"));
    let dropped = ledger.on_drop("future dropped");
    let handle = executor.spawn(async move {
        let _dropped = dropped;
        let _handle = inside.take();
        yield_now().await;
        output
    });
    *own.borrow_mut() = Some(handle);
    settle(&executor);
    ledger.expect(&["future dropped", "output dropped"]);
}

#[test]
fn an_awaiter_that_drops_the_handle_when_it_is_woken_drops_the_output_there() {
    thread_local! {
        static HANDLE: RefCell<Option<Box<dyn std::any::Any>>> = const { RefCell::new(None) };
    }
    struct Drops;
    impl Wake for Drops {
        fn wake(self: Arc<Self>) {
            drop(HANDLE.with(RefCell::take));
        }
    }
    let (executor, _) = executor();
    let ledger = Ledger::default();
    let output = ledger.on_drop("output dropped");
    let mut handle = executor.spawn(async move { output });
    let waker = Waker::from(Arc::new(Drops));
    assert!(pin!(&mut handle).poll(&mut Context::from_waker(&waker)).is_pending());
    HANDLE.with(|kept| *kept.borrow_mut() = Some(Box::new(handle)));
    settle(&executor);
    ledger.expect(&["output dropped"]);
}

#[test]
fn futures_of_no_size_and_of_a_page_are_polled_and_dropped_where_they_are() {
    struct Nothing;
    impl Future for Nothing {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            Poll::Ready(())
        }
    }
    #[repr(align(4096))]
    struct Page(u8, usize);
    impl Future for Page {
        type Output = usize;
        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<usize> {
            let place = &raw const *self as usize;
            assert_eq!(place % 4096, 0);
            if mem::replace(&mut self.1, place) != 0 {
                return Poll::Ready(place + usize::from(self.0));
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }
    }
    let (executor, _) = executor();
    let (nothing, page) = (executor.spawn(Nothing), executor.spawn(Page(7, 0)));
    settle(&executor);
    result_of(nothing).unwrap();
    assert_eq!(result_of(page).unwrap() % 4096, 7);
}

//! Futures that are forgotten: nothing is freed that the kernel may use, nothing is corrupted, and everybody
//! else goes on. These tests leak, which is what they are about.

use std::mem;
use std::time::Duration;

use futures::StreamExt;
use runtime_tests::{
    Ledger, NotedBuf, On, a_while, all_quiet, kernels, on_every_kernel, one_turn, put,
};
use uring::fd::Fd;
use uring::op::{self, InFlight};
use uring::task;

fn read_noted(reader: &Fd, ledger: &Ledger) -> InFlight<op::Read<NotedBuf>> {
    let buf = NotedBuf::new(64, ledger, "buffer freed");
    op::submit(op::Read { fd: reader.clone(), offset: None, buf })
}

/// Every kernel, without a look at what is left in the simulated one: descriptors are, on purpose.
fn leaking(test: impl Fn(&uring::Runtime, &On)) {
    for on in kernels() {
        let runtime = on.runtime();
        test(&runtime, &on);
        assert_eq!(runtime.metrics().strange_completions, 0);
        assert_eq!(runtime.shutdown().leaked, 0, "on {on:?}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "leaks on purpose")]
fn a_forgotten_read_keeps_its_buffer_and_the_runtime_still_ends() {
    leaking(|runtime, on| {
        let (ledger, (reader, _writer)) = (Ledger::new(), on.pipe());
        runtime.block_on(async {
            mem::forget(read_noted(&reader, &ledger));
            one_turn().await;
        });
        assert_eq!(runtime.metrics().in_flight, 1);
        assert!(ledger.events().is_empty());
    });
}

#[test]
#[cfg_attr(miri, ignore = "leaks on purpose")]
fn a_buffer_is_not_freed_with_the_runtime_when_its_future_was_forgotten() {
    for on in kernels() {
        let (ledger, (reader, writer)) = (Ledger::new(), on.pipe());
        let runtime = on.runtime();
        runtime.block_on(async {
            mem::forget(read_noted(&reader, &ledger));
            put(&writer, b"late").await;
            a_while().await;
            assert_eq!(runtime.metrics().slots_in_use, 1, "the result waits for ever");
        });
        drop(runtime);
        assert!(ledger.events().is_empty());
    }
}

#[test]
#[cfg_attr(miri, ignore = "leaks on purpose")]
fn others_go_on_beside_a_forgotten_operation() {
    leaking(|runtime, on| {
        let (ledger, (reader, writer)) = (Ledger::new(), on.pipe());
        let (forgotten, _open) = on.pipe();
        runtime.block_on(async {
            mem::forget(read_noted(&forgotten, &ledger));
            for _ in 0..100 {
                put(&writer, b"go").await;
                let read = op::Read { fd: reader.clone(), offset: None, buf: vec![0; 8] };
                let (count, buf) = op::submit(read).await.expect("a read");
                assert_eq!(&buf[..count], b"go");
            }
        });
        assert_eq!(runtime.metrics().slots_in_use, 1);
        assert!(ledger.events().is_empty());
    });
}

#[test]
#[cfg_attr(miri, ignore = "leaks on purpose")]
fn forgotten_shots_leave_a_stream_that_teardown_ends() {
    leaking(|runtime, on| {
        let (reader, writer) = on.pipe();
        runtime.block_on(async {
            let mut shots =
                op::submit_multi(op::PollMulti { fd: reader.clone(), events: libc::POLLIN as u32 });
            put(&writer, b"1").await;
            assert!(shots.next().await.is_some_and(|events| events.is_ok()));
            mem::forget(shots);
            put(&writer, b"2").await;
            a_while().await;
        });
        assert_eq!(runtime.metrics().in_flight, 1);
    });
}

#[test]
#[cfg_attr(miri, ignore = "leaks on purpose")]
fn a_stream_that_was_forgotten_is_cut_off_when_it_overflows() {
    leaking(|runtime, on| {
        let (reader, writer) = on.pipe();
        runtime.block_on(async {
            let multi = op::PollMulti { fd: reader.clone(), events: libc::POLLIN as u32 };
            mem::forget(op::submit_multi(multi));
            for _ in 0..1200 {
                put(&writer, b"x").await;
                // Longer than any delay of the simulated kernel.
                uring::time::sleep(Duration::from_micros(25)).await;
                if runtime.metrics().in_flight == 0 {
                    return;
                }
            }
            panic!("more than 1,200 completions are kept for nobody");
        });
    });
}

#[test]
#[cfg_attr(miri, ignore = "leaks on purpose")]
fn a_forgotten_task_with_an_operation_goes_on_by_itself() {
    on_every_kernel(|runtime, on| {
        let (ledger, (reader, writer)) = (Ledger::new(), on.pipe());
        runtime.block_on(async {
            let (noted, events) = (ledger.clone(), ledger.clone());
            let task = uring::spawn(async move {
                let (count, _buf) = read_noted(&reader, &noted).await.expect("a read");
                events.note(format!("read {count}"));
            });
            mem::forget(task);
            put(&writer, b"four").await;
            all_quiet(runtime).await;
            one_turn().await;
        });
        assert_eq!(ledger.events(), ["read 4", "buffer freed"]);
    });
}

#[test]
#[cfg_attr(miri, ignore = "leaks on purpose")]
fn a_forgotten_future_of_a_task_holds_nobody_up() {
    leaking(|runtime, on| {
        let (ledger, (reader, _writer)) = (Ledger::new(), on.pipe());
        runtime.block_on(async {
            // A whole future that has an operation in flight, forgotten in the middle.
            let mut whole = Box::pin(async { read_noted(&reader, &ledger).await });
            assert!(runtime_tests::poll_once(&mut whole).is_none());
            mem::forget(whole);
            task::yield_now().await;
            op::submit(op::Nop).await.expect("a nop");
        });
        assert!(ledger.events().is_empty());
    });
}

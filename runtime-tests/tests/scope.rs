//! Scopes: what was begun in one has ended when it returns, tasks and operations alike. `req_20`

use std::cell::RefCell;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;

use futures::FutureExt;
use runtime_tests::{
    Ledger, NotedBuf, all_quiet, for_turns, on_every_kernel, one_turn, poll_once, put, steps,
};
use uring::buf::IoBufMut;
use uring::fd::Fd;
use uring::op::{self, InFlight, Op};
use uring::ring::Sqe;
use uring::{Runtime, Scope, scope};

fn read(fd: &Fd, buf: NotedBuf) -> InFlight<op::Read<NotedBuf>> {
    op::submit(op::Read { fd: fd.clone(), offset: None, buf })
}

/// The end of a wait for a pipe that stays empty.
async fn read_for_ever(fd: Fd, ledger: Ledger, name: &'static str) {
    let _ended = ledger.on_drop(format!("{name} ended"));
    let buf = NotedBuf::new(8, &ledger, format!("buffer of {name} freed"));
    let _ = read(&fd, buf).await;
}

fn in_flight(runtime: &Runtime) -> usize {
    runtime.metrics().in_flight
}

#[test]
fn leaving_a_scope_ends_every_task_and_every_operation_beneath_it() {
    on_every_kernel(|runtime, on| {
        let ledger = Ledger::new();
        let ((reader, _writer), count) = (on.pipe(), steps(100, 5));
        runtime.block_on(async {
            // The operations of the runtime's own, such as its wake-up, are not counted.
            let returned = scope(async |scope| {
                for _ in 0..count {
                    scope.spawn(read_for_ever(reader.clone(), ledger.clone(), "it"));
                }
                one_turn().await;
                one_turn().await;
                assert_eq!((in_flight(runtime), scope.len()), (count, count));
                "what the body returns"
            })
            .await;
            assert_eq!(returned, "what the body returns");
            assert_eq!(in_flight(runtime), 0, "operations are in flight after their scope");
            let events = ledger.events();
            let of = |what: &str| events.iter().filter(|event| *event == what).count();
            assert_eq!((of("it ended"), of("buffer of it freed")), (count, count));
        });
    });
}

#[test]
fn tasks_that_were_waited_for_are_not_aborted() {
    on_every_kernel(|runtime, on| {
        let (reader, writer) = on.pipe();
        let sum = runtime.block_on(scope(async |scope| {
            let counts = Rc::new(RefCell::new(Vec::new()));
            for _ in 0..3 {
                let (fd, counts) = (reader.clone(), Rc::clone(&counts));
                scope.spawn(async move {
                    let read = op::Read { fd, offset: None, buf: vec![0; 2] };
                    let (count, _) = op::submit(read).await.expect("a read");
                    counts.borrow_mut().push(count);
                });
            }
            put(&writer, b"sixsix").await;
            scope.all_done().await;
            assert!(scope.is_empty());
            counts.borrow().iter().sum::<usize>()
        }));
        assert_eq!(sum, 6);
    });
}

#[test]
fn abort_all_ends_the_tasks_of_now_and_more_can_follow() {
    on_every_kernel(|runtime, on| {
        let (reader, _writer) = on.pipe();
        let ledger = Ledger::new();
        runtime.block_on(scope(async |scope| {
            let first = scope.spawn(read_for_ever(reader.clone(), ledger.clone(), "first"));
            one_turn().await;
            scope.abort_all();
            ledger.note("aborted");
            assert!(scope.is_empty());
            assert!(first.await.expect_err("aborted").is_cancelled());
            assert_eq!(scope.spawn(async { 7 }).await.expect("a task"), 7);
        }));
        assert_eq!(ledger.events()[..2], ["first ended", "aborted"]);
        assert_eq!(ledger.events().last().expect("some"), "buffer of first freed");
    });
}

#[test]
fn what_a_body_leaves_in_flight_is_cancelled_and_waited_for() {
    on_every_kernel(|runtime, on| {
        let (reader, _writer) = on.pipe();
        let ledger = Ledger::new();
        runtime.block_on(async {
            let kept = scope(async |_| {
                let buf = NotedBuf::new(8, &ledger, "dropped one freed");
                drop(read(&reader, buf));
                Some(read(&reader, NotedBuf::new(8, &ledger, "kept one freed")))
            })
            .await;
            assert_eq!(in_flight(runtime), 0);
            assert_eq!(ledger.events(), ["dropped one freed"]);
            let kept = kept.and_then(|kept| kept.now_or_never()).expect("it is over");
            let failed = kept.expect_err("cancelled");
            assert_eq!(failed.error().raw_os_error(), Some(libc::ECANCELED));
        });
    });
}

#[test]
fn a_scope_in_a_task_of_a_scope_ends_with_it() {
    on_every_kernel(|runtime, on| {
        let (reader, _writer) = on.pipe();
        let ledger = Ledger::new();
        runtime.block_on(async {
            scope(async |outer| {
                let (fd, noted) = (reader.clone(), ledger.clone());
                outer.spawn(async move {
                    scope(async |inner| {
                        inner.spawn(read_for_ever(fd.clone(), noted.clone(), "inner task"));
                        read_for_ever(fd, noted, "inner body").await;
                    })
                    .await;
                });
                one_turn().await;
                one_turn().await;
                one_turn().await;
                assert_eq!(in_flight(runtime), 2);
            })
            .await;
            assert_eq!((in_flight(runtime), ledger.events().len()), (0, 4));
        });
    });
}

#[test]
fn a_task_spawns_into_its_own_scope_by_a_clone_of_it() {
    on_every_kernel(|runtime, _| {
        let ledger = Ledger::new();
        fn family(scope: Scope, depth: u32, ledger: Ledger) {
            scope.clone().spawn(async move {
                ledger.note(format!("depth {depth}"));
                if depth < 3 {
                    family(scope, depth + 1, ledger);
                }
            });
        }
        runtime.block_on(scope(async |scope| {
            family(scope.clone(), 0, ledger.clone());
            scope.all_done().await;
        }));
        assert_eq!(ledger.events(), ["depth 0", "depth 1", "depth 2", "depth 3"]);
    });
}

#[test]
fn a_task_spawned_while_its_scope_is_left_is_aborted_at_once() {
    on_every_kernel(|runtime, _| {
        let ledger = Ledger::new();
        struct SpawnsOnDrop(Scope, Ledger);
        impl Drop for SpawnsOnDrop {
            fn drop(&mut self) {
                let ledger = self.1.clone();
                let late = self.0.spawn(async move { ledger.note("it ran") });
                self.1.note(if late.is_finished() { "aborted at once" } else { "alive" });
            }
        }
        let escaped = runtime.block_on(scope(async |scope| {
            let spawns = SpawnsOnDrop(scope.clone(), ledger.clone());
            scope.spawn(async move {
                let _spawns = spawns;
                std::future::pending::<()>().await;
            });
            one_turn().await;
            scope.clone()
        }));
        runtime.block_on(async {
            let late = escaped.spawn(async {});
            assert!(late.await.expect_err("aborted").is_cancelled());
        });
        assert_eq!(ledger.events(), ["aborted at once"]);
    });
}

#[test]
fn a_dropped_scope_aborts_its_tasks_at_once_and_cancels_their_operations() {
    on_every_kernel(|runtime, on| {
        let (reader, _writer) = on.pipe();
        let ledger = Ledger::new();
        runtime.block_on(async {
            let whole = scope(async |scope| {
                scope.spawn(read_for_ever(reader.clone(), ledger.clone(), "task"));
                read_for_ever(reader.clone(), ledger.clone(), "body").await;
            });
            assert!(for_turns(3, whole).await.is_none());
            assert_eq!(ledger.events(), ["body ended", "task ended"]);
            all_quiet(runtime).await;
            one_turn().await;
            assert_eq!(ledger.events().len(), 4);
        });
    });
}

#[test]
fn a_panic_in_a_body_passes_when_everything_beneath_has_ended() {
    on_every_kernel(|runtime, on| {
        let (reader, _writer) = on.pipe();
        let ledger = Ledger::new();
        let result = catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(scope(async |scope| {
                scope.spawn(read_for_ever(reader.clone(), ledger.clone(), "task"));
                one_turn().await;
                one_turn().await;
                // As `panic!`, without a message on every kernel.
                std::panic::resume_unwind(Box::new("on purpose"));
            }))
        }));
        let panic = result.expect_err("it panicked");
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"on purpose"));
        assert_eq!(in_flight(runtime), 0);
        assert_eq!(ledger.events(), ["task ended", "buffer of task freed"]);
    });
}

#[test]
fn a_panic_in_a_task_is_in_its_handle_and_ends_nothing_else() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(scope(async |scope| {
            let panics = scope.spawn(async { std::panic::resume_unwind(Box::new("on purpose")) });
            let lives = scope.spawn(async { 1 });
            let panicked: Result<(), _> = panics.await;
            assert!(panicked.expect_err("it panicked").is_panic());
            assert_eq!(lives.await.expect("a task"), 1);
        }));
    });
}

/// A read that must happen even if nobody waits for it.
struct MustHappen(Fd, NotedBuf);

impl Op for MustHappen {
    type Output = ();

    const CANCEL_ON_DROP: bool = false;

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::read(self.0.as_fd().into(), self.1.room(), None)
    }

    fn complete(self, _: op::Completion<Self>) {}
}

#[test]
fn what_must_happen_is_waited_for_and_not_cancelled() {
    on_every_kernel(|runtime, on| {
        let (reader, writer) = on.pipe();
        let ledger = Ledger::new();
        runtime.block_on(async {
            let mut whole = pin!(scope(async |_| {
                drop(op::submit(MustHappen(reader, NotedBuf::new(8, &ledger, "freed"))));
            }));
            assert!(for_turns(5, whole.as_mut()).await.is_none(), "it is still in flight");
            put(&writer, b"now").await;
            whole.await;
            assert_eq!(ledger.events(), ["freed"]);
        });
    });
}

#[test]
fn spawn_makes_tasks_that_belong_to_no_scope() {
    on_every_kernel(|runtime, on| {
        let (reader, writer) = on.pipe();
        let ledger = Ledger::new();
        runtime.block_on(async {
            let free =
                scope(async |_| uring::spawn(read_for_ever(reader, ledger.clone(), "free"))).await;
            one_turn().await;
            assert!(ledger.events().is_empty());
            put(&writer, b"go on").await;
            free.await.expect("a task");
        });
    });
}

#[test]
fn a_scope_without_anything_in_it_is_ready_at_once() {
    on_every_kernel(|runtime, _| {
        runtime.block_on(async {
            let mut empty = Box::pin(scope(async |scope| scope.len()));
            assert_eq!(poll_once(&mut empty), Some(0));
        });
    });
}

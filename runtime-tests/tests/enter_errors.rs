//! A kernel whose `enter` fails, before it has taken anything or after: whatever the errno, an operation lives
//! until its completion, or was never taken. `req_61`, `req_23`, `req_24`

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Once};
use std::time::Instant;

use futures::future::join_all;
use futures::{FutureExt, StreamExt};
use runtime_tests::{Ledger, NotedBuf, On, a_while, one_turn, put, steps};
use uring::Runtime;
use uring::fd::Fd;
use uring::op::{self, InFlight};
use uring::ring::{Enter, Interrupt, Kernel, KernelSide, Opcode};
use uring::sim::Sim;

/// Errors that pass: the runtime goes on as if nothing had been.
const PASSING: [i32; 4] = [libc::EINTR, libc::EAGAIN, libc::EBUSY, libc::ETIME];

/// All others that io_uring_enter(2) names, and some that a sandbox may answer.
const FATAL: [i32; 12] = [
    libc::EBADF,
    libc::EBADFD,
    libc::EBADR,
    libc::EEXIST,
    libc::EFAULT,
    libc::EINVAL,
    libc::ENOMEM,
    libc::ENOSYS,
    libc::ENXIO,
    libc::EOPNOTSUPP,
    libc::EOWNERDEAD,
    libc::EPERM,
];

/// When an `enter` fails.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    /// Nothing was taken.
    Before,
    /// All was done as asked; the caller is told otherwise.
    After,
}

/// What the next calls of `enter` do.
#[derive(Clone, Debug, Default)]
struct Faults {
    once: Rc<RefCell<VecDeque<(When, i32)>>>,
    for_ever: Rc<Cell<Option<(When, i32)>>>,
    /// Takes no more than this at a time.
    at_most: Rc<Cell<Option<u32>>>,
}

#[derive(Debug)]
struct Faulty {
    kernel: Box<dyn Kernel>,
    faults: Faults,
}

// SAFETY: does what the simulated kernel does, or nothing, and tells an error more.
unsafe impl Kernel for Faulty {
    fn enter(&mut self, side: &mut KernelSide<'_>, mut request: Enter) -> io::Result<u32> {
        let fault = self.faults.once.borrow_mut().pop_front().or(self.faults.for_ever.get());
        if let Some(most) = self.faults.at_most.get() {
            request.submit = request.submit.min(most);
        }
        match fault {
            Some((When::Before, errno)) => Err(io::Error::from_raw_os_error(errno)),
            Some((When::After, errno)) => {
                // It does not wait, or it would find nothing to wait for after what it posts now.
                self.kernel.enter(side, Enter { want: 0, ..request })?;
                Err(io::Error::from_raw_os_error(errno))
            }
            None => self.kernel.enter(side, request),
        }
    }

    fn supports(&self, opcode: Opcode) -> bool {
        self.kernel.supports(opcode)
    }

    fn now(&self) -> Instant {
        self.kernel.now()
    }

    fn interrupt(&self) -> Arc<dyn Interrupt> {
        self.kernel.interrupt()
    }
}

/// A runtime on a kernel that fails as told.
struct World {
    runtime: Runtime,
    sim: Sim,
    on: On,
    faults: Faults,
    ledger: Ledger,
}

impl World {
    fn new(seed: u64, entries: u32) -> World {
        let (sim, faults) = (Sim::new(seed), Faults::default());
        let kernel = Box::new(Faulty { kernel: sim.kernel(), faults: faults.clone() });
        let builder = Runtime::builder().entries(entries).cq_entries(64).kernel(kernel);
        let runtime = builder.build().expect("a runtime");
        let on = On::Sim { seed, sim: sim.clone() };
        World { runtime, sim, on, faults, ledger: Ledger::new() }
    }

    fn fail_once(&self, when: When, errno: i32) {
        self.faults.once.borrow_mut().push_back((when, errno));
    }

    fn read(&self, fd: &Fd, name: &str) -> InFlight<op::Read<NotedBuf>> {
        let buf = NotedBuf::new(8, &self.ledger, name);
        op::submit(op::Read { fd: fd.clone(), offset: None, buf })
    }
}

/// All of them; under Miri the first, as what becomes of memory is the same with each.
fn few(errnos: &[i32]) -> impl Iterator<Item = i32> {
    errnos.iter().copied().take(if cfg!(miri) { 1 } else { errnos.len() })
}

fn every_world(entries: u32, test: impl Fn(World, When)) {
    for seed in 0..steps(4, 1) as u64 {
        for when in [When::Before, When::After] {
            test(World::new(seed, entries), when);
        }
    }
}

#[test]
fn errors_that_pass_are_told_nobody_and_lose_nothing() {
    for errno in few(&PASSING) {
        every_world(16, |world, when| {
            let (reader, writer) = world.on.pipe();
            world.runtime.block_on(async {
                for _ in 0..5 {
                    let read = world.read(&reader, "freed");
                    world.fail_once(when, errno);
                    one_turn().await;
                    world.fail_once(when, errno);
                    put(&writer, b"bytes").await;
                    let (count, buf) = read.await.expect("a read");
                    assert_eq!(&buf.as_ref()[..count], b"bytes");
                }
            });
            assert_eq!(world.ledger.events().len(), 5);
            assert_eq!(world.runtime.metrics().strange_completions, 0);
            assert_eq!(world.runtime.shutdown().leaked, 0);
        });
    }
}

/// Keeps the panics that these tests are about from being told, as there are hundreds; tells the others.
fn keep_quiet() {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let said = panic.payload().downcast_ref::<String>();
            if !said.is_some_and(|said| said.contains("io_uring_enter failed")) {
                tell(panic);
            }
        }));
    });
}

/// Runs the loop with a read in flight until `enter` fails, and says what it panicked with.
fn read_until_it_fails(world: &World, reader: &Fd) -> String {
    keep_quiet();
    let failed = catch_unwind(AssertUnwindSafe(|| {
        world.runtime.block_on(async { world.read(reader, "freed").await.map(drop) })
    }));
    let panic = failed.expect_err("the loop cannot go on");
    panic.downcast_ref::<String>().expect("a message").clone()
}

#[test]
fn an_operation_outlives_an_enter_that_failed_until_its_completion() {
    for errno in few(&FATAL) {
        every_world(16, |world, when| {
            let (reader, writer) = world.on.pipe();
            world.fail_once(when, errno);
            let said = read_until_it_fails(&world, &reader);
            assert!(said.contains(&format!("os error {errno}")), "{said}");
            // Taken or not, as told or not: its future is gone, its memory is not.
            assert_eq!(world.sim.in_flight(), usize::from(when == When::After));
            assert!(world.ledger.events().is_empty(), "{errno} {when:?}");
            assert_eq!(world.runtime.metrics().in_flight, 1);
            // A failure that was only one of the moment: teardown finds the operation and ends it.
            assert_eq!(world.runtime.shutdown().leaked, 0);
            assert_eq!(world.ledger.events(), ["freed"]);
            drop((reader, writer));
            assert_eq!((world.sim.in_flight(), world.sim.open_descriptors()), (0, 0));
        });
    }
}

#[test]
fn a_runtime_goes_on_after_a_failure_of_the_moment() {
    for errno in few(&FATAL) {
        every_world(16, |world, when| {
            let (reader, writer) = world.on.pipe();
            world.fail_once(when, errno);
            read_until_it_fails(&world, &reader);
            world.runtime.block_on(async {
                let read = world.read(&reader, "freed too");
                put(&writer, b"after all").await;
                let count = read.await.expect("a read").0;
                // The first read may have taken it before its cancel came.
                assert!(count > 0);
            });
            assert_eq!(world.runtime.metrics().strange_completions, 0);
        });
    }
}

#[test]
#[cfg_attr(miri, ignore = "leaks on purpose")]
fn an_operation_is_leaked_where_enter_fails_for_ever() {
    for errno in few(&FATAL) {
        every_world(16, |world, when| {
            let (reader, _writer) = world.on.pipe();
            world.faults.for_ever.set(Some((when, errno)));
            read_until_it_fails(&world, &reader);
            let leaked = world.runtime.shutdown().leaked;
            // A kernel that did what it was asked is believed by its completions, not by what `enter` says.
            assert!(leaked == 1 || when == When::After, "{errno} {when:?}");
            assert_eq!(world.ledger.events().len(), 1 - leaked, "{errno} {when:?}");
        });
    }
}

#[test]
fn an_operation_that_found_no_room_fails_with_the_errno_and_its_buffer_and_the_others_go_on() {
    for errno in few(&FATAL) {
        every_world(2, |world, when| {
            let (reader, writer) = world.on.pipe();
            world.runtime.block_on(async {
                let first = [world.read(&reader, "first"), world.read(&reader, "second")];
                world.fail_once(when, errno);
                let third = world.read(&reader, "third").now_or_never().expect("it failed");
                let failed = third.expect_err("there was no room");
                assert_eq!(failed.error().raw_os_error(), Some(errno));
                // It was never queued, so its buffer is the caller's alone.
                assert_eq!(failed.into_buf().as_ref().len(), 8);
                assert_eq!(world.ledger.events(), ["third"]);
                put(&writer, b"sixteen bytes ok").await;
                for read in join_all(first).await {
                    assert_eq!(read.expect("a read").0, 8);
                }
            });
            assert_eq!(world.runtime.shutdown().leaked, 0);
        });
    }
}

#[test]
fn a_kernel_that_never_has_memory_fails_what_finds_no_room_and_gives_buffers_back() {
    every_world(2, |world, _| {
        let (reader, writer) = world.on.pipe();
        world.runtime.block_on(async {
            let first = [world.read(&reader, "first"), world.read(&reader, "second")];
            world.faults.for_ever.set(Some((When::Before, libc::EAGAIN)));
            let third = world.read(&reader, "third").now_or_never().expect("it failed");
            assert_eq!(third.expect_err("no room").error().raw_os_error(), Some(libc::EAGAIN));
            world.faults.for_ever.set(None);
            drop(first);
            drop(writer);
        });
        assert_eq!(world.runtime.shutdown().leaked, 0);
        assert_eq!(world.ledger.events().len(), 3);
    });
}

#[test]
fn a_kernel_that_takes_one_submission_at_a_time_gets_each_exactly_once() {
    for entries in [2, 16] {
        every_world(entries, |world, _| {
            world.faults.at_most.set(Some(1));
            let (reader, writer) = world.on.socket_pair();
            world.runtime.block_on(async {
                let count = steps(200, 20);
                let writes: Vec<_> = (0..count)
                    .map(|step| {
                        let buf = vec![step as u8];
                        op::submit(op::Write { fd: writer.clone(), offset: None, buf })
                    })
                    .collect();
                for write in join_all(writes).await {
                    assert_eq!(write.expect("a write").0, 1);
                }
                let read = op::Read { fd: reader, offset: None, buf: vec![0; count + 1] };
                let (read, buf) = op::submit(read).await.expect("a read");
                let expected: Vec<u8> = (0..count).map(|step| step as u8).collect();
                assert_eq!(buf[..read], expected);
            });
            assert_eq!(world.runtime.metrics().strange_completions, 0);
            assert_eq!(world.runtime.shutdown().leaked, 0);
        });
    }
}

/// `req_16`
#[test]
fn a_cancel_that_found_no_room_is_handed_over_when_there_is_some() {
    every_world(2, |world, _| {
        let (reader, _writer) = world.on.pipe();
        world.runtime.block_on(async {
            let dropped = world.read(&reader, "freed");
            one_turn().await;
            let queued = [world.read(&reader, "first"), world.read(&reader, "second")];
            world.faults.for_ever.set(Some((When::Before, libc::EAGAIN)));
            drop(dropped);
            one_turn().await;
            assert!(world.ledger.events().is_empty());
            world.faults.for_ever.set(None);
            a_while().await;
            assert_eq!(world.ledger.events(), ["freed"]);
            drop(queued);
        });
        assert_eq!(world.runtime.shutdown().leaked, 0);
    });
}

#[test]
fn a_stream_that_found_no_room_yields_the_errno_and_ends() {
    for errno in few(&FATAL) {
        every_world(2, |world, when| {
            let (reader, writer) = world.on.pipe();
            world.runtime.block_on(async {
                let first = [world.read(&reader, "first"), world.read(&reader, "second")];
                world.fail_once(when, errno);
                let fd = reader.clone();
                let polls = op::submit_multi(op::PollMulti { fd, events: libc::POLLIN as u32 });
                let polls: Vec<_> = polls.collect().now_or_never().expect("it has ended");
                let errnos = polls.iter().map(|poll| poll.as_ref().err()?.raw_os_error());
                assert_eq!(errnos.collect::<Vec<_>>(), [Some(errno)]);
                put(&writer, b"sixteen bytes ok").await;
                for read in join_all(first).await {
                    assert_eq!(read.expect("a read").0, 8);
                }
            });
            assert_eq!(world.runtime.shutdown().leaked, 0);
        });
    }
}

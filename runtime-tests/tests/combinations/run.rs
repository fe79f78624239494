//! Running a cell.

use std::future::{pending, poll_fn};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Poll;

use runtime_tests::one_turn;
use uring::Runtime;
use uring::task::yield_now;

use super::cells::{Cell, End, Fault, Kind};
use super::kernel::Script;
use super::parts::{Events, ON_PURPOSE, Probe, Probes, Submitted, Waiting};

/// Turns enough for a cancel and all that comes after it.
const TURNS: usize = 6;

/// Goes on after a panic that the cell is there to make.
fn contain<T>(what: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(what)) {
        Ok(value) => Some(value),
        Err(panic) => {
            let said = panic.downcast_ref::<String>();
            if said.is_some_and(|said| said.starts_with(ON_PURPOSE)) {
                return None;
            }
            resume_unwind(panic)
        }
    }
}

struct Stage {
    cell: Cell,
    events: Events,
    script: Script,
    runtime: Runtime,
}

/// The ledger that the cell turned out to have.
pub(crate) fn run(cell: &Cell) -> Vec<String> {
    let events = Events::default();
    let script = Script::new(&events);
    let builder = Runtime::builder().entries(8).cq_entries(32).kernel(script.kernel());
    let runtime = builder.build().expect("a runtime on the script");
    if cell.is_cancelled() {
        let (answer, batches) = cell.on_cancel();
        script.on_cancel(answer, batches);
    }
    let stage = Stage { cell: *cell, events, script, runtime };
    stage.act();
    stage.end()
}

impl Stage {
    fn probes(&self) -> Probes {
        let panics = self.cell.fault == Fault::DestructorPanics;
        let probe = || Probe::new(&self.events, self.cell.brings(), self.cell.zero_copy(), panics);
        match self.cell.kind {
            Kind::Chain => Probes::Chain((probe().named("first "), probe().named("second "))),
            _ if self.cell.multishot() => Probes::Many(probe()),
            _ => Probes::Once(probe()),
        }
    }

    fn waiting(&self) -> Waiting {
        Waiting::new(&self.events, self.cell.fault == Fault::WakerPanics)
    }

    fn turn(&self) {
        contain(|| self.runtime.block_on(one_turn()));
    }

    fn turns(&self) {
        (0..TURNS).for_each(|_| self.turn());
    }

    /// Submitted and polled once, but not with the kernel yet.
    fn queued(&self) -> (Submitted, Waiting) {
        let probes = self.probes();
        let mut submitted = self.runtime.block_on(async { Submitted::submit(probes) });
        let mut waiting = self.waiting();
        assert!(waiting.poll(&mut submitted).is_pending());
        (submitted, waiting)
    }

    fn in_flight(&self) -> (Submitted, Waiting) {
        let queued = self.queued();
        self.turn();
        queued
    }

    /// Says all that the kernel has to say, one a turn.
    fn complete(&self, mut after_each: impl FnMut()) {
        for said in self.cell.completions() {
            self.script.say(said);
            self.turn();
            after_each();
        }
    }

    fn act(&self) {
        match self.cell.end {
            End::Awaited => {
                let (submitted, mut waiting) = self.in_flight();
                let mut submitted = Some(submitted);
                self.complete(|| take(&mut submitted, &mut waiting));
                assert!(submitted.is_none(), "it yielded all it had");
            }
            End::DroppedBeforeItsFirstPoll => {
                let probes = self.probes();
                let future = async move { drop(Submitted::submit(probes)) };
                contain(|| drop(future));
            }
            End::DroppedQueued => {
                let (submitted, _) = self.queued();
                contain(|| drop(submitted));
                self.turns();
            }
            End::DroppedInFlight => {
                let (submitted, _) = self.in_flight();
                contain(|| drop(submitted));
                self.turns();
            }
            End::DroppedAfterCompletion => {
                let (submitted, _) = self.in_flight();
                self.complete(|| ());
                contain(|| drop(submitted));
            }
            End::CancelledAndAwaited => {
                let (submitted, mut waiting) = self.in_flight();
                let mut submitted = Some(submitted.cancel());
                for _ in 0..TURNS {
                    self.turn();
                    take(&mut submitted, &mut waiting);
                }
                assert!(submitted.is_none(), "it yielded all it had");
            }
            End::Forgotten => {
                let (submitted, _) = self.in_flight();
                mem::forget(submitted);
                if !self.cell.is_cancelled() {
                    self.complete(|| ());
                }
            }
            End::TaskAborted | End::TaskPanicked => self.act_in_a_task(),
        }
    }

    fn act_in_a_task(&self) {
        let probes = self.probes();
        let (mut waiting, panics) = (self.waiting(), self.cell.end == End::TaskPanicked);
        let task = self.runtime.spawn(async move {
            let mut submitted = Submitted::submit(probes);
            let polled = poll_fn(|_| Poll::Ready(waiting.poll(&mut submitted))).await;
            assert!(polled.is_pending());
            if panics {
                yield_now().await;
                panic!("{ON_PURPOSE}: in a task");
            }
            pending::<()>().await;
        });
        self.turn();
        if !panics {
            contain(|| task.abort());
        }
        self.turns();
        assert!(task.is_finished());
    }

    /// Nothing may be left, but for what was forgotten.
    fn end(self) -> Vec<String> {
        let metrics = self.runtime.metrics();
        let operations = if self.cell.kind == Kind::Chain { 2 } else { 1 };
        let forgotten = if self.cell.end == End::Forgotten { operations } else { 0 };
        let waits_for_teardown = if self.cell.is_cancelled() { forgotten } else { 0 };
        assert_eq!(metrics.in_flight, waits_for_teardown, "in flight: {:?}", self.cell);
        assert_eq!(metrics.slots_in_use, forgotten, "slots in use: {:?}", self.cell);
        assert_eq!(metrics.strange_completions, 0, "{:?}", self.cell);
        if let Some(report) = contain(|| self.runtime.shutdown()) {
            assert_eq!(report.leaked, 0, "{:?}", self.cell);
        }
        self.events.take()
    }
}

/// Takes what there is, if the operation has woken us.
fn take(submitted: &mut Option<Submitted>, waiting: &mut Waiting) {
    if !waiting.was_woken() {
        return;
    }
    while let Some(there) = submitted {
        let is_last = there.is_once();
        match contain(|| waiting.poll(there)) {
            Some(Poll::Pending) => return,
            Some(Poll::Ready(Some(brought))) => {
                drop(brought);
                if is_last {
                    *submitted = None;
                }
            }
            // The end, or a destructor's panic at the end.
            Some(Poll::Ready(None)) | None => {
                contain(|| *submitted = None);
            }
        }
    }
}

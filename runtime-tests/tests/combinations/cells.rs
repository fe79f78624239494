//! The cells, and the ledger that each must have. Written from the rules, not from the driver.

use uring::ring::CqeFlags;

use super::kernel::Said;
use super::parts::Brings;

/// How it ends for whoever submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Awaited,
    DroppedBeforeItsFirstPoll,
    DroppedQueued,
    DroppedInFlight,
    DroppedAfterCompletion,
    CancelledAndAwaited,
    Forgotten,
    TaskAborted,
    TaskPanicked,
}

/// What was submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    OneShot,
    Multishot,
    ZeroCopy,
    Chain,
    WithProvidedBuffer,
    WithDirectDescriptor,
    MultishotWithProvidedBuffers,
    MultishotWithDirectDescriptors,
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Short,
    /// Cancelled, where it is cancelled.
    Error,
    /// The cancel comes back with `EALREADY`, and the operation goes on to succeed.
    LateCancel,
}

/// Whose code panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    WakerPanics,
    DestructorPanics,
    Neither,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) end: End,
    pub(crate) kind: Kind,
    pub(crate) outcome: Outcome,
    pub(crate) fault: Fault,
}

pub(crate) fn all() -> impl Iterator<Item = Cell> {
    use {End::*, Fault::*, Kind::*, Outcome::*};
    let ends = [
        Awaited,
        DroppedBeforeItsFirstPoll,
        DroppedQueued,
        DroppedInFlight,
        DroppedAfterCompletion,
        CancelledAndAwaited,
        Forgotten,
        TaskAborted,
        TaskPanicked,
    ];
    let kinds = [
        OneShot,
        Multishot,
        ZeroCopy,
        Chain,
        WithProvidedBuffer,
        WithDirectDescriptor,
        MultishotWithProvidedBuffers,
        MultishotWithDirectDescriptors,
    ];
    ends.into_iter().flat_map(move |end| {
        kinds.into_iter().flat_map(move |kind| {
            [Success, Short, Error, LateCancel].into_iter().flat_map(move |outcome| {
                [WakerPanics, DestructorPanics, Neither].into_iter().map(move |fault| Cell {
                    end,
                    kind,
                    outcome,
                    fault,
                })
            })
        })
    })
}

const MORE: u32 = CqeFlags::MORE.bits();
const NOTIF: u32 = CqeFlags::NOTIF.bits();

/// The flag and the number of a provided buffer.
fn buffer(id: u32) -> u32 {
    CqeFlags::BUFFER.bits() | id << 16
}

impl Cell {
    pub(crate) fn multishot(&self) -> bool {
        use Kind::*;
        matches!(
            self.kind,
            Multishot | MultishotWithProvidedBuffers | MultishotWithDirectDescriptors
        )
    }

    pub(crate) fn zero_copy(&self) -> bool {
        self.kind == Kind::ZeroCopy
    }

    pub(crate) fn brings(&self) -> Brings {
        use Kind::*;
        match self.kind {
            OneShot | Multishot | ZeroCopy | Chain => Brings::Nothing,
            WithProvidedBuffer | MultishotWithProvidedBuffers => Brings::Buffer,
            WithDirectDescriptor | MultishotWithDirectDescriptors => Brings::Descriptor,
        }
    }

    /// Whether nobody is there for the result, so that the operation is cancelled and abandoned.
    fn is_dropped_in_flight(&self) -> bool {
        use End::*;
        matches!(self.end, DroppedQueued | DroppedInFlight | TaskAborted | TaskPanicked)
    }

    /// Whether a cancel reaches the kernel: that of teardown for what was forgotten and goes on.
    pub(crate) fn is_cancelled(&self) -> bool {
        let at_teardown = self.end == End::Forgotten && self.outcome == Outcome::LateCancel;
        self.is_dropped_in_flight() || self.end == End::CancelledAndAwaited || at_teardown
    }

    pub(crate) fn reason_to_skip(&self) -> Option<&'static str> {
        let Cell { end, kind, outcome, fault } = *self;
        let never_submitted = end == End::DroppedBeforeItsFirstPoll;
        if kind == Kind::WithDirectDescriptor && outcome == Outcome::Short {
            return Some("a descriptor is made or it is not");
        }
        if never_submitted && outcome != Outcome::Success {
            return Some("what was never submitted has no outcome");
        }
        if never_submitted && fault == Fault::WakerPanics {
            return Some("what was never polled has no waker");
        }
        if outcome == Outcome::LateCancel && !never_submitted && !self.is_cancelled() {
            return Some("nothing cancels it");
        }
        if end == End::CancelledAndAwaited && self.multishot() {
            return Some("a stream is cancelled by being dropped");
        }
        if end == End::Forgotten && fault == Fault::DestructorPanics {
            return Some("the destructor of what was forgotten never runs");
        }
        if end == End::Forgotten && cfg!(miri) {
            return Some("what was forgotten leaks on purpose, and Miri counts that as an error");
        }
        if end == End::TaskPanicked && fault == Fault::WakerPanics {
            return Some(
                "its waker is dropped by a panic already, and a second one ends the program",
            );
        }
        None
    }

    /// What the kernel says of the operation.
    pub(crate) fn completions(&self) -> Vec<Said> {
        let error = if self.is_cancelled() { -libc::ECANCELED } else { -libc::EIO };
        let said = |result, flags| Said { part: 0, result, flags };
        let result = match self.outcome {
            Outcome::Success | Outcome::LateCancel => 8,
            Outcome::Short => 3,
            Outcome::Error => error,
        };
        let flags_of = |shot| match self.brings() {
            Brings::Buffer => buffer(shot),
            _ => 0,
        };
        if self.kind == Kind::Chain {
            // Whatever is not all that was asked for ends a chain.
            let second = if result == 8 { 8 } else { -libc::ECANCELED };
            return vec![said(result, 0), Said { part: 1, ..said(second, 0) }];
        }
        match (self.multishot(), self.zero_copy()) {
            (false, false) => vec![said(result, flags_of(7))],
            // Even an error may leave the kernel with the buffer for a while.
            (false, true) => vec![said(result, MORE), said(0, NOTIF)],
            // A stream that ends without an error, one sooner and one later, and one that fails.
            (true, _) => match self.outcome {
                Outcome::Success | Outcome::LateCancel => vec![
                    said(1, MORE | flags_of(1)),
                    said(2, MORE | flags_of(2)),
                    said(3, flags_of(3)),
                ],
                Outcome::Short => vec![said(1, flags_of(1))],
                Outcome::Error => vec![said(1, MORE | flags_of(1)), said(error, flags_of(2))],
            },
        }
    }

    /// The answer to a cancel, and what comes with it and after it. An operation that won the race against its
    /// cancel has completed before; a notification comes when it comes.
    pub(crate) fn on_cancel(&self) -> (i32, Vec<Vec<Said>>) {
        let all = self.completions();
        if self.outcome == Outcome::LateCancel {
            let one_by_one = all.into_iter().map(|said| vec![said]);
            return (-libc::EALREADY, [Vec::new()].into_iter().chain(one_by_one).collect());
        }
        let (notifications, results) = all.into_iter().partition(|said| said.is_notification());
        let answer = if self.outcome == Outcome::Error { 0 } else { -libc::ENOENT };
        (answer, vec![results, notifications])
    }

    /// The ledger.
    pub(crate) fn expected(&self) -> Vec<String> {
        let mut ledger = Ledger { cell: self, events: Vec::new() };
        if self.end == End::DroppedBeforeItsFirstPoll {
            ledger.freed_unsubmitted();
            return ledger.events;
        }
        for name in self.names() {
            ledger.note(&format!("{name}prepared"));
        }
        match self.end {
            End::DroppedBeforeItsFirstPoll => {}
            End::Awaited | End::CancelledAndAwaited => {
                ledger.cancelled();
                ledger.taken();
            }
            End::DroppedAfterCompletion => {
                ledger.woken_untaken();
                ledger.abandoned_by_one_drop();
            }
            End::Forgotten => {
                ledger.cancelled();
                ledger.woken_untaken();
            }
            End::DroppedQueued | End::DroppedInFlight | End::TaskAborted | End::TaskPanicked => {
                if self.fault == Fault::WakerPanics {
                    ledger.note("panics");
                }
                ledger.cancelled();
                ledger.abandoned();
            }
        }
        ledger.events
    }

    /// What stands before the events of each operation.
    fn names(&self) -> &'static [&'static str] {
        if self.kind == Kind::Chain { &["first ", "second "] } else { &[""] }
    }

    /// Whether both parts of a chain are done before anybody looks.
    fn ends_at_once(&self) -> bool {
        self.end == End::CancelledAndAwaited && self.outcome != Outcome::LateCancel
    }
}

/// The events that a rule promises.
struct Ledger<'a> {
    cell: &'a Cell,
    events: Vec<String>,
}

impl Ledger<'_> {
    fn note(&mut self, event: &str) {
        self.events.push(event.to_owned());
    }

    /// A cancel for each operation, where there is one at all.
    fn cancelled(&mut self) {
        if self.cell.is_cancelled() {
            self.cell.names().iter().for_each(|_| self.note("cancel"));
        }
    }

    fn woken(&mut self) {
        self.note("woken");
        if self.cell.fault == Fault::WakerPanics {
            self.note("panics");
        }
    }

    /// Nobody polls again, so each operation wakes once, by the one waker; that panics once.
    fn woken_untaken(&mut self) {
        self.woken();
        self.cell.names().iter().skip(1).for_each(|_| self.note("woken"));
    }

    fn freed(&mut self, name: &str) {
        self.note(&format!("{name}dropped"));
        if self.cell.fault == Fault::DestructorPanics {
            self.note("panics");
        }
    }

    /// One drop for all: the first panic unwinds through the rest.
    fn freed_unsubmitted(&mut self) {
        let names = self.cell.names();
        self.freed(names[0]);
        names[1..].iter().for_each(|name| self.note(&format!("{name}dropped")));
    }

    /// What a completion brought is given back.
    fn given_back(&mut self, said: Said) {
        match self.cell.brings() {
            Brings::Buffer => self.note(&format!("returned buffer {}", said.flags >> 16)),
            Brings::Descriptor if said.result >= 0 => {
                self.note(&format!("closed {}", said.result));
            }
            _ => {}
        }
    }

    /// The results of operations that complete once: the first completion of each.
    fn results(&self) -> Vec<(&'static str, Said)> {
        let results = self.cell.completions().into_iter().filter(|said| !said.is_notification());
        self.cell.names().iter().copied().zip(results).collect()
    }

    /// Somebody takes all there is.
    fn taken(&mut self) {
        if self.cell.multishot() {
            for said in self.cell.completions() {
                self.woken();
                self.note(&format!("shot {}", said.result));
                self.given_back(said);
            }
            return self.freed("");
        }
        if self.cell.kind == Kind::Chain {
            return self.chain_taken();
        }
        self.woken();
        for (name, said) in self.results() {
            self.note(&format!("completed {}", said.result));
            self.freed(name);
            self.given_back(said);
        }
    }

    /// The parts of a chain, which wake one by one unless both are done at once.
    fn chain_taken(&mut self) {
        let [(first, one), (second, two)] = self.results()[..] else { return };
        let at_once = self.cell.ends_at_once();
        self.woken();
        if at_once && self.cell.fault != Fault::WakerPanics {
            self.note("woken");
        }
        self.note(&format!("{first}completed {}", one.result));
        self.freed(first);
        if self.cell.fault == Fault::DestructorPanics {
            // The panic of the first part ends the chain; the second one is dropped with it.
            if !self.cell.is_cancelled() {
                self.note("cancel");
            }
            self.note(&format!("{second}abandoned {}", two.result));
            return self.freed(second);
        }
        if !at_once {
            self.woken();
        }
        self.note(&format!("{second}completed {}", two.result));
        self.freed(second);
        if at_once && self.cell.fault == Fault::WakerPanics {
            // The wake that the panic of the other one has put off.
            self.note("woken");
        }
    }

    /// Nobody does.
    fn abandoned(&mut self) {
        if self.cell.multishot() {
            for said in self.cell.completions() {
                self.note(&format!("abandoned shot {}", said.result));
                self.given_back(said);
            }
            return self.freed("");
        }
        for (name, said) in self.results() {
            self.note(&format!("{name}abandoned {}", said.result));
            self.freed(name);
            self.given_back(said);
        }
    }

    /// As [`Ledger::abandoned`], within one drop: a panic unwinds through the rest.
    fn abandoned_by_one_drop(&mut self) {
        self.abandoned();
        if self.cell.kind == Kind::Chain && self.cell.fault == Fault::DestructorPanics {
            self.events.pop();
        }
    }
}

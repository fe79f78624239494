//! What a cell is made of: the operation that notes all that is done with it, a waker that notes and panics.

use std::io::{self, Stdin};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use futures::Stream;
use uring::op::{self, Chain, Completion, InFlight, Link, MultiOp, Op, Shots};
use uring::ring::{Cqe, MultiSqe, Sqe};

/// What a zero-copy send sends.
pub(crate) const BYTES: [u8; 8] = *b"8 bytes.";

/// What happened, in order; also what a waker notes, which may travel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events(Arc<Mutex<Vec<String>>>);

impl Events {
    pub(crate) fn note(&self, event: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event.into());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A panic that the cell expects; none while another one unwinds, which would end the program.
    fn panic(&self, at: &str) {
        if !thread::panicking() {
            self.note("panics");
            panic!("{ON_PURPOSE}: in {at}");
        }
    }
}

/// How the panics begin that cells are there to make.
pub(crate) const ON_PURPOSE: &str = "on purpose";

/// What a completion brings that somebody must give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Brings {
    Nothing,
    Buffer,
    Descriptor,
}

/// Gives a buffer or a descriptor back when dropped.
pub(crate) struct Brought(Events, String);

impl Drop for Brought {
    fn drop(&mut self) {
        self.0.note(&*self.1);
    }
}

/// The operation.
pub(crate) struct Probe {
    /// Before its events: tells the parts of a chain apart.
    pub(crate) name: &'static str,
    pub(crate) events: Events,
    pub(crate) brings: Brings,
    pub(crate) zero_copy: bool,
    pub(crate) panics_in_drop: bool,
    stdin: Stdin,
    bytes: [u8; BYTES.len()],
}

impl Probe {
    pub(crate) fn new(
        events: &Events,
        brings: Brings,
        zero_copy: bool,
        panics_in_drop: bool,
    ) -> Probe {
        let (events, stdin) = (events.clone(), io::stdin());
        Probe { name: "", events, brings, zero_copy, panics_in_drop, stdin, bytes: BYTES }
    }

    pub(crate) fn named(self, name: &'static str) -> Probe {
        let mut probe = self;
        probe.name = name;
        probe
    }

    fn note(&self, event: &str) {
        self.events.note(format!("{}{event}", self.name));
    }

    fn brought(&self, cqe: &Cqe) -> Option<Brought> {
        let event = match self.brings {
            Brings::Nothing => None,
            Brings::Buffer => cqe.buffer_id().map(|id| format!("returned buffer {id}")),
            Brings::Descriptor => cqe.result().ok().map(|slot| format!("closed {slot}")),
        };
        event.map(|event| Brought(self.events.clone(), event))
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.note("dropped");
        if self.panics_in_drop {
            self.events.panic("a destructor");
        }
    }
}

impl Op for Probe {
    type Output = Option<Brought>;

    /// What the kernel does is up to the script; it uses what is lent here all the same.
    fn prepare(&mut self) -> Sqe<'_> {
        self.note("prepared");
        let target = self.stdin.as_fd().into();
        match self.zero_copy {
            true => Sqe::send_zc(target, &self.bytes, 0),
            false => Sqe::recv(target, &mut self.bytes[..], 0),
        }
    }

    fn complete(self, completion: Completion<Self>) -> Option<Brought> {
        self.note(&format!("completed {}", completion.raw_result()));
        let brought = self.brought(&completion);
        drop(self);
        brought
    }

    fn abandoned(self, completion: Completion<Self>) {
        self.note(&format!("abandoned {}", completion.raw_result()));
        let _brought = self.brought(&completion);
        drop(self);
    }
}

impl MultiOp for Probe {
    type Item = Option<Brought>;

    fn prepare(&mut self) -> MultiSqe<'_> {
        self.note("prepared");
        MultiSqe::poll(self.stdin.as_fd().into(), libc::POLLIN as u32)
    }

    fn shot(&self, completion: Completion<Self>) -> Option<Brought> {
        self.note(&format!("shot {}", completion.raw_result()));
        self.brought(&completion)
    }

    fn abandoned_shot(&self, completion: Completion<Self>) {
        self.note(&format!("abandoned shot {}", completion.raw_result()));
        drop(self.brought(&completion));
    }
}

/// What is to be submitted.
pub(crate) enum Probes {
    Once(Probe),
    Many(Probe),
    Chain((Probe, Probe)),
}

/// What was submitted.
pub(crate) enum Submitted {
    Once(InFlight<Probe>),
    Many(Shots<Probe>),
    Chain(Chain<(Probe, Probe)>),
}

impl Submitted {
    /// Inside a runtime.
    pub(crate) fn submit(probes: Probes) -> Submitted {
        match probes {
            Probes::Once(probe) => Submitted::Once(op::submit(probe)),
            Probes::Many(probe) => Submitted::Many(op::submit_multi(probe)),
            Probes::Chain(parts) => Submitted::Chain(op::submit_chain(Link::Soft, parts)),
        }
    }

    /// The next result; none when that was the last one.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Option<Brought>>> {
        match self {
            Submitted::Once(once) => Pin::new(once).poll(context).map(Some),
            Submitted::Many(many) => Pin::new(many).poll_next(context),
            Submitted::Chain(chain) => Pin::new(chain).poll(context).map(|(first, second)| {
                drop((first, second));
                None
            }),
        }
    }

    /// Whether a result is the last there can be.
    pub(crate) fn is_once(&self) -> bool {
        matches!(self, Submitted::Once(_))
    }

    pub(crate) fn cancel(self) -> Submitted {
        match self {
            Submitted::Once(once) => Submitted::Once(once.cancel()),
            Submitted::Chain(chain) => Submitted::Chain(chain.cancel()),
            Submitted::Many(_) => unreachable!("a stream is cancelled by being dropped"),
        }
    }
}

/// Who waits for the operation.
pub(crate) struct Waiting {
    events: Events,
    panics: bool,
    /// Of the waker that was given out last.
    woken: Arc<AtomicBool>,
}

impl Waiting {
    pub(crate) fn new(events: &Events, panics: bool) -> Waiting {
        Waiting { events: events.clone(), panics, woken: Arc::default() }
    }

    /// Whether there was a wake since the last poll.
    pub(crate) fn was_woken(&self) -> bool {
        self.woken.load(Ordering::Relaxed)
    }

    /// Polls with a waker of its own. If that one panics, then where it is called, or dropped uncalled.
    pub(crate) fn poll(&mut self, submitted: &mut Submitted) -> Poll<Option<Option<Brought>>> {
        self.woken = Arc::default();
        let (events, woken) = (self.events.clone(), Arc::clone(&self.woken));
        let noting = Arc::new(Noting { events, woken, armed: AtomicBool::new(false) });
        let armed = Arc::downgrade(&noting);
        let waker = Waker::from(noting);
        let polled = submitted.poll(&mut Context::from_waker(&waker));
        drop(waker);
        if let Some(noting) = armed.upgrade() {
            noting.armed.store(self.panics, Ordering::Relaxed);
            // Its last owner is the driver.
        }
        polled
    }
}

/// The waker: one wake at most.
struct Noting {
    events: Events,
    woken: Arc<AtomicBool>,
    armed: AtomicBool,
}

impl Wake for Noting {
    fn wake(self: Arc<Self>) {
        self.events.note("woken");
        self.woken.store(true, Ordering::Relaxed);
        if self.armed.swap(false, Ordering::Relaxed) {
            self.events.panic("a waker");
        }
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        if *self.armed.get_mut() {
            self.events.panic("a waker's destructor");
        }
    }
}

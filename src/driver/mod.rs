//! Operations in flight: from a submitted operation to the one who awaits it.
//!
//! The driver owns a pooled, pinned block for every operation in flight, and knows nothing of what the
//! operations are. Users hold [`InFlight`] and [`Shots`], which are tokens.
//!
//! # The safety chapter
//!
//! The rules that comments at `unsafe` cite by number. `docs/soundness.md` says where each is relied on, and which tests
//! guard it.
//!
//! 1. **A payload stays.** An operation is written to its block, prepared there once, and then not touched, moved or
//!    freed until a completion without `F_MORE` for its token was reaped. The one exception: [`MultiOp::shot`] gets it by
//!    shared reference while the kernel goes on. By interior mutability that may free what the operation holds, so a
//!    [`MultiSqe`](crate::ring::MultiSqe) lends nothing that the kernel looks at after it has taken the submission, but
//!    for groups of buffers (rule 2).
//! 2. **Nothing else lends.** Memory is lent by [`Driver::submit`], [`Driver::submit_multi`] and
//!    [`Driver::submit_chain`] alone, and only from rule 1's blocks; the driver's own submissions (cancels, the wake-up
//!    poll) lend none. The parts of a chain have a block and a slot each, lend each other nothing, and are all prepared
//!    before the first is pushed, so that a `prepare` that panics leaves none behind.
//!    What an operation names without a borrow has to hold even if its `complete` is never called, as another operation
//!    may wrap it and submit what it prepared: a [`Close`](crate::op::Close) that has asked for its descriptor to be
//!    closed does not close it a second time. A group of buffers can be named by the owner of its ring, or by an
//!    operation that keeps the pool; one of many completions keeps it in a place that its last completion alone
//!    empties, as the `shot` of what wraps it may drop it before.
//! 3. **A slot outlives its token.** It is freed only after its final completion, so a token in the kernel's hands
//!    names a live slot.
//! 4. **What teardown cannot end is leaked**, payloads and ring together.
//! 5. **User code runs while nothing is borrowed**: `prepare`, `complete`, `abandoned`, `shot`, destructors, and a
//!    waker's wake, clone and drop, while no `RefCell` of the driver is.
//! 6. **One at a time.** Neither [`Driver::turn`] nor [`Driver::shutdown`] runs within the other or itself.
//!
//! Rules 1 to 4 are soundness, and so is 6 while an abandoned operation is handed a shot: a turn within that could
//! end the operation under its feet. 5, and 6 elsewhere, keep the driver from panicking. A failure to submit
//! is a completion with an errno: `submit` is infallible, buffers always come back, and operations have one error
//! path.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::fs::File;
use std::io;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::panics::in_drop;
use crate::ring::{Cqe, Entry, Link, Opcode, PushError, Ring, SetupError, SqeFlags, Step};
use crate::sys::syscall;

mod actions;
mod cancel_scope;
mod chain;
pub(crate) mod current;
mod got;
mod in_flight;
mod inline;
mod op;
mod payload;
mod retry;
mod slots;
mod spin;
mod teardown;
#[cfg(test)]
mod tests;
mod token;
mod transition;
mod turn;
mod unpark;

pub(crate) use cancel_scope::{CancelScope, Joined, Member};
pub use chain::{Chain, Parts};
pub use in_flight::{InFlight, Shots};
pub use op::{Completion, MultiOp, Op};
pub(crate) use turn::Wait;
pub(crate) use unpark::Unpark;

use actions::Actions;
use inline::Inline;
use payload::{Payload, Pool};
use retry::Retry;
use slots::{Action, Dropped, Ended, Polled, PolledResult, PolledShot, Settled, Slots, Token};
use spin::Spin;
use turn::{WakePoll, is_passing};

/// How often a full submission queue is offered to the kernel before the operation fails, when the kernel
/// answers that it is short of memory or wants completions taken first.
const RESERVE_ATTEMPTS: u32 = 1000;

/// Drives the operations of one thread.
pub(crate) struct Driver {
    /// None after teardown.
    ring: RefCell<Option<Ring>>,
    slots: RefCell<Slots>,
    pool: RefCell<Pool>,
    actions: RefCell<Actions>,
    unpark: Arc<Unpark>,
    wake_poll: Cell<WakePoll>,
    retry: Cell<Retry>,
    spin: Cell<Spin>,
    turning: Cell<bool>,
    inline: Inline,
}

impl Driver {
    /// A driver on a ring made for this thread, which spins for `spin_limit` before it sleeps.
    pub(crate) fn new(ring: Ring, spin_limit: Duration) -> Result<Rc<Driver>, SetupError> {
        // The time of a kernel in user space stands still while nobody enters it.
        let spin_limit = if ring.interrupt().is_some() { Duration::ZERO } else { spin_limit };
        let (unpark, wake_poll) = match ring.interrupt() {
            Some(kernel) => (Unpark::through_kernel(kernel), WakePoll::Unneeded),
            None => {
                let eventfd = syscall::eventfd().map_err(|e| SetupError::new(Step::Wake, e))?;
                let unpark = Unpark::through_eventfd(File::from(eventfd));
                (unpark, WakePoll::Disarmed { multi: true })
            }
        };
        Ok(Rc::new(Driver {
            ring: RefCell::new(Some(ring)),
            slots: RefCell::default(),
            pool: RefCell::default(),
            actions: RefCell::default(),
            unpark: Arc::new(unpark),
            wake_poll: Cell::new(wake_poll),
            retry: Cell::default(),
            spin: Cell::new(Spin::new(spin_limit)),
            turning: Cell::new(false),
            inline: Inline::default(),
        }))
    }

    /// Makes short calls on files at once from now on, and writes up to so many bytes. On a kernel in user space
    /// this changes nothing: there are no plain calls.
    pub(crate) fn allow_inline_calls(&self, limit_bytes: usize) {
        if self.with_ring(|ring| ring.interrupt().is_none()).unwrap_or_default() {
            self.inline.allow(limit_bytes);
        }
    }

    /// What wakes this driver from another thread.
    pub(crate) fn unpark(&self) -> Arc<Unpark> {
        Arc::clone(&self.unpark)
    }

    /// The kernel's clock.
    pub(crate) fn now(&self) -> Instant {
        self.ring.borrow().as_ref().map_or_else(Instant::now, Ring::now)
    }

    /// Looks at the ring; `None` after teardown.
    pub(crate) fn with_ring<R>(&self, look: impl FnOnce(&Ring) -> R) -> Option<R> {
        self.ring.borrow().as_ref().map(look)
    }

    /// Whether this is the process that made the ring.
    pub(crate) fn is_in_its_process(&self) -> bool {
        self.with_ring(Ring::is_in_its_process).unwrap_or(true)
    }

    /// Operations whose final completion is still to come.
    pub(crate) fn in_flight(&self) -> usize {
        self.slots.borrow().in_kernel()
    }

    /// Slots in use, finished operations whose result nobody has taken included.
    pub(crate) fn slots_in_use(&self) -> usize {
        self.slots.borrow().len()
    }

    /// Blocks of operations that have not come back to the pool: as many as slots in use.
    pub(crate) fn blocks_in_use(&self) -> usize {
        self.pool.borrow().lent()
    }

    /// Completions that named no live operation. Zero unless the kernel or the driver has a bug.
    pub(crate) fn strangers(&self) -> u64 {
        self.slots.borrow().strangers()
    }

    /// Zero-copy sends that were copied after all, of those that were asked to say so.
    pub(crate) fn copied(&self) -> u64 {
        self.slots.borrow().copied()
    }

    /// Submits an operation; it reaches the kernel with the next turn.
    pub(crate) fn submit<T: Op>(self: Rc<Driver>, op: T) -> InFlight<T> {
        let block = self.pool.borrow_mut().block_for::<T>();
        let lost = Lost(&self);
        let (payload, sqe) = Payload::new(op, block);
        mem::forget(lost);
        let token = self.launch(payload, &sqe, T::CANCEL_ON_DROP);
        InFlight::new(self, token)
    }

    /// Submits an operation that completes many times.
    pub(crate) fn submit_multi<T: MultiOp>(self: Rc<Driver>, op: T) -> Shots<T> {
        let block = self.pool.borrow_mut().block_for::<T>();
        let lost = Lost(&self);
        let (payload, sqe) = Payload::new_multi(op, block);
        mem::forget(lost);
        let token = self.launch(payload, &sqe, true);
        Shots::new(self, token)
    }

    /// Submits operations that the kernel starts one after the other.
    pub(crate) fn submit_chain<P: Parts>(self: &Rc<Driver>, link: Link, parts: P) -> Chain<P> {
        Chain::new(parts.submit(self, link))
    }

    fn launch(self: &Rc<Driver>, payload: Payload, sqe: &Entry, cancel_on_drop: bool) -> Token {
        let token = self.slots.borrow_mut().insert(payload, cancel_on_drop);
        if self.inline.is_allowed() && self.call_at_once(token, sqe) {
            return token;
        }
        let alone = is_on_its_own(sqe);
        let pushed =
            if alone { self.push(sqe, token.user_data()) } else { Err(errno(libc::EINVAL)) };
        self.launched(token, &pushed);
        token
    }

    /// Makes the call of an operation in its slot at once, if it is one of those; whether it has its result now.
    fn call_at_once(&self, token: Token, sqe: &Entry) -> bool {
        let scope_ends = || cancel_scope::current().is_some_and(|scope| scope.is_cancelled());
        // SAFETY: rule 1: what the payload lent stays until its completion, which is made here.
        let called = unsafe { self.inline.call(sqe, scope_ends) };
        if let Some(result) = called {
            let cqe = Cqe::new(token.user_data(), result, 0);
            self.slots.borrow_mut().finish_at_once(token, cqe);
        }
        called.is_some()
    }

    /// Submits operations that depend on each other, all or none.
    fn launch_chain<const N: usize>(
        self: &Rc<Driver>,
        link: Link,
        parts: [(Payload, Entry); N],
    ) -> [Token; N] {
        let parts = parts.map(|(payload, sqe)| {
            let token = self.slots.borrow_mut().insert(payload, true);
            (token, sqe.user_data(token.user_data()))
        });
        let (tokens, chain) = (parts.map(|(token, _)| token), parts.map(|(_, sqe)| sqe));
        let alone = chain.iter().all(is_on_its_own);
        let pushed = if alone { self.push_chain(link, &chain) } else { Err(errno(libc::EINVAL)) };
        for token in tokens {
            self.launched(token, &pushed);
        }
        tokens
    }

    /// A submission was pushed, or not: then that is its result.
    #[inline]
    fn launched(self: &Rc<Driver>, token: Token, pushed: &io::Result<()>) {
        if let Err(error) = pushed {
            self.not_pushed(token, error);
        } else if let Some(scope) = cancel_scope::current() {
            let member = scope.join_operation(self, token);
            self.slots.borrow_mut().set_member(token, member);
            if scope.is_cancelled() {
                self.cancel_unless_it_must_happen(token);
            }
        }
    }

    #[cold]
    fn not_pushed(&self, token: Token, error: &io::Error) {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        self.slots.borrow_mut().finish_at_once(token, Cqe::new(op::UNSUBMITTED, -errno, 0));
    }

    /// Pushes a submission, making room if there is none.
    ///
    /// On an error nothing was pushed.
    #[inline]
    fn push(&self, sqe: &Entry, user_data: u64) -> io::Result<()> {
        let Some(ring) = &mut *self.ring.borrow_mut() else { return Err(errno(libc::ECANCELED)) };
        // SAFETY: rules 1 to 3: whatever `sqe` was lent lives in a payload that stays in its slot, untouched,
        // until the final completion; or it is an internal submission.
        match unsafe { ring.push_as(sqe, user_data) } {
            Ok(()) => Ok(()),
            Err(refusal) => self.push_again(ring, sqe, user_data, refusal),
        }
    }

    #[cold]
    fn push_again(
        &self,
        ring: &mut Ring,
        sqe: &Entry,
        user_data: u64,
        refusal: PushError,
    ) -> io::Result<()> {
        if let PushError::Full | PushError::OtherProcess = refusal {
            self.make_room(ring, 1)?;
        }
        // SAFETY: as in `push`.
        unsafe { ring.push_as(sqe, user_data) }.map_err(|_| errno(libc::EINVAL))
    }

    /// Pushes a chain, making room for all of it first. `E2BIG` if there never is.
    ///
    /// On an error nothing was pushed.
    fn push_chain(&self, link: Link, chain: &[Entry]) -> io::Result<()> {
        let entries = self.with_ring(|ring| ring.sizes().0);
        if entries.is_some_and(|entries| chain.len() > entries as usize) {
            return Err(errno(libc::E2BIG));
        }
        let Some(ring) = &mut *self.ring.borrow_mut() else { return Err(errno(libc::ECANCELED)) };
        self.make_room(ring, chain.len() as u32)?;
        // SAFETY: rules 1 to 3, as in `push`, for each part.
        unsafe { ring.push_chain(link, chain) }.map_err(|_| errno(libc::EINVAL))
    }

    /// Makes room for so many submissions.
    fn make_room(&self, ring: &mut Ring, count: u32) -> io::Result<()> {
        let mut attempts = 0;
        loop {
            match ring.reserve(count) {
                Err(error) if is_passing(&error) && attempts < RESERVE_ATTEMPTS => {
                    attempts += 1;
                    self.reap(ring);
                    if attempts > 1 {
                        std::thread::yield_now();
                    }
                }
                done => return done,
            }
        }
    }

    /// Asks the kernel to cancel an operation, with the next turn.
    fn cancel(&self, token: Token) {
        self.slots.borrow_mut().queue_cancel(token);
    }

    /// As [`Driver::cancel`], for whoever cancels operations without knowing them: one that must happen
    /// ([`Op::CANCEL_ON_DROP`]) is left alone.
    fn cancel_unless_it_must_happen(&self, token: Token) {
        self.slots.borrow_mut().queue_cancel_if_it_may(token);
    }

    /// Polls an operation that completes once; it is out of its slot when it is done.
    // Always, here and below: a call moves what has ended through memory, forty instructions of each operation.
    #[inline(always)]
    fn poll(&self, token: Token, waker: &Waker) -> Option<Ended> {
        let polled = self.slots.borrow_mut().poll(token, waker);
        match polled {
            Polled::Done(ended) => Some(ended),
            Polled::Pending => None,
            Polled::NeedsWaker => {
                self.set_waker(token, waker);
                None
            }
        }
    }

    /// Polls an operation that completes once, and for which no waker is known, for the first time: nearly always it
    /// was just submitted. False if it must be polled all the same, as it is done.
    #[inline]
    fn poll_first(&self, token: Token, waker: &Waker) -> bool {
        let waker = waker.clone();
        let kept = self.slots.borrow_mut().set_waker(token, waker);
        kept.is_ok()
    }

    /// Takes the operation out of its block, which is free for others then.
    #[inline(always)]
    fn take<T: Op>(&self, payload: Payload) -> T {
        let (op, block) = payload.take::<T>();
        self.pool.borrow_mut().give_back(block);
        op
    }

    /// Polls an operation for its result alone.
    fn poll_result(&self, token: Token, waker: &Waker) -> Option<Cqe> {
        let polled = self.slots.borrow_mut().poll_result(token, waker);
        match polled {
            PolledResult::Known(cqe) => return Some(cqe),
            PolledResult::Pending => {}
            PolledResult::NeedsWaker => self.set_waker(token, waker),
        }
        None
    }

    /// Polls an operation that completes many times.
    fn poll_shot<T: MultiOp>(&self, token: Token, waker: &Waker) -> Poll<Option<T::Item>> {
        let polled = self.slots.borrow_mut().poll_shot(token, waker);
        match polled {
            PolledShot::Shot(shot, cqe) => {
                // SAFETY: rule 3 and the exception of rule 1: the payload leaves its slot only through
                // `PolledShot::Ended` or when the `Shots` that calls us is dropped, neither during this call.
                Poll::Ready(Some(unsafe { shot.call::<T>(cqe) }))
            }
            PolledShot::Ended(ended) => {
                self.end(ended);
                Poll::Ready(None)
            }
            PolledShot::Pending => Poll::Pending,
            PolledShot::NeedsWaker => {
                self.set_waker(token, waker);
                Poll::Pending
            }
        }
    }

    fn set_waker(&self, token: Token, waker: &Waker) {
        let waker = waker.clone();
        let kept = self.slots.borrow_mut().set_waker(token, waker);
        match kept {
            Ok(replaced) => drop(replaced),
            Err(waker) => waker.wake(),
        }
    }

    /// The future of an operation was dropped.
    fn on_drop(&self, token: Token) {
        let dropped = self.slots.borrow_mut().on_drop(token);
        match dropped {
            Dropped::Settle => in_drop(|| self.settle(token)),
            Dropped::Later(waker) => in_drop(|| drop(waker)),
        }
    }

    /// Hands an abandoned operation what came for it, and ends it if that was all.
    fn settle(&self, token: Token) {
        loop {
            let settled = self.slots.borrow_mut().settle(token);
            match settled {
                Settled::Shot(shot, cqe) => {
                    let rest = Unsettled(self, token);
                    // SAFETY: rule 3: the payload of an abandoned operation leaves its slot only through
                    // `Settled::Last`, below, and nobody else settles it: it has no future any more, and the
                    // actions of its completions are done by turns, which are not re-entered (rule 6).
                    unsafe { shot.abandon(cqe) };
                    mem::forget(rest);
                }
                Settled::Last(ended) => return self.end(ended),
                Settled::Nothing => return,
            }
        }
    }

    fn end(&self, Ended { payload, end }: Ended) {
        let lost = Lost(self);
        let block = payload.abandon(end);
        mem::forget(lost);
        self.pool.borrow_mut().give_back(block);
    }
}

fn errno(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

/// Whether a submission is tied to none of its neighbours, leaves the driver's own poll alone and has a completion of
/// its own. Linked or drained, it would take the driver's own submissions, or other tasks', into its chain; without a
/// completion, nobody would know when its memory is free.
fn is_on_its_own(sqe: &Entry) -> bool {
    let flags = SqeFlags::from_bits_retain(sqe.raw().flags);
    let ties = SqeFlags::IO_LINK | SqeFlags::IO_HARDLINK | SqeFlags::IO_DRAIN;
    // An update of the wake-up poll could make it wait for nothing.
    let changes_wakes = sqe.raw().opcode == Opcode::POLL_REMOVE.0 && sqe.raw().addr == turn::WAKE;
    !flags.intersects(ties | SqeFlags::CQE_SKIP_SUCCESS) && !changes_wakes
}

/// Counts a block that user code freed by its panic.
struct Lost<'a>(&'a Driver);

impl Drop for Lost<'_> {
    fn drop(&mut self) {
        self.0.pool.borrow_mut().lose();
    }
}

/// Has an abandoned operation settled later, because a panic came between.
struct Unsettled<'a>(&'a Driver, Token);

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        self.0.actions.borrow_mut().push(Action::Settle(self.1));
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Whoever forgot to shut down gets the same guarantee: payloads leak by themselves, the ring here.
        if self.slots.get_mut().in_kernel() > 0 {
            mem::forget(self.ring.get_mut().take());
        }
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}

//! The operations in flight, each in a slot that its token names: pure transitions that return what is to be
//! done.
//!
//! One rule covers every kind of operation: *a completion with `F_MORE` does not end the operation; the
//! result is the first completion that is no notification; the operation is done at the first completion
//! without `F_MORE`.*
//!
//! ```text
//!               cqe (more)                    cqe (more)
//!               ┌──────┐                      ┌──────┐
//!  insert ──► Waiting ─┴─ drop of the ──► Abandoned ─┴─┐
//!               │         future              │        │
//!        final cqe                        final cqe    │ Settle: the operation's own
//!               ▼         drop of the         ▼        ▼ `abandoned` runs, the slot is freed
//!            Finished ─── future ────────► Left, taken out at once
//!               │
//!               └──── poll ────────────► taken out: `complete` runs
//! ```

use std::collections::VecDeque;
use std::mem;
use std::task::Waker;

use super::actions::Actions;
use super::cancel_scope::Member;
use super::got::{self, Got};
use super::payload::{Payload, Shot};
pub(super) use super::token::Token;
pub(super) use super::transition::{
    Action, Dropped, Ended, Polled, PolledResult, PolledShot, Settled,
};
use crate::ring::Cqe;

/// Completions of a multishot operation that may wait for their consumer. One that falls further behind has
/// the operation cancelled and can arm it again: a bound on memory.
pub(super) const MAX_SHOTS: usize = 1024;

/// Who wants the result.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// A future does.
    Waiting,
    /// The final completion is in; a future has yet to take it.
    Finished,
    /// Nobody; the kernel has yet to finish.
    Abandoned,
    /// Nobody, and the final completion is in: to be settled.
    Left,
    /// There is no operation.
    Free,
}

/// One cache line: there are as many as operations in flight, and each is fetched once or twice.
#[repr(align(64))]
struct Slot {
    generation: u32,
    state: State,
    cancel_queued: bool,
    cancel_on_drop: bool,
    /// Whether there is a membership in a scope, beside the slots: most operations have none.
    is_member: bool,
    /// The task of the future that waits, once it was polled.
    waker: Option<Waker>,
    /// None if there is no operation.
    payload: Option<Payload>,
    got: Got,
}

const _: () = assert!(size_of::<Slot>() == 64);

impl Slot {
    fn free() -> Slot {
        Slot {
            generation: 0,
            state: State::Free,
            cancel_queued: false,
            cancel_on_drop: false,
            is_member: false,
            waker: None,
            payload: None,
            got: Got::nothing(false),
        }
    }

    /// Access to a multishot operation.
    fn shot(&self) -> Option<Shot> {
        self.payload.as_ref()?.shot()
    }

    /// Whether a future waits for it, and no scope.
    #[inline]
    fn is_awaited_alone(&self) -> bool {
        self.state == State::Waiting && !self.is_member
    }

    /// Whether the final completion was seen.
    fn is_done(&self) -> bool {
        matches!(self.state, State::Finished | State::Left | State::Free)
    }

    /// Whether a cancel can do anything: not once there is a result, and only a notification to come.
    fn can_be_cancelled(&self) -> bool {
        !self.is_done() && !self.got.has_result()
    }
}

/// A slab of slots that stay where they are written: one that takes and gives back its entries by value, as the crate
/// `slab` does, moves each operation's slot through memory twice: 26 instructions.
#[derive(Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    /// The indices of those without an operation, the one freed last at the end. Has room for all.
    free: Vec<u32>,
    /// The memberships of operations in scopes, by the index of their slots, until their final completions.
    members: Vec<Option<Member>>,
    generation: u32,
    /// Operations whose cancel is to be submitted. Has room for every slot, so queueing never allocates.
    cancels: VecDeque<Token>,
    /// Operations whose cancel did not reach them.
    missed: Vec<Token>,
    /// Operations whose final completion is still to come.
    in_kernel: usize,
    /// Completions that named no live operation.
    strangers: u64,
    /// Zero-copy sends that were copied after all.
    copied: u64,
}

impl Slots {
    /// A slot for an operation about to be submitted.
    pub(super) fn insert(&mut self, payload: Payload, cancel_on_drop: bool) -> Token {
        // Free slots have generation 0, so that no token names one.
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        let index = self.free.pop().unwrap_or_else(|| self.grow());
        let slot = &mut self.slots[index as usize];
        slot.generation = self.generation;
        slot.state = State::Waiting;
        slot.cancel_queued = false;
        slot.cancel_on_drop = cancel_on_drop;
        slot.got = Got::nothing(payload.shot().is_some());
        slot.payload = Some(payload);
        self.in_kernel += 1;
        Token { index, generation: self.generation }
    }

    /// Adds a slot, and room for what is kept of it elsewhere.
    #[cold]
    fn grow(&mut self) -> u32 {
        let index = self.slots.len();
        self.slots.push(Slot::free());
        let count = self.slots.capacity();
        self.free.reserve(count - self.free.len());
        self.cancels.reserve(count.saturating_sub(self.cancels.len()));
        index as u32
    }

    #[inline]
    fn get(&mut self, token: Token) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(token.index as usize)?;
        (slot.generation == token.generation).then_some(slot)
    }

    /// Takes an operation that is done, and its result if it completes once. Waker and membership, whose drop is user
    /// code, have left with the final completion.
    // Always: see `Driver::poll`.
    #[inline(always)]
    fn take(&mut self, token: Token) -> Option<Ended> {
        let slot = self.get(token)?;
        debug_assert!(slot.waker.is_none() && !slot.is_member);
        let ended = Ended { payload: slot.payload.take()?, end: slot.got.end(token) };
        (slot.generation, slot.state) = (0, State::Free);
        self.free.push(token.index);
        Some(ended)
    }

    /// An operation that was just submitted belongs to a scope.
    pub(super) fn set_member(&mut self, token: Token, member: Member) {
        let Some(slot) = self.get(token) else { return };
        slot.is_member = true;
        if self.members.len() < self.slots.capacity() {
            self.members.resize_with(self.slots.capacity(), || None);
        }
        self.members[token.index as usize] = Some(member);
    }

    /// A completion came; what it asks for goes behind the other actions.
    #[inline]
    pub(super) fn on_cqe(&mut self, cqe: Cqe, actions: &mut Actions) {
        let token = Token::from_user_data(cqe.user_data());
        let Some(slot) = self.get(token).filter(|slot| !slot.is_done()) else {
            self.strangers += 1;
            return;
        };
        // What nearly all completions are: the only one of an operation that somebody waits for.
        if slot.is_awaited_alone() && slot.got.ends_with(cqe) {
            slot.state = State::Finished;
            let waker = slot.waker.take();
            self.in_kernel -= 1;
            // No `extend`: it costs some forty instructions for an option that is mostly none or always one.
            if let Some(waker) = waker {
                actions.push_wake(waker);
            }
            return;
        }
        self.on_other_cqe(token, cqe, actions);
    }

    /// A completion came for a live operation: one of several, or one that nobody waits for, or a scope too. Apart, so
    /// that the short way goes into the loop that takes completions: in one piece both take 30 instructions more.
    fn on_other_cqe(&mut self, token: Token, cqe: Cqe, actions: &mut Actions) {
        let Some(slot) = self.get(token) else { return };
        let done = !cqe.more();
        let tells = slot.got.on_cqe(cqe);
        let overfull = !done && slot.got.shots() >= MAX_SHOTS;
        let action = match slot.state {
            _ if !tells && !done => None,
            State::Waiting => {
                if done {
                    slot.state = State::Finished;
                }
                slot.waker.take().map(Action::Wake)
            }
            State::Abandoned => {
                if done {
                    slot.state = State::Left;
                }
                Some(Action::Settle(token))
            }
            State::Finished | State::Left | State::Free => None,
        };
        let is_member = done && mem::take(&mut slot.is_member);
        if let Some(action) = action {
            actions.push(action);
        }
        // Behind the other action: who waits for the scope finds what it did.
        if is_member {
            let member = self.members.get_mut(token.index as usize).and_then(Option::take);
            if let Some(member) = member {
                actions.push(Action::Leave(member));
            }
        }
        if done {
            self.in_kernel -= 1;
        }
        self.copied += u64::from(got::was_copied(cqe));
        if overfull {
            self.queue_cancel(token);
        }
    }

    /// The submission is not to be pushed: `result` is its final completion, either why it could not be or what
    /// came of doing it without the ring.
    pub(super) fn finish_at_once(&mut self, token: Token, result: Cqe) {
        let Some(slot) = self.get(token) else { return };
        slot.got.on_cqe(result);
        slot.state = State::Finished;
        self.in_kernel -= 1;
    }

    /// The future of an operation that completes once was polled.
    // Always: see `Driver::poll`.
    #[inline(always)]
    pub(super) fn poll(&mut self, token: Token, waker: &Waker) -> Polled {
        let Some(slot) = self.get(token) else { return Polled::Pending };
        if slot.state == State::Finished {
            return self.take(token).map_or(Polled::Pending, Polled::Done);
        }
        slot.got.set_early(false);
        match (slot.state, &slot.waker) {
            (State::Waiting, Some(known)) if known.will_wake(waker) => Polled::Pending,
            _ => Polled::NeedsWaker,
        }
    }

    /// The future was polled for the result alone.
    pub(super) fn poll_result(&mut self, token: Token, waker: &Waker) -> PolledResult {
        let Some(slot) = self.get(token) else { return PolledResult::Pending };
        slot.got.set_early(true);
        match (slot.got.result(token), slot.state, &slot.waker) {
            (Some(result), ..) => PolledResult::Known(result),
            (None, State::Finished, _) => PolledResult::Known(Cqe::default()),
            (None, _, Some(known)) if known.will_wake(waker) => PolledResult::Pending,
            _ => PolledResult::NeedsWaker,
        }
    }

    /// The stream of a multishot operation was polled.
    pub(super) fn poll_shot(&mut self, token: Token, waker: &Waker) -> PolledShot {
        let Some(slot) = self.get(token) else { return PolledShot::Pending };
        if let (Some(cqe), Some(shot)) = (slot.got.next_shot(token), slot.shot()) {
            return PolledShot::Shot(shot, cqe);
        }
        match (slot.state, &slot.waker) {
            (State::Finished, _) => self.take(token).map_or(PolledShot::Pending, PolledShot::Ended),
            (State::Waiting, Some(known)) if known.will_wake(waker) => PolledShot::Pending,
            _ => PolledShot::NeedsWaker,
        }
    }

    /// Keeps the waker of the task that waits; returns the one it replaces, to be dropped with nothing
    /// borrowed. An error returns the waker itself, to be woken: cloning it was user code, and meanwhile
    /// what the task waits for has come.
    pub(super) fn set_waker(&mut self, token: Token, waker: Waker) -> Result<Option<Waker>, Waker> {
        match self.get(token) {
            Some(slot) if slot.state == State::Waiting && !slot.got.has_news() => {
                Ok(slot.waker.replace(waker))
            }
            _ => Err(waker),
        }
    }

    /// The future was dropped.
    pub(super) fn on_drop(&mut self, token: Token) -> Dropped {
        let Some(slot) = self.get(token) else { return Dropped::Later(None) };
        let cancel = slot.cancel_on_drop;
        slot.got.set_early(false);
        let waker = slot.waker.take();
        match slot.state {
            State::Waiting => {
                slot.state = State::Abandoned;
                if cancel {
                    self.queue_cancel(token);
                }
                // Shots that were not taken are settled with the final completion, in their order.
                Dropped::Later(waker)
            }
            State::Finished => {
                slot.state = State::Left;
                Dropped::Settle
            }
            State::Abandoned | State::Left | State::Free => Dropped::Settle,
        }
    }

    /// The next thing to hand to an abandoned operation.
    pub(super) fn settle(&mut self, token: Token) -> Settled {
        let Some(slot) = self.get(token) else { return Settled::Nothing };
        if let (Some(cqe), Some(shot)) = (slot.got.next_shot(token), slot.shot()) {
            return Settled::Shot(shot, cqe);
        }
        if !slot.is_done() {
            return Settled::Nothing;
        }
        self.take(token).map_or(Settled::Nothing, Settled::Last)
    }

    /// Asks for an operation to be cancelled, once.
    pub(super) fn queue_cancel(&mut self, token: Token) {
        if let Some(slot) = self.get(token) {
            if slot.can_be_cancelled() && !mem::replace(&mut slot.cancel_queued, true) {
                self.push_cancel(token);
            }
        }
    }

    /// Queues a cancel. When the queue is full, some in it are of operations that have ended: those in flight are fewer
    /// than slots, and each is there once.
    fn push_cancel(&mut self, token: Token) {
        if self.cancels.len() == self.cancels.capacity() {
            let slots = &self.slots;
            let names = |token: &Token| slots[token.index as usize].generation == token.generation;
            self.cancels.retain(names);
        }
        self.cancels.push_back(token);
    }

    /// As [`Slots::queue_cancel`], unless the operation is one that dropping its future does not cancel.
    pub(super) fn queue_cancel_if_it_may(&mut self, token: Token) {
        if self.get(token).is_some_and(|slot| slot.cancel_on_drop) {
            self.queue_cancel(token);
        }
    }

    /// The next operation to cancel that is still in flight.
    pub(super) fn next_cancel(&mut self) -> Option<Token> {
        while let Some(token) = self.cancels.pop_front() {
            if self.get(token).is_some_and(|slot| slot.can_be_cancelled()) {
                return Some(token);
            }
        }
        None
    }

    /// A cancel came back with an error. True if its operation is in flight all the same, to be cancelled
    /// again later: it was on its way from one place in the kernel to another.
    pub(super) fn on_missed_cancel(&mut self, token: Token) -> bool {
        let live = self.get(token).is_some_and(|slot| slot.can_be_cancelled());
        if live {
            self.missed.push(token);
        }
        live
    }

    /// Queues the cancels that missed once more; false if all of their operations have ended by themselves.
    pub(super) fn retry_missed(&mut self) -> bool {
        while let Some(token) = self.missed.pop() {
            if self.get(token).is_some_and(|slot| slot.can_be_cancelled()) {
                self.push_cancel(token);
            }
        }
        self.has_cancels()
    }

    /// Puts a cancel back that could not be submitted.
    pub(super) fn return_cancel(&mut self, token: Token) {
        self.cancels.push_front(token);
    }

    pub(super) fn has_cancels(&self) -> bool {
        !self.cancels.is_empty()
    }

    /// Asks for everything in flight to be cancelled that may be.
    pub(super) fn cancel_all(&mut self) {
        let tokens: Vec<Token> = (0..)
            .zip(&self.slots)
            .filter(|(_, slot)| !slot.is_done() && slot.cancel_on_drop)
            .map(|(index, slot)| Token { index, generation: slot.generation })
            .collect();
        for token in tokens {
            self.queue_cancel(token);
        }
    }

    /// Operations whose final completion is still to come.
    pub(super) fn in_kernel(&self) -> usize {
        self.in_kernel
    }

    /// Slots in use: operations in flight, and finished ones whose future has not taken the result.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Completions that named no live operation.
    pub(super) fn strangers(&self) -> u64 {
        self.strangers
    }

    /// Zero-copy sends that were copied after all, of those that were asked to say so.
    pub(super) fn copied(&self) -> u64 {
        self.copied
    }

    /// Has the next operation be the one behind this generation.
    #[cfg(test)]
    pub(super) fn start_at(&mut self, generation: u32) {
        self.generation = generation;
    }

    /// How many cancels can be queued without allocating.
    #[cfg(test)]
    pub(super) fn cancels_room(&self) -> usize {
        self.cancels.capacity()
    }
}

//! Calls on files that are made at once, on the loop's thread, where the builder was told so.
//!
//! This is the one place that decides it, for all operations alike: by what the submission asks for, when it would
//! be pushed. Whoever submits sees an operation that has completed already.

use std::cell::Cell;

use crate::ring::Entry;
use crate::sys::abi::{Opcode, RawSqe};
use crate::sys::plain;

/// Calls between two turns of the loop: a task that does nothing else must let others, and I/O, have theirs. What
/// comes beyond goes to the kernel's workers, which makes it wait for a turn.
const CALLS_PER_TURN: u32 = 64;

/// Which calls are made at once, and how many more this turn.
#[derive(Default)]
pub(super) struct Inline {
    /// None makes none.
    limit_bytes: Cell<Option<usize>>,
    left: Cell<u32>,
}

impl Inline {
    /// Makes short calls at once from now on, and writes up to so many bytes.
    pub(super) fn allow(&self, limit_bytes: usize) {
        self.limit_bytes.set(Some(limit_bytes));
        self.renew();
    }

    /// A turn of the loop: there may be calls again.
    pub(super) fn renew(&self) {
        self.left.set(CALLS_PER_TURN);
    }

    /// Whether any calls are made at once.
    #[inline]
    pub(super) fn is_allowed(&self) -> bool {
        self.limit_bytes.get().is_some()
    }

    /// Makes the call that a submission stands for, if it is one to be made at once, and not to be cancelled;
    /// its result.
    ///
    /// # Safety
    ///
    /// What the submission lends is lent during the call.
    pub(super) unsafe fn call(
        &self,
        entry: &Entry,
        is_cancelled: impl Fn() -> bool,
    ) -> Option<i32> {
        let limit_bytes = self.limit_bytes.get()?;
        let left = self.left.get().checked_sub(1)?;
        if !is_short(entry.raw(), limit_bytes) || is_cancelled() {
            return None;
        }
        // SAFETY: the caller's contract.
        let result = unsafe { plain::call(entry.raw()) }?;
        self.left.set(left);
        Some(result)
    }
}

/// Whether a submission says nothing that a plain call could not, and does little.
fn is_short(sqe: &RawSqe, limit_bytes: usize) -> bool {
    let is_plain = sqe.flags == 0 && sqe.ioprio == 0 && sqe.personality == 0;
    let is_write = Opcode(sqe.opcode) == Opcode::WRITE;
    is_plain && (!is_write || sqe.op_flags == 0 && sqe.len as usize <= limit_bytes)
}

//! What names an operation to the kernel.

/// Marks the `user_data` of a cancel. Slab indices stay below: so many operations do not fit in memory.
const CANCEL: u32 = 1 << 31;

/// Names an operation in flight: slab index below, generation above.
///
/// The generation makes a cancel that the kernel acts on late miss the next operation in the same slot, and
/// a completion that names no live operation recognisable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl Token {
    pub(super) fn user_data(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    pub(super) fn from_user_data(user_data: u64) -> Token {
        Token { index: user_data as u32 & !CANCEL, generation: (user_data >> 32) as u32 }
    }

    /// For the submission that cancels the operation.
    pub(super) fn cancel_user_data(self) -> u64 {
        self.user_data() | u64::from(CANCEL)
    }

    /// Whether the completion is that of a cancel, and not of the operation itself.
    pub(super) fn names_cancel(user_data: u64) -> bool {
        user_data as u32 & CANCEL != 0
    }
}

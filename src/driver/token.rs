//! What names an operation to the kernel.

/// Marks the `user_data` of a cancel. Indices of slots stay below: so many operations do not fit in memory.
const CANCEL: u32 = 1 << 31;

/// Names an operation in flight: index of its slot below, generation above.
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

/// A token, and whether what it names was polled: in the bit that indices leave free, as futures that wait are many. One
/// word and not two halves, so that a future is two words, which a function returns in registers.
#[derive(Clone, Copy)]
pub(super) struct Noted(u64);

impl Noted {
    const POLLED: u64 = CANCEL as u64;

    pub(super) fn new(token: Token) -> Noted {
        debug_assert!(token.index & CANCEL == 0, "so many slots do not fit in memory");
        Noted(token.user_data())
    }

    #[inline]
    pub(super) fn token(self) -> Token {
        Token::from_user_data(self.0)
    }

    /// Notes that it is polled; returns whether it was before.
    #[inline]
    pub(super) fn poll(&mut self) -> bool {
        let polled = self.0 & Noted::POLLED != 0;
        self.0 |= Noted::POLLED;
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_changes_no_token_and_is_kept() {
        let token = Token { index: CANCEL - 1, generation: u32::MAX };
        let mut noted = Noted::new(token);
        assert_eq!((noted.token(), noted.poll()), (token, false));
        assert_eq!((noted.token(), noted.poll()), (token, true));
    }
}

//! Seeded choices.

/// A generator of seeded choices (SplitMix64): small, fast, and the same on every machine.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number from 0 to `most`, both included. The bias of the remainder is of no interest here.
    pub(super) fn up_to(&mut self, most: u64) -> u64 {
        let word = self.next();
        most.checked_add(1).map_or(word, |count| word % count)
    }

    /// True once in `times`.
    pub(super) fn one_in(&mut self, times: u64) -> bool {
        self.up_to(times.saturating_sub(1)) == 0
    }
}

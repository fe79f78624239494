//! Where to read next.

/// Numbers below a limit, in an order that looks random and is the same each time.
#[derive(Debug)]
pub struct Places {
    last: u64,
    limit: u64,
}

impl Places {
    /// Another order for another seed.
    pub fn new(seed: u64, limit: u64) -> Places {
        Places { last: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, limit }
    }

    /// The next number, by Marsaglia's xorshift.
    pub fn draw(&mut self) -> u64 {
        self.last ^= self.last << 13;
        self.last ^= self.last >> 7;
        self.last ^= self.last << 17;
        self.last % self.limit
    }
}

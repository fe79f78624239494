//! What crossed the border between program and kernel: a hash that shows two runs to be the same, and lines to
//! read.

use std::collections::VecDeque;

/// A running hash, and the last lines if somebody wants them. By words: each of its steps takes Miri hundreds of its own,
/// and there are some for every event.
#[derive(Debug)]
pub(super) struct Trace {
    hash: u64,
    lines: VecDeque<String>,
    most_lines: usize,
}

impl Trace {
    pub(super) fn new() -> Trace {
        Trace { hash: 0xcbf2_9ce4_8422_2325, lines: VecDeque::new(), most_lines: 0 }
    }

    /// Adds an event: words that are the same in every run with one seed, and how it reads.
    pub(super) fn add<const N: usize>(&mut self, words: [u64; N], line: impl FnOnce() -> String) {
        for word in &words {
            // As FNV-1a does with bytes; the high half goes down again, or it would reach no lower bit.
            let mixed = (self.hash ^ word).wrapping_mul(0x0100_0000_01b3);
            self.hash = mixed ^ mixed >> 32;
        }
        if self.most_lines > 0 {
            if self.lines.len() == self.most_lines {
                self.lines.pop_front();
            }
            self.lines.push_back(line());
        }
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// Keeps so many lines from now on.
    pub(super) fn keep(&mut self, most_lines: usize) {
        self.most_lines = most_lines;
        let surplus = self.lines.len().saturating_sub(most_lines);
        self.lines.drain(..surplus);
    }

    /// The lines that were kept, oldest first.
    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}

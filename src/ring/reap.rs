//! Taking completions.

use std::io;

use super::{BigCqe, Cqe, Ring};
use crate::sys::abi::SqFlags;

impl Ring {
    /// Copies completions out, oldest first, so that nothing borrows the ring while they are handled.
    /// Returns how many; 0 means none is in the queue, not that none is [waiting](Ring::needs_enter).
    ///
    /// Of a completion of 32 bytes this is the first half; see [`Ring::copy_big_cqes`].
    pub fn copy_cqes(&mut self, out: &mut [Cqe]) -> usize {
        self.queues.copy_cqes(out)
    }

    /// Takes the completions that are there now, oldest first; of one of 32 bytes this is the first half. One is taken
    /// before it is handed over, so a panic loses that one and no other.
    #[inline]
    pub(crate) fn take_cqes(&mut self, take: impl FnMut(Cqe)) {
        self.queues.take_cqes(take);
    }

    /// Copies completions out whole, whatever their size; see [`Ring::copy_cqes`].
    pub fn copy_big_cqes(&mut self, out: &mut [BigCqe]) -> usize {
        self.queues.copy_big_cqes(out)
    }

    /// Copies completions without taking them: the next copy finds them again. Returns how many.
    pub fn peek_cqes(&self, out: &mut [BigCqe]) -> usize {
        self.queues.peek(out)
    }

    /// Submits, waits until `want` completions are there, or as many as fit `out`, and copies them out, with
    /// those beyond if there is room. Completions that did not fit the queue are fetched on the way. Returns
    /// how many were copied.
    ///
    /// # Errors
    ///
    /// As [`Ring::submit_and_wait`]; no completion was taken then.
    pub fn wait_cqes(&mut self, out: &mut [Cqe], want: u32) -> io::Result<usize> {
        let want = want.min(u32::try_from(out.len()).unwrap_or(u32::MAX));
        if self.queued() > 0 || self.ready() < want || self.needs_enter() {
            let missing = if self.ready() < want { want } else { 0 };
            self.submit_and_wait(missing, None)?;
        }
        Ok(self.copy_cqes(out))
    }

    /// Takes completions one by one, oldest first, until the queue is empty. What is not taken stays.
    ///
    /// ```
    /// use uring::ring::{Setup, Sqe};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut ring = Setup::new(8).build()?;
    /// for user_data in 0..3 {
    ///     // SAFETY: a nop lends nothing.
    ///     unsafe { ring.push(Sqe::nop().user_data(user_data))? };
    /// }
    /// ring.submit_and_wait(3, None)?;
    /// let sum: u64 = ring.drain().map(|completion| completion.cqe.user_data()).sum();
    /// assert_eq!(sum, 0 + 1 + 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn drain(&mut self) -> Drain<'_> {
        Drain { ring: self }
    }

    /// Completions that [`Ring::copy_cqes`] would find now. Where they have both sizes, the places that they
    /// take: a large one takes two, and a filler, which is never handed out, one.
    pub fn ready(&self) -> u32 {
        self.queues.cq_ready()
    }

    /// Whether nothing is queued, nothing is ready and nothing needs an enter. False in another process.
    pub(crate) fn is_quiet(&self) -> bool {
        self.queues.are_quiet()
    }

    /// Whether completions wait behind the queue: deferred work (`IORING_SQ_TASKRUN`) or completions that
    /// did not fit (`IORING_SQ_CQ_OVERFLOW`). A plain load; `submit_and_wait(0, None)` fetches them.
    pub fn needs_enter(&self) -> bool {
        self.queues.needs_enter()
    }

    /// Whether completions did not fit and wait in the kernel for room (`IORING_SQ_CQ_OVERFLOW`, 5.8).
    pub fn overflowed(&self) -> bool {
        self.queues.sq_flags().contains(SqFlags::CQ_OVERFLOW)
    }

    /// Completions that were lost for want of kernel memory, since the ring was made.
    pub fn lost(&self) -> u32 {
        self.queues.cq_lost()
    }
}

/// Takes completions one by one; see [`Ring::drain`].
#[derive(Debug)]
pub struct Drain<'a> {
    ring: &'a mut Ring,
}

impl Iterator for Drain<'_> {
    type Item = BigCqe;

    fn next(&mut self) -> Option<BigCqe> {
        self.ring.queues.next_cqe()
    }
}

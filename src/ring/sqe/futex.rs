//! Waiting for a word of memory to change, `futex(2)`.

use std::marker::PhantomData;
use std::sync::atomic::AtomicU32;

use super::{Entry, Sqe, read_by_kernel, read_from};
use crate::sys::abi::{Futex2Flags, Opcode, RawSqe};

/// `struct futex_waitv`: a word to wait for, and the value it is to have. Linux 6.7.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct FutexWaiter<'a> {
    expected: u64,
    addr: u64,
    flags: u32,
    reserved: u32,
    _lent: PhantomData<&'a AtomicU32>,
}

const _: () = assert!(size_of::<FutexWaiter<'_>>() == 24);

impl<'a> FutexWaiter<'a> {
    /// Waits while `word` has the value `expected`; `private` as for [`Sqe::futex_wait`].
    pub fn new(word: &'a AtomicU32, expected: u32, private: bool) -> FutexWaiter<'a> {
        FutexWaiter {
            expected: expected.into(),
            addr: read_from(word),
            flags: size_and(private).bits(),
            reserved: 0,
            _lent: PhantomData,
        }
    }
}

fn size_and(private: bool) -> Futex2Flags {
    let private = if private { Futex2Flags::PRIVATE } else { Futex2Flags::empty() };
    Futex2Flags::SIZE_U32 | private
}

/// `private` says that the word is used within this process only; those who wait and those who wake must
/// agree. `mask` says who wakes whom: a wake reaches the waits that have a bit in common with it
/// (`u32::MAX` for all; 0 is `EINVAL`). The words stay lent until the end of the wait.
impl<'a> Sqe<'a> {
    /// Waits until `word` is woken. The result is 0, or `EAGAIN` when it did not have the value `expected` to
    /// begin with. Linux 6.7.
    pub fn futex_wait(word: &'a AtomicU32, expected: u32, mask: u32, private: bool) -> Sqe<'a> {
        Sqe::on_word(Opcode::FUTEX_WAIT, word, expected, mask, private)
    }

    /// Wakes at most `count` who wait for `word`; the result is how many there were. Linux 6.7.
    pub fn futex_wake(word: &'a AtomicU32, count: u32, mask: u32, private: bool) -> Sqe<'a> {
        Sqe::on_word(Opcode::FUTEX_WAKE, word, count, mask, private)
    }

    /// Waits until one of up to 128 words is woken; the result is its index. `futex_waitv(2)`, Linux 6.7.
    pub fn futex_wait_any(waiters: &'a [FutexWaiter<'a>]) -> Sqe<'a> {
        let fields = RawSqe {
            addr: read_by_kernel(waiters),
            len: u32::try_from(waiters.len()).unwrap_or(u32::MAX),
            ..RawSqe::default()
        };
        Sqe::new(Entry::with_fd(Opcode::FUTEX_WAITV, 0, fields))
    }

    fn on_word(
        opcode: Opcode,
        word: &'a AtomicU32,
        value: u32,
        mask: u32,
        private: bool,
    ) -> Sqe<'a> {
        let fields = RawSqe {
            addr: read_from(word),
            off: value.into(),
            addr3: mask.into(),
            ..RawSqe::default()
        };
        Sqe::new(Entry::with_fd(opcode, size_and(private).bits() as i32, fields))
    }
}

//! The future of one read or write of a file.
//!
//! By hand, as those of connections are: an `async` function within another keeps the buffer and the result once for
//! each of the two, 160 bytes for what takes 48 here, and moves both from one to the other.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::buf::{BufError, BufResult, IoBuf, IoBufMut};
use crate::fd::Fd;
use crate::io::interrupted;
use crate::op::{self, InFlight, Op};

const AGAIN: &str = "a future was polled after it had yielded its result";

/// An operation between a file and a buffer.
pub(super) trait Transfer: Op<Output = BufResult<usize, Self::Buf>> {
    type Buf;

    fn new(fd: Fd, offset: Option<u64>, buf: Self::Buf) -> Self;
}

impl<B: IoBufMut> Transfer for op::Read<B> {
    type Buf = B;

    fn new(fd: Fd, offset: Option<u64>, buf: B) -> Self {
        op::Read { fd, offset, buf }
    }
}

impl<B: IoBuf> Transfer for op::Write<B> {
    type Buf = B;

    fn new(fd: Fd, offset: Option<u64>, buf: B) -> Self {
        op::Write { fd, offset, buf }
    }
}

/// A transfer, made again when a signal has ended it.
pub(super) struct Once<'a, T: Transfer> {
    fd: &'a Fd,
    offset: Option<u64>,
    phase: Phase<T>,
}

enum Phase<T: Transfer> {
    /// With the buffer, until it is lent.
    Unsubmitted(Option<T::Buf>),
    Submitted(InFlight<T>),
}

impl<'a, T: Transfer> Once<'a, T> {
    /// At `offset` bytes from the start, or at the file's position, which moves on.
    pub(super) fn new(fd: &'a Fd, offset: Option<u64>, buf: T::Buf) -> Once<'a, T> {
        Once { fd, offset, phase: Phase::Unsubmitted(Some(buf)) }
    }
}

// Nothing in it is ever pinned.
impl<T: Transfer> Unpin for Once<'_, T> {}

impl<T: Transfer> Future for Once<'_, T> {
    type Output = BufResult<usize, T::Buf>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            this.phase = match &mut this.phase {
                Phase::Unsubmitted(buf) => {
                    let buf = buf.take().expect(AGAIN);
                    if this.offset.is_some_and(is_refused) {
                        let error = io::Error::from_raw_os_error(libc::EINVAL);
                        return Poll::Ready(Err(BufError::new(error, buf)));
                    }
                    Phase::Submitted(op::submit(T::new(this.fd.clone(), this.offset, buf)))
                }
                Phase::Submitted(transfer) => match ready!(Pin::new(transfer).poll(context)) {
                    Err(failed) if interrupted(failed.error()) => {
                        Phase::Unsubmitted(Some(failed.into_buf()))
                    }
                    done => return Poll::Ready(done),
                },
            };
        }
    }
}

/// Offsets of a file are signed in the kernel. `u64::MAX` would be taken for "at the position", the others are refused
/// as it refuses them.
fn is_refused(offset: u64) -> bool {
    i64::try_from(offset).is_err()
}

const _: () = assert!(size_of::<Once<'_, op::Read<Vec<u8>>>>() <= 48, "a waiting read is small");
const _: () = assert!(size_of::<Once<'_, op::Write<Vec<u8>>>>() <= 48, "a waiting write is small");

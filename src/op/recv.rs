//! Receive from a stream socket: `recv(2)`, Linux 5.6; until a buffer is full, as a rule in one operation,
//! Linux 5.19.

use std::io;
use std::os::fd::AsFd;

use super::{Completion, Op, outcome};
use crate::buf::{BufError, BufResult, IoBuf, IoBufMut, Slice};
use crate::fd::lane::{Held, Receiving};
use crate::ring::Sqe;

/// Receives into the front of a buffer; 0 bytes are the end of the stream.
///
/// Dropping its future loses nothing: what the kernel had already received is left in the lane, for
/// [`late`] to find before the next receive.
#[derive(Debug)]
pub struct Recv<B> {
    /// What to receive into.
    pub buf: B,
    /// The socket's receiving direction, held until the final completion.
    pub lane: Held<Receiving>,
}

impl<B: IoBufMut> Op for Recv<B> {
    type Output = BufResult<usize, B>;

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::recv(self.lane.fd().as_fd().into(), self.buf.room(), 0)
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        // SAFETY: recv(2) without flags writes as many bytes as it returns to the front of the room that
        // `prepare` lent. (With MSG_TRUNC it would return more than it wrote.)
        unsafe { outcome::filled(&completion, self.buf) }
    }

    fn abandoned(self, completion: Completion<Self>) {
        let Recv { buf, lane, .. } = self;
        // SAFETY: as in `complete`.
        match unsafe { outcome::filled(&completion, buf) } {
            // The end of the stream comes again at the next receive.
            Ok((0, _)) => {}
            Ok((n, buf)) => lane.leave_bytes(Ok(front(&buf, n))),
            Err(failed) => leave_error(&lane, failed.error()),
        }
    }
}

const _: () = assert!(size_of::<Recv<Vec<u8>>>() <= 256, "fits a pooled block");

/// Receives into the rest of a buffer, of which earlier operations have filled the front.
///
/// Dropping its future loses nothing: what this one and the earlier ones received is left in the lane, for
/// [`late`] to find before the next receive. So the lane stays held from the first of them to
/// the last, and comes back with each result.
#[derive(Debug)]
pub struct RecvExact<B> {
    /// What is still to be filled; the buffer's bytes before it were received earlier.
    pub rest: Slice<B>,
    /// The socket's receiving direction, held until the final completion.
    pub lane: Held<Receiving>,
}

impl<B: IoBufMut> Op for RecvExact<B> {
    type Output = (BufResult<usize, Slice<B>>, Held<Receiving>);

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::recv(self.lane.fd().as_fd().into(), self.rest.room(), libc::MSG_WAITALL)
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        // SAFETY: recv(2) writes as many bytes as it returns to the front of the room that `prepare` lent.
        // MSG_WAITALL makes it go on where it stopped, and return the sum.
        (unsafe { outcome::filled(&completion, self.rest) }, self.lane)
    }

    fn abandoned(self, completion: Completion<Self>) {
        let start = self.rest.start();
        let (result, lane) = self.complete(completion);
        let (received, error, rest) = match result {
            Ok((n, rest)) => (start + n, None, rest),
            Err(failed) => {
                let (error, rest) = failed.into_parts();
                (start, Some(error), rest)
            }
        };
        if received > 0 {
            lane.leave_bytes(Ok(front(rest.buf(), received)));
        }
        if let Some(error) = error {
            leave_error(&lane, &error);
        }
    }
}

const _: () = assert!(size_of::<RecvExact<Vec<u8>>>() <= 256, "fits a pooled block");

/// The bytes that were received. A buffer of somebody's own may show fewer than it was filled with.
fn front(buf: &impl IoBuf, n: usize) -> Vec<u8> {
    let bytes = buf.bytes();
    bytes[..n.min(bytes.len())].to_vec()
}

/// Leaves an error for the next receive, if it is one that the socket has taken off by reporting it.
pub(super) fn leave_error(lane: &Held<Receiving>, error: &io::Error) {
    match error.raw_os_error() {
        None | Some(libc::ECANCELED | libc::EINTR | libc::EAGAIN) => {}
        Some(errno) => lane.leave_bytes(Err(errno)),
    }
}

/// Serves a receive from what an earlier one left in the lane; the buffer again if there is nothing.
pub fn late<B: IoBufMut>(lane: &Held<Receiving>, buf: B) -> Result<BufResult<usize, B>, B> {
    match lane.take_late_bytes() {
        None => Err(buf),
        Some(Err(errno)) => Ok(Err(BufError::new(io::Error::from_raw_os_error(errno), buf))),
        Some(Ok(mut bytes)) => {
            let (n, buf) = outcome::copied(&bytes, buf);
            if n < bytes.len() {
                bytes.drain(..n);
                lane.put_back_bytes(Ok(bytes));
            }
            Ok(Ok((n, buf)))
        }
    }
}

//! Receive until a buffer is full: `recv(2)` with `MSG_WAITALL`, Linux 5.6; as a rule in one operation,
//! Linux 5.19.

use std::os::fd::AsFd;

use super::lane::Held;
use super::recv::leave_error;
use super::{LateBytes, Op, outcome};
use crate::buf::{BufResult, IoBuf, IoBufMut, Slice};
use crate::fd::Fd;
use crate::ring::{Cqe, Sqe};

/// Receives into the rest of a buffer, of which earlier operations have filled the front.
///
/// Dropping its future loses nothing: what this one and the earlier ones received is left in the lane, for
/// [`late`](super::late) to find before the next receive. So the lane stays held from the first of them to
/// the last, and comes back with each result.
#[derive(Debug)]
pub struct RecvExact<B> {
    /// The socket.
    pub fd: Fd,
    /// What is still to be filled; the buffer's bytes before it were received earlier.
    pub rest: Slice<B>,
    /// The socket's receiving direction, held until the final completion.
    pub lane: Held<LateBytes>,
}

impl<B: IoBufMut> Op for RecvExact<B> {
    type Output = (BufResult<usize, Slice<B>>, Held<LateBytes>);

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::recv(self.fd.as_fd().into(), self.rest.room(), libc::MSG_WAITALL)
    }

    fn complete(self, cqe: Cqe) -> Self::Output {
        // SAFETY: recv(2) writes as many bytes as it returns to the front of the room that `prepare` lent.
        // MSG_WAITALL makes it go on where it stopped, and return the sum.
        (unsafe { outcome::filled(cqe, self.rest) }, self.lane)
    }

    fn abandoned(self, cqe: Cqe) {
        let start = self.rest.start();
        let (result, lane) = self.complete(cqe);
        let (received, error, rest) = match result {
            Ok((n, rest)) => (start + n, None, rest),
            Err(failed) => {
                let (error, rest) = failed.into_parts();
                (start, Some(error), rest)
            }
        };
        if received > 0 {
            lane.leave(Ok(rest.buf().bytes()[..received].to_vec()));
        }
        if let Some(error) = error {
            leave_error(&lane, &error);
        }
    }
}

const _: () = assert!(size_of::<RecvExact<Vec<u8>>>() <= 256, "fits a pooled block");

//! Send to a stream socket: `send(2)`, Linux 5.6; the whole of a buffer, as a rule in one operation,
//! Linux 5.19.

use std::os::fd::AsFd;

use super::{Completion, Op};
use crate::buf::{BufError, BufResult, IoBuf, Slice};
use crate::fd::lane::{Held, Sending};
use crate::ring::Sqe;

/// Sends the bytes of a buffer; fewer may be taken. A peer that is gone is `EPIPE`, never a signal.
///
/// When its future is dropped, a part may have been sent; which one, nobody is told. Nothing that is sent
/// later overtakes it.
#[derive(Debug)]
pub struct Send<B> {
    /// What to send.
    pub buf: B,
    /// `MSG_*`; with `MSG_WAITALL` the kernel goes on until all is sent, or an error (Linux 5.19).
    pub flags: i32,
    /// The socket's sending direction, held until the final completion.
    pub lane: Held<Sending>,
}

impl<B: IoBuf> Op for Send<B> {
    type Output = BufResult<usize, B>;

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::send(self.lane.fd().as_fd().into(), self.buf.bytes(), self.flags)
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        match completion.result() {
            Ok(n) => Ok((n as usize, self.buf)),
            Err(error) => Err(BufError::new(error, self.buf)),
        }
    }
}

const _: () = assert!(size_of::<Send<Vec<u8>>>() <= 256, "fits a pooled block");

/// Sends the rest of a buffer, of which earlier operations have sent the front.
///
/// The lane stays held from the first of them to the last, so that nothing comes between, and is handed
/// back with each result. When its future is dropped, a part may have been sent.
#[derive(Debug)]
pub struct SendAll<B> {
    /// What is still to be sent.
    pub rest: Slice<B>,
    /// The socket's sending direction, held until the final completion.
    pub lane: Held<Sending>,
}

impl<B: IoBuf> Op for SendAll<B> {
    type Output = (BufResult<usize, Slice<B>>, Held<Sending>);

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::send(self.lane.fd().as_fd().into(), self.rest.bytes(), libc::MSG_WAITALL)
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        let result = match completion.result() {
            Ok(n) => Ok((n as usize, self.rest)),
            Err(error) => Err(BufError::new(error, self.rest)),
        };
        (result, self.lane)
    }
}

const _: () = assert!(size_of::<SendAll<Vec<u8>>>() <= 256, "fits a pooled block");

//! Send to a stream socket without a copy: Linux 6.0.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::{Completion, InFlight, Op, submit};
use crate::buf::IoBuf;
use crate::driver::current::current as driver;
use crate::fd::Fd;
use crate::fd::lane::{Held, Sending};
use crate::ring::abi::NOTIF_USAGE_ZC_COPIED;
use crate::ring::{Opcode, Ring, Sqe};

/// The right to send, which the operation and who submitted it share: it ends with the result, and not only
/// when the buffer is back; or, if nobody waits for the result, with the operation.
type Turn = Rc<Cell<Option<Held<Sending>>>>;

/// Sends the bytes of a buffer from where they are. The result comes as of any send; the buffer stays with the
/// kernel until the peer has acknowledged what is in it.
///
/// The output is the result, and the buffer. [`InFlight::result`] tells the first alone; [`send_zc`] is built
/// of that.
///
/// When its future is dropped, a part may have been sent. Nothing that is sent later overtakes it.
pub struct SendZc<B> {
    fd: Fd,
    buf: B,
    flags: i32,
    asks: bool,
    _turn: Turn,
}

impl<B: IoBuf> Op for SendZc<B> {
    type Output = (io::Result<usize>, Returned<B>);

    fn prepare(&mut self) -> Sqe<'_> {
        let sqe = Sqe::send_zc(self.fd.as_fd().into(), self.buf.bytes(), self.flags);
        if self.asks { sqe.report_usage() } else { sqe }
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        let notification = if self.asks { completion.notification() } else { None };
        let copied = notification.map(|result| result as u32 & NOTIF_USAGE_ZC_COPIED != 0);
        (completion.result().map(|n| n as usize), Returned { buf: self.buf, copied })
    }
}

impl<B> fmt::Debug for SendZc<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendZc").field("fd", &self.fd).finish_non_exhaustive()
    }
}

const _: () = assert!(size_of::<SendZc<Vec<u8>>>() <= 256, "fits a pooled block");

/// A buffer that a zero-copy send has given back.
#[derive(Debug)]
#[non_exhaustive]
pub struct Returned<B> {
    /// The buffer.
    pub buf: B,
    /// Whether the kernel copied it after all, which makes such a send the dearer one: always so over the
    /// loopback interface. None where it does not say: before Linux 6.2, and when nothing was sent.
    pub copied: Option<bool>,
}

/// A buffer on its way back from a zero-copy send: a future of it.
///
/// Dropping it frees the buffer when the kernel is done with it.
#[must_use = "the buffer is freed when it comes back and nobody waits for it"]
pub struct Returning<B: IoBuf> {
    sent: InFlight<SendZc<B>>,
}

impl<B: IoBuf> Future for Returning<B> {
    type Output = Returned<B>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Returned<B>> {
        let (_, returned) = ready!(Pin::new(&mut self.sent).poll(context));
        Poll::Ready(returned)
    }
}

impl<B: IoBuf> fmt::Debug for Returning<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Returning").field(&self.sent).finish()
    }
}

/// What became of a zero-copy send: how many bytes were sent, and the buffer on its way; or the error and the
/// buffer.
pub type SentZc<B> = Result<(usize, Returning<B>), crate::buf::BufError<B>>;

/// Sends the bytes of a buffer without a copy, and resolves when they are sent as far as a plain send would
/// say. Linux 6.0. `flags` are `MSG_*`.
///
/// # Errors
///
/// [`Unsupported`](io::ErrorKind::Unsupported) on older kernels. After a failure the buffer is waited for, and
/// is in the error.
///
/// # Dropping
///
/// A part may have been sent. The buffer is freed when the kernel is done with it.
///
/// # Panics
///
/// Outside a runtime.
pub async fn send_zc<B: IoBuf>(buf: B, flags: i32, lane: Held<Sending>) -> SentZc<B> {
    let fd = lane.fd().clone();
    let turn: Turn = Rc::new(Cell::new(Some(lane)));
    let (mut buf, mut asks) = (buf, true);
    loop {
        let (fd, _turn) = (fd.clone(), Rc::clone(&turn));
        let mut sent = submit(SendZc { fd, buf, flags, asks, _turn });
        let error = match sent.result().await {
            Ok(n) => {
                // What is sent next need not wait for the buffer.
                drop(turn.take());
                return Ok((n as usize, Returning { sent }));
            }
            Err(error) => error,
        };
        let (_, returned) = sent.await;
        match error.raw_os_error() {
            Some(libc::EINTR) => buf = returned.buf,
            // Linux 6.0 and 6.1 refuse to say whether they copied.
            Some(libc::EINVAL) if asks && is_known() => {
                (buf, asks) = (returned.buf, false);
            }
            Some(libc::EINVAL) if !is_known() => {
                let message = "a zero-copy send takes Linux 6.0 (IORING_OP_SEND_ZC)";
                let error = io::Error::new(io::ErrorKind::Unsupported, message);
                return Err(crate::buf::BufError::new(error, returned.buf));
            }
            _ => return Err(crate::buf::BufError::new(error, returned.buf)),
        }
    }
}

/// Whether the kernel knows zero-copy sends.
fn is_known() -> bool {
    driver().with_ring(|ring: &Ring| ring.supports(Opcode::SEND_ZC)).unwrap_or(true)
}

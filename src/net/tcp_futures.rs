//! The futures that a connection waits in: a receive, and a send of a whole buffer.
//!
//! By hand, where the other calls are `async` functions: those keep an argument, its copies and each await's
//! state side by side, some 200 bytes, and a connection's task is as large as the largest of its calls. These
//! are less than a cache line, which is what counts among thousands of connections.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::buf::{BufError, BufResult, IoBuf, IoBufMut, Slice};
use crate::fd::Fd;
use crate::fd::lane::{Hold, Lane, Receiving, Sending};
use crate::io::interrupted;
use crate::op::{self, InFlight};

const AGAIN: &str = "a future was polled after it had yielded its result";

/// See [`TcpStream::recv`](super::TcpStream::recv).
pub(super) struct Recv<'a, B: IoBufMut> {
    fd: &'a Fd,
    phase: Receive<'a, B>,
}

enum Receive<'a, B: IoBufMut> {
    /// With the buffer, until it is lent.
    Waiting(Hold<'a, Receiving>, Option<B>),
    Submitted(InFlight<op::Recv<B>>),
}

impl<'a, B: IoBufMut> Recv<'a, B> {
    pub(super) fn new(fd: &'a Fd, buf: B) -> Recv<'a, B> {
        Recv { fd, phase: Receive::Waiting(Lane::receiving(fd).hold(), Some(buf)) }
    }
}

// Nothing in it is ever pinned.
impl<B: IoBufMut> Unpin for Recv<'_, B> {}

impl<B: IoBufMut> Future for Recv<'_, B> {
    type Output = BufResult<usize, B>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<BufResult<usize, B>> {
        let this = &mut *self;
        loop {
            this.phase = match &mut this.phase {
                Receive::Waiting(hold, buf) => {
                    let lane = ready!(Pin::new(hold).poll(context));
                    match op::late(&lane, buf.take().expect(AGAIN)) {
                        Ok(served) => return Poll::Ready(served),
                        Err(buf) => Receive::Submitted(op::submit(op::Recv { buf, lane })),
                    }
                }
                Receive::Submitted(receive) => match ready!(Pin::new(receive).poll(context)) {
                    Err(failed) if interrupted(failed.error()) => {
                        let hold = Lane::receiving(this.fd).hold();
                        Receive::Waiting(hold, Some(failed.into_buf()))
                    }
                    received => return Poll::Ready(received),
                },
            };
        }
    }
}

/// See [`TcpStream::send_all`](super::TcpStream::send_all).
pub(super) struct SendAll<'a, B: IoBuf> {
    len_bytes: usize,
    phase: Send<'a, B>,
}

enum Send<'a, B: IoBuf> {
    /// With the buffer, until it is lent.
    Waiting(Hold<'a, Sending>, Option<B>),
    Submitted(InFlight<op::SendAll<B>>),
}

impl<'a, B: IoBuf> SendAll<'a, B> {
    pub(super) fn new(fd: &'a Fd, buf: B) -> SendAll<'a, B> {
        let len_bytes = buf.bytes().len();
        SendAll { len_bytes, phase: Send::Waiting(Lane::sending(fd).hold(), Some(buf)) }
    }
}

// Nothing in it is ever pinned.
impl<B: IoBuf> Unpin for SendAll<'_, B> {}

impl<B: IoBuf> Future for SendAll<'_, B> {
    type Output = BufResult<usize, B>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<BufResult<usize, B>> {
        let this = &mut *self;
        loop {
            let (rest, lane) = match &mut this.phase {
                Send::Waiting(hold, buf) => {
                    let lane = ready!(Pin::new(hold).poll(context));
                    (buf.take().expect(AGAIN).slice(0..), lane)
                }
                Send::Submitted(send) => {
                    let (sent, lane) = ready!(Pin::new(send).poll(context));
                    match sent {
                        Ok((0, rest)) => {
                            let error = io::Error::from(io::ErrorKind::WriteZero);
                            return Poll::Ready(Err(BufError::new(error, rest.into_buf())));
                        }
                        Ok((n, rest)) => {
                            let sent_bytes = rest.start() + n;
                            (rest.into_buf().slice(sent_bytes..), lane)
                        }
                        Err(failed) if interrupted(failed.error()) => (failed.into_buf(), lane),
                        Err(failed) => {
                            return Poll::Ready(Err(failed.map_buf(Slice::into_buf)));
                        }
                    }
                }
            };
            if rest.start() == this.len_bytes {
                return Poll::Ready(Ok((this.len_bytes, rest.into_buf())));
            }
            this.phase = Send::Submitted(op::submit(op::SendAll { rest, lane }));
        }
    }
}

const _: () = assert!(size_of::<Recv<'_, Vec<u8>>>() <= 48, "a waiting connection is small");
const _: () = assert!(size_of::<SendAll<'_, Vec<u8>>>() <= 48, "a waiting connection is small");

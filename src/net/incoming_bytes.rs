//! All bytes of a stream as they come, in leased buffers.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream;
use futures::stream::FusedStream;

use super::TcpStream;
use crate::fd::lane::{Held, Hold, Lane, Receiving};
use crate::op::{self, InFlight, Shots};
use crate::pool::{Attempt, BufPool, Leased};

/// The bytes of a [`TcpStream`] as they come, in leased buffers. Made by [`TcpStream::incoming_bytes`].
///
/// It ends where the stream does, and after an error. While it waits it has no buffer; it receives ahead of
/// what is taken, up to 1,024 buffers or what the pool has, and the rest waits in the kernel.
///
/// While it receives, other receives on the same stream wait. Dropping it loses nothing: what was received and
/// not taken goes to whoever receives next, and its buffers go back to the pool.
#[must_use = "streams do nothing unless polled"]
pub struct IncomingBytes<'a> {
    stream: &'a TcpStream,
    attempt: Attempt,
    phase: Phase<'a>,
    /// Whether this kernel receives many times by one operation.
    multishot: bool,
}

enum Phase<'a> {
    Idle,
    Waiting(Hold<'a, Receiving>),
    /// The turn is ours, and no operation is in flight.
    Held(Held<Receiving>),
    /// One that brought nothing so far.
    First(Shots<op::RecvMulti>),
    Many(Shots<op::RecvMulti>),
    One(InFlight<op::RecvLeased>),
    /// From the heap, where the kernel knows no rings of buffers.
    Plain(InFlight<op::Recv<Vec<u8>>>),
    /// The pool is empty.
    Short,
    Ended,
}

/// What a step came to: nothing yet, an item, or the end.
type Told = Option<Option<io::Result<Leased>>>;

impl<'a> IncomingBytes<'a> {
    pub(super) fn new(stream: &'a TcpStream, pool: BufPool) -> IncomingBytes<'a> {
        IncomingBytes { stream, attempt: Attempt::new(pool), phase: Phase::Idle, multishot: true }
    }

    /// Goes one phase on.
    fn step(&mut self, context: &mut Context<'_>) -> Poll<Told> {
        let told = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle => {
                self.phase = Phase::Waiting(Lane::receiving(&self.stream.socket.fd).hold());
                None
            }
            Phase::Waiting(mut hold) => match Pin::new(&mut hold).poll(context) {
                Poll::Ready(held) => {
                    self.phase = Phase::Held(held);
                    None
                }
                Poll::Pending => {
                    self.attempt.pass();
                    return self.wait(Phase::Waiting(hold));
                }
            },
            Phase::Held(held) => match held.take_late_bytes() {
                Some(late) => {
                    self.phase = Phase::Held(held);
                    self.attempt.pass();
                    let late = late.map(Leased::from).map_err(io::Error::from_raw_os_error);
                    self.told(late)
                }
                None => self.arm(held),
            },
            Phase::First(shots) => return self.poll_shots(context, shots, false),
            Phase::Many(shots) => return self.poll_shots(context, shots, true),
            Phase::One(mut receive) => match Pin::new(&mut receive).poll(context) {
                Poll::Ready(received) => self.received(received, false),
                Poll::Pending => {
                    self.attempt.pending(context);
                    return self.wait(Phase::One(receive));
                }
            },
            Phase::Plain(mut receive) => match Pin::new(&mut receive).poll(context) {
                Poll::Ready(received) => {
                    let received = received.map(|(_, bytes)| Leased::from(bytes));
                    self.received(received.map_err(io::Error::from), false)
                }
                Poll::Pending => return self.wait(Phase::Plain(receive)),
            },
            Phase::Short => match self.attempt.poll_buffers(context) {
                Poll::Ready(()) => None,
                Poll::Pending => return self.wait(Phase::Short),
            },
            Phase::Ended => {
                self.phase = Phase::Ended;
                Some(None)
            }
        };
        Poll::Ready(told)
    }

    /// Takes what the operation has brought, `fruitful` if that is not the first of it.
    fn poll_shots(
        &mut self,
        context: &mut Context<'_>,
        mut shots: Shots<op::RecvMulti>,
        fruitful: bool,
    ) -> Poll<Told> {
        let polled = Pin::new(&mut shots).poll_next(context);
        let received = matches!(polled, Poll::Ready(Some(Ok(_))));
        self.phase = if fruitful || received { Phase::Many(shots) } else { Phase::First(shots) };
        match polled {
            Poll::Ready(Some(received)) => Poll::Ready(self.received(received, fruitful)),
            Poll::Ready(None) => {
                self.phase = Phase::Idle;
                Poll::Ready(None)
            }
            Poll::Pending => {
                self.attempt.pending(context);
                Poll::Pending
            }
        }
    }

    fn wait<T>(&mut self, phase: Phase<'a>) -> Poll<T> {
        self.phase = phase;
        Poll::Pending
    }

    fn arm(&mut self, lane: Held<Receiving>) -> Told {
        if !self.attempt.pool().is_registered() {
            let buf = Vec::with_capacity(self.attempt.pool().buffer_bytes());
            self.phase = Phase::Plain(op::submit(op::Recv { buf, lane }));
            return None;
        }
        let data_first = self.attempt.begin();
        let pool = self.attempt.pool().clone();
        let armed = if self.multishot {
            op::RecvMulti::new(pool, lane)
                .map(|receive| Phase::First(op::submit_multi(receive.data_first(data_first))))
        } else {
            op::RecvLeased::new(pool, lane)
                .map(|receive| Phase::One(op::submit(receive.data_first(data_first))))
        };
        match armed {
            Ok(phase) => {
                self.phase = phase;
                None
            }
            Err(error) => self.told(Err(error)),
        }
    }

    /// What an operation received. Every error ends the operation, and some only say to arm it again.
    fn received(&mut self, received: io::Result<Leased>, fruitful: bool) -> Told {
        let errno = received.as_ref().err().and_then(io::Error::raw_os_error);
        match errno {
            Some(libc::ENOBUFS) => {
                self.attempt.found_empty();
                self.phase = Phase::Short;
                None
            }
            Some(libc::EINTR) => None,
            // It had fallen too far behind.
            Some(libc::ECANCELED) if fruitful => None,
            // Linux 5.19 knows rings of buffers, and no multishot receive.
            Some(libc::EINVAL) if self.multishot && !fruitful => {
                self.multishot = false;
                self.phase = Phase::Idle;
                None
            }
            _ => {
                if received.as_ref().is_ok_and(|bytes| !bytes.is_empty()) {
                    self.attempt.served();
                }
                self.told(received)
            }
        }
    }

    fn told(&mut self, received: io::Result<Leased>) -> Told {
        if received.as_ref().is_ok_and(|bytes| !bytes.is_empty()) {
            return Some(Some(received));
        }
        self.attempt.pass();
        self.phase = Phase::Ended;
        Some(received.err().map(Err))
    }
}

impl Stream for IncomingBytes<'_> {
    type Item = io::Result<Leased>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Leased>>> {
        loop {
            if let Some(told) = ready!(self.step(context)) {
                return Poll::Ready(told);
            }
        }
    }
}

impl FusedStream for IncomingBytes<'_> {
    fn is_terminated(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }
}

impl std::fmt::Debug for IncomingBytes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IncomingBytes").field("stream", &self.stream).finish_non_exhaustive()
    }
}

const _: () = assert!(size_of::<IncomingBytes<'_>>() <= 64, "an idle connection is small");

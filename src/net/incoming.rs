//! All connections of a listener as a stream.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream;

use super::{TcpListener, TcpStream};
use crate::fd::Fd;
use crate::fd::lane::{Held, Hold, Lane, Receiving};
use crate::io::interrupted;
use crate::op::{self, InFlight, Shots};

/// The connections of a [`TcpListener`] as they come. Made by [`TcpListener::incoming`].
///
/// It never ends. An error (`EMFILE`, `ENFILE`, `ECONNABORTED`, …) is yielded once, and accepting goes on
/// with the next poll: where the cause may last, as with a lack of descriptors, pause before it. Connections
/// wait in the kernel meanwhile.
///
/// While it accepts, [`TcpListener::accept`] and other streams of the same listener wait. At most 1,024
/// connections are accepted ahead of those that were taken; the rest wait in the kernel.
///
/// Dropping it loses nothing: connections that were accepted and not taken go to whoever accepts next.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
    phase: Phase<'a>,
    /// Whether this kernel accepts many connections by one operation.
    multishot: bool,
}

#[derive(Debug)]
enum Phase<'a> {
    Idle,
    Waiting(Hold<'a, Receiving>),
    /// The turn is ours, and no operation is in flight.
    Held(Held<Receiving>),
    Many {
        shots: Shots<op::AcceptMulti>,
        /// Whether a connection has come of it.
        fruitful: bool,
    },
    One(InFlight<op::Accept>),
}

impl<'a> Incoming<'a> {
    pub(super) fn new(listener: &'a TcpListener) -> Incoming<'a> {
        Incoming { listener, phase: Phase::Idle, multishot: true }
    }

    /// Goes one phase on, with a connection, an error, or nothing to tell.
    fn step(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Fd>>> {
        let (next, told) = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle => (Phase::Waiting(Lane::receiving(&self.listener.socket.fd).hold()), None),
            Phase::Waiting(mut hold) => match Pin::new(&mut hold).poll(context) {
                Poll::Ready(held) => (Phase::Held(held), None),
                Poll::Pending => return self.wait(Phase::Waiting(hold)),
            },
            Phase::Held(held) => match held.take_late_connection() {
                Some((fd, _)) => (Phase::Held(held), Some(Ok(fd))),
                None => (self.arm(held), None),
            },
            Phase::Many { mut shots, fruitful } => match Pin::new(&mut shots).poll_next(context) {
                Poll::Ready(Some(shot)) => {
                    let fruitful = fruitful || shot.is_ok();
                    let told = self.worth_telling(shot, fruitful);
                    (Phase::Many { shots, fruitful }, told)
                }
                Poll::Ready(None) => (Phase::Idle, None),
                Poll::Pending => return self.wait(Phase::Many { shots, fruitful }),
            },
            Phase::One(mut accept) => match Pin::new(&mut accept).poll(context) {
                Poll::Ready(Err(error)) if interrupted(&error) => (Phase::Idle, None),
                Poll::Ready(accepted) => (Phase::Idle, Some(accepted.map(|(fd, _)| fd))),
                Poll::Pending => return self.wait(Phase::One(accept)),
            },
        };
        self.phase = next;
        Poll::Ready(told)
    }

    fn wait<T>(&mut self, phase: Phase<'a>) -> Poll<T> {
        self.phase = phase;
        Poll::Pending
    }

    fn arm(&self, lane: Held<Receiving>) -> Phase<'a> {
        if self.multishot {
            let shots = op::submit_multi(op::AcceptMulti { lane });
            Phase::Many { shots, fruitful: false }
        } else {
            Phase::One(op::submit(op::Accept::new(lane)))
        }
    }

    /// Leaves out the errors that only say to arm again. Every error ends the operation.
    fn worth_telling(&mut self, shot: io::Result<Fd>, fruitful: bool) -> Option<io::Result<Fd>> {
        let errno = shot.as_ref().err().and_then(io::Error::raw_os_error);
        match errno {
            Some(libc::EINTR) => None,
            // The driver did it, because too many connections waited to be taken. An operation that is
            // cancelled before it brought any comes of a runtime that ends: that is told.
            Some(libc::ECANCELED) if fruitful => None,
            // Linux before 5.19 does not know the flag. If the socket does not listen, which is EINVAL
            // too, accepting one by one will say so.
            Some(libc::EINVAL) if self.multishot => {
                self.multishot = false;
                None
            }
            _ => Some(shot),
        }
    }
}

impl Stream for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<TcpStream>>> {
        loop {
            if let Some(told) = ready!(self.step(context)) {
                return Poll::Ready(Some(told.map(TcpStream::from_fd)));
            }
        }
    }
}

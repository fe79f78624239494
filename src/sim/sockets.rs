//! Sockets: of streams, with the backlog of those that listen and connections of two flows; of datagrams.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

use super::datagrams::Datagrams;
use super::flow::{self, Mark, Reader, Writer};

/// `SOMAXCONN`, where listen(2) cuts the backlog.
const MAX_BACKLOG: usize = 4096;

/// A socket of type `SOCK_STREAM` or `SOCK_DGRAM`.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) domain: i32,
    pub(super) nodelay: Cell<bool>,
    /// The address it was bound to.
    pub(super) local: Cell<Option<SocketAddr>>,
    /// How far one of streams has come.
    pub(super) stage: RefCell<Stage>,
    /// What one of datagrams has instead.
    pub(super) datagrams: Option<Datagrams>,
}

/// How far a socket has come.
#[derive(Debug)]
pub(super) enum Stage {
    Unconnected,
    Listening(Backlog),
    Connected(Rc<Endpoint>),
}

/// Connections that wait to be accepted.
#[derive(Debug)]
pub(super) struct Backlog {
    waiting: VecDeque<Endpoint>,
    most: usize,
    /// Counts what wakes who accepts.
    arrivals: u64,
}

/// One side of a connection; dropping it closes that side.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// Our address and the peer's; none in `AF_UNIX`.
    names: Option<(SocketAddr, SocketAddr)>,
    incoming: Reader,
    outgoing: Writer,
    /// Receiving was shut down on this side.
    deaf: Cell<bool>,
    /// The error that the next call reports (`SO_ERROR`), 0 if none.
    error: Rc<Cell<i32>>,
    peer_error: Rc<Cell<i32>>,
    /// Stays set after the error was reported.
    reset: Rc<Cell<bool>>,
    peer_reset: Rc<Cell<bool>>,
    /// Counts what wakes a reader and comes from this side.
    shutdowns: Cell<u64>,
}

/// Both sides of a new connection. `names` are the first one's address and the second one's.
pub(super) fn connection(names: Option<(SocketAddr, SocketAddr)>) -> (Endpoint, Endpoint) {
    let ((there_in, here_out), (here_in, there_out)) = (flow::flow(), flow::flow());
    let (here_error, there_error) = (Rc::default(), Rc::default());
    let (here_reset, there_reset) = (Rc::default(), Rc::default());
    let here = Endpoint {
        names,
        incoming: here_in,
        outgoing: here_out,
        deaf: Cell::new(false),
        error: Rc::clone(&here_error),
        peer_error: Rc::clone(&there_error),
        reset: Rc::clone(&here_reset),
        peer_reset: Rc::clone(&there_reset),
        shutdowns: Cell::new(0),
    };
    let there = Endpoint {
        names: names.map(|(here, there)| (there, here)),
        incoming: there_in,
        outgoing: there_out,
        deaf: Cell::new(false),
        error: there_error,
        peer_error: here_error,
        reset: there_reset,
        peer_reset: here_reset,
        shutdowns: Cell::new(0),
    };
    (here, there)
}

impl Endpoint {
    pub(super) fn names(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.names
    }

    /// Whether the next call has an error to report.
    pub(super) fn has_error(&self) -> bool {
        self.error.get() != 0
    }

    /// Whether something was received that nobody took yet.
    pub(super) fn has_bytes(&self) -> bool {
        self.incoming.available() > 0
    }

    /// Whether a receive would not wait.
    pub(super) fn can_receive(&self) -> bool {
        self.has_bytes() || self.incoming.finished() || self.deaf.get() || self.has_error()
    }

    /// Whether a send would not wait.
    pub(super) fn can_send(&self) -> bool {
        self.outgoing.space() > 0
            || self.outgoing.finished()
            || self.outgoing.unread()
            || self.has_error()
    }

    /// Receives up to `most` bytes; none is the end. `None` if it would wait.
    pub(super) fn receive(&self, most: usize, peek: bool) -> Result<Option<Vec<u8>>, i32> {
        if self.has_bytes() {
            let bytes = if peek { self.incoming.peek(most) } else { self.incoming.read(most) };
            return Ok(Some(bytes));
        }
        match self.error.take() {
            0 if self.incoming.finished() || self.deaf.get() => Ok(Some(Vec::new())),
            0 => Ok(None),
            errno => Err(errno),
        }
    }

    /// How many bytes can be sent now; `None` if a send would wait.
    pub(super) fn room(&self) -> Result<Option<usize>, i32> {
        if self.outgoing.finished() || self.outgoing.unread() {
            if self.names.is_none() {
                // A unix socket leaves the error to who receives.
                return Err(libc::EPIPE);
            }
            return match self.error.take() {
                0 => Err(libc::EPIPE),
                errno => Err(errno),
            };
        }
        Ok(Some(self.outgoing.space()).filter(|&space| space > 0))
    }

    /// The place in the stream behind what was sent so far.
    pub(super) fn mark(&self) -> Mark {
        self.outgoing.mark()
    }

    /// Sends `bytes`, for which there is room.
    pub(super) fn send(&self, bytes: &[u8]) {
        self.outgoing.write(bytes);
    }

    /// The network loses the connection, and tells both sides: `RST`, tcp(7). What was received stays. False if
    /// there is no connection any more.
    pub(super) fn reset(&self) -> bool {
        if self.incoming.finished() && self.outgoing.finished() {
            return false;
        }
        self.outgoing.finish();
        self.incoming.cut_off();
        for error in [&self.error, &self.peer_error] {
            error.set(libc::ECONNRESET);
        }
        for reset in [&self.reset, &self.peer_reset] {
            reset.set(true);
        }
        true
    }

    /// Whether there is no connection any more: both sides of TCP have ended it, or it was reset.
    fn is_over(&self) -> bool {
        let ended = self.incoming.finished() && self.outgoing.finished();
        self.names.is_some() && (ended || self.reset.get())
    }

    fn shutdown(&self, how: i32) {
        if how != libc::SHUT_WR {
            self.deaf.set(true);
            if self.names.is_none() {
                // Between unix sockets that is an end for who sends.
                self.incoming.refuse();
            }
            self.shutdowns.set(self.shutdowns.get() + 1);
        }
        if how != libc::SHUT_RD {
            self.outgoing.finish();
        }
    }

    fn events(&self) -> u32 {
        let unix = self.names.is_none();
        let hears_no_more = self.incoming.finished() || self.deaf.get();
        // A unix socket knows that its peer does not listen, a TCP socket does not.
        let says_no_more = self.outgoing.finished() || unix && self.outgoing.unread();
        let hung_up = hears_no_more && says_no_more || self.reset.get();
        let mut events = 0;
        for (holds, bits) in [
            (self.can_receive(), libc::POLLIN | libc::POLLRDNORM),
            (self.can_send(), libc::POLLOUT | libc::POLLWRNORM),
            (hears_no_more, libc::POLLRDHUP),
            (hung_up, libc::POLLHUP),
            (self.has_error(), libc::POLLERR),
        ] {
            if holds {
                events |= bits as u32;
            }
        }
        events
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if self.has_bytes() {
            // Closing with unread data is a reset, not an end: RFC 2525, section 2.17.
            self.peer_error.set(libc::ECONNRESET);
            self.peer_reset.set(true);
        }
    }
}

impl Backlog {
    pub(super) fn new(most: i32) -> Backlog {
        let most = usize::try_from(most).unwrap_or(MAX_BACKLOG).min(MAX_BACKLOG);
        Backlog { waiting: VecDeque::new(), most, arrivals: 0 }
    }

    /// Changes the size, as a second listen(2) does.
    pub(super) fn resize(&mut self, most: i32) {
        self.most = Backlog::new(most).most;
    }

    /// Linux lets one more connection wait than it was told.
    pub(super) fn full(&self) -> bool {
        self.waiting.len() > self.most
    }

    pub(super) fn push(&mut self, endpoint: Endpoint) {
        self.waiting.push_back(endpoint);
        self.arrivals += 1;
    }
}

impl Socket {
    pub(super) fn new(domain: i32) -> Socket {
        Socket {
            domain,
            nodelay: Cell::new(false),
            local: Cell::new(None),
            stage: RefCell::new(Stage::Unconnected),
            datagrams: None,
        }
    }

    pub(super) fn of_datagrams(domain: i32) -> Socket {
        Socket { datagrams: Some(Datagrams::default()), ..Socket::new(domain) }
    }

    pub(super) fn connected(domain: i32, endpoint: Endpoint) -> Socket {
        let socket = Socket::new(domain);
        socket.local.set(endpoint.names.map(|(local, _)| local));
        socket.stage.replace(Stage::Connected(Rc::new(endpoint)));
        socket
    }

    /// The connection, if there is one.
    pub(super) fn endpoint(&self) -> Option<Rc<Endpoint>> {
        match &*self.stage.borrow() {
            Stage::Connected(endpoint) => Some(Rc::clone(endpoint)),
            _ => None,
        }
    }

    /// Whether it sends without a copy: unix sockets do not.
    pub(super) fn has_zero_copy(&self) -> bool {
        self.domain != libc::AF_UNIX
    }

    pub(super) fn is_listening(&self) -> bool {
        matches!(&*self.stage.borrow(), Stage::Listening(_))
    }

    /// Whether an accept would not wait; one on a socket that does not listen fails at once.
    pub(super) fn can_accept(&self) -> bool {
        match &*self.stage.borrow() {
            Stage::Listening(backlog) => !backlog.waiting.is_empty(),
            _ => true,
        }
    }

    /// The oldest connection that waits to be accepted; `None` if there is none yet.
    pub(super) fn accept(&self) -> Result<Option<Endpoint>, i32> {
        if self.datagrams.is_some() {
            return Err(libc::EOPNOTSUPP);
        }
        match &mut *self.stage.borrow_mut() {
            Stage::Listening(backlog) => Ok(backlog.waiting.pop_front()),
            _ => Err(libc::EINVAL),
        }
    }

    /// `shutdown(2)`.
    pub(super) fn shutdown(&self, how: i32) -> Result<(), i32> {
        if !(libc::SHUT_RD..=libc::SHUT_RDWR).contains(&how) {
            return Err(libc::EINVAL);
        }
        if let Some(datagrams) = &self.datagrams {
            return datagrams.shutdown(how, self.domain);
        }
        let stage = match &*self.stage.borrow() {
            Stage::Unconnected => return Err(libc::ENOTCONN),
            Stage::Connected(endpoint) if endpoint.is_over() => return Err(libc::ENOTCONN),
            Stage::Connected(endpoint) => {
                endpoint.shutdown(how);
                return Ok(());
            }
            Stage::Listening(_) if how == libc::SHUT_WR => return Ok(()),
            Stage::Listening(_) => Stage::Unconnected,
        };
        // The end of listening; accepts that wait fail with EINVAL, as on Linux.
        let refused = self.stage.replace(stage);
        drop(refused);
        Ok(())
    }

    /// What poll(2) says.
    pub(super) fn events(&self) -> u32 {
        if let Some(datagrams) = &self.datagrams {
            return datagrams.events();
        }
        let events = match &*self.stage.borrow() {
            Stage::Unconnected => libc::POLLOUT | libc::POLLWRNORM | libc::POLLHUP,
            Stage::Listening(backlog) if backlog.waiting.is_empty() => 0,
            Stage::Listening(_) => libc::POLLIN | libc::POLLRDNORM,
            Stage::Connected(endpoint) => return endpoint.events(),
        };
        events as u32
    }

    /// Counts of what woke readers and writers so far.
    pub(super) fn wakes(&self) -> (u64, u64) {
        if let Some(datagrams) = &self.datagrams {
            return datagrams.wakes();
        }
        match &*self.stage.borrow() {
            Stage::Unconnected => (0, 0),
            Stage::Listening(backlog) => (backlog.arrivals, 0),
            Stage::Connected(endpoint) => {
                let arrivals = endpoint.incoming.arrivals() + endpoint.shutdowns.get();
                (arrivals, endpoint.outgoing.departures())
            }
        }
    }
}

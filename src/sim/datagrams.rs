//! Datagram sockets: messages that come whole, or not at all. `udp(7)`, and `unix(7)` for pairs.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};

use super::op::Op;
use super::request::{Attempt, Request, done};
use super::sockets::Socket;
use super::transfer::Room;
use super::world::World;

/// What a socket holds that nobody has received yet, or one datagram more: `net.core.rmem_default`.
const BUFFER_BYTES: usize = 212_992;
/// What a datagram takes of that beside its bytes: that of a small one on Linux.
const OVERHEAD_BYTES: usize = 768;
/// What is left of 65,535 bytes after the headers of IPv4 and UDP.
const MAX_V4_BYTES: usize = 65_507;
/// IPv6 does not count its header: RFC 8200, section 3.
const MAX_V6_BYTES: usize = 65_527;
/// `SO_SNDBUF` without what Linux keeps for itself.
const MAX_UNIX_BYTES: usize = BUFFER_BYTES - 32;

/// What a socket of type `SOCK_DGRAM` has that streams have not.
#[derive(Debug, Default)]
pub(super) struct Datagrams {
    received: RefCell<VecDeque<Vec<u8>>>,
    /// What these take of the buffer.
    held_bytes: Cell<usize>,
    peer: RefCell<Peer>,
    /// The error that the next call reports (`SO_ERROR`), 0 if none.
    error: Cell<i32>,
    /// Receiving was shut down.
    deaf: Cell<bool>,
    /// Sending was shut down.
    mute: Cell<bool>,
    /// Counts what wakes a reader, and what wakes a writer.
    arrivals: Cell<u64>,
    departures: Cell<u64>,
}

/// Where datagrams go that say nothing else.
#[derive(Debug, Default)]
enum Peer {
    #[default]
    Nobody,
    /// All others are not heard any more.
    At(SocketAddr),
    /// The other one of a pair.
    Other(Weak<Socket>),
}

fn count(events: &Cell<u64>) {
    events.set(events.get() + 1);
}

impl Datagrams {
    /// The address that it is connected to.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        match *self.peer.borrow() {
            Peer::At(address) => Some(address),
            _ => None,
        }
    }

    /// Sets, or changes, where datagrams go and who is heard.
    pub(super) fn connect(&self, address: SocketAddr) {
        self.peer.replace(Peer::At(address));
    }

    /// Connects one of a pair to the other.
    pub(super) fn pair_with(&self, other: &Rc<Socket>) {
        self.peer.replace(Peer::Other(Rc::downgrade(other)));
    }

    /// Whether it takes what comes from there.
    pub(super) fn hears(&self, from: SocketAddr) -> bool {
        self.peer().is_none_or(|peer| (peer.ip(), peer.port()) == (from.ip(), from.port()))
    }

    /// Whether a receive would not wait.
    pub(super) fn can_receive(&self) -> bool {
        self.error.get() != 0 || self.deaf.get() || !self.received.borrow().is_empty()
    }

    /// Whether there is no need to wait for room.
    pub(super) fn can_send(&self) -> bool {
        self.error.get() != 0 || self.mute.get() || self.has_room()
    }

    /// How much its peer holds, if datagrams wait for room there: between unix sockets alone, others drop.
    fn held_by_other(&self) -> usize {
        let Peer::Other(other) = &*self.peer.borrow() else { return 0 };
        let other = other.upgrade();
        other.and_then(|it| Some(it.datagrams.as_ref()?.held_bytes.get())).unwrap_or(0)
    }

    fn has_room(&self) -> bool {
        self.held_by_other() <= BUFFER_BYTES
    }

    /// The error of an earlier datagram, which is reported once.
    fn report(&self) -> Result<(), i32> {
        match self.error.take() {
            0 => Ok(()),
            errno => Err(errno),
        }
    }

    /// The oldest datagram, whole. `None` if there is none.
    fn receive(&self, flags: i32) -> Result<Option<Vec<u8>>, i32> {
        // An error is reported before what came, unlike that of a stream.
        self.report()?;
        if flags & libc::MSG_PEEK != 0 && !self.received.borrow().is_empty() {
            return Ok(self.received.borrow().front().cloned());
        }
        let Some(datagram) = self.received.borrow_mut().pop_front() else {
            return Ok(None);
        };
        self.held_bytes.set(self.held_bytes.get() - datagram.len() - OVERHEAD_BYTES);
        if let Peer::Other(other) = &*self.peer.borrow() {
            let other = other.upgrade();
            if let Some(datagrams) = other.as_ref().and_then(|it| it.datagrams.as_ref()) {
                count(&datagrams.departures);
            }
        }
        Ok(Some(datagram))
    }

    /// Takes a datagram in, or drops it for want of room.
    fn take_in(&self, datagram: Vec<u8>) {
        if self.held_bytes.get() <= BUFFER_BYTES {
            self.held_bytes.set(self.held_bytes.get() + datagram.len() + OVERHEAD_BYTES);
            self.received.borrow_mut().push_back(datagram);
            count(&self.arrivals);
        }
    }

    /// What was sent to the peer has come to nobody: udp(7).
    fn refuse(&self) {
        self.error.set(libc::ECONNREFUSED);
        count(&self.arrivals);
    }

    /// Whether it may send now, as far as it depends on itself.
    fn check_send(&self) -> Result<(), i32> {
        self.report()?;
        if self.mute.get() { Err(libc::EPIPE) } else { Ok(()) }
    }

    /// The socket that a unix socket sends to.
    fn other(&self) -> Result<Rc<Socket>, i32> {
        let mut peer = self.peer.borrow_mut();
        let Peer::Other(other) = &*peer else { return Err(libc::ENOTCONN) };
        match other.upgrade() {
            Some(other) if other.datagrams.as_ref().is_some_and(|it| it.deaf.get()) => {
                Err(libc::EPIPE)
            }
            Some(other) => Ok(other),
            None => {
                // It is told once, and is not connected from then on; what came of the other is thrown away.
                *peer = Peer::Nobody;
                self.received.take();
                self.held_bytes.set(0);
                Err(libc::ECONNREFUSED)
            }
        }
    }

    /// `shutdown(2)`, with a valid `how`. Sockets without a peer are shut down, and say that they are not
    /// connected, all the same.
    pub(super) fn shutdown(&self, how: i32, domain: i32) -> Result<(), i32> {
        if how != libc::SHUT_WR {
            self.deaf.set(true);
        }
        if how != libc::SHUT_RD {
            self.mute.set(true);
        }
        count(&self.arrivals);
        let connected = domain == libc::AF_UNIX || self.peer().is_some();
        if connected { Ok(()) } else { Err(libc::ENOTCONN) }
    }

    /// What poll(2) says.
    pub(super) fn events(&self) -> u32 {
        // Linux wakes who polls when most of the buffer is free again, not at the first room.
        let has_much_room = self.held_by_other() <= BUFFER_BYTES / 4;
        let mut events = 0;
        for (holds, bits) in [
            (
                self.deaf.get() || !self.received.borrow().is_empty(),
                libc::POLLIN | libc::POLLRDNORM,
            ),
            (has_much_room, libc::POLLOUT | libc::POLLWRNORM),
            (self.deaf.get(), libc::POLLRDHUP),
            (self.deaf.get() && self.mute.get(), libc::POLLHUP),
            (self.error.get() != 0, libc::POLLERR),
        ] {
            if holds {
                events |= bits as u32;
            }
        }
        events
    }

    /// Counts of what woke readers and writers so far.
    pub(super) fn wakes(&self) -> (u64, u64) {
        (self.arrivals.get(), self.departures.get())
    }
}

impl Request {
    fn has_no_position(&self) -> Result<(), i32> {
        match self.op {
            Op::Read { offset: Some(1..), .. } | Op::Write { offset: Some(1..) } => {
                Err(libc::ESPIPE)
            }
            _ => Ok(()),
        }
    }

    /// Whether a send would not wait. What fails does not.
    pub(super) fn sends_at_once(&self, datagrams: &Datagrams) -> bool {
        let refused = match self.op {
            // No unix socket does either.
            Op::Send { to: Some(_), .. } | Op::Send { zero_copy: true, .. } => true,
            Op::Send { flags, .. } if flags & libc::MSG_DONTWAIT != 0 => true,
            _ => self.selects().is_none() && self.wanted() > MAX_UNIX_BYTES,
        };
        refused || datagrams.can_send()
    }

    /// `recv(2)`: one datagram, of which the rest is lost that finds no room.
    pub(super) fn receive_datagram(
        &mut self,
        datagrams: &Datagrams,
        world: &mut World,
        room: &Room,
    ) -> Attempt {
        let (flags, receives, multi) = match self.op {
            Op::Recv { flags, multi, .. } => (flags, true, multi),
            Op::Read { multi, .. } => (0, false, multi),
            _ => return Err(libc::EINVAL),
        };
        let most = room.len_bytes();
        self.has_no_position()?;
        if most == 0 && !receives {
            return done(0);
        }
        let Some(mut datagram) = datagrams.receive(flags)? else {
            if flags & libc::MSG_DONTWAIT != 0 {
                return Err(libc::EAGAIN);
            }
            if !datagrams.deaf.get() {
                return Ok(None);
            }
            // Who waits is told by a worker of Linux, which keeps the buffer that it came with.
            self.deliver(world, room, &[], false)?;
            return done(0);
        };
        let whole_bytes = datagram.len();
        datagram.truncate(most);
        // As with streams: nothing uses no buffer, unless it was found by a plain read.
        if !datagram.is_empty() || !receives && !multi {
            self.deliver(world, room, &datagram, false)?;
        }
        let told_whole = flags & libc::MSG_TRUNC != 0;
        let count = if told_whole { whole_bytes } else { datagram.len() };
        if multi { Ok(Some(self.shot(count))) } else { done(count) }
    }

    /// `send(2)` and `sendto(2)`: one datagram.
    pub(super) fn send_datagram(
        &mut self,
        socket: &Rc<Socket>,
        datagrams: &Datagrams,
        world: &mut World,
        room: &Room,
    ) -> Attempt {
        let (to, flags) = match self.op {
            Op::Send { to, flags, .. } => (to.transpose()?, flags),
            _ => (None, 0),
        };
        let len_bytes = room.len_bytes();
        self.has_no_position()?;
        if socket.domain == libc::AF_UNIX {
            // No unix socket here has a name that could be sent to.
            match to {
                Some(_) => Err(libc::EINVAL),
                None if len_bytes > MAX_UNIX_BYTES => Err(libc::EMSGSIZE),
                None => datagrams.check_send(),
            }?;
            if !datagrams.has_room() {
                return if flags & libc::MSG_DONTWAIT != 0 { Err(libc::EAGAIN) } else { Ok(None) };
            }
            let other = datagrams.other()?;
            let bytes = self.outgoing(world, room, len_bytes)?;
            if let Some(there) = &other.datagrams {
                there.take_in(bytes);
            }
            return done(len_bytes);
        }
        world.network.autobind(socket)?;
        if len_bytes > usize::from(u16::MAX) {
            return Err(libc::EMSGSIZE);
        }
        let (from, to) = world.network.route(socket, to.or_else(|| datagrams.peer()))?;
        if len_bytes > if to.is_ipv4() { MAX_V4_BYTES } else { MAX_V6_BYTES } {
            return Err(libc::EMSGSIZE);
        }
        datagrams.check_send()?;
        let bytes = self.outgoing(world, room, len_bytes)?;
        let hearer = world.network.hearer(from, to);
        if let Some(there) = hearer.as_ref().and_then(|socket| socket.datagrams.as_ref()) {
            there.take_in(bytes);
        } else if datagrams.peer().is_some() && datagrams.hears(to) {
            // Nobody is told but who is connected to just that address.
            datagrams.refuse();
        }
        count(&datagrams.departures);
        done(len_bytes)
    }
}

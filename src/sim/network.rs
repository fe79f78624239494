//! Who is where: the addresses of a network that lies within the simulation.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::{Rc, Weak};

use super::sockets::{self, Backlog, Socket, Stage};

/// The range that ports of the kernel's choice come from, as IANA has it.
const FIRST_FREE_PORT: u16 = 49_152;

/// All bound addresses.
#[derive(Debug)]
pub(super) struct Network {
    bound: Vec<(SocketAddr, Weak<Socket>)>,
    next_port: u16,
}

impl Network {
    pub(super) fn new() -> Network {
        Network { bound: Vec::new(), next_port: FIRST_FREE_PORT }
    }

    /// `bind(2)`; port 0 gets a free one.
    pub(super) fn bind(&mut self, socket: &Rc<Socket>, address: SocketAddr) -> Result<(), i32> {
        check_family(socket, address)?;
        let unconnected = matches!(&*socket.stage.borrow(), Stage::Unconnected);
        if !unconnected || socket.local.get().is_some() {
            return Err(libc::EINVAL);
        }
        self.bound.retain(|(_, socket)| socket.strong_count() > 0);
        let same = |other: &Weak<Socket>| {
            other.upgrade().is_some_and(|other| same_protocol(&other, socket))
        };
        let mut address = address;
        if address.port() == 0 {
            address.set_port(self.free_port()?);
        } else if self.bound.iter().any(|(taken, by)| conflict(*taken, address) && same(by)) {
            return Err(libc::EADDRINUSE);
        }
        self.bound.push((address, Rc::downgrade(socket)));
        socket.local.set(Some(address));
        Ok(())
    }

    fn free_port(&mut self) -> Result<u16, i32> {
        for _ in FIRST_FREE_PORT..=u16::MAX {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(FIRST_FREE_PORT);
            let taken = |(address, socket): &(SocketAddr, Weak<Socket>)| {
                address.port() == port && socket.strong_count() > 0
            };
            if !self.bound.iter().any(taken) {
                return Ok(port);
            }
        }
        Err(libc::EADDRINUSE)
    }

    /// `listen(2)`; a socket that was not bound gets a free port.
    pub(super) fn listen(&mut self, socket: &Rc<Socket>, backlog: i32) -> Result<(), i32> {
        if socket.datagrams.is_some() {
            return Err(libc::EOPNOTSUPP);
        }
        match &mut *socket.stage.borrow_mut() {
            Stage::Listening(listening) => {
                listening.resize(backlog);
                return Ok(());
            }
            Stage::Connected(_) => return Err(libc::EINVAL),
            Stage::Unconnected => {}
        }
        if socket.local.get().is_none() {
            let address = unspecified(socket.domain).ok_or(libc::EINVAL)?;
            self.bind(socket, address)?;
        }
        socket.stage.replace(Stage::Listening(Backlog::new(backlog)));
        Ok(())
    }

    /// Whether a connect would not wait: for anything but a full backlog.
    pub(super) fn can_connect(&self, address: SocketAddr) -> bool {
        let Some(listener) = self.listener(address) else { return true };
        !matches!(&*listener.stage.borrow(), Stage::Listening(backlog) if backlog.full())
    }

    /// `connect(2)`; `None` if it would wait.
    pub(super) fn connect(
        &mut self,
        socket: &Rc<Socket>,
        address: SocketAddr,
    ) -> Result<Option<()>, i32> {
        if !matches!(&*socket.stage.borrow(), Stage::Unconnected) {
            return Err(libc::EISCONN);
        }
        if socket.datagrams.is_some() {
            self.autobind(socket)?;
        }
        check_family(socket, address)?;
        if let Some(datagrams) = &socket.datagrams {
            let (local, peer) = self.names(socket, address)?;
            socket.local.set(Some(local));
            datagrams.connect(peer);
            return Ok(Some(()));
        }
        let listener = self.listener(address).ok_or(libc::ECONNREFUSED)?;
        let names = self.names(socket, address)?;
        {
            let mut stage = listener.stage.borrow_mut();
            let Stage::Listening(backlog) = &mut *stage else { return Err(libc::ECONNREFUSED) };
            if backlog.full() {
                return Ok(None);
            }
            let (here, there) = sockets::connection(Some(names));
            backlog.push(there);
            socket.stage.replace(Stage::Connected(Rc::new(here)));
        }
        socket.local.set(Some(names.0));
        Ok(Some(()))
    }

    /// The two addresses of a connection from `socket` to `address`.
    fn names(
        &mut self,
        socket: &Rc<Socket>,
        address: SocketAddr,
    ) -> Result<(SocketAddr, SocketAddr), i32> {
        let peer = not_any(address);
        let local = match socket.local.get() {
            Some(local) if !local.ip().is_unspecified() => local,
            Some(local) => SocketAddr::new(peer.ip(), local.port()),
            None => {
                let local = SocketAddr::new(peer.ip(), self.free_port()?);
                self.bound.push((local, Rc::downgrade(socket)));
                local
            }
        };
        Ok((local, peer))
    }

    /// Gives a socket of datagrams a port before its first use, whatever comes of that use.
    pub(super) fn autobind(&mut self, socket: &Rc<Socket>) -> Result<(), i32> {
        match unspecified(socket.domain) {
            Some(any) if socket.local.get().is_none() => self.bind(socket, any),
            _ => Ok(()),
        }
    }

    /// Where a datagram comes from, and where it goes.
    pub(super) fn route(
        &mut self,
        socket: &Rc<Socket>,
        to: Option<SocketAddr>,
    ) -> Result<(SocketAddr, SocketAddr), i32> {
        let to = not_any(to.ok_or(libc::EDESTADDRREQ)?);
        check_family(socket, to)?;
        if to.port() == 0 {
            return Err(libc::EINVAL);
        }
        Ok((self.names(socket, to)?.0, to))
    }

    /// The socket that takes a datagram from one address to another.
    pub(super) fn hearer(&self, from: SocketAddr, to: SocketAddr) -> Option<Rc<Socket>> {
        let hears = |socket: &Rc<Socket>| {
            socket.datagrams.as_ref().is_some_and(|datagrams| datagrams.hears(from))
                && socket.local.get().is_some_and(|local| conflict(local, to))
        };
        self.bound.iter().filter_map(|(_, socket)| socket.upgrade()).find(hears)
    }

    fn listener(&self, address: SocketAddr) -> Option<Rc<Socket>> {
        self.bound
            .iter()
            .filter(|(bound, _)| conflict(*bound, address))
            .filter_map(|(_, socket)| socket.upgrade())
            .find(|socket| socket.is_listening())
    }
}

/// Whether both cannot be listened on at once; so whether one is reached through the other.
fn conflict(a: SocketAddr, b: SocketAddr) -> bool {
    // A socket on `[::]` takes IPv4 connections as well, ipv6(7).
    let any = |a: SocketAddr, b: SocketAddr| {
        a.ip().is_unspecified() && (a.is_ipv6() || a.is_ipv4() == b.is_ipv4())
    };
    a.port() == b.port() && (a.ip() == b.ip() || any(a, b) || any(b, a))
}

fn same_protocol(one: &Socket, other: &Socket) -> bool {
    one.datagrams.is_some() == other.datagrams.is_some()
}

/// Reaching "any address" is reaching oneself, ip(7).
fn not_any(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

fn check_family(socket: &Socket, address: SocketAddr) -> Result<(), i32> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    if socket.domain == family { Ok(()) } else { Err(libc::EAFNOSUPPORT) }
}

/// Any address and no port, in an internet domain.
pub(super) fn unspecified(domain: i32) -> Option<SocketAddr> {
    match domain {
        libc::AF_INET => Some((Ipv4Addr::UNSPECIFIED, 0).into()),
        libc::AF_INET6 => Some((Ipv6Addr::UNSPECIFIED, 0).into()),
        _ => None,
    }
}

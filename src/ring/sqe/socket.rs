//! Making, connecting and closing sockets.

use super::{Entry, Install, MultiSqe, Sqe, Target, read_by_kernel, written_by_kernel, written_to};
use crate::ring::Address;
use crate::sys::abi::{AcceptFlags, Opcode, RawSqe};

impl<'a> Sqe<'a> {
    /// Makes a socket; the result is the new descriptor. `socket(2)`, Linux 5.19.
    pub fn socket(domain: i32, kind: i32, protocol: i32) -> Sqe<'a> {
        let fields =
            RawSqe { off: u64::from(kind as u32), len: protocol as u32, ..RawSqe::default() };
        Sqe::new(Entry::with_fd(Opcode::SOCKET, domain, fields))
    }

    /// Makes a socket in the table of registered files. `SOCK_CLOEXEC` is left out of `kind`. Linux 5.19.
    pub fn socket_direct(domain: i32, kind: i32, protocol: i32, install: Install) -> Sqe<'a> {
        let mut sqe = Sqe::socket(domain, kind & !libc::SOCK_CLOEXEC, protocol);
        sqe.entry = sqe.entry.install(install);
        sqe
    }

    /// Gives a socket its address. `bind(2)`, Linux 6.11.
    pub fn bind(target: Target<'a>, address: &'a Address) -> Sqe<'a> {
        Sqe::new(Entry::on(Opcode::BIND, target, named(address)))
    }

    /// Lets a socket be connected to; `backlog` connections may wait to be accepted. `listen(2)`, Linux
    /// 6.11.
    pub fn listen(target: Target<'a>, backlog: u32) -> Sqe<'a> {
        Sqe::new(Entry::on(Opcode::LISTEN, target, RawSqe { len: backlog, ..RawSqe::default() }))
    }

    /// Connects a socket. `connect(2)`, Linux 5.5.
    pub fn connect(target: Target<'a>, address: &'a Address) -> Sqe<'a> {
        Sqe::new(Entry::on(Opcode::CONNECT, target, named(address)))
    }

    /// Accepts a connection; the result is the new descriptor. `peer` gets the other side's address,
    /// `flags` is `SOCK_*`. `accept4(2)`, Linux 5.5.
    pub fn accept(target: Target<'a>, peer: Option<&'a mut Address>, flags: i32) -> Sqe<'a> {
        let (addr, off) = match peer {
            Some(peer) => {
                let (bytes, len_bytes) = peer.parts_mut();
                *len_bytes = bytes.len() as u32;
                (written_by_kernel(bytes), written_to(len_bytes))
            }
            None => (0, 0),
        };
        let fields = RawSqe { addr, off, op_flags: flags as u32, ..RawSqe::default() };
        Sqe::new(Entry::on(Opcode::ACCEPT, target, fields))
    }

    /// Accepts a connection into the table of registered files. `SOCK_CLOEXEC` is left out of `flags`. Linux
    /// 5.15.
    pub fn accept_direct(
        target: Target<'a>,
        peer: Option<&'a mut Address>,
        flags: i32,
        install: Install,
    ) -> Sqe<'a> {
        let mut sqe = Sqe::accept(target, peer, flags & !libc::SOCK_CLOEXEC);
        sqe.entry = sqe.entry.install(install);
        sqe
    }

    /// Shuts down a part of a connection; `how` is `SHUT_*`. `shutdown(2)`, Linux 5.11.
    pub fn shutdown(target: Target<'a>, how: i32) -> Sqe<'a> {
        let fields = RawSqe { len: how as u32, ..RawSqe::default() };
        Sqe::new(Entry::on(Opcode::SHUTDOWN, target, fields))
    }
}

fn named(address: &Address) -> RawSqe {
    let bytes = address.as_bytes();
    RawSqe { addr: read_by_kernel(bytes), off: bytes.len() as u64, ..RawSqe::default() }
}

/// Peers' addresses are not reported, since all completions would share one place for them; ask
/// [`Sqe::getsockname`], or `getpeername(2)`.
impl<'a> MultiSqe<'a> {
    /// Accepts connections until it fails or is cancelled; each result is a new descriptor. `accept4(2)`,
    /// Linux 5.19.
    pub fn accept(target: Target<'a>, flags: i32) -> MultiSqe<'a> {
        let fields = RawSqe {
            op_flags: flags as u32,
            ioprio: AcceptFlags::MULTISHOT.bits(),
            ..RawSqe::default()
        };
        MultiSqe::new(Entry::on(Opcode::ACCEPT, target, fields))
    }

    /// As [`MultiSqe::accept`], each into a free slot of the table of registered files: the result is its
    /// number. Ends with `ENFILE` when the table is full. Linux 5.19.
    pub fn accept_direct(target: Target<'a>, flags: i32) -> MultiSqe<'a> {
        let mut sqe = MultiSqe::accept(target, flags & !libc::SOCK_CLOEXEC);
        sqe.entry = sqe.entry.install(Install::Any);
        sqe
    }
}

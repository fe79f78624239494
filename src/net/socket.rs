//! A stream socket and its control calls, be it one of Linux or of a kernel in user space.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use socket2::{Domain, SockRef, Type};

use crate::fd::Fd;
use crate::op;

/// A stream socket. The only place that asks whose descriptor it is: what is no operation of a ring is a
/// system call on a descriptor of Linux, and a call of its table on a virtual one.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) fd: Fd,
}

impl Socket {
    /// A new socket of the family of `address`, on the kernel that the runtime runs on.
    pub(super) async fn stream(address: &SocketAddr) -> io::Result<Socket> {
        let domain = Domain::for_address(*address);
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
        let made = op::submit(op::Socket { domain: domain.into(), kind, protocol: 0 }).await;
        let fd = match made {
            // Linux before 5.19 does not know the operation.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                Fd::from(OwnedFd::from(socket2::Socket::new(domain, Type::STREAM, None)?))
            }
            made => made?,
        };
        Ok(Socket { fd })
    }

    /// Takes a socket of `std` over. The kernel answers `EAGAIN` instead of waiting when a non-blocking
    /// socket is not ready, so that flag is taken off.
    pub(super) fn from_std(fd: OwnedFd) -> Socket {
        // fcntl(2) gives no error for this on an open descriptor; were there one, operations would report
        // `EAGAIN`.
        let _ = SockRef::from(&fd).set_nonblocking(false);
        Socket { fd: Fd::from(fd) }
    }

    /// Gives the descriptor up; the socket again if operations still use it, or if no process can have it.
    pub(super) fn into_std(self) -> Result<OwnedFd, Socket> {
        if self.fd.is_virtual() {
            return Err(self);
        }
        self.fd.into_owned().map_err(|fd| Socket { fd })
    }

    /// `bind(2)`, with `SO_REUSEADDR` as `std` sets it: connections of an earlier listener that linger in
    /// TIME_WAIT do not keep the port from being bound again.
    pub(super) fn bind(&self, address: SocketAddr) -> io::Result<()> {
        match self.fd.table() {
            Some(table) => table.bind(self.number(), address),
            None => {
                let socket = self.os();
                socket.set_reuse_address(true)?;
                socket.bind(&address.into())
            }
        }
    }

    /// `listen(2)`.
    pub(super) fn listen(&self, backlog: i32) -> io::Result<()> {
        match self.fd.table() {
            Some(table) => table.listen(self.number(), backlog),
            None => self.os().listen(backlog),
        }
    }

    /// `getsockname(2)`.
    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self.fd.table() {
            Some(table) => table.local_addr(self.number()),
            None => internet(self.os().local_addr()?),
        }
    }

    /// `getpeername(2)`.
    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self.fd.table() {
            Some(table) => table.peer_addr(self.number()),
            None => internet(self.os().peer_addr()?),
        }
    }

    /// `TCP_NODELAY`.
    pub(super) fn nodelay(&self) -> io::Result<bool> {
        match self.fd.table() {
            Some(table) => table.nodelay(self.number()),
            None => self.os().tcp_nodelay(),
        }
    }

    /// Sets `TCP_NODELAY`.
    pub(super) fn set_nodelay(&self, on: bool) -> io::Result<()> {
        match self.fd.table() {
            Some(table) => table.set_nodelay(self.number(), on),
            None => self.os().set_tcp_nodelay(on),
        }
    }

    /// `shutdown(2)`. Linux hands the ring's operation to a worker thread, always, which costs a hundred
    /// times what the call does; and the call does not block.
    pub(super) async fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self.fd.table() {
            Some(_) => op::submit(op::Shutdown { fd: self.fd.clone(), how }).await,
            None => self.os().shutdown(how),
        }
    }

    fn number(&self) -> i32 {
        std::os::fd::AsRawFd::as_raw_fd(&self.fd)
    }

    fn os(&self) -> SockRef<'_> {
        SockRef::from(&self.fd)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The address as `std` has it.
fn internet(address: socket2::SockAddr) -> io::Result<SocketAddr> {
    address.as_socket().ok_or_else(|| io::Error::from_raw_os_error(libc::EAFNOSUPPORT))
}

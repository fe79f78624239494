//! What is done to descriptors without a submission.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::rc::Rc;

use super::network;
use super::world::World;
use crate::fd::DescriptorTable;

/// The descriptors of a simulation.
pub(super) struct Table(pub(super) Rc<RefCell<World>>);

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").finish_non_exhaustive()
    }
}

fn io<T>(result: Result<T, i32>) -> io::Result<T> {
    result.map_err(io::Error::from_raw_os_error)
}

impl DescriptorTable for Table {
    fn close(&self, number: RawFd) -> io::Result<()> {
        io(self.0.borrow_mut().close(number))
    }

    fn bind(&self, number: RawFd, address: SocketAddr) -> io::Result<()> {
        let world = &mut *self.0.borrow_mut();
        io(world.socket(number).and_then(|socket| world.network.bind(&socket, address)))
    }

    fn listen(&self, number: RawFd, backlog: i32) -> io::Result<()> {
        let world = &mut *self.0.borrow_mut();
        io(world.socket(number).and_then(|socket| world.network.listen(&socket, backlog)))
    }

    fn local_addr(&self, number: RawFd) -> io::Result<SocketAddr> {
        let socket = io(self.0.borrow().socket(number))?;
        let address = socket.local.get().or_else(|| network::unspecified(socket.domain));
        // A unix socket's address is no `SocketAddr`.
        io(address.ok_or(libc::EOPNOTSUPP))
    }

    fn peer_addr(&self, number: RawFd) -> io::Result<SocketAddr> {
        let socket = io(self.0.borrow().socket(number))?;
        if let Some(datagrams) =
            socket.datagrams.as_ref().filter(|_| socket.domain != libc::AF_UNIX)
        {
            return io(datagrams.peer().ok_or(libc::ENOTCONN));
        }
        let endpoint = socket.endpoint();
        let endpoint = io(endpoint.ok_or(libc::ENOTCONN))?;
        io(endpoint.names().map(|(_, peer)| peer).ok_or(libc::EOPNOTSUPP))
    }

    fn nodelay(&self, number: RawFd) -> io::Result<bool> {
        let socket = io(self.0.borrow().socket(number))?;
        match socket.domain {
            libc::AF_UNIX => io(Err(libc::EOPNOTSUPP)),
            _ if socket.datagrams.is_some() => io(Err(libc::ENOPROTOOPT)),
            _ => Ok(socket.nodelay.get()),
        }
    }

    fn set_nodelay(&self, number: RawFd, on: bool) -> io::Result<()> {
        let socket = io(self.0.borrow().socket(number))?;
        match socket.domain {
            libc::AF_UNIX => io(Err(libc::EOPNOTSUPP)),
            _ if socket.datagrams.is_some() => io(Err(libc::ENOPROTOOPT)),
            _ => {
                socket.nodelay.set(on);
                Ok(())
            }
        }
    }

    fn truncate(&self, number: RawFd, len_bytes: u64) -> io::Result<()> {
        let world = &mut *self.0.borrow_mut();
        io(world.file(number).and_then(|file| world.truncate(&file, len_bytes)))
    }
}

//! A socket that connections come from.

use std::fmt;
use std::io;
use std::net::{self, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::address::{ToSocketAddrs, try_each};
use super::socket::Socket;
use super::{Incoming, TcpStream};
use crate::fd::Fd;
use crate::fd::lane::Lane;
use crate::io::interrupted;
use crate::op;

/// How many connections may wait to be accepted. The kernel cuts this at `net.core.somaxconn`, which is
/// 4,096 by default since Linux 5.4: as many as it allows, because connections are taken once a turn of the
/// loop, and a client that finds the queue full tries again only after a second.
const BACKLOG: i32 = 4096;

/// Turns of the loop for which an address in use is tried again. A listener that was dropped while it accepted
/// listens on until its accept is cancelled: one turn on Linux, a few where completions come in any order.
const TURNS_TO_LET_GO: u32 = 32;

/// Binds a socket, behind a listener on the same address that was dropped just before.
async fn bind(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    for _ in 0..TURNS_TO_LET_GO {
        match socket.bind(address) {
            Err(error) if error.raw_os_error() == Some(libc::EADDRINUSE) => {
                op::submit(op::Nop).await?;
            }
            bound => return bound,
        }
    }
    socket.bind(address)
}

/// A TCP socket that listens for connections. `tcp(7)`.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # uring::Runtime::new()?.block_on(async {
/// use uring::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let client = TcpStream::connect(listener.local_addr()?).await?;
/// let (_server, peer) = listener.accept().await?;
/// assert_eq!(peer, client.local_addr()?);
/// # Ok(())
/// # })
/// # }
/// ```
///
/// Dropping it closes the socket as soon as the kernel has let go of an accept that was dropped just before,
/// in the next turn of the loop at the latest. Connections that nobody has accepted are closed with it.
pub struct TcpListener {
    /// Accepting goes one at a time; connections that came for a dropped future wait in the lane.
    pub(super) socket: Socket,
}

impl TcpListener {
    /// Binds to the first of `addresses` that can be bound, and listens. Port 0 has the kernel choose one;
    /// see [`local_addr`](TcpListener::local_addr). `socket(2)`, `bind(2)`, `listen(2)`, Linux 5.11.
    ///
    /// `SO_REUSEADDR` is set, as by `std`. Up to 4,096 connections wait to be accepted, or as many as
    /// `net.core.somaxconn` allows.
    ///
    /// # Errors
    ///
    /// That of the last address, with `bind` and the address in its message; see
    /// [`OpError`](crate::io::OpError). `EADDRINUSE` when somebody else listens there. A name that cannot be
    /// looked up is an error that names it.
    ///
    /// # Dropping
    ///
    /// Closes what was made so far.
    pub async fn bind(addresses: impl ToSocketAddrs) -> io::Result<TcpListener> {
        try_each("bind", addresses, async |address| {
            let socket = Socket::stream(&address).await?;
            bind(&socket, address).await?;
            socket.listen(BACKLOG)?;
            Ok(TcpListener::from_socket(socket))
        })
        .await
    }

    fn from_socket(socket: Socket) -> TcpListener {
        TcpListener { socket }
    }

    /// Accepts a connection: the stream, and the address of its peer. `accept4(2)`, Linux 5.5.
    ///
    /// Several tasks may accept at once; they are served in the order in which they asked. While an
    /// [`Incoming`] of this listener accepts, this waits.
    ///
    /// The address is unspecified (`0.0.0.0:0` or `[::]:0`) if the connection came late, see below, and was
    /// reset meanwhile: what its peer had sent may still be received, but who it was is no longer known.
    ///
    /// # Errors
    ///
    /// `EMFILE` and `ENFILE` when no descriptor is left: the connection keeps waiting, so give up something
    /// or pause before the next call. `ECONNABORTED` when a connection was reset before it was accepted.
    ///
    /// # Dropping
    ///
    /// Loses nothing: a connection that was accepted all the same goes to the next call.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            let lane = Lane::receiving(&self.socket.fd).hold().await;
            let accepted = match lane.take_late_connection() {
                Some(late) => Ok(late),
                None => op::submit(op::Accept::new(lane)).await,
            };
            match accepted {
                Ok((fd, peer)) => return self.with_peer(fd, peer),
                Err(error) if interrupted(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn with_peer(&self, fd: Fd, peer: Option<SocketAddr>) -> io::Result<(TcpStream, SocketAddr)> {
        let stream = TcpStream::from_fd(fd);
        let peer = match peer {
            Some(peer) => peer,
            None => match stream.peer_addr() {
                Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => self.nobody()?,
                peer => peer?,
            },
        };
        Ok((stream, peer))
    }

    /// The unspecified address of this listener's family.
    fn nobody(&self) -> io::Result<SocketAddr> {
        Ok(match self.local_addr()? {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        })
    }

    /// The connections as they come, a stream that never ends. One operation accepts them all (multishot
    /// `accept4(2)`, Linux 5.19), at three quarters of the cost of one call each; on older kernels it is one
    /// operation each.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # uring::Runtime::new()?.block_on(async {
    /// use futures::StreamExt;
    /// use uring::net::{TcpListener, TcpStream};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let client = TcpStream::connect(listener.local_addr()?).await?;
    /// let mut incoming = listener.incoming();
    /// while let Some(stream) = incoming.next().await {
    ///     assert_eq!(stream?.peer_addr()?, client.local_addr()?);
    ///     break;
    /// }
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming::new(self)
    }

    /// The address this is bound to. `getsockname(2)`.
    ///
    /// # Errors
    ///
    /// As the man page says; none are known for a listener.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

impl From<net::TcpListener> for TcpListener {
    /// Takes a listener of `std` over. It is made blocking if it was not, since the ring does the waiting;
    /// nothing else about it changes.
    fn from(listener: net::TcpListener) -> TcpListener {
        TcpListener::from_socket(Socket::from_std(OwnedFd::from(listener)))
    }
}

impl TryFrom<TcpListener> for net::TcpListener {
    /// The listener itself.
    type Error = TcpListener;

    /// Makes it a listener of `std`, a blocking one.
    ///
    /// # Errors
    ///
    /// Gives it back while an accept that was dropped is still in flight (until the next turn of the loop),
    /// while a late connection waits in it, which would be lost (accept it first), and always when it
    /// belongs to a simulated kernel.
    fn try_from(listener: TcpListener) -> Result<net::TcpListener, TcpListener> {
        if !Lane::receiving(&listener.socket.fd).is_idle() {
            return Err(listener);
        }
        match listener.socket.into_std() {
            Ok(fd) => Ok(fd.into()),
            Err(socket) => Err(TcpListener { socket }),
        }
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for TcpListener {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.fd.as_raw_fd()
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("TcpListener");
        if let Ok(address) = self.local_addr() {
            debug.field("addr", &address);
        }
        debug.field("fd", &self.as_raw_fd()).finish_non_exhaustive()
    }
}

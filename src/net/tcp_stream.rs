//! A connection.

use std::fmt;
use std::io;
use std::net::{self, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::address::{ToSocketAddrs, try_each};
use super::socket::Socket;
use super::tcp_futures::{Recv, SendAll};
use crate::buf::{BufError, BufResult, IoBuf, IoBufMut, Slice};
use crate::fd::Fd;
use crate::fd::lane::{Held, Lane, Receiving};
use crate::io::{Read, Write, interrupted};
use crate::op;

/// A TCP connection. `tcp(7)`.
///
/// Everything takes `&self`, so that one task can receive while another sends. Each direction does one
/// operation at a time, in the order of their first poll.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # uring::Runtime::new()?.block_on(async {
/// use uring::buf::IoBuf;
/// use uring::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let client = TcpStream::connect(listener.local_addr()?).await?;
/// let (server, _) = listener.accept().await?;
///
/// // A buffer is moved into a call and comes back with the result.
/// let (sent, _) = client.send_all(b"ping pong").await?;
/// assert_eq!(sent, 9);
/// let (_, buf) = server.recv_exact([0; 4]).await?;
/// assert_eq!(&buf, b"ping");
///
/// // On failure it is in the error.
/// client.shutdown(std::net::Shutdown::Write).await?;
/// let failed = server.recv_exact(Vec::with_capacity(100)).await.unwrap_err();
/// assert_eq!(failed.error().kind(), std::io::ErrorKind::UnexpectedEof);
/// assert_eq!(failed.into_buf(), b" pong");
/// # Ok(())
/// # })
/// # }
/// ```
///
/// # Dropping
///
/// A dropped stream is closed as soon as the kernel has let go of operations whose futures were dropped just
/// before, in the next turn of the loop as a rule. A *forgotten* future (`std::mem::forget`) keeps the
/// connection open.
pub struct TcpStream {
    /// Receives go one at a time, and sends do; what came for a dropped future waits in the lane.
    pub(super) socket: Socket,
}

impl TcpStream {
    /// Connects to the first of `addresses` that accepts. `socket(2)`, `connect(2)`, Linux 5.11.
    ///
    /// # Errors
    ///
    /// That of the last address, with `connect` and the address in its message; see
    /// [`OpError`](crate::io::OpError). A name that cannot be looked up is an error that names it.
    ///
    /// # Dropping
    ///
    /// Cancels the attempt and closes its socket.
    pub async fn connect(addresses: impl ToSocketAddrs) -> io::Result<TcpStream> {
        try_each("connect", addresses, async |address| {
            let socket = Socket::stream(&address).await?;
            op::submit(op::Connect::new(socket.fd.clone(), address)).await?;
            Ok(TcpStream::from_socket(socket))
        })
        .await
    }

    pub(super) fn from_fd(fd: Fd) -> TcpStream {
        TcpStream::from_socket(Socket { fd })
    }

    fn from_socket(socket: Socket) -> TcpStream {
        TcpStream { socket }
    }

    /// Receives into the front of a buffer what is there, waiting until something is. 0 bytes are the end of
    /// the stream (or a buffer without room). `recv(2)`, Linux 5.6.
    ///
    /// # Errors
    ///
    /// `ECONNRESET` when the peer has reset the connection, and those of the man page. The buffer is in the
    /// error.
    ///
    /// # Dropping
    ///
    /// Loses no byte: what was received all the same goes to the next call, in order. The buffer is freed.
    pub fn recv<B: IoBufMut>(&self, buf: B) -> impl Future<Output = BufResult<usize, B>> {
        Recv::new(&self.socket.fd, buf)
    }

    /// Receives until the room of a buffer is full: the capacity of a vector, whatever it holds; to receive
    /// less, give it a part, `buf.slice(..n)`. Returns how many bytes that were. `recv(2)` with
    /// `MSG_WAITALL`: one operation as a rule on Linux 5.19, several before.
    ///
    /// No other receive on this stream comes between.
    ///
    /// # Errors
    ///
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) when the stream ends before, and those of
    /// [`recv`](TcpStream::recv). The buffer is in the error, with what was received so far in front.
    ///
    /// # Dropping
    ///
    /// Loses no byte: what was received so far goes to the next call, in order. The buffer is freed.
    pub async fn recv_exact<B: IoBufMut>(&self, mut buf: B) -> BufResult<usize, B> {
        let wanted = buf.room().len();
        // What a vector holds already is not part of what is received.
        buf.overwrite(&[]);
        let mut lane = Lane::receiving(&self.socket.fd).hold().await;
        let mut rest = buf.slice(0..);
        loop {
            let received = rest.start();
            if received == wanted {
                return Ok((wanted, rest.into_buf()));
            }
            let (more, held) = self.recv_rest(rest, lane).await;
            lane = held;
            rest = match more {
                Ok((0, rest)) => {
                    let message = format!("the stream ended after {received} of {wanted} bytes");
                    let error = io::Error::new(io::ErrorKind::UnexpectedEof, message);
                    return Err(BufError::new(error, rest.into_buf()));
                }
                Ok((n, rest)) => rest.into_buf().slice(received + n..),
                Err(failed) if interrupted(failed.error()) => failed.into_buf(),
                Err(failed) => return Err(failed.map_buf(Slice::into_buf)),
            };
        }
    }

    /// One step of [`recv_exact`](TcpStream::recv_exact). Dropped, it leaves all of `rest` that was received
    /// in the lane.
    async fn recv_rest<B: IoBufMut>(
        &self,
        rest: Slice<B>,
        lane: Held<Receiving>,
    ) -> (BufResult<usize, Slice<B>>, Held<Receiving>) {
        match op::late(&lane, rest) {
            Ok(served) => (served, lane),
            Err(rest) => op::submit(op::RecvExact { rest, lane }).await,
        }
    }

    /// Sends a buffer, or as much of it as the kernel takes now; waits until it takes something. Returns how
    /// much. `send(2)` with `MSG_NOSIGNAL`, Linux 5.6.
    ///
    /// # Errors
    ///
    /// `EPIPE` or `ECONNRESET` when the peer is gone (never a signal), and those of the man page. The buffer
    /// is in the error.
    ///
    /// # Dropping
    ///
    /// A part may have been sent; which, nobody is told. What is sent later does not overtake it.
    pub async fn send<B: IoBuf>(&self, mut buf: B) -> BufResult<usize, B> {
        loop {
            let lane = Lane::sending(&self.socket.fd).hold().await;
            match op::submit(op::Send { buf, flags: 0, lane }).await {
                Err(failed) if interrupted(failed.error()) => buf = failed.into_buf(),
                sent => return sent,
            }
        }
    }

    /// Sends the whole of a buffer, and returns its length. `send(2)` with `MSG_WAITALL` and `MSG_NOSIGNAL`:
    /// one operation as a rule on Linux 5.19, several before. No other send on this stream comes between.
    ///
    /// # Errors
    ///
    /// Those of [`send`](TcpStream::send); a part may have been sent.
    ///
    /// # Dropping
    ///
    /// As with [`send`](TcpStream::send).
    pub fn send_all<B: IoBuf>(&self, buf: B) -> impl Future<Output = BufResult<usize, B>> {
        SendAll::new(&self.socket.fd, buf)
    }

    /// Shuts down the receiving, the sending or both directions: after that of the sending one, the peer
    /// receives the end of the stream behind all that was sent. `shutdown(2)`.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` when the connection is gone.
    ///
    /// # Dropping
    ///
    /// Once polled, it has been done.
    pub async fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how).await
    }

    /// Closes the connection and reports the error, which dropping the stream cannot. `close(2)`, Linux 5.6.
    ///
    /// Operations whose futures were dropped, or forgotten, do not hold it up: they are ended by a
    /// `shutdown(2)` of both directions, and what is received for them is dropped. So the peer receives the end
    /// of the stream at once.
    ///
    /// Who awaits an operation borrows the stream, so that nobody can close it meanwhile. For a stream that
    /// several tasks share (in an [`Rc`](std::rc::Rc)), [`shutdown`](TcpStream::shutdown) of both directions is what
    /// ends it for all of them: receives yield the end of the stream, sends `EPIPE`.
    ///
    /// # Errors
    ///
    /// As the man page says; the descriptor is closed all the same.
    ///
    /// # Dropping
    ///
    /// Closes the connection as dropping the stream does.
    pub async fn close(self) -> io::Result<()> {
        if self.socket.fd.is_sole() {
            return op::submit(op::Close::new(self.socket.fd).await).await;
        }
        // An error says that the connection is gone already, and its operations with it.
        let _ = self.socket.shutdown(Shutdown::Both).await;
        // Nobody can submit anything more: operations own clones, and futures that could borrowed `self`.
        op::submit(op::Close::though_shared(self.socket.fd)).await
    }

    /// The address of this side. `getsockname(2)`.
    ///
    /// # Errors
    ///
    /// As the man page says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The address of the other side. `getpeername(2)`.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` once the connection is gone, when it was reset for example.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// Whether small segments are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    ///
    /// As `getsockopt(2)`.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.socket.nodelay()
    }

    /// Has small segments sent at once instead of gathered while an acknowledgement is awaited
    /// (`TCP_NODELAY`): right for questions and answers.
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.socket.set_nodelay(on)
    }
}

/// By [`recv`](TcpStream::recv) and [`recv_exact`](TcpStream::recv_exact), lossless as they are.
impl Read for &TcpStream {
    async fn read<B: IoBufMut>(&mut self, buf: B) -> BufResult<usize, B> {
        self.recv(buf).await
    }

    async fn read_exact<B: IoBufMut>(&mut self, buf: B) -> BufResult<(), B> {
        self.recv_exact(buf).await.map(|(_, buf)| ((), buf))
    }
}

/// By [`send`](TcpStream::send) and [`send_all`](TcpStream::send_all).
impl Write for &TcpStream {
    async fn write<B: IoBuf>(&mut self, buf: B) -> BufResult<usize, B> {
        self.send(buf).await
    }

    async fn write_all<B: IoBuf>(&mut self, buf: B) -> BufResult<(), B> {
        self.send_all(buf).await.map(|(_, buf)| ((), buf))
    }
}

/// As for a shared reference to it.
impl Read for TcpStream {
    async fn read<B: IoBufMut>(&mut self, buf: B) -> BufResult<usize, B> {
        self.recv(buf).await
    }

    async fn read_exact<B: IoBufMut>(&mut self, buf: B) -> BufResult<(), B> {
        (&*self).read_exact(buf).await
    }
}

/// As for a shared reference to it.
impl Write for TcpStream {
    async fn write<B: IoBuf>(&mut self, buf: B) -> BufResult<usize, B> {
        self.send(buf).await
    }

    async fn write_all<B: IoBuf>(&mut self, buf: B) -> BufResult<(), B> {
        (&*self).write_all(buf).await
    }
}

impl From<net::TcpStream> for TcpStream {
    /// Takes a stream of `std` over. It is made blocking if it was not, since the ring does the waiting;
    /// nothing else about it changes.
    fn from(stream: net::TcpStream) -> TcpStream {
        TcpStream::from_socket(Socket::from_std(OwnedFd::from(stream)))
    }
}

impl TryFrom<TcpStream> for net::TcpStream {
    /// The stream itself.
    type Error = TcpStream;

    /// Makes it a stream of `std`, a blocking one.
    ///
    /// # Errors
    ///
    /// Gives it back while an operation whose future was dropped is still in flight (until the next turn of
    /// the loop as a rule), while late bytes wait in it, which would be lost (receive them first), and
    /// always when it belongs to a simulated kernel.
    fn try_from(stream: TcpStream) -> Result<net::TcpStream, TcpStream> {
        let fd = &stream.socket.fd;
        if !Lane::receiving(fd).is_idle() || !Lane::sending(fd).is_idle() {
            return Err(stream);
        }
        match stream.socket.into_std() {
            Ok(fd) => Ok(fd.into()),
            Err(socket) => Err(TcpStream { socket }),
        }
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for TcpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.fd.as_raw_fd()
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("TcpStream");
        if let Ok(address) = self.local_addr() {
            debug.field("addr", &address);
        }
        if let Ok(address) = self.peer_addr() {
            debug.field("peer", &address);
        }
        debug.field("fd", &self.as_raw_fd()).finish_non_exhaustive()
    }
}

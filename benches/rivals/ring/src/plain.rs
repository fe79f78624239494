//! Servers with one receive or send in flight for each connection, into and from a buffer of its own.

use std::io;
use std::mem::ManuallyDrop;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, FromRawFd};

use contender::{Arguments, Report};
use uring::buf::Room;
use uring::ring::{Cqe, MultiSqe, Ring, Sqe};

use crate::{BATCH, Role, listen, push, ring};

/// `user_data`: the index of a connection above, what was asked for in the two lowest bits.
const ACCEPT: u64 = 0;
const RECV: u64 = 1;
const SEND: u64 = 2;

struct Connection {
    stream: TcpStream,
    /// The kernel has it from a push to the completion; never grown, so it never moves. A server that is
    /// torn down must not free what the kernel may still fill, hence no destructor; see `release`.
    buf: ManuallyDrop<Vec<u8>>,
    /// How much of the buffer was sent.
    sent: usize,
}

struct Server {
    ring: Ring,
    listener: TcpListener,
    role: Role,
    buffer_bytes: usize,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
}

pub(crate) fn serve(arguments: &Arguments, role: Role) -> io::Result<Report> {
    let buffer_bytes = arguments.number("bytes", 16 << 10)?;
    let (ring, listener) = (ring()?, listen()?);
    let (connections, free) = (Vec::new(), Vec::new());
    let mut server = Server { ring, listener, role, buffer_bytes, connections, free };
    server.accept()?;
    let mut cqes = [Cqe::default(); BATCH];
    loop {
        server.ring.submit_and_wait(1, None)?;
        loop {
            let count = server.ring.copy_cqes(&mut cqes);
            for cqe in &cqes[..count] {
                server.on_completion(*cqe)?;
            }
            if count < cqes.len() {
                break;
            }
        }
    }
}

impl Server {
    fn on_completion(&mut self, cqe: Cqe) -> io::Result<()> {
        let index = (cqe.user_data() >> 2) as usize;
        match (cqe.user_data() & 3, cqe.result()) {
            (ACCEPT, result) => self.on_accept(result, cqe.more()),
            (RECV, Ok(1..)) if self.role == Role::Sink => self.recv(index),
            (RECV, Ok(count @ 1..)) => {
                let Some(connection) = &mut self.connections[index] else { return Ok(()) };
                // SAFETY: recv(2) filled the first `count` bytes of the buffer.
                unsafe { connection.buf.set_len(count as usize) };
                connection.sent = 0;
                self.send(index)
            }
            (SEND, Ok(count)) => {
                let Some(connection) = &mut self.connections[index] else { return Ok(()) };
                connection.sent += count as usize;
                let all = connection.sent == connection.buf.len();
                if !all {
                    return self.send(index);
                }
                connection.sent = 0;
                if self.role == Role::Source { self.send(index) } else { self.recv(index) }
            }
            // The end of the stream, or an error: the client is gone.
            _ => self.release(index),
        }
    }

    fn on_accept(&mut self, result: io::Result<u32>, more: bool) -> io::Result<()> {
        if let Ok(number) = result {
            // SAFETY: accept(2) returned a new descriptor, which nobody else owns.
            let stream = unsafe { TcpStream::from_raw_fd(number as i32) };
            if self.role != Role::Accept {
                self.begin(stream)?;
            }
        }
        if more { Ok(()) } else { self.accept() }
    }

    fn begin(&mut self, stream: TcpStream) -> io::Result<()> {
        let source = self.role == Role::Source;
        let buf =
            if source { vec![1; self.buffer_bytes] } else { Vec::with_capacity(self.buffer_bytes) };
        let index = self.free.pop().unwrap_or(self.connections.len());
        if index == self.connections.len() {
            self.connections.push(None);
        }
        self.connections[index] = Some(Connection { stream, buf: ManuallyDrop::new(buf), sent: 0 });
        if source { self.send(index) } else { self.recv(index) }
    }

    fn accept(&mut self) -> io::Result<()> {
        let sqe = MultiSqe::accept(self.listener.as_fd().into(), libc::SOCK_CLOEXEC);
        let raw = sqe.user_data(ACCEPT).into_raw();
        // SAFETY: an accept without an address lends nothing.
        unsafe { push(&mut self.ring, raw) }
    }

    fn recv(&mut self, index: usize) -> io::Result<()> {
        let Some(Connection { stream, buf, .. }) = &mut self.connections[index] else {
            return Ok(());
        };
        let sqe = Sqe::recv(stream.as_fd().into(), Room::of_vec(buf), 0);
        let raw = sqe.user_data((index as u64) << 2 | RECV).into_raw();
        // SAFETY: the buffer is not touched, grown or freed until the completion, see `Connection`.
        unsafe { push(&mut self.ring, raw) }
    }

    fn send(&mut self, index: usize) -> io::Result<()> {
        let Some(Connection { stream, buf, sent }) = &self.connections[index] else {
            return Ok(());
        };
        let sqe = Sqe::send(stream.as_fd().into(), &buf[*sent..], libc::MSG_WAITALL);
        let raw = sqe.user_data((index as u64) << 2 | SEND).into_raw();
        // SAFETY: as for the receive.
        unsafe { push(&mut self.ring, raw) }
    }

    /// Closes a connection after its last completion.
    fn release(&mut self, index: usize) -> io::Result<()> {
        if let Some(connection) = self.connections[index].take() {
            drop(ManuallyDrop::into_inner(connection.buf));
            self.free.push(index);
        }
        Ok(())
    }
}

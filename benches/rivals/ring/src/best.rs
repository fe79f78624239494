//! Servers with everything on: one accept for all connections, into the table of registered files; one receive for
//! the life of a connection, into buffers that all share and that are sent from where they are.

use std::collections::VecDeque;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;

use contender::{Arguments, Report};
use uring::ring::registry::Files;
use uring::ring::{BufRing, BufRingSetup, Cqe, Lease, MultiSqe, Ring, Sqe, Target};

use crate::{BATCH, Role, listen, push, ring};

/// `user_data`: the slot of a connection above, what was asked for in the two lowest bits.
const ACCEPT: u64 = 0;
const RECV: u64 = 1;
const SEND: u64 = 2;
const CLOSE: u64 = 3;

/// Slots for connections.
const SLOTS: u32 = 16_384;
/// Buffers that there can be, and those that are in use at first: the kernel takes them in turn, so that few
/// stay in the cache.
const BUFFERS: u32 = 16_384;
const BUFFERS_AT_FIRST: u32 = 64;

/// What is under way for a connection.
#[derive(Default)]
struct Connection {
    /// What waits to be sent, the first of it being sent.
    queue: VecDeque<Lease>,
    sent: usize,
    ended: bool,
}

struct Server {
    ring: Ring,
    listener: TcpListener,
    files: Files,
    buffers: BufRing,
    role: Role,
    /// What a source sends; it lives as long as the process.
    piece: &'static [u8],
    connections: Vec<Connection>,
}

pub(crate) fn serve(arguments: &Arguments, role: Role) -> io::Result<Report> {
    let bytes = arguments.number("bytes", 16 << 10)?;
    let (ring, listener) = (ring()?, listen()?);
    let files = ring.register_files_sparse(SLOTS)?;
    let setup = BufRingSetup::new(BUFFERS, bytes as u32).at_first(BUFFERS_AT_FIRST);
    let buffers = setup.build(&ring)?;
    let piece = vec![1; bytes].leak();
    let connections = (0..SLOTS).map(|_| Connection::default()).collect();
    let mut server = Server { ring, listener, files, buffers, role, piece, connections };
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
        match cqe.user_data() & 3 {
            ACCEPT => self.on_accept(cqe),
            RECV => self.on_recv(index, cqe),
            SEND => self.on_send(index, cqe.result()),
            _ => Ok(()),
        }
    }

    fn on_accept(&mut self, cqe: Cqe) -> io::Result<()> {
        if let Ok(slot) = cqe.result() {
            let index = slot as usize;
            self.connections[index] = Connection::default();
            match self.role {
                Role::Accept => self.close(index)?,
                Role::Source => self.send(index)?,
                Role::Echo | Role::Sink => self.recv(index)?,
            }
        }
        if cqe.more() { Ok(()) } else { self.accept() }
    }

    fn on_recv(&mut self, index: usize, cqe: Cqe) -> io::Result<()> {
        // SAFETY: the completion is of a receive from this group, and is taken once.
        let leases = match unsafe { self.buffers.take(cqe) } {
            Ok(leases) if leases.len_bytes() > 0 => leases,
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                // Many receives find the group empty at once, and the first of them has filled it for all.
                if self.buffers.with_kernel() == 0 {
                    self.buffers.provide(BUFFERS_AT_FIRST);
                }
                return self.recv(index);
            }
            // The end of the stream, or an error: the client is gone.
            _ => return self.end(index),
        };
        if self.role == Role::Echo {
            let connection = &mut self.connections[index];
            let idle = connection.queue.is_empty();
            connection.queue.extend(leases);
            if idle {
                self.send(index)?;
            }
        }
        if cqe.more() { Ok(()) } else { self.recv(index) }
    }

    fn on_send(&mut self, index: usize, result: io::Result<u32>) -> io::Result<()> {
        let Ok(count) = result else { return self.end(index) };
        let connection = &mut self.connections[index];
        connection.sent += count as usize;
        if self.role == Role::Source {
            connection.sent %= self.piece.len();
            return self.send(index);
        }
        if connection.queue.front().is_some_and(|lease| connection.sent == lease.len()) {
            connection.sent = 0;
            connection.queue.pop_front();
        }
        match (connection.queue.is_empty(), connection.ended) {
            (false, _) => self.send(index),
            (true, true) => self.close(index),
            (true, false) => Ok(()),
        }
    }

    /// The client is gone: its slot is free when nothing is being sent any more.
    fn end(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        if connection.queue.len() > 1 {
            connection.queue.truncate(1);
        }
        let again = std::mem::replace(&mut connection.ended, true);
        if again || connection.queue.is_empty() { self.close(index) } else { Ok(()) }
    }

    fn accept(&mut self) -> io::Result<()> {
        let sqe = MultiSqe::accept_direct(self.listener.as_fd().into(), 0);
        let entry = sqe.user_data(ACCEPT).into_raw();
        // SAFETY: an accept without an address lends nothing.
        unsafe { push(&mut self.ring, entry) }
    }

    fn target(&self, index: usize) -> Target<'static> {
        self.files.slot(index as u32).expect("a slot of the table").into()
    }

    fn recv(&mut self, index: usize) -> io::Result<()> {
        let sqe = MultiSqe::recv(self.target(index), self.buffers.group(), 0);
        let entry = sqe.user_data((index as u64) << 2 | RECV).into_raw();
        // SAFETY: the buffers are the group's, which lives as long as the ring.
        unsafe { push(&mut self.ring, entry) }
    }

    fn send(&mut self, index: usize) -> io::Result<()> {
        let connection = &self.connections[index];
        let bytes = connection.queue.front().map_or(self.piece, |lease| lease);
        let sqe = Sqe::send(self.target(index), &bytes[connection.sent..], libc::MSG_WAITALL);
        let entry = sqe.user_data((index as u64) << 2 | SEND).into_raw();
        // SAFETY: the bytes are static, or leased until the completion: see `on_send` and `end`.
        unsafe { push(&mut self.ring, entry) }
    }

    fn close(&mut self, index: usize) -> io::Result<()> {
        self.connections[index].queue.clear();
        let slot = self.files.slot(index as u32).expect("a slot of the table");
        let entry = Sqe::close_slot(slot).user_data(CLOSE).into_raw();
        // SAFETY: a close lends nothing.
        unsafe { push(&mut self.ring, entry) }
    }
}

//! The echo server as a hand-written loop on the ring alone, without the runtime: the yardstick for what
//! the runtime costs. One multishot accept, a receive or a send in flight for each connection, one system
//! call a turn. `cargo run --release --example echo_by_hand [-- --listen ADDR]`

use std::error::Error;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, FromRawFd};
use std::process::ExitCode;

use uring::buf::Room;
use uring::ring::{Cqe, Entry, MultiSqe, Ring, Setup, Sqe};

const USAGE: &str = "Usage: echo_by_hand [--listen ADDR]   (default 127.0.0.1:7000)";
const BUF_BYTES: usize = 16 << 10;
const BACKLOG: i32 = 4096;

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
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Whether accepting ended for want of descriptors: it goes on when a client leaves.
    full: bool,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let listen = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => "127.0.0.1:7000",
        ["--listen", address] => address,
        ["--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let Err(error) = serve(listen);
    eprintln!("error: {listen}: {error}");
    ExitCode::FAILURE
}

fn serve(listen: &str) -> Result<std::convert::Infallible, Box<dyn Error>> {
    let listener = TcpListener::bind(listen)?;
    // std listens with room for 128 connections; a second call changes that. listen(2)
    socket2::SockRef::from(&listener).listen(BACKLOG)?;
    println!("listening on {}", listener.local_addr()?);
    io::stdout().flush()?;
    let ring = Setup::new(256).cq_entries(4096).build()?;
    let mut server =
        Server { ring, listener, connections: Vec::new(), free: Vec::new(), full: false };
    server.accept()?;
    let mut cqes = [Cqe::default(); 64];
    loop {
        match server.ring.submit_and_wait(1, None) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
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
            (RECV, Ok(n)) if n > 0 => {
                let Some(connection) = &mut self.connections[index] else { return Ok(()) };
                // SAFETY: recv(2) filled the first `n` bytes of the buffer.
                unsafe { connection.buf.set_len(n as usize) };
                connection.sent = 0;
                self.send(index)
            }
            (SEND, Ok(n)) => {
                let Some(connection) = &mut self.connections[index] else { return Ok(()) };
                connection.sent += n as usize;
                let all = connection.sent == connection.buf.len();
                if all { self.recv(index) } else { self.send(index) }
            }
            // The end of the stream, or an error: the client is gone.
            _ => self.release(index),
        }
    }

    fn on_accept(&mut self, result: io::Result<u32>, more: bool) -> io::Result<()> {
        if let Err(error) = &result {
            self.full = matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
                && self.free.len() < self.connections.len();
        }
        if let Ok(number) = result {
            // SAFETY: accept(2) returned a new descriptor, which nobody else owns.
            let stream = unsafe { TcpStream::from_raw_fd(number as i32) };
            let _ = stream.set_nodelay(true);
            let buf = ManuallyDrop::new(Vec::with_capacity(BUF_BYTES));
            let index = self.free.pop().unwrap_or(self.connections.len());
            if index == self.connections.len() {
                self.connections.push(None);
            }
            self.connections[index] = Some(Connection { stream, buf, sent: 0 });
            self.recv(index)?;
        }
        if more || self.full { Ok(()) } else { self.accept() }
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
        if std::mem::take(&mut self.full) { self.accept() } else { Ok(()) }
    }
}

/// # Safety
///
/// The contract of [`Ring::push`].
unsafe fn push(ring: &mut Ring, sqe: Entry) -> io::Result<()> {
    ring.reserve(1)?;
    // SAFETY: the caller's contract.
    unsafe { ring.push(sqe) }.map_err(io::Error::other)
}

//! A closed-loop load generator: every connection has one message under way, and sends the next
//! as soon as the last is back. One thread, epoll, no dependency on what it measures.

mod epoll;
mod histogram;
mod server;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use epoll::Poller;
use histogram::Histogram;
pub(crate) use server::Server;

/// A server that answers nobody for this long is taken for stuck.
const STALL_LIMIT: Duration = Duration::from_secs(5);

/// What to measure: so many connections, messages of this size, for so long.
pub(crate) struct Plan {
    pub(crate) connections: usize,
    pub(crate) message_bytes: usize,
    pub(crate) warm_up: Duration,
    pub(crate) window: Duration,
}

/// What one measured window showed.
pub(crate) struct Outcome {
    pub(crate) echoes: u64,
    pub(crate) echoes_per_s: f64,
    /// CPU time of all threads of the server, in the kernel's work for them too.
    pub(crate) cpu_us_per_echo: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// Loads `server` as planned, and compares every byte that comes back.
pub(crate) fn run(server: &Server, plan: &Plan) -> io::Result<Outcome> {
    let poller = Poller::new()?;
    let mut peers = Vec::with_capacity(plan.connections);
    for index in 0..plan.connections {
        let peer = Peer::connect(server.addr(), plan.message_bytes)?;
        poller.add_readable(peer.stream.as_fd(), index)?;
        peers.push(peer);
    }
    for peer in &mut peers {
        peer.send(Instant::now())?;
    }

    drive(&poller, &mut peers, plan.warm_up)?;
    let (cpu_before, started) = (server.cpu_time()?, Instant::now());
    let latencies = drive(&poller, &mut peers, plan.window)?;
    let (cpu, seconds) = (server.cpu_time()? - cpu_before, started.elapsed().as_secs_f64());

    let echoes = latencies.count();
    Ok(Outcome {
        echoes,
        echoes_per_s: echoes as f64 / seconds,
        cpu_us_per_echo: cpu.as_secs_f64() * 1e6 / echoes as f64,
        p50_us: latencies.quantile(0.50) as f64 / 1e3,
        p99_us: latencies.quantile(0.99) as f64 / 1e3,
    })
}

/// Keeps every connection busy for `span`, and returns the latencies of the echoes in it.
fn drive(poller: &Poller, peers: &mut [Peer], span: Duration) -> io::Result<Histogram> {
    let mut latencies = Histogram::new();
    let started = Instant::now();
    while started.elapsed() < span {
        let mut idle = true;
        for index in poller.wait(STALL_LIMIT)?.keys() {
            idle = false;
            let peer = &mut peers[index];
            if peer.receive()? {
                // One look at the clock ends this echo and begins the next.
                let now = Instant::now();
                latencies.record(now - peer.sent_at);
                peer.send(now)?;
            }
        }
        if idle {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the server answers nobody"));
        }
    }
    Ok(latencies)
}

/// One connection, and the one message it has under way.
struct Peer {
    stream: TcpStream,
    message: Vec<u8>,
    answer: Vec<u8>,
    received: usize,
    sequence: u64,
    sent_at: Instant,
}

impl Peer {
    fn connect(addr: SocketAddr, message_bytes: usize) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let message: Vec<u8> = (0..message_bytes).map(|i| (i * 31) as u8).collect();
        let answer = vec![0; message_bytes];
        Ok(Self { stream, message, answer, received: 0, sequence: 0, sent_at: Instant::now() })
    }

    /// Sends the next message. It fits the socket buffer, because no other is under way: were it
    /// not to fit, `WouldBlock` would end the run rather than bend its figures.
    fn send(&mut self, now: Instant) -> io::Result<()> {
        // The sequence number tells an answer from an old one.
        self.sequence += 1;
        let number = self.sequence.to_ne_bytes();
        let len = number.len().min(self.message.len());
        self.message[..len].copy_from_slice(&number[..len]);
        self.received = 0;
        self.sent_at = now;
        self.stream.write_all(&self.message)
    }

    /// Takes what has arrived. True when the answer is complete.
    fn receive(&mut self) -> io::Result<bool> {
        match self.stream.read(&mut self.answer[self.received..]) {
            Ok(0) => {
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed a connection"))
            }
            Ok(count) => {
                self.received += count;
                if self.received < self.message.len() {
                    return Ok(false);
                }
                if self.answer != self.message {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "wrong bytes came back",
                    ));
                }
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

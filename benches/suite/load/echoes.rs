//! A closed loop: every connection has one message under way, and sends the next as soon as the last is back, or
//! after some time to think.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::epoll::Poller;
use super::{Done, Histogram, Load, STALL_LIMIT, Server};

pub(crate) struct Echoes {
    poller: Poller,
    peers: Vec<Peer>,
    think: Duration,
    started: bool,
}

impl Echoes {
    pub(crate) fn connect(
        server: &Server,
        connections: usize,
        message_bytes: usize,
        think: Duration,
    ) -> io::Result<Echoes> {
        let poller = Poller::new()?;
        let mut peers = Vec::with_capacity(connections);
        for index in 0..connections {
            let peer = Peer::connect(server.addr(), message_bytes)?;
            poller.add_readable(peer.stream.as_fd(), index)?;
            peers.push(peer);
        }
        Ok(Echoes { poller, peers, think, started: false })
    }

    /// One message on every connection.
    pub(crate) fn once(&mut self) -> io::Result<()> {
        self.start()?;
        self.rest()
    }

    fn start(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.started, true) {
            for peer in &mut self.peers {
                peer.send(Instant::now())?;
            }
        }
        Ok(())
    }

    /// Waits for what is under way, and sends no more before the next run.
    pub(crate) fn rest(&mut self) -> io::Result<()> {
        let started = std::mem::replace(&mut self.started, false);
        let mut missing = if started { self.peers.len() } else { 0 };
        while missing > 0 {
            for index in self.poller.wait_some(STALL_LIMIT)?.keys() {
                missing -= usize::from(self.peers[index].receive()?);
            }
        }
        Ok(())
    }
}

impl Load for Echoes {
    fn run(&mut self, span: Duration) -> io::Result<Done> {
        self.start()?;
        let mut latencies = Histogram::new();
        let started = Instant::now();
        while started.elapsed() < span {
            for index in self.poller.wait_some(STALL_LIMIT)?.keys() {
                let peer = &mut self.peers[index];
                if peer.receive()? {
                    // One look at the clock ends this echo and begins the next.
                    let now = Instant::now();
                    latencies.record(now - peer.sent_at);
                    peer.send(after(now, self.think))?;
                }
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        Ok(Done { ops: latencies.count() as f64, seconds, latencies: Some(latencies) })
    }
}

/// Waits without sleeping: this core has nothing else to do, and a sleep would end late.
fn after(now: Instant, think: Duration) -> Instant {
    if think.is_zero() {
        return now;
    }
    loop {
        let later = Instant::now();
        if later - now >= think {
            return later;
        }
        std::hint::spin_loop();
    }
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

//! Bytes in one direction, as fast as they go: a thread for each connection, all on the core of the load.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Done, Load, STALL_LIMIT, Server};

const PIECE_BYTES: usize = 64 << 10;

pub(crate) struct Streams {
    bytes: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl Streams {
    /// The load sends.
    pub(crate) fn sending(server: &Server, connections: usize) -> io::Result<Streams> {
        Streams::start(server, connections, |mut stream| stream.write(&[1; PIECE_BYTES]))
    }

    /// The load receives.
    pub(crate) fn receiving(server: &Server, connections: usize) -> io::Result<Streams> {
        Streams::start(server, connections, |mut stream| stream.read(&mut [0; PIECE_BYTES]))
    }

    fn start(
        server: &Server,
        connections: usize,
        step: fn(&TcpStream) -> io::Result<usize>,
    ) -> io::Result<Streams> {
        let (bytes, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let mut threads = Vec::with_capacity(connections);
        for _ in 0..connections {
            let stream = TcpStream::connect(server.addr())?;
            stream.set_read_timeout(Some(STALL_LIMIT))?;
            stream.set_write_timeout(Some(STALL_LIMIT))?;
            let (bytes, over) = (Arc::clone(&bytes), Arc::clone(&over));
            threads.push(thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    bytes.fetch_add(step(&stream)? as u64, Ordering::Relaxed);
                }
                Ok(())
            }));
        }
        Ok(Streams { bytes, over, threads })
    }
}

impl Load for Streams {
    /// Counts in MiB.
    fn run(&mut self, span: Duration) -> io::Result<Done> {
        let (started, before) = (Instant::now(), self.bytes.load(Ordering::Relaxed));
        thread::sleep(span);
        let seconds = started.elapsed().as_secs_f64();
        let bytes = self.bytes.load(Ordering::Relaxed) - before;
        if bytes == 0 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the stream stands still"));
        }
        Ok(Done { ops: bytes as f64 / (1 << 20) as f64, seconds, latencies: None })
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // What ended a connection no longer matters.
            let _ = thread.join();
        }
    }
}

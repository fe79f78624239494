//! Connections that come and go.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::{Done, Load, STALL_LIMIT, Server};

/// Connections at a time, so that the server finds several waiting.
const BATCH: usize = 32;

pub(crate) struct Connects {
    addr: SocketAddr,
}

impl Connects {
    pub(crate) fn new(server: &Server) -> io::Result<Connects> {
        Ok(Connects { addr: server.addr() })
    }
}

impl Load for Connects {
    fn run(&mut self, span: Duration) -> io::Result<Done> {
        let started = Instant::now();
        let mut ops = 0.0;
        while started.elapsed() < span {
            let mut streams = Vec::with_capacity(BATCH);
            for _ in 0..BATCH {
                streams.push(TcpStream::connect(self.addr)?);
            }
            for mut stream in streams {
                stream.set_read_timeout(Some(STALL_LIMIT))?;
                // The server closes; then a reset, so that no port is kept waiting. tcp(7)
                let _ = stream.read(&mut [0])?;
                SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
                ops += 1.0;
            }
        }
        Ok(Done { ops, seconds: started.elapsed().as_secs_f64(), latencies: None })
    }
}

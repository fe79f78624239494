//! An echo server on tokio's single-threaded runtime, at its best: tasks that need no `Send`, one
//! 16 KiB buffer a connection (what our own contenders use), TCP_NODELAY.
//!
//! `tokio_echo [--listen ADDR]` prints `listening on ADDR` and serves until it is killed.

use std::io::{self, Write};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::LocalRuntime;

const BUFFER_BYTES: usize = 16 * 1024;

fn main() -> io::Result<()> {
    LocalRuntime::new()?.block_on(serve(&listen_address()?))
}

/// The address after `--listen`, the only argument there is.
fn listen_address() -> io::Result<String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => Ok("127.0.0.1:7000".to_owned()),
        [flag, addr] if flag == "--listen" => Ok(addr.clone()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "usage: tokio_echo [--listen ADDR]")),
    }
}

async fn serve(addr: &str) -> io::Result<()> {
    let listener = TcpListener::bind(addr).await?;
    println!("listening on {}", listener.local_addr()?);
    io::stdout().flush()?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::task::spawn_local(async move {
            // A client that vanishes ends its own task and nothing else.
            let _ = echo(stream).await;
        });
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}

//! The contender tokio-uring: a ring whose descriptor is watched by tokio's epoll.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use contender::{Access, Runtime, run};
use tokio_uring::buf::BoundedBuf;
use tokio_uring::fs::{File, OpenOptions};
use tokio_uring::net::{TcpListener, TcpStream};

/// Entries of the submission queue: enough for a turn of 1,000 connections.
const ENTRIES: u32 = 1024;
const COMPLETIONS: u32 = 16_384;

struct TokioUring;

fn main() -> ExitCode {
    run::<TokioUring>()
}

impl Runtime for TokioUring {
    type Listener = TcpListener;
    type Stream = TcpStream;
    type File = File;

    fn block_on<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        let mut ring = tokio_uring::uring_builder();
        ring.setup_cqsize(COMPLETIONS);
        tokio_uring::builder().entries(ENTRIES).uring_builder(&ring).start(main)
    }

    fn spawn<T: 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output = T> + 'static {
        let task = tokio_uring::spawn(task);
        async { task.await.expect("a task that ends") }
    }

    fn detach(task: impl Future<Output = ()> + 'static) {
        drop(tokio_uring::spawn(task));
    }

    fn yield_now() -> impl Future<Output = ()> + 'static {
        tokio::task::yield_now()
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep(duration)
    }

    async fn nop() -> io::Result<()> {
        tokio_uring::no_op().await
    }

    async fn listen() -> io::Result<(TcpListener, SocketAddr)> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    }

    async fn accept(listener: &mut TcpListener) -> io::Result<TcpStream> {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn echo(stream: TcpStream, buffer_bytes: usize) -> io::Result<()> {
        let mut buf = vec![0; buffer_bytes];
        loop {
            let (count, received) = stream.read(buf).await;
            let count = count?;
            if count == 0 {
                return Ok(());
            }
            let (sent, part) = stream.write_all(received.slice(..count)).await;
            sent?;
            buf = part.into_inner();
        }
    }

    async fn sink(stream: TcpStream, buffer_bytes: usize) -> io::Result<()> {
        let mut buf = vec![0; buffer_bytes];
        loop {
            let count;
            (count, buf) = stream.read(buf).await;
            if count? == 0 {
                return Ok(());
            }
        }
    }

    async fn source(stream: TcpStream, piece_bytes: usize) -> io::Result<()> {
        let mut buf = vec![1; piece_bytes];
        loop {
            let sent;
            (sent, buf) = stream.write_all(buf).await;
            sent?;
        }
    }

    async fn open(path: &Path, access: Access) -> io::Result<File> {
        let mut options = OpenOptions::new();
        match access {
            Access::Read => options.read(true),
            Access::ReadDirect => options.read(true).custom_flags(libc::O_DIRECT),
            Access::Create => options.write(true).create(true).truncate(true),
            Access::Overwrite => options.write(true),
        };
        options.open(path).await
    }

    async fn close(file: File) -> io::Result<()> {
        file.close().await
    }

    async fn read_at(
        file: &File,
        buf: Vec<u8>,
        skip: usize,
        len_bytes: usize,
        offset: u64,
    ) -> io::Result<Vec<u8>> {
        let (count, part) = file.read_at(buf.slice(skip..skip + len_bytes), offset).await;
        count.map(|_| part.into_inner())
    }

    async fn write_at(file: &File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let (result, buf) = file.write_all_at(buf, offset).await;
        result.map(|()| buf)
    }

    async fn len_bytes(file: &File) -> io::Result<u64> {
        Ok(file.statx().await?.stx_size)
    }

    async fn remove(path: &Path) -> io::Result<()> {
        tokio_uring::fs::remove_file(path).await
    }
}

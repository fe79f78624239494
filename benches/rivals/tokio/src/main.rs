//! The contender tokio at its best on one thread: tasks that need no `Send`, epoll, files on threads.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use contender::{Access, Runtime, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task;

struct Tokio;

fn main() -> ExitCode {
    run::<Tokio>()
}

/// What tokio's own files do for every call: a thread of its pool does it.
async fn on_a_thread<T: Send + 'static>(
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    task::spawn_blocking(call).await.expect("a call that ends")
}

impl Runtime for Tokio {
    type Listener = TcpListener;
    type Stream = TcpStream;
    type File = Arc<std::fs::File>;

    fn block_on<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_all().build_local(LocalOptions::default());
        runtime.expect("a runtime").block_on(main)
    }

    fn spawn<T: 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output = T> + 'static {
        let task = task::spawn_local(task);
        async { task.await.expect("a task that ends") }
    }

    fn detach(task: impl Future<Output = ()> + 'static) {
        drop(task::spawn_local(task));
    }

    fn yield_now() -> impl Future<Output = ()> + 'static {
        task::yield_now()
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep(duration)
    }

    async fn listen() -> io::Result<(TcpListener, SocketAddr)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    }

    async fn accept(listener: &mut TcpListener) -> io::Result<TcpStream> {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn echo(mut stream: TcpStream, buffer_bytes: usize) -> io::Result<()> {
        let mut buf = vec![0; buffer_bytes];
        loop {
            let count = stream.read(&mut buf).await?;
            if count == 0 {
                return Ok(());
            }
            stream.write_all(&buf[..count]).await?;
        }
    }

    async fn sink(mut stream: TcpStream, buffer_bytes: usize) -> io::Result<()> {
        let mut buf = vec![0; buffer_bytes];
        while stream.read(&mut buf).await? > 0 {}
        Ok(())
    }

    async fn source(mut stream: TcpStream, piece_bytes: usize) -> io::Result<()> {
        let piece = vec![1; piece_bytes];
        loop {
            stream.write_all(&piece).await?;
        }
    }

    async fn open(path: &Path, access: Access) -> io::Result<Self::File> {
        let path = path.to_owned();
        on_a_thread(move || {
            let mut options = std::fs::OpenOptions::new();
            match access {
                Access::Read => options.read(true),
                Access::ReadDirect => options.read(true).custom_flags(libc::O_DIRECT),
                Access::Create => options.write(true).create(true).truncate(true),
                Access::Overwrite => options.write(true),
            };
            options.open(path).map(Arc::new)
        })
        .await
    }

    async fn close(file: Self::File) -> io::Result<()> {
        on_a_thread(move || {
            drop(file);
            Ok(())
        })
        .await
    }

    async fn read_at(
        file: &Self::File,
        mut buf: Vec<u8>,
        skip: usize,
        len_bytes: usize,
        offset: u64,
    ) -> io::Result<Vec<u8>> {
        let file = Arc::clone(file);
        on_a_thread(move || {
            file.read_at(&mut buf[skip..skip + len_bytes], offset)?;
            Ok(buf)
        })
        .await
    }

    async fn write_at(file: &Self::File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let file = Arc::clone(file);
        on_a_thread(move || file.write_all_at(&buf, offset).map(|()| buf)).await
    }

    async fn len_bytes(file: &Self::File) -> io::Result<u64> {
        let file = Arc::clone(file);
        on_a_thread(move || Ok(file.metadata()?.len())).await
    }

    async fn remove(path: &Path) -> io::Result<()> {
        let path = path.to_owned();
        on_a_thread(move || std::fs::remove_file(path)).await
    }

    async fn copy(from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (from.to_owned(), to.to_owned());
        on_a_thread(move || std::fs::copy(from, to).map(drop)).await
    }
}

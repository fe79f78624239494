//! The contender smol at its best on one thread: a local executor; its reactor and its files have threads.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use contender::{Access, Runtime, run};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};
use smol::{LocalExecutor, Timer, future, unblock};

struct Smol;

thread_local! {
    /// Where this thread's tasks are started.
    static EXECUTOR: Rc<LocalExecutor<'static>> = Rc::new(LocalExecutor::new());
}

fn main() -> ExitCode {
    run::<Smol>()
}

impl Runtime for Smol {
    type Listener = TcpListener;
    type Stream = TcpStream;
    type File = Arc<std::fs::File>;

    fn block_on<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        let executor = EXECUTOR.with(Rc::clone);
        smol::block_on(executor.run(main))
    }

    fn spawn<T: 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output = T> + 'static {
        EXECUTOR.with(|executor| executor.spawn(task))
    }

    fn detach(task: impl Future<Output = ()> + 'static) {
        EXECUTOR.with(|executor| executor.spawn(task).detach());
    }

    fn yield_now() -> impl Future<Output = ()> + 'static {
        future::yield_now()
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        let timer = Timer::after(duration);
        async {
            timer.await;
        }
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
        unblock(move || {
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
        unblock(move || drop(file)).await;
        Ok(())
    }

    async fn read_at(
        file: &Self::File,
        mut buf: Vec<u8>,
        skip: usize,
        len_bytes: usize,
        offset: u64,
    ) -> io::Result<Vec<u8>> {
        let file = Arc::clone(file);
        unblock(move || {
            file.read_at(&mut buf[skip..skip + len_bytes], offset)?;
            Ok(buf)
        })
        .await
    }

    async fn write_at(file: &Self::File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let file = Arc::clone(file);
        unblock(move || file.write_all_at(&buf, offset).map(|()| buf)).await
    }

    async fn len_bytes(file: &Self::File) -> io::Result<u64> {
        let file = Arc::clone(file);
        unblock(move || Ok(file.metadata()?.len())).await
    }

    async fn remove(path: &Path) -> io::Result<()> {
        let path = path.to_owned();
        unblock(move || std::fs::remove_file(path)).await
    }

    async fn copy(from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (from.to_owned(), to.to_owned());
        unblock(move || std::fs::copy(from, to).map(drop)).await
    }
}

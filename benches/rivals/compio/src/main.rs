//! The contender compio, with the set-up flags that suit it best.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use compio::buf::{IntoInner, IoBufExt};
use compio::driver::ProactorBuilder;
use compio::fs::{File, OpenOptions};
use compio::io::{AsyncRead, AsyncReadAt, AsyncWriteAtExt, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::RuntimeBuilder;
use contender::{Access, Runtime, run};

struct Compio;

fn main() -> ExitCode {
    run::<Compio>()
}

impl Runtime for Compio {
    type Listener = TcpListener;
    type Stream = TcpStream;
    type File = File;

    fn block_on<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        let mut driver = ProactorBuilder::new();
        driver.single_issuer(true).defer_taskrun(true).taskrun_flag(true);
        let runtime = RuntimeBuilder::new().with_proactor(driver).build();
        runtime.expect("a runtime").block_on(main)
    }

    fn spawn<T: 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output = T> + 'static {
        let task = compio::runtime::spawn(task);
        async { task.await.expect("a task that ends") }
    }

    fn detach(task: impl Future<Output = ()> + 'static) {
        compio::runtime::spawn(task).detach();
    }

    /// It has no public function for that; this is the usual one.
    fn yield_now() -> impl Future<Output = ()> + 'static {
        let mut yielded = false;
        std::future::poll_fn(move |context| {
            if std::mem::replace(&mut yielded, true) {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        compio::time::sleep(duration)
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
        let mut buf = Vec::with_capacity(buffer_bytes);
        loop {
            let (count, received) = stream.read(buf).await.into();
            if count? == 0 {
                return Ok(());
            }
            let sent;
            (sent, buf) = stream.write_all(received).await.into();
            sent?;
            buf.clear();
        }
    }

    async fn sink(mut stream: TcpStream, buffer_bytes: usize) -> io::Result<()> {
        let mut buf = Vec::with_capacity(buffer_bytes);
        loop {
            let count;
            (count, buf) = stream.read(buf).await.into();
            if count? == 0 {
                return Ok(());
            }
            buf.clear();
        }
    }

    async fn source(mut stream: TcpStream, piece_bytes: usize) -> io::Result<()> {
        let mut buf = vec![1; piece_bytes];
        loop {
            let sent;
            (sent, buf) = stream.write_all(buf).await.into();
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
        let (count, part): (io::Result<usize>, _) =
            file.read_at(buf.slice(skip..skip + len_bytes), offset).await.into();
        count.map(|_| part.into_inner())
    }

    async fn write_at(file: &File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let (result, buf): (io::Result<()>, _) = (&*file).write_all_at(buf, offset).await.into();
        result.map(|()| buf)
    }

    async fn len_bytes(file: &File) -> io::Result<u64> {
        Ok(file.metadata().await?.len())
    }

    async fn remove(path: &Path) -> io::Result<()> {
        compio::fs::remove_file(path).await
    }
}

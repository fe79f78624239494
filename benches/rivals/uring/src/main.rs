//! The contender of this repository: by its plain calls, `accept`, and `recv` into a buffer of the connection's
//! own; with `leased=1` by those that serve many connections best, one accept for all, and received bytes in
//! buffers of the runtime's, sent from where they are; these are as large and as many as those of the bare loop with
//! everything on. With `spin=MICROSECONDS` it spins so long before it sleeps.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use contender::{Access, Arguments, Runtime, finish, run};
use futures::{StreamExt, TryStreamExt};
use uring::buf::IoBuf;
use uring::fs::{File, OpenOptions};
use uring::net::{Incoming, TcpListener, TcpStream};
use uring::pool::PoolSetup;

struct Uring<const LEASED: bool>;

/// How its runtimes are made.
static SETTINGS: OnceLock<(Duration, PoolSetup)> = OnceLock::new();

/// Buffers that there can be.
const BUFFERS: u32 = 16_384;

enum Listener {
    Plain(TcpListener),
    /// Its listener lives as long as the process.
    Incoming(Incoming<'static>),
}

fn main() -> ExitCode {
    match leased() {
        Ok(false) => run::<Uring<false>>(),
        Ok(true) => run::<Uring<true>>(),
        Err(error) => finish(Err(error)),
    }
}

/// Notes how to make runtimes, and returns which calls to use.
fn leased() -> io::Result<bool> {
    let arguments = Arguments::of_process()?;
    let spin = Duration::from_micros(arguments.number("spin", 0)? as u64);
    let bytes = arguments.number("bytes", 16 << 10)?;
    let buffers = PoolSetup::new().buffer_bytes(bytes as u32).limit(BUFFERS);
    SETTINGS.get_or_init(|| (spin, buffers));
    Ok(arguments.number("leased", 0)? != 0)
}

impl<const LEASED: bool> Runtime for Uring<LEASED> {
    type Listener = Listener;
    type Stream = TcpStream;
    type File = File;

    fn block_on<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        let (spin, buffers) = SETTINGS.get().cloned().expect("noted before anything runs");
        let builder = uring::Runtime::builder().spin_limit(spin).buf_pool(buffers);
        builder.build().expect("a ring").block_on(main)
    }

    fn spawn<T: 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output = T> + 'static {
        let task = uring::spawn(task);
        async { task.await.expect("a task that ends") }
    }

    fn detach(task: impl Future<Output = ()> + 'static) {
        drop(uring::spawn(task));
    }

    fn yield_now() -> impl Future<Output = ()> + 'static {
        uring::task::yield_now()
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        let sleep = uring::time::sleep(duration);
        async {
            sleep.await;
        }
    }

    async fn nop() -> io::Result<()> {
        uring::op::submit(uring::op::Nop).await
    }

    async fn listen() -> io::Result<(Listener, SocketAddr)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let listener = if LEASED {
            Listener::Incoming(Box::leak(Box::new(listener)).incoming())
        } else {
            Listener::Plain(listener)
        };
        Ok((listener, address))
    }

    async fn accept(listener: &mut Listener) -> io::Result<TcpStream> {
        let stream = match listener {
            Listener::Plain(listener) => listener.accept().await?.0,
            Listener::Incoming(incoming) => incoming.next().await.expect("it does not end")?,
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn echo(stream: TcpStream, buffer_bytes: usize) -> io::Result<()> {
        if LEASED {
            let mut incoming = stream.incoming_bytes()?;
            loop {
                // Unlike `while let`, this keeps nothing of the item while the send waits.
                let Some(bytes) = incoming.try_next().await? else { return Ok(()) };
                stream.send_all(bytes).await?;
            }
        }
        let mut buf = Vec::with_capacity(buffer_bytes);
        loop {
            let (count, received) = stream.recv(buf).await?;
            if count == 0 {
                return Ok(());
            }
            (_, buf) = stream.send_all(received).await?;
        }
    }

    async fn sink(stream: TcpStream, buffer_bytes: usize) -> io::Result<()> {
        if LEASED {
            let mut incoming = stream.incoming_bytes()?;
            while let Some(bytes) = incoming.next().await {
                drop(bytes?);
            }
            return Ok(());
        }
        let mut buf = Vec::with_capacity(buffer_bytes);
        loop {
            let count;
            (count, buf) = stream.recv(buf).await?;
            if count == 0 {
                return Ok(());
            }
        }
    }

    async fn source(stream: TcpStream, piece_bytes: usize) -> io::Result<()> {
        let mut buf = vec![1; piece_bytes];
        loop {
            (_, buf) = stream.send_all(buf).await?;
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
        let (_, part) = file.read_at(buf.slice(skip..skip + len_bytes), offset).await?;
        Ok(part.into_buf())
    }

    async fn write_at(file: &File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let ((), buf) = file.write_all_at(buf, offset).await?;
        Ok(buf)
    }

    async fn len_bytes(file: &File) -> io::Result<u64> {
        Ok(file.metadata().await?.len())
    }

    async fn remove(path: &Path) -> io::Result<()> {
        uring::fs::remove_file(path).await
    }

    async fn copy(from: &Path, to: &Path) -> io::Result<()> {
        uring::fs::copy(from, to).await.map(drop)
    }
}

//! The contender glommio: its files are for `O_DIRECT`, its sockets are polled by the ring and read by calls.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use contender::{Access, Runtime, run};
use futures::future::try_join_all;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::io::{BufferedFile, DmaFile, OpenOptions};
use glommio::net::{TcpListener, TcpStream};
use glommio::timer::Timer;
use glommio::{LocalExecutorBuilder, Placement};

/// Pieces of a copy under way at once: what the workload does for the others.
const LANES: u64 = 4;
const PIECE_BYTES: u64 = 1 << 20;

struct Glommio;

/// A file is one of two kinds, by how it was opened.
enum File {
    Buffered(BufferedFile),
    Direct(DmaFile),
}

fn main() -> ExitCode {
    run::<Glommio>()
}

impl Runtime for Glommio {
    type Listener = TcpListener;
    type Stream = TcpStream;
    type File = File;

    fn block_on<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        LocalExecutorBuilder::new(Placement::Unbound).make().expect("a runtime").run(main)
    }

    fn spawn<T: 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output = T> + 'static {
        glommio::spawn_local(task)
    }

    fn detach(task: impl Future<Output = ()> + 'static) {
        glommio::spawn_local(task).detach();
    }

    async fn yield_now() {
        glommio::executor().yield_now().await;
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        let timer = Timer::new(duration);
        async {
            timer.await;
        }
    }

    async fn listen() -> io::Result<(TcpListener, SocketAddr)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    }

    async fn accept(listener: &mut TcpListener) -> io::Result<TcpStream> {
        let stream = listener.accept().await?;
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

    async fn open(path: &Path, access: Access) -> io::Result<File> {
        let mut options = OpenOptions::new();
        match access {
            Access::Read => options.read(true),
            Access::ReadDirect => {
                return Ok(File::Direct(options.read(true).dma_open(path).await?));
            }
            Access::Create => options.write(true).create(true).truncate(true),
            Access::Overwrite => options.write(true),
        };
        Ok(File::Buffered(options.buffered_open(path).await?))
    }

    async fn close(file: File) -> io::Result<()> {
        match file {
            File::Buffered(file) => file.close().await?,
            File::Direct(file) => file.close().await?,
        }
        Ok(())
    }

    /// Reads come in memory of glommio's own; the workload wants them read, not moved.
    async fn read_at(
        file: &File,
        buf: Vec<u8>,
        _skip: usize,
        len_bytes: usize,
        offset: u64,
    ) -> io::Result<Vec<u8>> {
        let read = match file {
            File::Buffered(file) => file.read_at(offset, len_bytes).await?,
            File::Direct(file) => file.read_at_aligned(offset, len_bytes).await?,
        };
        std::hint::black_box(&*read);
        Ok(buf)
    }

    /// A write takes a vector for good, so each needs one of its own.
    async fn write_at(file: &File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        if let File::Buffered(file) = file {
            file.write_at(buf.clone(), offset).await?;
        }
        Ok(buf)
    }

    async fn len_bytes(file: &File) -> io::Result<u64> {
        Ok(match file {
            File::Buffered(file) => file.file_size().await?,
            File::Direct(file) => file.file_size().await?,
        })
    }

    async fn remove(path: &Path) -> io::Result<()> {
        Ok(glommio::io::remove(path).await?)
    }

    async fn copy(from: &Path, to: &Path) -> io::Result<()> {
        let source = BufferedFile::open(from).await?;
        let target = BufferedFile::create(to).await?;
        let end = source.file_size().await?;
        let (source_file, target_file) = (&source, &target);
        try_join_all((0..LANES).map(|lane| async move {
            let mut offset = lane * PIECE_BYTES;
            while offset < end {
                let piece = source_file.read_at(offset, PIECE_BYTES as usize).await?;
                target_file.write_at(piece.to_vec(), offset).await?;
                offset += LANES * PIECE_BYTES;
            }
            io::Result::Ok(())
        }))
        .await?;
        source.close().await?;
        target.close().await?;
        Ok(())
    }
}

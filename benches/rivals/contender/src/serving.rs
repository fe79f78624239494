//! Servers: they are loaded, and measured, by somebody else.

use std::future::Future;
use std::io::{self, Write};
use std::net::SocketAddr;

use futures::FutureExt;

use crate::{Arguments, Report, Runtime};

/// What a connection has to itself, when nobody says.
const BUFFER_BYTES: usize = 16 << 10;

/// Says where to connect to.
pub fn announce(address: SocketAddr) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {address}")?;
    stdout.flush()
}

pub(crate) fn echo<R: Runtime>(arguments: &Arguments) -> io::Result<Report> {
    let bytes = arguments.number("bytes", BUFFER_BYTES)?;
    R::block_on(serve::<R, _>(move |stream| R::echo(stream, bytes)))
}

pub(crate) fn sink<R: Runtime>(arguments: &Arguments) -> io::Result<Report> {
    let bytes = arguments.number("bytes", BUFFER_BYTES)?;
    R::block_on(serve::<R, _>(move |stream| R::sink(stream, bytes)))
}

pub(crate) fn source<R: Runtime>(arguments: &Arguments) -> io::Result<Report> {
    let bytes = arguments.number("bytes", BUFFER_BYTES)?;
    R::block_on(serve::<R, _>(move |stream| R::source(stream, bytes)))
}

/// Takes connections and closes them at once.
pub(crate) fn accept<R: Runtime>() -> io::Result<Report> {
    R::block_on(async {
        let (mut listener, address) = R::listen().await?;
        announce(address)?;
        loop {
            drop(R::accept(&mut listener).await?);
        }
    })
}

/// A task for every connection, until the process is killed.
async fn serve<R: Runtime, F: Future<Output = io::Result<()>> + 'static>(
    handle: impl Fn(R::Stream) -> F + 'static,
) -> io::Result<Report> {
    let (mut listener, address) = R::listen().await?;
    announce(address)?;
    loop {
        let connection = handle(R::accept(&mut listener).await?);
        // A client that vanishes ends its own task and nothing else. (An `async` block around it would hold the
        // connection twice: as what it captured, and as what it awaits.)
        R::detach(connection.map(drop));
    }
}

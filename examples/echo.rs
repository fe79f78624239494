//! Sends back whatever clients send: `cargo run --release --example echo`, then `nc 127.0.0.1 7000`.
//!
//! One thread, a task and a buffer for each connection. A client that never reads holds up its own task
//! and nothing else: there is no more of its data in memory than one buffer.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use futures::StreamExt;
use uring::net::{TcpListener, TcpStream};

const USAGE: &str = "\
Sends back whatever clients send, until it is killed.

Usage: echo [--listen ADDR] [--verbose]

  --listen ADDR  where to listen, HOST:PORT (127.0.0.1:7000); port 0 is any free one
  --verbose      report connections that end with an error
  --help         this text";

/// Memory that is reserved for a connection; pages it never fills are never touched.
const BUF_BYTES: usize = 16 << 10;

/// How long to wait for a descriptor when none is left.
const PAUSE: Duration = Duration::from_millis(50);

struct Options {
    listen: String,
    verbose: bool,
}

fn main() -> ExitCode {
    let mut options = Options { listen: "127.0.0.1:7000".into(), verbose: false };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match (arg.as_str(), args.len()) {
            ("--help" | "-h", _) => {
                println!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            ("--verbose" | "-v", _) => options.verbose = true,
            ("--listen", 1..) => options.listen = args.next().unwrap_or_default(),
            _ => {
                eprintln!("error: {arg:?} is unknown or lacks its value\n\n{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    allow_many_descriptors();
    uring::Runtime::new()?.block_on(serve(options))?;
    Ok(())
}

/// Raises the limit of open descriptors, usually 1,024, as far as it goes without privileges.
fn allow_many_descriptors() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit(2) and setrlimit(2) use the struct during the call only. Where they fail, the limit
    // stays what it was, and the server waits when it is reached.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

async fn serve(options: &Options) -> io::Result<()> {
    let listener = TcpListener::bind(&options.listen).await?;
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {}", listener.local_addr()?)?;
    stdout.flush()?;

    let verbose = options.verbose;
    let mut short_of_descriptors = false;
    let mut incoming = listener.incoming();
    while let Some(stream) = incoming.next().await {
        match stream {
            Ok(stream) => {
                short_of_descriptors = false;
                uring::spawn(async move {
                    let ended = echo(stream).await;
                    if let (true, Err(error)) = (verbose, ended) {
                        eprintln!("a connection ended: {error}");
                    }
                });
            }
            Err(error) => match error.raw_os_error() {
                // The client waits in the kernel until another one leaves.
                Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                    if !std::mem::replace(&mut short_of_descriptors, true) {
                        eprintln!("clients must wait: {error}");
                    }
                    uring::time::sleep(PAUSE).await;
                }
                // Gone before it was accepted.
                Some(libc::ECONNABORTED) => {}
                _ => return Err(error),
            },
        }
    }
    Ok(())
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buf = Vec::with_capacity(BUF_BYTES);
    loop {
        let (n, received) = stream.recv(buf).await?;
        if n == 0 {
            return Ok(());
        }
        (_, buf) = stream.send_all(received).await?;
    }
}

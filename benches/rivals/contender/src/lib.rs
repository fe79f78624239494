//! What all contenders share: the workloads, how they are asked for on the command line, and how they report.
//!
//! A contender is a program of its own: `rival-NAME WORKLOAD [key=value]…`. A runtime says once, by the trait
//! [`Runtime`], how it does what the workloads need; the workloads are written here, so that all run the same.
//!
//! A workload that serves clients prints `listening on ADDR` and serves until it is killed: who loads it
//! measures it. All others measure themselves and print one line of `key=value` pairs, see [`Report`]. A
//! contender that cannot do a workload prints `lacks`, and the reason.

mod allocations;
mod arguments;
mod files;
mod meter;
mod operations;
mod places;
mod scheduling;
mod serving;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

pub use arguments::Arguments;
pub use meter::{Meter, Report, cpu_time, pin_this_thread};
pub use places::Places;
pub use serving::announce;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To read, through the page cache.
    Read,
    /// To read, past the page cache.
    ReadDirect,
    /// To write; it is created, and emptied.
    Create,
    /// To write what is there already.
    Overwrite,
}

/// An error that says what a runtime has no call for.
pub fn lacks<T>(what: &str) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::Unsupported, what))
}

/// What the workloads need of a runtime. Where a runtime has no call for something, the answer is
/// [`lacks`].
#[expect(async_fn_in_trait, reason = "nobody needs these futures to be Send")]
pub trait Runtime: Sized + 'static {
    /// A socket that accepts connections.
    type Listener: 'static;
    /// A connection.
    type Stream: 'static;
    /// A file.
    type File: 'static;

    /// Makes a runtime with its best settings, runs `main` on it, and drops it.
    fn block_on<T: 'static>(main: impl Future<Output = T> + 'static) -> T;

    /// Starts a task of this thread.
    fn spawn<T: 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output = T> + 'static;

    /// What is done in a task, because the first future of a runtime may be another thing.
    fn in_task<T: 'static>(task: impl Future<Output = T> + 'static) -> impl Future<Output = T> {
        async { Self::spawn(task).await }
    }

    /// Starts a task nobody waits for.
    fn detach(task: impl Future<Output = ()> + 'static);

    /// Lets other tasks run, as the runtime's own function does it.
    fn yield_now() -> impl Future<Output = ()> + 'static;

    /// Waits.
    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static;

    /// The kernel does nothing, and says so.
    async fn nop() -> io::Result<()> {
        lacks("no operation that does nothing")
    }

    /// Listens on any free port of this machine.
    async fn listen() -> io::Result<(Self::Listener, SocketAddr)>;

    /// Takes a connection, without Nagle's delay.
    async fn accept(listener: &mut Self::Listener) -> io::Result<Self::Stream>;

    /// Sends back what comes, by way of one buffer of so many bytes.
    async fn echo(stream: Self::Stream, buffer_bytes: usize) -> io::Result<()>;

    /// Receives until the peer ends, by way of one buffer of so many bytes.
    async fn sink(stream: Self::Stream, buffer_bytes: usize) -> io::Result<()>;

    /// Sends pieces of so many bytes until the peer is gone.
    async fn source(stream: Self::Stream, piece_bytes: usize) -> io::Result<()>;

    /// Opens a file.
    async fn open(path: &Path, access: Access) -> io::Result<Self::File>;

    /// Closes a file.
    async fn close(file: Self::File) -> io::Result<()>;

    /// Reads `len_bytes` at `offset` into `buf` from its byte `skip` on; `buf` is that long at least. Returns
    /// the buffer as long as it was.
    async fn read_at(
        file: &Self::File,
        buf: Vec<u8>,
        skip: usize,
        len_bytes: usize,
        offset: u64,
    ) -> io::Result<Vec<u8>>;

    /// Writes all of `buf` at `offset`, and returns it.
    async fn write_at(file: &Self::File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>>;

    /// The length of an open file, as the kernel says.
    async fn len_bytes(file: &Self::File) -> io::Result<u64>;

    /// Removes a file.
    async fn remove(path: &Path) -> io::Result<()>;

    /// Copies a file to a new one.
    async fn copy(from: &Path, to: &Path) -> io::Result<()> {
        files::copy_in_lanes::<Self>(from, to).await
    }
}

/// The whole program of a contender that is a runtime.
pub fn run<R: Runtime>() -> ExitCode {
    finish(Arguments::of_process().and_then(|arguments| dispatch::<R>(&arguments)))
}

/// Prints what a workload returned, for contenders that are no runtime.
pub fn finish(outcome: io::Result<Report>) -> ExitCode {
    match outcome {
        Ok(report) => println!("{report}"),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => println!("lacks {error}"),
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn dispatch<R: Runtime>(arguments: &Arguments) -> io::Result<Report> {
    match arguments.workload() {
        "echo" => serving::echo::<R>(arguments),
        "sink" => serving::sink::<R>(arguments),
        "source" => serving::source::<R>(arguments),
        "accept" => serving::accept::<R>(),
        "read" => files::read::<R>(arguments),
        "write" => files::write::<R>(arguments),
        "open" => files::open::<R>(arguments),
        "create" => files::create::<R>(arguments),
        "copy" => files::copy::<R>(arguments),
        "nop" => operations::nop::<R>(arguments),
        "start" => operations::start::<R>(arguments),
        "first" => operations::first::<R>(arguments),
        "spawn" => scheduling::spawn::<R>(arguments),
        "yield" => scheduling::yields::<R>(arguments),
        "wake-self" => scheduling::wake_self::<R>(arguments),
        "channel" => scheduling::channel::<R>(arguments),
        "wake-thread" => scheduling::wake_thread::<R>(arguments),
        "sleeps" => scheduling::sleeps::<R>(arguments),
        "timers" => scheduling::timers::<R>(arguments),
        other => lacks(&format!("no workload {other}")),
    }
}

//! Loops written by hand on the bare ring: `plain`, as one would write them first, and with `best=1` everything
//! that the ring offers for the workload. The distance of a runtime from these is what the runtime costs.

mod best;
mod micro;
mod plain;
mod reads;

use std::io;
use std::net::TcpListener;
use std::process::ExitCode;

use contender::{Arguments, Report, announce, finish, lacks};
use uring::ring::{Entry, Ring, Setup};

/// Room for connections that wait to be accepted.
const BACKLOG: i32 = 4096;
/// Completions that are taken at once.
const BATCH: usize = 64;

/// What a server does with a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Echo,
    Sink,
    Source,
    Accept,
}

fn main() -> ExitCode {
    finish(Arguments::of_process().and_then(|arguments| dispatch(&arguments)))
}

fn dispatch(arguments: &Arguments) -> io::Result<Report> {
    let best = arguments.number("best", 0)? != 0;
    let serve =
        |role| if best { best::serve(arguments, role) } else { plain::serve(arguments, role) };
    match arguments.workload() {
        "echo" => serve(Role::Echo),
        "sink" => serve(Role::Sink),
        "source" => serve(Role::Source),
        "accept" => serve(Role::Accept),
        "read" => reads::read(arguments, best),
        "nop" => micro::nop(arguments),
        "start" => micro::start(arguments),
        "wake-thread" => micro::wake_thread(arguments),
        other => lacks(&format!("a bare ring has no {other}")),
    }
}

/// A listener whose connections have no Nagle's delay: they take that over from it. tcp(7)
fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let socket = socket2::SockRef::from(&listener);
    socket.set_tcp_nodelay(true)?;
    // std listens with room for 128 connections; a second call changes that. listen(2)
    socket.listen(BACKLOG)?;
    announce(listener.local_addr()?)?;
    Ok(listener)
}

/// Room in the completion queue for every connection that the workloads have.
fn ring() -> io::Result<Ring> {
    Setup::new(256).cq_entries(16_384).build().map_err(io::Error::other)
}

/// # Safety
///
/// The contract of [`Ring::push`].
unsafe fn push(ring: &mut Ring, entry: Entry) -> io::Result<()> {
    ring.reserve(1)?;
    // SAFETY: the caller's contract.
    unsafe { ring.push(entry) }.map_err(io::Error::other)
}

//! Behaviours of io_uring that every ring layer is measured by, each on Linux; `docs/conformance.md` has the
//! list.
#![cfg(not(miri))]

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;

use uring::ring::Target;

#[path = "ring_conformance/buffers.rs"]
mod buffers;
#[path = "ring_conformance/cancel.rs"]
mod cancel;
#[path = "ring_conformance/chains.rs"]
mod chains;
#[path = "ring_conformance/files.rs"]
mod files;
#[path = "ring_conformance/messages.rs"]
mod messages;
#[path = "ring_conformance/polls.rs"]
mod polls;
#[path = "ring_conformance/sockets.rs"]
mod sockets;
#[path = "ring_conformance/threads.rs"]
mod threads;

const IN: u32 = libc::POLLIN as u32;
const OUT: u32 = libc::POLLOUT as u32;

fn on<F: AsFd>(file: &F) -> Target<'_> {
    file.as_fd().into()
}

fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().expect("two sockets")
}

/// Writes a byte without taking the descriptor.
fn poke(end: &impl AsFd) {
    let end = end.as_fd().try_clone_to_owned().expect("a descriptor");
    File::from(end).write_all(b"x").expect("a byte");
}

/// What `poll(2)` finds within so many milliseconds; 0 is nothing.
fn poll2(file: &impl AsFd, events: u32, limit_millis: i32) -> i32 {
    let fd = file.as_fd().as_raw_fd();
    let mut asked = libc::pollfd { fd, events: events as i16, revents: 0 };
    // SAFETY: one entry, which lives as long as the call.
    let found = unsafe { libc::poll(&raw mut asked, 1, limit_millis) };
    assert!(found >= 0, "poll(2) failed");
    asked.revents.into()
}

//! The image of each submission: which fields it sets, and that all others are zero.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::LazyLock;

use super::*;
use crate::ring::registry::Place;
use crate::ring::{BufGroup, BufIndex, FixedBuf, FixedBufMut, Slot};

mod builder;
mod control;
mod files;
mod sockets;

/// An entry with nothing in it, to fill up with.
const ZERO: RawSqe = RawSqe {
    opcode: 0,
    flags: 0,
    ioprio: 0,
    fd: 0,
    off: 0,
    addr: 0,
    len: 0,
    op_flags: 0,
    user_data: 0,
    buf: 0,
    personality: 0,
    splice_fd: 0,
    addr3: 0,
    pad: 0,
};

const FIXED: u8 = 1;
const SELECT: u8 = 1 << 5;
const NOSIGNAL: u32 = libc::MSG_NOSIGNAL as u32;
const CWD: At<'_> = At::WorkingDirectory;

static FILE: LazyLock<OwnedFd> = LazyLock::new(some_file);
static RING: LazyLock<RingId> = LazyLock::new(RingId::next);

/// A new descriptor, of a kind that Miri has too.
fn some_file() -> OwnedFd {
    UnixStream::pair().expect("sockets").0.into()
}

/// A file by its descriptor.
fn file() -> Target<'static> {
    FILE.as_fd().into()
}

/// The number of that descriptor.
fn fd() -> i32 {
    FILE.as_raw_fd()
}

/// A place in the table of a ring that all tests share.
fn slot(index: u32) -> Slot {
    Slot { index, ring: *RING }
}

fn group(id: u16) -> BufGroup {
    BufGroup { id, ring: *RING }
}

fn registered(index: u16) -> BufIndex {
    BufIndex::new(*RING, index)
}

/// The buffer 5 of the ring, as far as a submission knows it.
fn fixed() -> FixedBuf<'static> {
    FixedBuf::new(Place { addr: 0x1000, len_bytes: 64, index: 5, ring: *RING })
}

fn fixed_mut() -> FixedBufMut<'static> {
    FixedBufMut::new(Place { addr: 0x1000, len_bytes: 64, index: 5, ring: *RING })
}

fn image<'a>(sqe: Sqe<'a>) -> RawSqe {
    *sqe.into_raw().raw()
}

fn multi<'a>(sqe: MultiSqe<'a>) -> RawSqe {
    *sqe.into_raw().raw()
}

/// The address of a value.
fn at<T: ?Sized>(value: &T) -> u64 {
    (&raw const *value).cast::<u8>().addr() as u64
}

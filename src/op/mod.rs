//! Operations: one a file, and what it takes to write one of your own.
//!
//! An operation is a struct that owns all it needs, what it lends to the kernel included, and implements
//! [`Op`]: how the submission is made, and what its completion means. [`submit`] starts one on the runtime of
//! this thread.
//!
//! ```
//! use uring::op;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! uring::Runtime::new()?.block_on(async {
//!     op::submit(op::Nop).await
//! })?;
//! # Ok(())
//! # }
//! ```
//!
//! Unlike the futures of `fs` and `net`, which do nothing before their first poll, an operation is under way
//! when `submit` returns.
//!
//! # Adding an operation
//!
//! A constructor of [`Sqe`](crate::ring::Sqe) says what the kernel wants; a file here says what we own and
//! return; a method in `fs` or `net` says what users call. There is no list of operations anywhere.

use crate::driver::current;

mod accept;
mod close;
mod connect;
mod fallocate;
mod fsync;
mod ftruncate;
mod link_at;
mod link_timeout;
mod mkdir_at;
mod nop;
mod open_at;
mod outcome;
mod poll;
mod read;
mod recv;
mod recv_leased;
mod rename_at;
mod send;
mod send_zc;
mod shutdown;
mod socket;
mod statx;
mod symlink_at;
mod unlink_at;
mod write;

pub use crate::driver::{Chain, Completion, InFlight, MultiOp, Op, Parts, Shots};
pub use crate::fd::lane;
pub use crate::fd::lane::{Accepted, LateBytes};
pub use crate::ring::Link;
pub use accept::{Accept, AcceptMulti};
pub use close::Close;
pub use connect::Connect;
pub use fallocate::Fallocate;
pub use fsync::Fsync;
pub use ftruncate::Ftruncate;
pub use link_at::LinkAt;
pub use link_timeout::{Expiry, LinkTimeout};
pub use mkdir_at::MkdirAt;
pub use nop::Nop;
pub use open_at::OpenAt;
pub use outcome::{filled, new_fd};
pub use poll::{Poll, PollMulti};
pub use read::Read;
pub use recv::{Recv, RecvExact, late};
pub use recv_leased::{RecvLeased, RecvMulti};
pub use rename_at::RenameAt;
pub use send::{Send, SendAll};
pub use send_zc::{Returned, Returning, SendZc, SentZc, send_zc};
pub use shutdown::Shutdown;
pub use socket::Socket;
pub use statx::Statx;
pub use symlink_at::SymlinkAt;
pub use unlink_at::UnlinkAt;
pub use write::Write;

pub use crate::ring::{Statx as StatxFields, StatxTimestamp};

/// Submits an operation on the runtime of this thread.
///
/// # Panics
///
/// Outside a runtime.
pub fn submit<T: Op>(op: T) -> InFlight<T> {
    current::current().submit(op)
}

/// Submits an operation that completes many times on the runtime of this thread.
///
/// # Panics
///
/// Outside a runtime.
pub fn submit_multi<T: MultiOp>(op: T) -> Shots<T> {
    current::current().submit_multi(op)
}

/// Submits operations that the kernel starts one after the other, on the runtime of this thread: with
/// [`Link::Soft`] each when the one before it has succeeded, with [`Link::Hard`] each when the one before it is
/// done. Linux 5.3, [`Link::Hard`] 5.5.
///
/// A transfer of fewer bytes than were asked for is no success. The parts reach the kernel together, whatever
/// else is queued; `E2BIG` is the result of all if the submission queue is too short for that.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # uring::Runtime::new()?.block_on(async {
/// use uring::op::{self, Link, Read, Write};
///
/// # let (to, from) = std::os::unix::net::UnixStream::pair()?;
/// # let to = uring::fd::Fd::from(std::os::fd::OwnedFd::from(to));
/// # let from = uring::fd::Fd::from(std::os::fd::OwnedFd::from(from));
/// let write = Write { fd: to, offset: None, buf: b"question" };
/// let read = Read { fd: from, offset: None, buf: Vec::with_capacity(16) };
/// let (written, read) = op::submit_chain(Link::Soft, (write, read)).await;
/// assert_eq!(written?.0, 8);
/// assert_eq!(read?.1, b"question");
/// # Ok(())
/// # })
/// # }
/// ```
///
/// # Panics
///
/// Outside a runtime.
pub fn submit_chain<P: Parts>(link: Link, parts: P) -> Chain<P> {
    current::current().submit_chain(link, parts)
}

const _: () = assert!(size_of::<InFlight<Nop>>() <= 16, "a future that waits is small");

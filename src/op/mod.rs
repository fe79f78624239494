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
pub mod lane;
mod link_at;
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
mod shutdown;
mod socket;
mod statx;
mod symlink_at;
mod unlink_at;
mod write;

pub use crate::driver::{Completion, InFlight, MultiOp, Op, Shots};
pub use accept::{Accept, AcceptMulti, Accepted};
pub use close::Close;
pub use connect::Connect;
pub use fallocate::Fallocate;
pub use fsync::Fsync;
pub use ftruncate::Ftruncate;
pub use link_at::LinkAt;
pub use mkdir_at::MkdirAt;
pub use nop::Nop;
pub use open_at::OpenAt;
pub use outcome::{filled, new_fd};
pub use poll::{Poll, PollMulti};
pub use read::Read;
pub use recv::{LateBytes, Recv, RecvExact, late};
pub use recv_leased::{RecvLeased, RecvMulti};
pub use rename_at::RenameAt;
pub use send::{Send, SendAll};
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

//! An async runtime for Linux on io_uring, and a safe ring layer of its own.
//!
//! ```no_run
//! use uring::fs::File;
//!
//! #[uring::main]
//! async fn main() -> std::io::Result<()> {
//!     let file = File::open("/etc/hostname").await?;
//!     // The buffer is moved into the read, and comes back with its result.
//!     let (n, buf) = file.read_at(Vec::with_capacity(64), 0).await?;
//!     assert_eq!(buf.len(), n);
//!     file.close().await
//! }
//! ```
//!
//! # The map
//!
//! | module | what is there |
//! |---|---|
//! | [`fs`], [`net`] | files, and TCP sockets |
//! | [`io`] | reading and writing with owned buffers in general; errors that name what was attempted |
//! | [`time`] | sleeps, timeouts, intervals |
//! | [`task`] | [`spawn`], join handles, aborting |
//! | [`fn@scope`], [`cancellable`] | tasks and operations that end together; buffers back from what is cancelled |
//! | [`spawn_blocking`] | calls that block, on threads of their own |
//! | [`Runtime`], [`macro@main`], [`macro@test`] | the loop that runs it all |
//! | [`buf`] | what can be lent to an operation |
//! | [`pool`] | buffers that the kernel chooses from when there is data |
//! | [`op`] | single operations, and how to write one of your own |
//! | [`ring`] | the bare submission and completion queues, usable without the runtime |
//! | [`fd`] | shared descriptors |
//!
//! With the feature `sim`, the module `sim` has a simulated kernel to test programs on.
//!
//! # Threads
//!
//! A runtime and all that belongs to it lives on one thread; its futures need not be `Send`. Only wakers
//! travel, so channels between threads work. To use several cores, start a thread with a runtime for each.
//!
//! # Dropping and cancelling
//!
//! Every public call is an `async fn`: nothing happens before the first poll. Dropping a future in flight
//! cancels its operation, without blocking or allocating; the memory that was lent to the kernel stays in
//! place until the kernel is done with it. What a stream had already delivered to a dropped receive or
//! accept goes to the next one. So `select!` on a receive is safe.

mod blocking;
pub mod buf;
mod driver;
pub mod fd;
pub mod fs;
pub mod io;
pub mod net;
pub mod op;
mod panics;
pub mod pool;
pub mod ring;
mod runtime;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod sync;
mod sys;
pub mod task;
pub mod time;

pub use blocking::spawn_blocking;
pub use runtime::{
    Builder, Cancellable, Canceller, Metrics, Runtime, Scope, ShutdownReport, cancellable, scope,
};
pub use task::spawn;
pub use uring_macros::{main, test};

/// The example in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

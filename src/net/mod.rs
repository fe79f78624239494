//! TCP over io_uring: listeners and streams.
//!
//! Everything takes `&self`: a task can receive while another sends on the same [`TcpStream`]. Operations of
//! one direction go one after the other, in the order of their first poll.
//!
//! Receiving and accepting are *lossless*: what the kernel had already taken for a future that was dropped
//! goes to the next call on that socket, in order. So both may stand in a `select!`.
//!
//! What is no operation of the kernel's ring is a plain system call, and none of those blocks: binding,
//! options, addresses, `shutdown(2)`. Looking up a name does block, so it runs on a thread for such calls; see
//! [`ToSocketAddrs`].
//!
//! ```
//! use uring::net::{TcpListener, TcpStream};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! uring::Runtime::new()?.block_on(async {
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     let client = TcpStream::connect(listener.local_addr()?).await?;
//!     let (server, _) = listener.accept().await?;
//!
//!     client.send_all("hello").await?;
//!     let (n, buf) = server.recv(Vec::with_capacity(16)).await?;
//!     assert_eq!((n, &buf[..]), (5, &b"hello"[..]));
//!     Ok(())
//! })
//! # }
//! ```
#![forbid(unsafe_code)]

mod address;
mod incoming;
mod incoming_bytes;
mod socket;
mod tcp_futures;
mod tcp_leased;
mod tcp_listener;
mod tcp_stream;
mod tcp_zero_copy;

pub use address::{Addresses, ToSocketAddrs};
pub use incoming::Incoming;
pub use incoming_bytes::IncomingBytes;
pub use tcp_listener::TcpListener;
pub use tcp_stream::TcpStream;

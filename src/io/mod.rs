//! Readers and writers that take their buffers by value, copying from one to the other, and errors that say
//! what they are about.
//!
//! [`Read`] and [`Write`] are to this runtime what the traits of the same names are to [`std::io`], with one
//! difference: the buffer is moved in and comes back with the result, on failure inside a
//! [`BufError`](crate::buf::BufError). They have no `dyn` form, and their futures are `!Send`: both follow
//! from buffers that are lent to the kernel of one thread.
//!
//! ```
//! use uring::io::{Read, Write};
//!
//! /// Answers with the length of what came.
//! async fn measure(mut peer: impl Read + Write) -> std::io::Result<()> {
//!     let (len, _) = peer.read_to_end(Vec::new()).await?;
//!     peer.write_all(format!("{len} bytes\n")).await?;
//!     Ok(())
//! }
//! ```
//!
//! Interrupted calls (`EINTR`) are made again by everything here that makes more than one call.

#![forbid(unsafe_code)]

mod copy;
mod error;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use copy::copy;
pub(crate) use error::interrupted;
pub use error::{OpError, raw_os_error};
pub use read::Read;
pub use write::Write;

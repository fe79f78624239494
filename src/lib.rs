//! An async runtime for Linux on io_uring.

pub mod buf;
mod driver;
pub mod fd;
pub mod op;
pub mod ring;
mod runtime;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod sys;
pub mod task;
pub mod time;

pub use runtime::{Builder, Metrics, Runtime, ShutdownReport};
pub use task::spawn;

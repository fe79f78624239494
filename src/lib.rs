//! An async runtime for Linux on io_uring.

// Until the runtime is built on them, the layers below it have only their tests as users.
#![cfg_attr(not(test), allow(dead_code, unused_imports))]

pub mod task;
pub mod time;

pub use task::spawn;

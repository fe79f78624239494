//! Errors that say what they are about.

#![forbid(unsafe_code)]

mod error;

pub use error::{OpError, raw_os_error};

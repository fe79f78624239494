//! An async runtime for Linux on io_uring.
#![allow(dead_code)]

pub mod fd;
pub mod ring;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod sys;

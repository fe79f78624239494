//! An async runtime for Linux on io_uring.
#![allow(dead_code)]

pub mod buf;
mod driver;
pub mod fd;
pub mod io;
pub mod op;
pub mod ring;
mod sys;

//! An async runtime for Linux on io_uring.
#![allow(dead_code)]

pub mod buf;
pub mod fd;
pub mod ring;
mod sys;

//! An async runtime for Linux on io_uring.

//! What Linux says: the io_uring ABI, its three system calls, mapped memory, and the plain calls that copy files.
//! No policy.
//!
//! The definitions are our own rather than generated: every union of `io_uring_sqe` overlays integers of one
//! width, so plain integer structs describe the whole interface without a union, and each layout is asserted
//! at compile time. They follow the kernel's `include/uapi/linux/io_uring.h` as of Linux 7.1.

pub(crate) mod abi;
pub(crate) mod mapping;
pub(crate) mod pages;
pub(crate) mod plain;
pub(crate) mod process;
pub(crate) mod syscall;
pub(crate) mod transfer;

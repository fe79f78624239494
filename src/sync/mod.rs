//! What threads share, by names that a loom model can replace: the standard library's, or loom's in tests under
//! `--cfg loom`. The files that wake across threads take atomics, locks and thread-locals from here, and the cells
//! that only one thread may touch at a time.
//!
//! Loom runs a model once for every order in which its threads can take turns at these types, and for every
//! value that a load may then yield. `Arc` stays the standard library's, because `Waker` wants it so: its counts
//! are not part of the models.

#[cfg(all(test, loom))]
mod modelled;
#[cfg(test)]
pub(crate) mod tests;

#[cfg(all(test, loom))]
pub(crate) use modelled::{
    AtomicBool, AtomicI64, AtomicU8, Cell, Lifetime, Mutex, MutexGuard, thread_local,
};
#[cfg(not(all(test, loom)))]
pub(crate) use std::{
    cell::Cell,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicI64, AtomicU8},
    },
    thread_local,
};

/// Tells models when memory is used and when it is freed; elsewhere nobody, and it is empty.
#[cfg(not(all(test, loom)))]
#[derive(Debug)]
pub(crate) struct Lifetime;

#[cfg(not(all(test, loom)))]
impl Lifetime {
    #[inline]
    pub(crate) fn new() -> Lifetime {
        Lifetime
    }

    #[inline]
    pub(crate) fn used(&self) {}

    #[inline]
    pub(crate) fn freed(&self) {}
}

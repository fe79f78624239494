//! What is registered with a ring.

mod fixed;

#[cfg(test)]
pub(crate) use fixed::Place;
pub use fixed::{FixedBuf, FixedBufMut};

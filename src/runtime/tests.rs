//! The loop's parts together.

#[cfg(loom)]
mod loom;

//! The stand-ins for a model.

pub(crate) use loom::{
    cell::Cell,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicI64, AtomicU8, fence},
    },
};

/// Loom's thread-locals are initialized lazily alone, and belong to the model's threads: all of them run on one
/// thread of the system.
macro_rules! local {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = const $initial:block;) => {
        ::loom::thread_local! { $(#[$attribute])* static $name: $type = $initial }
    };
}
pub(crate) use local as thread_local;

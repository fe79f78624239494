//! The stand-ins for a model.

pub(crate) use loom::{
    cell::Cell,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicI64, AtomicU8},
    },
};

/// Memory that is used until it is freed: a model fails in which a use and the freeing are in no order.
#[derive(Debug)]
pub(crate) struct Lifetime(loom::cell::UnsafeCell<()>);

impl Lifetime {
    pub(crate) fn new() -> Lifetime {
        Lifetime(loom::cell::UnsafeCell::new(()))
    }

    pub(crate) fn used(&self) {
        self.0.with(|_| ());
    }

    pub(crate) fn freed(&self) {
        self.0.with_mut(|_| ());
    }
}

/// Loom's thread-locals are initialized lazily alone, and belong to the model's threads: all of them run on one
/// thread of the system.
macro_rules! local {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = const $initial:block;) => {
        ::loom::thread_local! { $(#[$attribute])* static $name: $type = $initial }
    };
}
pub(crate) use local as thread_local;

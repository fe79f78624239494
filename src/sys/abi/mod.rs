//! Every struct, flag and number of `io_uring.h` and of the headers beside it (query, zero-copy receive,
//! filters), as Linux 7.1 has them. Published as `ring::abi`, where the conventions are explained.
//!
//! Left out: `LIBURING_UDATA_TIMEOUT`, which is no part of the kernel's interface, and the `IOSQE_*_BIT`
//! positions, which are those of [`SqeFlags`].

/// Asserts size, alignment and the offset of every field of a struct that the kernel reads or writes.
macro_rules! layout {
    ($name:ident, $size:literal, $align:literal, { $($field:ident @ $offset:literal),* $(,)? }) => {
        const _: () = {
            assert!(size_of::<$name>() == $size);
            assert!(align_of::<$name>() == $align);
            $(assert!(std::mem::offset_of!($name, $field) == $offset);)*
        };
    };
}

/// Defines a type for numbers of which each means one thing, with the first kernel that knows it.
macro_rules! numbers {
    ($(#[$about:meta])* $name:ident: $int:ty {
        $($(#[$doc:meta])* $item:ident = $value:literal, $since:literal;)*
    }) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(pub $int);

        impl $name {
            $(
                $(#[$doc])*
                #[doc = concat!(" Linux ", $since, ".")]
                pub const $item: $name = $name($value);
            )*

            /// All that are known here, in ascending order.
            pub const ALL: &'static [$name] = &[$($name::$item),*];

            /// The kernel's name without its prefix; none for a number that is not known here.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($item)),)*
                    _ => None,
                }
            }

            /// The first kernel that knows it, such as `"5.1"`; none for a number that is not known here.
            pub const fn since(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($since),)*
                    _ => None,
                }
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    Some(name) => write!(f, "{}::{name}", stringify!($name)),
                    None => write!(f, "{}({})", stringify!($name), self.0),
                }
            }
        }
    };
}

mod bpf;
mod buffers;
mod cqe;
mod enter;
mod file_flags;
mod napi;
mod opcode;
mod query;
mod region;
mod register;
mod request_flags;
mod resources;
mod restriction;
mod setup;
mod socket_flags;
mod sqe;
mod statx;
#[cfg(test)]
mod tests;
mod zcrx;

pub use bpf::*;
pub use buffers::*;
pub use cqe::*;
pub use enter::*;
pub use file_flags::*;
pub use napi::*;
pub use opcode::*;
pub use query::*;
pub use region::*;
pub use register::*;
pub use request_flags::*;
pub use resources::*;
pub use restriction::*;
pub use setup::*;
pub use socket_flags::*;
pub use sqe::*;
pub use statx::*;
pub use zcrx::*;

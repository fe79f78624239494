//! Provided buffers: memory that the kernel chooses from when data is there, not when it is asked for.
//!
//! A request that selects a buffer (`IOSQE_BUFFER_SELECT`) names a [group](super::BufGroup) in place of memory. A
//! thousand idle connections need no buffer then; the one that has data takes one.
//!
//! | type | how buffers reach the kernel | since |
//! |---|---|---|
//! | [`BufRing`] | through a ring in shared memory, at the cost of a store | Linux 5.19 |
//! | [`ClassicBuffers`] | by a submission | Linux 5.7 |
//!
//! What a completion brings is a [`Lease`]: the bytes, and the duty to give the buffer back, which its drop
//! sees to. No byte has two owners: the kernel fills a buffer again only after all of its leases are gone.
//!
//! # The take contract
//!
//! A completion is a few numbers. Which bytes are now ours follows from them and from which group they are
//! about, so the functions that turn one into leases are `unsafe`, with this contract:
//!
//! > The completion was copied out of this group's ring, belongs to a request that selected from this group,
//! > and is passed once; those of a group whose buffers are consumed
//! > [piece by piece](BufRingSetup::incremental) are passed in the order in which they were copied out.
//!
//! There the order matters since only the order says where a piece begins. For the same reason a request
//! that is not served in that order must take a whole buffer of such a group, that is, ask for 0 bytes: one
//! on a regular file, or one that goes to a worker thread (`IOSQE_ASYNC`).
//!
//! What can be checked is checked all the same: a buffer that the kernel does not have, a length beyond it,
//! more buffers than were out. Such a completion is an error, and changes nothing.
//!
//! # What a submission is lent
//!
//! A request that selects from a group is lent the group: it is not dropped before the request's final
//! completion was copied out. See the [push contract](super#the-push-contract).

mod buf_ring;
mod classic;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod lease;
mod ledger;
mod memory;
mod pool;
mod recvmsg;
#[cfg(test)]
mod tests;

pub use buf_ring::{BufRing, BufRingSetup};
pub use classic::ClassicBuffers;
pub use lease::{Lease, Leases};
pub use recvmsg::{ControlMessage, ControlMessages, RecvMsgOut};

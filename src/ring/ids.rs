//! Numbers that one ring gave out, and that mean nothing to another.
//!
//! Each carries the [`RingId`] of its ring: [`Ring::push`](super::Ring::push) refuses a submission with
//! another ring's, which would work on somebody else's file.

use super::{Ring, RingId};

/// A place in a ring's table of registered files: a *direct descriptor*. Linux 5.1.
///
/// Made by [`Files`](super::Files). That a slot exists does not mean that a file is in it: an operation on an
/// empty one completes with `EBADF`. One that outlives its table names a place in the ring's next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    pub(super) index: u32,
    pub(super) ring: RingId,
}

impl Slot {
    /// Its place in the table.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The ring whose table it is in.
    pub fn ring(&self) -> RingId {
        self.ring
    }
}

/// Credentials that a ring keeps, to be used by submissions. Linux 5.6.
///
/// Made by [`Personality`](super::Personality); when that is gone, the id names nothing, and a submission
/// with it fails with `EINVAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PersonalityId {
    pub(super) id: u16,
    pub(super) ring: RingId,
}

impl PersonalityId {
    /// The number that the kernel gave, from 1.
    pub fn number(&self) -> u16 {
        self.id
    }

    /// The ring that keeps the credentials.
    pub fn ring(&self) -> RingId {
        self.ring
    }
}

/// A group of provided buffers. Linux 5.7.
///
/// The program chooses the number. A group that does not exist has no buffers: an operation that is to take
/// one completes with `ENOBUFS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BufGroup {
    pub(super) id: u16,
    pub(super) ring: RingId,
}

impl BufGroup {
    /// The group of that number on that ring.
    ///
    /// A request that selects from a group is lent it, so a name is for those who have the ring. That of a runtime
    /// cannot be had, or safe code could free a pool while an operation of its own has yet to select from it:
    ///
    /// ```compile_fail,E0308
    /// use uring::ring::{BufGroup, RingId};
    ///
    /// fn group(of_a_submission: RingId) -> BufGroup {
    ///     BufGroup::new(of_a_submission, 0)
    /// }
    /// ```
    pub fn new(ring: &Ring, id: u16) -> BufGroup {
        BufGroup { id, ring: ring.id() }
    }

    /// Its number.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// The ring that takes buffers from it.
    pub fn ring(&self) -> RingId {
        self.ring
    }
}

/// A queue of zero-copy receive. Linux 6.15.
///
/// One that does not exist is answered by `EINVAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ZcrxId {
    pub(super) id: u32,
    pub(super) ring: RingId,
}

impl ZcrxId {
    /// The queue of that number on that ring.
    pub fn new(ring: RingId, id: u32) -> ZcrxId {
        ZcrxId { id, ring }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The ring that it is registered with.
    pub fn ring(&self) -> RingId {
        self.ring
    }
}

/// A place in a ring's table of registered buffers. Linux 5.1.
///
/// For what names the buffer beside the memory in it ([`Sqe::read_vectored_fixed`](super::Sqe)). One that is
/// empty is answered by `EFAULT`, and so is memory that lies elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BufIndex {
    pub(super) index: u16,
    pub(super) ring: RingId,
}

impl BufIndex {
    /// That place in the table of that ring.
    pub fn new(ring: RingId, index: u16) -> BufIndex {
        BufIndex { index, ring }
    }

    /// Its place in the table.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// The ring whose table it is in.
    pub fn ring(&self) -> RingId {
        self.ring
    }
}

//! Submissions: one constructor per operation, each borrowing what it lends to the kernel.
//!
//! This is the only place that turns references into addresses. Constructors are safe, but for the few that
//! lend more than they can borrow (`unsafe`, each with its contract). The fields are those that
//! `io_uring_enter(2)` and `io_uring.h` name; whatever an operation does not use stays zero, since the
//! kernel refuses what it does not expect.

use std::fmt;
use std::marker::PhantomData;

use super::{Entry128, PersonalityId, RingId};
use crate::sys::abi::{Opcode, RawSqe, RawSqe128, SqeFlags};

mod buffers;
mod cancel;
mod command;
mod epoll;
mod file;
mod flags;
mod futex;
mod memory;
mod message;
mod msg_ring;
mod nop;
mod path;
mod poll;
mod process;
mod slots;
mod socket;
mod splice;
mod target;
mod timeout;
mod transfer;
mod vectors;
mod xattr;

#[cfg(test)]
mod tests;

pub use cancel::CancelKey;
pub use epoll::EpollChange;
pub use file::FileAdvice;
pub use futex::FutexWaiter;
pub use memory::Advice;
pub use message::{MsgHeader, MsgRooms};
pub use path::OpenHow;
pub use process::{ChildId, ChildInfo};
pub use slots::SlotUpdate;
pub use target::{At, Install, Target};
pub use vectors::{IoVecs, Rooms, Slices};

/// A submission without its borrow: what is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The submission as the kernel reads it.
    pub(crate) sqe: RawSqe,
    /// The ring that gave out what it names; none if it names nothing of the kind.
    pub(super) ring: Option<RingId>,
}

impl Entry {
    /// An operation with a number in the place of the file.
    fn with_fd(opcode: Opcode, fd: i32, fields: RawSqe) -> Entry {
        Entry { sqe: RawSqe { opcode: opcode.0, fd, ..fields }, ring: None }
    }

    /// An operation on no file.
    fn of(opcode: Opcode, fields: RawSqe) -> Entry {
        Entry::with_fd(opcode, -1, fields)
    }

    /// An operation on a file.
    fn on(opcode: Opcode, target: Target<'_>, fields: RawSqe) -> Entry {
        let entry = Entry::with_fd(opcode, target.raw(), fields);
        match target {
            Target::Fd(_) => entry,
            Target::Fixed(slot) => entry.flag(SqeFlags::FIXED_FILE).names(slot.ring),
        }
    }

    /// Notes that it names something which a ring gave out. What names things of two rings suits neither.
    fn names(mut self, ring: RingId) -> Entry {
        self.ring = match self.ring {
            Some(other) if other != ring => Some(RingId::NOBODYS),
            _ => Some(ring),
        };
        self
    }

    /// Has the new file go to a table of registered files.
    fn install(mut self, install: Install) -> Entry {
        self.sqe.splice_fd = install.raw();
        match install {
            Install::Slot(slot) => self.names(slot.ring),
            Install::Any => self,
        }
    }

    fn flag(mut self, flag: SqeFlags) -> Entry {
        self.sqe.flags |= flag.bits();
        self
    }

    fn personality(mut self, personality: PersonalityId) -> Entry {
        self.sqe.personality = personality.id;
        self.names(personality.ring)
    }

    /// Names a registered buffer.
    fn buffer(mut self, index: u16, ring: RingId) -> Entry {
        self.sqe.buf = index;
        self.names(ring)
    }

    /// What the completion will carry.
    pub fn user_data(mut self, user_data: u64) -> Entry {
        self.sqe.user_data = user_data;
        self
    }

    /// The submission as the kernel reads it.
    pub fn raw(&self) -> &RawSqe {
        &self.sqe
    }

    /// The ring that gave out what it names, such as a direct descriptor; none if it names nothing of the
    /// kind.
    pub fn ring(&self) -> Option<RingId> {
        self.ring
    }
}

impl From<RawSqe> for Entry {
    fn from(sqe: RawSqe) -> Entry {
        Entry { sqe, ring: None }
    }
}

impl From<Sqe<'_>> for Entry {
    fn from(sqe: Sqe<'_>) -> Entry {
        sqe.into_raw()
    }
}

impl From<MultiSqe<'_>> for Entry {
    fn from(sqe: MultiSqe<'_>) -> Entry {
        sqe.into_raw()
    }
}

impl From<Sqe128<'_>> for Entry128 {
    fn from(sqe: Sqe128<'_>) -> Entry128 {
        sqe.into_raw()
    }
}

/// A submission of 64 bytes on a ring whose entries all have 128 (`IORING_SETUP_SQE128`, Linux 5.19).
impl From<Entry> for Entry128 {
    fn from(entry: Entry) -> Entry128 {
        Entry128::new(entry, [0; 64])
    }
}

/// A submission that completes once, borrowing for `'a` what it lends to the kernel.
///
/// (A zero-copy send posts a second completion, which says that its memory is free again: see
/// [`Sqe::send_zc`].) The borrow is checked up to here; what comes after is the
/// [push contract](crate::ring#the-push-contract).
///
/// ```
/// use uring::ring::{Setup, Sqe};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut ring = Setup::new(8).build()?;
/// let first = Sqe::nop().user_data(1).link();
/// let second = Sqe::nop().user_data(2);
/// // SAFETY: nothing is lent.
/// unsafe {
///     ring.push(first)?;
///     ring.push(second)?;
/// }
/// ring.submit_and_wait(2, None)?;
/// assert_eq!(ring.ready(), 2);
/// # Ok(())
/// # }
/// ```
#[must_use = "a submission does nothing until it is pushed"]
pub struct Sqe<'a> {
    entry: Entry,
    _lent: PhantomData<&'a mut ()>,
}

/// A submission that completes many times, until [`Cqe::more`](super::Cqe::more) is false.
///
/// A type of its own because it lends nothing mutably: completions are handled while the request lives on,
/// so memory that the kernel writes could be seen changing. Nor can it be awaited like one that completes
/// once, which would lose all results but the first. Linux 5.13.
#[must_use = "a submission does nothing until it is pushed"]
pub struct MultiSqe<'a> {
    entry: Entry,
    _lent: PhantomData<&'a ()>,
}

/// A submission of 128 bytes, for rings with `IORING_SETUP_SQE128` (Linux 5.19) or
/// `IORING_SETUP_SQE_MIXED` (Linux 6.19).
///
/// On the former every submission has 128 bytes: `Sqe128::from` pads one of 64.
#[must_use = "a submission does nothing until it is pushed"]
pub struct Sqe128<'a> {
    entry: Entry,
    more: [u8; 64],
    _lent: PhantomData<&'a mut ()>,
}

impl<'a> Sqe<'a> {
    fn new(entry: Entry) -> Sqe<'a> {
        Sqe { entry, _lent: PhantomData }
    }

    /// Names a registered buffer.
    fn buffer(mut self, index: u16, ring: RingId) -> Sqe<'a> {
        self.entry = self.entry.buffer(index, ring);
        self
    }

    /// An operation that this module does not know.
    ///
    /// # Safety
    ///
    /// All addresses in `raw` point to memory that may be lent for `'a`, and descriptors in it are open and
    /// not closed by it behind their owner's back. It completes once, and does not make the kernel say
    /// something untrue of another request.
    pub unsafe fn raw(raw: RawSqe) -> Sqe<'a> {
        Sqe::new(raw.into())
    }

    /// The submission without its borrow, which ends here; [`Ring::push`](super::Ring::push) has the contract
    /// that takes its place.
    pub fn into_raw(self) -> Entry {
        self.entry
    }
}

impl<'a> MultiSqe<'a> {
    fn new(entry: Entry) -> MultiSqe<'a> {
        MultiSqe { entry, _lent: PhantomData }
    }

    /// An operation that this module does not know.
    ///
    /// # Safety
    ///
    /// As [`Sqe::raw`], but it may complete many times, and then what it points to is not written to.
    pub unsafe fn raw(raw: RawSqe) -> MultiSqe<'a> {
        MultiSqe::new(raw.into())
    }

    /// The submission without its borrow; see [`Sqe::into_raw`].
    pub fn into_raw(self) -> Entry {
        self.entry
    }
}

impl<'a> Sqe128<'a> {
    fn new(entry: Entry, more: [u8; 64]) -> Sqe128<'a> {
        Sqe128 { entry, more, _lent: PhantomData }
    }

    /// An operation that this module does not know.
    ///
    /// # Safety
    ///
    /// As [`Sqe::raw`].
    pub unsafe fn raw(raw: RawSqe128) -> Sqe128<'a> {
        Sqe128::new(raw.first.into(), raw.more)
    }

    /// The submission without its borrow; see [`Sqe::into_raw`].
    pub fn into_raw(self) -> Entry128 {
        Entry128::new(self.entry, self.more)
    }
}

impl<'a> From<Sqe<'a>> for Sqe128<'a> {
    fn from(sqe: Sqe<'a>) -> Sqe128<'a> {
        Sqe128::new(sqe.entry, [0; 64])
    }
}

fn show(name: &str, entry: &Entry, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.debug_struct(name)
        .field("opcode", &Opcode(entry.sqe.opcode))
        .field("flags", &SqeFlags::from_bits_retain(entry.sqe.flags))
        .field("fd", &entry.sqe.fd)
        .field("user_data", &entry.sqe.user_data)
        .field("ring", &entry.ring)
        .finish_non_exhaustive()
}

impl fmt::Debug for Sqe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show("Sqe", &self.entry, f)
    }
}

impl fmt::Debug for MultiSqe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show("MultiSqe", &self.entry, f)
    }
}

impl fmt::Debug for Sqe128<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show("Sqe128", &self.entry, f)
    }
}

/// The address of memory that the kernel writes to.
fn written_by_kernel<T>(memory: &mut [T]) -> u64 {
    memory.as_mut_ptr().expose_provenance() as u64
}

/// As [`written_by_kernel`], of one value.
fn written_to<T>(value: &mut T) -> u64 {
    written_by_kernel(std::slice::from_mut(value))
}

/// The address of memory that the kernel reads.
fn read_by_kernel<T>(memory: &[T]) -> u64 {
    memory.as_ptr().expose_provenance() as u64
}

/// As [`read_by_kernel`], of one value.
fn read_from<T>(value: &T) -> u64 {
    read_by_kernel(std::slice::from_ref(value))
}

/// The address of a path or name.
fn text(path: &std::ffi::CStr) -> u64 {
    read_by_kernel(path.to_bytes_with_nul())
}

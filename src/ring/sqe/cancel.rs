//! Cancelling requests.

use super::{Entry, Sqe, Target};
use crate::sys::abi::{CancelFlags, Opcode, RawSqe};

/// Which requests of a ring to cancel: those that match all that is given here. Linux 5.19; two or more of
/// `user_data`, `file` and `opcode` together, Linux 6.6.
///
/// ```
/// use uring::ring::{CancelKey, Opcode, Sqe};
///
/// let reads = CancelKey { opcode: Some(Opcode::READ), all: true, ..CancelKey::ANY };
/// let sqe = Sqe::cancel_matching(reads);
/// # let _ = sqe;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CancelKey<'a> {
    /// Those with this `user_data`.
    pub user_data: Option<u64>,
    /// Those on this open file; a registered one, Linux 6.0.
    pub file: Option<Target<'a>>,
    /// Those of this operation. Linux 6.6.
    pub opcode: Option<Opcode>,
    /// All that match, not only the first that is found.
    pub all: bool,
}

impl CancelKey<'_> {
    /// Nothing is asked for, so all requests match, and all are cancelled.
    pub const ANY: CancelKey<'static> =
        CancelKey { user_data: None, file: None, opcode: None, all: false };

    /// The key as the kernel is told of it.
    pub(crate) fn flags(&self) -> CancelFlags {
        let mut flags = CancelFlags::empty();
        flags.set(CancelFlags::ALL, self.all);
        flags.set(CancelFlags::FD, self.file.is_some());
        flags.set(CancelFlags::FD_FIXED, matches!(self.file, Some(Target::Fixed(_))));
        flags.set(CancelFlags::OP, self.opcode.is_some());
        let others = self.file.is_some() || self.opcode.is_some();
        // By `user_data` alone is what no flag means.
        flags.set(CancelFlags::USERDATA, others && self.user_data.is_some());
        flags.set(CancelFlags::ANY, !others && self.user_data.is_none());
        flags
    }
}

/// A request that is cancelled has a completion of its own all the same, as a rule `ECANCELED`, and owns the
/// memory it was lent until then. What a worker thread is doing already is interrupted if it can be.
impl<'a> Sqe<'a> {
    /// Cancels the request with this `user_data`: the result is 0, `ENOENT` (none such) or `EALREADY`
    /// (running; it may or may not stop). Linux 5.5.
    pub fn cancel(user_data: u64) -> Sqe<'a> {
        let fields = RawSqe { addr: user_data, ..RawSqe::default() };
        Sqe::new(Entry::of(Opcode::ASYNC_CANCEL, fields))
    }

    /// Cancels what matches; the result is as of [`Sqe::cancel`], or with [`all`](CancelKey::all) and of
    /// [`CancelKey::ANY`] how many there were, which may be 0. Linux 5.19.
    pub fn cancel_matching(key: CancelKey<'a>) -> Sqe<'a> {
        let fields = RawSqe {
            addr: key.user_data.unwrap_or(0),
            len: key.opcode.map_or(0, |opcode| opcode.0.into()),
            op_flags: key.flags().bits(),
            ..RawSqe::default()
        };
        // The operation itself works on no file: what `fd` is, the flags above say.
        let fd = key.file.map_or(-1, Target::raw);
        let entry = Entry::with_fd(Opcode::ASYNC_CANCEL, fd, fields);
        Sqe::new(match key.file {
            Some(Target::Fixed(slot)) => entry.names(slot.ring),
            _ => entry,
        })
    }
}

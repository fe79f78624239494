//! A completion, copied out of the queue.

use std::io;

use crate::sys::abi::{CQE_BUFFER_SHIFT, CqeFlags, RawCqe};

/// One completion queue entry.
///
/// A request may complete several times: while [`more`](Cqe::more) holds, another entry with the same
/// `user_data` will follow. `io_uring(7)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cqe(RawCqe);

impl Cqe {
    /// A completion made by hand, for kernels in user space and for tests.
    pub fn new(user_data: u64, res: i32, flags: u32) -> Cqe {
        Cqe(RawCqe { user_data, res, flags })
    }

    /// What the submission carried.
    pub fn user_data(&self) -> u64 {
        self.0.user_data
    }

    /// The result as the operation's man page words it, or the error.
    pub fn result(&self) -> io::Result<u32> {
        match u32::try_from(self.0.res) {
            Ok(count) => Ok(count),
            // `wrapping_neg`: a kernel that answered `i32::MIN` must not make us panic.
            Err(_) => Err(io::Error::from_raw_os_error(self.0.res.wrapping_neg())),
        }
    }

    /// The result word as the kernel wrote it: negative values are errnos.
    pub fn raw_result(&self) -> i32 {
        self.0.res
    }

    /// The flag word as the kernel wrote it: `IORING_CQE_F_*`, and the buffer id above.
    pub(crate) fn raw_flags(&self) -> u32 {
        self.0.flags
    }

    /// What the kernel says beside the result: `IORING_CQE_F_*`, without the buffer id.
    pub fn flags(&self) -> CqeFlags {
        CqeFlags::from_bits_retain(self.0.flags & ((1 << CQE_BUFFER_SHIFT) - 1))
    }

    /// Whether more completions of the same request will follow (`IORING_CQE_F_MORE`, Linux 5.13).
    pub fn more(&self) -> bool {
        self.flags().contains(CqeFlags::MORE)
    }

    /// Whether this one only says that a zero-copy send is done with its buffer (`IORING_CQE_F_NOTIF`,
    /// Linux 6.0).
    pub fn notification(&self) -> bool {
        self.flags().contains(CqeFlags::NOTIF)
    }

    /// Whether the socket had more to give (`IORING_CQE_F_SOCK_NONEMPTY`, Linux 5.19).
    pub fn socket_nonempty(&self) -> bool {
        self.flags().contains(CqeFlags::SOCK_NONEMPTY)
    }

    /// Which provided buffer the kernel used, if any (`IORING_CQE_F_BUFFER`, Linux 5.7).
    pub fn buffer_id(&self) -> Option<u16> {
        let used = self.flags().contains(CqeFlags::BUFFER);
        used.then_some((self.0.flags >> CQE_BUFFER_SHIFT) as u16)
    }
}

/// A completion of 32 bytes: every one of a ring with [`SetupFlags::CQE32`](super::SetupFlags::CQE32) (Linux
/// 5.19), or a large one of a ring with [`SetupFlags::CQE_MIXED`](super::SetupFlags::CQE_MIXED) (Linux 6.18).
/// A small one has zeros for its second half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BigCqe {
    /// The first half: a completion as any other.
    pub cqe: Cqe,
    /// The second half, whose meaning is the operation's.
    pub extra: [u64; 2],
}

impl From<BigCqe> for Cqe {
    fn from(big: BigCqe) -> Cqe {
        big.cqe
    }
}

impl From<RawCqe> for Cqe {
    fn from(raw: RawCqe) -> Cqe {
        Cqe(raw)
    }
}

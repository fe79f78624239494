//! Sending and receiving.

use super::file::transfer_len;
use super::{Entry, MultiSqe, Slices, Sqe, Target, read_by_kernel};
use crate::buf::Room;
use crate::ring::{Address, BufGroup, FixedBuf, ZcrxId};
use crate::sys::abi::{Opcode, RawSqe, RecvSendFlags};

/// `flags` is `MSG_*`. What is sent gets `MSG_NOSIGNAL` added: a peer that has gone away is an error
/// (`EPIPE`), never a signal. `MSG_ZEROCOPY` is left out of what is no zero-copy send by its operation: the kernel
/// would read the bytes long after the completion. A socket with `O_NONBLOCK` is waited for all the same;
/// `MSG_DONTWAIT` makes it `EAGAIN`.
impl<'a> Sqe<'a> {
    /// Receives into the front of `room`. `recv(2)`, Linux 5.6.
    pub fn recv(target: Target<'a>, room: impl Into<Room<'a>>, flags: i32) -> Sqe<'a> {
        let mut room = room.into();
        let fields = RawSqe {
            len: transfer_len(room.len()),
            addr: room.expose(),
            op_flags: flags as u32,
            ..RawSqe::default()
        };
        Sqe::new(Entry::on(Opcode::RECV, target, fields))
    }

    /// Receives into a buffer of a group, at most `limit_bytes`; 0 is the whole buffer. `recv(2)`, Linux 5.7;
    /// see [`Sqe::buffer_group`] and [`Sqe::bundle`].
    pub fn recv_provided(
        target: Target<'a>,
        group: BufGroup,
        limit_bytes: u32,
        flags: i32,
    ) -> Sqe<'a> {
        let len = transfer_len(limit_bytes as usize);
        let fields = RawSqe { len, op_flags: flags as u32, ..RawSqe::default() };
        Sqe::new(Entry::on(Opcode::RECV, target, fields)).buffer_group(group)
    }

    /// Sends `bytes`; fewer may be taken, unless `MSG_WAITALL` is set (Linux 5.19). `send(2)`, Linux 5.6.
    pub fn send(target: Target<'a>, bytes: &'a [u8], flags: i32) -> Sqe<'a> {
        Sqe::new(Entry::on(Opcode::SEND, target, sent(bytes, flags)))
    }

    /// Sends `bytes` to an address, from a socket that need not be connected. `sendto(2)`, Linux 6.0.
    pub fn send_to(target: Target<'a>, bytes: &'a [u8], flags: i32, to: &'a Address) -> Sqe<'a> {
        Sqe::new(Entry::on(Opcode::SEND, target, addressed(sent(bytes, flags), to)))
    }

    /// Sends one slice after the other, without the header that [`Sqe::send_msg`] needs
    /// (`IORING_SEND_VECTORIZED`, Linux 6.17; before, `EINVAL`).
    pub fn send_vectored(target: Target<'a>, slices: impl Into<Slices<'a>>, flags: i32) -> Sqe<'a> {
        Sqe::new(Entry::on(Opcode::SEND, target, vectored(slices.into(), flags)))
    }

    /// Sends a buffer of a group, at most `limit_bytes`; 0 is the whole buffer. Linux 6.10; see
    /// [`Sqe::buffer_group`] and [`Sqe::bundle`].
    pub fn send_provided(
        target: Target<'a>,
        group: BufGroup,
        limit_bytes: u32,
        flags: i32,
    ) -> Sqe<'a> {
        let len = transfer_len(limit_bytes as usize);
        let fields = RawSqe { addr: 0, len, ..sent(&[], flags) };
        Sqe::new(Entry::on(Opcode::SEND, target, fields)).buffer_group(group)
    }

    /// Sends `bytes` without copying them. `send(2)`, Linux 6.0.
    ///
    /// Two completions may come: the result, and if [`Cqe::more`](crate::ring::Cqe::more) is true for it
    /// (even if it is an error), a [notification](crate::ring::Cqe::notification) that the bytes are free
    /// again. They stay lent until then, which takes as long as the peer does to acknowledge them; a
    /// cancel does not shorten it. Sockets that cannot do it, such as those of the Unix domain, answer
    /// `EOPNOTSUPP`.
    pub fn send_zc(target: Target<'a>, bytes: &'a [u8], flags: i32) -> Sqe<'a> {
        Sqe::new(Entry::on(Opcode::SEND_ZC, target, sent(bytes, flags)))
    }

    /// As [`Sqe::send_zc`], to an address. `sendto(2)`, Linux 6.0.
    pub fn send_zc_to(target: Target<'a>, bytes: &'a [u8], flags: i32, to: &'a Address) -> Sqe<'a> {
        Sqe::new(Entry::on(Opcode::SEND_ZC, target, addressed(sent(bytes, flags), to)))
    }

    /// As [`Sqe::send_zc`], from a registered buffer, whose pages the kernel knows already
    /// (`IORING_RECVSEND_FIXED_BUF`). Linux 6.0.
    pub fn send_zc_fixed(target: Target<'a>, bytes: FixedBuf<'a>, flags: i32) -> Sqe<'a> {
        let place = bytes.place();
        let fields = RawSqe {
            addr: place.addr,
            len: transfer_len(place.len_bytes),
            ioprio: RecvSendFlags::FIXED_BUF.bits(),
            ..sent(&[], flags)
        };
        Sqe::new(Entry::on(Opcode::SEND_ZC, target, fields)).buffer(place.index, bytes.ring())
    }

    /// As [`Sqe::send_zc`], one slice after the other (`IORING_SEND_VECTORIZED`). Linux 6.17.
    pub fn send_zc_vectored(
        target: Target<'a>,
        slices: impl Into<Slices<'a>>,
        flags: i32,
    ) -> Sqe<'a> {
        Sqe::new(Entry::on(Opcode::SEND_ZC, target, vectored(slices.into(), flags)))
    }
}

/// The flags of what is sent. With `MSG_ZEROCOPY`, a socket that has `SO_ZEROCOPY` goes on reading what was lent
/// behind the final completion, and tells its error queue alone when it is done: the push contract would not
/// hold. Zero-copy operations set it by themselves.
pub(super) fn send_flags(flags: i32) -> u32 {
    ((flags | libc::MSG_NOSIGNAL) & !libc::MSG_ZEROCOPY) as u32
}

fn sent(bytes: &[u8], flags: i32) -> RawSqe {
    RawSqe {
        len: transfer_len(bytes.len()),
        addr: read_by_kernel(bytes),
        op_flags: send_flags(flags),
        ..RawSqe::default()
    }
}

fn addressed(fields: RawSqe, to: &Address) -> RawSqe {
    let name = to.as_bytes();
    // `addr_len` is the first u16 of this word, and the other one is padding.
    let splice_fd = halves(name.len() as u16);
    RawSqe { off: read_by_kernel(name), splice_fd, ..fields }
}

/// A word whose first two bytes are `first`.
fn halves(first: u16) -> u32 {
    let [a, b] = first.to_ne_bytes();
    u32::from_ne_bytes([a, b, 0, 0])
}

fn vectored(slices: Slices<'_>, flags: i32) -> RawSqe {
    RawSqe {
        addr: slices.addr,
        len: slices.count.min(u32::MAX as usize) as u32,
        ioprio: RecvSendFlags::SEND_VECTORIZED.bits(),
        op_flags: send_flags(flags),
        ..RawSqe::default()
    }
}

impl<'a> MultiSqe<'a> {
    /// Receives into buffers of a group until the stream ends (0 bytes), it fails, or the group is empty
    /// (`ENOBUFS`; what came stays in the socket). `recv(2)`, Linux 6.0.
    ///
    /// See [`MultiSqe::bundle`] and [`MultiSqe::limits`]. `MSG_WAITALL` is `EINVAL`.
    pub fn recv(target: Target<'a>, group: BufGroup, flags: i32) -> MultiSqe<'a> {
        let fields = RawSqe {
            ioprio: RecvSendFlags::RECV_MULTISHOT.bits(),
            op_flags: flags as u32,
            ..RawSqe::default()
        };
        MultiSqe::new(Entry::on(Opcode::RECV, target, fields)).buffer_group(group)
    }

    /// Receives without a copy, from a queue that is registered for the socket's network interface; each
    /// completion has 32 bytes and says in the second half where the data lies
    /// ([`ZcrxCqe`](crate::ring::abi::ZcrxCqe)). `limit_bytes` ends it; 0 is no limit. Linux 6.15.
    ///
    /// `EINVAL` without such a queue, and on a ring without completions of 32 bytes.
    pub fn recv_zc(target: Target<'a>, queue: ZcrxId, limit_bytes: u32) -> MultiSqe<'a> {
        let fields = RawSqe {
            len: limit_bytes,
            splice_fd: queue.id(),
            ioprio: RecvSendFlags::RECV_MULTISHOT.bits(),
            ..RawSqe::default()
        };
        MultiSqe::new(Entry::on(Opcode::RECV_ZC, target, fields).names(queue.ring()))
    }
}

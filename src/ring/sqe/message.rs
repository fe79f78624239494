//! Messages: data in several places, an address, and control messages, `sendmsg(2)` and `recvmsg(2)`.

use super::transfer::send_flags;
use super::{Entry, MultiSqe, Rooms, Slices, Sqe, Target, read_by_kernel, read_from};
use super::{written_by_kernel, written_to};
use crate::buf::Room;
use crate::ring::{Address, BufGroup, BufIndex};
use crate::sys::abi::{Opcode, RawSqe, RecvSendFlags};

/// `struct msghdr` as the kernel has it, with addresses as integers.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct RawHeader {
    name: usize,
    name_len: u32,
    vecs: usize,
    vec_count: usize,
    control: usize,
    control_len: usize,
    flags: u32,
}

const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<RawHeader>() == size_of::<libc::msghdr>());
    assert!(offset_of!(RawHeader, name_len) == offset_of!(libc::msghdr, msg_namelen));
    assert!(offset_of!(RawHeader, vecs) == offset_of!(libc::msghdr, msg_iov));
    assert!(offset_of!(RawHeader, control) == offset_of!(libc::msghdr, msg_control));
    assert!(offset_of!(RawHeader, flags) == offset_of!(libc::msghdr, msg_flags));
};

/// Storage for the header of one message: an operation keeps one beside its buffers, and the constructors
/// fill it. So no operation has a pointer in it.
///
/// After a receive it says what came.
#[derive(Debug, Default)]
pub struct MsgHeader(RawHeader);

impl MsgHeader {
    /// One that is not in use.
    pub fn new() -> MsgHeader {
        MsgHeader::default()
    }

    /// How long the sender's address is, in bytes; more than there was room for if it was cut.
    pub fn name_len(&self) -> u32 {
        self.0.name_len
    }

    /// How many bytes of control messages came.
    pub fn control_len(&self) -> usize {
        self.0.control_len
    }

    /// `MSG_*` of the message that came: `MSG_TRUNC` if its data was cut, `MSG_CTRUNC` if its control
    /// messages were.
    pub fn flags(&self) -> i32 {
        self.0.flags as i32
    }

    /// The sender's address, out of the room that was lent for it; its length is only known here.
    pub fn name(&self, mut room: Address) -> Address {
        *room.parts_mut().1 = self.0.name_len;
        room
    }
}

/// What each message of a multishot receive is given of its buffer, beside the 16 bytes of
/// [`RecvmsgOut`](crate::ring::abi::RecvmsgOut): so many bytes for the sender's address, then so many for
/// control messages; the rest is for its data. Linux 6.0.
#[derive(Clone, Debug)]
pub struct MsgRooms(RawHeader);

impl MsgRooms {
    /// Room for so many bytes of each.
    pub fn new(name_bytes: u32, control_bytes: u32) -> MsgRooms {
        let control_len = control_bytes as usize;
        MsgRooms(RawHeader { name_len: name_bytes, control_len, ..RawHeader::default() })
    }

    /// Room for the sender's address, in bytes.
    pub fn name_bytes(&self) -> u32 {
        self.0.name_len
    }

    /// Room for control messages, in bytes.
    pub fn control_bytes(&self) -> u32 {
        self.0.control_len as u32
    }
}

/// `flags` is `MSG_*`; what is sent gets `MSG_NOSIGNAL` added, and `MSG_ZEROCOPY` is left out of it.
impl<'a> Sqe<'a> {
    /// Sends a message: the slices one after the other, to `name` if the socket is not connected, with
    /// control messages (`cmsg(3)`). `sendmsg(2)`, Linux 5.3.
    pub fn send_msg(
        target: Target<'a>,
        header: &'a mut MsgHeader,
        name: Option<&'a Address>,
        slices: impl Into<Slices<'a>>,
        control: &'a [u8],
        flags: i32,
    ) -> Sqe<'a> {
        fill(header, name, slices.into(), control);
        sent(Opcode::SENDMSG, target, header, flags)
    }

    /// As [`Sqe::send_msg`] without copying the slices: see [`Sqe::send_zc`] for its two completions. Linux
    /// 6.1.
    pub fn send_msg_zc(
        target: Target<'a>,
        header: &'a mut MsgHeader,
        name: Option<&'a Address>,
        slices: impl Into<Slices<'a>>,
        control: &'a [u8],
        flags: i32,
    ) -> Sqe<'a> {
        fill(header, name, slices.into(), control);
        sent(Opcode::SENDMSG_ZC, target, header, flags)
    }

    /// As [`Sqe::send_msg_zc`], of slices that lie in the registered buffer `buffer`
    /// (`IORING_RECVSEND_FIXED_BUF`); `EFAULT` if one does not. Linux 6.15.
    pub fn send_msg_zc_fixed(
        target: Target<'a>,
        header: &'a mut MsgHeader,
        name: Option<&'a Address>,
        buffer: BufIndex,
        slices: impl Into<Slices<'a>>,
        flags: i32,
    ) -> Sqe<'a> {
        let mut sqe = Sqe::send_msg_zc(target, header, name, slices, &[], flags);
        sqe.entry.sqe.ioprio |= RecvSendFlags::FIXED_BUF.bits();
        sqe.buffer(buffer.index(), buffer.ring())
    }

    /// Receives a message: its data into one room after the other, the sender's address into `name`, control
    /// messages into `control`. What came of the latter two, `header` says afterwards. `recvmsg(2)`, Linux
    /// 5.3.
    pub fn recv_msg(
        target: Target<'a>,
        header: &'a mut MsgHeader,
        name: Option<&'a mut Address>,
        rooms: impl Into<Rooms<'a>>,
        control: Option<Room<'a>>,
        flags: i32,
    ) -> Sqe<'a> {
        let rooms = rooms.into();
        header.0 =
            RawHeader { vecs: rooms.addr as usize, vec_count: rooms.count, ..RawHeader::default() };
        if let Some(name) = name {
            let (bytes, _) = name.parts_mut();
            header.0.name_len = bytes.len() as u32;
            header.0.name = written_by_kernel(bytes) as usize;
        }
        if let Some(mut control) = control {
            header.0.control_len = control.len();
            header.0.control = control.expose() as usize;
        }
        Sqe::new(Entry::on(Opcode::RECVMSG, target, of(written_to(&mut header.0), flags)))
    }
}

fn fill(header: &mut MsgHeader, name: Option<&Address>, slices: Slices<'_>, control: &[u8]) {
    let name = name.map_or(&[][..], Address::as_bytes);
    header.0 = RawHeader {
        name: address_unless_empty(name),
        name_len: name.len() as u32,
        vecs: slices.addr as usize,
        vec_count: slices.count,
        control: address_unless_empty(control),
        control_len: control.len(),
        flags: 0,
    };
}

fn address_unless_empty(bytes: &[u8]) -> usize {
    if bytes.is_empty() { 0 } else { read_by_kernel(bytes) as usize }
}

fn of(header: u64, flags: i32) -> RawSqe {
    RawSqe { addr: header, len: 1, op_flags: flags as u32, ..RawSqe::default() }
}

fn sent<'a>(opcode: Opcode, target: Target<'a>, header: &'a MsgHeader, flags: i32) -> Sqe<'a> {
    let fields = of(read_from(&header.0), send_flags(flags) as i32);
    Sqe::new(Entry::on(opcode, target, fields))
}

impl<'a> MultiSqe<'a> {
    /// Receives messages into buffers of a group, one each, until it fails or the group is empty
    /// (`ENOBUFS`). A buffer holds a [`RecvmsgOut`](crate::ring::abi::RecvmsgOut), then what `rooms` says,
    /// then the data. `recvmsg(2)`, Linux 6.0.
    ///
    /// `rooms` is read while the submission is taken in, and never written to.
    pub fn recv_msg(
        target: Target<'a>,
        rooms: &'a MsgRooms,
        group: BufGroup,
        flags: i32,
    ) -> MultiSqe<'a> {
        let fields = RawSqe {
            ioprio: RecvSendFlags::RECV_MULTISHOT.bits(),
            ..of(read_from(&rooms.0), flags)
        };
        MultiSqe::new(Entry::on(Opcode::RECVMSG, target, fields)).buffer_group(group)
    }
}

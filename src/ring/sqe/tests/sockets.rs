//! Sockets and messages.

use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr};

use super::*;
use crate::buf::Room;
use crate::ring::{Address, ZcrxId};
use crate::sys::abi::UringCmdFlags;

fn address() -> Address {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 80)).into()
}

#[test]
fn sockets_are_made_bound_and_connected() {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    let socket = RawSqe { opcode: 45, fd: 2, off: kind as u64, len: 6, ..ZERO };
    assert_eq!(image(Sqe::socket(2, kind, 6)), socket);
    assert_eq!(
        image(Sqe::socket_direct(2, kind, 6, Install::Any)),
        RawSqe { off: 1, splice_fd: u32::MAX, ..socket }
    );
    let address = address();
    let named = RawSqe { fd: fd(), addr: at(&address), off: 16, ..ZERO };
    assert_eq!(image(Sqe::bind(file(), &address)), RawSqe { opcode: 56, ..named });
    assert_eq!(image(Sqe::connect(file(), &address)), RawSqe { opcode: 16, ..named });
    let on = RawSqe { fd: fd(), ..ZERO };
    assert_eq!(image(Sqe::listen(file(), 128)), RawSqe { opcode: 57, len: 128, ..on });
    assert_eq!(image(Sqe::shutdown(file(), 1)), RawSqe { opcode: 34, len: 1, ..on });
}

#[test]
fn accepts_say_where_the_connection_goes() {
    let cloexec = libc::SOCK_CLOEXEC;
    let flags = cloexec as u32;
    let on = RawSqe { opcode: 13, fd: fd(), ..ZERO };
    let mut peer = Address::empty();
    let addr = at(&peer);
    assert_eq!(
        image(Sqe::accept(file(), Some(&mut peer), cloexec)),
        RawSqe { op_flags: flags, addr, off: addr + 128, ..on }
    );
    assert_eq!(
        image(Sqe::accept(file(), None, 0).dont_wait().poll_first()),
        RawSqe { ioprio: 6, ..on }
    );
    assert_eq!(
        image(Sqe::accept_direct(file(), None, cloexec, Install::Slot(slot(0)))),
        RawSqe { splice_fd: 1, ..on }
    );
    assert_eq!(
        multi(MultiSqe::accept(file(), cloexec)),
        RawSqe { op_flags: flags, ioprio: 1, ..on }
    );
    assert_eq!(
        multi(MultiSqe::accept_direct(file(), cloexec)),
        RawSqe { ioprio: 1, splice_fd: u32::MAX, ..on }
    );
}

#[test]
fn receives_take_memory_or_a_group() {
    let mut buf = [0; 4];
    let on = RawSqe { opcode: 27, fd: fd(), op_flags: 2, ..ZERO };
    let addr = at(&buf);
    assert_eq!(
        image(Sqe::recv(file(), &mut buf[..], 2).poll_first()),
        RawSqe { addr, len: 4, ioprio: 1, ..on }
    );
    let grouped = RawSqe { flags: SELECT, buf: 9, ..on };
    assert_eq!(image(Sqe::recv_provided(file(), group(9), 50, 2)), RawSqe { len: 50, ..grouped });
    assert_eq!(
        multi(MultiSqe::recv(file(), group(9), 2).bundle().limits(3, 4)),
        RawSqe { ioprio: 2 | 1 << 4, len: 3, splice_fd: 4, ..grouped }
    );
    // The kernel would read them as negative.
    let most = i32::MAX as u32 & !4095;
    assert_eq!(
        [
            image(Sqe::recv_provided(file(), group(9), u32::MAX, 2)).len,
            image(Sqe::read_provided(file(), group(9), u32::MAX, None)).len,
            image(Sqe::send_provided(file(), group(9), u32::MAX, 0)).len,
            multi(MultiSqe::recv(file(), group(9), 2).limits(u32::MAX, 4)).len,
        ],
        [most; 4]
    );
    let queue = ZcrxId::new(*RING, 1);
    assert_eq!(
        multi(MultiSqe::recv_zc(file(), queue, 100)),
        RawSqe { opcode: 58, fd: fd(), ioprio: 2, len: 100, splice_fd: 1, ..ZERO }
    );
}

#[test]
fn sends_never_raise_a_signal() {
    let on = RawSqe { opcode: 26, fd: fd(), op_flags: NOSIGNAL | 4, ..ZERO };
    let sent = RawSqe { addr: at(b"abc"), len: 3, ..on };
    assert_eq!(image(Sqe::send(file(), b"abc", 4)), sent);
    let (to, slices) = (address(), [IoSlice::new(b"ab"), IoSlice::new(b"c")]);
    let addressed = RawSqe { off: at(&to), splice_fd: word(16), ..sent };
    let vectored = RawSqe { addr: at(&slices), len: 2, ioprio: 1 << 5, ..on };
    assert_eq!(image(Sqe::send_to(file(), b"abc", 4, &to)), addressed);
    assert_eq!(image(Sqe::send_vectored(file(), &slices, 4)), vectored);
    assert_eq!(
        image(Sqe::send_provided(file(), group(9), 0, 4).bundle()),
        RawSqe { flags: SELECT, buf: 9, ioprio: 1 << 4, ..on }
    );
    assert_eq!(image(Sqe::send_zc(file(), b"abc", 4)), RawSqe { opcode: 47, ..sent });
    assert_eq!(
        image(Sqe::send_zc_to(file(), b"abc", 4, &to).report_usage()),
        RawSqe { opcode: 47, ioprio: 8, ..addressed }
    );
    assert_eq!(image(Sqe::send_zc_vectored(file(), &slices, 4)), RawSqe { opcode: 47, ..vectored });
    assert_eq!(
        image(Sqe::send_zc_fixed(file(), fixed(), 4)),
        RawSqe { opcode: 47, addr: 0x1000, len: 64, ioprio: 4, buf: 5, ..on }
    );
}

/// A word whose first half in memory is `first`.
fn word(first: u16) -> u32 {
    if cfg!(target_endian = "big") { u32::from(first) << 16 } else { first.into() }
}

/// Two words in the order of memory.
fn words(first: u32, second: u32) -> u64 {
    let (low, high) = if cfg!(target_endian = "big") { (second, first) } else { (first, second) };
    u64::from(high) << 32 | u64::from(low)
}

/// What a filled header says: all its words but the padding.
fn header(addr: u64) -> libc::msghdr {
    let header = std::ptr::with_exposed_provenance::<libc::msghdr>(addr as usize);
    // SAFETY: the header that was just lent, which is laid out as this.
    unsafe { header.read() }
}

#[test]
fn a_message_header_is_filled_by_the_constructor() {
    let (name, slices, control) = (address(), [IoSlice::new(b"abc")], [0u8; 24]);
    let mut msg = MsgHeader::new();
    let addr = at(&msg);
    let sent = RawSqe { fd: fd(), addr, len: 1, op_flags: NOSIGNAL | 4, ..ZERO };
    let sqe = image(Sqe::send_msg(file(), &mut msg, Some(&name), &slices, &control, 4));
    assert_eq!(sqe, RawSqe { opcode: 9, ..sent });
    let found = header(addr);
    assert_eq!((found.msg_name.addr() as u64, found.msg_namelen), (at(&name), 16));
    assert_eq!((found.msg_iov.addr() as u64, found.msg_iovlen), (at(&slices), 1));
    assert_eq!(found.msg_control.addr() as u64, at(&control));
    assert_eq!((found.msg_controllen, found.msg_flags), (24, 0));
    assert_eq!(
        image(Sqe::send_msg_zc(file(), &mut msg, None, &slices, &[], 4)),
        RawSqe { opcode: 48, ..sent }
    );
    assert!(header(addr).msg_name.is_null() && header(addr).msg_control.is_null());
    assert_eq!(
        image(Sqe::send_msg_zc_fixed(file(), &mut msg, None, registered(2), &slices, 4)),
        RawSqe { opcode: 48, ioprio: 4, buf: 2, ..sent }
    );
}

#[test]
fn a_message_header_for_a_receive_lends_its_rooms() {
    let (mut data, mut name, mut control) = ([0; 3], Address::empty(), [0; 24]);
    let addresses = [at(&name), at(&control)];
    let mut rooms = [IoSliceMut::new(&mut data)];
    let mut msg = MsgHeader::new();
    let addr = at(&msg);
    let control = Some(Room::from(&mut control[..]));
    let sqe = image(Sqe::recv_msg(file(), &mut msg, Some(&mut name), &mut rooms, control, 2));
    assert_eq!(sqe, RawSqe { opcode: 10, fd: fd(), addr, len: 1, op_flags: 2, ..ZERO });
    let found = header(addr);
    assert_eq!([found.msg_name.addr() as u64, found.msg_control.addr() as u64], addresses);
    assert_eq!((found.msg_namelen, found.msg_controllen), (128, 24));
    let rooms = MsgRooms::new(16, 32);
    assert_eq!(
        multi(MultiSqe::recv_msg(file(), &rooms, group(9), 2)),
        RawSqe {
            opcode: 10,
            fd: fd(),
            flags: SELECT,
            ioprio: 2,
            addr: at(&rooms),
            len: 1,
            op_flags: 2,
            buf: 9,
            ..ZERO
        }
    );
    let found = header(at(&rooms));
    assert!(found.msg_iov.is_null() && found.msg_name.is_null());
    assert_eq!((found.msg_namelen, found.msg_controllen), (16, 32));
}

#[test]
fn commands_of_sockets_keep_their_words_in_the_unions() {
    let on = RawSqe { opcode: 46, fd: fd(), ..ZERO };
    assert_eq!(image(Sqe::socket_inq(file())), on);
    assert_eq!(image(Sqe::socket_outq(file())), RawSqe { off: words(1, 0), ..on });
    let mut value = 5;
    let addr3 = at(&value);
    let (level, name) = (libc::SOL_SOCKET, libc::SO_TYPE);
    let option = RawSqe { addr: words(level as u32, name as u32), splice_fd: 4, addr3, ..on };
    assert_eq!(
        image(Sqe::getsockopt(file(), name, &mut value)),
        RawSqe { off: words(2, 0), ..option }
    );
    assert_eq!(
        image(Sqe::setsockopt(file(), level, name, &value)),
        RawSqe { off: words(3, 0), ..option }
    );
    assert_eq!(multi(MultiSqe::tx_timestamps(file())), RawSqe { off: words(4, 0), ..on });
    let mut name = Address::empty();
    let addr = at(&name);
    assert_eq!(
        image(Sqe::getsockname(file(), true, &mut name)),
        RawSqe { off: words(5, 0), addr, addr3: addr + 128, splice_fd: 1, ..on }
    );
}

#[test]
fn the_option_that_counts_in_instructions_is_given_no_room() {
    let mut value = 0;
    assert_eq!(image(Sqe::getsockopt(file(), libc::SO_ATTACH_FILTER, &mut value)).splice_fd, 0);
}

#[test]
fn commands_of_drivers_carry_their_bytes() {
    let mut bytes = [0; 80];
    (bytes[0], bytes[15], bytes[16], bytes[79]) = (1, 2, 3, 4);
    let addr3 = u64::from_ne_bytes([1, 0, 0, 0, 0, 0, 0, 0]);
    let pad = u64::from_ne_bytes([0, 0, 0, 0, 0, 0, 0, 2]);
    let command = RawSqe { opcode: 46, fd: fd(), off: words(77, 0), addr3, pad, ..ZERO };
    let mut first = [0; 16];
    first.copy_from_slice(&bytes[..16]);
    // SAFETY: never pushed.
    let (short, long, mixed, shots) = unsafe {
        (
            Sqe::command(file(), 77, first, UringCmdFlags::FIXED),
            Sqe128::command(file(), 77, bytes, UringCmdFlags::empty(), false),
            Sqe128::command(file(), 77, bytes, UringCmdFlags::empty(), true),
            MultiSqe::command(file(), 77, first, group(9)),
        )
    };
    assert_eq!(image(short), RawSqe { op_flags: 1, ..command });
    assert_eq!(multi(shots), RawSqe { flags: SELECT, buf: 9, op_flags: 2, ..command });
    let long = *long.into_raw().raw();
    assert_eq!((long.first, long.more[0], long.more[63]), (command, 3, 4));
    let mixed = *mixed.into_raw().raw();
    assert_eq!(mixed.first, RawSqe { opcode: 64, ..command });
    assert_eq!(
        image(Sqe::block_discard(file(), 512, 1024)),
        RawSqe { opcode: 46, fd: fd(), off: words(0x1200, 0), addr: 512, addr3: 1024, ..ZERO }
    );
}

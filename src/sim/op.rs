//! What a submission asks for, checked and with all copied out that is read when it is submitted.
//!
//! Paths and socket addresses are read now, buffers only when the request completes: the one order in which
//! a program that frees either too early is found out.

use std::net::SocketAddr;

mod path;
mod timer;

pub(super) use timer::{Timer, Update, When};

use super::memory::Taken;
use super::messages::Message;
use crate::ring::{Address, RawSqe};
use crate::sys::abi::{
    AcceptFlags, FILE_INDEX_ALLOC, FsyncFlags, InstallFdFlags, Opcode, PollFlags, RecvSendFlags,
    SqeFlags,
};

/// An operation and its arguments.
#[derive(Debug)]
pub(super) enum Op {
    Nop,
    Fsync,
    Poll {
        events: u32,
        multi: bool,
        seen: Option<(u64, u64)>,
    },
    Accept {
        multi: bool,
        wait: bool,
    },
    Cancel {
        user_data: u64,
    },
    Connect {
        address: Result<SocketAddr, i32>,
    },
    Bind {
        address: Result<SocketAddr, i32>,
    },
    Listen {
        backlog: i32,
    },
    Fallocate {
        keep_size: bool,
        offset: u64,
        len_bytes: u64,
    },
    Open {
        path: Vec<u8>,
        flags: i32,
        mode: u32,
    },
    /// Of a descriptor, or of a slot of registered files that is counted from 1.
    Close {
        slot: u32,
    },
    Statx {
        path: Vec<u8>,
        by_descriptor: bool,
        follow: bool,
    },
    Unlink {
        path: Vec<u8>,
        directory: bool,
    },
    MakeDirectory {
        path: Vec<u8>,
        mode: u32,
    },
    Rename {
        old: Vec<u8>,
        new: Vec<u8>,
        flags: u32,
    },
    Link {
        old: Vec<u8>,
        new: Vec<u8>,
        flags: i32,
    },
    MakeLink {
        to: Vec<u8>,
        path: Vec<u8>,
    },
    InstallFd,
    Message(Message),
    Timeout(Timer),
    LinkTimeout {
        when: When,
        success: bool,
        guarded: Option<u64>,
    },
    TimeoutRemove {
        user_data: u64,
        update: Option<Update>,
    },
    Read {
        offset: Option<u64>,
        multi: bool,
    },
    Write {
        offset: Option<u64>,
    },
    Send {
        flags: i32,
        /// Where a datagram goes.
        to: Option<Result<SocketAddr, i32>>,
        zero_copy: bool,
    },
    /// With a limit for all completions of a multishot, as far as it is not used up.
    Recv {
        flags: i32,
        multi: bool,
        left_bytes: Option<usize>,
    },
    Shutdown {
        how: i32,
    },
    Socket {
        domain: i32,
        datagrams: bool,
    },
    Truncate {
        len_bytes: u64,
    },
}

/// The opcodes that are known.
pub(super) const KNOWN: [Opcode; 31] = [
    Opcode::NOP,
    Opcode::FSYNC,
    Opcode::POLL_ADD,
    Opcode::ACCEPT,
    Opcode::ASYNC_CANCEL,
    Opcode::CONNECT,
    Opcode::BIND,
    Opcode::LISTEN,
    Opcode::FALLOCATE,
    Opcode::OPENAT,
    Opcode::CLOSE,
    Opcode::STATX,
    Opcode::READ,
    Opcode::WRITE,
    Opcode::READ_MULTISHOT,
    Opcode::SEND,
    Opcode::SEND_ZC,
    Opcode::RECV,
    Opcode::SHUTDOWN,
    Opcode::SOCKET,
    Opcode::FTRUNCATE,
    Opcode::UNLINKAT,
    Opcode::MKDIRAT,
    Opcode::RENAMEAT,
    Opcode::LINKAT,
    Opcode::SYMLINKAT,
    Opcode::FIXED_FD_INSTALL,
    Opcode::MSG_RING,
    Opcode::TIMEOUT,
    Opcode::LINK_TIMEOUT,
    Opcode::TIMEOUT_REMOVE,
];

/// Those that may take their memory from a group of provided buffers.
const SELECTING: [Opcode; 4] = [Opcode::READ, Opcode::READ_MULTISHOT, Opcode::SEND, Opcode::RECV];
/// Those that have a use for the field `ioprio`.
const WITH_IOPRIO: [Opcode; 7] = [
    Opcode::ACCEPT,
    Opcode::READ,
    Opcode::READ_MULTISHOT,
    Opcode::WRITE,
    Opcode::SEND,
    Opcode::SEND_ZC,
    Opcode::RECV,
];

const SOCKET_FLAGS: i32 = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
const MESSAGE_FLAGS: i32 = libc::MSG_DONTWAIT
    | libc::MSG_WAITALL
    | libc::MSG_PEEK
    | libc::MSG_NOSIGNAL
    | libc::MSG_MORE
    | libc::MSG_CMSG_CLOEXEC;

fn require(holds: bool, errno: i32) -> Result<(), i32> {
    if holds { Ok(()) } else { Err(errno) }
}

/// Where to read or write; none at the file's own position.
fn offset(sqe: &RawSqe) -> Option<u64> {
    Some(sqe.off).filter(|&offset| offset != u64::MAX)
}

/// The address in a `struct sockaddr`, or the errno for one of an `unknown` family.
fn internet(bytes: &[u8], unknown: i32) -> Result<SocketAddr, i32> {
    let address = Address::from_bytes(bytes).and_then(|address| address.to_std());
    address.ok_or(if bytes.len() < 16 { libc::EINVAL } else { unknown })
}

impl Op {
    /// Reads a submission; an error is the request's result, and it never starts.
    pub(super) fn parse(taken: &Taken) -> Result<Op, i32> {
        let sqe = taken.sqe();
        let (opcode, flags) = (Opcode(sqe.opcode), SqeFlags::from_bits(sqe.flags));
        let flags = flags.filter(|_| sqe.personality == 0).ok_or(libc::EINVAL)?;
        require(KNOWN.contains(&opcode), libc::EINVAL)?;
        let selects = flags.contains(SqeFlags::BUFFER_SELECT);
        require(!selects || SELECTING.contains(&opcode), libc::EOPNOTSUPP)?;
        if !WITH_IOPRIO.contains(&opcode) {
            require(sqe.ioprio == 0, libc::EINVAL)?;
        }
        match opcode {
            Opcode::OPENAT
            | Opcode::STATX
            | Opcode::UNLINKAT
            | Opcode::MKDIRAT
            | Opcode::RENAMEAT
            | Opcode::LINKAT
            | Opcode::SYMLINKAT => Op::parse_path(taken),
            Opcode::TIMEOUT | Opcode::LINK_TIMEOUT | Opcode::TIMEOUT_REMOVE => {
                Op::parse_timer(taken)
            }
            Opcode::ACCEPT | Opcode::CONNECT | Opcode::BIND | Opcode::SOCKET => {
                Op::parse_connection(taken)
            }
            Opcode::SEND | Opcode::SEND_ZC => Op::parse_send(taken),
            Opcode::MSG_RING => Message::parse(taken).map(Op::Message),
            Opcode::RECV => Op::parse_recv(sqe, selects),
            Opcode::READ_MULTISHOT => {
                require(selects && sqe.addr == 0, libc::EINVAL)?;
                require(sqe.op_flags == 0, libc::EOPNOTSUPP)?;
                Ok(Op::Read { offset: offset(sqe), multi: true })
            }
            _ => Op::parse_plain(sqe),
        }
    }

    fn parse_plain(sqe: &RawSqe) -> Result<Op, i32> {
        Ok(match Opcode(sqe.opcode) {
            Opcode::NOP => {
                require(sqe.op_flags == 0, libc::EINVAL)?;
                Op::Nop
            }
            Opcode::FSYNC => {
                require(FsyncFlags::from_bits(sqe.op_flags).is_some(), libc::EINVAL)?;
                Op::Fsync
            }
            Opcode::POLL_ADD => {
                let multi = sqe.len == PollFlags::ADD_MULTI.bits();
                require(multi || sqe.len == 0, libc::EINVAL)?;
                require(sqe.off == 0 && sqe.addr == 0, libc::EINVAL)?;
                let swapped = cfg!(target_endian = "big");
                let events = if swapped { sqe.op_flags.rotate_left(16) } else { sqe.op_flags };
                // A multishot poll must not hide its completions, io_uring_enter(2).
                let hidden = sqe.flags & SqeFlags::CQE_SKIP_SUCCESS.bits() != 0;
                require(!(multi && hidden), libc::EINVAL)?;
                Op::Poll { events, multi, seen: None }
            }
            Opcode::ASYNC_CANCEL => {
                // Other keys than `user_data` are not known here.
                require(sqe.op_flags == 0 && sqe.off == 0 && sqe.len == 0, libc::EINVAL)?;
                Op::Cancel { user_data: sqe.addr }
            }
            Opcode::FALLOCATE => {
                let keep_size = sqe.len == libc::FALLOC_FL_KEEP_SIZE as u32;
                require(sqe.len == 0 || keep_size, libc::EOPNOTSUPP)?;
                Op::Fallocate { keep_size, offset: sqe.off, len_bytes: sqe.addr }
            }
            Opcode::CLOSE => {
                require(sqe.off == 0 && sqe.addr == 0 && sqe.len == 0, libc::EINVAL)?;
                require(sqe.op_flags == 0, libc::EINVAL)?;
                require(sqe.flags & SqeFlags::FIXED_FILE.bits() == 0, libc::EBADF)?;
                require(sqe.splice_fd == 0 || sqe.fd == 0, libc::EINVAL)?;
                Op::Close { slot: sqe.splice_fd }
            }
            Opcode::READ | Opcode::WRITE => {
                require(sqe.op_flags == 0, libc::EOPNOTSUPP)?;
                match Opcode(sqe.opcode) {
                    Opcode::READ => Op::Read { offset: offset(sqe), multi: false },
                    _ => Op::Write { offset: offset(sqe) },
                }
            }
            Opcode::FIXED_FD_INSTALL => {
                let other = sqe.off != 0 || sqe.addr != 0 || sqe.len != 0 || sqe.splice_fd != 0;
                require(!other && sqe.buf == 0 && sqe.addr3 == 0, libc::EINVAL)?;
                require(sqe.flags & SqeFlags::FIXED_FILE.bits() != 0, libc::EBADF)?;
                require(InstallFdFlags::from_bits(sqe.op_flags).is_some(), libc::EINVAL)?;
                Op::InstallFd
            }
            Opcode::LISTEN => {
                let other = sqe.addr != 0 || sqe.off != 0 || sqe.op_flags != 0;
                require(!other && sqe.buf == 0 && sqe.splice_fd == 0, libc::EINVAL)?;
                Op::Listen { backlog: sqe.len as i32 }
            }
            Opcode::SHUTDOWN => Op::Shutdown { how: sqe.len as i32 },
            Opcode::FTRUNCATE => Op::Truncate { len_bytes: sqe.off },
            _ => return Err(libc::EINVAL),
        })
    }

    fn parse_connection(taken: &Taken) -> Result<Op, i32> {
        let sqe = taken.sqe();
        let flags = sqe.op_flags as i32;
        match Opcode(sqe.opcode) {
            Opcode::CONNECT | Opcode::BIND => {
                let bytes = taken.socket_address()?;
                // Only unix sockets have other addresses, and none of those can be bound here.
                let address = internet(&bytes, libc::ECONNREFUSED);
                Ok(match Opcode(sqe.opcode) {
                    Opcode::BIND => Op::Bind { address },
                    _ => Op::Connect { address },
                })
            }
            Opcode::ACCEPT => {
                let how = AcceptFlags::from_bits(sqe.ioprio);
                require(flags & !SOCKET_FLAGS == 0 && sqe.len == 0, libc::EINVAL)?;
                let how = how.ok_or(libc::EINVAL)?;
                require(sqe.splice_fd == 0 || flags & libc::SOCK_CLOEXEC == 0, libc::EINVAL)?;
                let multi = how.contains(AcceptFlags::MULTISHOT);
                // Many files do not fit one slot.
                let one_slot = sqe.splice_fd != 0 && sqe.splice_fd != FILE_INDEX_ALLOC;
                require(!multi || !one_slot, libc::EINVAL)?;
                Ok(Op::Accept { multi, wait: !how.contains(AcceptFlags::DONTWAIT) })
            }
            _ => {
                require(flags == 0, libc::EINVAL)?;
                let on_exec = sqe.off as i32 & libc::SOCK_CLOEXEC != 0;
                require(sqe.splice_fd == 0 || !on_exec, libc::EINVAL)?;
                let (domain, kind) = (sqe.fd, sqe.off as i32 & !SOCKET_FLAGS);
                // `SOCK_MAX` is 11.
                require((0..11).contains(&kind), libc::EINVAL)?;
                let datagrams = kind == libc::SOCK_DGRAM;
                let protocols = match domain {
                    libc::AF_INET | libc::AF_INET6 if datagrams => [0, libc::IPPROTO_UDP],
                    libc::AF_INET | libc::AF_INET6 => [0, libc::IPPROTO_TCP],
                    libc::AF_UNIX => [0, libc::AF_UNIX],
                    _ => return Err(libc::EAFNOSUPPORT),
                };
                require(datagrams || kind == libc::SOCK_STREAM, libc::ESOCKTNOSUPPORT)?;
                require(protocols.contains(&(sqe.len as i32)), libc::EPROTONOSUPPORT)?;
                Ok(Op::Socket { domain, datagrams })
            }
        }
    }

    fn parse_send(taken: &Taken) -> Result<Op, i32> {
        let sqe = taken.sqe();
        let (how, flags) = (RecvSendFlags::from_bits(sqe.ioprio), sqe.op_flags as i32);
        let zero_copy = Opcode(sqe.opcode) == Opcode::SEND_ZC;
        let known = if zero_copy {
            // Nobody could be told twice what was to be said once at most.
            require(sqe.flags & SqeFlags::CQE_SKIP_SUCCESS.bits() == 0, libc::EINVAL)?;
            RecvSendFlags::POLL_FIRST | RecvSendFlags::SEND_ZC_REPORT_USAGE
        } else {
            RecvSendFlags::POLL_FIRST | RecvSendFlags::BUNDLE
        };
        require(how.is_some_and(|how| known.contains(how)), libc::EINVAL)?;
        require(flags & !MESSAGE_FLAGS == 0, libc::EOPNOTSUPP)?;
        let to = taken.destination()?.map(|bytes| internet(&bytes, libc::EAFNOSUPPORT));
        Ok(Op::Send { flags, to, zero_copy })
    }

    fn parse_recv(sqe: &RawSqe, selects: bool) -> Result<Op, i32> {
        let (how, flags) = (RecvSendFlags::from_bits(sqe.ioprio), sqe.op_flags as i32);
        let known =
            RecvSendFlags::POLL_FIRST | RecvSendFlags::RECV_MULTISHOT | RecvSendFlags::BUNDLE;
        let how = how.filter(|&how| known.contains(how)).ok_or(libc::EINVAL)?;
        let multi = how.contains(RecvSendFlags::RECV_MULTISHOT);
        require(flags & !(MESSAGE_FLAGS | libc::MSG_TRUNC) == 0, libc::EOPNOTSUPP)?;
        // A multishot needs memory for every completion, and has no whole that it could wait for.
        require(!multi || selects && flags & libc::MSG_WAITALL == 0, libc::EINVAL)?;
        require(multi || sqe.splice_fd == 0, libc::EINVAL)?;
        let left_bytes = Some(sqe.splice_fd as usize).filter(|&limit_bytes| limit_bytes > 0);
        Ok(Op::Recv { flags, multi, left_bytes })
    }

    /// Whether `fd` is a descriptor to work on, or to start a path from.
    pub(super) fn needs_file(&self, fd: i32) -> bool {
        match self {
            Op::Nop
            | Op::Cancel { .. }
            | Op::Close { .. }
            | Op::Socket { .. }
            | Op::Timeout(_)
            | Op::LinkTimeout { .. }
            | Op::TimeoutRemove { .. } => false,
            Op::Statx { by_descriptor: true, .. } => fd != libc::AT_FDCWD,
            _ => match self.path() {
                Some(path) => fd != libc::AT_FDCWD && path.first() != Some(&b'/'),
                None => true,
            },
        }
    }

    /// The path that starts where `fd` says.
    pub(super) fn path(&self) -> Option<&[u8]> {
        match self {
            Op::Open { path, .. }
            | Op::Statx { path, .. }
            | Op::Unlink { path, .. }
            | Op::MakeDirectory { path, .. }
            | Op::MakeLink { path, .. }
            | Op::Rename { old: path, .. }
            | Op::Link { old: path, .. } => Some(path),
            _ => None,
        }
    }

    /// Whether a completion may be one of many.
    pub(super) fn is_multishot(&self) -> bool {
        matches!(
            self,
            Op::Poll { multi: true, .. }
                | Op::Accept { multi: true, .. }
                | Op::Read { multi: true, .. }
                | Op::Recv { multi: true, .. }
                | Op::Timeout(Timer { repeats: Some(_), .. })
        )
    }
}

//! Commands of drivers, of sockets and of block devices.

use super::{Entry, MultiSqe, Sqe, Sqe128, Target, read_by_kernel, written_by_kernel, written_to};
use crate::buf::Room;
use crate::ring::{Address, BufGroup};
use crate::sys::abi::{BLOCK_URING_CMD_DISCARD, Opcode, RawSqe, SocketCommand, UringCmdFlags};

/// `SO_GET_FILTER`, which is the number of `SO_ATTACH_FILTER`.
const SO_GET_FILTER: i32 = libc::SO_ATTACH_FILTER;

impl<'a> Sqe<'a> {
    /// A command of the driver behind a file, with its 16 bytes. `EOPNOTSUPP` if the file has no commands.
    /// Linux 5.19; `flags`, Linux 6.1.
    ///
    /// # Safety
    ///
    /// The command does nothing with memory but what may be done for `'a` with memory that is lent, and
    /// completes once.
    pub unsafe fn command(
        target: Target<'a>,
        command: u32,
        bytes: [u8; 16],
        flags: UringCmdFlags,
    ) -> Sqe<'a> {
        let entry = Entry::on(Opcode::URING_CMD, target, with_bytes(command, &bytes, flags));
        Sqe::new(entry)
    }

    /// How many bytes can be received from a socket (`SIOCINQ`). Linux 6.4.
    pub fn socket_inq(target: Target<'a>) -> Sqe<'a> {
        socket(target, SocketCommand::SIOCINQ, RawSqe::default())
    }

    /// How many bytes a socket has not sent yet (`SIOCOUTQ`). Linux 6.4.
    pub fn socket_outq(target: Target<'a>) -> Sqe<'a> {
        socket(target, SocketCommand::SIOCOUTQ, RawSqe::default())
    }

    /// Reads an option of level `SOL_SOCKET` that is an integer; the result is its length. `getsockopt(2)`,
    /// Linux 6.7.
    pub fn getsockopt(target: Target<'a>, name: i32, value: &'a mut i32) -> Sqe<'a> {
        // This one option counts its length in instructions of 8 bytes, and would write beyond the integer.
        // With a length of 0 the kernel says how many there are.
        let len = if name == SO_GET_FILTER { 0 } else { size_of::<i32>() as u32 };
        socket(
            target,
            SocketCommand::GETSOCKOPT,
            option(libc::SOL_SOCKET, name, written_to(value), len),
        )
    }

    /// Sets an option that is an integer. `setsockopt(2)`, Linux 6.7.
    pub fn setsockopt(target: Target<'a>, level: i32, name: i32, value: &'a i32) -> Sqe<'a> {
        let bytes = std::slice::from_ref(value);
        let len = size_of::<i32>() as u32;
        socket(target, SocketCommand::SETSOCKOPT, option(level, name, read_by_kernel(bytes), len))
    }

    /// Reads an option of any type; the result is its length. Linux 6.18 knows no level but `SOL_SOCKET`.
    ///
    /// # Safety
    ///
    /// Some options have addresses in them, or count their length in other units than bytes: memory beyond
    /// `room` that this one makes the kernel write to may be written to.
    pub unsafe fn getsockopt_raw(
        target: Target<'a>,
        level: i32,
        name: i32,
        mut room: Room<'a>,
    ) -> Sqe<'a> {
        let len = u32::try_from(room.len()).unwrap_or(u32::MAX);
        socket(target, SocketCommand::GETSOCKOPT, option(level, name, room.expose(), len))
    }

    /// Sets an option of any type. Linux 6.7.
    ///
    /// # Safety
    ///
    /// Some options have addresses in them: what this one makes the kernel do with memory is allowed for as
    /// long as it does it.
    pub unsafe fn setsockopt_raw(
        target: Target<'a>,
        level: i32,
        name: i32,
        value: &'a [u8],
    ) -> Sqe<'a> {
        let len = u32::try_from(value.len()).unwrap_or(u32::MAX);
        socket(target, SocketCommand::SETSOCKOPT, option(level, name, read_by_kernel(value), len))
    }

    /// Asks for a socket's own address, or with `peer` for that of the other side. `getsockname(2)`,
    /// `getpeername(2)`, Linux 6.19; before, `EOPNOTSUPP`.
    pub fn getsockname(target: Target<'a>, peer: bool, name: &'a mut Address) -> Sqe<'a> {
        let (bytes, len_bytes) = name.parts_mut();
        *len_bytes = bytes.len() as u32;
        let fields = RawSqe {
            addr: written_by_kernel(bytes),
            addr3: written_to(len_bytes),
            splice_fd: peer.into(),
            ..RawSqe::default()
        };
        socket(target, SocketCommand::GETSOCKNAME, fields)
    }

    /// Discards a range of a block device that is open for writing: what was in it is lost. `offset` and
    /// length are multiples of the device's block size. Linux 6.12; `EOPNOTSUPP` for other files.
    pub fn block_discard(target: Target<'a>, offset: u64, len_bytes: u64) -> Sqe<'a> {
        let fields = RawSqe {
            off: command_word(BLOCK_URING_CMD_DISCARD),
            addr: offset,
            addr3: len_bytes,
            ..RawSqe::default()
        };
        Sqe::new(Entry::on(Opcode::URING_CMD, target, fields))
    }
}

/// `cmd_op` is the first half of the word `off`, and the other half is padding.
fn command_word(command: u32) -> u64 {
    words(command, 0)
}

/// A word whose first four bytes are `first`.
fn words(first: u32, second: u32) -> u64 {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&first.to_ne_bytes());
    bytes[4..].copy_from_slice(&second.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

fn option(level: i32, name: i32, value: u64, len: u32) -> RawSqe {
    let addr = words(level as u32, name as u32);
    RawSqe { addr, splice_fd: len, addr3: value, ..RawSqe::default() }
}

fn socket<'a>(target: Target<'a>, command: SocketCommand, fields: RawSqe) -> Sqe<'a> {
    let fields = RawSqe { off: command_word(command.0), ..fields };
    Sqe::new(Entry::on(Opcode::URING_CMD, target, fields))
}

/// The first 16 of the command's bytes, which all commands have.
fn with_bytes(command: u32, bytes: &[u8; 16], flags: UringCmdFlags) -> RawSqe {
    let [addr3, pad] = [0, 8].map(|at| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at..at + 8]);
        u64::from_ne_bytes(word)
    });
    let off = command_word(command);
    RawSqe { off, addr3, pad, op_flags: flags.bits(), ..RawSqe::default() }
}

impl<'a> MultiSqe<'a> {
    /// A command that completes many times, with buffers of a group (`IORING_URING_CMD_MULTISHOT`). Linux
    /// 6.18.
    ///
    /// # Safety
    ///
    /// As [`Sqe::command`], but it may complete many times, and writes to the group's buffers alone.
    pub unsafe fn command(
        target: Target<'a>,
        command: u32,
        bytes: [u8; 16],
        group: BufGroup,
    ) -> MultiSqe<'a> {
        let fields = with_bytes(command, &bytes, UringCmdFlags::MULTISHOT);
        MultiSqe::new(Entry::on(Opcode::URING_CMD, target, fields)).buffer_group(group)
    }

    /// Reports when packets of a socket were sent, for which `SO_TIMESTAMPING` was set: the result is the
    /// packet's key, the second half of the completion its time
    /// ([`IoTimespec`](crate::ring::abi::IoTimespec)). For rings with completions of 32 bytes. Linux 6.17.
    pub fn tx_timestamps(target: Target<'a>) -> MultiSqe<'a> {
        let off = command_word(SocketCommand::TX_TIMESTAMP.0);
        let fields = RawSqe { off, ..RawSqe::default() };
        MultiSqe::new(Entry::on(Opcode::URING_CMD, target, fields))
    }
}

impl<'a> Sqe128<'a> {
    /// A command with 80 bytes. With `mixed` for rings with `IORING_SETUP_SQE_MIXED`
    /// (`IORING_OP_URING_CMD128`, Linux 6.19), else for those with `IORING_SETUP_SQE128` (Linux 5.19).
    ///
    /// # Safety
    ///
    /// As [`Sqe::command`].
    pub unsafe fn command(
        target: Target<'a>,
        command: u32,
        bytes: [u8; 80],
        flags: UringCmdFlags,
        mixed: bool,
    ) -> Sqe128<'a> {
        let (mut first, mut more) = ([0; 16], [0; 64]);
        first.copy_from_slice(&bytes[..16]);
        more.copy_from_slice(&bytes[16..]);
        let opcode = if mixed { Opcode::URING_CMD128 } else { Opcode::URING_CMD };
        Sqe128::new(Entry::on(opcode, target, with_bytes(command, &first, flags)), more)
    }
}

//! Reading and writing files.

use super::{Entry, MultiSqe, Rooms, Slices, Sqe, Target, read_by_kernel};
use crate::buf::Room;
use crate::ring::{BufGroup, BufIndex, FixedBuf, FixedBufMut};
use crate::sys::abi::{FsyncFlags, Opcode, RawSqe, SyncFileRangeFlags};

/// `MAX_RW_COUNT`: the kernel cuts every transfer here (read(2)), so longer buffers are lent in part.
const MAX_TRANSFER_BYTES: usize = 0x7fff_f000;

/// `UIO_MAXIOV`: more buffers than these are refused (readv(2)), so longer arrays are lent in part.
const MAX_VECTORS: usize = 1024;

/// `off` for "at the file's own position" (`IORING_FEAT_RW_CUR_POS`, Linux 5.6).
const CURRENT_POSITION: u64 = u64::MAX;

/// What the kernel takes for a length. It reads the field as a signed number, and refuses those below 0.
pub(super) fn transfer_len(len_bytes: usize) -> u32 {
    len_bytes.min(MAX_TRANSFER_BYTES) as u32
}

fn position(offset: Option<u64>) -> u64 {
    offset.unwrap_or(CURRENT_POSITION)
}

/// All of these take `offset` in bytes from the start of the file; `None` is the file's own position, which
/// moves on, and what pipes, sockets and terminals have. Flags are added by [`Sqe::rw_flags`].
impl<'a> Sqe<'a> {
    /// Reads into the front of `room`; 0 bytes are the end of the file. `pread(2)`, Linux 5.6.
    pub fn read(target: Target<'a>, room: impl Into<Room<'a>>, offset: Option<u64>) -> Sqe<'a> {
        let mut room = room.into();
        let len = transfer_len(room.len());
        transfer(Opcode::READ, target, room.expose(), len, offset)
    }

    /// Reads into a buffer of a group, at most `limit_bytes`; 0 is the whole buffer. `pread(2)`, Linux 5.7;
    /// see [`Sqe::buffer_group`].
    pub fn read_provided(
        target: Target<'a>,
        group: BufGroup,
        limit_bytes: u32,
        offset: Option<u64>,
    ) -> Sqe<'a> {
        let len = transfer_len(limit_bytes as usize);
        transfer(Opcode::READ, target, 0, len, offset).buffer_group(group)
    }

    /// Reads into one buffer after the other, up to 1024 of them. `preadv(2)`, Linux 5.1.
    pub fn read_vectored(
        target: Target<'a>,
        rooms: impl Into<Rooms<'a>>,
        offset: Option<u64>,
    ) -> Sqe<'a> {
        let rooms = rooms.into();
        transfer(Opcode::READV, target, rooms.addr, vectors(rooms.count), offset)
    }

    /// Reads into a registered buffer, whose pages the kernel knows already. `pread(2)`, Linux 5.1.
    pub fn read_fixed(target: Target<'a>, room: FixedBufMut<'a>, offset: Option<u64>) -> Sqe<'a> {
        let place = room.place();
        transfer(Opcode::READ_FIXED, target, place.addr, transfer_len(place.len_bytes), offset)
            .buffer(place.index, room.ring())
    }

    /// Reads into several parts of the registered buffer `buffer`, one after the other.
    /// `preadv(2)`, Linux 6.15. `EFAULT` if a part lies outside of it.
    pub fn read_vectored_fixed(
        target: Target<'a>,
        buffer: BufIndex,
        rooms: impl Into<Rooms<'a>>,
        offset: Option<u64>,
    ) -> Sqe<'a> {
        let rooms = rooms.into();
        transfer(Opcode::READV_FIXED, target, rooms.addr, vectors(rooms.count), offset)
            .buffer(buffer.index(), buffer.ring())
    }

    /// Writes `bytes`; fewer may be taken. `pwrite(2)`, Linux 5.6.
    pub fn write(target: Target<'a>, bytes: &'a [u8], offset: Option<u64>) -> Sqe<'a> {
        let len = transfer_len(bytes.len());
        transfer(Opcode::WRITE, target, read_by_kernel(bytes), len, offset)
    }

    /// Writes one slice after the other, up to 1024 of them. `pwritev(2)`, Linux 5.1.
    pub fn write_vectored(
        target: Target<'a>,
        slices: impl Into<Slices<'a>>,
        offset: Option<u64>,
    ) -> Sqe<'a> {
        let slices = slices.into();
        transfer(Opcode::WRITEV, target, slices.addr, vectors(slices.count), offset)
    }

    /// Writes from a registered buffer, whose pages the kernel knows already. `pwrite(2)`, Linux 5.1.
    pub fn write_fixed(target: Target<'a>, bytes: FixedBuf<'a>, offset: Option<u64>) -> Sqe<'a> {
        let place = bytes.place();
        transfer(Opcode::WRITE_FIXED, target, place.addr, transfer_len(place.len_bytes), offset)
            .buffer(place.index, bytes.ring())
    }

    /// Writes several parts of the registered buffer `buffer`, one after the other. `pwritev(2)`,
    /// Linux 6.15. `EFAULT` if a part lies outside of it.
    pub fn write_vectored_fixed(
        target: Target<'a>,
        buffer: BufIndex,
        slices: impl Into<Slices<'a>>,
        offset: Option<u64>,
    ) -> Sqe<'a> {
        let slices = slices.into();
        transfer(Opcode::WRITEV_FIXED, target, slices.addr, vectors(slices.count), offset)
            .buffer(buffer.index(), buffer.ring())
    }
}

fn vectors(count: usize) -> u32 {
    count.min(MAX_VECTORS) as u32
}

fn transfer<'a>(
    opcode: Opcode,
    target: Target<'a>,
    addr: u64,
    len: u32,
    offset: Option<u64>,
) -> Sqe<'a> {
    let fields = RawSqe { addr, len, off: position(offset), ..RawSqe::default() };
    Sqe::new(Entry::on(opcode, target, fields))
}

impl<'a> Sqe<'a> {
    /// Flushes a file to its disk; with `data_only` without metadata that is not needed to read it back.
    /// `fsync(2)`, `fdatasync(2)`, Linux 5.1.
    pub fn fsync(target: Target<'a>, data_only: bool) -> Sqe<'a> {
        Sqe::fsync_range(target, data_only, 0, 0)
    }

    /// As [`Sqe::fsync`], of a range of the file; 0 bytes are all up to its end. Linux 5.1.
    pub fn fsync_range(
        target: Target<'a>,
        data_only: bool,
        offset: u64,
        len_bytes: u32,
    ) -> Sqe<'a> {
        let flags = if data_only { FsyncFlags::DATASYNC } else { FsyncFlags::empty() };
        let fields =
            RawSqe { off: offset, len: len_bytes, op_flags: flags.bits(), ..RawSqe::default() };
        Sqe::new(Entry::on(Opcode::FSYNC, target, fields))
    }

    /// Starts or awaits the writing of a range of a file; it flushes no metadata and no disk cache.
    /// `sync_file_range(2)`, Linux 5.2.
    pub fn sync_file_range(
        target: Target<'a>,
        offset: u64,
        len_bytes: u32,
        flags: SyncFileRangeFlags,
    ) -> Sqe<'a> {
        let fields =
            RawSqe { off: offset, len: len_bytes, op_flags: flags.bits(), ..RawSqe::default() };
        Sqe::new(Entry::on(Opcode::SYNC_FILE_RANGE, target, fields))
    }

    /// Allocates or punches a range of a file; `mode` is `FALLOC_FL_*`. `fallocate(2)`, Linux 5.6.
    pub fn fallocate(target: Target<'a>, mode: u32, offset: u64, len_bytes: u64) -> Sqe<'a> {
        let fields = RawSqe { len: mode, off: offset, addr: len_bytes, ..RawSqe::default() };
        Sqe::new(Entry::on(Opcode::FALLOCATE, target, fields))
    }

    /// Sets a file's length. `ftruncate(2)`, Linux 6.9.
    pub fn ftruncate(target: Target<'a>, len_bytes: u64) -> Sqe<'a> {
        let fields = RawSqe { off: len_bytes, ..RawSqe::default() };
        Sqe::new(Entry::on(Opcode::FTRUNCATE, target, fields))
    }

    /// Says how a range of a file will be used; 0 bytes are all up to its end. `posix_fadvise(2)`, Linux
    /// 5.6; ranges of 4 GiB and more, Linux 6.10.
    pub fn fadvise(target: Target<'a>, offset: u64, len_bytes: u64, advice: FileAdvice) -> Sqe<'a> {
        // The 64-bit length came later, so what fits the older field goes there.
        let (len, addr) = match u32::try_from(len_bytes) {
            Ok(len) => (len, 0),
            Err(_) => (0, len_bytes),
        };
        let op_flags = advice as u32;
        let fields = RawSqe { off: offset, len, addr, op_flags, ..RawSqe::default() };
        Sqe::new(Entry::on(Opcode::FADVISE, target, fields))
    }
}

/// How a range of a file will be used, `posix_fadvise(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum FileAdvice {
    /// As usual.
    Normal = libc::POSIX_FADV_NORMAL as u32,
    /// In no order: reads nothing ahead.
    Random = libc::POSIX_FADV_RANDOM as u32,
    /// From front to back: reads more ahead.
    Sequential = libc::POSIX_FADV_SEQUENTIAL as u32,
    /// Soon: reads it now.
    WillNeed = libc::POSIX_FADV_WILLNEED as u32,
    /// Not again: what is written already leaves the page cache.
    DontNeed = libc::POSIX_FADV_DONTNEED as u32,
    /// Once.
    NoReuse = libc::POSIX_FADV_NOREUSE as u32,
}

impl<'a> MultiSqe<'a> {
    /// Reads into buffers of a group whenever there is something, at most `limit_bytes` at a time; 0 is the
    /// whole buffer. It ends with the file, with an error, or with `ENOBUFS`. Linux 6.7.
    ///
    /// Only for files that can be polled, such as pipes and sockets; others answer `EBADFD`.
    pub fn read(
        target: Target<'a>,
        group: BufGroup,
        limit_bytes: u32,
        offset: Option<u64>,
    ) -> MultiSqe<'a> {
        let fields = RawSqe { len: limit_bytes, off: position(offset), ..RawSqe::default() };
        MultiSqe::new(Entry::on(Opcode::READ_MULTISHOT, target, fields)).buffer_group(group)
    }
}

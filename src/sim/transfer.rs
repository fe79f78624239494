//! Bytes between a program's memory and files, pipes and sockets: `read(2)`, `write(2)`, `recv(2)`, `send(2)`.

use super::files::Node;
use super::memory::{BufferRing, Chosen};
use super::op::Op;
use super::request::{Attempt, Outcome, Request, done};
use super::world::{Kind, OpenFile, World};
use crate::ring::RecvSendFlags;
use crate::sys::abi::{CqeFlags, SqeFlags};

/// Memory for one transfer.
pub(super) enum Room {
    /// What is left of the memory that the submission lent.
    Lent(usize),
    /// Provided buffers.
    Provided(Chosen),
}

impl Room {
    pub(super) fn len_bytes(&self) -> usize {
        match self {
            Room::Lent(len_bytes) => *len_bytes,
            Room::Provided(chosen) => chosen.len_bytes(),
        }
    }
}

impl Request {
    /// The group that it takes buffers from.
    pub(super) fn selects(&self) -> Option<u16> {
        let selects = self.sqe().flags & SqeFlags::BUFFER_SELECT.bits() != 0;
        selects.then_some(self.sqe().buf)
    }

    fn bundles(&self) -> bool {
        let bundle = RecvSendFlags::BUNDLE.bits();
        matches!(self.op, Op::Recv { .. } | Op::Send { .. }) && self.sqe().ioprio & bundle != 0
    }

    fn group<'w>(&self, group: u16, world: &'w mut World) -> Result<&'w mut BufferRing, i32> {
        let missing = if self.bundles() { libc::ENOENT } else { libc::ENOBUFS };
        world.registered(self.ring())?.group(group).ok_or(missing)
    }

    /// Whether there is a buffer to begin with. Linux looks before it waits for data, unless it is told to wait
    /// first (`IORING_RECVSEND_POLL_FIRST`).
    pub(super) fn has_buffers(&self, world: &mut World) -> Result<(), i32> {
        let Some(group) = self.selects().filter(|_| self.file().is_some()) else { return Ok(()) };
        if matches!(self.op, Op::Recv { .. } | Op::Send { .. }) {
            self.file().map_or(Ok(()), |file| file.socket().map(drop))?;
            if self.sqe().ioprio & RecvSendFlags::POLL_FIRST.bits() != 0 {
                return Ok(());
            }
        }
        match self.group(group, world)?.available() {
            0 => Err(libc::ENOBUFS),
            _ => Ok(()),
        }
    }

    /// The memory for the next transfer. A bundle gets a seeded number of buffers.
    fn room(&mut self, world: &mut World) -> Result<Room, i32> {
        let Some(group) = self.selects() else {
            return Ok(Room::Lent(self.wanted()));
        };
        let mut limit_bytes = self.wanted();
        if let Op::Recv { left_bytes: Some(left_bytes), .. } = self.op {
            limit_bytes = limit_bytes.min(left_bytes);
        }
        let available = self.group(group, world)?.available();
        let mut count = 1;
        if self.bundles() {
            count += world.random.up_to(u64::from(available.saturating_sub(1))) as u16;
        }
        let chosen = self.group(group, world)?.choose(count, limit_bytes).ok_or(libc::ENOBUFS)?;
        self.asked = chosen.len_bytes();
        Ok(Room::Provided(chosen))
    }

    /// Hands over what was read. `whole` uses a provided buffer up, as far as it was asked for, whatever came.
    pub(super) fn deliver(
        &mut self,
        world: &mut World,
        room: &Room,
        bytes: &[u8],
        whole: bool,
    ) -> Result<(), i32> {
        let Room::Provided(chosen) = room else { return self.taken.fill(self.progress, bytes) };
        let group = self.group(self.sqe().buf, world)?;
        let keeps = if whole {
            let mut filled = bytes.to_vec();
            filled.resize(chosen.len_bytes(), 0);
            group.fill(chosen, &filled)?;
            false
        } else {
            group.fill(chosen, bytes)?
        };
        self.said |= CqeFlags::BUFFER | CqeFlags::from_bits_retain(u32::from(chosen.id) << 16);
        self.said.set(CqeFlags::BUF_MORE, keeps);
        Ok(())
    }

    /// `read(2)` and `recv(2)`.
    pub(super) fn read(&mut self, file: &OpenFile, world: &mut World) -> Attempt {
        let (offset, flags, multi) = match self.op {
            Op::Read { offset, multi } => (offset, 0, multi),
            Op::Recv { flags, multi, .. } => (None, flags, multi),
            _ => return Err(libc::EINVAL),
        };
        let receives = matches!(self.op, Op::Recv { .. });
        if receives {
            file.socket()?;
        }
        let room = self.room(world)?;
        if !file.access.read {
            return Err(libc::EBADF);
        }
        if multi && !file.is_stream() {
            return Err(libc::EBADFD);
        }
        if let Some(datagrams) = file.datagrams() {
            return self.receive_datagram(datagrams, world, &room);
        }
        if flags & libc::MSG_TRUNC != 0 {
            // tcp(7) has it throw bytes away, which nobody here has asked for yet.
            return Err(libc::EOPNOTSUPP);
        }
        let Some(bytes) = self.bytes_of(file, offset, flags, room.len_bytes())? else {
            return Ok(None);
        };
        // The end of a stream uses no buffer, unless it was found by a plain read.
        if !bytes.is_empty() || !receives && !multi {
            self.deliver(world, &room, &bytes, !file.is_stream())?;
        }
        if receives {
            let more = file.socket()?.endpoint().is_some_and(|end| end.has_bytes());
            self.said.set(CqeFlags::SOCK_NONEMPTY, more);
        }
        if multi {
            return Ok(Some(self.shot(bytes.len())));
        }
        let whole = flags & libc::MSG_WAITALL != 0 && flags & libc::MSG_PEEK == 0;
        let dont_wait = flags & libc::MSG_DONTWAIT != 0;
        self.moved(bytes.len(), whole && !bytes.is_empty(), dont_wait)
    }

    /// One of many completions, or the last.
    pub(super) fn shot(&mut self, count: usize) -> Outcome {
        let result = i32::try_from(count).unwrap_or(i32::MAX);
        if let Op::Recv { left_bytes: Some(left_bytes), .. } = &mut self.op {
            *left_bytes = left_bytes.saturating_sub(count);
            if *left_bytes == 0 {
                return Outcome::Done(result);
            }
        }
        if count == 0 { Outcome::Done(0) } else { Outcome::Shot(result) }
    }

    /// Takes up to `most` bytes out of a file. None if it would have to wait.
    fn bytes_of(
        &self,
        file: &OpenFile,
        offset: Option<u64>,
        flags: i32,
        most: usize,
    ) -> Result<Option<Vec<u8>>, i32> {
        match &file.kind {
            Kind::Socket(_) if offset.is_some_and(|offset| offset > 0) => Err(libc::ESPIPE),
            Kind::Inode(inode) => {
                let at = position(file, offset)?;
                let bytes = match &inode.node {
                    Node::Regular(content) => content.borrow().read(at, most),
                    Node::Directory(_) => return Err(libc::EISDIR),
                    // Nobody can open one.
                    Node::Link(_) => return Err(libc::EINVAL),
                    Node::Null => Vec::new(),
                    Node::Full => vec![0; most],
                };
                if offset.is_none() {
                    file.position.set(at + bytes.len() as u64);
                }
                Ok(Some(bytes))
            }
            Kind::PipeReader(_) | Kind::Socket(_)
                if most == 0 && matches!(self.op, Op::Read { .. }) =>
            {
                Ok(Some(Vec::new()))
            }
            Kind::PipeReader(reader) if reader.available() == 0 && !reader.finished() => Ok(None),
            Kind::PipeReader(reader) => Ok(Some(reader.read(most))),
            Kind::Socket(socket) => {
                let endpoint = socket.endpoint().ok_or(libc::ENOTCONN)?;
                if self.progress > 0 && endpoint.has_error() && !endpoint.has_bytes() {
                    // The error is left to the next call, which has nothing else to report.
                    return Ok(Some(Vec::new()));
                }
                match endpoint.receive(most, flags & libc::MSG_PEEK != 0)? {
                    None if flags & libc::MSG_DONTWAIT != 0 => Err(libc::EAGAIN),
                    received => Ok(received),
                }
            }
            Kind::PipeWriter(_) => Err(libc::EBADF),
            Kind::Ring(_) => Err(libc::EINVAL),
        }
    }

    /// `write(2)` and `send(2)`.
    pub(super) fn write(&mut self, file: &OpenFile, world: &mut World) -> Attempt {
        let (offset, flags) = match self.op {
            Op::Write { offset } => (offset, 0),
            Op::Send { flags, .. } => (None, flags),
            _ => return Err(libc::EINVAL),
        };
        if matches!(self.op, Op::Send { .. }) {
            let socket = file.socket()?;
            if self.is_zero_copy() && !socket.has_zero_copy() {
                return Err(libc::EOPNOTSUPP);
            }
        }
        if !file.access.write {
            return Err(libc::EBADF);
        }
        let room = self.room(world)?;
        let len_bytes = room.len_bytes();
        let dont_wait = flags & libc::MSG_DONTWAIT != 0;
        if let (Ok(socket), Some(datagrams)) = (file.socket(), file.datagrams()) {
            return self.send_datagram(socket, datagrams, world, &room);
        }
        let count = match &file.kind {
            Kind::Inode(inode) => match &inode.node {
                Node::Regular(_) => self.write_file(file, offset, world)?,
                Node::Directory(_) | Node::Link(_) => return Err(libc::EBADF),
                Node::Null => len_bytes,
                Node::Full => return Err(libc::ENOSPC),
            },
            Kind::PipeWriter(_) if len_bytes == 0 => 0,
            Kind::PipeWriter(writer) if writer.unread() => return Err(libc::EPIPE),
            Kind::PipeWriter(_) if !file.can_write(len_bytes) => return Ok(None),
            Kind::PipeWriter(writer) => {
                let count = len_bytes.min(writer.space());
                writer.write(&self.taken.bytes(self.progress, count)?);
                count
            }
            Kind::Socket(_) if offset.is_some_and(|offset| offset > 0) => return Err(libc::ESPIPE),
            Kind::Socket(socket) => {
                let endpoint = socket.endpoint().ok_or(match socket.domain {
                    libc::AF_UNIX => libc::ENOTCONN,
                    // tcp(7) has it so.
                    _ => libc::EPIPE,
                })?;
                if self.progress > 0 && endpoint.has_error() {
                    return done(self.progress);
                }
                let Some(space) = endpoint.room()? else {
                    return if dont_wait { Err(libc::EAGAIN) } else { Ok(None) };
                };
                let count = len_bytes.min(space);
                endpoint.send(&self.outgoing(world, &room, count)?);
                count
            }
            Kind::PipeReader(_) => return Err(libc::EBADF),
            Kind::Ring(_) => return Err(libc::EINVAL),
        };
        self.moved(count, flags & libc::MSG_WAITALL != 0, dont_wait)
    }

    /// The next `count` bytes to send.
    pub(super) fn outgoing(
        &mut self,
        world: &mut World,
        room: &Room,
        count: usize,
    ) -> Result<Vec<u8>, i32> {
        let Room::Provided(chosen) = room else {
            let bytes = self.taken.bytes(self.progress, count)?;
            if self.is_zero_copy() {
                self.sent.extend(&bytes);
            }
            return Ok(bytes);
        };
        let group = self.group(self.sqe().buf, world)?;
        let bytes = group.bytes(chosen, count)?;
        let keeps = group.consume(count, chosen);
        self.said |= CqeFlags::BUFFER | CqeFlags::from_bits_retain(u32::from(chosen.id) << 16);
        self.said.set(CqeFlags::BUF_MORE, keeps);
        Ok(bytes)
    }

    /// After `count` bytes were moved: finished, or on to the rest of the `whole`.
    fn moved(&mut self, count: usize, whole: bool, dont_wait: bool) -> Attempt {
        let moved = self.progress + count;
        // What is cut short ends short, as if by a signal: recv(2), MSG_WAITALL.
        let whole = whole && self.cut == usize::MAX;
        // Provided buffers are filled, or sent, in one go.
        if whole && moved < self.asked && !dont_wait && self.selects().is_none() {
            self.progress = moved;
            return Ok(Some(Outcome::Progress));
        }
        done(moved)
    }

    /// Writes to a regular file, up to the largest size that files may have.
    fn write_file(
        &self,
        file: &OpenFile,
        offset: Option<u64>,
        world: &World,
    ) -> Result<usize, i32> {
        let Kind::Inode(inode) = &file.kind else { return Err(libc::EBADF) };
        let Node::Regular(content) = &inode.node else { return Err(libc::EBADF) };
        let mut content = content.borrow_mut();
        // With O_APPEND even pwrite(2) writes to the end.
        let at = if file.access.append { content.len_bytes() } else { position(file, offset)? };
        let space = world.files.limit_bytes.saturating_sub(at);
        let len_bytes = self.wanted();
        let count = len_bytes.min(usize::try_from(space).unwrap_or(usize::MAX));
        if count == 0 && len_bytes > 0 {
            return Err(libc::ENOSPC);
        }
        if count > 0 {
            content.write(at, &self.taken.bytes(0, count)?);
            inode.touch(world.now());
        }
        if offset.is_none() {
            file.position.set(at + count as u64);
        }
        Ok(count)
    }
}

/// Where to read or write: at `offset`, or at the file's own position.
fn position(file: &OpenFile, offset: Option<u64>) -> Result<u64, i32> {
    let at = offset.unwrap_or_else(|| file.position.get());
    if i64::try_from(at).is_ok() { Ok(at) } else { Err(libc::EINVAL) }
}

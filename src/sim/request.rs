//! One request: when it can complete, and what happens when it does.

use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::Duration;

use super::files::Node;
use super::memory::Taken;
use super::op::{Op, Timer, When};
use super::registered::RingNumber;
use super::sockets::Socket;
use super::world::{Access, Kind, OpenFile, World};
use super::zero_copy::Notice;
use crate::ring::{Address, RawSqe};
use crate::sys::abi::{CqeFlags, SqeFlags};

mod misfortune;
mod naming;

/// A request that was started and has not finished.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) taken: Taken,
    pub(super) op: Op,
    /// What `fd` meant when the request was started: closing the number later changes nothing.
    file: Option<Rc<OpenFile>>,
    /// The virtual time before which it does not complete.
    pub(super) not_before: Duration,
    /// When it runs out, if it is about time.
    pub(super) until: Duration,
    /// It runs out before when so many completions were posted.
    pub(super) until_posted: Option<u64>,
    /// The ring that it came through.
    ring: RingNumber,
    /// Bytes that were moved so far, with `MSG_WAITALL`.
    pub(super) progress: usize,
    /// How many bytes there was room for: fewer are a short transfer.
    pub(super) asked: usize,
    /// What a zero-copy send has sent so far.
    pub(super) sent: Vec<u8>,
    /// What the next completion says beside its result.
    pub(super) said: CqeFlags,
    /// Bytes to move at most this time: fewer than were asked for, if it is to be cut short.
    pub(super) cut: usize,
    /// The result, once it is decided and only waits to be posted.
    settled: Option<i32>,
    /// After the result of a zero-copy send: what is to be said of its memory.
    pub(super) notice: Option<Notice>,
}

/// What came of letting a request go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It finished with this result.
    Done(i32),
    /// One of many completions.
    Shot(i32),
    /// It moved some bytes, and has more to move.
    Progress,
    /// It has to wait.
    Blocked,
}

/// The two ways that bytes go through a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Direction {
    In,
    Out,
}

/// `Ok(None)` is an operation that has to wait.
pub(super) type Attempt = Result<Option<Outcome>, i32>;

pub(super) fn done(count: usize) -> Attempt {
    // A transfer is never longer than `len`, which the ring layer cuts below 2³¹.
    Ok(Some(Outcome::Done(i32::try_from(count).unwrap_or(i32::MAX))))
}

impl Request {
    /// Starts a request: looks its file up.
    pub(super) fn start(taken: Taken, op: Op, ring: RingNumber, world: &mut World) -> Request {
        let fd = taken.sqe().fd;
        let fixed = taken.sqe().flags & SqeFlags::FIXED_FILE.bits() != 0;
        let looked_up = match op.needs_file(fd) {
            true if fixed => world.registered(ring).and_then(|ring| ring.file(fd)).map(Some),
            true => world.file(fd).map(Some),
            false => Ok(None),
        };
        let mut request = Request::settled(taken, op, ring, None);
        if let Op::Timeout(Timer { when, .. }) | Op::LinkTimeout { when, .. } = request.op {
            request.until = when.from(world.now());
        }
        match looked_up {
            Ok(file) => request.file = file,
            Err(errno) => request.settled = Some(-errno),
        }
        if let Err(errno) = request.has_buffers(world) {
            request.settled = Some(-errno);
        }
        request
    }

    /// A request whose result is known without its having started.
    pub(super) fn settled(taken: Taken, op: Op, ring: RingNumber, result: Option<i32>) -> Request {
        Request {
            asked: taken.sqe().len as usize,
            taken,
            op,
            file: None,
            not_before: Duration::ZERO,
            until: Duration::ZERO,
            until_posted: None,
            ring,
            progress: 0,
            cut: usize::MAX,
            sent: Vec::new(),
            said: CqeFlags::empty(),
            settled: result,
            notice: None,
        }
    }

    pub(super) fn ring(&self) -> RingNumber {
        self.ring
    }

    /// What it works on.
    pub(super) fn file(&self) -> Option<&OpenFile> {
        self.file.as_deref()
    }

    pub(super) fn sqe(&self) -> &RawSqe {
        self.taken.sqe()
    }

    pub(super) fn op(&self) -> &Op {
        &self.op
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled.is_some()
    }

    /// Decides the result; what was moved before counts more than an error, as on Linux.
    pub(super) fn settle(&mut self, result: i32) {
        let moved = i32::try_from(self.progress).unwrap_or(i32::MAX);
        self.settled = Some(if result < 0 && moved > 0 { moved } else { result });
    }

    /// The stream and direction whose order it has to keep; none for requests that take no bytes from or
    /// to a stream, or that are settled.
    pub(super) fn lane(&self) -> Option<(u64, Direction)> {
        let file = self.file.as_ref().filter(|file| file.has_order() && !self.is_settled())?;
        let direction = match self.op {
            Op::Read { .. } | Op::Recv { .. } | Op::Accept { .. } => Direction::In,
            Op::Write { .. } | Op::Send { .. } => Direction::Out,
            _ => return None,
        };
        Some((file.id, direction))
    }

    /// Whether it could complete now but for its time and for requests before it.
    pub(super) fn is_ready(&self, world: &World) -> bool {
        let Some(file) = self.file.as_ref().filter(|_| !self.is_settled()) else { return true };
        let len_bytes = (self.sqe().len as usize).saturating_sub(self.progress);
        match &self.op {
            // Reading nothing does not wait, receiving nothing does.
            Op::Read { .. } => file.can_read() || self.wanted() == 0,
            // What fails does not wait.
            Op::Recv { .. } | Op::Send { .. } if file.socket().is_err() => true,
            Op::Recv { flags, .. } => flags & libc::MSG_DONTWAIT != 0 || file.can_read(),
            Op::Write { .. } | Op::Send { .. } if file.datagrams().is_some() => {
                file.datagrams().is_some_and(|datagrams| self.sends_at_once(datagrams))
            }
            Op::Write { .. } => file.can_write(len_bytes),
            Op::Send { flags, .. } => flags & libc::MSG_DONTWAIT != 0 || file.can_write(len_bytes),
            Op::Accept { wait, .. } => {
                !wait || file.socket().map_or(true, |socket| socket.can_accept())
            }
            Op::Connect { .. } if file.datagrams().is_some() => true,
            Op::Connect { address: Ok(address) } => world.network.can_connect(*address),
            Op::Poll { .. } => !matches!(self.polled(file), Ok(None)),
            _ => true,
        }
    }

    /// Bytes to move now, at most.
    pub(super) fn wanted(&self) -> usize {
        let len_bytes = match self.sqe().len as usize {
            // The whole buffer, whatever its size.
            0 if self.selects().is_some() => i32::MAX as usize,
            len_bytes => len_bytes.saturating_sub(self.progress),
        };
        len_bytes.min(self.cut)
    }

    /// Does what the operation does, if it need not wait. This is where every result is decided.
    pub(super) fn go_on(&mut self, world: &mut World) -> Outcome {
        if self.notice.is_some() {
            return Outcome::Done(self.notify(world));
        }
        if let Some(result) = self.settled {
            return Outcome::Done(result);
        }
        match self.attempt(world) {
            Ok(Some(outcome)) => outcome,
            Ok(None) => Outcome::Blocked,
            Err(errno) => {
                self.settle(-errno);
                Outcome::Done(self.settled.unwrap_or(-errno))
            }
        }
    }

    fn attempt(&mut self, world: &mut World) -> Attempt {
        let file = self.file.clone();
        let file = || file.as_ref().ok_or(libc::EBADF);
        match &self.op {
            Op::Nop => done(0),
            // `requests` settles these when they start, and the last when its time has come.
            Op::Close { .. }
            | Op::Cancel { .. }
            | Op::Message(_)
            | Op::TimeoutRemove { .. }
            | Op::LinkTimeout { .. } => done(0),
            Op::Timeout(_) => Ok(Some(self.run_out(world))),
            Op::Open { path, flags, mode } => {
                let inode = self
                    .directory(world)
                    .and_then(|from| world.files.open(&from, path, *flags, *mode, world.now()))?;
                let access = Access::of_flags(*flags);
                opened(world.install(
                    self.ring,
                    self.sqe().splice_fd,
                    Kind::Inode(inode),
                    access,
                )?)
            }
            Op::Socket { domain, datagrams } => {
                let new = if *datagrams { Socket::of_datagrams } else { Socket::new };
                let socket = Kind::Socket(Rc::new(new(*domain)));
                opened(world.install(self.ring, self.sqe().splice_fd, socket, Access::BOTH)?)
            }
            Op::InstallFd => {
                let file = Rc::clone(file()?);
                opened(world.number(file)?)
            }
            Op::Statx { .. } => self.statx(world),
            Op::Unlink { .. }
            | Op::MakeDirectory { .. }
            | Op::Rename { .. }
            | Op::Link { .. }
            | Op::MakeLink { .. } => self.name(world),
            Op::Fsync => fsync(file()?),
            Op::Fallocate { keep_size, offset, len_bytes } => {
                fallocate(world, file()?, *keep_size, *offset, *len_bytes)
            }
            Op::Truncate { len_bytes } => {
                world.truncate(file()?, *len_bytes)?;
                done(0)
            }
            Op::Read { .. } | Op::Recv { .. } => self.read(file()?, world),
            Op::Write { .. } | Op::Send { .. } => self.write(file()?, world),
            Op::Shutdown { how } => {
                file()?.socket()?.shutdown(*how)?;
                done(0)
            }
            Op::Connect { address } => {
                let connected = world.network.connect(file()?.socket()?, (*address)?)?;
                Ok(connected.map(|()| Outcome::Done(0)))
            }
            Op::Bind { address } => {
                world.network.bind(file()?.socket()?, (*address)?)?;
                done(0)
            }
            Op::Listen { backlog } => {
                world.network.listen(file()?.socket()?, *backlog)?;
                done(0)
            }
            Op::Accept { .. } => self.accept(file()?, world),
            Op::Poll { .. } => self.poll(file()?),
        }
    }

    /// A timeout whose time has come, or its completions.
    fn run_out(&mut self, world: &World) -> Outcome {
        let Op::Timeout(timer) = &mut self.op else { return Outcome::Blocked };
        if world.now() < self.until {
            return Outcome::Done(0);
        }
        match (&mut timer.repeats, timer.when) {
            (None | Some(1), _) | (_, When::At(_)) => Outcome::Done(-libc::ETIME),
            (Some(left), When::After(span)) => {
                *left = left.saturating_sub(1);
                self.until += span;
                Outcome::Shot(-libc::ETIME)
            }
        }
    }

    fn accept(&mut self, file: &OpenFile, world: &mut World) -> Attempt {
        let Op::Accept { multi, wait } = self.op else { return Err(libc::EINVAL) };
        let socket = file.socket()?;
        let Some(endpoint) = socket.accept()? else {
            return if wait { Ok(None) } else { Err(libc::EAGAIN) };
        };
        self.said.set(CqeFlags::SOCK_NONEMPTY, socket.can_accept());
        if let Some((_, peer)) = endpoint.names() {
            self.taken.fill_peer(Address::from(peer).as_bytes())?;
        }
        let connected = Rc::new(Socket::connected(socket.domain, endpoint));
        let (connected, slot) = (Kind::Socket(connected), self.sqe().splice_fd);
        let number = world.install(self.ring, slot, connected, Access::BOTH)?;
        Ok(Some(if multi { Outcome::Shot(number) } else { Outcome::Done(number) }))
    }

    /// The events to report; none if there is nothing to report.
    fn polled(&self, file: &OpenFile) -> Result<Option<u32>, i32> {
        let Op::Poll { events, seen, .. } = self.op else { return Err(libc::EINVAL) };
        // Errors and hang-ups are reported to everybody, poll(2), and by io_uring half of them too.
        let always = (libc::POLLERR | libc::POLLHUP | libc::POLLRDHUP) as u32;
        let holds = file.events()? & (events | always);
        let (arrivals, departures) = file.wakes();
        let fresh = match seen {
            // The first time is by level, all later ones are by edge.
            None => true,
            Some((seen_arrivals, seen_departures)) => {
                let output = (libc::POLLOUT | libc::POLLWRNORM) as u32;
                (arrivals > seen_arrivals && holds & !output != 0)
                    || (departures > seen_departures && holds & output != 0)
            }
        };
        Ok(Some(holds).filter(|&holds| holds != 0 && fresh))
    }

    fn poll(&mut self, file: &OpenFile) -> Attempt {
        let Some(holds) = self.polled(file)? else { return Ok(None) };
        match &mut self.op {
            Op::Poll { multi: true, seen, .. } => {
                *seen = Some(file.wakes());
                Ok(Some(Outcome::Shot(holds as i32)))
            }
            _ => Ok(Some(Outcome::Done(holds as i32))),
        }
    }

    /// Whether a result breaks the chain that the request is a part of, so counts as a failure.
    pub(super) fn has_failed(&self, result: i32) -> bool {
        let short = usize::try_from(result).is_ok_and(|moved| moved < self.asked);
        match &self.op {
            Op::Read { .. } | Op::Write { .. } => result < 0 || short,
            Op::Recv { flags, .. } | Op::Send { flags, .. } => {
                result < 0 || (short && flags & libc::MSG_WAITALL != 0)
            }
            Op::Timeout(Timer { success: true, .. }) | Op::LinkTimeout { success: true, .. } => {
                result < 0 && result != -libc::ETIME
            }
            _ => result < 0,
        }
    }
}

fn opened(number: RawFd) -> Attempt {
    Ok(Some(Outcome::Done(number)))
}

fn fsync(file: &OpenFile) -> Attempt {
    match &file.kind {
        Kind::Inode(inode) if !matches!(inode.node, Node::Null | Node::Full) => done(0),
        _ => Err(libc::EINVAL),
    }
}

fn fallocate(
    world: &World,
    file: &OpenFile,
    keep_size: bool,
    offset: u64,
    len_bytes: u64,
) -> Attempt {
    if !file.access.write {
        return Err(libc::EBADF);
    }
    if len_bytes == 0 || i64::try_from(offset).is_err() || i64::try_from(len_bytes).is_err() {
        return Err(libc::EINVAL);
    }
    let Kind::Inode(inode) = &file.kind else { return Err(libc::ESPIPE) };
    let Node::Regular(content) = &inode.node else { return Err(libc::ENODEV) };
    // Neither is above i64::MAX, so the sum does not overflow.
    if offset + len_bytes > world.files.limit_bytes {
        return Err(libc::ENOSPC);
    }
    content.borrow_mut().allocate(offset, len_bytes, keep_size);
    inode.touch(world.now());
    done(0)
}

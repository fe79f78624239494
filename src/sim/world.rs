//! All that the kernels of one simulation share: time, chance, files, the network and the descriptors.

use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::datagrams::Datagrams;
use super::faults::{Fault, Injector};
use super::files::{Files, Inode, Node};
use super::flow::{self, Reader, WINDOW_BYTES, Writer};
use super::network::Network;
use super::random::Random;
use super::registered::{Registered, RingNumber};
use super::sockets::{self, Socket};
use super::trace::Trace;

/// Numbers that one table of descriptors has.
const MAX_DESCRIPTORS: RawFd = 1 << 20;
/// A write of so many bytes to a pipe is whole or waits, pipe(7).
pub(super) const PIPE_BUF: usize = 4096;

#[derive(Debug)]
pub(super) struct World {
    started: Instant,
    now: Duration,
    pub(super) random: Random,
    pub(super) trace: Trace,
    pub(super) faults: Injector,
    pub(super) files: Files,
    pub(super) network: Network,
    descriptors: BTreeMap<RawFd, Rc<OpenFile>>,
    /// What is kept for each ring.
    pub(super) rings: BTreeMap<RingNumber, Registered>,
    last_ring: RingNumber,
    /// The number of the first descriptor.
    first: RawFd,
    last_file: u64,
    /// Requests taken and not finished, in all kernels.
    pub(super) in_flight: usize,
    pub(super) enters: u64,
    /// Real time after which nothing in flight is a deadlock.
    pub(super) deadlock_limit: Duration,
}

/// What a descriptor stands for ("open file description", open(2)). Requests in flight keep it open after
/// its number is gone, as on Linux.
#[derive(Debug)]
pub(super) struct OpenFile {
    /// Tells files apart.
    pub(super) id: u64,
    pub(super) access: Access,
    pub(super) kind: Kind,
    /// The file's own position.
    pub(super) position: std::cell::Cell<u64>,
}

/// What a file was opened for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access {
    pub(super) read: bool,
    pub(super) write: bool,
    pub(super) append: bool,
}

impl Access {
    pub(super) const BOTH: Access = Access { read: true, write: true, append: false };

    /// From the flags of open(2).
    pub(super) fn of_flags(flags: i32) -> Access {
        let mode = flags & libc::O_ACCMODE;
        Access {
            read: mode != libc::O_WRONLY,
            write: mode != libc::O_RDONLY,
            append: flags & libc::O_APPEND != 0,
        }
    }
}

#[derive(Debug)]
pub(super) enum Kind {
    Inode(Rc<Inode>),
    PipeReader(Reader),
    PipeWriter(Writer),
    Socket(Rc<Socket>),
    Ring(RingNumber),
}

impl World {
    pub(super) fn new(seed: u64) -> World {
        World {
            started: Instant::now(),
            now: Duration::ZERO,
            random: Random::new(seed),
            trace: Trace::new(),
            faults: Injector::new(seed),
            files: Files::new(),
            network: Network::new(),
            descriptors: BTreeMap::new(),
            rings: BTreeMap::new(),
            last_ring: 0,
            first: 0,
            last_file: 0,
            in_flight: 0,
            enters: 0,
            deadlock_limit: Duration::from_secs(10),
        }
    }

    /// Sets where descriptors begin, before there are any.
    pub(super) fn number_from(&mut self, first: RawFd) {
        self.first = first;
    }

    /// Virtual time since the beginning.
    pub(super) fn now(&self) -> Duration {
        self.now
    }

    /// Virtual time, as an instant.
    pub(super) fn instant(&self) -> Instant {
        self.started + self.now
    }

    /// Lets virtual time pass.
    pub(super) fn advance(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
    }

    /// Adds a ring with which nothing is registered.
    pub(super) fn add_ring(&mut self) -> RingNumber {
        self.last_ring += 1;
        self.rings.insert(self.last_ring, Registered::default());
        self.last_ring
    }

    /// Takes out what is registered with a ring.
    pub(super) fn remove_ring(&mut self, ring: RingNumber) -> Option<Registered> {
        self.rings.remove(&ring)
    }

    /// What is registered with a ring.
    pub(super) fn registered(&mut self, ring: RingNumber) -> Result<&mut Registered, i32> {
        self.rings.get_mut(&ring).ok_or(libc::ENXIO)
    }

    /// Whether something goes wrong now; if so it is counted.
    pub(super) fn strikes(&mut self, fault: Fault) -> bool {
        let strikes = self.faults.draws(fault);
        if strikes {
            self.note_fault(fault);
        }
        strikes
    }

    /// Counts what went wrong.
    pub(super) fn note_fault(&mut self, fault: Fault) {
        self.faults.count(fault);
        let now = self.now;
        self.trace
            .add([now.as_nanos() as u64, fault as u64], || format!("{now:?} fault: {fault:?}"));
    }

    /// Opens a descriptor with the lowest number that is free, as open(2) promises.
    pub(super) fn open(&mut self, kind: Kind, access: Access) -> Result<RawFd, i32> {
        let file = self.new_file(kind, access);
        self.number(file)
    }

    /// Opens a file where a submission says: as a descriptor if `index` is 0, else in a ring's table of files.
    pub(super) fn install(
        &mut self,
        ring: RingNumber,
        index: u32,
        kind: Kind,
        access: Access,
    ) -> Result<i32, i32> {
        let file = self.new_file(kind, access);
        if index == 0 { self.number(file) } else { self.registered(ring)?.install(file, index) }
    }

    fn new_file(&mut self, kind: Kind, access: Access) -> Rc<OpenFile> {
        self.last_file += 1;
        let position = std::cell::Cell::new(0);
        Rc::new(OpenFile { id: self.last_file, access, kind, position })
    }

    /// Gives a file the lowest number that is free.
    pub(super) fn number(&mut self, file: Rc<OpenFile>) -> Result<RawFd, i32> {
        let mut number = 0;
        for &taken in self.descriptors.keys() {
            if taken != number {
                break;
            }
            number += 1;
        }
        if number >= MAX_DESCRIPTORS {
            return Err(libc::EMFILE);
        }
        self.descriptors.insert(number, file);
        Ok(self.first + number)
    }

    /// The file behind a number; numbers of Linux are not ours.
    pub(super) fn file(&self, number: RawFd) -> Result<Rc<OpenFile>, i32> {
        self.descriptors.get(&self.plain(number)).cloned().ok_or(libc::EBADF)
    }

    pub(super) fn socket(&self, number: RawFd) -> Result<Rc<Socket>, i32> {
        self.file(number)?.socket().cloned()
    }

    /// Gives a number up. The file stays open while requests in flight use it.
    pub(super) fn close(&mut self, number: RawFd) -> Result<(), i32> {
        let number = self.plain(number);
        self.descriptors.remove(&number).map(drop).ok_or(libc::EBADF)
    }

    /// Gives a ring's number up, unless somebody has closed it before.
    pub(super) fn close_ring(&mut self, number: RawFd, ring: RingNumber) {
        let is_open = |file: Rc<OpenFile>| matches!(file.kind, Kind::Ring(other) if other == ring);
        if self.file(number).is_ok_and(is_open) {
            self.descriptors.remove(&self.plain(number));
        }
    }

    /// How many are open, but for those of rings.
    pub(super) fn open_descriptors(&self) -> usize {
        let is_ring = |file: &&Rc<OpenFile>| matches!(file.kind, Kind::Ring(_));
        self.descriptors.len() - self.descriptors.values().filter(is_ring).count()
    }

    /// A number as it is in every run with one seed, wherever this table begins.
    pub(super) fn plain(&self, number: RawFd) -> RawFd {
        match number.checked_sub(self.first) {
            Some(plain) if (0..MAX_DESCRIPTORS).contains(&plain) => plain,
            _ => -1,
        }
    }

    pub(super) fn pipe(&mut self) -> Result<(RawFd, RawFd), i32> {
        let (reader, writer) = flow::flow();
        let reader = self.open(Kind::PipeReader(reader), Access::of_flags(libc::O_RDONLY))?;
        let writer = self.open(Kind::PipeWriter(writer), Access::of_flags(libc::O_WRONLY))?;
        Ok((reader, writer))
    }

    pub(super) fn socket_pair(&mut self) -> Result<(RawFd, RawFd), i32> {
        let (here, there) = sockets::connection(None);
        let mut open = |endpoint| {
            let socket = Rc::new(Socket::connected(libc::AF_UNIX, endpoint));
            self.open(Kind::Socket(socket), Access::BOTH)
        };
        Ok((open(here)?, open(there)?))
    }

    pub(super) fn datagram_pair(&mut self) -> Result<(RawFd, RawFd), i32> {
        let (here, there) = (
            Rc::new(Socket::of_datagrams(libc::AF_UNIX)),
            Rc::new(Socket::of_datagrams(libc::AF_UNIX)),
        );
        for (one, other) in [(&here, &there), (&there, &here)] {
            one.datagrams.iter().for_each(|datagrams| datagrams.pair_with(other));
        }
        let mut open = |socket| self.open(Kind::Socket(socket), Access::BOTH);
        Ok((open(here)?, open(there)?))
    }

    /// `ftruncate(2)`.
    pub(super) fn truncate(&mut self, file: &OpenFile, len_bytes: u64) -> Result<(), i32> {
        let Kind::Inode(inode) = &file.kind else { return Err(libc::EINVAL) };
        let Node::Regular(content) = &inode.node else { return Err(libc::EINVAL) };
        if !file.access.write || i64::try_from(len_bytes).is_err() {
            return Err(libc::EINVAL);
        }
        if len_bytes > self.files.limit_bytes {
            return Err(libc::EFBIG);
        }
        content.borrow_mut().truncate(len_bytes);
        inode.touch(self.now);
        Ok(())
    }
}

impl OpenFile {
    pub(super) fn socket(&self) -> Result<&Rc<Socket>, i32> {
        match &self.kind {
            Kind::Socket(socket) => Ok(socket),
            _ => Err(libc::ENOTSOCK),
        }
    }

    /// What it has of datagrams, if it is a socket of such.
    pub(super) fn datagrams(&self) -> Option<&Datagrams> {
        self.socket().ok()?.datagrams.as_ref()
    }

    /// Whether it is read and written without positions, so that one may have to wait.
    pub(super) fn is_stream(&self) -> bool {
        !matches!(self.kind, Kind::Inode(_) | Kind::Ring(_))
    }

    /// Whether bytes must keep their order, so that requests must as well.
    pub(super) fn has_order(&self) -> bool {
        self.is_stream() && self.datagrams().is_none()
    }

    /// Whether a read would not wait. One that fails does not wait either.
    pub(super) fn can_read(&self) -> bool {
        match &self.kind {
            Kind::PipeReader(reader) => reader.available() > 0 || reader.finished(),
            Kind::Socket(socket) => match &socket.datagrams {
                Some(datagrams) => datagrams.can_receive(),
                None => socket.endpoint().is_none_or(|end| end.can_receive()),
            },
            Kind::Inode(_) | Kind::PipeWriter(_) | Kind::Ring(_) => true,
        }
    }

    /// Whether a write of so many bytes would not wait.
    pub(super) fn can_write(&self, len_bytes: usize) -> bool {
        match &self.kind {
            Kind::PipeWriter(writer) => {
                writer.space() >= len_bytes.min(PIPE_BUF) || writer.unread()
            }
            Kind::Socket(socket) => match &socket.datagrams {
                Some(datagrams) => datagrams.can_send(),
                None => socket.endpoint().is_none_or(|end| end.can_send()),
            },
            Kind::Inode(_) | Kind::PipeReader(_) | Kind::Ring(_) => true,
        }
    }

    /// What poll(2) says; `EOPNOTSUPP`, as io_uring has it, where there is nothing to wait for.
    pub(super) fn events(&self) -> Result<u32, i32> {
        let mut events = 0;
        match &self.kind {
            Kind::Inode(_) | Kind::Ring(_) => return Err(libc::EOPNOTSUPP),
            Kind::Socket(socket) => return Ok(socket.events()),
            Kind::PipeReader(reader) => {
                if reader.available() > 0 {
                    events |= libc::POLLIN | libc::POLLRDNORM;
                }
                if reader.finished() {
                    events |= libc::POLLHUP;
                }
            }
            Kind::PipeWriter(writer) => {
                if writer.space() >= PIPE_BUF {
                    events |= libc::POLLOUT | libc::POLLWRNORM;
                }
                if writer.unread() {
                    events |= libc::POLLERR;
                }
            }
        }
        Ok(events as u32)
    }

    /// Counts of what woke readers and writers so far.
    pub(super) fn wakes(&self) -> (u64, u64) {
        match &self.kind {
            Kind::Inode(_) | Kind::Ring(_) => (0, 0),
            Kind::PipeReader(reader) => (reader.arrivals(), 0),
            Kind::PipeWriter(writer) => (0, writer.departures()),
            Kind::Socket(socket) => socket.wakes(),
        }
    }
}

// A pipe holds at least one atomic write.
const _: () = assert!(WINDOW_BYTES >= PIPE_BUF);

//! A ring with what steps work on: descriptors, a group of buffers, a table of files.

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use runtime_tests::TempDir;
use uring::ring::{At, BufRing, BufRingSetup, Cqe, CqeFlags, Files, Ring, Setup, Sqe, Target};
use uring::sim::Sim;

use super::messages::Other;

const REQUEST: u64 = 1;
const CANCEL: u64 = 2;
/// How many descriptors are kept; a new one takes the place of an old one.
const KEPT: usize = 6;

/// One of the two kernels.
pub(crate) struct Machine {
    pub(crate) ring: Ring,
    sim: Option<Sim>,
    _dir: Option<TempDir>,
    root: RawFd,
    kept: Vec<Option<RawFd>>,
    next: usize,
    /// Whether the descriptors that are kept are of TCP, and whether they are unix sockets of datagrams.
    tcp: [bool; KEPT],
    unix: [bool; KEPT],
    pub(crate) buffers: BufRing,
    pub(crate) files: Files,
    pub(crate) other: Other,
}

/// All completions of one request.
pub(crate) struct Done(pub(crate) Vec<Cqe>);

impl Machine {
    pub(crate) fn linux() -> Option<Machine> {
        let ring = Setup::new(32).build().ok()?;
        let dir = TempDir::new();
        // A path may lead one directory up.
        let root = dir.path().join("root");
        std::fs::create_dir(&root).ok()?;
        let path = std::ffi::CString::new(root.to_str()?).ok()?;
        Some(Machine::new(ring, None, Some(dir), &path))
    }

    pub(crate) fn sim(seed: u64) -> Machine {
        let sim = Sim::new(seed);
        sim.make_dir("/d/root");
        let ring = Setup::new(32).build_on(sim.kernel()).expect("a ring");
        Machine::new(ring, Some(sim), None, c"/d/root")
    }

    fn new(mut ring: Ring, sim: Option<Sim>, dir: Option<TempDir>, path: &std::ffi::CStr) -> Self {
        let open = Sqe::open_at(At::WorkingDirectory, path, libc::O_DIRECTORY, 0);
        // SAFETY: waited for at once.
        unsafe { ring.push(open) }.expect("space");
        ring.submit_and_wait(1, None).expect("enter");
        let root = ring.drain().next().expect("a completion").cqe.raw_result();
        assert!(root >= 0, "the directory is opened");
        let buffers = BufRingSetup::new(4, 16).build(&ring).expect("a group");
        let files = ring.register_files_sparse(4).expect("a table");
        let other = Other::new(sim.as_ref());
        let (kept, next) = (vec![None; KEPT], 0);
        Machine {
            ring,
            sim,
            _dir: dir,
            root,
            kept,
            next,
            tcp: [false; KEPT],
            unix: [false; KEPT],
            buffers,
            files,
            other,
        }
    }

    pub(crate) fn is_linux(&self) -> bool {
        self.sim.is_none()
    }

    /// Where paths start.
    pub(crate) fn root<'a>(&self) -> At<'a> {
        At::Fd(borrow(self.root))
    }

    /// One of the descriptors that are kept; sometimes one that was never open.
    pub(crate) fn fd(&self, which: u8) -> RawFd {
        self.kept[usize::from(which) % KEPT].unwrap_or(900_000)
    }

    /// One of those that are open; sometimes any.
    pub(crate) fn open(&self, which: u8) -> u8 {
        let is_open = |&at: &u8| self.kept[usize::from(at)].is_some();
        let open: Vec<u8> = (0..KEPT as u8).filter(is_open).collect();
        if which % 16 == 15 || open.is_empty() {
            which
        } else {
            open[usize::from(which) % open.len()]
        }
    }

    /// The one that was kept last.
    pub(crate) fn newest(&self) -> u8 {
        (self.next.wrapping_sub(1) % KEPT) as u8
    }

    pub(crate) fn target<'a>(&self, which: u8) -> Target<'a> {
        borrow(self.fd(which)).into()
    }

    /// Takes a descriptor out, to be closed.
    pub(crate) fn take(&mut self, which: u8) -> OwnedFd {
        let number = self.kept[usize::from(which) % KEPT].take().unwrap_or(900_000);
        // SAFETY: it was kept here, and is no longer; the number of none is never open.
        unsafe { OwnedFd::from_raw_fd(number) }
    }

    /// Keeps a new descriptor in place of an old one, which is closed.
    pub(crate) fn keep(&mut self, number: RawFd) {
        let at = self.next % KEPT;
        self.next += 1;
        if self.kept[at].is_some() {
            let old = self.take(at as u8);
            self.run(Sqe::close(old));
        }
        self.kept[at] = Some(number);
        (self.tcp[at], self.unix[at]) = (false, false);
    }

    /// Whether this is one side of a TCP connection.
    pub(crate) fn is_tcp(&self, which: u8) -> bool {
        self.tcp[usize::from(which) % KEPT]
    }

    /// Keeps what was opened, and says whether something was.
    pub(crate) fn opened(&mut self, done: &Done) -> String {
        let result = done.result();
        if result >= 0 {
            self.keep(result);
        }
        format!("{}", result.min(0))
    }

    /// A pipe or a pair of sockets, made and kept.
    pub(crate) fn pair(&mut self, kind: u8) {
        let (one, two) = match (kind % 3, &self.sim) {
            (0, Some(sim)) => sim.pipe(),
            (1, Some(sim)) => sim.socket_pair(),
            (0, None) => numbers(runtime_tests::pipe()),
            (1, None) => numbers(std::os::unix::net::UnixStream::pair().expect("sockets")),
            _ => self.connection(),
        };
        for end in [one, two] {
            self.keep(end);
            self.tcp[(self.next - 1) % KEPT] = kind % 3 == 2;
        }
    }

    /// A pair of unix sockets that exchange datagrams, made and kept.
    pub(crate) fn datagram_pair(&mut self) {
        let (one, two) = match &self.sim {
            Some(sim) => sim.datagram_pair(),
            None => numbers(std::os::unix::net::UnixDatagram::pair().expect("sockets")),
        };
        for end in [one, two] {
            self.keep(end);
            self.unix[(self.next - 1) % KEPT] = true;
        }
    }

    /// Whether this is one of a pair of unix sockets that exchange datagrams.
    pub(crate) fn is_unix(&self, which: u8) -> bool {
        let at = usize::from(which) % KEPT;
        self.unix[at] && self.kept[at].is_some()
    }

    /// Two TCP sockets that are connected.
    fn connection(&mut self) -> (RawFd, RawFd) {
        let socket = |it: &mut Machine| {
            it.run(Sqe::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0)).result()
        };
        let address = if self.is_linux() {
            let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            free.local_addr().expect("its number")
        } else {
            std::net::SocketAddr::from(([127, 0, 0, 1], 40_000))
        };
        let address = uring::ring::Address::from(address);
        let (listener, client) = (socket(self), socket(self));
        let listening = || borrow(listener).into();
        assert_eq!(self.run(Sqe::bind(listening(), &address)).result(), 0);
        assert_eq!(self.run(Sqe::listen(listening(), 4)).result(), 0);
        let connected = self.run(Sqe::connect(borrow(client).into(), &address));
        assert_eq!(connected.result(), 0);
        let server = self.run(Sqe::accept(listening(), None, libc::SOCK_CLOEXEC)).result();
        // SAFETY: nobody else has it.
        self.run(Sqe::close(unsafe { OwnedFd::from_raw_fd(listener) }));
        (client, server)
    }

    /// Runs one request to its end; what blocks is cancelled.
    pub(crate) fn run(&mut self, sqe: Sqe<'_>) -> Done {
        // Linux takes its time to do what does not block; the other clock costs nothing.
        self.run_within(sqe, Duration::from_secs(20))
    }

    /// As [`Machine::run`], of what may well block.
    pub(crate) fn try_to(&mut self, sqe: Sqe<'_>) -> Done {
        let limit = if self.is_linux() { 10 } else { 5_000 };
        self.run_within(sqe, Duration::from_millis(limit))
    }

    /// Receives up to some bytes, and says how many were asked for and what came.
    pub(crate) fn recv(&mut self, which: u8, n: u16, flags: i32) -> String {
        let len = usize::from(n) % 50;
        let mut to = room(len);
        let sqe = Sqe::recv(self.target(which), &mut to.spare_capacity_mut()[..len], flags);
        let done = self.try_to(sqe);
        // What is told of a datagram may be more than what is there.
        let bytes = filled(to, done.result().min(len as i32));
        format!("{len} {flags}: {} {bytes:?}", done.words())
    }

    /// Reads up to some bytes, and says how many were asked for and what came.
    pub(crate) fn read(&mut self, which: u8, n: u16) -> String {
        let len = usize::from(n) % 50;
        let mut to = room(len);
        let sqe = Sqe::read(self.target(which), &mut to.spare_capacity_mut()[..len], None);
        let done = self.try_to(sqe);
        let bytes = filled(to, done.result());
        format!("{len}: {} {bytes:?}", done.words())
    }

    fn run_within(&mut self, sqe: Sqe<'_>, limit: Duration) -> Done {
        // SAFETY: waited for to its end.
        unsafe { self.ring.push(sqe.user_data(REQUEST)) }.expect("space");
        let mut done = Done(Vec::new());
        self.gather(&mut done, limit);
        if !done.is_over() {
            // SAFETY: a cancel lends nothing.
            unsafe { self.ring.push(Sqe::cancel(REQUEST).user_data(CANCEL)) }.expect("space");
            self.gather(&mut done, Duration::from_secs(20));
            assert!(done.is_over(), "what was cancelled ends");
            // The answer of the cancel may come after that.
            self.ring.submit_and_wait(0, None).expect("enter");
        }
        done
    }

    fn gather(&mut self, done: &mut Done, limit: Duration) {
        let from = self.ring.now();
        while !done.is_over() && self.ring.now() - from < limit {
            self.ring.submit_and_wait(1, Some(limit)).expect("enter");
            let cqes = self.ring.drain().map(|completion| completion.cqe);
            done.0.extend(cqes.filter(|cqe| cqe.user_data() == REQUEST));
        }
    }

    /// Pushes several, and gives each its end: `(result, flags)` of all completions, by `user_data`.
    pub(crate) fn run_all(&mut self, sqes: Vec<Sqe<'_>>) -> Vec<(u64, i32)> {
        let count = sqes.len();
        for (index, sqe) in sqes.into_iter().enumerate() {
            // SAFETY: waited for below.
            unsafe { self.ring.push(sqe.user_data(10 + index as u64)) }.expect("space");
        }
        let mut done = Vec::new();
        while done.len() < count {
            self.ring.submit_and_wait(1, None).expect("enter");
            let cqes = self.ring.drain().map(|completion| completion.cqe);
            let ours = cqes.filter(|cqe| cqe.user_data() >= 10 && !cqe.more());
            done.extend(ours.map(|cqe| (cqe.user_data() - 10, cqe.raw_result())));
        }
        done.sort_unstable();
        done
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for which in 0..KEPT as u8 {
            if self.kept[usize::from(which)].is_some() {
                let old = self.take(which);
                self.run(Sqe::close(old));
            }
        }
        // SAFETY: nobody else has it.
        self.run(Sqe::close(unsafe { OwnedFd::from_raw_fd(self.root) }));
    }
}

impl Done {
    fn is_over(&self) -> bool {
        self.0.last().is_some_and(|cqe| !cqe.more())
    }

    /// The first result.
    pub(crate) fn result(&self) -> i32 {
        self.0[0].raw_result()
    }

    /// All completions in words.
    pub(crate) fn words(&self) -> String {
        let hidden = CqeFlags::SOCK_NONEMPTY;
        let word = |cqe: &Cqe| {
            let result = if cqe.notification() { 0 } else { cqe.raw_result() };
            format!("{result} {:?}", cqe.flags() - hidden)
        };
        self.0.iter().map(word).collect::<Vec<_>>().join(", ")
    }
}

pub(crate) fn borrow<'a>(number: RawFd) -> BorrowedFd<'a> {
    // SAFETY: open, or a number that no kernel here has given out.
    unsafe { BorrowedFd::borrow_raw(number) }
}

fn numbers<T: Into<OwnedFd>>((one, two): (T, T)) -> (RawFd, RawFd) {
    use std::os::fd::IntoRawFd;
    (one.into().into_raw_fd(), two.into().into_raw_fd())
}

/// So many bytes of room.
pub(crate) fn room(len: usize) -> Vec<u8> {
    Vec::with_capacity(len.max(1))
}

/// What a kernel has put at the front.
pub(crate) fn filled(mut room: Vec<u8>, result: i32) -> Vec<u8> {
    let len = usize::try_from(result).unwrap_or(0).min(room.capacity());
    // SAFETY: the kernel has written so many bytes.
    unsafe { room.set_len(len) };
    room
}

//! A kernel in memory that is seeded, keeps its own time, and makes the most of every freedom Linux has.
//!
//! [`Sim`] is a world with files, pipes, sockets and a network of its own. A ring made on
//! [`Sim::kernel`] works in that world and in no other: nothing of the machine is seen or touched. Every run
//! with one seed is the same run.
//!
//! What it does to a program is what Linux may do, if seldom on an idle machine:
//!
//! * Requests complete in any order that is possible, not in that of their submission. Only bytes of one
//!   stream keep their order in each direction.
//! * Not all that can complete does at once; the rest is announced by `IORING_SQ_TASKRUN`.
//! * A cancel may come too late.
//! * Paths and addresses are read when a submission is taken, buffers when the request completes.
//! * A bundle takes some of the buffers that it could.
//! * The memory of a zero-copy send is let go of at once, much later, or when the peer has read it.
//!
//! What goes wrong on a machine that is less lucky is injected by rates: see [`Faults`].
//!
//! Time is virtual. It passes a little with every `enter` and every look at the clock, and when nothing can complete it jumps to the
//! end of the wait, so a test of an hour's timeout takes no time. A wait that nothing can end is a deadlock:
//! it panics with a list of what is in flight.
//!
//! # Where it differs from Linux
//!
//! Not all opcodes are there, see [`Ring::supports`](crate::ring::Ring::supports); others answer `EINVAL`, as an
//! old kernel would. Rings of provided buffers and files can be registered, and nothing else (`EOPNOTSUPP`). There
//! are no users or permissions, only sockets of streams and of datagrams, and no address that a unix socket could
//! be bound to. The monotonic clock of timeouts is [`Sim::elapsed`]. A send to a peer that
//! has closed fails at once with `EPIPE`, on Linux often only the second one does.
//!
//! There is no `sendmsg(2)`, and no `recvmsg(2)`, which alone tells where a datagram came from.
//! A socket that is connected stays so (`AF_UNSPEC` is not known), one of IPv6 reaches IPv6 alone, and nothing is
//! broadcast. How many fit into a buffer is of the same order as on Linux, and not the same number. Their requests have
//! no order among each other, not even on one socket.
//!
//! The descriptor of a ring is good for [messages](crate::ring::Sqe::msg_ring) alone: it cannot be polled. A message
//! shows at the next `enter` of the ring that it is for, and nothing announces it before. A file that is sent to
//! another ring is there at once, where Linux waits for that ring's owner.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::fd::{self, DescriptorTable};
use crate::ring::{Enter, Interrupt, Kernel, KernelSide, Registry};
use crate::sys::abi::Opcode;

mod bell;
mod datagrams;
mod enter;
mod faults;
mod files;
mod flow;
mod memory;
mod messages;
mod names;
mod network;
mod op;
mod random;
mod registered;
mod request;
mod requests;
mod sockets;
mod table;
#[cfg(test)]
mod tests;
mod trace;
mod transfer;
mod world;
mod zero_copy;

use bell::Bell;
use enter::{End, enter};
pub use faults::{Fault, Faults};
use registered::RegistryOf;
use requests::Requests;
use table::Table;
use world::{Access, Kind, World};

/// The virtual time that it takes to read the clock. A program that is busy with nothing but waiting for a moment
/// to come does not enter the kernel, and time has to pass for it too.
const CLOCK_NANOS: u64 = 500;

/// A simulated world, and the hands to prepare and inspect it from outside.
///
/// Cheap to clone; all clones are the same world. It belongs to one thread.
///
/// ```
/// use uring::ring::{Cqe, Setup, Sqe};
/// use uring::sim::Sim;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let sim = Sim::new(7);
/// let mut ring = Setup::new(8).build_on(sim.kernel())?;
/// // SAFETY: a nop lends nothing.
/// unsafe { ring.push(Sqe::nop().user_data(1).into_raw())? };
/// ring.submit_and_wait(1, None)?;
/// let mut cqes = [Cqe::default(); 1];
/// assert_eq!(ring.copy_cqes(&mut cqes), 1);
/// assert_eq!(cqes[0].user_data(), 1);
/// assert_eq!(sim.in_flight(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Sim {
    world: Rc<RefCell<World>>,
    /// Owned here because the thread's list of tables holds it weakly.
    _table: Rc<dyn DescriptorTable>,
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Sim");
        if let Ok(world) = self.world.try_borrow() {
            out.field("now", &world.now())
                .field("in_flight", &world.in_flight)
                .field("open_descriptors", &world.open_descriptors());
        }
        out.finish_non_exhaustive()
    }
}

impl Sim {
    /// A new world: the directories `/tmp` and `/dev`, the devices `/dev/null` and `/dev/full`, and no more.
    /// The working directory is `/`.
    ///
    /// # Panics
    ///
    /// When 1,023 of them are alive on this thread: drop some.
    pub fn new(seed: u64) -> Sim {
        let world = Rc::new(RefCell::new(World::new(seed)));
        let table: Rc<dyn DescriptorTable> = Rc::new(Table(Rc::clone(&world)));
        let first = fd::add_table(&table)
            .expect("too many simulations are alive on this thread: drop those that are done");
        world.borrow_mut().number_from(first);
        Sim { world, _table: table }
    }

    /// A kernel of this world, for [`Setup::build_on`](crate::ring::Setup::build_on). Several rings may live
    /// in one world, and send each other messages; a wait in one of them takes no notice of what another has in
    /// flight.
    ///
    /// # Panics
    ///
    /// When all of the 2²⁰ descriptors are open: close some.
    pub fn kernel(&self) -> Box<dyn Kernel> {
        let registry = RegistryOf::new(&self.world);
        let kind = Kind::Ring(registry.ring());
        let number = self.world.borrow_mut().open(kind, Access::BOTH);
        Box::new(SimKernel {
            sim: self.clone(),
            number: number.expect("no descriptor is left: close some"),
            requests: Requests::of(registry.ring()),
            registry,
            bell: Arc::new(Bell::default()),
        })
    }

    /// Makes a directory, with those above it that are missing.
    ///
    /// # Panics
    ///
    /// When there is a file in the way: choose another path.
    pub fn make_dir(&self, path: impl AsRef<Path>) {
        let path = path.as_ref();
        let world = &mut *self.world.borrow_mut();
        let now = world.now();
        if world.files.make_directories(path.as_os_str().as_bytes(), now).is_err() {
            panic!("{} leads through a file: choose another path", path.display());
        }
    }

    /// Makes a file that holds `bytes`, or replaces what it held; with the directories above it.
    ///
    /// # Panics
    ///
    /// When a directory or a device has that name, or a file is in the way: choose another path.
    pub fn write_file(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
        let path = path.as_ref();
        let world = &mut *self.world.borrow_mut();
        let now = world.now();
        let written = path.file_name().is_some_and(|name| {
            let above = path.parent().map_or(&b""[..], |above| above.as_os_str().as_bytes());
            let flags = libc::O_CREAT | libc::O_TRUNC | libc::O_WRONLY;
            world
                .files
                .make_directories(above, now)
                .and_then(|parent| world.files.open(&parent, name.as_bytes(), flags, 0o666, now))
                .is_ok_and(|inode| inode.replace(bytes.as_ref()))
        });
        assert!(written, "{} cannot be a file: choose another path", path.display());
    }

    /// What the file at `path` holds; `None` if there is no regular file.
    pub fn read_file(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let files = &self.world.borrow().files;
        files.find(files.root(), path.as_ref().as_os_str().as_bytes()).ok()?.content()
    }

    /// Writes that would make a file longer than this fail with `ENOSPC`, after writing what fits.
    /// 256 MiB at first.
    pub fn limit_file_size(&self, limit_bytes: u64) {
        // Offsets of Linux are signed.
        self.world.borrow_mut().files.limit_bytes = limit_bytes.min(i64::MAX as u64);
    }

    /// A pipe: the descriptor to read from and the one to write to. `pipe(2)`.
    ///
    /// # Panics
    ///
    /// When all of the 2²⁰ descriptors are open: close some.
    pub fn pipe(&self) -> (RawFd, RawFd) {
        self.world.borrow_mut().pipe().expect("no descriptor is left: close some")
    }

    /// Two unix sockets that are connected to each other. `socketpair(2)`.
    ///
    /// # Panics
    ///
    /// When all of the 2²⁰ descriptors are open: close some.
    pub fn socket_pair(&self) -> (RawFd, RawFd) {
        self.world.borrow_mut().socket_pair().expect("no descriptor is left: close some")
    }

    /// Two unix sockets that send each other datagrams. `socketpair(2)` with `SOCK_DGRAM`.
    ///
    /// # Panics
    ///
    /// When all of the 2²⁰ descriptors are open: close some.
    pub fn datagram_pair(&self) -> (RawFd, RawFd) {
        self.world.borrow_mut().datagram_pair().expect("no descriptor is left: close some")
    }

    /// Descriptors that are open, but for those of rings: those of a program that has cleaned up are 0.
    pub fn open_descriptors(&self) -> usize {
        self.world.borrow().open_descriptors()
    }

    /// Requests that were submitted and have not posted their final completion, in all rings.
    pub fn in_flight(&self) -> usize {
        self.world.borrow().in_flight
    }

    /// Lets virtual time pass.
    pub fn advance(&self, time: Duration) {
        self.world.borrow_mut().advance(time);
    }

    /// Virtual time now, which is [`Ring::now`](crate::ring::Ring::now) as well.
    pub fn now(&self) -> Instant {
        self.world.borrow().instant()
    }

    /// Virtual time since this world began: the same in every run with one seed.
    pub fn elapsed(&self) -> Duration {
        self.world.borrow().now()
    }

    /// How many times its kernels were entered.
    pub fn enters(&self) -> u64 {
        self.world.borrow().enters
    }

    /// The same world, in which things go wrong from now on.
    pub fn faults(self, faults: Faults) -> Sim {
        self.world.borrow_mut().faults.faults = faults;
        self
    }

    /// How often something of this kind has gone wrong so far.
    pub fn injected(&self, fault: Fault) -> u64 {
        self.world.borrow().faults.injected(fault)
    }

    /// A hash over every submission, completion, `enter` and fault so far with its virtual time. Two runs that
    /// differ in it went different ways; a program that has but one thread has the same hash for the same seed.
    pub fn trace_hash(&self) -> u64 {
        self.world.borrow().trace.hash()
    }

    /// Keeps a line for each of the last so many events, for [`Sim::trace`]. None at first.
    pub fn keep_trace(&self, most_lines: usize) {
        self.world.borrow_mut().trace.keep(most_lines);
    }

    /// The last submissions, completions, `enter`s and faults in words, oldest first, as far as they were to be
    /// [kept](Sim::keep_trace).
    pub fn trace(&self) -> Vec<String> {
        self.world.borrow().trace.lines()
    }

    /// A wait without a limit that nothing in flight can end panics, after other threads had this long (in
    /// real time) to interrupt it. 10 seconds at first.
    pub fn deadlock_limit(&self, limit: Duration) {
        self.world.borrow_mut().deadlock_limit = limit;
    }
}

/// One kernel of a world: the other side of one ring.
#[derive(Debug)]
struct SimKernel {
    sim: Sim,
    /// The ring's descriptor.
    number: RawFd,
    requests: Requests,
    registry: Rc<RegistryOf>,
    bell: Arc<Bell>,
}

// SAFETY: results are true: a count is that of the bytes that `memory` copied to or from the front of the
// lent buffer (with `MSG_TRUNC`, of those that it would have with more room, as recv(2) has it), and a descriptor is new (`World::open`). Lent memory is used by way of `memory::Taken` alone,
// which a request owns from the moment its submission was taken, and which is dropped before its final
// completion is posted (`Requests::finish`).
unsafe impl Kernel for SimKernel {
    fn enter(&mut self, side: &mut KernelSide<'_>, request: Enter) -> io::Result<u32> {
        let waits = request.want > 0;
        let interrupted = waits && self.bell.take();
        let entered = {
            let world = &mut *self.sim.world.borrow_mut();
            enter(world, &mut self.requests, side, request, interrupted)?
        };
        if entered.end == End::Stuck {
            self.block();
        }
        Ok(entered.taken)
    }

    fn supports(&self, opcode: Opcode) -> bool {
        op::KNOWN.contains(&opcode)
    }

    fn now(&self) -> Instant {
        let world = &mut *self.sim.world.borrow_mut();
        let now = world.instant();
        world.advance(Duration::from_nanos(CLOCK_NANOS));
        now
    }

    fn interrupt(&self) -> Arc<dyn Interrupt> {
        Arc::clone(&self.bell) as Arc<dyn Interrupt>
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: the number is the ring's until this is dropped, and none of Linux's.
        Some(unsafe { BorrowedFd::borrow_raw(self.number) })
    }

    fn registry(&self) -> Option<Rc<dyn Registry>> {
        Some(Rc::clone(&self.registry) as Rc<dyn Registry>)
    }
}

impl SimKernel {
    /// Nothing here can ever complete, so only another thread can go on.
    fn block(&self) {
        let limit = self.sim.world.borrow().deadlock_limit;
        if !self.bell.wait(limit) {
            let report = self.requests.report(&self.sim.world.borrow());
            panic!(
                "deadlock in the simulation: it waits for completions, nothing in flight can ever \
                 complete, and no other thread has interrupted it for {limit:?}. Give the wait a limit, \
                 or submit what ends it. In flight:{}",
                if report.is_empty() { " nothing" } else { &report }
            );
        }
    }
}

impl Drop for SimKernel {
    fn drop(&mut self) {
        // What is in flight dies with its ring.
        let world = &mut *self.sim.world.borrow_mut();
        world.in_flight -= self.requests.unfinished();
        world.close_ring(self.number, self.registry.ring());
    }
}

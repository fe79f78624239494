//! The two queues of io_uring, as a small interface without the runtime.
//!
//! A [`Ring`] is made by [`Setup`]. A submission is built by a constructor of [`Sqe`], pushed, and handed to
//! the kernel by [`Ring::submit`] or [`Ring::submit_and_wait`]; completions are copied out as [`Cqe`]s.
//!
//! ```
//! use uring::ring::{Setup, Sqe};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut ring = Setup::new(8).build()?;
//! // SAFETY: a nop lends nothing.
//! unsafe { ring.push(Sqe::nop().user_data(7))? };
//! ring.submit_and_wait(1, None)?;
//! for completion in ring.drain() {
//!     assert_eq!(completion.cqe.user_data(), 7);
//!     completion.cqe.result()?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | to | there is |
//! |---|---|
//! | make a ring | [`Setup`], in memory of one's own with [`RingMemory`]; [`SetupError`] says why not |
//! | know what the kernel can do | [`Capabilities`]; of one ring, [`Ring::report`] and [`Ring::supports`] |
//! | submit | [`Ring::push`], [`Ring::push_chain`], [`Ring::push128`], [`Ring::reserve`], [`Ring::submit`] |
//! | wait | [`Ring::submit_and_wait`]; with clocks, minimum and signals, [`WaitFor`] |
//! | take completions | [`Ring::copy_cqes`], [`Ring::copy_big_cqes`], [`Ring::wait_cqes`], [`Ring::drain`] |
//! | change the sizes | [`Ring::resize`] |
//! | do what has no name here | [`Sqe::raw`], [`Ring::enter`], [`abi`] |
//!
//! Items name the first Linux that has them, as distributed by kernel.org. One that names none is as old as the
//! type it belongs to, and otherwise in every Linux that a ring is made on: 5.11 and newer. Whether the Linux at
//! hand has it is for [`Capabilities`] to say.
//!
//! # What is safe, and what is not
//!
//! Building a submission is safe: an [`Sqe<'a>`](Sqe) borrows what it points to. Pushing one is not, because
//! the kernel goes on using that memory after the borrow has ended, and no borrow of Rust's lasts until a
//! completion. So the functions that push are unsafe, and one contract is all that most programs need.
//!
//! ## The push contract
//!
//! > What the submission was lent stays lent (valid, unmoved, and not touched where it was lent mutably)
//! > until its final completion was copied out: the one for which [`Cqe::more`] is false.
//!
//! Closing the ring is *not* such a completion: an O_DIRECT read wrote to its buffer after the ring's
//! descriptor was closed in 276 of 301 measured runs. Who leaves before that forgets the buffer, as leaking
//! is sound and freeing is not. A submission that [skips](Sqe::skip_success) its completion has none to wait
//! for, so it must lend nothing.
//!
//! An [`Entry`] can be copied, and what it lends cannot: each is pushed once. The second push of a close would
//! close somebody else's descriptor. And one that was made of a [`RawSqe`] is under the contract of [`Sqe::raw`].
//!
//! ## The other unsafe functions
//!
//! | function | the caller promises |
//! |---|---|
//! | [`Ring::push`], [`Ring::push_chain`], [`Ring::push128`] | the push contract |
//! | [`Sqe::raw`], [`MultiSqe::raw`], [`Sqe128::raw`] | addresses and descriptors in it may be lent |
//! | [`Sqe::command`], [`MultiSqe::command`], [`Sqe128::command`] | what the driver does with memory is allowed |
//! | [`Sqe::getsockopt_raw`], [`Sqe::setsockopt_raw`] | so is what an option with addresses in it does |
//! | [`Sqe::madvise_raw`] | nobody relies on what the advice drops or makes unusable |
//! | [`Sqe::provide_buffers`] | the memory is lent until each buffer was used or removed |
//! | [`BufRing::take`], [`ClassicBuffers::take`] | the [take contract](provided#the-take-contract) |
//! | [`ClassicBuffers::provided`], [`ClassicBuffers::removed`] | the completion is that of such a submission |
//! | [`Sqe::msg_ring`], [`Sqe::msg_ring_fd`], [`send_message`] | nobody takes what it posts for the end of a request |
//! | [`Sqe::poll_rename`], [`ZcrxSetup::events`] | the same |
//! | [`Ring::register_files_tagged`], [`Files::update_tagged`] | the same, of the tags |
//! | [`Ring::register_buffers_tagged`], [`Buffers::update_tagged`] | the same, of the tags |
//! | [`ZcrxQueue::bytes`] | the piece is of that queue, and was not given back |
//! | [`Setup::build_in_foreign`] | the memory is the ring's alone |
//! | the traits [`Kernel`] and [`Registry`] | what completions and answers say is true |
//!
//! ## Why the rest cannot be misused
//!
//! * *Memory of the queues.* Only copies leave it. What the kernel says of sizes and offsets is checked at
//!   set-up, indices are masked, and a tail that cannot be is cut: a kernel that lies costs completions, not
//!   memory safety.
//! * *Things of another ring.* A direct descriptor, a personality or a group of buffers is a number that
//!   means something else, or nothing, to another ring. Such things carry the [`RingId`] of theirs, the
//!   submission takes it over, and [`Ring::push`] refuses it elsewhere: [`PushError::ForeignRing`].
//! * *Threads.* A ring is `!Send`, so no other thread can call it; with `SINGLE_ISSUER` the kernel would
//!   answer `EEXIST`. The same holds for all that is [registered](registry#threads) with it.
//! * *Forked children.* The memory of a ring is kept out of them. Every function here finds that out by one
//!   load and then does nothing: pushing fails with [`PushError::OtherProcess`], calls to the kernel with
//!   `EEXIST`, queues look empty. A child may drop the ring, and make its own.
//! * *Full queues.* A push that finds no room fails and pushes nothing (one of a long entry may
//!   leave a filler). Completions that find none are kept
//!   by the kernel, [shown](Ring::overflowed) and fetched by the next wait; those that are [lost](Ring::lost)
//!   for want of memory are counted.
//! * *Signals.* A wait that a signal ends is `EINTR`, and nothing was submitted then; it is not repeated
//!   here.
//! * *Resources.* What must be given back is a type that does so when it is dropped; the ring itself lives
//!   in the kernel until the last of them is gone.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

pub mod abi {
    //! The plain interface of the kernel: every struct, flag and number of `io_uring.h` and of the headers
    //! beside it, as Linux 7.1 has them.
    //!
    //! The safe layer is [`ring`](super); this is for what it does not know yet, with
    //! [`Sqe::raw`](super::Sqe::raw), and for kernels in user space.
    //!
    //! Structs hold plain integers, since their layout is the contract: each is asserted field by field at
    //! compile time. Flags are typed sets, numbers are typed too; both turn into integers by `.bits()` and
    //! `.0`. Names are the kernel's without their prefix: `IORING_SETUP_SQPOLL` is [`SetupFlags::SQPOLL`].
    //! Each item names the first kernel that has it. Whether *this* kernel has it is found by asking, never
    //! by the number of its release: distributions carry features back.

    pub use crate::sys::abi::*;
}
mod address;
mod capabilities;
mod cqe;
mod enter;
mod fd;
mod ids;
mod kernel;
mod ladder;
mod memory;
pub mod provided;
mod push;
mod queues;
mod reap;
mod refusal;
pub mod registry;
mod resize;
mod setup;
mod sqe;

pub use address::Address;
pub use capabilities::Capabilities;
pub use cqe::{BigCqe, Cqe};
pub use enter::{Signals, WaitFor};
pub use fd::RingId;
pub use ids::{BufGroup, BufIndex, PersonalityId, Slot, ZcrxId};
pub use kernel::{Enter, Interrupt, Kernel, Registry};
pub use ladder::Rung;
pub use memory::RingMemory;
pub use provided::{
    BufRing, BufRingSetup, ClassicBuffers, ControlMessage, ControlMessages, Lease, Leases,
    RecvMsgOut,
};
pub use push::{Entry128, Link, PushError};
pub use queues::{FILLER_USER_DATA, KernelSide};
pub use reap::Drain;
pub use refusal::{SetupError, Step};
#[doc(inline)]
pub use registry::{
    BpfFilter, BpfInstruction, Buffers, Clock, CloneRange, CpuSet, Eventfd, FileChange, Files,
    FixedBuf, FixedBufMut, Known, KnownOpcodes, KnownQueues, KnownZcrx, NapiSettings, Personality,
    Probe, Region, RegionSetup, RegisteredRingFd, Restrictions, SyncCancel, WaitArgs, WaitSlot,
    WorkerAffinity, WorkerLimits, ZcrxQueue, ZcrxSetup, filter_task, query, query_opcodes,
    query_queues, query_zcrx, restrict_task, send_message,
};
pub use setup::{Setup, SetupReport};
pub use sqe::{
    Advice, At, CancelKey, ChildId, ChildInfo, Entry, EpollChange, FileAdvice, FutexWaiter,
    Install, IoVecs, MsgHeader, MsgRooms, MultiSqe, OpenHow, Rooms, Slices, SlotUpdate, Sqe,
    Sqe128, Target,
};

pub use crate::sys::abi::{
    AcceptFlags, BpfCommand, BpfFilterFlags, CancelFlags, CloneBuffersFlags, CqFlags, CqeFlags,
    EnterFlags, Features, FsyncFlags, Futex2Flags, InstallFdFlags, IntegrityFlags,
    MemRegionRegFlags, MsgRingCommand, MsgRingFlags, NapiOp, NapiTracking, NopFlags, Opcode,
    PbufRingFlags, PipeFlags, PollFlags, ProbeOpFlags, QueryOp, RawCqe, RawSqe, RecvSendFlags,
    RegWaitFlags, RegionFlags, RegisterFlags, RegisterOp, RestrictionOp, RsrcRegisterFlags,
    RwAttrFlags, RwFlags, SetupFlags, SocketCommand, SpliceFlags, SqFlags, SqeFlags, Statx,
    StatxTimestamp, SyncFileRangeFlags, TimeoutFlags, UringCmdFlags, WorkerKind, ZcrxAreaFlags,
    ZcrxCtrlOp, ZcrxEvent, ZcrxEventDescFlags, ZcrxFeatures, ZcrxRegFlags,
};
use fd::RingFd;
use kernel::Backend;
use queues::Queues;

use crate::sys::abi::Params;

/// An io_uring: a submission queue, a completion queue, and the kernel behind them. `io_uring(7)`.
///
/// Dropping it closes it, unless something that was registered with it is still there. What is queued and was not
/// submitted is gone, and so are completions that were not copied out. The kernel cancels what is in flight in its
/// own time, and uses what that was lent until then: see the [push contract](crate::ring#the-push-contract).
#[derive(Debug)]
pub struct Ring {
    id: RingId,
    queues: Queues,
    backend: Backend,
    report: SetupReport,
    enters: u64,
    /// Queues that the kernel has made in a resize, and that could not be mapped yet.
    unmapped: Option<Box<Params>>,
    /// The groups of classic buffers, as long as the kernel may choose from them.
    classic_groups: Rc<RefCell<BTreeSet<u16>>>,
    /// A ring belongs to the thread that made it.
    _not_send: PhantomData<*mut ()>,
}

impl Ring {
    fn new(queues: Queues, backend: Backend, report: SetupReport) -> Ring {
        Ring {
            id: RingId::next(),
            queues,
            backend,
            report,
            enters: 0,
            unmapped: None,
            classic_groups: Rc::default(),
            _not_send: PhantomData,
        }
    }

    /// What tells this ring from all others of the process.
    pub fn id(&self) -> RingId {
        self.id
    }

    /// Submissions queued and not yet taken by the kernel.
    pub fn queued(&self) -> u32 {
        self.queues.sq_pending()
    }

    /// Submissions that fit before the next submit.
    pub fn space_left(&self) -> u32 {
        self.queues.sq_space()
    }

    /// Sizes of the submission and the completion queue, in entries.
    pub fn sizes(&self) -> (u32, u32) {
        (self.queues.sq_entries(), self.queues.cq_entries())
    }

    /// Submissions that the kernel dropped for an index out of range: none, as the indices are kept here.
    pub fn dropped(&self) -> u32 {
        self.queues.sq_dropped()
    }

    /// What this side shows in the flags of the completion queue.
    pub fn cq_flags(&self) -> CqFlags {
        self.queues.cq_flags()
    }

    /// Whether completions signal the registered eventfd, if there is one: yes until told otherwise. A plain
    /// store (`IORING_CQ_EVENTFD_DISABLED`, Linux 5.8).
    pub fn signal_eventfd(&mut self, signal: bool) {
        self.queues.show_cq_flags(CqFlags::EVENTFD_DISABLED, !signal);
    }

    /// Whether this is the process that made the ring; in one that was forked from it, the ring is of no use.
    pub fn is_in_its_process(&self) -> bool {
        self.queues.out_of_reach() != Some(PushError::OtherProcess)
    }

    /// How many times the kernel was entered, since the ring was made.
    pub fn enters(&self) -> u64 {
        self.enters
    }

    /// What set-up arrived at.
    pub fn report(&self) -> &SetupReport {
        &self.report
    }

    /// Whether the kernel knows an opcode (`IORING_REGISTER_PROBE`, Linux 5.6).
    pub fn supports(&self, opcode: Opcode) -> bool {
        match &self.backend {
            Backend::Linux(linux) => linux.supports(opcode),
            Backend::Other(kernel) => kernel.supports(opcode),
        }
    }

    /// Whether `enter` uses a registered index in place of the descriptor (Linux 5.18).
    pub fn registered(&self) -> bool {
        matches!(&self.backend, Backend::Linux(linux) if linux.fd().is_registered())
    }

    /// The ring's descriptor; none where the ring, or a kernel in user space, has none.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.backend {
            Backend::Linux(linux) => linux.fd().fd(),
            Backend::Other(kernel) => kernel.fd(),
        }
    }

    /// What things are registered through.
    pub(crate) fn registrar(&self) -> io::Result<Rc<RingFd>> {
        match &self.backend {
            Backend::Linux(linux) => Ok(Rc::clone(linux.fd())),
            Backend::Other(kernel) => match kernel.registry() {
                Some(registry) => Ok(Rc::new(RingFd::of_other(registry))),
                None => Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)),
            },
        }
    }

    /// The kernel's clock: monotonic time on Linux, virtual time in a simulation.
    pub fn now(&self) -> Instant {
        self.backend.now()
    }

    /// What ends a wait of a kernel in user space from another thread. None on Linux, where a descriptor
    /// with a poll does.
    pub fn interrupt(&self) -> Option<Arc<dyn Interrupt>> {
        match &self.backend {
            Backend::Linux(_) => None,
            Backend::Other(kernel) => Some(kernel.interrupt()),
        }
    }
}

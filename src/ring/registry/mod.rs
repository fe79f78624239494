//! What a ring is told once, and then knows: `io_uring_register(2)`.
//!
//! Everything here is a method of [`Ring`]. What must be given back is a value whose drop does it
//! ([`Files`], [`Buffers`], [`Eventfd`], [`Personality`], [`WorkerAffinity`], [`RegisteredRingFd`]); such a
//! value may outlive the ring, whose descriptor then stays open until the last of them is gone. What is a
//! mere setting returns the setting before it.
//!
//! Errors carry the kernel's errno. Common to all: `EINVAL` from a Linux that does not know the call,
//! `EOPNOTSUPP` from such a kernel in user space, `EACCES` from a restricted ring.
//!
//! # Threads
//!
//! A ring belongs to a thread, and so does what is registered with it:
//!
//! ```compile_fail,E0277
//! # fn main() -> std::io::Result<()> {
//! let ring = uring::ring::Setup::new(8).build()?;
//! let files = ring.register_files_sparse(8)?;
//! std::thread::spawn(move || drop(files)); // `Files` cannot be sent between threads safely
//! # Ok(())
//! # }
//! ```
//!
//! # Completions that no request made
//!
//! Whoever pushed a request that lends memory takes the completion with its `user_data` for its end. Tags of
//! files and buffers, messages and events post completions with any `user_data`; so what asks for them is
//! `unsafe`, with one contract: nobody takes them for those of requests. A range of `user_data` kept for them
//! does it.
//!
//! # Memory
//!
//! Memory that the kernel keeps beyond a call is owned by the value that registered it, in pages of its own:
//! after its drop a late request can write to those pages, and they are nobody's by then.

use std::io;
use std::ptr;
use std::rc::Rc;

use super::Ring;
use super::fd::RingFd;
use crate::sys::abi::RegisterOp;

mod bpf;
mod buffers;
mod buffers_clone;
mod clock;
mod eventfd;
mod files;
mod fixed;
mod message;
mod napi;
mod personality;
mod probe;
mod query;
mod region;
mod restrictions;
mod ring_fds;
mod sync_cancel;
mod workers;
mod zcrx;
mod zcrx_refill;

pub use bpf::{BpfFilter, BpfInstruction, filter_task};
pub use buffers::Buffers;
pub use buffers_clone::CloneRange;
pub use clock::Clock;
pub use eventfd::Eventfd;
pub use files::{FileChange, Files};
#[cfg(test)]
pub(super) use fixed::Place;
pub use fixed::{FixedBuf, FixedBufMut};
pub use message::send_message;
pub use napi::NapiSettings;
pub use personality::Personality;
pub use probe::Probe;
pub use query::{
    Known, KnownOpcodes, KnownQueues, KnownZcrx, query, query_opcodes, query_queues, query_zcrx,
};
pub use region::{Region, RegionSetup, WaitArgs, WaitSlot};
pub use restrictions::{Restrictions, restrict_task};
pub use ring_fds::RegisteredRingFd;
pub use sync_cancel::SyncCancel;
pub use workers::{CpuSet, WorkerAffinity, WorkerLimits};
pub use zcrx::{ZcrxQueue, ZcrxSetup};

impl Ring {
    /// Enables a ring that was made disabled (`IORING_SETUP_R_DISABLED`); what was restricted before is
    /// restricted from now on, and the calling thread becomes the ring's. Linux 5.10.
    ///
    /// # Errors
    ///
    /// `EBADFD` for a ring that is not disabled.
    pub fn enable(&self) -> io::Result<()> {
        let ring = self.registrar()?;
        without_argument(&ring, RegisterOp::REGISTER_ENABLE_RINGS, 0)
    }
}

/// A register call that takes a number at most.
fn without_argument(ring: &RingFd, op: RegisterOp, count: u32) -> io::Result<()> {
    // SAFETY: no memory is named: a call that wants some finds a null pointer and refuses.
    unsafe { ring.register(op, ptr::null_mut::<u8>(), count) }.map(drop)
}

/// Gives something back by a call without argument, at its drop if not before.
#[derive(Debug)]
struct GiveBack {
    ring: Rc<RingFd>,
    op: RegisterOp,
    count: u32,
    done: bool,
}

impl GiveBack {
    fn new(ring: Rc<RingFd>, op: RegisterOp, count: u32) -> GiveBack {
        GiveBack { ring, op, count, done: false }
    }

    fn ring(&self) -> &Rc<RingFd> {
        &self.ring
    }

    /// Whether it was given back, or the kernel has refused to take it.
    fn is_done(&self) -> bool {
        self.done
    }

    /// Gives it back now, and says whether the kernel agreed.
    fn now(&mut self) -> io::Result<()> {
        self.done = true;
        without_argument(&self.ring, self.op, self.count)
    }
}

impl Drop for GiveBack {
    fn drop(&mut self) {
        if !self.done {
            // Refused only where a restriction forbids it; the end of the ring gives back all the same.
            let _ = self.now();
        }
    }
}

/// The address of what the kernel reads or writes.
fn address<T>(memory: &mut [T]) -> u64 {
    memory.as_mut_ptr().expose_provenance() as u64
}

/// How many, as the kernel counts; more than it can count is more than it takes (`EINVAL`).
fn count<T>(items: &[T]) -> io::Result<u32> {
    u32::try_from(items.len()).map_err(|_| errno(libc::EINVAL))
}

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

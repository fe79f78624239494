//! Buffers that the kernel chooses from when data is there: a thousand receives that wait pin no memory, the
//! one that has data takes a buffer.
//!
//! A [`BufPool`] is a ring of provided buffers, registered with the ring of one runtime. A receive from it
//! ([`TcpStream::recv_leased`], [`TcpStream::incoming_bytes`]) yields [`Leased`] bytes: a buffer on loan,
//! given back when they are dropped. Each runtime has a pool of its own, made when it is first used; see
//! [`Builder::buf_pool`].
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # uring::Runtime::new()?.block_on(async {
//! use uring::net::{TcpListener, TcpStream};
//!
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let client = TcpStream::connect(listener.local_addr()?).await?;
//! let (server, _) = listener.accept().await?;
//!
//! client.send_all("hello").await?;
//! let bytes = server.recv_leased().await?;
//! assert_eq!(&bytes[..], b"hello");
//! // Sent from where they are, without a copy.
//! server.send_all(bytes).await?;
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! # When buffers run short
//!
//! A pool begins small, and grows when the kernel finds it empty (`ENOBUFS`), up to its limit. From there on
//! receives that have data wait until a buffer comes back: who keeps leases for long starves them. Nothing
//! is lost meanwhile; what came stays in the sockets. One that is forgotten (`mem::forget`) while it waits keeps its
//! place: the buffer that it is woken for goes to nobody else before another one comes back.
//!
//! Before Linux 5.19, and on kernels in user space that know no buffer rings, a pool works all the same:
//! then every receive that waits has a buffer of its own, from the heap.
//!
//! [`TcpStream::recv_leased`]: crate::net::TcpStream::recv_leased
//! [`TcpStream::incoming_bytes`]: crate::net::TcpStream::incoming_bytes
//! [`Builder::buf_pool`]: crate::Builder::buf_pool

use std::fmt;
use std::io;
use std::rc::Rc;

use crate::driver::current::current as driver;
use crate::ring::{BufGroup, BufRing, BufRingSetup, Cqe, CqeFlags, Features};

mod current;
mod leased;
mod shortage;

pub use leased::Leased;

pub(crate) use current::{DefaultPool, Entered, current, enter};
pub(crate) use shortage::Attempt;
use shortage::Shortage;

/// How large each buffer is. Smaller ones cost a stream of large messages dearly, larger ones bring little.
const BUFFER_BYTES: u32 = 16 * 1024;

/// How many buffers there are at first. The kernel uses all it has in turn, so that few of them stay in the
/// processor's cache.
const AT_FIRST: u32 = 64;

/// How many there may be in the end: 32 MiB of addresses, of which only what was used takes memory.
const LIMIT: u32 = 2048;

/// The most buffers of a ring that the kernel takes.
const MAX_LIMIT: u32 = 1 << 15;

/// How to make a [`BufPool`].
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use uring::pool::PoolSetup;
///
/// let small = PoolSetup::new().buffer_bytes(2048).at_first(16).limit(256);
/// let runtime = uring::Runtime::builder().buf_pool(small.clone()).build()?;
/// // Another one, beside the runtime's own.
/// let pool = runtime.block_on(async { small.build() })?;
/// assert_eq!(pool.stats().limit, 256);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "no pool is made before `build`"]
pub struct PoolSetup {
    buffer_bytes: u32,
    at_first: u32,
    limit: u32,
}

impl Default for PoolSetup {
    fn default() -> PoolSetup {
        PoolSetup::new()
    }
}

impl PoolSetup {
    /// Buffers of 16 KiB, 64 at first and 2,048 at most.
    pub fn new() -> PoolSetup {
        PoolSetup { buffer_bytes: BUFFER_BYTES, at_first: AT_FIRST, limit: LIMIT }
    }

    /// How many bytes a buffer has: the most that one receive yields.
    pub fn buffer_bytes(mut self, buffer_bytes: u32) -> PoolSetup {
        self.buffer_bytes = buffer_bytes;
        self
    }

    /// How many buffers there are at first; at most as many as the limit says.
    pub fn at_first(mut self, count: u32) -> PoolSetup {
        self.at_first = count;
        self
    }

    /// How many buffers there may be, up to 32,768. The memory of those that were never needed costs
    /// addresses alone; the ring that names them costs 16 bytes each.
    pub fn limit(mut self, limit: u32) -> PoolSetup {
        self.limit = limit;
        self
    }

    /// Makes a pool for the runtime of this thread. `io_uring_register_buf_ring(3)`, Linux 5.19; on older
    /// kernels its buffers come from the heap, see [the module](self).
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for buffers of no bytes, and for a limit of 0 or beyond
    /// 32,768; `ENOMEM`.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn build(&self) -> io::Result<BufPool> {
        if self.buffer_bytes == 0 || self.limit == 0 || self.limit > MAX_LIMIT {
            let message = format!(
                "a pool of {} buffers of {} bytes: it takes 1 to {MAX_LIMIT} of at least 1 byte",
                self.limit, self.buffer_bytes
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let ring = match self.register() {
            Ok(ring) => Some(ring),
            // The arguments were checked, so the kernel knows no rings of buffers (before Linux 5.19), or it
            // is one in user space that has none.
            Err(error) if is_unknown(&error) => None,
            Err(error) => return Err(error),
        };
        let count = self.at_first.clamp(1, self.limit);
        let features = driver().with_ring(|ring| ring.report().features());
        Ok(BufPool(Rc::new(Shared {
            ring,
            failures_leave_buffers: features
                .is_some_and(|features| features.contains(Features::MIN_TIMEOUT)),
            buffer_bytes: self.buffer_bytes,
            shortage: Shortage::new(count, self.limit),
        })))
    }

    /// Registers a ring under the first number that is free.
    fn register(&self) -> io::Result<BufRing> {
        let setup = BufRingSetup::new(self.limit.next_power_of_two(), self.buffer_bytes)
            .at_first(self.at_first.clamp(1, self.limit));
        let driver = driver();
        for group in 0..=u16::MAX {
            let setup = setup.clone().group(group);
            let registered = driver.with_ring(|ring| setup.build(ring));
            match registered {
                Some(Err(error)) if error.raw_os_error() == Some(libc::EEXIST) => {}
                Some(registered) => return registered,
                None => return Err(io::Error::from_raw_os_error(libc::ECANCELED)),
            }
        }
        Err(io::Error::from_raw_os_error(libc::EEXIST))
    }
}

fn is_unknown(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP | libc::ENOSYS))
}

/// A pool of buffers that receives take from when data is there. Made by [`PoolSetup`]; clones name the same
/// pool.
///
/// It belongs to the runtime that it was made in: a receive in another one fails with `EINVAL`.
///
/// The pool lives until all of its clones are gone, and receives that use it are done. Dropping it then
/// unregisters the ring; [`Leased`] bytes stay valid.
#[derive(Clone)]
pub struct BufPool(Rc<Shared>);

struct Shared {
    /// None where the kernel knows no rings of buffers.
    ring: Option<BufRing>,
    /// Whether a request that fails may name a buffer and leave it in the ring: since Linux 6.12, which is
    /// also the first with the feature that this is told by.
    failures_leave_buffers: bool,
    buffer_bytes: u32,
    shortage: Rc<Shortage>,
}

impl BufPool {
    /// How many bytes each buffer has.
    pub fn buffer_bytes(&self) -> usize {
        self.0.buffer_bytes as usize
    }

    /// Figures of the pool. No system call.
    pub fn stats(&self) -> PoolStats {
        let shortage = &self.0.shortage;
        let buffers = if self.is_registered() { shortage.buffers() } else { 0 };
        PoolStats {
            buffers,
            available: self.0.ring.as_ref().map_or(0, BufRing::with_kernel),
            limit: shortage.limit(),
            shortages: shortage.count(),
            is_registered: self.is_registered(),
        }
    }

    /// Whether the kernel chooses the buffers (Linux 5.19). If not, they come from the heap.
    pub fn is_registered(&self) -> bool {
        self.0.ring.is_some()
    }

    /// What submissions name the pool by; none where its buffers come from the heap.
    pub(crate) fn group(&self) -> Option<BufGroup> {
        self.0.ring.as_ref().map(BufRing::group)
    }

    /// Provides more buffers, as many again as there are and up to the limit. Returns how many.
    fn grow(&self) -> u32 {
        let Some(ring) = &self.0.ring else { return 0 };
        let grown = ring.provide(self.0.shortage.room_to_grow());
        self.0.shortage.grew(grown);
        grown
    }

    /// The bytes that a completion brought: none at the end of a stream.
    ///
    /// # Errors
    ///
    /// The completion's own error, after the buffer that it may name has gone back.
    ///
    /// # Safety
    ///
    /// The completion is one of a request that selected from this very pool by its
    /// [group](BufPool::group), not of a bundle, and is passed once.
    pub(crate) unsafe fn take(&self, cqe: Cqe) -> io::Result<Leased> {
        let Some(ring) = &self.0.ring else {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        };
        let cqe = if cqe.raw_result() < 0 && self.0.failures_leave_buffers {
            // Completions are taken when their tasks run, not when they come. By then another request may have
            // used the buffer that this one left, and the ring's head no longer tells.
            let flags = cqe.flags() - CqeFlags::BUFFER;
            Cqe::new(cqe.user_data(), cqe.raw_result(), flags.bits())
        } else {
            cqe
        };
        // SAFETY: the take contract: the completion is of a request that selected from this ring, which is
        // this pool's and registered with the driver's ring, and is passed once, by the contract of this
        // function. The order does not matter: the buffers are used whole.
        let taken = unsafe { ring.take(cqe) };
        let lease = match taken {
            Ok(mut leases) => leases.next().filter(|lease| !lease.is_empty()),
            Err(error) => {
                if error.raw_os_error() != Some(libc::ENOBUFS) {
                    self.0.shortage.returned();
                }
                return Err(error);
            }
        };
        Ok(match lease {
            Some(lease) => Leased::on_loan(lease, Rc::clone(&self.0.shortage)),
            None => {
                self.0.shortage.returned();
                Leased::default()
            }
        })
    }
}

impl fmt::Debug for BufPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufPool")
            .field("buffer_bytes", &self.0.buffer_bytes)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// Figures of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Buffers that there are, with the kernel or on loan; 0 where they come from the heap.
    pub buffers: u32,
    /// Buffers that the kernel has, as far as completions were taken.
    pub available: u32,
    /// How many buffers there may be.
    pub limit: u32,
    /// How often the kernel found the pool empty (`ENOBUFS`).
    pub shortages: u64,
    /// Whether the kernel chooses the buffers (Linux 5.19). If not, they come from the heap.
    pub is_registered: bool,
}

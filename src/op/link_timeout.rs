//! A limit to the time of the operation before it in a chain: Linux 5.5.

use std::io;
use std::time::Duration;

use super::{Completion, Op};
use crate::ring::abi::Timespec;
use crate::ring::{Sqe, TimeoutFlags};

/// Cancels the operation right before it in a [chain](super::submit_chain) when the time is over. The kernel
/// keeps it, so that no turn of the loop is needed.
///
/// The operation's own result says whether it won the race: `ECANCELED` if not, with its buffer, and what it
/// did otherwise. On its own it is `EINVAL`.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # uring::Runtime::new()?.block_on(async {
/// use std::time::Duration;
/// use uring::fd::Fd;
/// use uring::op::{self, Expiry, Link, LinkTimeout, Read};
///
/// let (silent, _other) = std::os::unix::net::UnixStream::pair()?;
/// let fd = Fd::from(std::os::fd::OwnedFd::from(silent));
/// let read = Read { fd, offset: None, buf: vec![0; 16] };
/// let limit = LinkTimeout::after(Duration::from_millis(1));
/// let (read, expiry) = op::submit_chain(Link::Soft, (read, limit)).await;
/// assert_eq!(expiry?, Expiry::Passed);
/// assert_eq!(read.unwrap_err().into_buf(), [0; 16]);
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Debug)]
pub struct LinkTimeout {
    time: Timespec,
}

/// How a [`LinkTimeout`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Its operation was done before, or never started.
    Met,
    /// The time was over, and the operation was asked to end.
    Passed,
}

impl LinkTimeout {
    /// From when its operation is started. A time beyond 2⁶³ seconds is cut to that.
    pub fn after(time: Duration) -> LinkTimeout {
        let sec = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        LinkTimeout { time: Timespec { sec, nsec: i64::from(time.subsec_nanos()) } }
    }
}

impl Op for LinkTimeout {
    /// Errors are those of a chain that could not be submitted.
    type Output = io::Result<Expiry>;

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::link_timeout(&self.time, TimeoutFlags::empty())
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        match -completion.raw_result() {
            // The last two: it was over, and the operation just done, or at a point where it cannot be ended.
            libc::ETIME | libc::ENOENT | libc::EALREADY => Ok(Expiry::Passed),
            libc::ECANCELED if completion.reached_kernel() => Ok(Expiry::Met),
            _ => completion.result().map(|_| Expiry::Met),
        }
    }
}

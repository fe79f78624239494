//! As much of epoll(7) as a load generator needs.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Events taken at once. Enough to make the call's own cost vanish, few enough that a socket is
/// still in the cache when its next message is sent.
const BATCH: usize = 64;

pub(crate) struct Poller {
    epoll: OwnedFd,
}

/// The keys of the sockets that became readable.
pub(crate) struct Ready {
    events: [libc::epoll_event; BATCH],
    len: usize,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: epoll_create1(2) takes no pointer.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call above has just made this descriptor, and nobody else knows of it.
        Ok(Self { epoll: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Watches `fd` until it is closed, level-triggered.
    pub(crate) fn add_readable(&self, fd: BorrowedFd<'_>, key: usize) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: key as u64 };
        // SAFETY: epoll_ctl(2) reads the event during the call only; both descriptors are open.
        let result = unsafe {
            libc::epoll_ctl(
                self.epoll.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                fd.as_raw_fd(),
                &raw mut event,
            )
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits until a socket is readable; an error when none is for `limit`.
    pub(crate) fn wait_some(&self, limit: Duration) -> io::Result<Ready> {
        let ready = self.wait(limit)?;
        if ready.len == 0 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the server answers nobody"));
        }
        Ok(ready)
    }

    fn wait(&self, limit: Duration) -> io::Result<Ready> {
        let mut ready = Ready { events: [libc::epoll_event { events: 0, u64: 0 }; BATCH], len: 0 };
        // SAFETY: epoll_wait(2) writes at most `BATCH` events, which is the length of the array.
        let count = unsafe {
            libc::epoll_wait(
                self.epoll.as_raw_fd(),
                ready.events.as_mut_ptr(),
                BATCH as i32,
                limit.as_millis() as i32,
            )
        };
        ready.len = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        Ok(ready)
    }
}

impl Ready {
    pub(crate) fn keys(&self) -> impl Iterator<Item = usize> + '_ {
        self.events[..self.len].iter().map(|event| event.u64 as usize)
    }
}

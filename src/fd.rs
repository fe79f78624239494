//! A shared descriptor, closed when the last operation lets go of it.
//!
//! Every operation holds a clone until its final completion, so a number is never given out again while an
//! operation or a cancel is queued against it. Dropping the last clone closes the descriptor at once, as
//! `std` does.
//!
//! A kernel in user space has descriptors of its own. They carry numbers from 2³⁰ on, which no Linux process
//! can have: its table of descriptors is one allocation of less than 2³¹ bytes, eight for each. What is a plain system call on a Linux descriptor is answered by their
//! [`DescriptorTable`].

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

/// The lowest number of a virtual descriptor.
const VIRTUAL: RawFd = 1 << 30;
/// Virtual numbers below this bit tell descriptors of one table apart, those above the tables.
const TABLE_SHIFT: u32 = 20;
/// Tables that fit between `VIRTUAL` and `i32::MAX`.
const MAX_TABLES: usize = 1 << (30 - TABLE_SHIFT);

/// The descriptors of a kernel in user space: everything that is done to one without a submission.
///
/// The methods are those of Linux with the same names, `number` is the descriptor.
pub trait DescriptorTable: fmt::Debug {
    /// `close(2)`.
    ///
    /// # Errors
    ///
    /// `EBADF` for a number that is not open.
    fn close(&self, number: RawFd) -> io::Result<()>;

    /// `bind(2)`, with `SO_REUSEADDR` as `std` sets it for listeners.
    ///
    /// # Errors
    ///
    /// `EADDRINUSE` and the others of the man page.
    fn bind(&self, number: RawFd, address: SocketAddr) -> io::Result<()>;

    /// `listen(2)`.
    ///
    /// # Errors
    ///
    /// As the man page says.
    fn listen(&self, number: RawFd, backlog: i32) -> io::Result<()>;

    /// `getsockname(2)`.
    ///
    /// # Errors
    ///
    /// `ENOTSOCK`, `EBADF`.
    fn local_addr(&self, number: RawFd) -> io::Result<SocketAddr>;

    /// `getpeername(2)`.
    ///
    /// # Errors
    ///
    /// `ENOTCONN`, `ENOTSOCK`, `EBADF`.
    fn peer_addr(&self, number: RawFd) -> io::Result<SocketAddr>;

    /// `getsockopt(2)` of `TCP_NODELAY`.
    ///
    /// # Errors
    ///
    /// `ENOTSOCK`, `EBADF`.
    fn nodelay(&self, number: RawFd) -> io::Result<bool>;

    /// `setsockopt(2)` of `TCP_NODELAY`.
    ///
    /// # Errors
    ///
    /// `ENOTSOCK`, `EBADF`.
    fn set_nodelay(&self, number: RawFd, on: bool) -> io::Result<()>;

    /// `ftruncate(2)`.
    ///
    /// # Errors
    ///
    /// `EINVAL`, `EBADF`.
    fn truncate(&self, number: RawFd, len_bytes: u64) -> io::Result<()>;
}

thread_local! {
    /// The tables of this thread's kernels in user space, by the upper bits of their numbers.
    static TABLES: RefCell<Vec<Weak<dyn DescriptorTable>>> = const { RefCell::new(Vec::new()) };
}

/// Makes `table` answer for a range of numbers on this thread; returns the first of its 2²⁰ numbers.
///
/// # Errors
///
/// `EMFILE` when 1,023 tables are alive on this thread.
pub fn add_table(table: &Rc<dyn DescriptorTable>) -> io::Result<RawFd> {
    TABLES.with_borrow_mut(|tables| {
        let weak = Rc::downgrade(table);
        let index = match tables.iter().position(|old| old.strong_count() == 0) {
            Some(free) => {
                tables[free] = weak;
                free
            }
            None if tables.len() + 1 < MAX_TABLES => {
                tables.push(weak);
                tables.len() - 1
            }
            None => return Err(io::Error::from_raw_os_error(libc::EMFILE)),
        };
        Ok(VIRTUAL + ((index as RawFd) << TABLE_SHIFT))
    })
}

/// A shared descriptor: cheap to clone, closed with its last clone.
pub struct Fd(Rc<Shared>);

struct Shared {
    descriptor: Cell<Option<Descriptor>>,
    number: RawFd,
    table: Option<Rc<dyn DescriptorTable>>,
    /// Who waits for all other clones to go. Each of several waits for the others to give up. In a box, as
    /// there is nobody as a rule and every operation fetches what is here.
    #[expect(clippy::box_collection, reason = "the smaller, the fewer cache lines to fetch")]
    waiting: RefCell<Option<Box<Vec<Waker>>>>,
}

enum Descriptor {
    Os(OwnedFd),
    Virtual,
}

impl Fd {
    /// Takes over a descriptor by its number, be it of Linux or of a kernel in user space.
    ///
    /// # Safety
    ///
    /// The number is that of an open descriptor which nobody else owns.
    pub unsafe fn from_raw(number: RawFd) -> Fd {
        if number < VIRTUAL {
            // SAFETY: the caller's contract.
            return Fd::from(unsafe { OwnedFd::from_raw_fd(number) });
        }
        let index = (number - VIRTUAL) >> TABLE_SHIFT;
        let find = |tables: &RefCell<Vec<Weak<dyn DescriptorTable>>>| {
            let table = tables.borrow().get(index as usize).and_then(Weak::upgrade);
            table.expect("a virtual descriptor belongs to a kernel of this thread")
        };
        // A thread that ends may destroy its list of tables before a runtime of its own. Then the descriptor
        // stays open, in a kernel that goes next.
        let table = TABLES.try_with(find).ok();
        Fd(Rc::new(Shared {
            descriptor: Cell::new(Some(Descriptor::Virtual)),
            number,
            table,
            waiting: RefCell::default(),
        }))
    }

    /// The table that answers for this descriptor; none if it is one of Linux.
    pub(crate) fn table(&self) -> Option<&dyn DescriptorTable> {
        self.0.table.as_deref()
    }

    /// Where the file behind it stands, in bytes: `lseek(2)`. None for what has no position, such as a pipe,
    /// and for descriptors of a kernel in user space.
    pub(crate) fn position(&self) -> Option<u64> {
        self.seek(0, libc::SEEK_CUR)
    }

    /// Moves the file behind it to `position`, if it can be moved there: `lseek(2)`.
    pub(crate) fn set_position(&self, position: u64) {
        self.seek(position, libc::SEEK_SET);
    }

    fn seek(&self, offset: u64, from: i32) -> Option<u64> {
        if self.0.table.is_some() {
            return None;
        }
        let offset = i64::try_from(offset).ok()?;
        // SAFETY: lseek(2) touches no memory of ours, and the descriptor is open while a clone lives.
        let position = unsafe { libc::lseek64(self.0.number, offset, from) };
        u64::try_from(position).ok()
    }

    /// Resolves when this is the only clone.
    pub(crate) async fn sole(&self) {
        poll_fn(|context| {
            if self.is_sole() {
                return Poll::Ready(());
            }
            let same = |known: &Waker| known.will_wake(context.waker());
            let known = self.0.waiting.borrow().as_ref().is_some_and(|all| all.iter().any(same));
            if !known {
                let waker = context.waker().clone();
                self.0.waiting.borrow_mut().get_or_insert_default().push(waker);
            }
            Poll::Pending
        })
        .await;
    }

    /// Whether this is the only clone.
    pub(crate) fn is_sole(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }

    /// Gives up ownership of a descriptor of Linux, if this is the only clone; else `self` again.
    pub(crate) fn into_owned(self) -> Result<OwnedFd, Fd> {
        if !self.is_sole() {
            return Err(self);
        }
        match self.0.descriptor.take() {
            Some(Descriptor::Os(fd)) => Ok(fd),
            other => {
                self.0.descriptor.set(other);
                Err(self)
            }
        }
    }

    /// Gives up ownership of what somebody else has closed.
    pub(crate) fn forget(self) {
        if let Some(Descriptor::Os(fd)) = self.0.descriptor.take() {
            let _ = fd.into_raw_fd();
        }
    }
}

impl Clone for Fd {
    fn clone(&self) -> Fd {
        Fd(Rc::clone(&self.0))
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        if Rc::strong_count(&self.0) != 2 {
            return;
        }
        // Waking may run anybody's code, so it is done with nothing borrowed. The woken task looks again
        // later, when this clone is gone. Not all who wait need be there any more: that wakes them in vain.
        if let Some(waiting) = self.0.waiting.take() {
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let (Some(Descriptor::Virtual), Some(table)) = (self.descriptor.take(), &self.table) {
            // As with `OwnedFd`: a destructor has nobody to tell of an error.
            let _ = table.close(self.number);
        }
    }
}

impl From<OwnedFd> for Fd {
    fn from(fd: OwnedFd) -> Fd {
        let number = fd.as_raw_fd();
        Fd(Rc::new(Shared {
            descriptor: Cell::new(Some(Descriptor::Os(fd))),
            number,
            table: None,
            waiting: RefCell::default(),
        }))
    }
}

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor stays open while a clone lives, and `self` does. A virtual one is open in its
        // kernel, and no number that Linux could give out: a system call on it answers EBADF.
        unsafe { BorrowedFd::borrow_raw(self.0.number) }
    }
}

impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.number
    }
}

impl fmt::Debug for Fd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fd").field(&self.0.number).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Wake};

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn of_two_who_wait_to_be_alone_one_is_woken_when_the_other_gives_up() {
        let (socket, _) = std::os::unix::net::UnixStream::pair().expect("sockets");
        let stays = Fd::from(OwnedFd::from(socket));
        let (woken, gives_up) = (Arc::new(Woken::default()), stays.clone());
        let mut first = pin!(stays.sole());
        assert!(first.as_mut().poll(&mut Context::from_waker(&woken.clone().into())).is_pending());
        let mut second = Box::pin(gives_up.sole());
        assert!(second.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(second);
        drop(gives_up);
        assert!(woken.0.load(Ordering::Relaxed));
        assert!(first.poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }
}

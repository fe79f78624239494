//! A shared descriptor, closed when the last operation lets go of it.
//!
//! Every operation holds a clone until its final completion, so a number is never given out again while an
//! operation or a cancel is queued against it. Dropping the last clone closes the descriptor at once, as
//! `std` does.
//!
//! A kernel in user space has descriptors of its own. What is a plain system call on a Linux descriptor is
//! answered by their [`DescriptorTable`].

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::mem::{self, ManuallyDrop};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Poll, Waker};

pub mod lane;
mod table;

use crate::panics::wake_all;
use lane::{Accepted, LateBytes, Queue};
pub use table::{DescriptorTable, add_table};

/// A shared descriptor: cheap to clone, closed with its last clone.
pub struct Fd(ManuallyDrop<Rc<Shared>>);

/// As small as it can be, and in one piece with its [lanes](lane): every operation fetches it, and among
/// thousands of connections it has to come from far.
struct Shared {
    number: RawFd,
    /// The descriptor, if it is one of Linux and was not given up.
    os: Cell<Option<OwnedFd>>,
    /// Whether a virtual descriptor is open and ours.
    is_open_virtual: Cell<bool>,
    /// Which lanes are held.
    held: [Cell<bool>; 2],
    /// Taken out for a moment by whoever looks, who runs nobody's code meanwhile.
    rare: Cell<Option<Box<Rare>>>,
}

/// What most descriptors never need.
#[derive(Default)]
struct Rare {
    table: Option<Rc<dyn DescriptorTable>>,
    /// Who waits for all other clones to go. Each of several waits for the others to give up.
    alone: Vec<Waker>,
    /// What came too late for the future that it was meant for.
    late_bytes: VecDeque<LateBytes>,
    late_connections: VecDeque<Accepted>,
    /// Who waits for a lane.
    queues: [Queue; 2],
}

impl Shared {
    /// What is rare, made now if need be. `look` runs nobody's code.
    fn rare<R>(&self, look: impl FnOnce(&mut Rare) -> R) -> R {
        let mut rare = self.rare.take().unwrap_or_default();
        let seen = look(&mut rare);
        self.rare.set(Some(rare));
        seen
    }

    /// What is rare, if there is any. `look` runs nobody's code.
    fn if_rare<R>(&self, look: impl FnOnce(&mut Rare) -> R) -> Option<R> {
        let mut rare = self.rare.take()?;
        let seen = look(&mut rare);
        self.rare.set(Some(rare));
        Some(seen)
    }
}

impl Fd {
    fn of(shared: Shared) -> Fd {
        Fd(ManuallyDrop::new(Rc::new(shared)))
    }

    /// Takes over a descriptor by its number, be it of Linux or of a kernel in user space.
    ///
    /// # Safety
    ///
    /// The number is that of an open descriptor which nobody else owns.
    pub unsafe fn from_raw(number: RawFd) -> Fd {
        if !table::is_virtual(number) {
            // SAFETY: the caller's contract.
            return Fd::from(unsafe { OwnedFd::from_raw_fd(number) });
        }
        // Without its table the descriptor stays open, in a kernel that goes next.
        let rare = Rare { table: table::table_of(number), ..Rare::default() };
        Fd::of(Shared {
            number,
            os: Cell::new(None),
            is_open_virtual: Cell::new(true),
            held: Default::default(),
            rare: Cell::new(Some(Box::new(rare))),
        })
    }

    /// Whether this is a descriptor of a kernel in user space.
    pub(crate) fn is_virtual(&self) -> bool {
        table::is_virtual(self.0.number)
    }

    /// The table that answers for this descriptor; none if it is one of Linux.
    pub(crate) fn table(&self) -> Option<Rc<dyn DescriptorTable>> {
        if self.is_virtual() { self.0.if_rare(|rare| rare.table.clone())? } else { None }
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
        if self.is_virtual() {
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
            let is_known =
                |rare: &mut Rare| rare.alone.iter().any(|known| known.will_wake(context.waker()));
            if self.0.if_rare(is_known) != Some(true) {
                let waker = context.waker().clone();
                self.0.rare(|rare| rare.alone.push(waker));
            }
            // Asked again, as cloning a waker may run anybody's code, which may have dropped the last clone.
            if self.is_sole() { Poll::Ready(()) } else { Poll::Pending }
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
        self.0.os.take().ok_or(self)
    }

    /// Gives up ownership of what somebody else has closed.
    pub(crate) fn forget(self) {
        if let Some(os) = self.0.os.take() {
            let _ = os.into_raw_fd();
        }
        self.0.is_open_virtual.set(false);
    }
}

impl Clone for Fd {
    fn clone(&self) -> Fd {
        Fd(ManuallyDrop::new(Rc::clone(&self.0)))
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        let alone = match Rc::strong_count(&self.0) {
            2 => self.0.if_rare(|rare| mem::take(&mut rare.alone)),
            _ => None,
        };
        // SAFETY: this clone is dropped here alone, once, and not used afterwards.
        unsafe { ManuallyDrop::drop(&mut self.0) };
        // Only now, as a wake may be a poll in place of a note for later: it must find this clone gone. Not all
        // who wait need be there any more: that wakes them in vain.
        if let Some(alone) = alone {
            wake_all(alone);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let table = self.rare.get_mut().as_ref().and_then(|rare| rare.table.as_ref());
        if let (true, Some(table)) = (self.is_open_virtual.get(), table) {
            // As with `OwnedFd`: a destructor has nobody to tell of an error.
            let _ = table.close(self.number);
        }
    }
}

impl From<OwnedFd> for Fd {
    fn from(fd: OwnedFd) -> Fd {
        Fd::of(Shared {
            number: fd.as_raw_fd(),
            os: Cell::new(Some(fd)),
            is_open_virtual: Cell::new(false),
            held: Default::default(),
            rare: Cell::default(),
        })
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

const _: () =
    assert!(size_of::<Shared>() <= 24, "a descriptor with its counts takes less than a cache line");

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, RawWaker, RawWakerVTable, Wake};

    /// Whether it was woken.
    #[derive(Default)]
    pub(super) struct Woken(pub(super) AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    thread_local! {
        static GIVES_UP: Cell<Option<Fd>> = const { Cell::new(None) };
    }

    /// A waker whose clone drops a descriptor: what `std` makes of an `Arc` runs nobody's code, others may.
    fn waker_that_gives_up() -> Waker {
        static VTABLE: RawWakerVTable = RawWakerVTable::new(
            |_| {
                drop(GIVES_UP.take());
                RawWaker::new(std::ptr::null(), &VTABLE)
            },
            |_| {},
            |_| {},
            |_| {},
        );
        // SAFETY: none of the functions looks at the pointer.
        unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &VTABLE)) }
    }

    #[test]
    fn a_clone_that_is_dropped_while_who_waits_has_its_waker_cloned_is_not_waited_for() {
        let (socket, _) = std::os::unix::net::UnixStream::pair().expect("sockets");
        let fd = Fd::from(OwnedFd::from(socket));
        GIVES_UP.set(Some(fd.clone()));
        let alone = pin!(fd.sole());
        assert!(alone.poll(&mut Context::from_waker(&waker_that_gives_up())).is_ready());
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

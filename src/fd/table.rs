//! Descriptors of kernels in user space: what is a plain system call on one of Linux is a call of their table.
//!
//! They carry numbers from 2³⁰ on, which no Linux process can have: its table of descriptors is one allocation
//! of less than 2³¹ bytes, eight for each.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::rc::{Rc, Weak};

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

/// Whether a number is that of a virtual descriptor.
pub(super) fn is_virtual(number: RawFd) -> bool {
    number >= VIRTUAL
}

/// The table that answers for a virtual descriptor; none once this thread has lost its list of tables, which a
/// thread that ends may do before it drops a runtime of its own.
///
/// # Panics
///
/// For a number that no kernel of this thread gave out.
pub(super) fn table_of(number: RawFd) -> Option<Rc<dyn DescriptorTable>> {
    let index = (number - VIRTUAL) >> TABLE_SHIFT;
    let find = |tables: &RefCell<Vec<Weak<dyn DescriptorTable>>>| {
        let table = tables.borrow().get(index as usize).and_then(Weak::upgrade);
        table.expect("a virtual descriptor belongs to a kernel of this thread")
    };
    TABLES.try_with(find).ok()
}

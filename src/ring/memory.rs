//! Memory of the application's own for rings to lie in.

use std::cell::Cell;
use std::io;
use std::ptr::NonNull;
use std::rc::Rc;

use crate::sys::mapping::{Mapping, page_bytes};
use crate::sys::process::Process;

/// Memory that one ring or several lie in, made by [`Setup::build_in`](super::Setup::build_in)
/// (`IORING_SETUP_NO_MMAP`, Linux 6.5).
///
/// Rings in one huge page share one entry of the processor's address cache, and a ring in here needs no
/// descriptor ([`SetupFlags::REGISTERED_FD_ONLY`](super::SetupFlags::REGISTERED_FD_ONLY)). The memory is
/// zeroed, kept out of forked children, and lives until the last ring in it is gone. The part of a ring that
/// was dropped is not used again: the kernel takes a ring apart in its own time.
///
/// ```
/// use uring::ring::{RingMemory, Setup};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let setup = Setup::new(8);
/// let memory = RingMemory::new(2 * setup.memory_bytes())?;
/// match setup.build_in(&memory) {
///     Ok(ring) => println!("{} of {} bytes used", memory.used_bytes(), memory.len_bytes()),
///     Err(error) => println!("needs Linux 6.5: {error}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RingMemory {
    mapping: Mapping,
    used_bytes: Cell<usize>,
}

impl RingMemory {
    /// Memory in ordinary pages; `len_bytes` is rounded up to whole ones. Before Linux 6.14 each of the two
    /// parts of a ring must fit in one page.
    ///
    /// # Errors
    ///
    /// As `mmap(2)`; `EINVAL` for no bytes.
    pub fn new(len_bytes: usize) -> io::Result<Rc<RingMemory>> {
        RingMemory::map(len_bytes, page_bytes(), false)
    }

    /// Memory in huge pages of 2 MiB; `len_bytes` is rounded up to whole ones.
    ///
    /// # Errors
    ///
    /// As `mmap(2)`: `ENOMEM` where no huge pages are set aside (`/proc/sys/vm/nr_hugepages`).
    pub fn huge(len_bytes: usize) -> io::Result<Rc<RingMemory>> {
        RingMemory::map(len_bytes, 2 << 20, true)
    }

    fn map(len_bytes: usize, unit: usize, huge: bool) -> io::Result<Rc<RingMemory>> {
        let rounded = len_bytes.checked_next_multiple_of(unit).filter(|bytes| *bytes > 0);
        let rounded = rounded.ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
        let mapping = Mapping::anonymous(rounded, huge)?;
        Ok(Rc::new(RingMemory { mapping, used_bytes: Cell::new(0) }))
    }

    /// How many bytes there are.
    pub fn len_bytes(&self) -> usize {
        self.mapping.len_bytes()
    }

    /// How many bytes are taken by rings, those that are gone included.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes.get()
    }

    /// The process that has it.
    pub(super) fn made_by(&self) -> Process {
        self.mapping.made_by()
    }

    /// The part that is free.
    pub(super) fn rest(&self) -> NonNull<[u8]> {
        let used = self.used_bytes();
        // SAFETY: never more is used than there is, by `use_up`.
        let start = unsafe { self.mapping.start().add(used) };
        NonNull::slice_from_raw_parts(start, self.len_bytes() - used)
    }

    /// Takes `bytes` from the front of what is free.
    pub(super) fn use_up(&self, bytes: usize) {
        self.used_bytes.set((self.used_bytes() + bytes).min(self.len_bytes()));
    }
}

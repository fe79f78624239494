//! Registered files: a table of direct descriptors.

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::{GiveBack, address, count, errno};
use crate::ring::{Ring, RingId, Slot};
use crate::sys::abi::{
    FileIndexRange, REGISTER_FILES_SKIP, RegisterOp, RsrcRegister, RsrcRegisterFlags, RsrcUpdate,
    RsrcUpdate2,
};

/// In place of a descriptor: no file.
const NO_FILE: i32 = -1;

/// A ring's table of registered files, whose [`Slot`]s stand for descriptors in submissions and save the
/// look-up of a descriptor in each.
///
/// The table holds references of its own: a registered socket stays open when its descriptor is closed. A file
/// that is taken out is released when the last request that uses it has ended.
///
/// Dropping the table unregisters it; it may outlive its ring. A ring has one table at a time.
///
/// # Tags
///
/// A file that was registered with a tag other than 0 announces its release: a completion comes whose
/// `user_data` is the tag, with result 0 and no flags, when it was replaced or (since Linux 6.13) unregistered
/// with its table. Tags and the `user_data` of submissions share one space, so keep a range for them: a tag that
/// is taken for the end of a request lets its memory go while the kernel still uses it. Linux 5.13.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use std::os::fd::AsFd;
///
/// let ring = uring::ring::Setup::new(8).build()?;
/// let file = std::fs::File::open("/dev/null")?;
/// let files = ring.register_files(&[Some(file.as_fd()), None])?;
/// assert_eq!(files.len(), 2);
/// let slot = files.slot(0).expect("there are two");
/// assert_eq!(slot.ring(), ring.id());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Files {
    table: GiveBack,
    ring: RingId,
    len: u32,
}

/// What an update does to a slot.
#[derive(Clone, Copy, Debug)]
pub enum FileChange<'a> {
    /// Puts a file in, in place of what was there.
    Put(BorrowedFd<'a>),
    /// Takes out what is there, if anything is.
    Clear,
    /// Leaves the slot as it is. Linux 5.12.
    Skip,
}

impl FileChange<'_> {
    fn raw(self) -> i32 {
        match self {
            FileChange::Put(fd) => fd.as_raw_fd(),
            FileChange::Clear => NO_FILE,
            FileChange::Skip => REGISTER_FILES_SKIP,
        }
    }
}

fn raw(file: Option<BorrowedFd<'_>>) -> i32 {
    file.map_or(NO_FILE, |fd| fd.as_raw_fd())
}

impl Ring {
    /// Registers a table of files; `None` makes an empty slot (Linux 5.5). `io_uring_register(2)`, Linux 5.1.
    ///
    /// # Errors
    ///
    /// `EBUSY` when there is a table already; `EBADF` for a descriptor that is closed, or that is a ring's;
    /// `EMFILE` for more files than `RLIMIT_NOFILE` allows; `EINVAL` for none.
    pub fn register_files(&self, files: &[Option<BorrowedFd<'_>>]) -> io::Result<Files> {
        let ring = self.registrar()?;
        let (len, mut fds) =
            (count(files)?, files.iter().map(|file| raw(*file)).collect::<Vec<_>>());
        // SAFETY: `len` descriptors, read during the call only.
        unsafe { ring.register(RegisterOp::REGISTER_FILES, fds.as_mut_ptr(), len)? };
        self.files(len)
    }

    /// Registers a table of `len` empty slots, for [`Files::update`] and for operations that open into slots.
    /// Linux 5.19.
    ///
    /// # Errors
    ///
    /// As [`Ring::register_files`].
    pub fn register_files_sparse(&self, len: u32) -> io::Result<Files> {
        let flags = RsrcRegisterFlags::SPARSE.bits();
        let register = RsrcRegister { nr: len, flags, ..RsrcRegister::default() };
        // SAFETY: a sparse table has no arrays.
        unsafe { self.register_files2(register) }
    }

    /// Registers a table of files, each with a [tag](Files#tags); 0 is no tag. Linux 5.13.
    ///
    /// # Errors
    ///
    /// As [`Ring::register_files`]; `EINVAL` also for a tag on an empty slot.
    ///
    /// # Safety
    ///
    /// Nobody takes the completions of the [tags](Files#tags) for those of requests.
    pub unsafe fn register_files_tagged(
        &self,
        files: &[(Option<BorrowedFd<'_>>, u64)],
    ) -> io::Result<Files> {
        let mut fds: Vec<i32> = files.iter().map(|(file, _)| raw(*file)).collect();
        let mut tags: Vec<u64> = files.iter().map(|(_, tag)| *tag).collect();
        let register = RsrcRegister {
            nr: count(files)?,
            data: address(&mut fds),
            tags: address(&mut tags),
            ..RsrcRegister::default()
        };
        // SAFETY: `nr` descriptors and tags.
        unsafe { self.register_files2(register) }
    }

    /// # Safety
    ///
    /// What `register` points to is as long as it says.
    unsafe fn register_files2(&self, mut register: RsrcRegister) -> io::Result<Files> {
        let (ring, len) = (self.registrar()?, register.nr);
        let size = size_of::<RsrcRegister>() as u32;
        // SAFETY: one `io_uring_rsrc_register`, read during the call only, as its arrays are: the caller's
        // contract.
        unsafe { ring.register(RegisterOp::REGISTER_FILES2, &raw mut register, size)? };
        self.files(len)
    }

    fn files(&self, len: u32) -> io::Result<Files> {
        let table = GiveBack::new(self.registrar()?, RegisterOp::UNREGISTER_FILES, 0);
        Ok(Files { table, ring: self.id(), len })
    }
}

impl Files {
    /// How many slots there are, empty ones included.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there are no slots; the kernel makes no such table.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The slot at a place of the table; none behind its end.
    pub fn slot(&self, index: u32) -> Option<Slot> {
        (index < self.len).then_some(Slot { index, ring: self.ring })
    }

    /// All slots, in order.
    pub fn slots(&self) -> impl ExactSizeIterator<Item = Slot> + use<> {
        let ring = self.ring;
        (0..self.len).map(move |index| Slot { index, ring })
    }

    /// Changes the slots from `first` on; returns how many were dealt with, skipped ones included. Fewer than
    /// asked for means that the one after them could not be: its file is bad. Linux 5.5.
    ///
    /// # Errors
    ///
    /// `EINVAL` for slots behind the end of the table, or none; `EBADF` when the first descriptor is bad.
    pub fn update(&self, first: u32, changes: &[FileChange<'_>]) -> io::Result<u32> {
        let mut fds: Vec<i32> = changes.iter().map(|change| change.raw()).collect();
        let mut update =
            RsrcUpdate { offset: first, data: address(&mut fds), ..RsrcUpdate::default() };
        let (op, len) = (RegisterOp::REGISTER_FILES_UPDATE, count(changes)?);
        // SAFETY: one `io_uring_rsrc_update` with `len` descriptors, read during the call only.
        unsafe { self.table.ring().register(op, &raw mut update, len) }
    }

    /// As [`Files::update`], with a [tag](Files#tags) for each file that is put in; 0 is no tag. Linux 5.13.
    ///
    /// # Errors
    ///
    /// As [`Files::update`]; `EINVAL` also for a tag on a slot that is cleared.
    ///
    /// # Safety
    ///
    /// As [`Ring::register_files_tagged`].
    pub unsafe fn update_tagged(
        &self,
        first: u32,
        changes: &[(FileChange<'_>, u64)],
    ) -> io::Result<u32> {
        let mut fds: Vec<i32> = changes.iter().map(|(change, _)| change.raw()).collect();
        let mut tags: Vec<u64> = changes.iter().map(|(_, tag)| *tag).collect();
        let mut update = RsrcUpdate2 {
            offset: first,
            data: address(&mut fds),
            tags: address(&mut tags),
            nr: count(changes)?,
            ..RsrcUpdate2::default()
        };
        let (op, size) = (RegisterOp::REGISTER_FILES_UPDATE2, size_of::<RsrcUpdate2>() as u32);
        // SAFETY: one `io_uring_rsrc_update2` with `nr` descriptors and tags, read during the call only.
        unsafe { self.table.ring().register(op, &raw mut update, size) }
    }

    /// Sets the range of slots that the kernel chooses from where an operation leaves the choice to it; an
    /// empty one leaves it none (`ENFILE`). At first it is the whole table. Linux 6.0.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a range that ends behind the table or before its start; `EOVERFLOW` is the kernel's for
    /// ranges that wrap around.
    pub fn set_allocation_range(&self, slots: Range<u32>) -> io::Result<()> {
        let len = slots.end.checked_sub(slots.start).ok_or_else(|| errno(libc::EINVAL))?;
        let mut range = FileIndexRange { off: slots.start, len, ..FileIndexRange::default() };
        let op = RegisterOp::REGISTER_FILE_ALLOC_RANGE;
        // The count is 0: the kernel refuses the 1 that the man page asks for.
        // SAFETY: one `io_uring_file_index_range`, read during the call only.
        unsafe { self.table.ring().register(op, &raw mut range, 0) }.map(drop)
    }

    /// Unregisters the table, as its drop does, and says whether the kernel agreed.
    ///
    /// # Errors
    ///
    /// `ENXIO` when something else has unregistered it; `EACCES` when a restriction forbids it.
    pub fn unregister(mut self) -> io::Result<()> {
        self.table.now()
    }
}

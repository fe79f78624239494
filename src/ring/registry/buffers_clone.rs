//! One ring's registered buffers, used by another ring as well.

use std::io;
use std::rc::Rc;

use super::buffers::Held;
use super::fixed::Place;
use super::{Buffers, FixedBuf, FixedBufMut, errno};
use crate::ring::Ring;
use crate::ring::fd::RingFd;
use crate::sys::abi::{CloneBuffers, CloneBuffersFlags, EnterFlags, RegisterOp};
use crate::sys::pages::Pages;

/// Which buffers are cloned, and where to. The default is all of them, to the same slots; anything else needs
/// Linux 6.13.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloneRange {
    /// The first slot of the other ring's table.
    pub source_first: u32,
    /// The first slot here. The table grows to hold the last one.
    pub first: u32,
    /// How many slots; 0 for all from `source_first` on.
    pub count: u32,
}

impl Ring {
    /// Registers another ring's buffers with this one, without pinning their memory again. Linux 6.12.
    ///
    /// The memory stays the other table's, which alone lends it; [`Buffers::cloned`] turns what was lent into
    /// what this ring knows it by. When the other table is gone, the clones hold the memory but nobody can
    /// lend it.
    ///
    /// # Errors
    ///
    /// `EBUSY` when there are buffers already, for which there is [`Buffers::replace_with_clones`]; `EINVAL`
    /// for more buffers than the other table has, `EOVERFLOW` for a range that ends behind it.
    ///
    /// ```no_run
    /// # fn main() -> std::io::Result<()> {
    /// use uring::ring::{CloneRange, Setup};
    ///
    /// let (one, other) = (Setup::new(8).build()?, Setup::new(8).build()?);
    /// let buffers = one.register_buffers(&[4096])?;
    /// let clones = other.clone_buffers(&buffers, CloneRange::default())?;
    /// let part = buffers.part(0).expect("one buffer");
    /// let same = clones.cloned(0, part).expect("its clone");
    /// assert_eq!(same.ring(), other.id());
    /// # Ok(())
    /// # }
    /// ```
    pub fn clone_buffers(&self, source: &Buffers, range: CloneRange) -> io::Result<Buffers> {
        let ring = self.registrar()?;
        clone(&ring, source, range, CloneBuffersFlags::empty())?;
        let mut buffers = self.buffers(ring, Vec::new());
        buffers.hold_clones(source, range);
        Ok(buffers)
    }
}

impl Buffers {
    /// Puts another ring's buffers into slots of this table, in place of what was there. Linux 6.13. See
    /// [`Ring::clone_buffers`].
    ///
    /// # Errors
    ///
    /// As [`Ring::clone_buffers`], but for `EBUSY`.
    pub fn replace_with_clones(&mut self, source: &Buffers, range: CloneRange) -> io::Result<()> {
        clone(self.table.ring(), source, range, CloneBuffersFlags::DST_REPLACE)?;
        self.hold_clones(source, range);
        Ok(())
    }

    /// What another table has lent, as this table's ring knows it by its clone in slot `index`; none if the
    /// slot has no clone of that buffer.
    pub fn cloned<'a>(&self, index: u16, part: FixedBuf<'a>) -> Option<FixedBuf<'a>> {
        self.clone_of(index, part.place()).map(FixedBuf::new)
    }

    /// As [`Buffers::cloned`], for the kernel to write to.
    pub fn cloned_mut<'a>(&self, index: u16, part: FixedBufMut<'a>) -> Option<FixedBufMut<'a>> {
        self.clone_of(index, part.place()).map(FixedBufMut::new)
    }

    fn clone_of(&self, index: u16, place: Place) -> Option<Place> {
        let Held::Cloned(pages) = self.slots.get(usize::from(index))? else { return None };
        // The clone holds the pages, so nothing else can lie at their addresses.
        let offset = place.addr.checked_sub(first_address(pages))?;
        let fits = offset + place.len_bytes as u64 <= pages.len_bytes() as u64;
        fits.then_some(Place { index, ring: self.ring, ..place })
    }

    /// Notes what the kernel has done.
    fn hold_clones(&mut self, source: &Buffers, range: CloneRange) {
        let from = source.slots.iter().skip(range.source_first as usize);
        let count = if range.count == 0 { usize::MAX } else { range.count as usize };
        for (step, held) in from.take(count).enumerate() {
            let at = range.first as usize + step;
            while self.slots.len() <= at {
                self.slots.push(Held::Nothing);
            }
            self.slots[at] = match held {
                Held::Nothing => Held::Nothing,
                Held::Own(pages) | Held::Cloned(pages) => Held::Cloned(Rc::clone(pages)),
            };
        }
    }
}

fn first_address(pages: &Pages) -> u64 {
    pages.start().as_ptr().addr() as u64
}

/// Has the kernel clone. Both tables belong to this thread, since neither is `Send`.
fn clone(
    ring: &RingFd,
    source: &Buffers,
    range: CloneRange,
    mut flags: CloneBuffersFlags,
) -> io::Result<()> {
    if !source.table.ring().is_ours() {
        // In a forked child the number would name something else.
        return Err(errno(libc::EEXIST));
    }
    let (number, named_by) = source.table.ring().for_enter();
    if named_by.contains(EnterFlags::REGISTERED_RING) {
        flags |= CloneBuffersFlags::SRC_REGISTERED;
    }
    let mut nr = range.count;
    if nr == 0 && range.source_first > 0 {
        // The kernel takes 0 for the length of the whole table, which does not fit behind an offset.
        let len = source.slots.len() as u32;
        nr = len
            .checked_sub(range.source_first)
            .filter(|nr| *nr > 0)
            .ok_or_else(|| errno(libc::EINVAL))?;
    }
    let mut clone = CloneBuffers {
        src_fd: number as u32,
        flags: flags.bits(),
        src_off: range.source_first,
        dst_off: range.first,
        nr,
        ..CloneBuffers::default()
    };
    // SAFETY: one `io_uring_clone_buffers`, used during the call only. The clones' memory is held by the table
    // that notes them, and lent by nobody but its owner.
    unsafe { ring.register(RegisterOp::REGISTER_CLONE_BUFFERS, &raw mut clone, 1) }.map(drop)
}

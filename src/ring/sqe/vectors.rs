//! Arrays of buffers, as the kernel reads them.

use std::io::{IoSlice, IoSliceMut};
use std::marker::PhantomData;

use super::{read_by_kernel, written_by_kernel};
use crate::buf::Room;

/// `struct iovec`, as integers: an address whose provenance is exposed, and a length.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct IoVec {
    base: usize,
    len_bytes: usize,
}

// std promises that its two slices are laid out as `iovec` is.
const _: () = assert!(size_of::<IoVec>() == size_of::<libc::iovec>());
const _: () = assert!(size_of::<IoVec>() == size_of::<IoSlice<'_>>());
const _: () = assert!(size_of::<IoVec>() == size_of::<IoSliceMut<'_>>());

/// Storage for an array of buffers, for those who do not have `std`'s slices at hand: an operation keeps one
/// beside its buffers, and fills it when it makes the submission.
///
/// ```
/// use uring::buf::Room;
/// use uring::ring::{IoVecs, Sqe, Target};
///
/// struct ReadTwo {
///     file: std::fs::File,
///     bufs: [Vec<u8>; 2],
///     vecs: IoVecs,
/// }
///
/// impl ReadTwo {
///     fn prepare(&mut self) -> Sqe<'_> {
///         use std::os::fd::AsFd;
///         let rooms = self.vecs.rooms(self.bufs.iter_mut().map(Room::of_vec));
///         Sqe::read_vectored(self.file.as_fd().into(), rooms, Some(0))
///     }
/// }
/// ```
#[derive(Debug, Default)]
pub struct IoVecs(Vec<IoVec>);

impl IoVecs {
    /// None yet.
    pub fn new() -> IoVecs {
        IoVecs::default()
    }

    /// With room for so many, so that filling it allocates nothing.
    pub fn with_capacity(count: usize) -> IoVecs {
        IoVecs(Vec::with_capacity(count))
    }

    /// Lends these buffers for the kernel to write to.
    pub fn rooms<'a>(&'a mut self, rooms: impl IntoIterator<Item = Room<'a>>) -> Rooms<'a> {
        self.0.clear();
        self.0.extend(
            rooms
                .into_iter()
                .map(|mut room| IoVec { base: room.expose() as usize, len_bytes: room.len() }),
        );
        Rooms { addr: read_by_kernel(&self.0), count: self.0.len(), _lent: PhantomData }
    }

    /// Lends these bytes for the kernel to read.
    pub fn slices<'a>(&'a mut self, slices: impl IntoIterator<Item = &'a [u8]>) -> Slices<'a> {
        self.0.clear();
        self.0.extend(
            slices.into_iter().map(|bytes| IoVec {
                base: read_by_kernel(bytes) as usize,
                len_bytes: bytes.len(),
            }),
        );
        Slices { addr: read_by_kernel(&self.0), count: self.0.len(), _lent: PhantomData }
    }
}

/// Buffers that the kernel writes to one after the other: `&mut [IoSliceMut]`, or made by
/// [`IoVecs::rooms`].
#[derive(Debug)]
pub struct Rooms<'a> {
    pub(super) addr: u64,
    pub(super) count: usize,
    _lent: PhantomData<&'a mut [u8]>,
}

impl<'a, 'b: 'a> From<&'a mut [IoSliceMut<'b>]> for Rooms<'a> {
    fn from(slices: &'a mut [IoSliceMut<'b>]) -> Rooms<'a> {
        for slice in slices.iter_mut() {
            written_by_kernel::<u8>(slice);
        }
        let count = slices.len();
        Rooms { addr: written_by_kernel(slices), count, _lent: PhantomData }
    }
}

impl<'a, 'b: 'a, const N: usize> From<&'a mut [IoSliceMut<'b>; N]> for Rooms<'a> {
    fn from(slices: &'a mut [IoSliceMut<'b>; N]) -> Rooms<'a> {
        Rooms::from(&mut slices[..])
    }
}

/// Bytes that the kernel reads one after the other: `&[IoSlice]`, or made by [`IoVecs::slices`].
#[derive(Clone, Copy, Debug)]
pub struct Slices<'a> {
    pub(super) addr: u64,
    pub(super) count: usize,
    _lent: PhantomData<&'a [u8]>,
}

impl<'a, 'b: 'a> From<&'a [IoSlice<'b>]> for Slices<'a> {
    fn from(slices: &'a [IoSlice<'b>]) -> Slices<'a> {
        for slice in slices {
            read_by_kernel::<u8>(slice);
        }
        Slices { addr: read_by_kernel(slices), count: slices.len(), _lent: PhantomData }
    }
}

impl<'a, 'b: 'a, const N: usize> From<&'a [IoSlice<'b>; N]> for Slices<'a> {
    fn from(slices: &'a [IoSlice<'b>; N]) -> Slices<'a> {
        Slices::from(&slices[..])
    }
}

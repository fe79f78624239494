//! Receive into a buffer that the kernel chooses when there is data: `recv(2)`, Linux 5.19; again and again,
//! Linux 6.0.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsFd;

use super::recv::leave_error;
use super::{Completion, MultiOp, Op};
use crate::fd::lane::{Held, Receiving};
use crate::pool::{BufPool, Leased};
use crate::ring::{BufGroup, MultiSqe, Sqe};

/// A pool as long as an operation selects from it: one that is registered.
#[derive(Debug)]
struct Selected(BufPool);

impl Selected {
    fn new(pool: BufPool) -> io::Result<Selected> {
        if !pool.is_registered() {
            let message =
                "the kernel knows no rings of buffers, which take Linux 5.19: use op::Recv";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        Ok(Selected(pool))
    }

    fn group(&self) -> BufGroup {
        self.0.group().expect("it was registered, and stays so")
    }

    /// Leaves what came for a future that is gone to the next receive. In memory of its own, so that it
    /// keeps no buffer of the pool for as long as nobody receives.
    fn leave(received: io::Result<Leased>, lane: &Held<Receiving>) {
        match received {
            Ok(bytes) if bytes.is_empty() => {}
            Ok(bytes) => lane.leave_bytes(Ok(bytes.into_vec())),
            // The data stayed in the socket.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
            Err(error) => leave_error(lane, &error),
        }
    }
}

/// Receives bytes in a buffer of a pool; no bytes are the end of the stream.
///
/// It has no buffer while it waits. When the kernel finds the pool empty, the result is `ENOBUFS`, and the
/// data stays in the socket.
///
/// Dropping its future loses nothing: what the kernel had already received is left in the lane, for
/// [`late`](super::late) to find before the next receive, and the buffer goes back to the pool.
#[derive(Debug)]
pub struct RecvLeased {
    selected: Selected,
    data_first: bool,
    lane: Held<Receiving>,
}

impl RecvLeased {
    /// Receives from the socket whose lane it is, held until the final completion.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](io::ErrorKind::Unsupported) for a pool whose buffers come from the heap.
    pub fn new(pool: BufPool, lane: Held<Receiving>) -> io::Result<RecvLeased> {
        Ok(RecvLeased { selected: Selected::new(pool)?, data_first: false, lane })
    }

    /// Asks for a buffer only when there is data. Otherwise an empty pool is an error even if there is none.
    pub fn data_first(mut self, data_first: bool) -> RecvLeased {
        self.data_first = data_first;
        self
    }
}

impl Op for RecvLeased {
    type Output = io::Result<Leased>;

    fn prepare(&mut self) -> Sqe<'_> {
        // Linux 5.19 takes a limit of 0 by its word.
        let limit_bytes = self.selected.0.buffer_bytes() as u32;
        let sqe = Sqe::recv_provided(
            self.lane.fd().as_fd().into(),
            self.selected.group(),
            limit_bytes,
            0,
        );
        if self.data_first { sqe.poll_first() } else { sqe }
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        // SAFETY: rule 2: a completion of this operation, which selected from this pool in `prepare` and
        // asked for no bundle; the driver hands each one over once.
        unsafe { self.selected.0.take(*completion) }
    }

    fn abandoned(self, completion: Completion<Self>) {
        // SAFETY: as in `complete`, of which only one is called.
        let received = unsafe { self.selected.0.take(*completion) };
        Selected::leave(received, &self.lane);
    }
}

/// Receives bytes in buffers of a pool until the stream ends (no bytes), or fails, or the kernel finds the
/// pool empty (`ENOBUFS`; the data stays in the socket).
///
/// It has no buffer while it waits. Bytes that were received and not taken when the stream of results is
/// dropped are left in the lane, and their buffers go back to the pool.
pub struct RecvMulti {
    selected: Selected,
    data_first: bool,
    lane: Held<Receiving>,
    /// The pool once more, from `prepare` to the final completion, and for ever if nobody tells of that: an
    /// operation built around this one may drop it while the kernel goes on selecting from the group.
    kept: Cell<Option<ManuallyDrop<BufPool>>>,
}

impl RecvMulti {
    /// Receives from the socket whose lane it is, held until the final completion.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](io::ErrorKind::Unsupported) for a pool whose buffers come from the heap.
    pub fn new(pool: BufPool, lane: Held<Receiving>) -> io::Result<RecvMulti> {
        let (selected, kept) = (Selected::new(pool)?, Cell::default());
        Ok(RecvMulti { selected, data_first: false, lane, kept })
    }

    /// Asks for the first buffer only when there is data. Otherwise an empty pool is an error even if there
    /// is none.
    pub fn data_first(mut self, data_first: bool) -> RecvMulti {
        self.data_first = data_first;
        self
    }
}

impl fmt::Debug for RecvMulti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvMulti")
            .field("selected", &self.selected)
            .field("data_first", &self.data_first)
            .field("lane", &self.lane)
            .finish_non_exhaustive()
    }
}

impl MultiOp for RecvMulti {
    type Item = io::Result<Leased>;

    fn prepare(&mut self) -> MultiSqe<'_> {
        *self.kept.get_mut() = Some(ManuallyDrop::new(self.selected.0.clone()));
        let sqe = MultiSqe::recv(self.lane.fd().as_fd().into(), self.selected.group(), 0);
        if self.data_first { sqe.poll_first() } else { sqe }
    }

    fn shot(&self, completion: Completion<Self>) -> Self::Item {
        if !completion.more() {
            drop(self.kept.take().map(ManuallyDrop::into_inner));
        }
        // SAFETY: rule 2: a completion of this operation, which selected from this pool in `prepare` and
        // asked for no bundle; the driver hands each one over once.
        unsafe { self.selected.0.take(*completion) }
    }

    fn abandoned_shot(&self, completion: Completion<Self>) {
        Selected::leave(self.shot(completion), &self.lane);
    }
}

const _: () = assert!(size_of::<RecvLeased>() <= 256, "fits a pooled block");
const _: () = assert!(size_of::<RecvMulti>() <= 32, "an idle connection is small");

//! Who owns which buffer, and up to where: the books, without the memory.
//!
//! A buffer is idle (ours, unused), with the kernel, or out (ours, in leases). While the kernel consumes one
//! piece by piece it is with the kernel and in leases at once: the leases have the front, the kernel the rest.

use std::fmt;
use std::io;

/// What a completion said that cannot be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The group has no buffer of this id.
    NoSuchBuffer,
    /// The kernel does not have this buffer.
    NotWithKernel,
    /// More bytes than the buffer and those behind it have room for.
    TooLong,
    /// Bytes, and no buffer that they are in.
    NoBuffer,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::NoSuchBuffer => "the completion names a buffer that the group does not have",
            Refused::NotWithKernel => {
                "the completion names a buffer that the kernel does not have: was it of this group, \
                 and taken once?"
            }
            Refused::TooLong => "the completion is longer than the buffers that the kernel has",
            Refused::NoBuffer => "the completion names no buffer: did its request select one?",
        })
    }
}

impl std::error::Error for Refused {}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, refused)
    }
}

/// How the kernel consumes the buffers of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consumption {
    /// One at a time, in an order that is not known: classic buffers.
    Single,
    /// In the order in which they were provided; a bundle takes several.
    Whole,
    /// As `Whole`, and piece by piece.
    Incremental,
}

/// Where a buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Idle,
    Kernel,
    /// Not with the kernel any more; idle as soon as no lease is left.
    Leases,
}

#[derive(Clone, Copy, Debug)]
struct Buffer {
    holder: Holder,
    /// How many bytes were provided.
    len_bytes: u32,
    /// How many of them, from the front, are in leases or were.
    used_bytes: u32,
    leases: u32,
    /// How many buffers were provided before this one.
    position: u64,
    /// The buffer that was provided right after this one.
    next: u16,
}

/// The bytes that a completion brought: `len_bytes` from `start_bytes` in the buffer `first`, and on through
/// the `count` buffers in the order in which they were provided. Each has a lease of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: u16,
    pub(super) count: u32,
    pub(super) start_bytes: u32,
    pub(super) len_bytes: u32,
}

/// A part of one buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) id: u16,
    pub(super) start_bytes: u32,
    pub(super) len_bytes: u32,
}

/// The books of one group.
#[derive(Debug)]
pub(super) struct Ledger {
    buffers: Box<[Buffer]>,
    consumption: Consumption,
    /// How many buffers were ever provided: the position of the next one.
    provided: u64,
    last_provided: Option<u16>,
    /// How many buffers the kernel has by these books.
    with_kernel: u32,
    /// How many of those were removed from the kernel, nobody knows which.
    removed: u32,
    /// A buffer that may be finished, and its position: see [`Ledger::doubt`].
    doubtful: Option<(u16, u64)>,
}

impl Ledger {
    /// `count` idle buffers.
    pub(super) fn new(count: u16, consumption: Consumption) -> Ledger {
        let idle = Buffer {
            holder: Holder::Idle,
            len_bytes: 0,
            used_bytes: 0,
            leases: 0,
            position: 0,
            next: 0,
        };
        Ledger {
            buffers: vec![idle; usize::from(count)].into_boxed_slice(),
            consumption,
            provided: 0,
            last_provided: None,
            with_kernel: 0,
            removed: 0,
            doubtful: None,
        }
    }

    pub(super) fn consumption(&self) -> Consumption {
        self.consumption
    }

    /// The position of the next buffer to be provided.
    pub(super) fn tail(&self) -> u64 {
        self.provided
    }

    /// How many buffers the kernel has for certain, as far as completions were taken.
    pub(super) fn with_kernel(&self) -> u32 {
        self.with_kernel - self.removed
    }

    /// The first idle buffer from `from` on.
    pub(super) fn idle_from(&self, from: u16) -> Option<u16> {
        let behind = self.buffers.iter().enumerate().skip(usize::from(from));
        behind.filter(|(_, buffer)| buffer.holder == Holder::Idle).map(|(id, _)| id as u16).next()
    }

    /// Writes an idle buffer over to the kernel; returns its position. None if it is not idle.
    pub(super) fn provide(&mut self, id: u16, len_bytes: u32) -> Option<u64> {
        let position = self.provided;
        let buffer = self.buffers.get_mut(usize::from(id))?;
        if buffer.holder != Holder::Idle || len_bytes == 0 {
            return None;
        }
        *buffer = Buffer {
            holder: Holder::Kernel,
            len_bytes,
            used_bytes: 0,
            leases: 0,
            position,
            next: id,
        };
        if let Some(last) = self.last_provided {
            self.buffers[usize::from(last)].next = id;
        }
        self.last_provided = Some(id);
        self.provided += 1;
        self.with_kernel += 1;
        Some(position)
    }

    /// Takes back a buffer that did not reach the kernel.
    pub(super) fn withdraw(&mut self, id: u16) {
        if let Some(buffer) = self.buffers.get_mut(usize::from(id)) {
            if buffer.holder == Holder::Kernel {
                buffer.holder = if buffer.leases == 0 { Holder::Idle } else { Holder::Leases };
                self.with_kernel -= 1;
                // What never reached the kernel is none of those that it has forgotten.
                self.removed = self.removed.min(self.with_kernel);
                self.all_removed();
            }
        }
    }

    /// Books `len_bytes` that the kernel put into the buffer `id`, and into those behind it if they do not
    /// fit, and gives each of these buffers a lease. `kept` says of the last one, by its position, whether
    /// the kernel goes on filling it.
    pub(super) fn take(
        &mut self,
        id: u16,
        len_bytes: u32,
        kept: impl FnOnce(u64) -> bool,
    ) -> Result<Span, Refused> {
        let (span, last) = self.span(id, len_bytes)?;
        let end = &self.buffers[usize::from(last.id)];
        // Nobody fills a full buffer on, whatever the completion says.
        let full = last.start_bytes + last.len_bytes == end.len_bytes;
        let kept = !full && kept(end.position);
        let mut id = span.first;
        for _ in 0..span.count {
            let stays = kept && id == last.id;
            let buffer = &mut self.buffers[usize::from(id)];
            buffer.leases += 1;
            if stays {
                buffer.used_bytes = last.start_bytes + last.len_bytes;
            } else {
                buffer.holder = Holder::Leases;
                buffer.used_bytes = buffer.len_bytes;
                self.with_kernel -= 1;
            }
            id = buffer.next;
        }
        self.all_removed();
        Ok(span)
    }

    /// The bytes that a completion is about, and the part of them in the last buffer. Changes nothing.
    fn span(&self, id: u16, len_bytes: u32) -> Result<(Span, Piece), Refused> {
        let mut buffer = self.buffers.get(usize::from(id)).ok_or(Refused::NoSuchBuffer)?;
        if buffer.holder != Holder::Kernel {
            return Err(Refused::NotWithKernel);
        }
        let mut piece = Piece { id, start_bytes: buffer.used_bytes, len_bytes };
        let mut span = Span { first: id, count: 1, start_bytes: buffer.used_bytes, len_bytes };
        while piece.len_bytes > buffer.len_bytes - piece.start_bytes {
            if self.consumption == Consumption::Single {
                return Err(Refused::TooLong);
            }
            piece.len_bytes -= buffer.len_bytes - piece.start_bytes;
            piece.start_bytes = 0;
            // Positions tell whether the buffer behind is still the one that was provided next.
            let behind = buffer.position + 1;
            piece.id = buffer.next;
            buffer = &self.buffers[usize::from(piece.id)];
            if buffer.holder != Holder::Kernel || buffer.position != behind || buffer.used_bytes > 0
            {
                return Err(Refused::TooLong);
            }
            span.count += 1;
        }
        Ok((span, piece))
    }

    /// Splits the first piece off a span, as long as all of its leases are there.
    pub(super) fn split(&self, span: &mut Span) -> Option<Piece> {
        span.count = span.count.checked_sub(1)?;
        let buffer = &self.buffers[usize::from(span.first)];
        let room = buffer.len_bytes - span.start_bytes;
        let len_bytes = span.len_bytes.min(room);
        let piece = Piece { id: span.first, start_bytes: span.start_bytes, len_bytes };
        *span = Span {
            first: buffer.next,
            count: span.count,
            start_bytes: 0,
            len_bytes: span.len_bytes - len_bytes,
        };
        Some(piece)
    }

    /// Books the end of a lease; true if the buffer is idle now.
    pub(super) fn release(&mut self, id: u16) -> bool {
        let buffer = &mut self.buffers[usize::from(id)];
        buffer.leases -= 1;
        let idle = buffer.leases == 0 && buffer.holder == Holder::Leases;
        if idle {
            buffer.holder = Holder::Idle;
        }
        idle
    }

    /// Remembers a buffer of which a completion without bytes did not say clearly whether it is finished.
    ///
    /// Kernels before Linux 7.0 leave `IORING_CQE_F_BUF_MORE` out at the end of a stream. The buffer is
    /// finished if the kernel has left it, and yet a completion with its last bytes may be on its way. All
    /// that is certain is that none can come once a buffer behind it, or `ENOBUFS`, was seen.
    pub(super) fn doubt(&mut self, id: u16) {
        self.doubtful = self.position(id).map(|position| (id, position));
    }

    /// Settles the doubt after a completion of the buffer at `position`, or after one that said that there
    /// is no buffer. Returns the buffer that has become idle by that.
    pub(super) fn settle(&mut self, position: Option<u64>) -> Option<u16> {
        let (id, doubted) = self.doubtful?;
        if self.position(id) != Some(doubted) {
            self.doubtful = None;
            return None;
        }
        if position.is_some_and(|position| position <= doubted) {
            return None;
        }
        self.doubtful = None;
        self.withdraw(id);
        (self.buffers[usize::from(id)].holder == Holder::Idle).then_some(id)
    }

    /// The position of a buffer that the kernel has.
    pub(super) fn position(&self, id: u16) -> Option<u64> {
        let buffer = self.buffers.get(usize::from(id))?;
        (buffer.holder == Holder::Kernel).then_some(buffer.position)
    }

    /// Books that the kernel has forgotten `count` buffers, without saying which.
    ///
    /// Which ones is known when all others have come back.
    pub(super) fn remove(&mut self, count: u32) {
        self.removed = self.removed.saturating_add(count).min(self.with_kernel);
        self.all_removed();
    }

    fn all_removed(&mut self) {
        if self.removed == 0 || self.removed < self.with_kernel {
            return;
        }
        for buffer in &mut self.buffers {
            if buffer.holder == Holder::Kernel {
                buffer.holder = if buffer.leases == 0 { Holder::Idle } else { Holder::Leases };
            }
        }
        self.with_kernel = 0;
        self.removed = 0;
    }
}

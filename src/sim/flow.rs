//! Bytes on their way from a writer to a reader: a pipe is one flow, a connection is two.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// How much a flow holds before its writer has to wait: a pipe's default size, pipe(7).
pub(super) const WINDOW_BYTES: usize = 64 * 1024;

#[derive(Debug, Default)]
struct Flow {
    bytes: RefCell<VecDeque<u8>>,
    /// Nothing more will be written.
    finished: Cell<bool>,
    /// Nothing more will be read.
    unread: Cell<bool>,
    /// Counts what wakes a reader: bytes, or their end.
    arrivals: Cell<u64>,
    /// Counts what wakes a writer: room, or the reader's leaving.
    departures: Cell<u64>,
    /// Bytes that were written so far, and read.
    written_bytes: Cell<u64>,
    read_bytes: Cell<u64>,
}

/// A place in a flow, which a reader may have come past.
#[derive(Debug)]
pub(super) struct Mark {
    flow: Rc<Flow>,
    at_bytes: u64,
}

impl Mark {
    /// Whether all before it was read, or never will be.
    pub(super) fn is_passed(&self) -> bool {
        self.flow.read_bytes.get() >= self.at_bytes || self.flow.unread.get()
    }
}

/// The end that reads; dropping it tells the writer.
#[derive(Debug)]
pub(super) struct Reader(Rc<Flow>);

/// The end that writes; dropping it tells the reader.
#[derive(Debug)]
pub(super) struct Writer(Rc<Flow>);

/// A new flow with both of its ends.
pub(super) fn flow() -> (Reader, Writer) {
    let flow = Rc::new(Flow::default());
    (Reader(Rc::clone(&flow)), Writer(flow))
}

fn count(events: &Cell<u64>) {
    events.set(events.get() + 1);
}

impl Reader {
    /// Bytes that can be read now.
    pub(super) fn available(&self) -> usize {
        self.0.bytes.borrow().len()
    }

    /// Whether nothing will come but what is available.
    pub(super) fn finished(&self) -> bool {
        self.0.finished.get()
    }

    /// Takes up to `most` bytes out.
    pub(super) fn read(&self, most: usize) -> Vec<u8> {
        let read = self.peek(most);
        if !read.is_empty() {
            self.0.bytes.borrow_mut().drain(..read.len());
            self.0.read_bytes.set(self.0.read_bytes.get() + read.len() as u64);
            count(&self.0.departures);
        }
        read
    }

    /// Up to `most` bytes, left where they are (`MSG_PEEK`).
    pub(super) fn peek(&self, most: usize) -> Vec<u8> {
        let bytes = self.0.bytes.borrow();
        let (front, back) = bytes.as_slices();
        let from_front = &front[..most.min(front.len())];
        let from_back = &back[..(most - from_front.len()).min(back.len())];
        [from_front, from_back].concat()
    }

    /// Says that nothing more will come, whatever the writer does.
    pub(super) fn cut_off(&self) {
        self.0.finished.set(true);
        count(&self.0.arrivals);
    }

    /// Says that nothing more will be read, and lets who writes know.
    pub(super) fn refuse(&self) {
        self.0.unread.set(true);
        count(&self.0.departures);
    }

    pub(super) fn arrivals(&self) -> u64 {
        self.0.arrivals.get()
    }
}

impl Writer {
    /// Bytes that can be written now.
    pub(super) fn space(&self) -> usize {
        WINDOW_BYTES.saturating_sub(self.0.bytes.borrow().len())
    }

    /// Whether this end said that it writes no more.
    pub(super) fn finished(&self) -> bool {
        self.0.finished.get()
    }

    /// Whether nobody will read what is written.
    pub(super) fn unread(&self) -> bool {
        self.0.unread.get()
    }

    /// Appends `bytes`, of which there are no more than there is [`space`](Writer::space).
    pub(super) fn write(&self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.0.bytes.borrow_mut().extend(bytes);
            self.0.written_bytes.set(self.0.written_bytes.get() + bytes.len() as u64);
            count(&self.0.arrivals);
        }
    }

    /// The place behind what was written so far.
    pub(super) fn mark(&self) -> Mark {
        Mark { flow: Rc::clone(&self.0), at_bytes: self.0.written_bytes.get() }
    }

    /// Says that nothing more will be written.
    pub(super) fn finish(&self) {
        self.0.finished.set(true);
        count(&self.0.arrivals);
    }

    pub(super) fn departures(&self) -> u64 {
        self.0.departures.get()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.refuse();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.finish();
    }
}

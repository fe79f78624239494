//! An operation at the address the kernel knows it by.
//!
//! # Safety invariant
//!
//! `at` points to a block that this value owns and that holds an initialized operation of the type that
//! `kind` was made for. The operation was written there before it was prepared, and is not moved, touched or
//! freed before [`Payload::take`] or [`Payload::abandon`], which the driver calls after the final completion
//! (rule 1), or before its submission was pushed. The exception of that rule is [`Shot`].

use std::alloc::{self, Layout};
use std::any::TypeId;
use std::ptr::NonNull;
use std::{mem, ptr};

use super::op::{Completion, End, MultiOp, Op};
use crate::ring::{Cqe, Entry};

/// The sizes of pooled blocks, and what they are aligned to: half a cache line, one, two and four. A line less to
/// fetch for each operation in flight is worth more than one size for all: with 1,000 connections the blocks compete
/// with the sockets for the second-level cache. A multishot receive, or one into a `Vec`, takes half a line, and
/// thousands of them wait; that size has the alignment that `malloc(3)` gives anyway: a stricter one wastes as much
/// again. What carries an address takes four.
const SIZES: [(usize, usize); 4] = [(32, 16), (64, 64), (128, 64), (256, 64)];

/// Free blocks of each size kept for reuse: 1.9 MiB at most. Steady state needs as many as complete in one
/// turn.
const MAX_FREE_BLOCKS: usize = 4096;

/// What the memory of an operation is like.
#[derive(Debug)]
struct Shape {
    layout: Layout,
    /// The place of its size among [`SIZES`]; none if it is of odd size, and not pooled.
    class: Option<usize>,
}

/// What the memory of an operation of type `T` is like.
const fn shape_for<T>() -> Shape {
    let wanted = Layout::new::<T>();
    let mut class = 0;
    while class < SIZES.len() {
        let (size, align) = SIZES[class];
        if wanted.size() <= size && wanted.align() <= align {
            return match Layout::from_size_align(size, align) {
                Ok(layout) => Shape { layout, class: Some(class) },
                Err(_) => panic!("the sizes are multiples of the alignment"),
            };
        }
        class += 1;
    }
    // An empty type of strict alignment is the one that is neither pooled nor larger than a block.
    let size = if wanted.size() == 0 { wanted.align() } else { wanted.size() };
    match Layout::from_size_align(size, wanted.align()) {
        Ok(layout) => Shape { layout, class: None },
        Err(_) => panic!("a size that is the alignment rounds up to itself"),
    }
}

/// Memory for one operation.
#[derive(Debug)]
pub(super) struct Block {
    at: NonNull<u8>,
    shape: &'static Shape,
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout by `Pool::block_for`; a block is owned once.
        unsafe { alloc::dealloc(self.at.as_ptr(), self.shape.layout) }
    }
}

/// The free blocks, by size.
#[derive(Debug, Default)]
pub(super) struct Pool {
    free: [Vec<Block>; SIZES.len()],
    lent: usize,
}

impl Pool {
    /// A block for a `T`: a pooled one if it fits there, else one of its own size.
    pub(super) fn block_for<T>(&mut self) -> Block {
        let shape = const { &shape_for::<T>() };
        self.lent += 1;
        if let Some(block) = shape.class.and_then(|class| self.free[class].pop()) {
            return block;
        }
        // SAFETY: the size is not zero, see `shape_for`.
        match NonNull::new(unsafe { alloc::alloc(shape.layout) }) {
            Some(at) => Block { at, shape },
            None => alloc::handle_alloc_error(shape.layout),
        }
    }

    /// Blocks that were taken and have not come back.
    pub(super) fn lent(&self) -> usize {
        self.lent
    }

    /// A block was freed where it was, by a panic.
    pub(super) fn lose(&mut self) {
        self.lent -= 1;
    }

    /// Keeps a block for the next operation; frees it if it is of odd size or there are enough.
    // Always: see `Driver::poll`.
    #[inline(always)]
    pub(super) fn give_back(&mut self, block: Block) {
        self.lent -= 1;
        if let Some(free) = block.shape.class.map(|class| &mut self.free[class]) {
            if free.len() < MAX_FREE_BLOCKS {
                free.push(block);
            }
        }
    }
}

/// What to do with an operation whose type is no longer known.
struct Kind {
    type_id: fn() -> TypeId,
    /// Of its block.
    shape: &'static Shape,
    /// Ends it after the final completion, when nobody awaits it.
    abandon: unsafe fn(NonNull<u8>, End),
    /// Present for a [`MultiOp`].
    abandoned_shot: Option<unsafe fn(NonNull<u8>, Cqe)>,
}

/// The kind of a [`Op`].
struct OneShot<T>(T);

impl<T: Op> OneShot<T> {
    const KIND: &'static Kind = &Kind {
        type_id: TypeId::of::<OneShot<T>>,
        shape: &shape_for::<T>(),
        abandon: |at, end| {
            // SAFETY: the invariant: an initialized `T`, moved out once, after its final completion.
            unsafe { at.cast::<T>().read() }.abandoned(Completion::new(end));
        },
        abandoned_shot: None,
    };
}

/// The kind of a [`MultiOp`].
struct MultiShot<T>(T);

impl<T: MultiOp> MultiShot<T> {
    const KIND: &'static Kind = &Kind {
        type_id: TypeId::of::<MultiShot<T>>,
        shape: &shape_for::<T>(),
        abandon: |at, _| {
            // SAFETY: the invariant: an initialized `T`, dropped once, after its final completion.
            unsafe { at.cast::<T>().drop_in_place() };
        },
        abandoned_shot: Some(|at, cqe| {
            // SAFETY: the invariant: an initialized `T`, of which only shared references are made.
            unsafe { at.cast::<T>().as_ref() }.abandoned_shot(Completion::new(cqe));
        }),
    };
}

/// An operation in its block, its type erased. Dropping one leaks it: what the kernel may still use is never
/// freed by accident.
pub(super) struct Payload {
    at: NonNull<u8>,
    kind: &'static Kind,
}

/// Gives operation and block back if `prepare` panics.
struct Unprepared<T> {
    at: NonNull<T>,
    _block: Block,
}

impl<T> Drop for Unprepared<T> {
    fn drop(&mut self) {
        // SAFETY: written by `Payload::place`, and no submission was made of it.
        unsafe { self.at.drop_in_place() }
    }
}

impl Payload {
    /// Moves `op` to its block, then prepares it there, once.
    pub(super) fn new<T: Op>(op: T, block: Block) -> (Payload, Entry) {
        Payload::place(op, block, OneShot::<T>::KIND, |op| op.prepare().into_raw())
    }

    /// As [`Payload::new`].
    pub(super) fn new_multi<T: MultiOp>(op: T, block: Block) -> (Payload, Entry) {
        Payload::place(op, block, MultiShot::<T>::KIND, |op| op.prepare().into_raw())
    }

    fn place<T>(
        op: T,
        block: Block,
        kind: &'static Kind,
        prepare: impl FnOnce(&mut T) -> Entry,
    ) -> (Payload, Entry) {
        let at = block.at.cast::<T>();
        // SAFETY: the block was made for a `T` and is ours.
        unsafe { at.write(op) };
        let mut unprepared = Unprepared { at, _block: block };
        // SAFETY: just written, and nobody else knows of it.
        let sqe = prepare(unsafe { unprepared.at.as_mut() });
        debug_assert_eq!(unprepared._block.shape.layout, kind.shape.layout);
        mem::forget(unprepared);
        (Payload { at: at.cast(), kind }, sqe)
    }

    /// Moves the operation out again, after its final completion, or before it was pushed.
    pub(super) fn take<T: Op>(self) -> (T, Block) {
        let same = ptr::eq(self.kind, OneShot::<T>::KIND);
        // What lies at one address is of one type, as kinds of two types differ in what `type_id` returns. A
        // constant may have several addresses, though.
        assert!(
            same || (self.kind.type_id)() == TypeId::of::<OneShot<T>>(),
            "an operation keeps its type"
        );
        // SAFETY: the invariant, and `T` was just seen to be its type; `self` is consumed, so this happens once.
        let op = unsafe { self.at.cast::<T>().read() };
        (op, self.into_block())
    }

    /// Ends an operation that nobody awaits, after its final completion: runs user code.
    pub(super) fn abandon(self, end: End) -> Block {
        let (at, kind) = (self.at, self.kind);
        // The block is freed even if the user code panics.
        let block = self.into_block();
        // SAFETY: the invariant; `self` is consumed, so this happens once.
        unsafe { (kind.abandon)(at, end) };
        block
    }

    /// Access to a multishot operation while it is in flight; none for other operations.
    pub(super) fn shot(&self) -> Option<Shot> {
        self.kind.abandoned_shot.map(|_| Shot { at: self.at, kind: self.kind })
    }

    fn into_block(self) -> Block {
        Block { at: self.at, shape: self.kind.shape }
    }
}

/// A multishot operation in its block, borrowed without a lifetime: while user code handles a shot, nothing
/// of the driver may be borrowed.
pub(super) struct Shot {
    at: NonNull<u8>,
    kind: &'static Kind,
}

impl Shot {
    /// Turns a completion into an item.
    ///
    /// # Safety
    ///
    /// The payload this came from is alive until the call returns.
    pub(super) unsafe fn call<T: MultiOp>(self, cqe: Cqe) -> T::Item {
        assert!(
            (self.kind.type_id)() == TypeId::of::<MultiShot<T>>(),
            "an operation keeps its type"
        );
        // SAFETY: alive by the caller's contract, of this type by the comparison; shared references only.
        unsafe { self.at.cast::<T>().as_ref() }.shot(Completion::new(cqe))
    }

    /// Hands a completion to an operation that nobody takes items of.
    ///
    /// # Safety
    ///
    /// As [`Shot::call`].
    pub(super) unsafe fn abandon(self, cqe: Cqe) {
        if let Some(abandoned_shot) = self.kind.abandoned_shot {
            // SAFETY: the caller's contract and the invariant.
            unsafe { abandoned_shot(self.at, cqe) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As large as it is aligned.
    #[repr(align(32))]
    struct By32(#[expect(dead_code, reason = "only its size counts")] u8);

    #[repr(align(128))]
    struct By128(#[expect(dead_code, reason = "only its size counts")] u8);

    #[test]
    fn a_block_is_the_smallest_that_fits_by_size_and_alignment() {
        fn class<T>() -> Option<usize> {
            let shape = shape_for::<T>();
            assert!(shape.layout.size() >= size_of::<T>().max(1));
            assert!(shape.layout.align() >= align_of::<T>());
            shape.class
        }
        assert_eq!([class::<()>(), class::<u8>(), class::<[u8; 32]>()], [Some(0); 3]);
        assert_eq!([class::<[u8; 33]>(), class::<[u8; 64]>(), class::<By32>()], [Some(1); 3]);
        assert_eq!([class::<[u8; 65]>(), class::<[u64; 16]>()], [Some(2); 2]);
        assert_eq!([class::<[u8; 129]>(), class::<[u8; 256]>()], [Some(3); 2]);
        assert_eq!([class::<[u8; 257]>(), class::<By128>(), class::<[By128; 0]>()], [None; 3]);
    }
}

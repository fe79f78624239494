//! What ends together: operations belong to the scope that was current when they were submitted, until their
//! final completion, and a scope to the one it was first entered in.
//!
//! A scope knows its members, so it can cancel them, and can wait until the last has ended. It costs
//! operations outside of any scope one look at a thread-local.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

use slab::Slab;

use super::Driver;
use super::slots::Token;
use crate::panics::wake_all;

thread_local! {
    static CURRENT: RefCell<Option<CancelScope>> = const { RefCell::new(None) };
}

/// The scope that operations submitted now belong to.
pub(super) fn current() -> Option<CancelScope> {
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// A node in the tree of scopes.
#[derive(Clone)]
pub(crate) struct CancelScope(Rc<Node>);

struct Node {
    /// The membership in the scope around this one, held as long as anything of this one is left.
    parent: OnceCell<Option<Member>>,
    members: RefCell<Slab<Joined>>,
    cancelled: Cell<bool>,
    /// Who waits for the last member to leave.
    waiting: RefCell<Vec<Waker>>,
}

/// What is a member of a scope.
pub(crate) enum Joined {
    /// An operation in flight.
    Operation(OperationName),
    /// A scope inside this one.
    Scope(InnerScope),
    /// Something that the scope only counts.
    Other,
}

/// Names an operation of a driver.
#[derive(Clone)]
pub(crate) struct OperationName {
    driver: Weak<Driver>,
    token: Token,
}

/// Names a scope inside another, without keeping it.
#[derive(Clone)]
pub(crate) struct InnerScope(Weak<Node>);

/// A membership; dropping it leaves the scope.
pub(crate) struct Member {
    node: Rc<Node>,
    key: usize,
}

impl CancelScope {
    /// One without members, and outside of any other until it is entered.
    pub(crate) fn new() -> CancelScope {
        CancelScope(Rc::new(Node {
            parent: OnceCell::new(),
            members: RefCell::default(),
            cancelled: Cell::new(false),
            waiting: RefCell::default(),
        }))
    }

    /// Makes it the current one until the guard is dropped. The first time decides what it lies inside of.
    #[must_use]
    pub(crate) fn enter(&self) -> InScope {
        self.0.parent.get_or_init(|| {
            let outer = current()?;
            Some(outer.join(Joined::Scope(InnerScope(Rc::downgrade(&self.0)))))
        });
        let entered = CURRENT.try_with(|current| current.replace(Some(self.clone())));
        InScope { before: entered.ok().flatten() }
    }

    /// Becomes a member.
    pub(crate) fn join(&self, joined: Joined) -> Member {
        let key = self.0.members.borrow_mut().insert(joined);
        Member { node: Rc::clone(&self.0), key }
    }

    /// An operation becomes a member.
    pub(super) fn join_operation(&self, driver: &Rc<Driver>, token: Token) -> Member {
        let driver = Rc::downgrade(driver);
        self.join(Joined::Operation(OperationName { driver, token }))
    }

    /// Whether this scope, or one around it, was cancelled: whatever is submitted in it is cancelled at once.
    pub(super) fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Cancels all operations of this scope and of those inside, and what will be submitted in them.
    pub(crate) fn cancel(&self) {
        self.0.cancel();
    }

    /// Resolves when there is no member.
    pub(crate) async fn ended(&self) {
        poll_fn(|context| {
            if self.0.members.borrow().is_empty() {
                return Poll::Ready(());
            }
            let same = |known: &Waker| known.will_wake(context.waker());
            if !self.0.waiting.borrow().iter().any(same) {
                let waker = context.waker().clone();
                self.0.waiting.borrow_mut().push(waker);
            }
            // Asked again, as cloning a waker may run anybody's code.
            if self.0.members.borrow().is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Node {
    fn is_cancelled(&self) -> bool {
        let around = || self.parent.get().and_then(Option::as_ref);
        self.cancelled.get() || around().is_some_and(|outer| outer.node.is_cancelled())
    }

    fn cancel(&self) {
        self.cancelled.set(true);
        self.cancel_members();
    }

    fn cancel_members(&self) {
        let (mut operations, mut scopes) = (Vec::new(), Vec::new());
        for (_, joined) in self.members.borrow().iter() {
            match joined {
                Joined::Operation(operation) => operations.push(operation.clone()),
                Joined::Scope(scope) => scopes.push(scope.clone()),
                Joined::Other => {}
            }
        }
        for OperationName { driver, token } in operations {
            if let Some(driver) = driver.upgrade() {
                driver.cancel_unless_it_must_happen(token);
            }
        }
        for InnerScope(node) in scopes {
            if let Some(node) = node.upgrade() {
                node.cancel_members();
            }
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut members = self.node.members.borrow_mut();
        let left = members.try_remove(self.key);
        let last = members.is_empty();
        drop(members);
        drop(left);
        if last {
            // Waking may run anybody's code, so it is done with nothing borrowed.
            let waiting = self.node.waiting.take();
            wake_all(waiting);
        }
    }
}

/// The guard of [`CancelScope::enter`]. Guards are dropped in the reverse order of their making.
pub(crate) struct InScope {
    before: Option<CancelScope>,
}

impl Drop for InScope {
    fn drop(&mut self) {
        let before = self.before.take();
        // What is replaced may be the last of its scope, and leave another one: not while this is borrowed.
        let left = CURRENT.try_with(|current| current.replace(before));
        drop(left);
    }
}

impl fmt::Debug for CancelScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelScope")
            .field("members", &self.0.members.borrow().len())
            .field("cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("key", &self.key).finish_non_exhaustive()
    }
}

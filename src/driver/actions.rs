//! What completions ask for, in their order, until it is done.

use std::task::Waker;

use super::transition::Action;

/// A queue. Not a `VecDeque`, whose push is a call: the action would be written to memory in parts and read as one, which
/// the processor cannot do before the parts have left its store buffer: a tenth of what a nop among 64 took in user space.
#[derive(Default)]
pub(super) struct Actions {
    /// None where it was taken. Emptied when all were.
    queue: Vec<Option<Action>>,
    taken: usize,
}

impl Actions {
    pub(super) fn push(&mut self, action: Action) {
        if self.queue.len() == self.queue.capacity() {
            // What was taken makes room first, so that a queue which is never empty stays as small as its content.
            self.queue.drain(..self.taken);
            self.taken = 0;
        }
        self.queue.push(Some(action));
    }

    /// As `push`, with the waker in registers all the way.
    #[inline(always)]
    pub(super) fn push_wake(&mut self, waker: Waker) {
        if self.queue.len() < self.queue.capacity() {
            self.queue.push(Some(Action::Wake(waker)));
        } else {
            self.push_growing(waker);
        }
    }

    #[cold]
    fn push_growing(&mut self, waker: Waker) {
        self.push(Action::Wake(waker));
    }

    /// The oldest action.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<Action> {
        let action = self.queue.get_mut(self.taken)?.take();
        self.taken += 1;
        if self.taken == self.queue.len() {
            self.queue.clear();
            self.taken = 0;
        }
        action
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::Token;
    use super::*;

    fn settle(index: u32) -> Action {
        Action::Settle(Token { index, generation: 1 })
    }

    #[test]
    fn actions_come_in_their_order_also_those_that_are_added_meanwhile() {
        let mut actions = Actions::default();
        let mut seen = Vec::new();
        actions.push(settle(0));
        actions.push_wake(Waker::noop().clone());
        while let Some(action) = actions.pop() {
            match action {
                Action::Settle(token) => {
                    seen.push(token.index);
                    if token.index < 3 {
                        actions.push(settle(token.index + 1));
                    }
                }
                _ => seen.push(99),
            }
        }
        assert_eq!(seen, [0, 99, 1, 2, 3]);
        assert!(actions.is_empty());
    }

    #[test]
    fn a_queue_that_is_never_empty_stays_as_small_as_its_content() {
        let mut actions = Actions::default();
        actions.push(settle(0));
        for index in 1..1000 {
            actions.push(settle(index));
            let Some(Action::Settle(token)) = actions.pop() else { panic!("one was pushed") };
            assert_eq!(token.index, index - 1);
        }
        assert!(actions.queue.capacity() < 100);
    }

    #[test]
    fn a_queue_that_was_emptied_holds_what_it_held_without_more_memory() {
        let mut actions = Actions::default();
        let fill = |actions: &mut Actions| {
            (0..10).for_each(|_| actions.push_wake(Waker::noop().clone()));
            while actions.pop().is_some() {}
            actions.queue.capacity()
        };
        let before = fill(&mut actions);
        assert_eq!((0..100).map(|_| fill(&mut actions)).max(), Some(before));
    }
}

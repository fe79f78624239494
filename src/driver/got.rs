//! What has come for an operation, in as few bytes as it takes: it lies in the operation's slot, which is to be
//! one cache line.

use std::collections::VecDeque;

use super::op::{End, UNSUBMITTED};
use super::token::Token;
use crate::ring::Cqe;
use crate::ring::abi::NOTIF_USAGE_ZC_COPIED;

/// What has come.
pub(super) enum Got {
    Nothing {
        /// Whether the future waits for the result alone, and not for what was lent.
        early: bool,
    },
    /// The result of an operation that completes once.
    Result {
        said: Said,
        early: bool,
        /// Whether the notification of a zero-copy send has come, and whether it said that there was a copy.
        notified: Option<bool>,
    },
    /// Completions of a multishot operation that nobody has taken yet.
    Shots {
        next: Option<Said>,
        /// Those behind it. Most operations never need it: their consumer keeps up.
        #[expect(
            clippy::box_collection,
            reason = "a queue in place would make every slot half as large again"
        )]
        behind: Option<Box<VecDeque<Said>>>,
    },
}

const _: () = assert!(size_of::<Got>() <= 24);

/// A completion without its `user_data`, which the slot's token says.
#[derive(Clone, Copy)]
pub(super) struct Said {
    result: i32,
    flags: u32,
    /// Whether the submission has reached the kernel.
    submitted: bool,
}

impl Said {
    pub(super) fn by(cqe: Cqe) -> Said {
        let submitted = cqe.user_data() != UNSUBMITTED;
        Said { result: cqe.raw_result(), flags: cqe.raw_flags(), submitted }
    }

    fn of(self, token: Token) -> Cqe {
        let user_data = if self.submitted { token.user_data() } else { UNSUBMITTED };
        Cqe::new(user_data, self.result, self.flags)
    }
}

/// Whether a completion is the notification of a zero-copy send that was copied after all.
pub(super) fn was_copied(cqe: Cqe) -> bool {
    cqe.notification() && cqe.raw_result() as u32 & NOTIF_USAGE_ZC_COPIED != 0
}

impl Got {
    pub(super) fn nothing(completes_often: bool) -> Got {
        if completes_often {
            Got::Shots { next: None, behind: None }
        } else {
            Got::Nothing { early: false }
        }
    }

    /// The future is polled, for the result alone or for the operation as a whole.
    pub(super) fn set_early(&mut self, is_early: bool) {
        if let Got::Nothing { early } | Got::Result { early, .. } = self {
            *early = is_early;
        }
    }

    pub(super) fn next_shot(&mut self, token: Token) -> Option<Cqe> {
        let Got::Shots { next, behind } = self else { return None };
        let said = match next.take() {
            Some(said) => said,
            None => behind.as_mut()?.pop_front()?,
        };
        Some(said.of(token))
    }

    /// A completion came. Whether who waits is to be told, even if more will come.
    #[inline]
    pub(super) fn on_cqe(&mut self, cqe: Cqe) -> bool {
        match self {
            Got::Shots { .. } => {
                self.push(Said::by(cqe));
                true
            }
            Got::Nothing { early } if !cqe.notification() => {
                // Who waits for the buffer of a zero-copy send is told when that is back.
                let early = *early;
                *self = Got::Result { said: Said::by(cqe), early, notified: None };
                early
            }
            Got::Result { notified, .. } if cqe.notification() => {
                *notified = Some(was_copied(cqe));
                false
            }
            Got::Nothing { .. } | Got::Result { .. } => false,
        }
    }

    /// Keeps a completion of a multishot operation behind those that are there; another operation's is its result.
    pub(super) fn push(&mut self, said: Said) {
        match self {
            Got::Shots { next: next @ None, behind }
                if behind.as_ref().is_none_or(|behind| behind.is_empty()) =>
            {
                *next = Some(said);
            }
            Got::Shots { behind, .. } => behind.get_or_insert_default().push_back(said),
            Got::Nothing { .. } | Got::Result { .. } => {
                *self = Got::Result { said, early: false, notified: None };
            }
        }
    }

    pub(super) fn shots(&self) -> usize {
        match self {
            Got::Shots { next, behind } => {
                usize::from(next.is_some()) + behind.as_ref().map_or(0, |behind| behind.len())
            }
            _ => 0,
        }
    }

    pub(super) fn has_result(&self) -> bool {
        matches!(self, Got::Result { .. })
    }

    /// The result of an operation that completes once.
    #[inline]
    pub(super) fn result(&self, token: Token) -> Option<Cqe> {
        match self {
            Got::Result { said, .. } => Some(said.of(token)),
            _ => None,
        }
    }

    /// Whether something has come that the future has not taken, beside its end.
    pub(super) fn is_news(&self) -> bool {
        self.shots() > 0 || matches!(self, Got::Result { early: true, .. })
    }

    /// The result of an operation that completes once, and what its notification said.
    #[inline]
    pub(super) fn end(&self, token: Token) -> End {
        let said = |copied| if copied { NOTIF_USAGE_ZC_COPIED as i32 } else { 0 };
        let notification = match self {
            Got::Result { notified, .. } => notified.map(said),
            _ => None,
        };
        // A zero-copy send whose only completion is a notification does not exist, but a panic here would be
        // worse than a made-up success of nothing.
        End { cqe: self.result(token).unwrap_or_default(), notification }
    }
}

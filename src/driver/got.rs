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
            reason = "a queue in place would make every slot two cache lines"
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
    fn from_cqe(cqe: Cqe) -> Said {
        let submitted = cqe.user_data() != UNSUBMITTED;
        Said { result: cqe.raw_result(), flags: cqe.raw_flags(), submitted }
    }

    fn into_cqe(self, token: Token) -> Cqe {
        let user_data = if self.submitted { token.user_data() } else { UNSUBMITTED };
        Cqe::new(user_data, self.result, self.flags)
    }
}

/// Whether a completion is the notification of a zero-copy send that was copied after all.
pub(super) fn was_copied(cqe: Cqe) -> bool {
    cqe.notification() && cqe.raw_result() as u32 & NOTIF_USAGE_ZC_COPIED != 0
}

/// Keeps a completion behind those that are there.
#[expect(clippy::box_collection, reason = "as in `Got::Shots`")]
fn push(said: Said, next: &mut Option<Said>, behind: &mut Option<Box<VecDeque<Said>>>) {
    if next.is_none() && behind.as_ref().is_none_or(|behind| behind.is_empty()) {
        *next = Some(said);
    } else {
        behind.get_or_insert_default().push_back(said);
    }
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
        Some(said.into_cqe(token))
    }

    /// A completion came. Whether who waits is to be told, even if more will come.
    #[inline]
    pub(super) fn on_cqe(&mut self, cqe: Cqe) -> bool {
        match self {
            Got::Shots { next, behind } => {
                push(Said::from_cqe(cqe), next, behind);
                true
            }
            Got::Nothing { early } if !cqe.notification() => {
                // Who waits for the buffer of a zero-copy send is told when that is back.
                let early = *early;
                *self = Got::Result { said: Said::from_cqe(cqe), early, notified: None };
                early
            }
            Got::Result { notified, .. } if cqe.notification() => {
                *notified = Some(was_copied(cqe));
                false
            }
            Got::Nothing { .. } | Got::Result { .. } => false,
        }
    }

    /// Keeps a completion that is the first and the last of an operation that completes once; false for any other,
    /// which changes nothing.
    #[inline]
    pub(super) fn ends_with(&mut self, cqe: Cqe) -> bool {
        let Got::Nothing { early } = *self else { return false };
        let alone = !cqe.more() && !cqe.notification();
        if alone {
            *self = Got::Result { said: Said::from_cqe(cqe), early, notified: None };
        }
        alone
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
            Got::Result { said, .. } => Some(said.into_cqe(token)),
            _ => None,
        }
    }

    /// Whether something has come that the future has not taken, beside its end.
    pub(super) fn has_news(&self) -> bool {
        self.shots() > 0 || matches!(self, Got::Result { early: true, .. })
    }

    /// The result of an operation that completes once, and what its notification said.
    ///
    /// Of one that completes many times, the queue is freed: a slot without an operation keeps none.
    #[inline]
    pub(super) fn end(&mut self, token: Token) -> End {
        let said = |copied| if copied { NOTIF_USAGE_ZC_COPIED as i32 } else { 0 };
        let notification = match self {
            Got::Result { notified, .. } => notified.map(said),
            Got::Shots { behind, .. } => {
                *behind = None;
                None
            }
            Got::Nothing { .. } => None,
        };
        // A zero-copy send whose only completion is a notification does not exist, but a panic here would be
        // worse than a made-up success of nothing.
        End { cqe: self.result(token).unwrap_or_default(), notification }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::CqeFlags;

    const TOKEN: Token = Token { index: 3, generation: 7 };

    fn shot(result: i32) -> Cqe {
        Cqe::new(TOKEN.user_data(), result, CqeFlags::MORE.bits())
    }

    fn take(got: &mut Got) -> Option<i32> {
        got.next_shot(TOKEN).map(|cqe| cqe.raw_result())
    }

    #[test]
    fn shots_are_taken_in_the_order_they_came_however_takes_and_completions_alternate() {
        let mut got = Got::nothing(true);
        (1..=3).for_each(|result| assert!(got.on_cqe(shot(result))));
        assert_eq!((take(&mut got), got.shots()), (Some(1), 2));
        got.on_cqe(shot(4));
        assert_eq!([take(&mut got), take(&mut got), take(&mut got)], [Some(2), Some(3), Some(4)]);
        assert_eq!((take(&mut got), got.shots()), (None, 0));
        got.on_cqe(shot(5));
        got.on_cqe(shot(6));
        assert_eq!([take(&mut got), take(&mut got), take(&mut got)], [Some(5), Some(6), None]);
    }

    #[test]
    fn nothing_is_left_of_a_queue_of_shots_at_the_end() {
        let mut got = Got::nothing(true);
        (1..=3).for_each(|result| assert!(got.on_cqe(shot(result))));
        assert_eq!([take(&mut got), take(&mut got), take(&mut got)], [Some(1), Some(2), Some(3)]);
        got.end(TOKEN);
        assert!(matches!(got, Got::Shots { next: None, behind: None }));
    }

    #[test]
    fn a_completion_keeps_its_name_its_buffer_and_every_flag() {
        let flags = CqeFlags::BUFFER | CqeFlags::SOCK_NONEMPTY;
        let cqe = Cqe::new(TOKEN.user_data(), 5, flags.bits() | 42 << 16);
        let mut once = Got::nothing(false);
        once.on_cqe(cqe);
        assert_eq!(once.end(TOKEN), End::from(cqe));
        assert_eq!(cqe.buffer_id(), Some(42));
        let mut often = Got::nothing(true);
        often.on_cqe(cqe);
        often.on_cqe(cqe);
        assert_eq!([often.next_shot(TOKEN), often.next_shot(TOKEN)], [Some(cqe); 2]);
    }

    #[test]
    fn what_was_never_submitted_says_so_also_of_a_multishot_operation() {
        let cqe = Cqe::new(UNSUBMITTED, -libc::ECANCELED, 0);
        let (mut once, mut often) = (Got::nothing(false), Got::nothing(true));
        once.on_cqe(cqe);
        often.on_cqe(cqe);
        assert_eq!((once.result(TOKEN), often.next_shot(TOKEN)), (Some(cqe), Some(cqe)));
    }
}

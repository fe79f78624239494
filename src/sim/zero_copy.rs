//! What follows a zero-copy send: its memory stays lent after the result, until a second completion.
//!
//! On Linux that is when the peer has acknowledged the bytes, or at once where they had to be copied after all.
//! Here a seed chooses: soon, or when the peer has read them, but after a millisecond at most, as who waits for the
//! notification before the peer reads is no deadlock on Linux. The bytes are looked at once more before it is
//! posted, so that Miri, or the comparison, finds who frees or changes them too early.

use std::time::Duration;

use super::faults::Fault;
use super::flow::Mark;
use super::op::Op;
use super::request::Request;
use super::world::World;
use crate::ring::RecvSendFlags;
use crate::sys::abi::{CqeFlags, NOTIF_USAGE_ZC_COPIED};

/// The latest that a peer lets go of the bytes.
const MAX_NOTICE_NANOS: u64 = 1_000_000;
/// As [`MAX_NOTICE_NANOS`], for a peer that is out of order.
const LATE_NOTICE_NANOS: u64 = 60_000_000_000;
/// The latest that a copy is made.
const SOON_NANOS: u64 = 1000;

/// A notification to come.
#[derive(Debug)]
pub(super) struct Notice {
    /// When the peer has come past this, it need not wait any longer.
    read: Option<Mark>,
}

impl Request {
    pub(super) fn is_zero_copy(&self) -> bool {
        matches!(self.op, Op::Send { zero_copy: true, .. })
    }

    /// When it can complete at the earliest, in virtual time.
    ///
    /// `posted` is how many completions were posted so far.
    pub(super) fn due(&self, posted: u64) -> Duration {
        let read = self.notice.as_ref().and_then(|notice| notice.read.as_ref());
        if read.is_some_and(Mark::is_passed) {
            return Duration::ZERO;
        }
        let out = self.is_settled() || self.until_posted.is_some_and(|count| posted >= count);
        if out { self.not_before } else { self.not_before.max(self.until) }
    }

    /// What the completion that is about to be posted says beside its result.
    pub(super) fn say(&mut self) -> CqeFlags {
        std::mem::replace(&mut self.said, CqeFlags::empty())
    }

    /// After its result: whether its memory stays lent, and a notification will come. So it does on Linux
    /// whatever the result is, once the submission was taken for one that can be done.
    pub(super) fn lends_on(&mut self, world: &mut World) -> bool {
        if !self.is_zero_copy() || self.notice.is_some() {
            return false;
        }
        let waits = !self.sent.is_empty() && world.random.one_in(2);
        let endpoint = self.file().and_then(|file| file.socket().ok()).and_then(|it| it.endpoint());
        let read = endpoint.filter(|_| waits).map(|endpoint| endpoint.mark());
        let late = !self.sent.is_empty() && world.strikes(Fault::LateNotice);
        let (read, most) = match (late, waits) {
            (true, _) => (None, LATE_NOTICE_NANOS),
            (false, true) => (read, MAX_NOTICE_NANOS),
            (false, false) => (read, SOON_NANOS),
        };
        self.not_before = world.now() + Duration::from_nanos(world.random.up_to(most));
        self.notice = Some(Notice { read });
        true
    }

    /// Ends the loan: the result of the notification.
    ///
    /// # Panics
    ///
    /// When the bytes are not those that were sent: they are to be left alone until the notification.
    pub(super) fn notify(&mut self, world: &mut World) -> i32 {
        let lent = self.taken.bytes(0, self.sent.len());
        assert!(
            lent.is_ok_and(|lent| lent == self.sent),
            "the bytes of a zero-copy send were changed before its notification: keep them until then"
        );
        self.said = CqeFlags::NOTIF;
        let reports = self.sqe().ioprio & RecvSendFlags::SEND_ZC_REPORT_USAGE.bits() != 0;
        // What was never sent without a copy counts as copied.
        let copied = self.sent.is_empty() || world.random.one_in(2);
        if reports && copied { NOTIF_USAGE_ZC_COPIED as i32 } else { 0 }
    }
}

//! Submissions that have to do with time.

use std::time::Duration;

use super::{Op, require};
use crate::sim::files::EPOCH_SECONDS;
use crate::sim::memory::Taken;
use crate::sys::abi::{Opcode, TimeoutFlags};

/// When time runs out.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim) enum When {
    /// So long after the request is started.
    After(Duration),
    /// At this virtual time.
    At(Duration),
}

impl When {
    /// The virtual time that it is, for who starts now.
    pub(in crate::sim) fn from(self, now: Duration) -> Duration {
        match self {
            When::After(span) => now.saturating_add(span),
            When::At(time) => time,
        }
    }
}

/// A timeout.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim) struct Timer {
    pub(in crate::sim) when: When,
    /// Of a timeout that repeats: how often yet; 0 is without end.
    pub(in crate::sim) repeats: Option<u64>,
    /// So many completions are to be posted for it to end before its time; 0 if that does not matter.
    pub(in crate::sim) completions: u64,
    /// Running out is no failure.
    pub(in crate::sim) success: bool,
}

/// A new time for a timeout.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim) struct Update {
    pub(in crate::sim) when: When,
    /// It is for a link timeout.
    pub(in crate::sim) linked: bool,
}

/// What a submission says of time.
fn when(taken: &Taken, flags: TimeoutFlags) -> Result<When, i32> {
    let time = taken.time()?;
    let (sec, nsec) = (u64::try_from(time.sec), u64::try_from(time.nsec));
    let (Ok(sec), Ok(nsec)) = (sec, nsec) else { return Err(libc::EINVAL) };
    let span = Duration::from_secs(sec).saturating_add(Duration::from_nanos(nsec));
    Ok(match flags {
        _ if !flags.contains(TimeoutFlags::ABS) => When::After(span),
        // The calendar begins long before this world does.
        _ if flags.contains(TimeoutFlags::REALTIME) => {
            When::At(span.saturating_sub(Duration::from_secs(EPOCH_SECONDS)))
        }
        _ => When::At(span),
    })
}

impl Op {
    pub(super) fn parse_timer(taken: &Taken) -> Result<Op, i32> {
        let sqe = taken.sqe();
        let flags = TimeoutFlags::from_bits(sqe.op_flags).ok_or(libc::EINVAL)?;
        require(sqe.buf == 0 && sqe.splice_fd == 0, libc::EINVAL)?;
        if Opcode(sqe.opcode) == Opcode::TIMEOUT_REMOVE {
            require(sqe.len == 0, libc::EINVAL)?;
            if !flags.intersects(TimeoutFlags::UPDATE_MASK) {
                require(flags.is_empty(), libc::EINVAL)?;
                return Ok(Op::TimeoutRemove { user_data: sqe.addr, update: None });
            }
            let known = TimeoutFlags::UPDATE_MASK | TimeoutFlags::ABS;
            require(known.contains(flags), libc::EINVAL)?;
            let linked = flags.contains(TimeoutFlags::LINK_TIMEOUT_UPDATE);
            let update = Some(Update { when: when(taken, flags)?, linked });
            return Ok(Op::TimeoutRemove { user_data: sqe.addr, update });
        }
        let known = TimeoutFlags::ABS
            | TimeoutFlags::CLOCK_MASK
            | TimeoutFlags::ETIME_SUCCESS
            | TimeoutFlags::MULTISHOT;
        require(sqe.len == 1 && known.contains(flags), libc::EINVAL)?;
        require(!flags.contains(TimeoutFlags::CLOCK_MASK), libc::EINVAL)?;
        // Only a span can repeat.
        let repeats = flags.contains(TimeoutFlags::MULTISHOT);
        require(!repeats || !flags.contains(TimeoutFlags::ABS), libc::EINVAL)?;
        let (when, success) = (when(taken, flags)?, flags.contains(TimeoutFlags::ETIME_SUCCESS));
        if Opcode(sqe.opcode) == Opcode::LINK_TIMEOUT {
            require(sqe.off == 0, libc::EINVAL)?;
            return Ok(Op::LinkTimeout { when, success, guarded: None });
        }
        let count = u64::from(sqe.off as u32);
        let completions = if repeats { 0 } else { count };
        Ok(Op::Timeout(Timer { when, repeats: repeats.then_some(count), completions, success }))
    }
}

//! The sets of flags to try, for rings that are to be as good as the kernel has them.

use crate::sys::abi::SetupFlags;

/// A set of set-up flags, and the first kernel that takes all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rung {
    /// Such as `"6.1"`.
    pub first_kernel: &'static str,
    /// `IORING_SETUP_*`.
    pub flags: SetupFlags,
}

/// The flags of every rung.
const ALWAYS: SetupFlags = SetupFlags::CLAMP.union(SetupFlags::CQSIZE);

/// Flag sets from the newest kernel to the oldest; a kernel that answers `EINVAL` gets the next one.
///
/// What they bring: `NO_SQARRAY` saves an index per entry; `DEFER_TASKRUN` runs completions when we ask for
/// them and at no other time, 30 % off an unbatched round trip; `COOP_TASKRUN` is its weaker predecessor;
/// `TASKRUN_FLAG` shows by a plain load that completions wait; `SUBMIT_ALL` goes on after a bad entry.
pub(super) const LADDER: [Rung; 6] = {
    const SINGLE: SetupFlags = SetupFlags::SINGLE_ISSUER;
    const ALL: SetupFlags = ALWAYS.union(SetupFlags::SUBMIT_ALL);
    const SHOWN: SetupFlags = ALL.union(SetupFlags::TASKRUN_FLAG);
    const DEFERRED: SetupFlags = SHOWN.union(SINGLE).union(SetupFlags::DEFER_TASKRUN);
    const COOPERATIVE: SetupFlags = SHOWN.union(SetupFlags::COOP_TASKRUN);
    [
        Rung { first_kernel: "6.6", flags: DEFERRED.union(SetupFlags::NO_SQARRAY) },
        Rung { first_kernel: "6.1", flags: DEFERRED },
        Rung { first_kernel: "6.0", flags: COOPERATIVE.union(SINGLE) },
        Rung { first_kernel: "5.19", flags: COOPERATIVE },
        Rung { first_kernel: "5.18", flags: ALL },
        Rung { first_kernel: "5.11", flags: ALWAYS },
    ]
};

/// What does not go with a submission thread.
const NOT_POLLED: SetupFlags = SetupFlags::DEFER_TASKRUN
    .union(SetupFlags::COOP_TASKRUN)
    .union(SetupFlags::TASKRUN_FLAG)
    .union(SetupFlags::SINGLE_ISSUER);

/// The flags of a rung with those that were asked for, without those that do not go with them.
pub(super) fn with_wishes(rung: Rung, wishes: SetupFlags) -> Rung {
    let mut flags = rung.flags;
    if wishes.contains(SetupFlags::SQPOLL) {
        flags -= NOT_POLLED;
    }
    Rung { flags: flags | wishes, first_kernel: newest(rung.first_kernel, since(wishes)) }
}

/// When each flag came.
const SINCE: [(SetupFlags, &str); 12] = [
    (SetupFlags::SQ_REWIND, "7.0"),
    (SetupFlags::SQE_MIXED, "6.19"),
    (SetupFlags::CQE_MIXED, "6.18"),
    (SetupFlags::HYBRID_IOPOLL, "6.13"),
    (SetupFlags::NO_SQARRAY, "6.6"),
    (SetupFlags::NO_MMAP.union(SetupFlags::REGISTERED_FD_ONLY), "6.5"),
    (SetupFlags::DEFER_TASKRUN, "6.1"),
    (SetupFlags::SINGLE_ISSUER, "6.0"),
    (
        SetupFlags::COOP_TASKRUN
            .union(SetupFlags::TASKRUN_FLAG)
            .union(SetupFlags::SQE128)
            .union(SetupFlags::CQE32),
        "5.19",
    ),
    (SetupFlags::SUBMIT_ALL, "5.18"),
    (SetupFlags::SQPOLL.union(SetupFlags::SQ_AFF), "5.13"),
    (SetupFlags::all(), "5.11"),
];

/// The first kernel that takes all of `flags`; without privileges, and none older than this crate needs.
pub(super) fn since(flags: SetupFlags) -> &'static str {
    SINCE.iter().find(|(newer, _)| flags.intersects(*newer)).map_or("5.11", |(_, since)| since)
}

/// The later of two releases.
fn newest(one: &'static str, other: &'static str) -> &'static str {
    let number = |release: &str| {
        let (major, minor) = release.split_once('.').unwrap_or((release, "0"));
        (major.parse::<u32>().unwrap_or(0), minor.parse::<u32>().unwrap_or(0))
    };
    if number(one) >= number(other) { one } else { other }
}

//! Restrictions: what a ring, or all rings of a task, may still do.

/// `struct io_uring_restriction`: one thing that is allowed or required. Linux 5.10.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Restriction {
    /// [`RestrictionOp`].
    pub opcode: u16,
    /// `register_op`, also `sqe_op`, also `sqe_flags`: what `opcode` speaks of.
    pub subject: u8,
    /// Must be zero.
    pub resv: u8,
    /// Must be zero.
    pub resv2: [u32; 3],
}

layout!(Restriction, 16, 4, { opcode @ 0, subject @ 2, resv @ 3, resv2 @ 4 });

numbers! {
    /// `IORING_RESTRICTION_*`: what a [`Restriction`] says of its subject.
    RestrictionOp: u16 {
        /// This [`RegisterOp`](super::RegisterOp) is allowed.
        REGISTER_OP = 0, "5.10";
        /// This [`Opcode`](super::Opcode) is allowed.
        SQE_OP = 1, "5.10";
        /// These [`SqeFlags`](super::SqeFlags) are allowed.
        SQE_FLAGS_ALLOWED = 2, "5.10";
        /// These [`SqeFlags`](super::SqeFlags) are required.
        SQE_FLAGS_REQUIRED = 3, "5.10";
    }
}

/// `struct io_uring_task_restriction`: the head of restrictions for all rings that this task will make,
/// registered on descriptor -1; [`Restriction`]s follow it. Linux 7.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct TaskRestriction {
    /// Must be zero.
    pub flags: u16,
    /// How many follow.
    pub nr_res: u16,
    /// Must be zero.
    pub resv: [u32; 3],
}

layout!(TaskRestriction, 16, 4, { flags @ 0, nr_res @ 2, resv @ 4 });

//! Questions to the kernel: what it knows.

/// `struct io_uring_query_hdr`: one question, which may be chained to the next. Linux 6.18.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct QueryHdr {
    /// The address of the next one, or 0.
    pub next_entry: u64,
    /// The address of the answer.
    pub query_data: u64,
    /// [`QueryOp`].
    pub query_op: u32,
    /// The length of the answer, in bytes: the room for it, and how much was written.
    pub size: u32,
    /// 0, or a negative errno.
    pub result: i32,
    /// Must be zero.
    pub resv: [u32; 3],
}

layout!(QueryHdr, 40, 8, {
    next_entry @ 0, query_data @ 8, query_op @ 16, size @ 20, result @ 24, resv @ 28,
});

numbers! {
    /// `IO_URING_QUERY_*`: what is asked.
    QueryOp: u32 {
        /// Which operations and flags there are, [`QueryOpcode`].
        OPCODES = 0, "6.18";
        /// What zero-copy receive can do, [`QueryZcrx`].
        ZCRX = 1, "6.19";
        /// What memory the rings need, [`QueryScq`].
        SCQ = 2, "6.19";
    }
}

/// `struct io_uring_query_opcode`: the answer to [`QueryOp::OPCODES`]. Linux 6.18.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct QueryOpcode {
    /// How many operations, [`Opcode`](super::Opcode).
    pub nr_request_opcodes: u32,
    /// How many register calls, [`RegisterOp`](super::RegisterOp).
    pub nr_register_opcodes: u32,
    /// [`Features`](super::Features).
    pub feature_flags: u64,
    /// [`SetupFlags`](super::SetupFlags).
    pub ring_setup_flags: u64,
    /// [`EnterFlags`](super::EnterFlags).
    pub enter_flags: u64,
    /// [`SqeFlags`](super::SqeFlags).
    pub sqe_flags: u64,
    /// How many questions, [`QueryOp`].
    pub nr_query_opcodes: u32,
    /// Zero.
    pub pad: u32,
}

layout!(QueryOpcode, 48, 8, {
    nr_request_opcodes @ 0, nr_register_opcodes @ 4, feature_flags @ 8, ring_setup_flags @ 16,
    enter_flags @ 24, sqe_flags @ 32, nr_query_opcodes @ 40, pad @ 44,
});

/// `struct io_uring_query_zcrx`: the answer to [`QueryOp::ZCRX`]. Linux 6.19.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct QueryZcrx {
    /// [`ZcrxRegFlags`](super::ZcrxRegFlags).
    pub register_flags: u64,
    /// [`ZcrxAreaFlags`](super::ZcrxAreaFlags).
    pub area_flags: u64,
    /// How many controls, [`ZcrxCtrlOp`](super::ZcrxCtrlOp).
    pub nr_ctrl_opcodes: u32,
    /// [`ZcrxFeatures`](super::ZcrxFeatures).
    pub features: u32,
    /// The size of the refill ring's head, in bytes.
    pub rq_hdr_size: u32,
    /// The alignment of the refill ring's head, in bytes.
    pub rq_hdr_alignment: u32,
    /// Zero.
    pub resv2: u64,
}

layout!(QueryZcrx, 40, 8, {
    register_flags @ 0, area_flags @ 8, nr_ctrl_opcodes @ 16, features @ 20, rq_hdr_size @ 24,
    rq_hdr_alignment @ 28, resv2 @ 32,
});

/// `struct io_uring_query_scq`: the answer to [`QueryOp::SCQ`]. Linux 6.19.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct QueryScq {
    /// The size of the rings' head, in bytes.
    pub hdr_size: u64,
    /// The alignment of the rings' head, in bytes.
    pub hdr_alignment: u64,
}

layout!(QueryScq, 16, 8, { hdr_size @ 0, hdr_alignment @ 8 });

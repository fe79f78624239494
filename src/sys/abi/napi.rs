//! Polling of network devices while waiting.

/// `struct io_uring_napi`: how to poll network devices. Linux 6.9; `opcode` and `op_param` 6.13, zero before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Napi {
    /// For how long to poll, in microseconds.
    pub busy_poll_to: u32,
    /// 1 keeps the devices' interrupts off while polling.
    pub prefer_busy_poll: u8,
    /// [`NapiOp`].
    pub opcode: u8,
    /// Must be zero.
    pub pad: [u8; 2],
    /// [`NapiTracking`] for [`NapiOp::REGISTER_OP`], the id of a receive queue for the others.
    pub op_param: u32,
    /// Must be zero.
    pub resv: u32,
}

layout!(Napi, 16, 4, {
    busy_poll_to @ 0, prefer_busy_poll @ 4, opcode @ 5, pad @ 6, op_param @ 8, resv @ 12,
});

numbers! {
    /// `IO_URING_NAPI_*`: what a [`Napi`] asks for.
    NapiOp: u8 {
        /// Begins to poll.
        REGISTER_OP = 0, "6.9";
        /// Adds a receive queue.
        STATIC_ADD_ID = 1, "6.13";
        /// Removes one.
        STATIC_DEL_ID = 2, "6.13";
    }
}

numbers! {
    /// `IO_URING_NAPI_TRACKING_*`: how the receive queues to poll are found.
    NapiTracking: u32 {
        /// By the sockets that are used.
        DYNAMIC = 0, "6.9";
        /// Those that were added by hand.
        STATIC = 1, "6.13";
        /// None: polling is off.
        INACTIVE = 255, "6.13";
    }
}

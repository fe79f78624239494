//! Flags and commands of operations on sockets.

use bitflags::bitflags;

bitflags! {
    /// `IORING_RECVSEND_*`, `IORING_RECV_*`, `IORING_SEND_*`: flags of sends and receives, in `ioprio`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct RecvSendFlags: u16 {
        /// Waits for readiness before trying. Linux 5.19.
        const POLL_FIRST = 1;
        /// `IORING_RECV_MULTISHOT`: receives again and again. Linux 6.0.
        const RECV_MULTISHOT = 1 << 1;
        /// Sends from a registered buffer; zero-copy sends only. Linux 6.0, messages 6.15.
        const FIXED_BUF = 1 << 2;
        /// `IORING_SEND_ZC_REPORT_USAGE`: the notification says whether data was copied. Linux 6.2.
        const SEND_ZC_REPORT_USAGE = 1 << 3;
        /// Uses several provided buffers in one completion; plain sends and receives only. Linux 6.10.
        const BUNDLE = 1 << 4;
        /// `IORING_SEND_VECTORIZED`: `addr` is an array of `iovec`, `len` their number. Linux 6.17.
        const SEND_VECTORIZED = 1 << 5;
    }
}

bitflags! {
    /// `IORING_ACCEPT_*`: flags of [`Opcode::ACCEPT`](super::Opcode::ACCEPT), in `ioprio`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct AcceptFlags: u16 {
        /// Accepts again and again. Linux 5.19.
        const MULTISHOT = 1;
        /// `EAGAIN` rather than waiting. Linux 6.10.
        const DONTWAIT = 1 << 1;
        /// Waits for readiness before trying. Linux 6.10.
        const POLL_FIRST = 1 << 2;
    }
}

numbers! {
    /// `SOCKET_URING_OP_*`: a command of [`Opcode::URING_CMD`](super::Opcode::URING_CMD) on a socket.
    SocketCommand: u32 {
        /// How many bytes can be received, `SIOCINQ`.
        SIOCINQ = 0, "6.4";
        /// How many bytes are not sent yet, `SIOCOUTQ`.
        SIOCOUTQ = 1, "6.4";
        /// `getsockopt(2)`, level `SOL_SOCKET` only.
        GETSOCKOPT = 2, "6.7";
        /// `setsockopt(2)`.
        SETSOCKOPT = 3, "6.7";
        /// Reports when packets were sent; on a ring with completions of 32 bytes.
        TX_TIMESTAMP = 4, "6.17";
        /// `getsockname(2)`, `getpeername(2)`.
        GETSOCKNAME = 5, "6.19";
    }
}

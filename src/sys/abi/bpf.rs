//! Filters: classic BPF programs that allow or refuse submissions.

use bitflags::bitflags;

/// `struct io_uring_bpf`: a filter to attach, the argument of
/// [`RegisterOp::REGISTER_BPF_FILTER`](super::RegisterOp::REGISTER_BPF_FILTER). Linux 7.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Bpf {
    /// [`BpfCommand`].
    pub cmd_type: u16,
    /// Must be zero.
    pub cmd_flags: u16,
    /// Must be zero.
    pub resv: u32,
    /// The filter.
    pub filter: BpfFilter,
}

layout!(Bpf, 72, 8, { cmd_type @ 0, cmd_flags @ 2, resv @ 4, filter @ 8 });

numbers! {
    /// `IO_URING_BPF_CMD_*`: what a [`Bpf`] asks for.
    BpfCommand: u16 {
        /// Attaches a filter.
        FILTER = 1, "7.0";
    }
}

/// `struct io_uring_bpf_filter`: a filter of one operation. Linux 7.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct BpfFilter {
    /// The operation, [`Opcode`](super::Opcode).
    pub opcode: u32,
    /// [`BpfFilterFlags`].
    pub flags: u32,
    /// How many instructions.
    pub filter_len: u32,
    /// The size of the operation's part of [`BpfCtx`] that the filter was written for, in bytes.
    pub pdu_size: u8,
    /// Must be zero.
    pub resv: [u8; 3],
    /// The address of the instructions, `struct sock_filter`.
    pub filter_ptr: u64,
    /// Must be zero.
    pub resv2: [u64; 5],
}

layout!(BpfFilter, 64, 8, {
    opcode @ 0, flags @ 4, filter_len @ 8, pdu_size @ 12, resv @ 13, filter_ptr @ 16, resv2 @ 24,
});

bitflags! {
    /// `IO_URING_BPF_FILTER_*`: how a filter is attached.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct BpfFilterFlags: u32 {
        /// Refuses all operations that have no filter. Linux 7.0.
        const DENY_REST = 1;
        /// Refuses the filter if the kernel's size differs from `pdu_size`. Linux 7.0.
        const SZ_STRICT = 1 << 1;
    }
}

/// `struct io_uring_bpf_ctx`: what a filter reads. Linux 7.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct BpfCtx {
    /// The submission's `user_data`.
    pub user_data: u64,
    /// Its operation, [`Opcode`](super::Opcode).
    pub opcode: u8,
    /// Its [`SqeFlags`](super::SqeFlags).
    pub sqe_flags: u8,
    /// How many bytes of `pdu` are filled.
    pub pdu_size: u8,
    /// Zero.
    pub pad: [u8; 5],
    /// What the operation adds: [`BpfSocket`] or [`BpfOpen`].
    pub pdu: [u64; 3],
}

layout!(BpfCtx, 40, 8, { user_data @ 0, opcode @ 8, sqe_flags @ 9, pdu_size @ 10, pad @ 11, pdu @ 16 });

/// The `socket` part of [`BpfCtx`], at its byte 16: the arguments of `socket(2)`. Linux 7.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct BpfSocket {
    /// The address family.
    pub family: u32,
    /// The socket's type.
    pub kind: u32,
    /// The protocol.
    pub protocol: u32,
}

layout!(BpfSocket, 12, 4, { family @ 0, kind @ 4, protocol @ 8 });

/// The `open` part of [`BpfCtx`], at its byte 16: the arguments of `openat2(2)`. Linux 7.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct BpfOpen {
    /// `O_*`.
    pub flags: u64,
    /// The permissions of a new file.
    pub mode: u64,
    /// `RESOLVE_*`.
    pub resolve: u64,
}

layout!(BpfOpen, 24, 8, { flags @ 0, mode @ 8, resolve @ 16 });

//! What can be asked of a submission whatever its operation, and of families of operations.

use super::file::transfer_len;
use super::{Entry, MultiSqe, Sqe, Sqe128};
use crate::ring::{BufGroup, PersonalityId};
use crate::sys::abi::{AcceptFlags, Opcode, RecvSendFlags, RwFlags, SqeFlags};

/// The methods that all kinds of submission have.
macro_rules! common {
    ($name:ident) => {
        impl<'a> $name<'a> {
            /// Has the next submission start only after this one has succeeded (`IOSQE_IO_LINK`, Linux
            /// 5.3). A failure, or fewer bytes than asked for, cancels the rest of the chain (`ECANCELED`).
            ///
            /// A chain also ends with the call that submits it, so all of it must be
            /// [reserved](crate::ring::Ring::reserve) beforehand.
            pub fn link(self) -> $name<'a> {
                self.flag(SqeFlags::IO_LINK)
            }

            /// Has the next submission start only after this one is done, whatever its result
            /// (`IOSQE_IO_HARDLINK`, Linux 5.5).
            pub fn hardlink(self) -> $name<'a> {
                self.flag(SqeFlags::IO_HARDLINK)
            }

            /// Starts this one after all earlier ones, and all later ones after it (`IOSQE_IO_DRAIN`, Linux
            /// 5.2). Once a ring has seen [`Sqe::skip_success`], drains fail with `EOPNOTSUPP`.
            pub fn drain(self) -> $name<'a> {
                self.flag(SqeFlags::IO_DRAIN)
            }

            /// Goes to a worker thread at once (`IOSQE_ASYNC`, Linux 5.6). The kernel then takes it for one that may
            /// block for ever, also on a regular file, which it has not looked at yet (measured on Linux 6.18): see
            /// [`WorkerLimits`](crate::ring::WorkerLimits).
            pub fn asynchronous(self) -> $name<'a> {
                self.flag(SqeFlags::ASYNC)
            }

            /// Works with registered credentials in place of the thread's (Linux 5.6).
            pub fn personality(mut self, personality: PersonalityId) -> $name<'a> {
                self.entry = self.entry.personality(personality);
                self
            }

            /// What the completion will carry.
            pub fn user_data(mut self, user_data: u64) -> $name<'a> {
                self.entry = self.entry.user_data(user_data);
                self
            }

            fn flag(mut self, flag: SqeFlags) -> $name<'a> {
                self.entry = self.entry.flag(flag);
                self
            }
        }
    };
}

common!(Sqe);
common!(MultiSqe);
common!(Sqe128);

/// The methods of submissions that may use provided buffers.
macro_rules! selecting {
    ($name:ident) => {
        impl<'a> $name<'a> {
            /// Takes its buffer from a group when there is data for it, in place of memory of its own
            /// (`IOSQE_BUFFER_SELECT`, Linux 5.7); the completion names it
            /// ([`Cqe::buffer_id`](crate::ring::Cqe::buffer_id)). The result is `ENOBUFS` when the group is
            /// empty, and `EOPNOTSUPP` where the operation knows nothing of groups. `MSG_TRUNC` is left out of
            /// a receive's flags.
            pub fn buffer_group(mut self, group: BufGroup) -> $name<'a> {
                self.entry = self.entry.flag(SqeFlags::BUFFER_SELECT).names(group.ring());
                self.entry.sqe.buf = group.id();
                if matches!(Opcode(self.entry.sqe.opcode), Opcode::RECV | Opcode::RECVMSG) {
                    // The result would be the length of the message, not of what is in the buffer: more than
                    // that has looks like a bundle, whose other buffers the kernel still has.
                    self.entry.sqe.op_flags &= !(libc::MSG_TRUNC as u32);
                }
                self
            }

            /// Waits for readiness before trying, which saves a failing attempt where none is to be
            /// expected (`IORING_RECVSEND_POLL_FIRST`, Linux 5.19; `IORING_ACCEPT_POLL_FIRST`, Linux 6.10).
            ///
            /// # Panics
            ///
            /// For anything but a send, a receive or an accept.
            #[track_caller]
            pub fn poll_first(mut self) -> $name<'a> {
                let opcode = Opcode(self.entry.sqe.opcode);
                self.entry
                    .only(opcode == Opcode::ACCEPT || sends_or_receives(opcode), "poll_first");
                self.entry.sqe.ioprio |= match opcode {
                    Opcode::ACCEPT => AcceptFlags::POLL_FIRST.bits(),
                    _ => RecvSendFlags::POLL_FIRST.bits(),
                };
                self
            }

            /// Uses several buffers of the group for one completion, in the order of the ring
            /// (`IORING_RECVSEND_BUNDLE`, Linux 6.10). The result counts the bytes of all of them, and the
            /// id is that of the first.
            ///
            /// # Panics
            ///
            /// For anything but a send or receive with a [group](Self::buffer_group).
            #[track_caller]
            pub fn bundle(mut self) -> $name<'a> {
                let opcode = Opcode(self.entry.sqe.opcode);
                let selects = self.entry.sqe.flags & SqeFlags::BUFFER_SELECT.bits() != 0;
                self.entry.only(selects && matches!(opcode, Opcode::SEND | Opcode::RECV), "bundle");
                self.entry.sqe.ioprio |= RecvSendFlags::BUNDLE.bits();
                self
            }
        }
    };
}

selecting!(Sqe);
selecting!(MultiSqe);

impl<'a> Sqe<'a> {
    /// Posts no completion unless it fails (`IOSQE_CQE_SKIP_SUCCESS`, Linux 5.17). Not for a submission that
    /// lends memory: without its completion nobody knows when that memory is free again. Zero-copy sends
    /// refuse it (`EINVAL`).
    ///
    /// What some operations report is no failure to the kernel, and is hidden too: on Linux 6.18 a failed
    /// fsync is an example. Neither does it break a [link](Sqe::link).
    pub fn skip_success(self) -> Sqe<'a> {
        self.flag(SqeFlags::CQE_SKIP_SUCCESS)
    }

    /// Flags of a read or write, `preadv2(2)`.
    ///
    /// # Panics
    ///
    /// For anything but a read or write of a file.
    #[track_caller]
    pub fn rw_flags(mut self, flags: RwFlags) -> Sqe<'a> {
        self.entry.only(reads_or_writes(Opcode(self.entry.sqe.opcode)), "rw_flags");
        self.entry.sqe.op_flags = flags.bits();
        self
    }

    /// The I/O priority of a read or write, `ioprio_set(2)` (Linux 5.1). A wrong one is `EINVAL`.
    ///
    /// # Panics
    ///
    /// For anything but a read or write of a file: sends, receives and accepts keep flags in this word, and
    /// all others refuse it.
    #[track_caller]
    pub fn ioprio(mut self, priority: u16) -> Sqe<'a> {
        self.entry.only(reads_or_writes(Opcode(self.entry.sqe.opcode)), "ioprio");
        self.entry.sqe.ioprio = priority;
        self
    }

    /// Has an accept fail with `EAGAIN` rather than wait (`IORING_ACCEPT_DONTWAIT`, Linux 6.10). For sends
    /// and receives `MSG_DONTWAIT` does that, for reads and writes [`RwFlags::NOWAIT`].
    ///
    /// # Panics
    ///
    /// For anything but an accept.
    #[track_caller]
    pub fn dont_wait(mut self) -> Sqe<'a> {
        self.entry.only(self.entry.sqe.opcode == Opcode::ACCEPT.0, "dont_wait");
        self.entry.sqe.ioprio |= AcceptFlags::DONTWAIT.bits();
        self
    }

    /// Has the notification of a zero-copy send say whether the data was copied after all
    /// (`IORING_SEND_ZC_REPORT_USAGE`, Linux 6.2): then its raw result has the bit
    /// [`NOTIF_USAGE_ZC_COPIED`](crate::ring::abi::NOTIF_USAGE_ZC_COPIED).
    ///
    /// # Panics
    ///
    /// For anything but a zero-copy send.
    #[track_caller]
    pub fn report_usage(mut self) -> Sqe<'a> {
        let opcode = Opcode(self.entry.sqe.opcode);
        self.entry.only(matches!(opcode, Opcode::SEND_ZC | Opcode::SENDMSG_ZC), "report_usage");
        self.entry.sqe.ioprio |= RecvSendFlags::SEND_ZC_REPORT_USAGE.bits();
        self
    }
}

impl<'a> MultiSqe<'a> {
    /// Limits a multishot receive: `each_bytes` for a single completion (Linux 6.10; before, anything but 0
    /// is `EINVAL`; cut at 2 GiB), `total_bytes` for all of them, after which it ends (Linux 6.17). 0 is no limit.
    ///
    /// # Panics
    ///
    /// For anything but [`MultiSqe::recv`].
    #[track_caller]
    pub fn limits(mut self, each_bytes: u32, total_bytes: u32) -> MultiSqe<'a> {
        self.entry.only(self.entry.sqe.opcode == Opcode::RECV.0, "limits");
        self.entry.sqe.len = transfer_len(each_bytes as usize);
        self.entry.sqe.splice_fd = total_bytes;
        self
    }
}

impl Entry {
    /// Stops who asks for something that this operation would take for something else.
    #[track_caller]
    fn only(&self, fits: bool, what: &str) {
        let opcode = Opcode(self.sqe.opcode);
        assert!(fits, "{opcode:?} takes no `{what}`: leave it out");
    }
}

fn reads_or_writes(opcode: Opcode) -> bool {
    matches!(
        opcode,
        Opcode::READ
            | Opcode::WRITE
            | Opcode::READV
            | Opcode::WRITEV
            | Opcode::READ_FIXED
            | Opcode::WRITE_FIXED
            | Opcode::READV_FIXED
            | Opcode::WRITEV_FIXED
    )
}

fn sends_or_receives(opcode: Opcode) -> bool {
    matches!(
        opcode,
        Opcode::SEND
            | Opcode::RECV
            | Opcode::SENDMSG
            | Opcode::RECVMSG
            | Opcode::SEND_ZC
            | Opcode::SENDMSG_ZC
            | Opcode::RECV_ZC
    )
}

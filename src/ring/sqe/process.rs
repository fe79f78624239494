//! Waiting for child processes.

use std::os::fd::{AsRawFd, BorrowedFd};

use super::{Entry, Sqe, written_to};
use crate::sys::abi::{Opcode, RawSqe};

/// Which children to wait for, `waitid(2)`. Linux 6.7.
#[derive(Clone, Copy, Debug)]
pub enum ChildId<'a> {
    /// Any child (`P_ALL`).
    Any,
    /// The child with this process id (`P_PID`).
    Pid(u32),
    /// Any child of this process group (`P_PGID`); 0 is the caller's.
    Group(u32),
    /// The child that a descriptor of `pidfd_open(2)` stands for (`P_PIDFD`).
    PidFd(BorrowedFd<'a>),
}

/// Where the words of a child's end lie in a `siginfo_t`: behind three words, where a pointer may lie.
const CHILD_OFFSET: usize = 12_usize.next_multiple_of(align_of::<usize>());

/// `siginfo_t` as `waitid(2)` fills it: what became of a child. 128 bytes. Linux 6.7.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ChildInfo {
    signal: i32,
    errno: i32,
    code: i32,
    child: Child,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Child {
    _aligned: [usize; 0],
    pid: i32,
    uid: u32,
    status: i32,
    rest: [u8; 128 - CHILD_OFFSET - 12],
}

const _: () = {
    assert!(size_of::<ChildInfo>() == 128 && size_of::<libc::siginfo_t>() == 128);
    assert!(std::mem::offset_of!(ChildInfo, child) == CHILD_OFFSET);
};

impl Default for ChildInfo {
    fn default() -> ChildInfo {
        let rest = [0; 128 - CHILD_OFFSET - 12];
        let child = Child { _aligned: [], pid: 0, uid: 0, status: 0, rest };
        ChildInfo { signal: 0, errno: 0, code: 0, child }
    }
}

impl ChildInfo {
    /// The child's process id; 0 when there was nothing to report (with `WNOHANG`).
    pub fn pid(&self) -> i32 {
        self.child.pid
    }

    /// The child's real user id.
    pub fn uid(&self) -> u32 {
        self.child.uid
    }

    /// What happened, `CLD_*`: `CLD_EXITED`, `CLD_KILLED` and so on.
    pub fn code(&self) -> i32 {
        self.code
    }

    /// The exit code, or the signal.
    pub fn status(&self) -> i32 {
        self.child.status
    }
}

impl<'a> Sqe<'a> {
    /// Waits for a child to change; `options` is `WEXITED`, `WSTOPPED` and so on, `info` gets what happened.
    /// `waitid(2)`, Linux 6.7.
    pub fn wait_id(which: ChildId<'a>, info: Option<&'a mut ChildInfo>, options: i32) -> Sqe<'a> {
        let (kind, id) = match which {
            ChildId::Any => (libc::P_ALL, 0),
            ChildId::Pid(pid) => (libc::P_PID, pid as i32),
            ChildId::Group(group) => (libc::P_PGID, group as i32),
            ChildId::PidFd(fd) => (libc::P_PIDFD, fd.as_raw_fd()),
        };
        let fields = RawSqe {
            len: kind,
            off: info.map_or(0, written_to),
            splice_fd: options as u32,
            ..RawSqe::default()
        };
        Sqe::new(Entry::with_fd(Opcode::WAITID, id, fields))
    }
}

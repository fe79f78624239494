//! Bytes through pipes and sockets, with memory of one's own and of groups.

use uring::ring::Sqe;

use super::Step;
use super::machine::{Done, Machine};

const SEND: [i32; 3] = [0, libc::MSG_DONTWAIT, libc::MSG_WAITALL];
const RECV: [i32; 5] =
    [0, libc::MSG_DONTWAIT, libc::MSG_PEEK, libc::MSG_PEEK | libc::MSG_DONTWAIT, libc::MSG_WAITALL];

pub(crate) fn play(machine: &mut Machine, step: Step) -> String {
    let Step { kind, a, b, c, n } = step;
    match kind % 14 {
        0 | 1 => {
            machine.pair(b);
            format!("pair {}", b % 3)
        }
        2 | 3 => {
            let (bytes, flags) = (pattern(n, 40), SEND[usize::from(b) % SEND.len()]);
            let done = machine.try_to(Sqe::send(machine.target(a), &bytes, flags));
            format!("send {} {} {flags}: {}", a % 6, bytes.len(), done.words())
        }
        4 => {
            let bytes = pattern(n, 40);
            let done = machine.try_to(Sqe::write(machine.target(a), &bytes, None));
            format!("write {} {}: {}", a % 6, bytes.len(), done.words())
        }
        5 | 6 => {
            let flags = RECV[usize::from(b) % RECV.len()];
            format!("recv {} {}", a % 6, machine.recv(a, n, flags))
        }
        7 => format!("read {} {}", a % 6, machine.read(a, n)),
        8 => {
            // What comes for a TCP socket that does not listen is listed.
            let how = if machine.is_tcp(a) { libc::SHUT_WR } else { i32::from(b % 4) };
            let done = machine.run(Sqe::shutdown(machine.target(a), how));
            format!("shutdown {} {how}: {}", a % 6, done.words())
        }
        // What the other side finds out about it, and when, is listed.
        9 if machine.is_tcp(a) => String::new(),
        9 => {
            let old = machine.take(a);
            format!("close {}: {}", a % 6, machine.run(Sqe::close(old)).words())
        }
        10 | 11 => {
            let limit = u32::from(c) % 20;
            let (target, group) = (machine.target(a), machine.buffers.group());
            let sqe = match b % 4 {
                0 => Sqe::read_provided(target, group, limit, None),
                1 => Sqe::recv_provided(target, group, limit, 0),
                _ => Sqe::recv_provided(target, group, limit, libc::MSG_DONTWAIT),
            };
            let done = machine.try_to(sqe);
            let bytes = taken(machine, &done);
            format!("provided {} {} {limit}: {} {bytes:?}", a % 6, b % 4, done.words())
        }
        12 => {
            let (bytes, flags) = (pattern(n, 40), SEND[usize::from(b) % SEND.len()]);
            let done = machine.try_to(Sqe::send_zc(machine.target(a), &bytes, flags));
            format!("send zc {} {} {flags}: {}", a % 6, bytes.len(), done.words())
        }
        _ => {
            let asked = [libc::POLLIN, libc::POLLOUT, libc::POLLRDHUP][usize::from(b) % 3] as u32;
            let done = machine.try_to(Sqe::poll(machine.target(a), asked));
            format!("poll {} {asked:#x}: {}", a % 6, done.words())
        }
    }
}

/// Up to so many bytes, none like the next.
pub(crate) fn pattern(n: u16, most: u16) -> Vec<u8> {
    (0..n % most).map(|at| at.wrapping_add(n) as u8).collect()
}

/// What came in provided buffers, which go back.
pub(crate) fn taken(machine: &Machine, done: &Done) -> Vec<u8> {
    let mut bytes = Vec::new();
    for &cqe in &done.0 {
        // SAFETY: a completion of a request that selected from this group, passed once and in order.
        if let Ok(leases) = unsafe { machine.buffers.take(cqe) } {
            leases.for_each(|lease| bytes.extend_from_slice(&lease));
        }
    }
    bytes
}

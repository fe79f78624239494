//! Datagrams over the loopback network and between unix sockets.

use std::net::SocketAddr;

use uring::ring::{Address, Sqe};

use super::Step;
use super::machine::Machine;
use super::streams::{pattern, taken};

const RECV: [i32; 6] = [
    0,
    libc::MSG_DONTWAIT,
    libc::MSG_PEEK | libc::MSG_DONTWAIT,
    libc::MSG_TRUNC,
    libc::MSG_TRUNC | libc::MSG_PEEK,
    libc::MSG_WAITALL,
];

/// A network of its own for each process: nobody else binds addresses of it.
fn address(which: u8) -> SocketAddr {
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    ([127, 200, high, low], 20_000 + u16::from(which % 3)).into()
}

/// Some bytes, sometimes more than fit into a datagram.
fn message(n: u16) -> Vec<u8> {
    match n % 16 {
        0 => vec![1; [65_507, 65_508, 65_536, 212_960, 212_961][usize::from(n / 16) % 5]],
        _ => pattern(n, 40),
    }
}

pub(crate) fn play(machine: &mut Machine, step: Step) -> String {
    let Step { kind, b, c, n, .. } = step;
    let a = machine.open(step.a);
    let name = a % 6;
    match kind % 20 {
        0 => {
            let protocol = [0, libc::IPPROTO_UDP, libc::IPPROTO_TCP][usize::from(b) % 3];
            let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
            let done = machine.run(Sqe::socket(libc::AF_INET, kind, protocol));
            format!("socket {protocol}: {}", machine.opened(&done))
        }
        1 | 2 => {
            let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
            let done = machine.run(Sqe::socket(libc::AF_INET, kind, 0));
            machine.opened(&done);
            bind(machine, machine.newest(), b)
        }
        3 => {
            machine.datagram_pair();
            "pair".to_owned()
        }
        // What a unix socket may be bound and connected to is listed.
        4..=6 if machine.is_unix(a) => String::new(),
        4 => bind(machine, a, b),
        5 | 6 => {
            let at = Address::from(address(b));
            let done = machine.run(Sqe::connect(machine.target(a), &at));
            format!("connect {name} {}: {}", b % 3, done.words())
        }
        7 | 8 => {
            let bytes = message(n);
            let flags = [0, libc::MSG_DONTWAIT, libc::MSG_WAITALL][usize::from(b) % 3];
            let done = machine.try_to(Sqe::send(machine.target(a), &bytes, flags));
            format!("send {name} {} {flags}: {}", bytes.len(), done.words())
        }
        9 | 10 => {
            let (bytes, to) = (message(n), Address::from(address(b)));
            let done = machine.try_to(Sqe::send_to(machine.target(a), &bytes, 0, &to));
            format!("send {name} {} to {}: {}", bytes.len(), b % 3, done.words())
        }
        11 | 12 => {
            let flags = RECV[usize::from(b) % RECV.len()];
            format!("recv {name} {}", machine.recv(a, n, flags))
        }
        13 => format!("read {name} {}", machine.read(a, n)),
        14 => {
            let bytes = pattern(n, 40);
            let done = machine.try_to(Sqe::write(machine.target(a), &bytes, None));
            format!("write {name} {}: {}", bytes.len(), done.words())
        }
        15 => {
            let how = i32::from(b % 4);
            let done = machine.run(Sqe::shutdown(machine.target(a), how));
            format!("shutdown {name} {how}: {}", done.words())
        }
        16 => {
            let old = machine.take(a);
            format!("close {name}: {}", machine.run(Sqe::close(old)).words())
        }
        17 => {
            let limit = u32::from(c) % 20;
            let (target, group) = (machine.target(a), machine.buffers.group());
            let flags = [0, libc::MSG_DONTWAIT, libc::MSG_TRUNC][usize::from(b) % 3];
            let sqe = Sqe::recv_provided(target, group, limit, flags);
            let done = machine.try_to(sqe);
            let bytes = taken(machine, &done);
            format!("provided {name} {flags} {limit}: {} {bytes:?}", done.words())
        }
        18 => {
            let (bytes, to) = (pattern(n, 40), Address::from(address(c)));
            let target = machine.target(a);
            let done = machine.try_to(match b % 2 {
                0 => Sqe::send_zc(target, &bytes, 0),
                _ => Sqe::send_zc_to(target, &bytes, 0, &to),
            });
            format!("send zc {name} {} {} {}: {}", bytes.len(), b % 2, c % 3, done.words())
        }
        _ => other(machine, Step { a, ..step }),
    }
}

fn bind(machine: &mut Machine, which: u8, to: u8) -> String {
    let at = Address::from(address(to));
    let done = machine.run(Sqe::bind(machine.target(which), &at));
    format!("bind {} {}: {}", which % 6, to % 3, done.words())
}

/// What waits for datagrams, and what they know nothing of.
fn other(machine: &mut Machine, Step { a, b, .. }: Step) -> String {
    let target = machine.target(a);
    let (what, sqe) = match b % 5 {
        0 => ("listen", Sqe::listen(target, 4)),
        1 => ("accept", Sqe::accept(target, None, libc::SOCK_CLOEXEC)),
        2 => ("poll in", Sqe::poll(target, libc::POLLIN as u32)),
        3 => ("poll out", Sqe::poll(target, libc::POLLOUT as u32)),
        _ => ("poll hup", Sqe::poll(target, libc::POLLRDHUP as u32)),
    };
    let done = machine.try_to(sqe);
    format!("{what} {}: {}", a % 6, done.words())
}

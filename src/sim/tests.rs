//! The simulation, used through a ring and through the table of descriptors.

use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::Sim;
use crate::ring::{Cqe, Ring, Setup, Sqe, Target};

mod cancels;
mod chains;
mod connections;
mod datagrams;
mod direct;
mod faults;
mod files;
mod messages;
mod names;
mod polls;
mod provided;
mod time;
mod timeouts;
mod transfers;
mod zero_copy;

/// The seeds of a test that is to hold for each: a quarter of them under Miri, which takes a second for one.
fn seeds(count: u64) -> Range<u64> {
    0..if cfg!(miri) { count.div_ceil(4).max(2) } else { count }
}

/// A ring in a new world.
fn machine(seed: u64) -> (Sim, Ring) {
    let sim = Sim::new(seed);
    let ring = Setup::new(32).build_on(sim.kernel()).expect("a ring");
    (sim, ring)
}

fn borrow<'a>(number: RawFd) -> BorrowedFd<'a> {
    // SAFETY: virtual numbers are never open in Linux, and a number that is not open in the simulation is
    // answered with an error.
    unsafe { BorrowedFd::borrow_raw(number) }
}

fn target<'a>(number: RawFd) -> Target<'a> {
    borrow(number).into()
}

/// A number as `Sqe::close` takes it, which takes it apart again at once.
fn owned(number: RawFd) -> OwnedFd {
    // SAFETY: each test closes its numbers once, and never as Linux descriptors.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Submits and waits for all of them: completions as (user_data, result), in their order.
fn complete_all(ring: &mut Ring, sqes: Vec<Sqe<'_>>) -> Vec<(u64, i32)> {
    let count = sqes.len();
    for sqe in sqes {
        // SAFETY: each is waited for below, while what it borrows is still borrowed.
        unsafe { ring.push(sqe.into_raw()) }.expect("space");
    }
    wait_for(ring, count)
}

/// Waits for so many completions.
fn wait_for(ring: &mut Ring, count: usize) -> Vec<(u64, i32)> {
    let mut done = Vec::new();
    while done.len() < count {
        ring.submit_and_wait(1, None).expect("enter");
        done.extend(reap(ring).iter().map(|cqe| (cqe.user_data(), cqe.raw_result())));
    }
    assert_eq!(done.len(), count, "more completions than requests: {done:?}");
    done
}

/// The completions that are there.
fn reap(ring: &mut Ring) -> Vec<Cqe> {
    let mut cqes = [Cqe::default(); 64];
    let count = ring.copy_cqes(&mut cqes);
    cqes[..count].to_vec()
}

/// Enters without waiting until the kernel announces nothing more.
fn settle(ring: &mut Ring) -> Vec<(u64, i32)> {
    let mut done = Vec::new();
    loop {
        ring.submit_and_wait(0, None).expect("enter");
        done.extend(reap(ring).iter().map(|cqe| (cqe.user_data(), cqe.raw_result())));
        if !ring.needs_enter() {
            return done;
        }
    }
}

/// Submits one, and waits for its result.
fn complete(ring: &mut Ring, sqe: Sqe<'_>) -> i32 {
    complete_all(ring, vec![sqe])[0].1
}

/// Opens a descriptor; the result must not be an error.
fn open(ring: &mut Ring, path: &std::ffi::CStr, flags: i32) -> RawFd {
    let at = crate::ring::At::WorkingDirectory;
    let number = complete(ring, Sqe::open_at(at, path, flags, 0o644));
    assert!(number > 0, "open: {number}");
    number
}

fn write(ring: &mut Ring, number: RawFd, bytes: &[u8], offset: Option<u64>) -> i32 {
    complete(ring, Sqe::write(target(number), bytes, offset))
}

fn send(ring: &mut Ring, number: RawFd, bytes: &[u8], flags: i32) -> i32 {
    complete(ring, Sqe::send(target(number), bytes, flags))
}

fn read(ring: &mut Ring, number: RawFd, room: usize, offset: Option<u64>) -> Result<Vec<u8>, i32> {
    let mut buffer = Vec::with_capacity(room);
    let result =
        complete(ring, Sqe::read(target(number), &mut buffer.spare_capacity_mut()[..room], offset));
    filled(buffer, result)
}

fn recv(ring: &mut Ring, number: RawFd, room: usize, flags: i32) -> Result<Vec<u8>, i32> {
    let mut buffer = Vec::with_capacity(room);
    let result =
        complete(ring, Sqe::recv(target(number), &mut buffer.spare_capacity_mut()[..room], flags));
    filled(buffer, result)
}

/// A buffer of which so many bytes were filled by the kernel, or its errno.
fn filled(mut buffer: Vec<u8>, result: i32) -> Result<Vec<u8>, i32> {
    let len = usize::try_from(result).map_err(|_| -result)?;
    // SAFETY: the kernel says that it filled so many bytes at the front; Miri would find it lying.
    unsafe { buffer.set_len(len) };
    Ok(buffer)
}

fn close(ring: &mut Ring, number: RawFd) -> i32 {
    complete(ring, Sqe::close(owned(number)))
}

fn shutdown(ring: &mut Ring, number: RawFd, how: i32) -> i32 {
    complete(ring, Sqe::shutdown(target(number), how))
}

fn socket(ring: &mut Ring) -> RawFd {
    let number = complete(ring, Sqe::socket(libc::AF_INET, libc::SOCK_STREAM, 0));
    assert!(number > 0, "socket: {number}");
    number
}

/// A socket that listens on a free port, and its address.
fn listener(sim: &Sim, ring: &mut Ring, backlog: i32) -> (RawFd, SocketAddr) {
    let number = socket(ring);
    sim._table.bind(number, "127.0.0.1:0".parse().expect("address")).expect("bind");
    sim._table.listen(number, backlog).expect("listen");
    (number, sim._table.local_addr(number).expect("address"))
}

/// A connection over a listener that is closed again: the client's side and the server's.
fn connection(sim: &Sim, ring: &mut Ring) -> (RawFd, RawFd) {
    let (listening, address) = listener(sim, ring, 1);
    let client = socket(ring);
    let connect = complete(ring, Sqe::connect(target(client), &address.into()));
    assert_eq!(connect, 0);
    let server = complete(ring, Sqe::accept(target(listening), None, 0));
    assert!(server > 0, "accept: {server}");
    assert_eq!(close(ring, listening), 0);
    (client, server)
}

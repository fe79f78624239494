//! What must not compile, and what the compiler then says: each program of `tests/ui` with the message that is
//! written beside it.
#![cfg(not(miri))] // It runs the compiler.

use std::process::Command;
use std::rc::Rc;

use runtime_tests::skipped;
use uring::op::{InFlight, Nop, PollMulti, Shots};
use uring::task::{AbortHandle, JoinHandle};
use uring::{Runtime, fd::Fd, fs::File, net, pool, ring, time};

/// The messages are worded by the compiler, and differ from one version to the next. After a change on purpose,
/// `TRYBUILD=overwrite cargo test -p runtime-tests --test contracts` writes them anew, to be read before they
/// are committed.
const COMPILER: &str = "rustc 1.95.";

#[test]
fn what_would_be_unsound_or_senseless_does_not_compile_and_the_message_helps() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = match Command::new(rustc).arg("--version").output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(_) => return skipped("there is no compiler on this machine"),
    };
    if !version.starts_with(COMPILER) || version.contains("nightly") {
        let version = version.trim_end();
        return skipped(format!("the messages are those of {COMPILER}x, and this is {version}"));
    }
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}

/// Has one implementation for every type, and another one for what is `Send`: the question which one is meant
/// has no answer for a type that is, so this file would not compile.
trait StaysOnItsThread<Which> {
    fn stays() {}
}

impl<T: ?Sized> StaysOnItsThread<()> for T {}
impl<T: ?Sized + Send> StaysOnItsThread<u8> for T {}

#[test]
fn what_belongs_to_a_runtime_stays_on_its_thread() {
    <Runtime as StaysOnItsThread<_>>::stays();
    <InFlight<Nop> as StaysOnItsThread<_>>::stays();
    <Shots<PollMulti> as StaysOnItsThread<_>>::stays();
    <JoinHandle<()> as StaysOnItsThread<_>>::stays();
    <AbortHandle as StaysOnItsThread<_>>::stays();
    <Fd as StaysOnItsThread<_>>::stays();
    <File as StaysOnItsThread<_>>::stays();
    <net::TcpStream as StaysOnItsThread<_>>::stays();
    <net::TcpListener as StaysOnItsThread<_>>::stays();
    <pool::BufPool as StaysOnItsThread<_>>::stays();
    <pool::Leased as StaysOnItsThread<_>>::stays();
    <time::Sleep as StaysOnItsThread<_>>::stays();
}

#[test]
fn what_belongs_to_a_ring_stays_on_its_thread() {
    <ring::Ring as StaysOnItsThread<_>>::stays();
    <ring::Files as StaysOnItsThread<_>>::stays();
    <ring::Buffers as StaysOnItsThread<_>>::stays();
    <ring::Eventfd as StaysOnItsThread<_>>::stays();
    <ring::Personality as StaysOnItsThread<_>>::stays();
    <ring::WorkerAffinity as StaysOnItsThread<_>>::stays();
    <ring::RegisteredRingFd as StaysOnItsThread<_>>::stays();
    <ring::Region as StaysOnItsThread<_>>::stays();
    <ring::ZcrxQueue as StaysOnItsThread<_>>::stays();
    <ring::BufRing as StaysOnItsThread<_>>::stays();
    <ring::ClassicBuffers as StaysOnItsThread<_>>::stays();
    <ring::Lease as StaysOnItsThread<_>>::stays();
    <ring::Leases as StaysOnItsThread<_>>::stays();
    <Rc<ring::RingMemory> as StaysOnItsThread<_>>::stays();
}

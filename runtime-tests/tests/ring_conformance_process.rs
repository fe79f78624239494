//! The end of a process with a submission thread: in a program of its own, as a child has copies of all
//! descriptors that the tests beside it have open.
#![cfg(not(miri))]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use runtime_tests::rings::{errno, made};
use runtime_tests::{Watchdog, alarm, pipe};
use uring::ring::{EnterFlags, Ring, Setup};

#[test]
fn a_process_with_a_submission_thread_ends_whole() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let setup = Setup::new(4).sqpoll(Duration::from_secs(1000));
    if made(&setup).is_none() {
        return;
    }
    // SAFETY: the child makes a ring, for which it allocates (glibc makes its allocator usable in children),
    // and ends without returning to the code of the test.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "a fork failed");
    if child == 0 {
        let ring = setup.build();
        // SAFETY: ends the child, whose ring is left as it is, with its thread awake.
        unsafe { libc::_exit(i32::from(ring.is_err())) }
    }
    // A process is awaited in vain as long as one of its threads runs.
    assert_eq!(alarm::end_of(child), 0);
    assert!(!std::path::Path::new(&format!("/proc/{child}")).exists(), "no thread is left");
}

/// What `io_uring_enter(2)` says to those who submit nothing and want nothing, by the descriptor alone: its errno,
/// or 0.
fn empty_enter(ring: RawFd) -> i32 {
    let (flags, none) = (EnterFlags::GETEVENTS.bits(), std::ptr::null::<u8>());
    // SAFETY: no memory is named.
    let result = unsafe { libc::syscall(libc::SYS_io_uring_enter, ring, 0, 0, flags, none, 0) };
    if result < 0 { io::Error::last_os_error().raw_os_error().unwrap_or(-1) } else { 0 }
}

/// The life of a process that makes a ring, and leaves it to a child of its own: what an empty enter says before
/// and after its end, and what the ring itself says then, is written to `told` when `ended` has a byte.
fn leave_a_ring_behind(setup: &Setup, mut ended: File, mut told: File) -> bool {
    let Ok(mut ring) = setup.build() else { return false };
    let Some(fd) = ring.fd().map(|fd| fd.as_raw_fd()) else { return false };
    let alive = empty_enter(fd);
    let mut tell = |ring: &mut Ring| -> io::Result<()> {
        ended.read_exact(&mut [0])?;
        for errno in [alive, empty_enter(fd), errno(ring.submit())] {
            told.write_all(&errno.to_ne_bytes())?;
        }
        Ok(())
    };
    // SAFETY: the child reads, writes and leaves.
    match unsafe { libc::fork() } {
        0 => tell(&mut ring).is_ok(),
        child => child > 0,
    }
}

#[test]
fn an_empty_enter_says_that_the_submission_thread_died_with_its_process() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let setup = Setup::new(4).sqpoll(Duration::from_secs(1000));
    if made(&setup).is_none() {
        return;
    }
    let (wait, end) = pipe();
    let (told, tell) = pipe();
    // SAFETY: the child makes a ring, for which it allocates (glibc makes its allocator usable in children),
    // and ends without returning to the code of the test.
    let owner = unsafe { libc::fork() };
    assert!(owner >= 0, "a fork failed");
    if owner == 0 {
        let left = leave_a_ring_behind(&setup, wait.into(), tell.into());
        // SAFETY: ends the child, and in it the child that it made.
        unsafe { libc::_exit(i32::from(!left)) }
    }
    drop((wait, tell));
    // A process is awaited in vain as long as one of its threads runs.
    assert_eq!(alarm::end_of(owner), 0);
    File::from(end).write_all(&[0]).expect("its child waits");
    let mut errnos = Vec::new();
    File::from(told).read_to_end(&mut errnos).expect("what was told");
    let expected = [0, libc::EOWNERDEAD, libc::EEXIST].map(i32::to_ne_bytes).concat();
    assert_eq!(errnos, expected);
}

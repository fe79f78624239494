//! The end of a process with a submission thread: alone, as a child has copies of all descriptors that the
//! tests beside it have open.
#![cfg(not(miri))]

use std::time::Duration;

use runtime_tests::rings::made;
use runtime_tests::{Watchdog, alarm};
use uring::ring::Setup;

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

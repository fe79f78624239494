//! Credentials that a ring keeps, and the operations that a kernel has.

use std::ffi::CString;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use runtime_tests::{TempDir, skipped};
use uring::ring::{At, Opcode, RawSqe, Sqe};

use crate::{nop, ring, run};

#[test]
fn a_personality_is_known_until_it_is_dropped() {
    let Some(mut ring) = ring() else { return };
    let kept = ring.register_personality().expect("credentials");
    assert!(kept.id().number() >= 1);
    assert_eq!(kept.id().ring(), ring.id());
    let with = RawSqe { personality: kept.id().number(), ..nop() };
    assert_eq!(run(&mut ring, with), 0);
    drop(kept);
    assert_eq!(run(&mut ring, with), -libc::EINVAL);
}

#[test]
fn personalities_are_told_apart_and_forgotten_one_by_one() {
    let Some(mut ring) = ring() else { return };
    let first = ring.register_personality().expect("credentials");
    let second = ring.register_personality().expect("credentials");
    assert_ne!(first.id(), second.id());
    first.unregister().expect("forgotten by hand");
    let with = RawSqe { personality: second.id().number(), ..nop() };
    assert_eq!(run(&mut ring, with), 0);
}

#[test]
fn a_personality_may_outlive_its_ring() {
    let Some(ring) = ring() else { return };
    let kept = ring.register_personality().expect("credentials");
    drop(ring);
    kept.unregister().expect("still kept");
}

#[test]
fn a_probe_names_the_operations_that_there_are() {
    let Some(ring) = ring() else { return };
    let probe = ring.probe().expect("a probe");
    assert!(probe.supports(Opcode::NOP) && probe.supports(Opcode::READ));
    assert!(!probe.supports(Opcode(255)));
    assert!(probe.supported().all(|opcode| opcode <= probe.last() && ring.supports(opcode)));
    assert_eq!(probe.supported().last(), Some(probe.last()));
}

/// Has this thread alone act as a user, `setresuid(2)`; the C library would do so with all threads.
fn act_as(user: libc::uid_t) -> bool {
    let same = libc::uid_t::MAX;
    // SAFETY: no memory is involved.
    unsafe { libc::syscall(libc::SYS_setresuid, same, user, same) == 0 }
}

#[test]
fn a_submission_acts_with_the_credentials_that_it_names_and_others_do_not() {
    const NOBODY: libc::uid_t = 65534;
    let Some(mut ring) = ring() else { return };
    let dir = TempDir::new();
    let path = dir.path().join("secret");
    std::fs::write(&path, b"of its owner").expect("a file");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("permissions");
    // SAFETY: no memory is involved.
    let own = unsafe { libc::geteuid() };
    if own == NOBODY || !act_as(NOBODY) {
        return skipped("this user cannot become another");
    }
    let kept = ring.register_personality().expect("credentials");
    assert!(act_as(own), "back to what it was");
    let name = CString::new(path.as_os_str().as_bytes()).expect("no zero byte");
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    let open = || Sqe::open_at(At::WorkingDirectory, &name, flags, 0);
    let as_nobody = open().personality(kept.id()).into_raw();
    assert_eq!(run(&mut ring, *as_nobody.raw()), -libc::EACCES);
    let opened = run(&mut ring, *open().into_raw().raw());
    assert!(opened >= 0, "{opened}");
    // SAFETY: it was just made, for us alone.
    drop(unsafe { OwnedFd::from_raw_fd(opened) });
}

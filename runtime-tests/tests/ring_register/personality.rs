//! Credentials that a ring keeps, and the operations that a kernel has.

use uring::ring::{Opcode, RawSqe};

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

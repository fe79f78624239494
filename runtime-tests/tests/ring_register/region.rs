//! Regions of shared memory, and the arguments of waits in them.

use std::time::Duration;

use runtime_tests::alarm;
use uring::ring::abi::Timespec;
use uring::ring::{
    Region, RegionSetup, RegisterOp, Ring, Signals, Sqe, TimeoutFlags, WaitArgs, WaitFor, WaitSlot,
};

use crate::{disabled_ring, errno, has, ring};

fn has_regions() -> bool {
    has(RegisterOp::REGISTER_MEM_REGION)
}

/// A ring with a region for the arguments of waits; none, said aloud, where Linux has no regions.
fn ring_with_places(setup: RegionSetup) -> Option<(Ring, Region)> {
    if !has_regions() {
        return None;
    }
    let ring = disabled_ring()?;
    let region = ring.register_region(setup.wait_args()).expect("a region");
    ring.enable().expect("enabled");
    Some((ring, region))
}

/// Waits for a completion that never comes; the errno that ends it, 0 for the limit.
fn wait(ring: &mut Ring, offset_bytes: u32) -> i32 {
    let wait = WaitFor::completions(1).registered(offset_bytes);
    match ring.submit_and_wait_for(&wait) {
        Ok(submitted) => submitted as i32,
        Err(error) => error.raw_os_error().expect("an errno"),
    }
}

#[test]
fn a_ring_takes_one_region_of_either_kind_in_its_life() {
    if !has_regions() {
        return;
    }
    for setup in [RegionSetup::user(100), RegionSetup::kernel(100)] {
        let Some(ring) = ring() else { return };
        let region = ring.register_region(setup).expect("a region");
        assert_eq!((region.len_bytes() % 4096, region.wait_slots()), (0, 0));
        assert_eq!(errno(ring.register_region(setup)), libc::EBUSY);
        drop(region);
        assert_eq!(errno(ring.register_region(setup)), libc::EBUSY, "it is for good");
    }
}

#[test]
fn an_empty_region_is_refused() {
    if !has_regions() {
        return;
    }
    let Some(ring) = ring() else { return };
    assert_eq!(errno(ring.register_region(RegionSetup::user(0))), libc::EINVAL);
    assert_eq!(errno(ring.register_region(RegionSetup::kernel(0))), libc::EINVAL);
}

#[test]
fn arguments_of_waits_are_for_a_ring_that_is_not_enabled() {
    if !has_regions() {
        return;
    }
    let Some(ring) = ring() else { return };
    let refused = ring.register_region(RegionSetup::user(4096).wait_args());
    assert_eq!(errno(refused), libc::EINVAL);
}

#[test]
fn a_wait_uses_the_arguments_of_its_place() {
    for setup in [RegionSetup::user(4096), RegionSetup::kernel(4096)] {
        let Some((mut ring, mut region)) = ring_with_places(setup) else { return };
        assert_eq!(region.wait_slots() as usize, region.len_bytes() / 64);
        let soon = WaitArgs { limit: Some(Duration::from_millis(1)), ..WaitArgs::default() };
        let slot: WaitSlot<'_> = region.set(3, &soon).expect("a place");
        assert_eq!((slot.offset_bytes(), slot.ring()), (192, ring.id()));
        assert_eq!(wait(&mut ring, slot.offset_bytes()), 0);
        let masked = WaitArgs { blocking: Some(Signals::none().with(libc::SIGUSR1)), ..soon };
        let offset_bytes = region.set(0, &masked).expect("a place").offset_bytes();
        assert_eq!(wait(&mut ring, offset_bytes), 0);
        let behind = region.len_bytes() as u32;
        assert_eq!(wait(&mut ring, behind), libc::EFAULT, "behind the region");
        assert_eq!(errno(region.set(region.wait_slots(), &soon)), libc::EINVAL);
        assert!(region.slot(region.wait_slots()).is_none() && region.slot(u32::MAX).is_none());
    }
}

#[test]
fn a_region_may_go_before_its_ring() {
    let Some((mut ring, mut region)) = ring_with_places(RegionSetup::user(4096)) else { return };
    let soon = WaitArgs { limit: Some(Duration::from_millis(1)), ..WaitArgs::default() };
    region.set(0, &soon).expect("a place");
    drop(region);
    assert_eq!(wait(&mut ring, 0), 0, "the kernel keeps its pages");
}

#[test]
fn a_limit_of_centuries_in_a_place_does_not_end_a_wait_early() {
    if alarm::ends_waits() {
        return;
    }
    let Some((mut ring, mut region)) = ring_with_places(RegionSetup::user(4096)) else { return };
    let for_ever = WaitArgs { limit: Some(Duration::MAX), ..WaitArgs::default() };
    let place = region.set(0, &for_ever).expect("a place").offset_bytes();
    // What is waited for comes during the wait.
    let soon = Timespec { sec: 0, nsec: 2_000_000 };
    let timer = Sqe::timeout(&soon, TimeoutFlags::empty());
    // SAFETY: the time outlives the timer, which runs out below.
    unsafe { ring.push(timer) }.expect("room");
    let wait = WaitFor::completions(1).registered(place);
    ring.submit_and_wait_for(&wait).expect("the timer");
    assert_eq!(ring.ready(), 1);
}

#[test]
fn a_place_whose_region_is_gone_says_nothing_of_signals() {
    if alarm::ends_waits() {
        return;
    }
    let Some((mut ring, mut region)) = ring_with_places(RegionSetup::user(4096)) else { return };
    let blocking = Some(Signals::none());
    let through =
        WaitArgs { limit: Some(Duration::from_millis(1)), blocking, ..Default::default() };
    let place = region.set(5, &through).expect("a place").offset_bytes();
    // A signal that waits for this thread to let it through, and that nothing happens for by default.
    // SAFETY: a set of signals of ours, used during the calls.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigaddset(&mut set, libc::SIGURG);
        assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()), 0);
        assert_eq!(libc::raise(libc::SIGURG), 0);
    }
    assert_eq!(wait(&mut ring, place), libc::EINTR, "the place lets it through");
    // SAFETY: as above.
    assert_eq!(unsafe { libc::raise(libc::SIGURG) }, 0);
    drop(region);
    assert_eq!(wait(&mut ring, place), 0, "the thread's own mask holds");
}

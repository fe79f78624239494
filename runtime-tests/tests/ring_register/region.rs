//! Regions of shared memory, and the arguments of waits in them.

use std::os::fd::AsRawFd;
use std::time::Duration;

use uring::ring::{EnterFlags, RegionSetup, RegisterOp, Ring, WaitArgs, WaitSlot};

use crate::{disabled_ring, errno, has, ring};

fn has_regions() -> bool {
    !cfg!(miri) && has(RegisterOp::REGISTER_MEM_REGION)
}

/// Waits for a completion that never comes, with registered arguments; the errno that ends it.
fn wait(ring: &Ring, offset_bytes: u32) -> i32 {
    let flags = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG | EnterFlags::EXT_ARG_REG;
    let fd = ring.fd().expect("a descriptor").as_raw_fd();
    let call = libc::SYS_io_uring_enter;
    let (offset, size) = (offset_bytes as usize, 64usize);
    // SAFETY: no memory is named but the registered region.
    let result = unsafe { libc::syscall(call, fd, 0, 1, flags.bits(), offset, size) };
    assert_eq!(result, -1, "the wait was to fail");
    std::io::Error::last_os_error().raw_os_error().expect("an errno")
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
    if !has_regions() {
        return;
    }
    for setup in [RegionSetup::user(4096), RegionSetup::kernel(4096)] {
        let Some(ring) = disabled_ring() else { return };
        let mut region = ring.register_region(setup.wait_args()).expect("a region");
        ring.enable().expect("enabled");
        assert_eq!(region.wait_slots() as usize, region.len_bytes() / 64);
        let soon = WaitArgs { limit: Some(Duration::from_millis(1)), ..WaitArgs::default() };
        let slot: WaitSlot<'_> = region.set(3, &soon).expect("a place");
        assert_eq!((slot.offset_bytes(), slot.ring()), (192, ring.id()));
        assert_eq!(wait(&ring, slot.offset_bytes()), libc::ETIME);
        let masked = WaitArgs { blocked_signals: Some(1 << 9), ..soon };
        let offset_bytes = region.set(0, &masked).expect("a place").offset_bytes();
        assert_eq!(wait(&ring, offset_bytes), libc::ETIME);
        let behind = region.len_bytes() as u32;
        assert_eq!(wait(&ring, behind), libc::EFAULT, "behind the region");
        assert_eq!(errno(region.set(region.wait_slots(), &soon)), libc::EINVAL);
        assert!(region.slot(region.wait_slots()).is_none() && region.slot(u32::MAX).is_none());
    }
}

#[test]
fn a_region_may_go_before_its_ring() {
    if !has_regions() {
        return;
    }
    let Some(ring) = disabled_ring() else { return };
    let mut region = ring.register_region(RegionSetup::user(4096).wait_args()).expect("a region");
    ring.enable().expect("enabled");
    let soon = WaitArgs { limit: Some(Duration::from_millis(1)), ..WaitArgs::default() };
    region.set(0, &soon).expect("a place");
    drop(region);
    assert_eq!(wait(&ring, 0), libc::ETIME, "the kernel keeps its pages");
}

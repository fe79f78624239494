//! An eventfd that completions signal.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use uring::ring::{CqFlags, RawSqe, Ring, SqeFlags};

use crate::{closed, errno, next, nop, ring, submit, zeros};

fn eventfd() -> OwnedFd {
    // SAFETY: no memory is involved; the descriptor is new and nobody else's.
    unsafe { OwnedFd::from_raw_fd(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK)) }
}

/// What the counter stands at; it is 0 afterwards.
fn counted(eventfd: &OwnedFd) -> u64 {
    let mut count = 0u64;
    // SAFETY: eight bytes of our own, written during the call.
    let read = unsafe { libc::read(eventfd.as_raw_fd(), (&raw mut count).cast(), 8) };
    if read == 8 { count } else { 0 }
}

/// A completion that a worker thread brings.
fn complete_in_a_worker(ring: &mut Ring) {
    submit(ring, RawSqe { flags: SqeFlags::ASYNC.bits(), ..nop() });
    next(ring);
}

#[test]
fn completions_signal_the_eventfd_until_it_is_unregistered() {
    let Some(mut ring) = ring() else { return };
    let counter = eventfd();
    let registered = ring.register_eventfd(counter.as_fd()).expect("registered");
    submit(&mut ring, nop());
    next(&mut ring);
    assert!(counted(&counter) > 0);
    drop(registered);
    submit(&mut ring, nop());
    next(&mut ring);
    assert_eq!(counted(&counter), 0);
}

#[test]
fn an_asynchronous_eventfd_hears_of_what_workers_complete_and_not_of_the_rest() {
    let Some(mut ring) = ring() else { return };
    let counter = eventfd();
    let _registered = ring.register_eventfd_async(counter.as_fd()).expect("registered");
    submit(&mut ring, nop());
    next(&mut ring);
    assert_eq!(counted(&counter), 0);
    complete_in_a_worker(&mut ring);
    assert!(counted(&counter) > 0);
}

#[test]
fn a_silenced_eventfd_hears_nothing_until_it_is_enabled_again() {
    let Some(mut ring) = ring() else { return };
    let counter = eventfd();
    let _registered = ring.register_eventfd(counter.as_fd()).expect("registered");
    ring.signal_eventfd(false);
    assert!(ring.cq_flags().contains(CqFlags::EVENTFD_DISABLED));
    submit(&mut ring, nop());
    next(&mut ring);
    assert_eq!(counted(&counter), 0);
    ring.signal_eventfd(true);
    submit(&mut ring, nop());
    next(&mut ring);
    assert!(counted(&counter) > 0);
}

#[test]
fn a_ring_has_one_eventfd_in_either_way_and_another_after_the_drop() {
    let Some(ring) = ring() else { return };
    let counter = eventfd();
    let registered = ring.register_eventfd(counter.as_fd()).expect("registered");
    assert_eq!(errno(ring.register_eventfd(counter.as_fd())), libc::EBUSY);
    assert_eq!(errno(ring.register_eventfd_async(counter.as_fd())), libc::EBUSY);
    drop(registered);
    let again = ring.register_eventfd_async(counter.as_fd()).expect("registered again");
    again.unregister().expect("unregistered by hand");
    ring.register_eventfd(counter.as_fd()).expect("registered a third time");
}

#[test]
fn what_is_closed_or_no_eventfd_is_refused() {
    let Some(ring) = ring() else { return };
    assert_eq!(errno(ring.register_eventfd(closed())), libc::EBADF);
    assert_eq!(errno(ring.register_eventfd(zeros().as_fd())), libc::EINVAL);
}

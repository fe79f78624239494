//! Rings and the ends of their threads.

use std::os::fd::OwnedFd;

use runtime_tests::pipe;
use runtime_tests::rings::{made, nop, only, take};
use uring::ring::{Ring, Setup, SetupFlags, Sqe};

use super::{on, poke, poll2};

/// Has a thread start a read that nothing ends, keep the pipe open by that alone, and end in its way.
fn ends_with_a_read(end: impl FnOnce(Ring) + Send + 'static) -> Option<OwnedFd> {
    let (reader, writer) = pipe();
    let thread = std::thread::spawn(move || {
        // Without deferred work, which only the thread of the ring would run.
        let mut ring = only(4, SetupFlags::empty())?;
        let room: &'static mut [u8] = Box::leak(Box::new([0; 16]));
        // SAFETY: the room lives forever, and the kernel has its own reference to the pipe.
        unsafe { ring.push(Sqe::read(on(&reader), room, None)) }.expect("room");
        ring.submit().expect("the read");
        drop(reader);
        end(ring);
        Some(())
    });
    thread.join().expect("a thread that ends").map(|()| writer)
}

#[test]
fn what_is_in_flight_ends_when_its_ring_is_dropped() {
    let Some(writer) = ends_with_a_read(drop) else { return };
    assert_eq!(poll2(&writer, 0, 60_000), libc::POLLERR.into(), "nobody reads any more");
}

#[test]
fn what_is_in_flight_outlives_its_thread_and_ends_when_it_can() {
    let Some(writer) = ends_with_a_read(std::mem::forget) else { return };
    // The end of a thread cancels nothing of a ring that stays open.
    assert_eq!(poll2(&writer, 0, 0), 0, "the read still has the pipe");
    poke(&writer);
    assert_eq!(poll2(&writer, 0, 60_000), libc::POLLERR.into(), "nobody reads any more");
}

#[test]
fn each_of_many_threads_has_a_ring_and_leaves_in_the_middle() {
    let threads: Vec<_> = (0..16)
        .map(|count: u64| {
            std::thread::spawn(move || {
                let mut ring = made(&Setup::new(16))?;
                (0..count).for_each(|name| nop(&mut ring, name));
                // An odd one leaves its completions in the queue.
                match count % 2 {
                    0 => Some(take(&mut ring, count as usize).len()),
                    _ => Some(ring.submit().expect("nops") as usize),
                }
            })
        })
        .collect();
    for (count, thread) in threads.into_iter().enumerate() {
        let Some(done) = thread.join().expect("a thread") else { return };
        assert_eq!(done, count);
    }
}

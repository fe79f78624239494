//! Provided buffers in a forked child, which has a copy of the books and neither the ring nor its memory.
#![cfg(not(miri))] // It has no io_uring.

mod ring_provided;

use std::fs::File;

use ring_provided::{group, one, read, ring, run};
use runtime_tests::rings::in_a_child;
use uring::ring::BufRingSetup;

#[test]
fn a_forked_child_gives_back_without_harm_and_the_parent_goes_on() {
    let file = File::open("/dev/zero").expect("/dev/zero");
    for setup in [BufRingSetup::new(4, 100), BufRingSetup::new(4, 100).group(1).kernel_memory()] {
        let mut ring = ring();
        let Some(buffers) = group(&ring, &setup) else { return };
        let cqe = run(&mut ring, read(&file, buffers.group()));
        let lease = one(&buffers, cqe);
        let mut both = Some((lease, buffers));
        let harmless = in_a_child(|| {
            let Some((lease, buffers)) = both.take() else { return false };
            let same = lease[..] == [0; 100];
            drop(lease);
            let refused = buffers.head().is_err();
            buffers.provide(4);
            drop(buffers);
            same && refused
        });
        assert!(harmless);

        let (lease, buffers) = both.expect("the parent's own");
        drop(lease);
        for id in [1, 2, 3, 0, 1] {
            let cqe = run(&mut ring, read(&file, buffers.group()));
            assert_eq!(one(&buffers, cqe).buffer_id(), id);
        }
        assert_eq!(buffers.with_kernel(), 4);
    }
}

//! Rings that look for completions at the device rather than be told (`IORING_SETUP_IOPOLL`).
#![cfg(not(miri))]

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use runtime_tests::rings::{nop, only, take};
use runtime_tests::{TempDir, Watchdog, skipped};
use uring::ring::{Buffers, Cqe, Ring, SetupFlags, Sqe};

const BLOCK: usize = 4096;

/// A file of one block on a disk that is read past the page cache.
struct Disk {
    file: File,
    block: Vec<u8>,
    dir: TempDir,
}

/// None, with the reason said, where the temporary directory has no such files.
fn disk() -> Option<Disk> {
    let dir = TempDir::new();
    let path = dir.path().join("block");
    let block: Vec<u8> = (0..BLOCK).map(|at| (at % 251) as u8).collect();
    std::fs::write(&path, &block).expect("a file");
    match File::options().read(true).custom_flags(libc::O_DIRECT).open(&path) {
        Ok(file) => Some(Disk { file, block, dir }),
        Err(error) => {
            skipped(format!("no direct reads in the temporary directory: {error}"));
            None
        }
    }
}

/// Submits a read of the block to the only buffer, which is aligned as disks want it.
fn start(ring: &mut Ring, disk: &Disk, buffers: &mut Buffers) {
    let room = buffers.part_mut(0).expect("the buffer");
    let read = Sqe::read_fixed(disk.file.as_fd().into(), room, Some(0)).user_data(1);
    // SAFETY: file and buffer outlive the read, whose end the callers take.
    unsafe { ring.push(read) }.expect("room");
    ring.submit().expect("a read");
}

/// Whether a read was done; says so if the disk cannot be polled.
fn is_read(cqe: Cqe) -> bool {
    if cqe.raw_result() == -libc::EOPNOTSUPP {
        skipped("the disk of the temporary directory cannot be polled");
        return false;
    }
    assert_eq!((cqe.user_data(), cqe.raw_result()), (1, BLOCK as i32));
    true
}

#[test]
fn a_wait_polls_the_disk_until_the_read_is_done() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    for mode in [SetupFlags::IOPOLL, SetupFlags::IOPOLL | SetupFlags::HYBRID_IOPOLL] {
        let (Some(mut ring), Some(disk)) = (only(4, mode), disk()) else { continue };
        let mut buffers = ring.register_buffers(&[BLOCK]).expect("a buffer");
        for _ in 0..10 {
            buffers.bytes_mut(0).expect("the buffer").fill(0xff);
            start(&mut ring, &disk, &mut buffers);
            if !is_read(take(&mut ring, 1)[0]) {
                return;
            }
            assert!(buffers.bytes(0) == Some(&disk.block[..]));
        }
    }
}

#[test]
fn a_look_at_the_disk_that_does_not_wait_finds_the_read_in_the_end() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let (Some(mut ring), Some(disk)) = (only(4, SetupFlags::IOPOLL), disk()) else { return };
    let mut buffers = ring.register_buffers(&[BLOCK]).expect("a buffer");
    start(&mut ring, &disk, &mut buffers);
    // Nobody but such a look brings a completion here.
    while ring.ready() == 0 {
        ring.submit_and_wait(0, None).expect("a look");
    }
    is_read(take(&mut ring, 1)[0]);
}

#[test]
fn a_read_through_the_page_cache_cannot_be_polled() {
    let (Some(mut ring), Some(disk)) = (only(4, SetupFlags::IOPOLL), disk()) else { return };
    let file = File::open(disk.dir.path().join("block")).expect("the file");
    let disk = Disk { file, ..disk };
    let mut buffers = ring.register_buffers(&[BLOCK]).expect("a buffer");
    start(&mut ring, &disk, &mut buffers);
    assert_eq!(take(&mut ring, 1)[0].raw_result(), -libc::EOPNOTSUPP);
    nop(&mut ring, 2);
    assert_eq!(take(&mut ring, 1)[0].user_data(), 2, "the ring goes on");
}

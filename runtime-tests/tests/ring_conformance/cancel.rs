//! What a cancel finds, and what it leaves alone.

use std::fs::File;
use std::io::Write;

use runtime_tests::pipe;
use runtime_tests::ring::{BareRing, on_a_ring};
use uring::ring::{CancelKey, Sqe};

use super::{IN, on, pair, poke, poll2};

/// Starts polls of these names.
fn start_polls(ring: &mut BareRing, file: &impl std::os::fd::AsFd, names: std::ops::Range<u64>) {
    for name in names {
        // SAFETY: each test takes what it started before its files go.
        unsafe { ring.start(Sqe::poll(on(file), IN).user_data(name)) };
    }
    ring.submit();
}

fn start_cancel(ring: &mut BareRing, key: CancelKey<'_>) {
    // SAFETY: nothing is lent.
    unsafe { ring.start(Sqe::cancel_matching(key).user_data(100)) };
}

#[test]
fn all_of_a_file_are_cancelled_and_counted_and_none_of_another() {
    let (mine, other) = (pipe(), pipe());
    on_a_ring(|ring| {
        start_polls(ring, &mine.0, 0..8);
        start_polls(ring, &other.0, 8..10);
        start_cancel(ring, CancelKey { file: Some(on(&mine.0)), all: true, ..CancelKey::ANY });
        let mut expected: Vec<_> = (0..8).map(|name| (name, -libc::ECANCELED)).collect();
        expected.push((100, 8));
        assert_eq!(ring.next_sorted(9), expected);
        poke(&other.1);
        assert_eq!(ring.next_sorted(2), [(8, 1), (9, 1)]);
    });
}

#[test]
fn all_of_any_kind_are_cancelled_and_counted() {
    let (one, two) = (pipe(), pipe());
    on_a_ring(|ring| {
        start_polls(ring, &one.0, 0..3);
        start_polls(ring, &two.0, 3..8);
        start_cancel(ring, CancelKey { all: true, ..CancelKey::ANY });
        let mut expected: Vec<_> = (0..8).map(|name| (name, -libc::ECANCELED)).collect();
        expected.push((100, 8));
        assert_eq!(ring.next_sorted(9), expected);
        start_cancel(ring, CancelKey { all: true, ..CancelKey::ANY });
        assert_eq!(ring.next_sorted(1), [(100, 0)], "there is none left");
    });
}

#[test]
fn one_of_many_polls_is_cancelled_and_the_others_go_on() {
    let (reader, writer) = pipe();
    on_a_ring(|ring| {
        start_polls(ring, &reader, 0..20);
        start_cancel(ring, CancelKey { user_data: Some(7), ..CancelKey::ANY });
        assert_eq!(ring.next_sorted(2), [(7, -libc::ECANCELED), (100, 0)]);
        poke(&writer);
        let expected: Vec<_> = (0..20).filter(|name| *name != 7).map(|name| (name, 1)).collect();
        assert_eq!(ring.next_sorted(19), expected);
    });
}

#[test]
fn a_cancel_does_not_reach_another_ring() {
    let (reader, writer) = pipe();
    on_a_ring(|ring| {
        on_a_ring(|other| {
            start_polls(other, &reader, 1..2);
            start_polls(ring, &reader, 1..2);
            start_cancel(ring, CancelKey { file: Some(on(&reader)), all: true, ..CancelKey::ANY });
            assert_eq!(ring.next_sorted(2), [(1, -libc::ECANCELED), (100, 1)]);
            assert_eq!(ring.run(Sqe::cancel(1)), -libc::ENOENT);
            poke(&writer);
            assert_eq!(other.next_sorted(1), [(1, 1)]);
        });
    });
}

#[test]
fn a_read_that_is_cancelled_while_its_byte_comes_has_one_end_and_loses_none() {
    on_a_ring(|ring| {
        for round in 0..200 {
            let (near, far) = pair();
            let writer = std::thread::spawn(move || {
                (0..round % 7).for_each(|_| std::thread::yield_now());
                let mut far = far;
                far.write_all(b"x").map(|()| far)
            });
            let mut byte = [0; 1];
            // SAFETY: socket and byte outlive both requests, which are taken below.
            unsafe {
                ring.start(Sqe::recv(on(&near), &mut byte[..], 0).user_data(1));
                ring.submit();
                ring.start(Sqe::cancel(1).user_data(2));
            }
            let ends = ring.next_sorted(2);
            let _far = writer.join().expect("a thread").expect("a byte");
            let left = poll2(&near, IN, 0) == libc::POLLIN.into();
            match ends[..] {
                [(1, 1), (2, cancel)] => {
                    assert!([-libc::ENOENT, -libc::EALREADY].contains(&cancel), "{cancel}");
                    assert!(!left && byte == *b"x");
                }
                [(1, read), (2, 0)] => assert!(read == -libc::ECANCELED && left, "{read}"),
                _ => panic!("ends of round {round}: {ends:?}"),
            }
        }
    });
}

#[test]
fn a_cancelled_read_leaves_its_pipe_to_the_next_one() {
    let (reader, writer) = pipe();
    on_a_ring(|ring| {
        let mut room = [0; 4];
        let results = ring.run_all([Sqe::read(on(&reader), &mut room[..], None), Sqe::cancel(0)]);
        assert_eq!(results, [-libc::ECANCELED, 0]);
        File::from(writer).write_all(b"next").expect("bytes");
        assert_eq!(ring.run(Sqe::read(on(&reader), &mut room[..], None)), 4);
        assert_eq!(&room, b"next");
    });
}

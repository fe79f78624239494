//! Short programs against the bare ring, each on Linux, and in the simulation where no real kernel is needed.
#![cfg(not(miri))]

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use runtime_tests::ring::on_a_ring;
use runtime_tests::rings::{errno, everywhere, made, nop, take, taken};
use runtime_tests::{TempDir, Watchdog, pipe};
use uring::ring::abi::Timespec;
use uring::ring::{
    At, Entry, Features, Install, RawSqe, Ring, Setup, SetupFlags, SlotUpdate, SpliceFlags, Sqe,
    Statx, Target, TimeoutFlags,
};
use uring::sim::Sim;

/// A ring in its world: where a new file may be made, and both ends of a connection.
struct World {
    ring: Ring,
    path: CString,
    ends: [RawFd; 2],
}

/// Runs a test in the simulation, and on Linux if it is there.
fn in_both_worlds(test: impl Fn(&mut World)) {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let sim = Sim::new(1);
    let ring = Setup::new(8).build_on(sim.kernel()).expect("a simulated ring");
    let (left, right) = sim.socket_pair();
    test(&mut World { ring, path: c"file".into(), ends: [left, right] });
    let Some(ring) = made(&Setup::new(8)) else { return };
    let (directory, (_listener, client, server)) = (TempDir::new(), connection());
    let path = directory.path().join("file");
    let path = CString::new(path.as_os_str().as_bytes()).expect("no zero byte");
    test(&mut World { ring, path, ends: [client.as_raw_fd(), server.as_raw_fd()] });
}

impl World {
    /// The results of submissions that were pushed together, in their order.
    fn run_all<'a>(&mut self, sqes: impl IntoIterator<Item = Sqe<'a>>) -> Vec<i32> {
        let mut count = 0;
        for sqe in sqes {
            // SAFETY: all of them are taken below, while what they borrow is still borrowed.
            unsafe { self.ring.push(sqe.user_data(count)) }.expect("room");
            count += 1;
        }
        let mut cqes = take(&mut self.ring, count as usize);
        cqes.sort_unstable_by_key(|cqe| cqe.user_data());
        cqes.iter().map(|cqe| cqe.raw_result()).collect()
    }

    fn open(&mut self) -> RawFd {
        let path = self.path.clone();
        let flags = libc::O_CREAT | libc::O_RDWR | libc::O_CLOEXEC;
        let number = self.run_all([Sqe::open_at(At::WorkingDirectory, &path, flags, 0o600)])[0];
        assert!(number > 2, "{number} is a new descriptor");
        number
    }

    fn close(&mut self, number: RawFd) {
        // SAFETY: the test has opened it, and closes it once.
        let owned = unsafe { OwnedFd::from_raw_fd(number) };
        assert_eq!(self.run_all([Sqe::close(owned)]), [0]);
    }
}

/// A descriptor of either world, which stays open while a test uses it.
fn at<'a>(number: RawFd) -> Target<'a> {
    // SAFETY: simulated numbers are never open on Linux; those of Linux outlive their use here.
    unsafe { BorrowedFd::borrow_raw(number) }.into()
}

fn on<F: AsFd>(file: &F) -> Target<'_> {
    file.as_fd().into()
}

/// Two ends of a TCP connection, and the listener it came over.
fn connection() -> (TcpListener, TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    let client = TcpStream::connect(listener.local_addr().expect("its address"));
    let server = listener.accept().expect("a server").0;
    (listener, client.expect("a client"), server)
}

/// A file with content, open for reading and writing.
fn file(directory: &TempDir, name: &str, content: &[u8]) -> File {
    let path = directory.path().join(name);
    fs::write(&path, content).expect("a file");
    File::options().read(true).write(true).open(path).expect("the file")
}

#[test]
fn a_nop_moves_the_counters_and_so_does_a_drained_one() {
    for mut ring in everywhere(4, 8) {
        nop(&mut ring, 1);
        assert_eq!((ring.queued(), ring.ready()), (1, 0));
        assert_eq!(ring.submit_and_wait(1, None).expect("a wait"), 1);
        assert_eq!((ring.queued(), ring.ready()), (0, 1));
        assert_eq!((taken(&mut ring), ring.ready()), (vec![1], 0));
        // SAFETY: a nop lends nothing.
        unsafe { ring.push(Sqe::nop().drain().user_data(2)) }.expect("room");
        let drained = take(&mut ring, 1)[0];
        assert_eq!((drained.user_data(), drained.raw_result()), (2, 0));
        assert_eq!((ring.queued(), ring.ready(), ring.dropped(), ring.lost()), (0, 0, 0, 0));
    }
}

#[test]
fn a_ring_reports_what_set_up_arrived_at() {
    let setup = Setup::new(8).only(SetupFlags::empty()).require(SetupFlags::CLAMP);
    let Some(ring) = made(&setup) else { return };
    let report = ring.report();
    assert!(report.flags().contains(SetupFlags::CLAMP), "{report:?}");
    let kept = Features::SINGLE_MMAP | Features::NODROP | Features::EXT_ARG;
    assert!(report.features().contains(kept), "{report:?}");
    assert!(report.refused().is_empty(), "{report:?}");
}

#[test]
fn a_result_is_a_count_or_an_errno_and_names_its_buffer_if_there_is_one() {
    for mut ring in everywhere(4, 8) {
        nop(&mut ring, 1);
        let done = take(&mut ring, 1)[0];
        assert_eq!((done.result().ok(), done.buffer_id()), (Some(0), None));
        let unknown = RawSqe { opcode: 250, ..RawSqe::default() };
        // SAFETY: nothing is lent.
        unsafe { ring.push(unknown) }.expect("room");
        assert_eq!(errno(take(&mut ring, 1)[0].result()), libc::EINVAL);
    }
}

#[test]
fn a_registered_file_is_read_into_several_buffers() {
    on_a_ring(|ring| {
        let zero = File::open("/dev/zero").expect("a file");
        let files = ring.ring().register_files(&[Some(zero.as_fd())]).expect("files");
        let (mut head, mut tail) = ([7; 3], [7; 30]);
        let mut rooms = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)];
        let slot = files.slot(0).expect("a slot");
        assert_eq!(ring.run(Sqe::read_vectored(slot.into(), &mut rooms, Some(0))), 33);
        assert_eq!((head, tail), ([0; 3], [0; 30]));
        files.unregister().expect("unregistered");
    });
}

#[test]
fn vectors_are_written_flushed_and_read_by_one_chain() {
    on_a_ring(|ring| {
        let directory = TempDir::new();
        let file = file(&directory, "a", b"");
        let slices = [IoSlice::new(b"first "), IoSlice::new(b"second")];
        let mut bytes = [0; 12];
        let mut rooms = [IoSliceMut::new(&mut bytes)];
        let results = ring.run_all([
            Sqe::write_vectored(on(&file), &slices, Some(5)).link(),
            Sqe::fsync(on(&file), false).link(),
            Sqe::read_vectored(on(&file), &mut rooms, Some(5)),
        ]);
        assert_eq!((results, &bytes), (vec![12, 0, 12], b"first second"));
    });
}

#[test]
fn a_linked_read_finds_what_was_written_at_its_offset() {
    in_both_worlds(|world| {
        let number = world.open();
        let mut bytes = [7; 20];
        let results = world.run_all([
            Sqe::write(at(number), b"0123456789", Some(10)).link(),
            Sqe::read(at(number), &mut bytes[..], Some(5)),
        ]);
        assert_eq!(results, [10, 15]);
        assert_eq!(&bytes[..15], b"\0\0\0\0\x000123456789");
        assert_eq!(bytes[15..], [7; 5], "a short read leaves the rest alone");
        world.close(number);
    });
}

#[test]
fn an_allocated_file_has_its_new_size() {
    in_both_worlds(|world| {
        let number = world.open();
        assert_eq!(world.run_all([Sqe::fallocate(at(number), 0, 0, 65536)]), [0]);
        let mut found = Statx::default();
        let path = world.path.clone();
        let place = At::WorkingDirectory;
        let ask = Sqe::statx(place, &path, 0, libc::STATX_SIZE, &mut found);
        assert_eq!(world.run_all([ask]), [0]);
        assert_eq!(found.size, 65536);
        world.close(number);
    });
}

#[test]
fn a_chain_moves_bytes_through_a_pipe_into_another_file() {
    on_a_ring(|ring| {
        let directory = TempDir::new();
        let (from, into) = (file(&directory, "a", b"..spliced"), file(&directory, "b", b""));
        let (reader, writer) = pipe();
        let mut bytes = [0; 7];
        let none = SpliceFlags::empty();
        let results = ring.run_all([
            Sqe::splice(on(&from), Some(2), on(&writer), None, 7, none).link(),
            Sqe::splice(on(&reader), None, on(&into), Some(4), 7, none).link(),
            Sqe::read(on(&into), &mut bytes[..], Some(4)),
        ]);
        assert_eq!((results, &bytes), (vec![7, 7, 7], b"spliced"));
    });
}

#[test]
fn a_chain_copies_from_one_registered_buffer_to_another() {
    on_a_ring(|ring| {
        let directory = TempDir::new();
        let file = file(&directory, "a", b"");
        let mut buffers = ring.ring().register_buffers(&[4096, 4096]).expect("buffers");
        buffers.bytes_mut(0).expect("the first")[..5].copy_from_slice(b"fixed");
        let from = buffers.part(0).and_then(|part| part.slice(..5)).expect("a part");
        let write = Sqe::write_fixed(on(&file), from, Some(3)).link().user_data(1);
        let write = Entry::from(write);
        let into = buffers.part_mut(1).and_then(|part| part.slice(..5)).expect("a part");
        let read = Entry::from(Sqe::read_fixed(on(&file), into, Some(3)).user_data(2));
        // SAFETY: file and buffers live until both completions were taken, below.
        unsafe {
            ring.start(write);
            ring.start(read);
        }
        assert_eq!(ring.next_sorted(2), [(1, 5), (2, 5)]);
        assert_eq!(&buffers.bytes(1).expect("the second")[..6], b"fixed\0");
    });
}

#[test]
fn a_receive_with_more_room_than_was_sent_is_short() {
    in_both_worlds(|world| {
        let [left, right] = world.ends;
        let mut bytes = [7; 20];
        let results = world.run_all([
            Sqe::send(at(left), b"0123456789", 0).link(),
            Sqe::recv(at(right), &mut bytes[..], 0),
        ]);
        assert_eq!(results, [10, 10]);
        assert_eq!((&bytes[..10], &bytes[10..]), (&b"0123456789"[..], &[7; 10][..]));
    });
}

#[test]
fn a_receive_that_waits_is_cancelled() {
    in_both_worlds(|world| {
        let mut bytes = [7; 4];
        let receive = Sqe::recv(at(world.ends[1]), &mut bytes[..], 0);
        // `user_data` is the index here.
        let results = world.run_all([receive, Sqe::cancel(0)]);
        assert_eq!((results, bytes), (vec![-libc::ECANCELED, 0], [7; 4]));
    });
}

#[test]
fn a_receive_that_waits_is_ended_by_its_timer() {
    on_a_ring(|ring| {
        let (_listener, _client, server) = connection();
        let soon = Timespec { sec: 0, nsec: 2_000_000 };
        let mut bytes = [7; 4];
        let receive = Sqe::recv(on(&server), &mut bytes[..], 0).link();
        let timer = Sqe::link_timeout(&soon, TimeoutFlags::empty());
        let results = ring.run_all([receive, timer]);
        assert!([-libc::ECANCELED, -libc::EINTR].contains(&results[0]), "{results:?}");
        assert!([-libc::ETIME, -libc::EALREADY].contains(&results[1]), "{results:?}");
        assert_eq!(bytes, [7; 4]);
    });
}

#[test]
fn a_listener_can_be_shut_down_and_what_is_not_connected_cannot() {
    on_a_ring(|ring| {
        let (listener, ..) = connection();
        assert_eq!(ring.run(Sqe::shutdown(on(&listener), libc::SHUT_RD)), 0);
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
        let number = ring.run(Sqe::socket(libc::AF_INET, kind, 0));
        assert!(number > 2, "{number} is a new descriptor");
        // SAFETY: it was just made, for us alone.
        let idle = unsafe { OwnedFd::from_raw_fd(number) };
        assert_eq!(ring.run(Sqe::shutdown(on(&idle), libc::SHUT_RD)), -libc::ENOTCONN);
    });
}

#[test]
fn connections_fill_the_slots_and_one_that_is_cleared_is_filled_again() {
    on_a_ring(|ring| {
        let files = ring.ring().register_files_sparse(2).expect("a table");
        let (listener, ..) = connection();
        let address = listener.local_addr().expect("its address");
        let mut clients = Vec::new();
        for expected in [0, 1, -libc::ENFILE] {
            clients.push(TcpStream::connect(address).expect("a client"));
            let accept = Sqe::accept_direct(on(&listener), None, 0, Install::Any);
            assert_eq!(ring.run(accept), expected);
        }
        assert_eq!(ring.run(Sqe::files_update(0, &[SlotUpdate::EMPTY])), 1);
        clients.push(TcpStream::connect(address).expect("a client"));
        let accept = Sqe::accept_direct(on(&listener), None, 0, Install::Any);
        assert_eq!(ring.run(accept), 0);
        let slot = files.slot(0).expect("a slot");
        assert_eq!(ring.run(Sqe::send(slot.into(), b"x", 0)), 1);
    });
}

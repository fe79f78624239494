//! Direct descriptors: files in a ring's table, each operation on Linux.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use runtime_tests::ring::{BareRing, on_a_ring};
use runtime_tests::{TempDir, pipe};
use uring::ring::{
    At, Files, Install, InstallFdFlags, MultiSqe, Opcode, OpenHow, PipeFlags, Slot, SlotUpdate,
    SpliceFlags, Sqe, Target,
};

const NULL: &std::ffi::CStr = c"/dev/null";
const CWD: At<'_> = At::WorkingDirectory;

/// Runs a test on a ring with an empty table of so many slots.
fn with_slots(count: u32, test: impl FnOnce(&mut BareRing, &Files, &[Slot])) {
    on_a_ring(|ring| {
        let files = ring.ring().register_files_sparse(count).expect("a table");
        let slots: Vec<_> = files.slots().collect();
        test(ring, &files, &slots);
    });
}

fn open(install: Install) -> Sqe<'static> {
    // `O_CLOEXEC` is what one has at hand, and is left out here.
    Sqe::open_at_direct(CWD, NULL, libc::O_RDWR | libc::O_CLOEXEC, 0, install)
}

#[test]
fn a_file_is_opened_to_a_slot_used_and_closed() {
    with_slots(3, |ring, _, slots| {
        let target = Target::from(slots[1]);
        assert_eq!(ring.run(Sqe::write(target, b"x", None)), -libc::EBADF);
        let chain = [
            open(Install::Slot(slots[1])).link(),
            Sqe::write(target, b"abc", None).link(),
            Sqe::close_slot(slots[1]),
        ];
        assert_eq!(ring.run_all(chain), [0, 3, 0]);
        assert_eq!(ring.run(Sqe::close_slot(slots[1])), -libc::EBADF);
    });
}

#[test]
fn the_kernel_chooses_free_slots_until_there_are_none() {
    with_slots(2, |ring, files, slots| {
        assert_eq!(ring.run(open(Install::Any)), 0);
        let how = OpenHow { flags: libc::O_RDWR as u64, ..OpenHow::default() };
        assert_eq!(ring.run(Sqe::open_at2_direct(CWD, NULL, &how, Install::Any)), 1);
        assert_eq!(ring.run(open(Install::Any)), -libc::ENFILE);
        // A given slot is replaced.
        assert_eq!(ring.run(open(Install::Slot(slots[0]))), 0);
        let found = files.slot(1).expect("a slot");
        assert_eq!(ring.run(Sqe::write(found.into(), b"x", None)), 1);
    });
}

#[test]
fn without_a_table_there_is_no_slot() {
    on_a_ring(|ring| assert_eq!(ring.run(open(Install::Any)), -libc::ENFILE));
}

#[test]
fn sockets_are_made_in_slots() {
    with_slots(3, |ring, _, slots| {
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
        let socket = |install| Sqe::socket_direct(libc::AF_INET, kind, 0, install);
        assert_eq!(ring.run(socket(Install::Slot(slots[0]))), 0);
        assert_eq!(ring.run(socket(Install::Any)), 1);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        let address = listener.local_addr().expect("its address").into();
        let target = Target::from(slots[1]);
        let results = ring.run_all([
            Sqe::connect(target, &address).link(),
            Sqe::send(target, b"hi", 0).link(),
            Sqe::shutdown(target, libc::SHUT_WR).link(),
            Sqe::close_slot(slots[1]),
        ]);
        assert_eq!(results, [0, 2, 0, 0]);
        let mut text = String::new();
        listener.accept().expect("a client").0.read_to_string(&mut text).expect("its bytes");
        assert_eq!(text, "hi");
    });
}

#[test]
fn connections_are_accepted_into_slots() {
    with_slots(3, |ring, _, slots| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        let address = listener.local_addr().expect("its address");
        let clients = [(); 4].map(|()| TcpStream::connect(address).expect("a client"));
        let flags = libc::SOCK_CLOEXEC;
        let target = Target::from(listener.as_fd());
        let into = Install::Slot(slots[2]);
        assert_eq!(ring.run(Sqe::accept_direct(target, None, flags, into)), 0);
        // SAFETY: the listener outlives what the test waits for.
        unsafe { ring.start(MultiSqe::accept_direct(target, flags)) };
        let shots = [ring.next_cqe(), ring.next_cqe(), ring.next_cqe()];
        assert_eq!(shots.map(|cqe| cqe.raw_result()), [0, 1, -libc::ENFILE]);
        assert_eq!(shots.map(|cqe| cqe.more()), [true, true, false]);
        let sends = slots.iter().map(|slot| Sqe::send(Target::from(*slot), b"x", 0));
        assert_eq!(ring.run_all(sends), [1, 1, 1]);
        drop(clients);
    });
}

#[test]
fn slots_are_changed_by_an_operation() {
    with_slots(3, |ring, _, slots| {
        let file = File::options().write(true).open("/dev/null").expect("a file");
        let fd = file.as_fd();
        let updates = [SlotUpdate::from(fd), SlotUpdate::EMPTY];
        assert_eq!(ring.run(Sqe::files_update(1, &updates)), 2);
        assert_eq!(ring.run(Sqe::write(slots[1].into(), b"x", None)), 1);
        let updates = [SlotUpdate::KEEP, SlotUpdate::KEEP];
        assert_eq!(ring.run(Sqe::files_update(1, &updates)), 2);
        assert_eq!(ring.run(Sqe::write(slots[1].into(), b"x", None)), 1);
        let mut files = [SlotUpdate::from(fd), SlotUpdate::from(fd)];
        assert_eq!(ring.run(Sqe::files_install(&mut files)), 2);
        let mut chosen = files.map(|file| file.chosen());
        chosen.sort_unstable();
        assert_eq!(chosen, [Some(0), Some(2)]);
        let mut files = [SlotUpdate::from(fd)];
        assert_eq!(ring.run(Sqe::files_install(&mut files)), -libc::ENFILE);
        assert_eq!(ring.run(Sqe::files_update(3, &updates)), -libc::EINVAL);
    });
}

#[test]
fn a_slot_is_made_a_descriptor() {
    with_slots(2, |ring, _, slots| {
        if ring.lacks(Opcode::FIXED_FD_INSTALL) {
            return;
        }
        let none = InstallFdFlags::empty();
        assert_eq!(ring.run(Sqe::fixed_fd_install(slots[0], none)), -libc::EBADF);
        assert_eq!(ring.run(open(Install::Slot(slots[0]))), 0);
        for (flags, expected) in [(none, libc::FD_CLOEXEC), (InstallFdFlags::NO_CLOEXEC, 0)] {
            let fd = ring.run(Sqe::fixed_fd_install(slots[0], flags));
            assert!(fd > 2, "{fd} is a new descriptor");
            // SAFETY: it was just made, for us alone; `fcntl` only looks at it.
            let (found, mut file) = unsafe {
                let found = libc::fcntl(fd, libc::F_GETFD);
                (found, File::from(OwnedFd::from_raw_fd(fd)))
            };
            assert_eq!(found, expected);
            file.write_all(b"x").expect("a write");
        }
    });
}

#[test]
fn a_pipe_is_made_of_descriptors_or_slots() {
    with_slots(4, |ring, _, slots| {
        if ring.lacks(Opcode::PIPE) {
            return;
        }
        let mut ends = [0; 2];
        assert_eq!(ring.run(Sqe::pipe(&mut ends, PipeFlags::CLOEXEC)), 0);
        // SAFETY: two descriptors that were just made, for us alone.
        let [mut reader, mut writer] =
            ends.map(|fd| unsafe { File::from(OwnedFd::from_raw_fd(fd)) });
        writer.write_all(b"x").expect("a write");
        reader.read_exact(&mut [0]).expect("a read");
        let mut places = [0; 2];
        let pipe = Sqe::pipe_direct(&mut places, PipeFlags::CLOEXEC, Install::Slot(slots[1]));
        assert_eq!(ring.run(pipe), 0);
        let mut byte = [0; 1];
        let results = ring.run_all([
            Sqe::write(slots[2].into(), b"y", None).link(),
            Sqe::read(slots[1].into(), &mut byte[..], None),
        ]);
        assert_eq!((results, &byte), (vec![1, 1], b"y"));
        let last = Install::Slot(slots[3]);
        let no_room = Sqe::pipe_direct(&mut places, PipeFlags::empty(), last);
        assert_eq!(ring.run(no_room), -libc::EINVAL);
    });
}

#[test]
fn bytes_are_spliced_between_slots() {
    with_slots(2, |ring, _, slots| {
        let directory = TempDir::new();
        let path = directory.path().join("a");
        std::fs::write(&path, b"spliced").expect("a file");
        let path = CString::new(path.as_os_str().as_bytes()).expect("no zero byte");
        let into = Install::Slot(slots[0]);
        assert_eq!(ring.run(Sqe::open_at_direct(CWD, &path, libc::O_RDONLY, 0, into)), 0);
        let (reader, writer) = pipe();
        assert_eq!(ring.run(Sqe::files_update(1, &[writer.as_fd().into()])), 1);
        let none = SpliceFlags::empty();
        let splice = Sqe::splice(slots[0].into(), Some(0), slots[1].into(), None, 100, none);
        assert_eq!(ring.run(splice), 7);
        let mut buf = [0; 7];
        File::from(reader).read_exact(&mut buf).expect("all of it");
        assert_eq!(&buf, b"spliced");
    });
}

#[test]
fn a_slot_of_another_ring_is_refused_before_the_kernel_sees_it() {
    with_slots(1, |_, _, slots| {
        on_a_ring(|other| {
            let mut ring = uring::ring::Setup::new(4).build().expect("a ring");
            // SAFETY: lends nothing.
            let refused = unsafe { ring.push(Sqe::fsync(slots[0].into(), false)) };
            assert_eq!(refused, Err(uring::ring::PushError::ForeignRing));
            assert_eq!(other.run(Sqe::nop()), 0);
        });
    });
}

#[test]
fn a_file_is_sent_to_the_table_of_another_ring() {
    with_slots(1, |ring, _, slots| {
        on_a_ring(|other| {
            if ring.lacks(Opcode::SEND_ZC) {
                return; // of the same kernel, 6.0
            }
            let files = other.ring().register_files_sparse(2).expect("a table");
            assert_eq!(ring.run(open(Install::Slot(slots[0]))), 0);
            let fd = other.ring().fd().expect("a descriptor").try_clone_to_owned();
            let fd = fd.expect("a descriptor");
            let target = Target::from(fd.as_fd());
            let last = files.slot(1).expect("a slot");
            // SAFETY: nothing is in flight on the other ring, whose slot it is.
            let (to_slot, to_any) = unsafe {
                let to_slot = Install::Slot(last);
                (
                    Sqe::msg_ring_fd(target, slots[0], to_slot, None),
                    Sqe::msg_ring_fd(target, slots[0], Install::Any, Some(9)),
                )
            };
            assert_eq!(ring.run(to_slot), 0);
            assert_eq!(ring.run(to_any), 0);
            let came = other.next_message();
            assert_eq!((came.user_data(), came.raw_result()), (9, 0));
            for slot in files.slots() {
                assert_eq!(other.run(Sqe::write(slot.into(), b"x", None)), 1);
            }
        });
    });
}

#[test]
fn a_personality_is_used_and_a_lost_one_refused() {
    with_slots(1, |ring, _, slots| {
        let personality = ring.ring().register_personality().expect("a personality");
        let id = personality.id();
        assert_eq!(ring.run(Sqe::nop().personality(id)), 0);
        assert_eq!(ring.run(open(Install::Slot(slots[0]))), 0);
        if !ring.lacks(Opcode::FIXED_FD_INSTALL) {
            let install = Sqe::fixed_fd_install(slots[0], InstallFdFlags::empty());
            let result = ring.run(install.personality(id));
            assert_eq!(result, -libc::EPERM);
        }
        drop(personality);
        assert_eq!(ring.run(Sqe::nop().personality(id)), -libc::EINVAL);
    });
}

#[test]
fn an_operation_on_a_path_knows_no_slots() {
    with_slots(1, |ring, _, _| {
        let raw = uring::ring::RawSqe {
            flags: uring::ring::SqeFlags::FIXED_FILE.bits(),
            ..*Sqe::open_at(CWD, NULL, 0, 0).into_raw().raw()
        };
        // SAFETY: its path lives forever.
        unsafe { ring.start(uring::ring::Entry::from(raw)) };
        assert_eq!(ring.next_cqe().raw_result(), -libc::EBADF);
    });
}

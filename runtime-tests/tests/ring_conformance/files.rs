//! Files, slots of files and registered buffers.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use runtime_tests::ring::{BareRing, on_a_ring, on_a_ring_of};
use runtime_tests::rings::{in_a_child, made, take};
use runtime_tests::{TempDir, skipped};
use uring::ring::{At, Buffers, Install, Setup, SetupFlags, Sqe, Target};

use super::{on, pair};

const CWD: At<'_> = At::WorkingDirectory;

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no zero byte")
}

/// The file that an open returned.
fn opened(result: i32) -> OwnedFd {
    assert!(result >= 0, "an open failed with {result}");
    // SAFETY: it was just made, for us alone.
    unsafe { OwnedFd::from_raw_fd(result) }
}

#[test]
fn a_slot_in_use_is_opened_anew_read_and_closed_by_one_chain() {
    let dir = TempDir::new();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    std::fs::write(&old, b"old").expect("a file");
    std::fs::write(&new, b"new").expect("a file");
    let (old, new) = (File::open(&old).expect("the old file"), c_path(&new));
    on_a_ring(|ring| {
        let files = ring.ring().register_files(&[Some(old.as_fd())]).expect("a table");
        let slot = files.slot(0).expect("a slot");
        let (mut before, mut after) = ([0; 3], [0; 3]);
        let before_it = Sqe::read(slot.into(), &mut before[..], Some(0));
        assert_eq!(ring.run(before_it), 3);
        let chain = [
            Sqe::open_at_direct(CWD, &new, libc::O_RDONLY, 0, Install::Slot(slot)).link(),
            Sqe::read(slot.into(), &mut after[..], Some(0)).link(),
            Sqe::close_slot(slot),
        ];
        assert_eq!(ring.run_all(chain), [0, 3, 0]);
        assert_eq!((&before, &after), (b"old", b"new"));
        let gone = Sqe::read(slot.into(), &mut after[..], Some(0));
        assert_eq!(ring.run(gone), -libc::EBADF);
    });
}

#[test]
fn the_last_close_of_a_chain_is_seen_by_the_peer_under_deferred_work() {
    let deferred = SetupFlags::SINGLE_ISSUER | SetupFlags::DEFER_TASKRUN;
    let setup = Setup::new(8).only(deferred);
    if made(&setup).is_none() {
        return;
    }
    on_a_ring_of(&setup, |ring| {
        let (near, mut far) = pair();
        let files = ring.ring().register_files(&[Some(near.as_fd())]).expect("a table");
        drop(near);
        let slot = files.slot(0).expect("a slot");
        let chain = [Sqe::send(slot.into(), b"last words", 0).link(), Sqe::close_slot(slot)];
        assert_eq!(ring.run_all(chain), [10, 0]);
        let mut words = String::new();
        far.read_to_string(&mut words).expect("all until the end");
        assert_eq!(words, "last words");
    });
}

#[test]
fn a_descriptor_of_a_path_alone_is_closed() {
    on_a_ring(|ring| {
        let flags = libc::O_PATH | libc::O_CLOEXEC;
        let path = opened(ring.run(Sqe::open_at(CWD, c"/dev/null", flags, 0)));
        let mut byte = [0; 1];
        let read = Sqe::read(path.as_fd().into(), &mut byte[..], None);
        assert_eq!(ring.run(read), -libc::EBADF);
        let link = format!("/proc/self/fd/{}", path.as_raw_fd());
        assert_eq!(std::fs::read_link(&link).expect("it is open"), Path::new("/dev/null"));
        assert_eq!(ring.run(Sqe::close(path)), 0);
        assert_ne!(std::fs::read_link(&link).ok().as_deref(), Some(Path::new("/dev/null")));
    });
}

#[test]
fn a_write_beyond_two_gibibytes_lands_there() {
    let dir = TempDir::new();
    let path = dir.path().join("sparse");
    let name = c_path(&path);
    on_a_ring(|ring| {
        let flags = libc::O_CREAT | libc::O_RDWR | libc::O_CLOEXEC;
        let file = File::from(opened(ring.run(Sqe::open_at(CWD, &name, flags, 0o600))));
        let far = (1 << 31) + 5;
        assert_eq!(ring.run(Sqe::write(on(&file), b"far away", Some(far))), 8);
        let mut found = [0; 8];
        file.read_exact_at(&mut found, far).expect("what was written");
        assert_eq!(&found, b"far away");
    });
}

#[test]
fn a_worker_is_the_submitter_to_proc() {
    on_a_ring(|ring| {
        let read = |ring: &mut runtime_tests::ring::BareRing, path: &CStr, workers: bool| {
            let open = Sqe::open_at(CWD, path, libc::O_RDONLY | libc::O_CLOEXEC, 0);
            let open = if workers { open.asynchronous() } else { open };
            let file = opened(ring.run(open));
            let mut room = [0; 32];
            let read = Sqe::read(file.as_fd().into(), &mut room[..], Some(0));
            let len = ring.run(if workers { read.asynchronous() } else { read });
            assert!(len > 0, "{len}");
            let text = String::from_utf8_lossy(&room).into_owned();
            text.split(' ').next().map(str::to_owned)
        };
        let pid = Some(std::process::id().to_string());
        for workers in [false, true] {
            assert_eq!(read(ring, c"/proc/self/stat", workers), pid);
        }
    });
}

#[test]
fn any_part_of_a_registered_buffer_is_read_to_and_no_byte_beside_it() {
    const LEN: usize = 5 * 4096;
    let dir = TempDir::new();
    let path = dir.path().join("bytes");
    let bytes: Vec<u8> = (0..LEN).map(|at| (at % 251) as u8 + 1).collect();
    std::fs::write(&path, &bytes).expect("a file");
    let file = File::open(&path).expect("the file");
    on_a_ring(|ring| {
        let mut buffers = ring.ring().register_buffers(&[LEN]).expect("a buffer");
        for start in [0, 1, 511, 4095, 4096, 4097, 8191, 12_345] {
            for len in [1, 3, 511, 4096, 4097, 8000] {
                buffers.bytes_mut(0).expect("the buffer").fill(0);
                let part = buffers.part_mut(0).and_then(|all| all.slice(start..start + len));
                let part = part.expect("a part of it");
                let offset = start as u64;
                let read = Sqe::read_fixed(Target::from(file.as_fd()), part, Some(offset));
                assert_eq!(ring.run(read), len as i32);
                let all = buffers.bytes(0).expect("the buffer");
                assert!(all[start..start + len] == bytes[start..start + len], "{start}, {len}");
                let beside = all[..start].iter().chain(&all[start + len..]);
                assert!(beside.into_iter().all(|byte| *byte == 0), "{start}, {len}");
            }
        }
    });
}

#[test]
fn a_pipe_that_does_not_block_is_waited_for_all_the_same() {
    let (reader, writer) = runtime_tests::pipe();
    // SAFETY: changes a flag of a descriptor of ours.
    let set = unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    assert_eq!(set, 0);
    on_a_ring(|ring| {
        if !ring.ring().report().features().contains(uring::ring::Features::RECVSEND_BUNDLE) {
            return runtime_tests::skipped("before Linux 6.10 such a read fails with EAGAIN");
        }
        let mut byte = [0; 1];
        // SAFETY: pipe and byte outlive the read, which is taken below.
        unsafe { ring.start(Sqe::read(on(&reader), &mut byte[..], None).user_data(1)) };
        ring.submit();
        assert_eq!(ring.ring().ready(), 0);
        super::poke(&writer);
        assert_eq!(ring.next_sorted(1), [(1, 1)]);
    });
}

const HUGE: usize = 2 << 20;

/// Whether the memory around an address lies in huge pages, at least a part of it; proc_pid_smaps(5).
fn lies_in_huge_pages(address: usize) -> bool {
    let maps = std::fs::read_to_string("/proc/self/smaps").expect("the mappings of this process");
    let mut lines = maps.lines().skip_while(|line| {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let number = |text| usize::from_str_radix(text, 16).ok();
        let range = range.and_then(|(start, end)| Some(number(start)?..number(end)?));
        !range.is_some_and(|range| range.contains(&address))
    });
    let huge = lines.find_map(|line| line.strip_prefix("AnonHugePages:"));
    huge.is_some_and(|size| !size.trim().starts_with("0 "))
}

/// Reads the front of `file` to a part of the only buffer, which is to change there and nowhere else.
fn read_to_a_part(
    ring: &mut BareRing,
    buffers: &mut Buffers,
    file: &File,
    bytes: &[u8],
    start: usize,
) {
    buffers.bytes_mut(0).expect("the buffer").fill(0);
    let part = buffers.part_mut(0).and_then(|all| all.slice(start..start + bytes.len()));
    let read = Sqe::read_fixed(on(file), part.expect("a part of it"), Some(0));
    assert_eq!(ring.run(read), bytes.len() as i32, "to byte {start}");
    let all = buffers.bytes(0).expect("the buffer");
    let (before, rest) = all.split_at(start);
    let (read, behind) = rest.split_at(bytes.len());
    assert!(read == bytes, "{} bytes from byte {start} on", bytes.len());
    let zeros = vec![0; all.len()];
    assert!(before == &zeros[..before.len()] && behind == &zeros[..behind.len()], "{start}");
}

#[test]
fn a_buffer_in_huge_pages_is_read_to_across_their_borders_and_no_byte_beside_it() {
    const LEN: usize = 3 * HUGE + 4096;
    let dir = TempDir::new();
    let path = dir.path().join("bytes");
    let bytes: Vec<u8> = (0..5 * 4096).map(|at| (at % 251) as u8 + 1).collect();
    std::fs::write(&path, &bytes).expect("a file");
    let file = File::open(&path).expect("the file");
    on_a_ring(|ring| {
        let mut buffers = ring.ring().register_buffers(&[LEN]).expect("a buffer");
        let address = buffers.bytes(0).expect("the buffer").as_ptr().addr();
        if !lies_in_huge_pages(address) {
            return skipped("the kernel has given no huge pages");
        }
        // One border of huge pages lies in each piece of their size, wherever the buffer starts.
        let border = address.next_multiple_of(HUGE) - address;
        for start in [0, border + 4095, border + HUGE - 8192, border + HUGE - 1, LEN - bytes.len()]
        {
            for len in [1, 4097, bytes.len()] {
                read_to_a_part(ring, &mut buffers, &file, &bytes[..len], start);
            }
        }
    });
}

#[test]
fn a_disk_reads_to_a_buffer_in_huge_pages_across_their_borders() {
    let dir = TempDir::new();
    let path = dir.path().join("bytes");
    let bytes: Vec<u8> = (0..4 * 4096).map(|at| (at % 251) as u8 + 1).collect();
    std::fs::write(&path, &bytes).expect("a file");
    let direct = File::options().read(true).custom_flags(libc::O_DIRECT).open(&path);
    let file = match direct {
        Ok(file) => file,
        Err(error) => return skipped(format!("no direct reads in this directory: {error}")),
    };
    on_a_ring(|ring| {
        let mut buffers = ring.ring().register_buffers(&[3 * HUGE]).expect("a buffer");
        let address = buffers.bytes(0).expect("the buffer").as_ptr().addr();
        if !lies_in_huge_pages(address) {
            return skipped("the kernel has given no huge pages");
        }
        let border = address.next_multiple_of(HUGE) - address;
        for start in [0, 4096, border + HUGE - 8192, border + HUGE - 4096, border + HUGE] {
            read_to_a_part(ring, &mut buffers, &file, &bytes, start);
        }
    });
}

#[test]
fn a_write_beyond_the_limit_of_a_files_size_is_refused() {
    const LIMIT: u64 = 1 << 16;
    if made(&Setup::new(4)).is_none() {
        return;
    }
    let dir = TempDir::new();
    let file = File::create(dir.path().join("limited")).expect("a file");
    let limits = libc::rlimit { rlim_cur: LIMIT, rlim_max: LIMIT };
    // The limit is that of a process.
    assert!(in_a_child(|| {
        // SAFETY: an ignored signal calls nobody, and the limits are read during the call.
        let limited = unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limits)
        };
        let Ok(mut ring) = Setup::new(4).build() else { return false };
        let mut write = |sqe: Sqe<'static>| {
            // SAFETY: the bytes are static, and the file outlives the write, which is taken here.
            unsafe { ring.push(sqe) }.is_ok().then(|| take(&mut ring, 1)[0].raw_result())
        };
        // SAFETY: the file outlives both writes.
        let target =
            || unsafe { Target::Fd(std::os::fd::BorrowedFd::borrow_raw(file.as_raw_fd())) };
        let beyond = || Sqe::write(target(), b"beyond", Some(LIMIT));
        limited == 0
            && write(beyond()) == Some(-libc::EFBIG)
            && write(beyond().asynchronous()) == Some(-libc::EFBIG)
    }));
}

#[test]
fn a_name_that_is_taken_becomes_no_symbolic_link() {
    let dir = TempDir::new();
    let taken = dir.path().join("taken");
    std::fs::write(&taken, b"a file").expect("a file");
    let name = c_path(&taken);
    on_a_ring(|ring| {
        if ring.lacks(uring::ring::Opcode::SYMLINKAT) {
            return;
        }
        assert_eq!(ring.run(Sqe::symlink_at(c"elsewhere", CWD, &name)), -libc::EEXIST);
        assert_eq!(std::fs::read(&taken).expect("it is still a file"), b"a file");
    });
}

//! What teardown does with every kind of operation, those included that the kernel does not let go.
#![cfg(not(miri))]

use std::fs::File;
use std::io::{self, Read, Write};
use std::net;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::pin::pin;
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use runtime_tests::ops::ReadOnWorker;
use runtime_tests::{
    Ledger, NoteOnDrop, NotedBuf, On, Watchdog, all_quiet, descriptors, for_turns, one_turn, pipe,
    put, scale, skipped, steps,
};
use uring::Runtime;
use uring::buf::{IoBufMut, Room};
use uring::fd::Fd;
use uring::net::{TcpListener, TcpStream};
use uring::op::lane::Lane;
use uring::op::{self, Op};
use uring::ring::{Opcode, Sqe};

/// These tests count the descriptors of the whole process, so they take turns.
fn alone() -> (MutexGuard<'static, ()>, Watchdog) {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    (alone, Watchdog::new(Duration::from_secs(120) * scale()))
}

/// A wait for a word in memory to be woken, which nobody does.
struct FutexWait(Box<AtomicU32>, #[expect(dead_code, reason = "its end is the event")] NoteOnDrop);

impl Op for FutexWait {
    type Output = i32;

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::futex_wait(&self.0, 0, u32::MAX, true)
    }

    fn complete(self, completion: op::Completion<Self>) -> i32 {
        completion.raw_result()
    }
}

/// An open that waits on a worker thread for the other end of a named pipe.
fn open_for_ever(path: &std::ffi::CStr) -> op::InFlight<op::OpenAt> {
    let flags = libc::O_RDONLY | libc::O_CREAT;
    op::submit(op::OpenAt { at: None, path: path.to_owned(), flags, mode: 0o600 })
}

/// `req_19`
#[test]
fn shutdown_ends_every_kind_of_wait() {
    let _alone = alone();
    let directory = runtime_tests::TempDir::new();
    let path = directory.path().join("fifo");
    let fifo = std::ffi::CString::new(path.to_str().expect("a name")).expect("no NUL byte");
    // SAFETY: a path that ends with a NUL byte.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    let before = descriptors();
    for round in 0..steps(60, 6) {
        let (on, ledger) = (On::Linux { rung: round % 6 }, Ledger::new());
        let runtime = on.runtime();
        let ((reader, _writer), (left, _right)) = (on.pipe(), on.socket_pair());
        runtime.block_on(async {
            let buf = NotedBuf::new(64, &ledger, "read");
            let read = op::submit(op::Read { fd: reader.clone(), offset: None, buf });
            let multi = op::PollMulti { fd: reader, events: libc::POLLIN as u32 };
            let polls = op::submit_multi(multi);
            let poll = op::submit(op::Poll { fd: left.clone(), events: libc::POLLIN as u32 });
            let lane = Lane::receiving(&left).hold().now_or_never().expect("it is free");
            let buf = NotedBuf::new(64, &ledger, "recv");
            let recv = op::submit(op::Recv { buf, lane });
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
            let opened = open_for_ever(&fifo);
            let kernel = runtime_tests::rings::kernel();
            let futex = kernel.supports(Opcode::FUTEX_WAIT).then(|| {
                let noted = ledger.on_drop("futex");
                op::submit(FutexWait(Box::default(), noted))
            });
            let waits_for_word = futex.is_some();
            uring::spawn(async move { listener.accept().await.map(drop) });
            let sleep = uring::time::sleep(Duration::from_secs(1000));
            uring::spawn(async move {
                let _all = (read, polls, poll, recv, opened, futex);
                sleep.await;
            });
            for _ in 0..round % 3 {
                one_turn().await;
            }
            if !waits_for_word && round == 0 {
                skipped("Linux here cannot wait for a word by the ring");
            }
        });
        assert_eq!(runtime.shutdown().leaked, 0, "round {round}");
        let mut freed = ledger.events();
        freed.sort();
        assert_eq!(freed[freed.len() - 2..], ["read", "recv"]);
    }
    assert_eq!(descriptors(), before, "descriptors are left open");
}

/// Sends without copying: the buffer is the kernel's until the notification.
struct SendZeroCopy {
    fd: Fd,
    buf: NotedBuf,
}

impl Op for SendZeroCopy {
    type Output = i32;

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::send_zc(self.fd.as_fd().into(), self.buf.as_ref(), libc::MSG_NOSIGNAL)
    }

    fn complete(self, completion: op::Completion<Self>) -> i32 {
        completion.raw_result()
    }
}

/// `req_1`, `req_31`
#[test]
fn bytes_sent_without_copying_stay_as_they_are_until_a_slow_peer_has_read_them() {
    let _alone = alone();
    if !runtime_tests::rings::kernel().supports(Opcode::SEND_ZC) {
        return skipped("Linux here has no zero-copy send");
    }
    for round in 0..12 {
        let ledger = Ledger::new();
        let listener = net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let sender = net::TcpStream::connect(address).expect("a connection");
        let (mut peer, _) = listener.accept().expect("a connection");
        let on = On::Linux { rung: round % 6 };
        let builder = Runtime::builder().first_rung(round % 6);
        let runtime = builder.shutdown_limit(Duration::from_millis(30)).build().expect("a runtime");
        let fd = Fd::from(OwnedFd::from(sender));
        runtime.block_on(async {
            for _ in 0..4 {
                let mut buf = NotedBuf::new(4 << 20, &ledger, "freed");
                buf.room().write(&vec![7; 4 << 20]);
                let send = op::submit(SendZeroCopy { fd: fd.clone(), buf });
                // Some are dropped before the kernel has seen them, others while they wait for room.
                let _ = for_turns(round as u32 % 3, send).await;
            }
            // A descriptor that only operations hold is closed with the last of them.
            drop(fd);
        });
        let leaked = runtime.shutdown().leaked;
        assert_eq!(ledger.events().len(), 4 - leaked, "what the kernel holds is leaked, {on:?}");
        // What was freed would be used again by now.
        let _reused: Vec<_> = (0..8).map(|_| vec![0xDB_u8; 4 << 20]).collect();
        // The connection may stay open for ever, in a leaked operation: what comes within a while is all.
        peer.set_nonblocking(true).expect("non-blocking");
        let (mut part, mut idle) = (vec![0; 1 << 16], 0);
        while idle < 20 {
            match peer.read(&mut part) {
                Ok(0) => break,
                Ok(count) => {
                    assert!(part[..count].iter().all(|byte| *byte == 7), "freed memory was sent");
                    idle = 0;
                }
                Err(_) => {
                    std::thread::sleep(Duration::from_millis(1));
                    idle += 1;
                }
            }
        }
    }
}

/// Memory that whoever touches it waits for, until somebody else says so: userfaultfd(2).
struct Stuck {
    memory: *mut u8,
    faults: OwnedFd,
}

const PAGE_BYTES: usize = 4096;

impl Stuck {
    fn new() -> io::Result<Stuck> {
        const API: libc::c_ulong = 0xC018_AA3F;
        const REGISTER: libc::c_ulong = 0xC020_AA00;
        // SAFETY: a new mapping; the structs are what the two calls read and write, linux/userfaultfd.h.
        unsafe {
            let faults = libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC);
            if faults < 0 {
                return Err(io::Error::last_os_error());
            }
            let faults = OwnedFd::from_raw_fd(faults as i32);
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let memory = libc::mmap(ptr::null_mut(), PAGE_BYTES, protection, flags, -1, 0);
            assert_ne!(memory, libc::MAP_FAILED, "mmap failed: {}", io::Error::last_os_error());
            let mut api = [0xAA_u64, 0, 0];
            let mut range = [memory as u64, PAGE_BYTES as u64, 1, 0];
            let fd = faults.as_raw_fd();
            if libc::ioctl(fd, API as _, api.as_mut_ptr()) < 0
                || libc::ioctl(fd, REGISTER as _, range.as_mut_ptr()) < 0
            {
                return Err(io::Error::last_os_error());
            }
            Ok(Stuck { memory: memory.cast(), faults })
        }
    }

    /// Lets whoever waits go on, with a page of zeros.
    fn release(&self) {
        const ZEROPAGE: libc::c_ulong = 0xC020_AA04;
        let mut range = [self.memory as u64, PAGE_BYTES as u64, 0, 0];
        // SAFETY: the struct that the call reads and writes.
        let done = unsafe { libc::ioctl(self.faults.as_raw_fd(), ZEROPAGE as _, &mut range) };
        assert_eq!(done, 0, "ioctl failed: {}", io::Error::last_os_error());
    }
}

/// A buffer in that memory, which stays mapped for ever.
struct StuckBuf(*mut u8, #[expect(dead_code, reason = "its end is the event")] NoteOnDrop);

impl AsRef<[u8]> for StuckBuf {
    fn as_ref(&self) -> &[u8] {
        &[]
    }
}

impl IoBufMut for StuckBuf {
    fn room(&mut self) -> Room<'_> {
        // SAFETY: one page that is mapped for ever, and used by this alone.
        Room::from(unsafe { std::slice::from_raw_parts_mut(self.0, PAGE_BYTES) })
    }

    unsafe fn set_filled(&mut self, _: usize) {}
}

/// `req_1`, `req_18`, `req_19`
#[test]
fn a_read_that_cannot_be_cancelled_is_leaked_and_counted_and_its_buffer_never_freed() {
    let _alone = alone();
    let stuck = match Stuck::new() {
        Ok(stuck) => stuck,
        Err(error) => return skipped(format!("userfaultfd(2) is refused: {error}")),
    };
    let ledger = Ledger::new();
    let (reader, writer) = pipe();
    let mut writer = File::from(writer);
    writer.write_all(b"for the stuck one").expect("written");
    let limit = Duration::from_millis(100);
    let runtime = Runtime::builder().shutdown_limit(limit).build().expect("a runtime");
    runtime.block_on(async {
        let buf = StuckBuf(stuck.memory, ledger.on_drop("freed"));
        let read = op::submit(ReadOnWorker { fd: Fd::from(reader), buf });
        uring::time::sleep(Duration::from_millis(20)).await;
        let enters = runtime.metrics().enters;
        // Dropping it does not wait for what cannot be waited for, nor does anybody else.
        drop(read);
        assert_eq!(runtime.metrics().enters, enters);
        op::submit(op::Nop).await.expect("a nop");
        assert_eq!(runtime.metrics().in_flight, 1);
    });
    assert_eq!(runtime.shutdown().leaked, 1);
    assert!(ledger.events().is_empty(), "the kernel still holds it");
    stuck.release();
    std::thread::sleep(Duration::from_millis(20));
    assert!(ledger.events().is_empty());
    // SAFETY: one byte of a page that is mapped for ever, and that the kernel has filled or not.
    let byte = unsafe { stuck.memory.read_volatile() };
    assert!(byte == b'f' || byte == 0);
}

/// `req_14`
#[test]
fn what_makes_descriptors_leaves_none_open_whenever_it_is_dropped() {
    let (_alone, before) = (alone(), descriptors());
    let listener = net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    for rung in 0..6 {
        let runtime = On::Linux { rung }.runtime();
        runtime.block_on(async {
            for round in 0..steps(100, 10) as u32 {
                let path = c"/dev/null".to_owned();
                let open = op::OpenAt { at: None, path, flags: libc::O_RDONLY, mode: 0 };
                let (domain, kind) = (libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC);
                let socket = op::Socket { domain, kind, protocol: 0 };
                let (open, socket) = (op::submit(open), op::submit(socket));
                drop(for_turns(round % 3, open).await);
                drop(for_turns(round % 2, socket).await);
                drop(for_turns(round % 4, TcpStream::connect(address)).await);
                let own = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
                let client = net::TcpStream::connect(own.local_addr().expect("an address"));
                drop(for_turns(round % 3, own.accept()).await);
                drop(client);
            }
            all_quiet(&runtime).await;
            one_turn().await;
        });
        drop(runtime);
    }
    drop(listener);
    assert_eq!(descriptors(), before, "descriptors are left open");
}

/// `req_62`
#[test]
fn what_is_dropped_as_the_last_act_of_a_runtime_is_closed() {
    let (_alone, before) = (alone(), descriptors());
    for rung in 0..6 {
        let runtime = On::Linux { rung }.runtime();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
            let address = listener.local_addr().expect("an address");
            let client = TcpStream::connect(address).await.expect("a connection");
            let mut receiving = pin!(client.recv([0; 8]));
            assert!(for_turns(2, receiving.as_mut()).await.is_none());
            let file = uring::fs::File::open("/dev/null").await.expect("a file");
            // Submitted, and never seen by the kernel before the loop ends.
            let mut closing = Box::pin(file.close());
            assert!(runtime_tests::poll_once(&mut closing).is_none());
            drop(uring::fs::File::open("/dev/null").await.expect("a file"));
        });
        drop(runtime);
        assert_eq!(descriptors(), before, "descriptors are left open on rung {rung}");
    }
}

/// `req_48`
#[test]
fn ten_thousand_runtimes_with_live_tasks_leave_no_descriptors_and_no_memory_behind() {
    let _alone = alone();
    let (reader, writer) = pipe();
    let (reader, _writer) = (Fd::from(reader), writer);
    let one = |ledger: &Ledger| {
        let runtime = Runtime::builder().entries(8).cq_entries(16).build().expect("a runtime");
        for _ in 0..2 {
            let (fd, ended) = (reader.clone(), ledger.on_drop("ended"));
            runtime.spawn(async move {
                let _ended = ended;
                let read = op::Read { fd, offset: None, buf: vec![0; 64] };
                let _ = op::submit(read).await;
            });
        }
        let ended = ledger.on_drop("ended");
        runtime.spawn(async move {
            let _ended = ended;
            uring::time::sleep(Duration::from_secs(1000)).await;
        });
        runtime.block_on(one_turn());
    };
    let count = steps(10_000, 100);
    (0..count / 10).for_each(|_| one(&Ledger::new()));
    let (before, resident) = (descriptors(), resident_bytes());
    let ledger = Ledger::new();
    for number in 0..count {
        let ledger = if number % 100 == 0 { ledger.clone() } else { Ledger::new() };
        one(&ledger);
    }
    assert_eq!(ledger.events().len(), count.div_ceil(100) * 3, "futures that were dropped");
    assert_eq!(descriptors(), before, "descriptors are left open");
    if std::env::var_os("ASAN_OPTIONS").is_some() {
        return skipped("AddressSanitizer keeps freed memory back: what is resident says nothing");
    }
    let grown = resident_bytes().saturating_sub(resident);
    assert!(grown < 4 << 20, "grown by {grown} bytes: {} a runtime", grown / count);
}

/// Memory of this process that is in use, `proc_pid_statm(5)`.
fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("the number of pages") * PAGE_BYTES
}

/// `req_25`
#[test]
fn a_loop_that_is_never_idle_still_takes_completions() {
    let _alone = alone();
    for rung in 0..6 {
        let on = On::Linux { rung };
        let (runtime, (reader, writer)) = (on.runtime_of(64, 64), on.pipe());
        runtime.block_on(async {
            uring::spawn(async {
                loop {
                    uring::task::yield_now().await;
                }
            });
            let polls: Vec<_> = (0..steps(10_000, 100))
                .map(|_| {
                    let events = libc::POLLIN as u32;
                    op::submit(op::Poll { fd: reader.clone(), events })
                })
                .collect();
            put(&writer, b"for all").await;
            for poll in polls {
                assert_ne!(poll.await.expect("a poll") & libc::POLLIN as u32, 0);
            }
        });
        assert_eq!(runtime.metrics().in_flight, 0);
    }
}

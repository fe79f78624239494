//! What a runtime does without being asked, and what it never does.
#![cfg(not(miri))]

use std::fs::File;
use std::io::Write;
use std::net;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr;
use std::thread;
use std::time::Duration;

use runtime_tests::ring::on_a_ring_of;
use runtime_tests::rings::{has, in_a_child, made};
use runtime_tests::{TempDir, Watchdog, pipe, scale, skipped};
use uring::buf::{IoBufMut, Room};
use uring::fd::Fd;
use uring::net::TcpStream;
use uring::ring::{EnterFlags, Features, Setup, SetupFlags, Sqe};
use uring::{Runtime, op};

/// Has every wait of this thread fail with `EPERM` that counts as waiting for a disk: seccomp(2).
fn refuse_waits_that_count_as_io() -> bool {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const IF_SET: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    /// Where `seccomp_data` has the lower half of an argument, on little-endian machines.
    const WANT_AT: u32 = 16 + 2 * 8;
    const FLAGS_AT: u32 = 16 + 3 * 8;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut steps = [
        step(LOAD, 0, 0, 0),
        step(IF_EQUAL, 0, 4, libc::SYS_io_uring_enter as u32),
        step(LOAD, 0, 0, WANT_AT),
        step(IF_EQUAL, 2, 0, 0),
        step(LOAD, 0, 0, FLAGS_AT),
        step(IF_SET, 0, 1, EnterFlags::NO_IOWAIT.bits()),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: `prctl` takes integers here; `program` and what it points to outlive the call, which copies them.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &program) == 0
    }
}

/// `req_33`
#[test]
fn a_loop_that_sleeps_does_not_count_as_waiting_for_a_disk() {
    let Some(ring) = made(&Setup::new(2)) else { return };
    if cfg!(target_endian = "big") || !has(&ring, Features::NO_IOWAIT) {
        return;
    }
    let tested = thread::spawn(|| {
        if !refuse_waits_that_count_as_io() {
            return skipped("seccomp(2) is refused");
        }
        // The filter works: a wait without the flag is refused.
        let flags = EnterFlags::GETEVENTS.bits();
        // SAFETY: plain numbers; were it not refused, there would be no such descriptor.
        let done = unsafe { libc::syscall(libc::SYS_io_uring_enter, -1, 0, 1, flags, 0, 0) };
        assert_eq!((done, std::io::Error::last_os_error().raw_os_error()), (-1, Some(libc::EPERM)));
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(async {
            uring::time::sleep(Duration::from_millis(2)).await;
            let (reader, writer) = pipe();
            let writing = thread::spawn(move || {
                thread::sleep(Duration::from_millis(2));
                File::from(writer).write_all(b"late").expect("written");
            });
            let read = op::Read { fd: Fd::from(reader), offset: None, buf: vec![0; 8] };
            assert_eq!(op::submit(read).await.expect("a read").0, 4);
            writing.join().expect("the thread");
        });
        assert_eq!(runtime.shutdown().leaked, 0);
    });
    tested.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// `req_36`, `req_30`
#[test]
fn no_thread_of_the_kernel_polls_and_no_device_is_polled() {
    for rung in 0..6 {
        let runtime = Runtime::builder().first_rung(rung).build().expect("a runtime");
        let flags = runtime.setup_report().expect("a report").flags();
        let polls = SetupFlags::SQPOLL | SetupFlags::IOPOLL | SetupFlags::HYBRID_IOPOLL;
        assert!(!flags.intersects(polls), "{flags:?}");
    }
}

/// `req_30`
#[test]
fn a_polled_ring_refuses_what_cannot_be_polled_instead_of_waiting_for_ever() {
    let directory = TempDir::new();
    let path = directory.path().join("file");
    std::fs::write(&path, "buffered").expect("a file");
    let file = File::open(&path).expect("a file");
    on_a_ring_of(&Setup::new(8).only(SetupFlags::IOPOLL), |ring| {
        let mut buf = [0; 8];
        let refused = ring.run(Sqe::read(file.as_fd().into(), &mut buf[..], Some(0)));
        assert!([-libc::EOPNOTSUPP, -libc::EINVAL].contains(&refused), "{refused}");
    });
}

/// `req_35`
#[test]
fn a_send_to_a_closed_peer_ends_no_process_whose_sigpipe_is_as_linux_has_it() {
    let _watchdog = Watchdog::new(Duration::from_secs(60) * scale());
    let listener = net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let client = net::TcpStream::connect(listener.local_addr().expect("an address"));
    let client = client.expect("a connection");
    drop(listener.accept().expect("a connection"));
    let mut client = Some(client);
    let told = in_a_child(|| {
        // SAFETY: restores what std has changed; nobody else runs in this child.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let (Ok(runtime), Some(client)) = (Runtime::new(), client.take()) else { return false };
        runtime.block_on(async {
            let client = TcpStream::from(client);
            loop {
                let failed = match client.send(vec![7; 100]).await {
                    Ok(_) => continue,
                    Err(failed) => failed,
                };
                match failed.error().raw_os_error() {
                    Some(libc::ECONNRESET) => {}
                    errno => return errno == Some(libc::EPIPE),
                }
            }
        })
    });
    assert!(told, "the child was ended by a signal, or not told");
}

/// A buffer of nothing but addresses: pages come with the first touch.
struct Vast(*mut u8, usize);

impl Vast {
    fn new(len_bytes: usize) -> Vast {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping.
        let memory = unsafe { libc::mmap(ptr::null_mut(), len_bytes, protection, flags, -1, 0) };
        assert_ne!(memory, libc::MAP_FAILED, "no such range of addresses");
        Vast(memory.cast(), len_bytes)
    }
}

impl AsRef<[u8]> for Vast {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the mapping is ours alone and reads as zeros.
        unsafe { std::slice::from_raw_parts(self.0, self.1) }
    }
}

impl IoBufMut for Vast {
    fn room(&mut self) -> Room<'_> {
        // SAFETY: as above, and borrowed by us alone.
        Room::from(unsafe { std::slice::from_raw_parts_mut(self.0, self.1) })
    }

    unsafe fn set_filled(&mut self, n: usize) {
        assert!(n <= self.1);
    }
}

impl Drop for Vast {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and unmapped once.
        unsafe { libc::munmap(self.0.cast(), self.1) };
    }
}

/// `req_34`
#[test]
#[cfg(target_pointer_width = "64")]
fn buffers_longer_than_a_length_of_the_kernels_are_written_whole_and_read_into() {
    let _watchdog = Watchdog::new(Duration::from_secs(60) * scale());
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        for len_bytes in [(1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, 5 << 30] {
            // Bytes that nobody looks at: none of them is ever touched.
            let file = uring::fs::OpenOptions::new().write(true).open("/dev/null").await;
            let file = file.expect("a file");
            file.write_all_at(Vast::new(len_bytes), 0).await.expect("written whole");
            // A length that was cut to 32 bits would be none at 2³².
            let (reader, writer) = pipe();
            File::from(writer).write_all(b"some").expect("written");
            let fd = Fd::from(reader);
            let read = op::Read { fd, offset: None, buf: Vast::new(len_bytes) };
            let (count, buf) = op::submit(read).await.expect("a read");
            assert_eq!((count, &buf.as_ref()[..4]), (4, &b"some"[..]));
            let (left, right) = std::os::unix::net::UnixStream::pair().expect("sockets");
            (&right).write_all(b"more").expect("written");
            let fd = Fd::from(OwnedFd::from(left));
            let lane = uring::op::lane::Lane::receiving(&fd);
            let lane = futures::FutureExt::now_or_never(lane.hold()).expect("it is free");
            let recv = op::Recv { buf: Vast::new(len_bytes), lane };
            assert_eq!(op::submit(recv).await.expect("a receive").0, 4);
        }
    });
}

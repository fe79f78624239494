//! Limits of the process: what meets one is an error, and afterwards everything goes on. Limits are those of a
//! process, so every test starts one. `req_38`, `req_48`
#![cfg(not(miri))]

use std::fs::File;
use std::io::{self, ErrorKind};
use std::process::Command;
use std::ptr;
use std::time::Duration;

use runtime_tests::{TempDir, Watchdog, descriptors, scale, skipped};
use uring::buf::IoBuf;
use uring::io::raw_os_error;
use uring::net::{TcpListener, TcpStream};
use uring::ring::Setup;
use uring::{Runtime, op};

/// Whether this is the process that the test `name` has started for itself; else starts it.
fn in_a_process_of_its_own(name: &str) -> bool {
    const CHILD: &str = "URING_TEST_OF_LIMITS";
    if std::env::var_os(CHILD).is_some_and(|child| child == name) {
        return true;
    }
    let _watchdog = Watchdog::new(Duration::from_secs(60) * scale());
    let mut again = Command::new(std::env::current_exe().expect("this program"));
    // A panic that finds no memory for its backtrace would wait for itself for ever.
    again.env("RUST_BACKTRACE", "0");
    let ran = again.args([name, "--exact", "--nocapture"]).env(CHILD, name).output();
    let ran = ran.expect("a process");
    let said = String::from_utf8_lossy(&ran.stderr);
    for line in said.lines().filter(|line| line.contains("skipped, because")) {
        eprintln!("{line}");
    }
    assert!(ran.status.success(), "{}: {said}", ran.status);
    false
}

type Resource = libc::__rlimit_resource_t;

/// Sets the limit in force, and leaves the highest one as it is.
fn limit(resource: Resource, value: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: one `rlimit`, written and then read during the calls.
    let done = unsafe {
        libc::getrlimit(resource, &mut limit);
        limit.rlim_cur = value.min(limit.rlim_max);
        libc::setrlimit(resource, &limit)
    };
    assert_eq!(done, 0, "setrlimit failed: {}", io::Error::last_os_error());
}

/// Does something with the ring, the file system and the network.
async fn everything_works() {
    op::submit(op::Nop).await.expect("a nop");
    let file = uring::fs::File::open("/dev/zero").await.expect("a file");
    let (count, _) = file.read_at(vec![1; 100], 0).await.expect("a read");
    assert_eq!(count, 100);
    file.close().await.expect("closed");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let client = TcpStream::connect(address).await.expect("a connection");
    let (server, _) = listener.accept().await.expect("a connection");
    client.send_all("to and fro").await.expect("sent");
    assert_eq!(server.recv_exact([0; 10]).await.expect("received").0, 10);
}

#[test]
fn operations_that_find_no_descriptor_say_so_and_succeed_when_there_is_one() {
    if !in_a_process_of_its_own(
        "operations_that_find_no_descriptor_say_so_and_succeed_when_there_is_one",
    ) {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let no_descriptor = Some(libc::EMFILE);
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let client = std::net::TcpStream::connect(address).expect("a connection");
        limit(libc::RLIMIT_NOFILE, descriptors() as u64 + 10);
        let mut open: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        for _ in 0..100 {
            let accepted = listener.accept().await.expect_err("no descriptor");
            assert_eq!(raw_os_error(&accepted), no_descriptor);
            let connected = TcpStream::connect(address).await.expect_err("no descriptor");
            assert_eq!(raw_os_error(&connected), no_descriptor);
            let opened = uring::fs::File::open("/dev/null").await.expect_err("no descriptor");
            assert_eq!(raw_os_error(&opened), no_descriptor);
            assert_eq!(Runtime::new().expect_err("no descriptor").raw_os_error(), no_descriptor);
            // What needs none goes on.
            op::submit(op::Nop).await.expect("a nop");
        }
        open.truncate(open.len() - 5);
        let (accepted, _) = listener.accept().await.expect("the connection has waited");
        assert_eq!(accepted.peer_addr().ok(), client.local_addr().ok());
        drop((accepted, open));
        everything_works().await;
    });
    assert_eq!(runtime.shutdown().leaked, 0);
}

/// Becomes a user without privileges, if this one may.
fn become_nobody() -> io::Result<()> {
    const NOBODY: u32 = 65534;
    // SAFETY: plain numbers, and an empty list.
    let done = unsafe {
        if libc::geteuid() != 0 {
            return Ok(());
        }
        libc::setgroups(0, ptr::null()) | libc::setgid(NOBODY) | libc::setuid(NOBODY)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[test]
fn a_user_who_may_lock_little_memory_has_runtimes_all_the_same() {
    if !in_a_process_of_its_own("a_user_who_may_lock_little_memory_has_runtimes_all_the_same") {
        return;
    }
    limit(libc::RLIMIT_MEMLOCK, 64 << 10);
    if let Err(error) = become_nobody() {
        return skipped(format!("this user cannot become another: {error}"));
    }
    let mut ring = Setup::new(8).build().expect("a ring");
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(everything_works());
    // A second one shares what may be locked, so its queues are smaller.
    let second = Runtime::new().expect("a second runtime");
    second.block_on(everything_works());
    // Sizes that were asked for are had or refused, and so is memory that is to be locked.
    let asked = Runtime::builder().entries(1 << 12).build();
    match asked {
        Ok(_) => skipped("Linux here does not charge queues to what may be locked"),
        Err(refused) => {
            assert_eq!(refused.raw_os_error(), Some(libc::ENOMEM));
            assert!(refused.to_string().contains("RLIMIT_MEMLOCK"), "{refused}");
        }
    }
    drop(second);
    let refused = ring.register_buffers(&[1 << 20]).expect_err("more than may be locked");
    assert_eq!(refused.kind(), ErrorKind::OutOfMemory);
    runtime_tests::rings::nop(&mut ring, 1);
    assert_eq!(runtime_tests::rings::take(&mut ring, 1)[0].user_data(), 1);
    runtime.block_on(everything_works());
    assert_eq!(runtime.shutdown().leaked, 0);
}

/// Addresses that this process has in use, in bytes: `proc_pid_statm(5)`.
fn address_space_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages = text.split(' ').next().and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("the number of pages") * 4096
}

#[test]
fn queues_that_find_no_memory_are_an_error_and_can_be_had_when_there_is_some() {
    if !in_a_process_of_its_own(
        "queues_that_find_no_memory_are_an_error_and_can_be_had_when_there_is_some",
    ) {
        return;
    }
    let large = || Runtime::builder().entries(1 << 15).cq_entries(1 << 16).build();
    let working = Runtime::new().expect("a runtime");
    // Whatever is allocated once is by now.
    working.block_on(everything_works());
    for _ in 0..3 {
        limit(libc::RLIMIT_AS, address_space_bytes() + (64 << 20));
        let mut runtimes = Vec::new();
        let error = loop {
            match large() {
                Ok(runtime) => runtimes.push(runtime),
                Err(error) => break error,
            }
            assert!(runtimes.len() < 64, "there is no limit");
        };
        assert_eq!(error.raw_os_error(), Some(libc::ENOMEM), "{error}");
        // Memory for what is not a queue. There may be no large one at all: at a moment that threads decide, glibc
        // reserves 64 MiB for one of them. mallopt(3)
        runtimes.pop();
        // Those that there are go on, and so does the small one.
        if let Some(runtime) = runtimes.first() {
            runtime.block_on(everything_works());
        }
        working.block_on(everything_works());
        drop(runtimes);
        limit(libc::RLIMIT_AS, libc::RLIM_INFINITY);
        // Seen once, on a busy machine with 0.5 GiB free and the rest full of cached files: Linux takes the pages of a
        // ring in bulk, and of those it may get fewer than it asks for, which is ENOMEM too and passes.
        let again = loop {
            match large() {
                Ok(runtime) => break runtime,
                Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(error) => panic!("{error}"),
            }
        };
        again.block_on(everything_works());
    }
}

#[test]
fn a_ring_that_finds_no_memory_to_grow_stays_as_it_is() {
    if !in_a_process_of_its_own("a_ring_that_finds_no_memory_to_grow_stays_as_it_is") {
        return;
    }
    let mut ring = Setup::new(8).build().expect("a ring");
    if ring.resize(16, None).is_err() {
        return skipped("Linux here cannot resize rings");
    }
    limit(libc::RLIMIT_AS, address_space_bytes() + (1 << 20));
    runtime_tests::rings::nop(&mut ring, 1);
    assert_eq!(ring.resize(1 << 15, None).expect_err("no memory").kind(), ErrorKind::OutOfMemory);
    limit(libc::RLIMIT_AS, libc::RLIM_INFINITY);
    assert_eq!(runtime_tests::rings::take(&mut ring, 1)[0].user_data(), 1);
}

#[test]
fn a_file_that_is_larger_than_memory_is_an_error_and_nothing_ends() {
    if !in_a_process_of_its_own("a_file_that_is_larger_than_memory_is_an_error_and_nothing_ends") {
        return;
    }
    let directory = TempDir::new();
    let path = directory.path().join("sparse");
    let file = File::create(&path).expect("a file");
    file.set_len(1 << 40).expect("a file with a hole");
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(everything_works());
    limit(libc::RLIMIT_AS, address_space_bytes() + (64 << 20));
    runtime.block_on(async {
        let error = uring::fs::read(&path).await.expect_err("no memory");
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
        let file = uring::fs::File::open(&path).await.expect("a file");
        let part = file.read_at(vec![1; 10], 1 << 39).await.expect("a read").1;
        assert_eq!(part.slice(..).bytes(), [0; 10]);
        everything_works().await;
    });
}

#[test]
fn many_operations_in_flight_stay_within_the_memory_that_is_counted_on() {
    if !in_a_process_of_its_own(
        "many_operations_in_flight_stay_within_the_memory_that_is_counted_on",
    ) {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(everything_works());
    let (reader, _writer) = runtime_tests::pipe();
    let reader = uring::fd::Fd::from(reader);
    let count = 20_000 / scale() as usize;
    // A kilobyte for each operation, and the vector's doubling; nothing aborts.
    limit(libc::RLIMIT_AS, address_space_bytes() + (64 << 20));
    for _ in 0..3 {
        runtime.block_on(async {
            let reads: Vec<_> = (0..count)
                .map(|_| {
                    let fd = reader.clone();
                    op::submit(op::Read { fd, offset: None, buf: [0u8; 16] })
                })
                .collect();
            assert_eq!(runtime.metrics().in_flight, count);
            drop(reads);
            runtime_tests::all_quiet(&runtime).await;
        });
    }
    runtime.block_on(everything_works());
}

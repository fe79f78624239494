//! What an operation lends beside its buffer (paths, addresses, records) stays where it is, wherever its future
//! goes.

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use runtime_tests::{On, TempDir, a_while, descriptors_below, kernels, on_every_kernel, one_turn};
use uring::fs::File;
use uring::op::{self, InFlight, Op};

/// Polls a future once, and then moves it elsewhere.
fn moved_after_a_poll<T: Op>(future: InFlight<T>) -> InFlight<T> {
    let mut first = Box::new(Some(future));
    let mut context = Context::from_waker(Waker::noop());
    let polled = Pin::new(first.as_mut().as_mut().expect("just put there")).poll(&mut context);
    assert!(matches!(polled, Poll::Pending), "it takes a turn");
    first.take().expect("just put there")
}

/// `req_5`
#[test]
fn a_record_that_a_worker_fills_comes_whole_when_its_future_is_moved() {
    on_every_kernel(|runtime, on| {
        let folder = on.is_linux().then(TempDir::new);
        let path = folder.as_ref().map_or("/tmp".into(), |folder| folder.path().to_owned());
        runtime.block_on(async {
            uring::fs::write(path.join("five"), "bytes").await.expect("a file");
            let name = path.join("five").into_os_string().into_vec();
            // Linux does this on a worker thread; path and record are in the operation.
            let statx = op::Statx::path(CString::new(name).expect("no zero in it"));
            let statx = moved_after_a_poll(op::submit(statx));
            one_turn().await;
            let found = Box::pin(statx).await.expect("a description");
            assert_eq!(found.size, 5);
        });
    });
}

/// `req_5`
#[test]
fn a_read_keeps_its_buffer_when_its_future_is_moved() {
    on_every_kernel(|runtime, on| {
        let (reader, writer) = on.pipe();
        runtime.block_on(async {
            let read = op::Read { fd: reader.clone(), offset: None, buf: vec![0; 8] };
            let read = moved_after_a_poll(op::submit(read));
            a_while().await;
            // Once more, now that the kernel has it.
            let read = moved_after_a_poll(read);
            runtime_tests::put(&writer, b"whole").await;
            let (count, buf) = read.await.expect("a read");
            assert_eq!(&buf[..count], b"whole");
        });
    });
}

/// `req_62`
#[test]
fn a_file_that_is_dropped_as_the_last_act_of_a_runtime_is_closed() {
    for on in kernels() {
        let folder = matches!(on, On::Linux { .. }).then(TempDir::new);
        let path = folder.as_ref().map_or("/tmp".into(), |folder| folder.path().to_owned());
        let runtime = on.runtime();
        runtime.block_on(async {
            let file = File::create(path.join("last")).await.expect("a file");
            // A write in flight keeps it open beyond this function.
            let write = file.write_at(vec![1; 4096], 0);
            let _ = futures::poll!(std::pin::pin!(write));
            drop(file);
        });
        drop(runtime);
        match &on {
            On::Linux { .. } => assert_eq!(descriptors_below(&path), 0),
            On::Sim { sim, .. } => assert_eq!(sim.open_descriptors(), 0),
        }
    }
}

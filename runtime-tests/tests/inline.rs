//! Short calls on files that are made at once, where the builder says so.

use std::path::Path;
use std::pin::pin;

use runtime_tests::{On, TempDir, kernels, on_every_kernel, pipe, poll_once, skipped};
use uring::fs::{self, File, OpenOptions};
use uring::io::raw_os_error;
use uring::{Runtime, ring};

/// Runs a test on Linux with calls made at once, in an empty directory.
fn at_once(test: impl AsyncFn(&Path, &Runtime)) {
    if cfg!(miri) {
        return skipped("Miri has no io_uring");
    }
    let runtime = Runtime::builder().inline_file_calls(4096).build().expect("a runtime");
    let directory = TempDir::new();
    runtime.block_on(test(directory.path(), &runtime));
    assert_eq!(runtime.metrics().strange_completions, 0);
    assert_eq!(runtime.shutdown().leaked, 0);
}

#[test]
fn a_short_write_is_done_when_it_is_first_polled() {
    at_once(async |directory, _| {
        let file = File::create_new(directory.join("file")).await.expect("a new file");
        let (n, _) =
            poll_once(&mut pin!(file.write_at("bytes", 3))).expect("done").expect("written");
        assert_eq!(n, 5);
        assert_eq!(std::fs::read(directory.join("file")).expect("read"), b"\0\0\0bytes");
    });
}

#[test]
fn a_longer_write_goes_to_a_worker() {
    at_once(async |directory, _| {
        let file = File::create_new(directory.join("file")).await.expect("a new file");
        let mut write = pin!(file.write_at(vec![7; 4097], 0));
        assert!(poll_once(&mut write).is_none());
        assert_eq!(write.await.expect("written").0, 4097);
    });
}

#[test]
fn a_write_at_the_position_moves_it_on() {
    at_once(async |directory, _| {
        let file = File::create_new(directory.join("file")).await.expect("a new file");
        for piece in ["one ", "two ", "three"] {
            poll_once(&mut pin!(file.write(piece))).expect("done").expect("written");
        }
        assert_eq!(std::fs::read(directory.join("file")).expect("read"), b"one two three");
    });
}

#[test]
fn a_write_to_a_full_pipe_waits_without_holding_up_the_thread() {
    at_once(async |_, _| {
        let (reader, writer) = pipe();
        let (reader, writer) = (File::from(reader), File::from(writer));
        while poll_once(&mut pin!(writer.write(vec![7; 4096]))).is_some() {}
        let mut written = 0;
        let mut more = pin!(writer.write(vec![7; 4096]));
        while poll_once(&mut more).is_none() {
            written += reader.read(vec![0; 4096]).await.expect("read").0;
        }
        assert!(written > 0);
    });
}

#[test]
fn a_write_that_waits_for_the_disk_goes_to_a_worker() {
    at_once(async |directory, _| {
        let mut options = OpenOptions::new();
        options.write(true).create(true).custom_flags(libc::O_DSYNC);
        let file = options.open(directory.join("file")).await.expect("a new file");
        let mut write = pin!(file.write_at("bytes", 0));
        assert!(poll_once(&mut write).is_none());
        assert_eq!(write.await.expect("written").0, 5);
    });
}

#[test]
fn names_and_descriptions_are_done_when_they_are_first_polled() {
    at_once(async |directory, _| {
        let at = |name: &str| directory.join(name);
        let file = File::create_new(at("file")).await.expect("a new file");
        poll_once(&mut pin!(file.set_len(7))).expect("done").expect("set");
        poll_once(&mut pin!(fs::rename(at("file"), at("new")))).expect("done").expect("renamed");
        poll_once(&mut pin!(fs::symlink("new", at("soft")))).expect("done").expect("linked");
        poll_once(&mut pin!(fs::hard_link(at("new"), at("hard")))).expect("done").expect("linked");
        poll_once(&mut pin!(fs::create_dir(at("dir")))).expect("done").expect("made");
        let metadata = poll_once(&mut pin!(fs::metadata(at("soft")))).expect("done");
        let metadata = metadata.expect("metadata");
        assert_eq!((metadata.len(), metadata.nlink()), (7, 2));
        poll_once(&mut pin!(fs::remove_file(at("new")))).expect("done").expect("removed");
        poll_once(&mut pin!(fs::remove_dir(at("dir")))).expect("done").expect("removed");
        let link = poll_once(&mut pin!(fs::symlink_metadata(at("soft")))).expect("done");
        assert!(link.expect("metadata").is_symlink());
    });
}

#[test]
fn an_error_of_a_call_made_at_once_keeps_its_errno_and_its_path() {
    at_once(async |directory, _| {
        let path = directory.join("absent");
        let error = poll_once(&mut pin!(fs::remove_file(&path))).expect("done");
        let error = error.expect_err("absent");
        assert_eq!(raw_os_error(&error), Some(libc::ENOENT));
        assert!(error.to_string().contains("absent"), "{error}");
    });
}

#[test]
fn a_task_that_does_nothing_else_lets_the_loop_turn() {
    at_once(async |directory, runtime| {
        let file = File::create_new(directory.join("file")).await.expect("a new file");
        let before = runtime.metrics().enters;
        for _ in 0..1000 {
            file.write_at("bytes", 0).await.expect("written");
        }
        let turns = runtime.metrics().enters - before;
        assert!((10..=500).contains(&turns), "{turns} turns for 1,000 writes");
    });
}

#[test]
fn on_a_simulated_kernel_nothing_is_different() {
    for on in kernels() {
        let On::Sim { sim, .. } = &on else { continue };
        let builder = Runtime::builder().kernel(sim.kernel()).inline_file_calls(4096);
        let runtime = builder.build().expect("a runtime");
        sim.make_dir("/directory");
        runtime.block_on(async {
            fs::write("/directory/file", "bytes").await.expect("written");
            fs::remove_file("/directory/file").await.expect("removed");
        });
    }
}

#[test]
fn without_the_setting_a_worker_does_it() {
    on_every_kernel(|runtime, on| {
        if !on.is_linux() {
            return;
        }
        let directory = TempDir::new();
        runtime.block_on(async {
            let mut made = pin!(fs::create_dir(directory.path().join("new")));
            assert!(poll_once(&mut made).is_none());
            made.await.expect("made");
        });
    });
}

#[test]
fn the_processors_of_a_thread_are_some_and_workers_may_be_bound_to_them() {
    if cfg!(miri) {
        return skipped("Miri has no io_uring");
    }
    let cpus = ring::CpuSet::of_thread().expect("the processors of this thread");
    assert!(!cpus.is_empty());
    let runtime = Runtime::builder().worker_cpus(cpus).build().expect("a runtime");
    let directory = TempDir::new();
    runtime.block_on(async {
        fs::create_dir(directory.path().join("new")).await.expect("made by a worker");
    });
}

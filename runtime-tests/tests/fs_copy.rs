//! Copying files: on every kernel what users rely on, on Linux what file systems and other programs add.

use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use runtime_tests::{
    TempDir, a_while, descriptors_below, in_every_world, on_linux, poll_once, skipped,
};
use uring::fs;
use uring::io::raw_os_error;

/// Runs a test on Linux, in an empty directory.
fn in_linux(test: impl AsyncFn(&Path)) {
    on_linux(|runtime| {
        let directory = TempDir::new();
        runtime.block_on(test(directory.path()));
    });
}

/// So many bytes that do not repeat within a page.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i % 251) as u8).collect()
}

#[test]
fn a_copy_holds_what_its_source_holds() {
    let many = if cfg!(miri) { 5_000 } else { 1_100_001 };
    in_every_world(async |directory| {
        for count in [0, 1, 4096, many] {
            let (from, to) = (directory.join("from"), directory.join("to"));
            fs::write(&from, bytes(count)).await.expect("written");
            assert_eq!(fs::copy(&from, &to).await.expect("copied"), count as u64);
            assert!(fs::read(&to).await.expect("read") == bytes(count), "{count} bytes");
        }
    });
}

#[test]
fn a_copy_replaces_what_was_there() {
    in_every_world(async |directory| {
        let (from, to) = (directory.join("from"), directory.join("to"));
        fs::write(&from, "short").await.expect("written");
        fs::write(&to, "something longer").await.expect("written");
        fs::copy(&from, &to).await.expect("copied");
        assert_eq!(fs::read(&to).await.expect("read"), b"short");
    });
}

#[test]
fn a_file_is_not_copied_onto_itself_and_stays_as_it_is() {
    in_every_world(async |directory| {
        let path = directory.join("file");
        fs::write(&path, "bytes").await.expect("written");
        let error = fs::copy(&path, &path).await.expect_err("the same");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().ends_with("are the same file"), "{error}");
        assert_eq!(fs::read(&path).await.expect("read"), b"bytes");
    });
}

#[test]
fn what_is_no_regular_file_is_not_copied_and_nothing_is_made() {
    in_every_world(async |directory| {
        let to = directory.join("to");
        let error = fs::copy(directory, &to).await.expect_err("a directory");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let expected = format!("copy {} to {}: ", directory.display(), to.display());
        assert!(error.to_string().starts_with(&expected), "{error}");
        assert_eq!(fs::metadata(&to).await.expect_err("none").kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_missing_source_is_an_error_and_nothing_is_made() {
    in_every_world(async |directory| {
        let to = directory.join("to");
        let error = fs::copy(directory.join("absent"), &to).await.expect_err("absent");
        assert_eq!(raw_os_error(&error), Some(libc::ENOENT));
        assert_eq!(fs::metadata(&to).await.expect_err("none").kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_directory_is_no_destination() {
    in_every_world(async |directory| {
        let from = directory.join("from");
        fs::write(&from, "bytes").await.expect("written");
        let error = fs::copy(&from, directory).await.expect_err("a directory");
        assert_eq!(raw_os_error(&error), Some(libc::EISDIR));
    });
}

#[test]
fn a_full_device_as_destination_is_an_error() {
    in_every_world(async |directory| {
        let from = directory.join("from");
        fs::write(&from, "bytes").await.expect("written");
        let error = fs::copy(&from, "/dev/full").await.expect_err("full");
        assert_eq!(raw_os_error(&error), Some(libc::ENOSPC));
    });
}

#[test]
fn permissions_are_copied_without_the_right_to_act_as_the_owner() {
    in_linux(async |directory| {
        for (name, before) in [("new", None), ("old", Some(0o644))] {
            let (from, to) = (directory.join("from"), directory.join(name));
            std::fs::write(&from, "bytes").expect("written");
            std::fs::set_permissions(&from, PermissionsExt::from_mode(0o4750)).expect("set");
            if let Some(mode) = before {
                std::fs::write(&to, "").expect("written");
                std::fs::set_permissions(&to, PermissionsExt::from_mode(mode)).expect("set");
            }
            fs::copy(&from, &to).await.expect("copied");
            assert_eq!(fs::metadata(&to).await.expect("metadata").mode() & 0o7777, 0o750, "{name}");
        }
    });
}

#[test]
fn holes_stay_holes() {
    const MIB: u64 = 1 << 20;
    in_linux(async |directory| {
        let (from, to) = (directory.join("from"), directory.join("to"));
        let file = std::fs::File::create(&from).expect("a file");
        file.write_all_at(&bytes(5000), 8 * MIB).expect("written");
        file.write_all_at(&bytes(70), 32 * MIB).expect("written");
        file.set_len(64 * MIB).expect("lengthened");
        file.sync_all().expect("flushed, so that its blocks are known");
        if file.metadata().expect("metadata").blocks() * 512 > MIB {
            return skipped("this file system makes no holes");
        }
        assert_eq!(fs::copy(&from, &to).await.expect("copied"), 64 * MIB);
        assert!(fs::read(&to).await.expect("read") == fs::read(&from).await.expect("read"));
        let blocks = std::fs::metadata(&to).expect("metadata").blocks();
        assert!(blocks * 512 < MIB, "{blocks} blocks of 512 bytes");
    });
}

#[test]
fn a_file_of_nothing_but_a_hole_is_copied() {
    in_linux(async |directory| {
        let (from, to) = (directory.join("from"), directory.join("to"));
        std::fs::File::create(&from).and_then(|file| file.set_len(1 << 40)).expect("a hole");
        assert_eq!(fs::copy(&from, &to).await.expect("copied"), 1 << 40);
        assert_eq!(std::fs::metadata(&to).expect("metadata").len(), 1 << 40);
    });
}

#[test]
fn a_file_that_tells_no_size_is_copied() {
    in_linux(async |directory| {
        let to = directory.join("to");
        let copied = fs::copy("/proc/self/limits", &to).await.expect("copied");
        let text = fs::read_to_string(&to).await.expect("read");
        assert!(text.starts_with("Limit"), "{text}");
        assert_eq!(text.len() as u64, copied);
    });
}

#[test]
fn a_link_is_followed_at_both_ends() {
    in_linux(async |directory| {
        let at = |name| directory.join(name);
        std::fs::write(at("file"), "bytes").expect("written");
        std::os::unix::fs::symlink("file", at("from")).expect("linked");
        std::os::unix::fs::symlink("copy", at("to")).expect("linked");
        fs::copy(at("from"), at("to")).await.expect("copied");
        assert_eq!(std::fs::read(at("copy")).expect("read"), b"bytes");
        let error = fs::copy(at("file"), at("from")).await.expect_err("the same");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_pipe_as_destination_gets_the_contents() {
    in_linux(async |directory| {
        let (from, fifo) = (directory.join("from"), directory.join("fifo"));
        std::fs::write(&from, bytes(300_000)).expect("written");
        let made = Command::new("mkfifo").arg(&fifo).status().expect("mkfifo(1)");
        assert!(made.success());
        let reader = std::thread::spawn(move || std::fs::read(fifo).expect("read"));
        assert_eq!(fs::copy(&from, directory.join("fifo")).await.expect("copied"), 300_000);
        assert!(reader.join().expect("no panic") == bytes(300_000));
    });
}

#[test]
fn a_copy_to_a_pipe_that_nobody_reads_is_dropped_with_its_future() {
    in_linux(async |directory| {
        let (from, fifo) = (directory.join("from"), directory.join("fifo"));
        std::fs::write(&from, bytes(300_000)).expect("written");
        let made = Command::new("mkfifo").arg(&fifo).status().expect("mkfifo(1)");
        assert!(made.success());
        let mut copy = Box::pin(fs::copy(&from, &fifo));
        for _ in 0..3 {
            assert!(poll_once(&mut copy).is_none(), "nobody reads");
            a_while().await;
        }
        drop(copy);
        while descriptors_below(directory) > 0 {
            a_while().await;
        }
    });
}

#[test]
fn a_dropped_copy_leaves_no_descriptor() {
    in_linux(async |directory| {
        let (from, to) = (directory.join("from"), directory.join("to"));
        std::fs::write(&from, bytes(10_000_000)).expect("written");
        for polls in 1..6 {
            let mut copy = Box::pin(fs::copy(&from, &to));
            for _ in 0..polls {
                if poll_once(&mut copy).is_some() {
                    break;
                }
                uring::task::yield_now().await;
            }
            drop(copy);
            while descriptors_below(directory) > 0 {
                a_while().await;
            }
        }
    });
}

#[test]
fn a_full_disk_is_an_error_that_names_both_paths() {
    in_linux(async |directory| {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k", "none"]).arg(directory);
        match mount.output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => return skipped(String::from_utf8_lossy(&output.stderr).trim()),
            Err(error) => return skipped(format!("mount(8) cannot be run: {error}")),
        }
        let source = TempDir::new();
        let (from, to) = (source.path().join("from"), directory.join("to"));
        std::fs::write(&from, bytes(100_000)).expect("written");
        let copied = fs::copy(&from, &to).await;
        let unmounted = Command::new("umount").arg("-l").arg(directory).status();
        let error = copied.expect_err("full");
        assert_eq!(raw_os_error(&error), Some(libc::ENOSPC));
        let expected = format!("copy {} to {}: ", from.display(), to.display());
        assert!(error.to_string().starts_with(&expected), "{error}");
        assert!(unmounted.is_ok_and(|status| status.success()));
    });
}

//! Files as only Linux can show them: other programs and users, small disks, pipes and sockets.

use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::pin::pin;
use std::process::{Command, Stdio};

use runtime_tests::{Ledger, NotedBuf, TempDir, on_linux, poll_once, skipped};
use uring::buf::IoBuf;
use uring::fs::{self, File, OpenOptions};
use uring::io::{Read, Write, raw_os_error};
use uring::task::yield_now;

/// Runs a test on Linux alone, in an empty directory.
fn in_linux(test: impl AsyncFn(&Path)) {
    on_linux(|runtime| {
        let directory = TempDir::new();
        runtime.block_on(test(directory.path()));
    });
}

#[test]
fn metadata_says_what_std_says() {
    in_linux(async |directory| {
        let path = directory.join("file");
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o640)
            .open(&path)
            .expect("made");
        std::fs::write(&path, [1; 5000]).expect("written");
        for path in [&path, directory, Path::new("/dev/null")] {
            let (ours, theirs) = (fs::metadata(path).await, std::fs::metadata(path));
            let (ours, theirs) = (ours.expect("metadata"), theirs.expect("metadata"));
            assert_eq!((ours.len(), ours.mode()), (theirs.len(), theirs.mode()));
            assert_eq!((ours.is_file(), ours.is_dir()), (theirs.is_file(), theirs.is_dir()));
            assert_eq!(ours.permissions(), theirs.permissions());
            assert_eq!((ours.dev(), ours.ino()), (theirs.dev(), theirs.ino()));
            assert_eq!((ours.rdev(), ours.nlink()), (theirs.rdev(), theirs.nlink()));
            assert_eq!((ours.uid(), ours.gid()), (theirs.uid(), theirs.gid()));
            assert_eq!((ours.blksize(), ours.blocks()), (theirs.blksize(), theirs.blocks()));
            assert_eq!(ours.modified().ok(), theirs.modified().ok());
            assert_eq!(ours.accessed().ok(), theirs.accessed().ok());
            assert_eq!(ours.created().ok(), theirs.created().ok());
        }
    });
}

#[test]
fn a_created_file_has_the_mode_asked_for_and_is_not_inherited() {
    in_linux(async |directory| {
        let path = directory.join("file");
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).mode(0o600).open(&path).await.expect("made");
        assert_eq!(file.metadata().await.expect("metadata").mode() & 0o777, 0o600);
        let number = file.as_raw_fd();
        let number = format!("/proc/self/fd/{number}");
        let status = Command::new("test").arg("-e").arg(&number).status().expect("test(1)");
        assert!(!status.success(), "{number} was inherited");
    });
}

#[test]
fn an_unreadable_file_is_an_error_that_names_it() {
    in_linux(async |directory| {
        let path = directory.join("secret");
        std::fs::write(&path, "secret").expect("written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o000)).expect("set");
        if std::fs::File::open(&path).is_ok() {
            return skipped("this user may read everything");
        }
        let error = File::open(&path).await.expect_err("not allowed");
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("secret"), "{error}");
    });
}

/// Runs a test on a disk of 64 KiB; says so if there can be none.
fn on_a_small_disk(test: impl AsyncFn(&Path)) {
    in_linux(async |directory| {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k", "none"]).arg(directory);
        match mount.output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => return skipped(String::from_utf8_lossy(&output.stderr).trim()),
            Err(error) => return skipped(format!("mount(8) cannot be run: {error}")),
        }
        let _mounted = Mounted(directory);
        test(directory).await;
    });
}

/// A mount, undone at the end, also by a panic.
struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_takes_what_fits_and_gives_the_buffer_back() {
    on_a_small_disk(async |directory| {
        let path = directory.join("file");
        let failed = fs::write(&path, vec![7; 100_000]).await.map(drop).expect_err("full");
        assert_eq!(raw_os_error(failed.error()), Some(libc::ENOSPC));
        assert!(failed.into_buf() == [7; 100_000]);
        assert_eq!(fs::metadata(&path).await.expect("metadata").len(), 65_536);
    });
}

#[test]
fn a_position_moves_on_by_what_a_full_disk_took() {
    on_a_small_disk(async |directory| {
        let mut file = File::create_new(directory.join("file")).await.expect("a new file");
        let (n, buf) = file.write(vec![1; 100_000]).await.expect("a part");
        assert_eq!(n, 65_536);
        let failed = file.write_all(buf.slice(n..)).await.map(drop).expect_err("full");
        assert_eq!(failed.raw_os_error(), Some(libc::ENOSPC));
        let failed = file.write_all("more").await.expect_err("still full");
        assert_eq!(failed.raw_os_error(), Some(libc::ENOSPC));
    });
}

/// A file that nothing can be read from while the other end is held and silent.
fn silent_file() -> (File, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("two sockets");
    (File::from(OwnedFd::from(ours)), theirs)
}

#[test]
fn a_pipe_is_read_to_its_end() {
    in_linux(async |_| {
        let mut command = Command::new("head");
        command.args(["-c", "300000", "/dev/zero"]).stdout(Stdio::piped());
        let mut child = command.spawn().expect("head(1)");
        let pipe = OwnedFd::from(child.stdout.take().expect("a pipe"));
        let (n, buf) = File::from(pipe).read_to_end(Vec::new()).await.expect("read");
        child.wait().expect("a child");
        assert_eq!((n, buf), (300_000, vec![0; 300_000]));
    });
}

#[test]
fn a_file_that_tells_no_size_is_read_to_its_end() {
    in_linux(async |_| {
        let text = fs::read_to_string("/proc/self/status").await.expect("read");
        assert!(text.starts_with("Name:") && text.ends_with('\n'), "{text}");
    });
}

#[test]
fn a_file_becomes_one_of_std_and_back() {
    in_linux(async |directory| {
        let path = directory.join("file");
        fs::write(&path, "bytes").await.expect("written");
        let file = File::open(&path).await.expect("the file");
        let file = file.into_std().expect("nothing is in flight");
        assert_eq!(file.metadata().expect("metadata").size(), 5);
        let (_, buf) = File::from(file).read_exact_at([0; 5], 0).await.expect("read");
        assert_eq!(&buf, b"bytes");
    });
}

#[test]
fn a_file_with_an_operation_in_flight_does_not_become_one_of_std() {
    in_linux(async |_| {
        let (mut file, _other) = silent_file();
        let mut read = Box::pin(file.read([0; 5]));
        assert!(poll_once(&mut read).is_none());
        drop(read);
        let mut turns = 0;
        // The cancel has to go to the kernel and come back.
        while let Err(same) = file.into_std() {
            file = same;
            turns += 1;
            yield_now().await;
        }
        assert!(turns > 0, "the read was in flight");
    });
}

#[test]
fn a_dropped_read_frees_its_buffer_when_the_kernel_is_done_with_it() {
    in_linux(async |_| {
        let ledger = Ledger::new();
        let (file, _other) = silent_file();
        {
            let mut read = pin!(file.read(NotedBuf::new(5, &ledger, "buffer freed")));
            assert!(poll_once(&mut read).is_none());
        }
        ledger.note("future dropped");
        file.close().await.expect("closed");
        assert_eq!(ledger.events(), ["future dropped", "buffer freed"]);
    });
}

#[test]
fn flushing_a_socket_fails() {
    in_linux(async |_| {
        let (file, _other) = silent_file();
        let error = file.sync_all().await.expect_err("a socket");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    });
}

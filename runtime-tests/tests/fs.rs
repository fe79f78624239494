//! Files: good days and bad input. What only Linux can show is in `fs_linux.rs`.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::rc::Rc;

use runtime_tests::{Ledger, NotedBuf, in_every_world, panic_of, poll_once};
use uring::buf::IoBuf;
use uring::fs::{self, File, OpenOptions};
use uring::io::{Write, raw_os_error};
use uring::task::yield_now;

/// Enough bytes for several pages; Miri counts every one.
const MANY_BYTES: usize = if cfg!(miri) { 10_000 } else { 1_000_000 };

/// A file that holds `bytes`, opened for reading and writing.
async fn file_of(path: PathBuf, bytes: &'static [u8]) -> File {
    let file = File::create_new(path).await.expect("a new file");
    file.write_all_at(bytes, 0).await.expect("room for a few bytes");
    file
}

#[test]
fn a_missing_file_is_an_error_that_names_it() {
    in_every_world(async |directory| {
        let path = directory.join("absent");
        let error = File::open(&path).await.expect_err("absent");
        let cause = std::io::Error::from_raw_os_error(libc::ENOENT);
        let expected = format!("open {}: {cause}", path.display());
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(raw_os_error(&error), Some(libc::ENOENT));
        let error = fs::metadata(&path).await.expect_err("absent");
        assert!(error.to_string().starts_with(&format!("stat {}: ", path.display())));
    });
}

#[test]
fn a_read_or_write_that_is_polled_again_after_its_result_says_so() {
    in_every_world(async |directory| {
        let file = file_of(directory.join("file"), b"x").await;
        for offset in [0, u64::MAX] {
            let (mut read, mut write) = (file.read_at([0], offset), file.write_at([1], offset));
            assert_eq!((&mut read).await.is_ok(), offset == 0);
            assert_eq!((&mut write).await.is_ok(), offset == 0);
            for said in [panic_of(|| poll_once(&mut read)), panic_of(|| poll_once(&mut write))] {
                assert!(said.contains("polled after it had yielded its result"), "{said}");
            }
        }
    });
}

#[test]
fn a_path_with_a_nul_byte_is_invalid_and_named() {
    in_every_world(async |_| {
        for error in [
            File::open("a\0b").await.expect_err("NUL"),
            fs::metadata("a\0b").await.expect_err("NUL"),
            fs::write("a\0b", "").await.expect_err("NUL").into(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains("a\0b: the path contains a NUL byte"), "{error}");
        }
    });
}

#[test]
fn options_that_contradict_each_other_open_nothing() {
    in_every_world(async |directory| {
        let path = directory.join("file");
        let error = OpenOptions::new().read(true).create(true).open(&path).await;
        assert_eq!(error.expect_err("no write access").kind(), ErrorKind::InvalidInput);
        assert_eq!(fs::metadata(&path).await.expect_err("none").kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_directory_can_be_opened_and_not_be_read() {
    in_every_world(async |directory| {
        let file = File::open(directory).await.expect("a directory");
        assert!(file.metadata().await.expect("metadata").is_dir());
        let failed = file.read_at(vec![7; 3], 0).await.expect_err("a directory");
        assert_eq!(failed.raw_os_error(), Some(libc::EISDIR));
        assert_eq!(failed.into_buf(), [7; 3]);
        let error = fs::read(directory).await.expect_err("a directory");
        assert_eq!(raw_os_error(&error), Some(libc::EISDIR));
        assert!(error.to_string().contains(&directory.display().to_string()), "{error}");
    });
}

#[test]
fn a_full_device_is_an_error_that_gives_the_buffer_back() {
    in_every_world(async |_| {
        let file = OpenOptions::new().write(true).open("/dev/full").await.expect("/dev/full");
        let failed = file.write_all_at("bytes", 0).await.expect_err("full");
        assert_eq!(failed.raw_os_error(), Some(libc::ENOSPC));
        assert_eq!(failed.into_buf(), "bytes");
        let failed = fs::write("/dev/full", "bytes").await.expect_err("full");
        assert!(failed.to_string().starts_with("write /dev/full: "), "{failed}");
        assert_eq!(failed.into_buf(), "bytes");
    });
}

#[test]
fn a_file_opened_for_the_other_direction_gives_the_buffer_back() {
    in_every_world(async |directory| {
        let path = directory.join("file");
        let file = File::create(&path).await.expect("a new file");
        let failed = file.read_at(Vec::with_capacity(9), 0).await.expect_err("not for reading");
        assert_eq!(failed.raw_os_error(), Some(libc::EBADF));
        assert_eq!(failed.into_buf().capacity(), 9);
        let file = File::open(&path).await.expect("the file");
        let failed = file.write_at("bytes", 0).await.expect_err("not for writing");
        assert_eq!(failed.raw_os_error(), Some(libc::EBADF));
        assert_eq!(failed.into_buf(), "bytes");
    });
}

#[test]
fn what_was_written_at_an_offset_is_read_there() {
    in_every_world(async |directory| {
        let file = file_of(directory.join("file"), b"0123456789").await;
        file.write_all_at("abc", 4).await.expect("written");
        let (n, buf) = file.read_at(Vec::with_capacity(6), 3).await.expect("read");
        assert_eq!((n, &buf[..]), (6, &b"3abc78"[..]));
    });
}

#[test]
fn offsets_beyond_four_gibibytes_work() {
    in_every_world(async |directory| {
        const FAR: u64 = 5 << 30;
        let file = File::create_new(directory.join("sparse")).await.expect("a new file");
        file.write_all_at("far away", FAR).await.expect("written");
        assert_eq!(file.metadata().await.expect("metadata").len(), FAR + 8);
        let (_, buf) = file.read_exact_at([0; 8], FAR).await.expect("read");
        assert_eq!(&buf, b"far away");
        let (n, _) = file.read_at([1; 8], FAR - 8).await.expect("read");
        assert_eq!(n, 8);
    });
}

#[test]
fn an_offset_that_no_file_can_have_is_refused() {
    in_every_world(async |directory| {
        let file = file_of(directory.join("file"), b"bytes").await;
        for offset in [u64::MAX, i64::MAX as u64 + 1] {
            let failed = file.read_at([0; 1], offset).await.expect_err("no such offset");
            assert_eq!(failed.raw_os_error(), Some(libc::EINVAL));
            let failed = file.write_at([0; 1], offset).await.expect_err("no such offset");
            assert_eq!(failed.raw_os_error(), Some(libc::EINVAL));
        }
        assert_eq!(file.metadata().await.expect("metadata").len(), 5);
    });
}

#[test]
fn reads_are_short_at_the_end_and_empty_behind_it() {
    in_every_world(async |directory| {
        let file = file_of(directory.join("file"), b"0123456789").await;
        let (n, buf) = file.read_at(vec![0; 100], 7).await.expect("read");
        assert_eq!((n, &buf[..], buf.capacity()), (3, &b"789"[..], 100));
        let (n, buf) = file.read_at(buf, 10).await.expect("read");
        assert_eq!((n, buf.len()), (0, 0));
    });
}

#[test]
fn an_exact_read_that_meets_the_end_gives_back_what_it_read() {
    in_every_world(async |directory| {
        let file = file_of(directory.join("file"), b"0123456789").await;
        let failed = file.read_exact_at(vec![0; 8], 6).await.expect_err("too short");
        assert_eq!(failed.error().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(failed.into_buf(), b"6789");
    });
}

#[test]
fn everything_from_an_offset_on_is_appended_to_the_buffer() {
    in_every_world(async |directory| {
        let file = file_of(directory.join("file"), b"0123456789").await;
        let (n, buf) = file.read_to_end_at(b"ab".to_vec(), 7).await.expect("read");
        assert_eq!((n, &buf[..]), (3, &b"ab789"[..]));
        let (n, buf) = file.read_to_end_at(buf, 1 << 40).await.expect("read");
        assert_eq!((n, buf.len()), (0, 5));
    });
}

#[test]
fn the_position_moves_on_with_reads_and_writes_and_not_with_offsets() {
    in_every_world(async |directory| {
        let file = file_of(directory.join("file"), b"0123456789").await;
        let (_, buf) = file.read([0; 4]).await.expect("read");
        file.read_at(buf, 8).await.expect("read");
        let (n, _) = file.write("xy").await.expect("written");
        assert_eq!((&buf, n), (b"0123", 2));
        let (_, all) = file.read_to_end_at(Vec::new(), 0).await.expect("read");
        assert_eq!(all, b"0123xy6789");
    });
}

#[test]
fn appending_writes_go_to_the_end() {
    in_every_world(async |directory| {
        let path = directory.join("log");
        drop(file_of(path.clone(), b"first ").await);
        let mut log = OpenOptions::new().append(true).open(&path).await.expect("the file");
        log.write_all("second ").await.expect("written");
        log.write_all("third").await.expect("written");
        assert_eq!(fs::read_to_string(&path).await.expect("read"), "first second third");
    });
}

#[test]
fn create_empties_a_file_and_create_new_refuses_it() {
    in_every_world(async |directory| {
        let path = directory.join("file");
        drop(file_of(path.clone(), b"contents").await);
        let error = File::create_new(&path).await.expect_err("is there");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::metadata(&path).await.expect("metadata").len(), 8);
        File::create(&path).await.expect("the file");
        assert_eq!(fs::metadata(&path).await.expect("metadata").len(), 0);
    });
}

#[test]
fn a_length_can_be_set_either_way() {
    in_every_world(async |directory| {
        let file = file_of(directory.join("file"), b"0123456789").await;
        file.set_len(4).await.expect("cut");
        file.set_len(6).await.expect("lengthened");
        let (_, all) = file.read_to_end_at(Vec::new(), 0).await.expect("read");
        assert_eq!(all, b"0123\0\0");
        let error = file.set_len(u64::MAX).await.expect_err("too long");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn allocating_lengthens_a_file() {
    in_every_world(async |directory| {
        let file = file_of(directory.join("file"), b"abc").await;
        file.allocate(0, 8192).await.expect("allocated");
        let metadata = file.metadata().await.expect("metadata");
        assert_eq!(metadata.len(), 8192);
        assert!(metadata.blocks() >= 16, "{} blocks of 512 bytes", metadata.blocks());
        let error = file.allocate(0, 0).await.expect_err("no length");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    });
}

#[test]
fn whole_files_are_read_and_written() {
    in_every_world(async |directory| {
        let path = directory.join("file");
        let (_, contents) = fs::write(&path, vec![7_u8; MANY_BYTES]).await.expect("written");
        assert!(fs::read(&path).await.expect("read") == contents);
        fs::write(&path, "short").await.expect("written");
        assert_eq!(fs::read_to_string(&path).await.expect("read"), "short");
        fs::write(&path, b"\xff").await.expect("written");
        let error = fs::read_to_string(&path).await.expect_err("no UTF-8");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    });
}

#[test]
fn copy_copies_one_file_to_another() {
    in_every_world(async |directory| {
        let contents: Vec<u8> = (0..MANY_BYTES).map(|i| (i % 251) as u8).collect();
        fs::write(directory.join("from"), contents.clone()).await.expect("written");
        let mut from = File::open(directory.join("from")).await.expect("the file");
        let mut to = File::create(directory.join("to")).await.expect("a new file");
        let copied = uring::io::copy(&mut from, &mut to).await.expect("copied");
        assert_eq!(copied, MANY_BYTES as u64);
        assert!(fs::read(directory.join("to")).await.expect("read") == contents);
    });
}

#[test]
fn many_tasks_use_one_file() {
    in_every_world(async |directory| {
        let file = Rc::new(File::create_new(directory.join("file")).await.expect("a new file"));
        let tasks = (0..40_u8).map(|i| {
            let file = Rc::clone(&file);
            uring::spawn(async move {
                file.write_all_at([i; 10], u64::from(i) * 10).await?;
                Ok(file.read_exact_at([0; 10], u64::from(i) * 10).await?.1)
            })
        });
        for (i, task) in tasks.collect::<Vec<_>>().into_iter().enumerate() {
            let read: std::io::Result<[u8; 10]> = task.await.expect("no panic");
            assert_eq!(read.expect("read"), [i as u8; 10]);
        }
    });
}

#[test]
fn nothing_happens_before_the_first_poll() {
    in_every_world(async |directory| {
        let path = directory.join("file");
        drop(File::create(&path));
        yield_now().await;
        assert_eq!(fs::metadata(&path).await.expect_err("none").kind(), ErrorKind::NotFound);
        let ledger = Ledger::new();
        let file = file_of(path, b"bytes").await;
        drop(file.read_at(NotedBuf::new(5, &ledger, "buffer freed"), 0));
        assert_eq!(ledger.events(), ["buffer freed"]);
    });
}

#[test]
fn closing_waits_for_what_is_in_flight_and_reports() {
    in_every_world(async |directory| {
        let file = file_of(directory.join("file"), b"bytes").await;
        let mut abandoned = Box::pin(file.read_at(vec![0; 5], 0));
        assert!(poll_once(&mut abandoned).is_none());
        drop(abandoned);
        file.close().await.expect("closed");
    });
}

#[test]
fn metadata_of_an_open_file_is_that_of_its_path() {
    in_every_world(async |directory| {
        let path = directory.join("file");
        let file = file_of(path.clone(), b"bytes").await;
        let (open, named) = (file.metadata().await, fs::metadata(&path).await);
        let (open, named) = (open.expect("metadata"), named.expect("metadata"));
        assert!(open.is_file() && !open.is_dir() && !open.is_symlink());
        assert_eq!((open.ino(), open.len()), (named.ino(), 5));
        assert_eq!(open.modified().ok(), named.modified().ok());
    });
}

#[test]
fn a_part_of_a_buffer_is_read_into_and_written_from() {
    in_every_world(async |directory| {
        let file = file_of(directory.join("file"), b"0123456789").await;
        let (n, part) = file.read_at(b"........".to_vec().slice(2..5), 4).await.expect("read");
        assert_eq!((n, part.into_buf()), (3, b"..456...".to_vec()));
        let (n, _) = file.write_at("abcdef".slice(1..3), 0).await.expect("written");
        let (_, all) = file.read_exact_at([0; 4], 0).await.expect("read");
        assert_eq!((n, &all), (2, b"bc23"));
    });
}

#[test]
fn flushing_a_file_succeeds() {
    in_every_world(async |directory| {
        let file = file_of(directory.join("file"), b"abc").await;
        file.sync_all().await.expect("flushed");
        file.sync_data().await.expect("flushed");
    });
}

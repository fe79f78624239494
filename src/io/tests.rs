//! The loops of readers and writers, on sources and destinations that do as little as they may.

use std::cell::RefCell;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use futures::FutureExt;

use super::{Read, Write, copy};
use crate::buf::{BufError, BufResult, IoBuf, IoBufMut};

/// Numbers that look random (xorshift), the same for the same seed.
struct Numbers(u64);

impl Numbers {
    fn new(seed: u64) -> Numbers {
        Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }
}

/// Transfers at most a few bytes at a time, and is interrupted now and then.
struct Fitful<T> {
    numbers: Numbers,
    inside: T,
    /// Fails with this errno when its bytes are used up, instead of ending.
    fails_with: Option<i32>,
    calls: usize,
}

impl<T> Fitful<T> {
    fn new(seed: u64, inside: T) -> Fitful<T> {
        Fitful { numbers: Numbers::new(seed), inside, fails_with: None, calls: 0 }
    }

    fn interrupted(&mut self) -> bool {
        self.calls += 1;
        self.numbers.below(4) == 0
    }
}

impl Read for Fitful<&[u8]> {
    async fn read<B: IoBufMut>(&mut self, mut buf: B) -> BufResult<usize, B> {
        if self.interrupted() {
            return Err(BufError::new(errno(libc::EINTR), buf));
        }
        match self.fails_with {
            Some(code) if self.inside.is_empty() => return Err(BufError::new(errno(code), buf)),
            _ => {}
        }
        let most = 1 + self.numbers.below(9);
        let n = buf.overwrite(&self.inside[..most.min(self.inside.len())]);
        self.inside = &self.inside[n..];
        Ok((n, buf))
    }
}

impl Write for Fitful<Vec<u8>> {
    async fn write<B: IoBuf>(&mut self, buf: B) -> BufResult<usize, B> {
        if self.interrupted() {
            return Err(BufError::new(errno(libc::EINTR), buf));
        }
        let n = (1 + self.numbers.below(9)).min(buf.bytes().len());
        self.inside.extend_from_slice(&buf.bytes()[..n]);
        Ok((n, buf))
    }
}

fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

/// The output of a future that never has to wait.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing to wait for")
}

const SEEDS: u64 = if cfg!(miri) { 5 } else { 200 };

#[test]
fn read_exact_fills_a_buffer_from_short_and_interrupted_reads() {
    for seed in 0..SEEDS {
        let mut numbers = Numbers::new(seed);
        let (len, more) = (numbers.below(100), numbers.below(10));
        let bytes = numbers.bytes(len + more);
        let mut source = Fitful::new(seed, &bytes[..]);
        let buf = Vec::with_capacity(len);
        let capacity = buf.capacity();
        let result = now(source.read_exact(buf));
        if capacity <= bytes.len() {
            assert_eq!(result.expect("enough").1, bytes[..capacity]);
        }
    }
}

#[test]
fn read_exact_fills_only_the_part_it_was_given() {
    let mut source = Fitful::new(1, &b"abcdef"[..]);
    let (_, part) = now(source.read_exact(b"........".to_vec().slice(2..5))).expect("enough");
    assert_eq!(part.into_buf(), b"..abc...");
    assert_eq!(source.inside, b"def");
}

#[test]
fn read_exact_gives_back_what_came_before_the_end() {
    for seed in 0..SEEDS {
        let mut source = Fitful::new(seed, &b"too little"[..]);
        let mut buf = b"older bytes".to_vec();
        buf.reserve_exact(20);
        let failed = now(source.read_exact(buf)).expect_err("too little");
        assert_eq!(failed.error().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(failed.into_buf(), b"too little");
    }
}

#[test]
fn read_exact_gives_back_what_came_before_an_error() {
    let mut source = Fitful::new(3, &b"so far"[..]);
    source.fails_with = Some(libc::EIO);
    let failed = now(source.read_exact(Vec::with_capacity(50))).expect_err("EIO");
    assert_eq!(failed.raw_os_error(), Some(libc::EIO));
    assert_eq!(failed.into_buf(), b"so far");
}

#[test]
fn an_exact_read_into_no_room_reads_nothing() {
    let mut source = Fitful::new(1, &b"abc"[..]);
    now(source.read_exact(Vec::new())).expect("nothing to do");
    assert_eq!(source.calls, 0);
}

#[test]
fn read_to_end_appends_everything() {
    for seed in 0..SEEDS {
        let mut numbers = Numbers::new(seed);
        let (len, spare) = (numbers.below(300), numbers.below(300));
        let bytes = numbers.bytes(len);
        let mut buf = Vec::with_capacity(3 + spare);
        buf.extend_from_slice(b"old");
        let (n, buf) = now(Fitful::new(seed, &bytes[..]).read_to_end(buf)).expect("the end");
        assert_eq!((n, &buf[..3], &buf[3..]), (len, &b"old"[..], &bytes[..]));
    }
}

#[test]
fn read_to_end_does_not_grow_a_vector_that_fits_exactly() {
    let mut source = &[7; 100][..];
    let (n, buf) = now(source.read_to_end(Vec::with_capacity(100))).expect("the end");
    assert_eq!((n, buf.capacity()), (100, 100));
}

#[test]
fn read_to_end_gives_back_what_came_before_an_error() {
    let mut source = Fitful::new(5, &b"so far"[..]);
    source.fails_with = Some(libc::EIO);
    let failed = now(source.read_to_end(b"old, ".to_vec())).expect_err("EIO");
    assert_eq!(failed.raw_os_error(), Some(libc::EIO));
    assert_eq!(failed.into_buf(), b"old, so far");
}

#[test]
fn write_all_writes_every_byte_once_through_short_and_interrupted_writes() {
    for seed in 0..SEEDS {
        let mut numbers = Numbers::new(seed);
        let len = numbers.below(300);
        let bytes = numbers.bytes(len);
        let mut destination = Fitful::new(seed, Vec::new());
        let (_, back) = now(destination.write_all(bytes.clone())).expect("written");
        assert_eq!((back, destination.inside), (bytes.clone(), bytes));
    }
}

/// Takes some bytes and then no more.
struct Full(usize);

impl Write for Full {
    async fn write<B: IoBuf>(&mut self, buf: B) -> BufResult<usize, B> {
        let n = self.0.min(buf.bytes().len());
        self.0 -= n;
        Ok((n, buf))
    }
}

#[test]
fn write_all_fails_when_no_more_is_taken_and_gives_the_whole_buffer_back() {
    let failed = now(Full(3).write_all("abcdef")).expect_err("full");
    assert_eq!(failed.error().kind(), io::ErrorKind::WriteZero);
    assert_eq!(failed.into_buf(), "abcdef");
}

#[test]
fn copy_copies_everything_through_short_and_interrupted_calls() {
    for seed in 0..SEEDS {
        let mut numbers = Numbers::new(seed);
        let len = numbers.below(300);
        let bytes = numbers.bytes(len);
        let mut destination = Fitful::new(seed + 1, Vec::new());
        let copied = now(copy(&mut Fitful::new(seed, &bytes[..]), &mut destination));
        assert_eq!(copied.expect("copied"), len as u64);
        assert_eq!(destination.inside, bytes);
    }
}

#[test]
fn copy_writes_what_was_read_before_the_reader_failed() {
    let mut source = Fitful::new(9, &b"read before"[..]);
    source.fails_with = Some(libc::EIO);
    let mut destination = Vec::new();
    let error = now(copy(&mut source, &mut destination)).expect_err("EIO");
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    assert_eq!(destination, b"read before");
}

#[test]
fn copy_says_why_the_writer_took_no_more() {
    let error = now(copy(&mut &b"abcdef"[..], &mut Full(4))).expect_err("full");
    assert_eq!(error.kind(), io::ErrorKind::WriteZero);
}

/// Notes its calls. Its writes never end, nor do its reads after the first.
struct Slow<'a>(&'a RefCell<Vec<String>>);

impl Read for Slow<'_> {
    async fn read<B: IoBufMut>(&mut self, mut buf: B) -> BufResult<usize, B> {
        self.0.borrow_mut().push("read".to_string());
        if self.0.borrow().len() > 1 {
            std::future::pending::<()>().await;
        }
        Ok((buf.overwrite(b"piece"), buf))
    }
}

impl Write for Slow<'_> {
    async fn write<B: IoBuf>(&mut self, buf: B) -> BufResult<usize, B> {
        self.0.borrow_mut().push(format!("write {}", buf.bytes().len()));
        std::future::pending::<()>().await;
        Ok((0, buf))
    }
}

#[test]
fn copy_reads_the_next_piece_while_one_is_written_and_no_more() {
    let ledger = RefCell::default();
    let (mut reader, mut writer) = (Slow(&ledger), Slow(&ledger));
    let mut copying = pin!(copy(&mut reader, &mut writer));
    for _ in 0..2 {
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(copying.as_mut().poll(&mut context), Poll::Pending));
    }
    assert_eq!(*ledger.borrow(), ["read", "write 5", "read"]);
}

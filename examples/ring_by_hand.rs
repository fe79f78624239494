//! A file copied on the bare ring, by pairs of a read and a write that are linked:
//! `cargo run --release --example ring_by_hand -- FROM TO`.
//!
//! Several pairs are in flight at a time. A write starts when its read has filled the whole block, so the
//! file's tail, which is shorter, is asked for with its exact length.

use std::error::Error;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use uring::ring::{Cqe, Entry, Link, Ring, Setup, Sqe, Target};

const BLOCK_BYTES: usize = 64 * 1024;
const PAIRS: usize = 16;

fn main() -> Result<(), Box<dyn Error>> {
    let mut names = std::env::args_os().skip(1);
    let (Some(from), Some(to), None) = (names.next(), names.next(), names.next()) else {
        return Err("usage: ring_by_hand FROM TO".into());
    };
    let (from, to) = (File::open(from)?, File::create(to)?);
    // One for the read and one for the write; and a buffer for each pair.
    let mut ring = Setup::new(2 * PAIRS as u32).build()?;
    let mut blocks = vec![vec![0; BLOCK_BYTES]; PAIRS];
    let copied = copy(&mut ring, &from, &to, &mut blocks);
    if copied.is_err() {
        // What is in flight still uses the blocks, and the ring is not there to ask any more.
        std::mem::forget(blocks);
    }
    println!("{} bytes", copied?);
    Ok(())
}

fn copy(ring: &mut Ring, from: &File, to: &File, blocks: &mut [Vec<u8>]) -> io::Result<u64> {
    let len_bytes = from.metadata()?.len();
    let (mut offset, mut free) = (0, (0..PAIRS).collect::<Vec<usize>>());
    while offset < len_bytes || free.len() < PAIRS {
        while offset < len_bytes && !free.is_empty() {
            let pair = free.pop().unwrap_or_default();
            let block = &mut blocks[pair][..(len_bytes - offset).min(BLOCK_BYTES as u64) as usize];
            let id = (pair * BLOCK_BYTES + block.len() - 1) as u64;
            let read = Sqe::read(Target::Fd(from.as_fd()), &mut *block, Some(offset));
            let read = Entry::from(read).user_data(id << 1);
            let write = Sqe::write(Target::Fd(to.as_fd()), block, Some(offset));
            let write = Entry::from(write).user_data(id << 1 | 1);
            // SAFETY: files and blocks outlive the requests: `free` names a block again when both of its
            // completions were copied out, and `main` forgets the blocks if we leave before that.
            unsafe { ring.push_chain(Link::Soft, &[read, write])? };
            offset += (id as usize % BLOCK_BYTES + 1) as u64;
        }
        ring.submit_and_wait(1, None)?;
        let mut cqes = [Cqe::default(); 2 * PAIRS];
        let count = ring.copy_cqes(&mut cqes);
        for cqe in &cqes[..count] {
            let (id, is_write) = ((cqe.user_data() >> 1) as usize, cqe.user_data() & 1 == 1);
            if cqe.result()? as usize != id % BLOCK_BYTES + 1 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if is_write {
                free.push(id / BLOCK_BYTES);
            }
        }
    }
    Ok(len_bytes)
}

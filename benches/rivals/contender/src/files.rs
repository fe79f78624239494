//! Files: reads at random, small writes, what is done with names, and a copy.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::rc::Rc;

use futures::future::try_join_all;

use crate::{Access, Arguments, Meter, Places, Report, Runtime};

const BLOCK_BYTES: usize = 4096;
/// Operations between two looks at the clock.
const BATCH: u64 = 16;
/// Small writes go round in so much of a file.
const WRITTEN_BYTES: u64 = 1 << 20;
/// How a copy is done where a runtime has no function for it: so many pieces under way at once.
const LANES: u64 = 4;
const PIECE_BYTES: u64 = 1 << 20;

/// Reads of one block each at random places of the file `path`, `depth` at a time.
pub(crate) fn read<R: Runtime>(arguments: &Arguments) -> io::Result<Report> {
    let (path, window) = (arguments.path("path")?, arguments.window()?);
    let (depth, direct) = (arguments.number("depth", 1)?, arguments.number("direct", 0)? != 0);
    let blocks = std::fs::metadata(&path)?.len() / BLOCK_BYTES as u64;
    R::block_on(async move {
        let access = if direct { Access::ReadDirect } else { Access::Read };
        let file = Rc::new(R::open(&path, access).await?);
        let ops = Rc::new(Cell::new(0));
        let meter = Meter::start();
        let readers = (0..depth).map(|index| {
            let (file, ops) = (Rc::clone(&file), Rc::clone(&ops));
            let mut places = Places::new(index as u64, blocks);
            R::spawn(async move {
                let mut buf = vec![0; 2 * BLOCK_BYTES];
                // Reads past the page cache want an address that is aligned.
                let skip = buf.as_ptr().align_offset(BLOCK_BYTES);
                while !meter.is_over(window) {
                    for _ in 0..BATCH {
                        let offset = places.draw() * BLOCK_BYTES as u64;
                        buf = R::read_at(&file, buf, skip, BLOCK_BYTES, offset).await?;
                    }
                    ops.set(ops.get() + BATCH);
                }
                io::Result::Ok(())
            })
        });
        let readers: Vec<_> = readers.collect();
        for reader in readers {
            reader.await?;
        }
        Ok(meter.stop(ops.get()))
    })
}

/// Writes of `bytes` each, one after the other, over what is in the file `path`.
pub(crate) fn write<R: Runtime>(arguments: &Arguments) -> io::Result<Report> {
    let (path, window) = (arguments.path("path")?, arguments.window()?);
    let bytes = arguments.number("bytes", 64)?;
    std::fs::write(&path, vec![0; WRITTEN_BYTES as usize])?;
    R::block_on(async move {
        let file = R::open(&path, Access::Overwrite).await?;
        let (mut buf, mut offset, mut ops) = (vec![1; bytes], 0, 0);
        let meter = Meter::start();
        while !meter.is_over(window) {
            for _ in 0..BATCH {
                buf = R::write_at(&file, buf, offset).await?;
                offset = (offset + bytes as u64) % (WRITTEN_BYTES - bytes as u64);
            }
            ops += BATCH;
        }
        Ok(meter.stop(ops))
    })
}

/// Opens the file `path`, asks for its length, closes it.
pub(crate) fn open<R: Runtime>(arguments: &Arguments) -> io::Result<Report> {
    let (path, window) = (arguments.path("path")?, arguments.window()?);
    R::block_on(async move {
        let mut ops = 0;
        let meter = Meter::start();
        while !meter.is_over(window) {
            for _ in 0..BATCH {
                let file = R::open(&path, Access::Read).await?;
                R::len_bytes(&file).await?;
                R::close(file).await?;
            }
            ops += BATCH;
        }
        Ok(meter.stop(ops))
    })
}

/// Creates the file `path`, closes it, removes it.
pub(crate) fn create<R: Runtime>(arguments: &Arguments) -> io::Result<Report> {
    let (path, window) = (arguments.path("path")?, arguments.window()?);
    R::block_on(async move {
        let mut ops = 0;
        let meter = Meter::start();
        while !meter.is_over(window) {
            for _ in 0..BATCH {
                let file = R::open(&path, Access::Create).await?;
                R::close(file).await?;
                R::remove(&path).await?;
            }
            ops += BATCH;
        }
        Ok(meter.stop(ops))
    })
}

/// Copies the file `path` to the new file `to`, once.
pub(crate) fn copy<R: Runtime>(arguments: &Arguments) -> io::Result<Report> {
    let (from, to) = (arguments.path("path")?, arguments.path("to")?);
    R::block_on(async move {
        let meter = Meter::start();
        R::copy(&from, &to).await?;
        Ok(meter.stop(1))
    })
}

/// Reads and writes with some pieces under way at once, each in a buffer of its own.
pub(crate) async fn copy_in_lanes<R: Runtime>(from: &Path, to: &Path) -> io::Result<()> {
    let source = R::open(from, Access::Read).await?;
    let target = R::open(to, Access::Create).await?;
    let end = std::fs::metadata(from)?.len();
    let (source_file, target_file) = (&source, &target);
    try_join_all((0..LANES).map(|lane| async move {
        let mut buf = vec![0; PIECE_BYTES as usize];
        let mut offset = lane * PIECE_BYTES;
        while offset < end {
            let len = PIECE_BYTES.min(end - offset) as usize;
            buf = R::read_at(source_file, buf, 0, len, offset).await?;
            buf.truncate(len);
            buf = R::write_at(target_file, buf, offset).await?;
            offset += LANES * PIECE_BYTES;
        }
        io::Result::Ok(())
    }))
    .await?;
    R::close(source).await?;
    R::close(target).await
}

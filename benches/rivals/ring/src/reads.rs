//! Reads at random places of a file.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;

use contender::{Arguments, Meter, Places, Report};
use uring::buf::Room;
use uring::ring::registry::Buffers;
use uring::ring::{Cqe, FileChange, Ring, Sqe, Target};

use crate::{BATCH, push, ring};

const BLOCK_BYTES: usize = 4096;

/// `depth` reads under way at a time; the best way has the file and the buffers registered.
pub(crate) fn read(arguments: &Arguments, best: bool) -> io::Result<Report> {
    let (path, window) = (arguments.path("path")?, arguments.window()?);
    let (depth, direct) = (arguments.number("depth", 1)?, arguments.number("direct", 0)? != 0);
    let flags = if direct { libc::O_DIRECT } else { 0 };
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let blocks = file.metadata()?.len() / BLOCK_BYTES as u64;
    let mut ring = ring()?;
    let mut reader =
        if best { Reader::fixed(&ring, file, depth)? } else { Reader::plain(file, depth) };

    let mut places = Places::new(1, blocks);
    let mut cqes = [Cqe::default(); BATCH];
    let enters = ring.enters();
    let (meter, mut ops) = (Meter::start(), 0_u64);
    for index in 0..depth {
        reader.start(&mut ring, index, &mut places)?;
    }
    loop {
        // A look at the clock for so many operations as tasks of a runtime do between two looks.
        for _ in 0..16 {
            ring.submit_and_wait(1, None)?;
            let count = ring.copy_cqes(&mut cqes);
            for cqe in &cqes[..count] {
                cqe.result()?;
                reader.start(&mut ring, cqe.user_data() as usize, &mut places)?;
            }
            ops += count as u64;
        }
        if meter.is_over(window) {
            let enters = ring.enters() - enters;
            let report = meter.stop(ops).with_enters(enters);
            ring.submit_and_wait(depth as u32, None)?;
            // What is still lent is so until the process ends.
            std::mem::forget(reader);
            return Ok(report);
        }
    }
}

enum Reader {
    Plain { file: File, buffers: Vec<Vec<u8>> },
    Fixed { target: Target<'static>, buffers: Buffers },
}

impl Reader {
    fn plain(file: File, depth: usize) -> Reader {
        Reader::Plain { file, buffers: (0..depth).map(|_| vec![0; 2 * BLOCK_BYTES]).collect() }
    }

    fn fixed(ring: &Ring, file: File, depth: usize) -> io::Result<Reader> {
        let files = ring.register_files_sparse(1)?;
        files.update(0, &[FileChange::Put(file.as_fd())])?;
        let target = files.slot(0).expect("there is one").into();
        // The table lives as long as the process.
        std::mem::forget(files);
        Ok(Reader::Fixed { target, buffers: ring.register_buffers(&vec![BLOCK_BYTES; depth])? })
    }

    fn start(&mut self, ring: &mut Ring, index: usize, places: &mut Places) -> io::Result<()> {
        let offset = Some(places.draw() * BLOCK_BYTES as u64);
        let sqe = match self {
            Reader::Plain { file, buffers } => {
                let buf = &mut buffers[index];
                // Reads past the page cache want an address that is aligned.
                let skip = buf.as_ptr().align_offset(BLOCK_BYTES);
                let room = Room::from(&mut buf[skip..skip + BLOCK_BYTES]);
                Sqe::read(Target::Fd(File::as_fd(file)), room, offset)
            }
            Reader::Fixed { target, buffers } => {
                let part = buffers.part_mut(index as u16).expect("a registered buffer");
                Sqe::read_fixed(*target, part, offset)
            }
        };
        let entry = sqe.user_data(index as u64).into_raw();
        // SAFETY: nobody looks at the buffers, and they are not freed while the process lives.
        unsafe { push(ring, entry) }
    }
}

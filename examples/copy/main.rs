//! Copies a file: `cargo run --release --example copy -- FROM TO`.
//!
//! Four pieces are under way at a time, each being read or written: reading goes on while the kernel's worker
//! writes. One piece at a time takes twice as long, and more than four bring nothing.

mod destination;
mod temporary;

use std::cell::Cell;
use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use uring::buf::IoBuf;
use uring::fs::{self, File};
use uring::io::OpError;

use destination::{destination, regular};
use temporary::Temporary;

const USAGE: &str = "\
Copies one regular file, with its mode and times.

Usage: copy FROM TO

TO appears, or is replaced, only when the copy is complete.";

const PIECES: usize = 4;
const PIECE_BYTES: usize = 1 << 20;

/// Who is done sooner needs no progress bar.
const PATIENCE: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let result = match args.as_slice() {
        [help] if help == "--help" || help == "-h" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        [from, to] => run(Path::new(from), Path::new(to)),
        _ => {
            eprintln!("error: two names are needed\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let copied = uring::Runtime::new()?.block_on(copy(from, to))?;
    let seconds = started.elapsed().as_secs_f64();
    let rate = HumanBytes((copied as f64 / seconds) as u64);
    // The copy is there, whether or not anybody reads this.
    let _ = writeln!(io::stdout(), "{} in {seconds:.3} s, {rate}/s", HumanBytes(copied));
    Ok(())
}

async fn copy(from: &Path, to: &Path) -> Result<u64, Box<dyn Error>> {
    // Looked at before it is opened: opening a pipe would wait for its writer.
    regular(from, &fs::metadata(from).await?)?;
    let source = File::open(from).await?;
    let metadata = source.metadata().await?;
    let to = &destination(to, &metadata).await?;
    let temporary = Temporary::create(to).await?;

    let (next, copied) = (Cell::new(0), Cell::new(0));
    let bar = ProgressBar::with_draw_target(Some(metadata.len()), ProgressDrawTarget::hidden());
    bar.set_style(ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec}")?);
    let progress = |n: u64| {
        copied.set(copied.get() + n);
        if bar.is_hidden() && bar.elapsed() > PATIENCE {
            // Remains hidden where this is no terminal.
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        bar.set_position(copied.get());
    };
    let piece = || copy_pieces((&source, from), (temporary.file(), to), &next, &progress);
    let result = try_join_all((0..PIECES).map(|_| piece())).await;
    bar.finish_and_clear();
    result?;
    temporary.finish(&metadata, to).await?;
    Ok(copied.get())
}

/// Copies the next piece that nobody copies yet, again and again until the source ends.
async fn copy_pieces(
    (source, from): (&File, &Path),
    (copy, to): (&File, &Path),
    next: &Cell<u64>,
    progress: &impl Fn(u64),
) -> io::Result<()> {
    let mut buf = Vec::with_capacity(PIECE_BYTES);
    loop {
        let mut at = next.get();
        let end = at + PIECE_BYTES as u64;
        next.set(end);
        while at < end {
            buf.clear();
            let read = source.read_at(buf.slice(..(end - at) as usize), at).await;
            let (n, part) =
                read.map_err(|error| OpError::new("read", from.display(), error.into()))?;
            if n == 0 {
                return Ok(());
            }
            let written = copy.write_all_at(part.into_buf(), at).await;
            (_, buf) =
                written.map_err(|error| OpError::new("write", to.display(), error.into()))?;
            at += n as u64;
            progress(n as u64);
        }
    }
}

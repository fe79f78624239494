//! Copies a file: `cargo run --release --example copy -- FROM TO`.
//!
//! The copying is one call, [`uring::fs::copy`]; around it this program keeps its promises: the destination is
//! the old one or complete, and a long copy shows how far it is.

mod destination;
mod temporary;

use std::error::Error;
use std::ffi::OsString;
use std::future::Future;
use std::io::{self, Write};
use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures::future::{Either, select};
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use uring::fs::{self, File};
use uring::time::sleep;

use destination::{destination, regular};
use temporary::Temporary;

const USAGE: &str = "\
Copies one regular file, with its mode and times.

Usage: copy FROM TO

TO appears, or is replaced, only when the copy is complete.";

/// Who is done sooner needs no progress bar.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often it is drawn.
const REDRAW: Duration = Duration::from_millis(100);

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
    let metadata = fs::metadata(from).await?;
    regular(from, &metadata)?;
    let to = &destination(to, &metadata).await?;
    let temporary = Temporary::create(to).await?;
    let copy = fs::copy(from, temporary.path());
    let copied = watched(copy, temporary.file(), metadata.len()).await?;
    temporary.finish(&metadata, to).await?;
    Ok(copied)
}

/// Shows how a file grows while it is written, if that takes long.
async fn watched<T>(
    writing: impl Future<Output = io::Result<T>>,
    file: &File,
    end: u64,
) -> Result<T, Box<dyn Error>> {
    let bar = ProgressBar::with_draw_target(Some(end), ProgressDrawTarget::hidden());
    bar.set_style(ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec}")?);
    let mut writing = pin!(writing);
    loop {
        if let Either::Left((written, _)) = select(writing.as_mut(), pin!(sleep(REDRAW))).await {
            bar.finish_and_clear();
            return Ok(written?);
        }
        if bar.is_hidden() && bar.elapsed() > PATIENCE {
            // Remains hidden where this is no terminal.
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        bar.set_position(file.metadata().await?.len());
    }
}

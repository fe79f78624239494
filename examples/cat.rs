//! Writes files to standard output: `cargo run --release --example cat -- FILE…`.
//!
//! When the reader of the output has gone away (EPIPE), there is nobody left to work for: that ends it
//! quietly, with status 0. A file that cannot be read is reported and the next one written, as cat(1) does;
//! the status is then 1.

use std::error::Error;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use uring::buf::{BufResult, IoBuf};
use uring::fs::{File, Metadata};
use uring::io::{OpError, Write};

const USAGE: &str = "\
Writes files to standard output, one after the other.

Usage: cat [FILE]...

A FILE of - is standard input, and so is none.";

fn main() -> ExitCode {
    let mut names: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    match names.first() {
        Some(help) if help.as_os_str() == "--help" || help.as_os_str() == "-h" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Some(other) if is_option(other) => {
            eprintln!("error: {} is unknown; ./ before a name helps\n\n{USAGE}", other.display());
            return ExitCode::from(2);
        }
        Some(_) => {}
        None => names.push("-".into()),
    }
    match run(&names) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn is_option(name: &Path) -> bool {
    let name = name.as_os_str().as_encoded_bytes();
    name.len() > 1 && name.starts_with(b"-")
}

/// Whether all files were written.
fn run(names: &[PathBuf]) -> Result<bool, Box<dyn Error>> {
    Ok(uring::Runtime::new()?.block_on(write_all(names))?)
}

async fn write_all(names: &[PathBuf]) -> io::Result<bool> {
    let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let is = stdout.metadata().await?;
    let mut output = Output { stdout, failed: false };
    let mut all_written = true;
    for name in names {
        match write_one(name, &mut output, &is).await {
            Ok(()) => {}
            Err(error) if output.failed && error.kind() == io::ErrorKind::BrokenPipe => break,
            Err(error) if output.failed => {
                return Err(OpError::new("write to", "standard output", error).into());
            }
            Err(error) => {
                all_written = false;
                eprintln!("error: {error}");
            }
        }
    }
    Ok(all_written)
}

async fn write_one(name: &Path, output: &mut Output, output_is: &Metadata) -> io::Result<()> {
    let mut input = if name.as_os_str() == "-" {
        File::from(io::stdin().as_fd().try_clone_to_owned()?)
    } else {
        File::open(name).await?
    };
    let named = |error| OpError::new("read", name.display(), error);
    let is = input.metadata().await.map_err(named)?;
    if is.is_file() && is.len() > 0 && (is.dev(), is.ino()) == (output_is.dev(), output_is.ino()) {
        // It would grow as it is read, without end.
        return Err(named(io::Error::other("this is the output file")).into());
    }
    match uring::io::copy(&mut input, output).await {
        Err(error) if !output.failed => Err(named(error).into()),
        done => done.map(drop),
    }
}

/// Standard output. Remembers that it failed: the copy does not say which of its sides did.
struct Output {
    stdout: File,
    failed: bool,
}

impl Write for Output {
    async fn write<B: IoBuf>(&mut self, buf: B) -> BufResult<usize, B> {
        let written = self.stdout.write(buf).await;
        self.failed = written.is_err();
        written
    }
}

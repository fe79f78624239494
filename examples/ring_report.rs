//! What this kernel's io_uring can do: `cargo run --release --example ring_report`.
//!
//! With `--try`, what it can do is tried out even where the kernel would say so itself.

use std::process::ExitCode;

use uring::ring::{Capabilities, Setup, SetupError};

fn main() -> ExitCode {
    let by_trial = std::env::args().any(|argument| argument == "--try");
    match report(by_trial) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn report(by_trial: bool) -> Result<String, SetupError> {
    let kernel = if by_trial { Capabilities::by_trial()? } else { Capabilities::of_kernel()? };
    let ring = Setup::new(64).build()?;
    Ok(format!("{kernel}\na ring as the runtime makes it: {}", ring.report()))
}

//! Who is measured, and building them.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that knows the workloads, or one that does one of them.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    /// What the program is told in addition.
    pub(crate) arguments: &'static [&'static str],
    pub(crate) program: Program,
}

pub(crate) enum Program {
    /// One of `benches/rivals`.
    Ours(PathBuf),
    /// One of those could not be built.
    Missing(String),
    /// A program of the system's, which has a module of its own.
    Tool,
}

/// The baselines of the tables: what a runtime adds to, and what most people use.
pub(crate) const BARE: &str = "bare ring";
pub(crate) const USUAL: &str = "tokio";

/// Names, packages in `benches/rivals`, and what the programs are told.
const CONTENDERS: [(&str, &str, &[&str]); 9] = [
    ("uring", "rival-uring", &[]),
    (BARE, "rival-ring", &[]),
    ("bare ring, all on", "rival-ring", &["best=1"]),
    (USUAL, "rival-tokio", &[]),
    ("tokio-uring", "rival-tokio-uring", &[]),
    ("monoio", "rival-monoio", &[]),
    ("glommio", "rival-glommio", &[]),
    ("compio", "rival-compio", &[]),
    ("smol", "rival-smol", &[]),
];

/// Builds all of them; one that cannot be built is missing from the tables, and nothing else.
pub(crate) fn build() -> Result<Vec<Contender>, Box<dyn Error>> {
    let rivals = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/rivals");
    // At once, as far as it goes, and then one by one for who failed.
    let all = cargo_build(&rivals, &["--workspace", "--keep-going"])?;
    let find = |(name, package, arguments): (&'static str, &'static str, _)| {
        let built = all || cargo_build(&rivals, &["--package", package])?;
        let program = if built {
            Program::Ours(rivals.join("target/release").join(package))
        } else {
            Program::Missing(format!("{package} cannot be built"))
        };
        Ok(Contender { name, arguments, program })
    };
    CONTENDERS.into_iter().map(find).collect()
}

fn cargo_build(rivals: &Path, arguments: &[&str]) -> std::io::Result<bool> {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--target-dir", "target"])
        .args(arguments)
        .current_dir(rivals)
        .status()?;
    Ok(status.success())
}

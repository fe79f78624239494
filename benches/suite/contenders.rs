//! Who is measured, and building them.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that knows the workloads, or one that does one of them.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    /// What the program is told in addition.
    pub(crate) arguments: &'static [&'static str],
    /// The workloads it takes part in; none named means all.
    pub(crate) workloads: &'static [&'static str],
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

/// A name, a package in `benches/rivals`, what the program is told, and the workloads where that matters.
type Entry = (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

const SOCKETS: &[&str] = &["echo", "think", "stream", "accept", "idle"];
const SOCKETS_AND_READS: &[&str] = &["echo", "think", "stream", "accept", "idle", "read"];

const CONTENDERS: [Entry; 11] = [
    ("uring", "rival-uring", &[], &[]),
    ("uring, leased", "rival-uring", &["leased=1"], SOCKETS),
    ("uring, spinning", "rival-uring", &["spin=50"], &["echo", "think", "wake"]),
    (BARE, "rival-ring", &[], &[]),
    ("bare ring, all on", "rival-ring", &["best=1"], SOCKETS_AND_READS),
    (USUAL, "rival-tokio", &[], &[]),
    ("tokio-uring", "rival-tokio-uring", &[], &[]),
    ("monoio", "rival-monoio", &[], &[]),
    ("glommio", "rival-glommio", &[], &[]),
    ("compio", "rival-compio", &[], &[]),
    ("smol", "rival-smol", &[], &[]),
];

impl Contender {
    pub(crate) fn takes_part(&self, workload: &str) -> bool {
        self.workloads.is_empty() || self.workloads.contains(&workload)
    }
}

/// Builds all of them; one that cannot be built is missing from the tables, and nothing else.
pub(crate) fn build() -> Result<Vec<Contender>, Box<dyn Error>> {
    let rivals = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/rivals");
    // At once, as far as it goes, and then one by one for who failed.
    let all = cargo_build(&rivals, &["--workspace", "--keep-going"])?;
    let find = |(name, package, arguments, workloads): Entry| {
        let built = all || cargo_build(&rivals, &["--package", package])?;
        let program = if built {
            Program::Ours(rivals.join("target/release").join(package))
        } else {
            Program::Missing(format!("{package} cannot be built"))
        };
        Ok(Contender { name, arguments, workloads, program })
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

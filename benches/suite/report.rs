//! All that was measured, kept in `target/bench-report/` and shown from there.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use crate::cells::Cell;
use crate::contenders::Contender;
use crate::samples::{Key, Line, Sample};
use crate::{chart, machine, tables};

/// Where the tables go in the document; what stands before is written by hand.
const MARK: &str =
    "<!-- written by `cargo bench --bench suite -- --docs`; what follows is overwritten -->";

pub(crate) struct Report {
    lines: Vec<Line>,
}

impl Report {
    /// A report in which `cells` are to be measured anew. Other cells stay what they were.
    pub(crate) fn new(rounds: usize, cells: &[Cell]) -> Report {
        let mut lines = Report::read().map(|report| report.lines).unwrap_or_default();
        let keys: Vec<Key> = cells.iter().map(key_of).collect();
        lines.retain(|line| match line {
            Line::Machine { .. } => false,
            Line::Sample { key, .. } | Line::Lack { key, .. } => !keys.contains(key),
        });
        lines.insert(0, Line::Machine { description: machine::description(), rounds });
        Report { lines }
    }

    pub(crate) fn read() -> Result<Report, Box<dyn Error>> {
        let path = folder().join("samples.jsonl");
        let text =
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let lines = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        Ok(Report { lines })
    }

    /// Says how many rounds there were time for.
    pub(crate) fn set_rounds(&mut self, done: usize) {
        if let Some(Line::Machine { rounds, .. }) = self.lines.first_mut() {
            *rounds = done;
        }
    }

    pub(crate) fn add(&mut self, round: usize, cell: &Cell, contender: &Contender, sample: Sample) {
        let (key, contender) = (key_of(cell), contender.name.to_owned());
        self.lines.push(Line::Sample { key, contender, round, sample });
    }

    /// Notes why a contender has no sample. One that `failed` gets its next turn all the same.
    pub(crate) fn add_lack(
        &mut self,
        cell: &Cell,
        contender: &Contender,
        reason: &str,
        failed: bool,
    ) {
        let (key, contender) = (key_of(cell), contender.name.to_owned());
        let reason = reason.trim().to_owned();
        self.lines.push(Line::Lack { key, contender, reason, failed });
    }

    /// Whether a contender is known not to do what a cell wants, so that it need not be asked again.
    pub(crate) fn lacks(&self, cell: &Cell, contender: &Contender) -> bool {
        let wanted = key_of(cell);
        self.lines.iter().any(|line| match line {
            Line::Lack { key, contender: name, failed, .. } => {
                !failed && *key == wanted && *name == contender.name
            }
            _ => false,
        })
    }

    /// Writes samples, tables and charts.
    pub(crate) fn write(&self) -> Result<(), Box<dyn Error>> {
        let folder = folder();
        fs::create_dir_all(&folder)?;
        let lines = self.lines.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        fs::write(folder.join("samples.jsonl"), lines.join("\n") + "\n")?;
        fs::write(folder.join("tables.md"), self.tables())?;
        chart::draw(&self.lines, &folder)
    }

    pub(crate) fn tables(&self) -> String {
        tables::all(&self.lines)
    }

    /// Puts the tables into `docs/benchmarks.md`, behind what was written there by hand.
    pub(crate) fn write_docs(&self) -> Result<(), Box<dyn Error>> {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        let path = docs.join("benchmarks.md");
        let text = fs::read_to_string(&path)?;
        let (by_hand, _) = text.split_once(MARK).ok_or("docs/benchmarks.md has lost its mark")?;
        fs::write(&path, format!("{by_hand}{MARK}\n\n{}", self.tables()))?;
        let charts = docs.join("benchmarks");
        fs::create_dir_all(&charts)?;
        chart::draw(&self.lines, &charts)
    }
}

fn key_of(cell: &Cell) -> Key {
    Key { workload: cell.workload.into(), cell: cell.title.clone(), unit: cell.unit.into() }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-report")
}

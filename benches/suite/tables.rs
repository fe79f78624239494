//! The tables, in Markdown.

use std::fmt::Write;

use crate::contenders::{BARE, USUAL};
use crate::samples::{Key, Line, Sample, Spread};

/// A column: its head, and what stands in it for a contender.
type Column = (&'static str, fn(&Cell<'_>, &str) -> Option<String>);

const COLUMNS: [Column; 10] = [
    ("CPU per op", |cell, name| Some(spread_of_times(cell.spread(name, |sample| sample.cpu_ns)?))),
    ("× bare ring", |cell, name| cell.ratio(name, BARE).map(|spread| spread.to_string())),
    ("× tokio", |cell, name| cell.ratio(name, USUAL).map(|spread| spread.to_string())),
    ("ops/s", |cell, name| Some(count(cell.spread(name, |sample| sample.ops_per_s)?.median))),
    ("p50", |cell, name| Some(time(cell.spread(name, |sample| sample.p50_ns)?.median))),
    ("p99", |cell, name| Some(time(cell.spread(name, |sample| sample.p99_ns)?.median))),
    ("p99.9", |cell, name| Some(time(cell.spread(name, |sample| sample.p999_ns)?.median))),
    ("calls/op", |cell, name| Some(few(cell.spread(name, |sample| sample.calls)?.median))),
    ("allocations/op", |cell, name| {
        Some(few(cell.spread(name, |sample| sample.allocations)?.median))
    }),
    ("memory", |cell, name| Some(bytes(cell.spread(name, |sample| sample.memory_bytes)?.median))),
];

/// One cell and all that was measured of it.
pub(crate) struct Cell<'a> {
    pub(crate) key: &'a Key,
    /// In the order in which they took their turns.
    pub(crate) names: Vec<&'a str>,
    lines: Vec<&'a Line>,
}

/// All cells, in the order in which they were measured.
pub(crate) fn cells(lines: &[Line]) -> Vec<Cell<'_>> {
    let mut cells: Vec<Cell<'_>> = Vec::new();
    for line in lines {
        let (Line::Sample { key, contender, .. } | Line::Lack { key, contender, .. }) = line else {
            continue;
        };
        let known = cells.iter().position(|cell| cell.key == key);
        let index = known.unwrap_or_else(|| {
            cells.push(Cell { key, names: Vec::new(), lines: Vec::new() });
            cells.len() - 1
        });
        if !cells[index].names.contains(&contender.as_str()) {
            cells[index].names.push(contender);
        }
        cells[index].lines.push(line);
    }
    cells
}

pub(crate) fn all(lines: &[Line]) -> String {
    let mut text = String::new();
    if let Some(Line::Machine { description, rounds }) = lines.first() {
        let _ = writeln!(text, "{description}. Medians of {rounds} rounds (lowest–highest).\n");
    }
    let cells = cells(lines);
    overview(&mut text, &cells);
    let mut workload = "";
    for cell in &cells {
        if cell.key.workload != workload {
            workload = &cell.key.workload;
            let _ = writeln!(text, "## {workload}\n");
        }
        let _ = writeln!(text, "### {}: {}\n", cell.key.workload, cell.key.cell);
        one(&mut text, cell);
    }
    text
}

/// CPU time of all contenders in all cells.
fn overview(text: &mut String, cells: &[Cell<'_>]) {
    let mut names: Vec<&str> = Vec::new();
    for name in cells.iter().flat_map(|cell| &cell.names) {
        if !names.contains(name) {
            names.push(name);
        }
    }
    let _ = writeln!(text, "## CPU time of all\n");
    let _ = writeln!(text, "| | {} |", names.join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(names.len()));
    for cell in cells {
        let figures = names.iter().map(|name| {
            let cpu = cell.spread(name, |sample| sample.cpu_ns).map(|spread| time(spread.median));
            // Idle connections take no time but memory.
            let memory = || cell.spread(name, |sample| sample.memory_bytes);
            cpu.or_else(|| Some(bytes(memory()?.median))).unwrap_or("–".into())
        });
        let figures: Vec<String> = figures.collect();
        let key = cell.key;
        let _ = writeln!(text, "| {}: {} | {} |", key.workload, key.cell, figures.join(" | "));
    }
    text.push('\n');
}

fn one(text: &mut String, cell: &Cell<'_>) {
    let shown: Vec<&Column> = COLUMNS
        .iter()
        .filter(|(_, figure)| cell.names.iter().any(|name| figure(cell, name).is_some()))
        .collect();
    let heads: Vec<String> =
        shown.iter().map(|(head, _)| head.replace("op", &cell.key.unit)).collect();
    let heads =
        heads.join(" | ").replace(&format!("{}s/s", cell.key.unit), &rate_of(&cell.key.unit));
    let _ = writeln!(text, "| | {heads} |\n|---|{}", "---|".repeat(shown.len()));
    for name in &cell.names {
        let figures: Vec<String> =
            shown.iter().map(|(_, figure)| figure(cell, name).unwrap_or("–".into())).collect();
        let _ = writeln!(text, "| {name} | {} |", figures.join(" | "));
    }
    text.push('\n');
    lacks(text, cell);
}

/// Who is missing, by reasons.
fn lacks(text: &mut String, cell: &Cell<'_>) {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in &cell.lines {
        let Line::Lack { contender, reason, .. } = line else { continue };
        match reasons.iter_mut().find(|(known, _)| known == reason) {
            Some((_, names)) if names.contains(&contender.as_str()) => {}
            Some((_, names)) => names.push(contender),
            None => reasons.push((reason, vec![contender])),
        }
    }
    for (reason, names) in reasons {
        let _ = writeln!(text, "–: {reason} ({}).\n", names.join(", "));
    }
}

fn rate_of(unit: &str) -> String {
    if unit == "copy" { "copies/s".into() } else { format!("{unit}s/s") }
}

impl Cell<'_> {
    fn samples(&self, name: &str) -> impl Iterator<Item = (usize, &Sample)> {
        self.lines.iter().filter_map(move |line| match line {
            Line::Sample { contender, round, sample, .. } if contender == name => {
                Some((*round, sample))
            }
            _ => None,
        })
    }

    pub(crate) fn spread(&self, name: &str, figure: fn(&Sample) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.samples(name).filter_map(|(_, sample)| figure(sample)))
    }

    /// The ratio of CPU times in each round.
    fn ratio(&self, name: &str, baseline: &str) -> Option<Spread> {
        let ratios = self.samples(name).filter_map(|(round, own)| {
            let (_, base) = self.samples(baseline).find(|(other, _)| *other == round)?;
            Some(own.cpu_ns? / base.cpu_ns?)
        });
        Spread::of(ratios.collect::<Vec<_>>())
    }
}

fn spread_of_times(spread: Spread) -> String {
    format!("{} ({}–{})", time(spread.median), time(spread.lowest), time(spread.highest))
}

/// A number of nanoseconds, with three digits or so.
pub(crate) fn time(nanos: f64) -> String {
    match nanos {
        ..100.0 => format!("{nanos:.1} ns"),
        ..1e3 => format!("{nanos:.0} ns"),
        ..1e5 => format!("{:.2} µs", nanos / 1e3),
        ..1e6 => format!("{:.0} µs", nanos / 1e3),
        ..1e9 => format!("{:.1} ms", nanos / 1e6),
        _ => format!("{:.2} s", nanos / 1e9),
    }
}

fn count(number: f64) -> String {
    match number {
        ..100.0 => format!("{number:.2}"),
        ..1e4 => format!("{number:.0}"),
        ..1e7 => format!("{:.1} k", number / 1e3),
        _ => format!("{:.1} M", number / 1e6),
    }
}

fn few(number: f64) -> String {
    if number < 0.0005 { "0".into() } else { format!("{number:.3}") }
}

fn bytes(number: f64) -> String {
    match number {
        ..10_240.0 => format!("{number:.0} B"),
        ..1e7 => format!("{:.1} KiB", number / 1024.0),
        _ => format!("{:.1} MiB", number / (1 << 20) as f64),
    }
}

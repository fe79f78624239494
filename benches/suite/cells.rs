//! What is measured: a cell is a workload with its sizes.

use std::time::Duration;

use crate::contenders::Contender;
use crate::tools;

/// The names of all workloads.
const WORKLOADS: [&str; 17] = [
    "echo", "think", "stream", "accept", "idle", "read", "write", "open", "create", "copy", "nop",
    "spawn", "yield", "timers", "channel", "wake", "start",
];

pub(crate) struct Cell {
    pub(crate) workload: &'static str,
    pub(crate) title: String,
    pub(crate) what: What,
    /// What is counted: `CPU per …`.
    pub(crate) unit: &'static str,
}

/// How a cell is measured.
pub(crate) enum What {
    Echo {
        connections: usize,
        bytes: usize,
        think: Duration,
    },
    /// The contender receives.
    Sink {
        connections: usize,
    },
    /// The contender sends.
    Source {
        connections: usize,
    },
    Accept,
    Idle {
        connections: usize,
    },
    /// The contender measures itself.
    Own {
        workload: &'static str,
        arguments: Vec<String>,
        file: Option<DataFile>,
    },
    Copy,
}

/// The file that a workload needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataFile {
    /// Large, and there.
    Large,
    /// A name that may be written to.
    Scratch,
    /// Small, and there.
    Small,
}

pub(crate) fn is_known(workload: &str) -> bool {
    WORKLOADS.contains(&workload)
}

pub(crate) fn all(quick: bool) -> Vec<Cell> {
    let mut cells = sockets(quick);
    cells.extend(files(quick));
    cells.extend(micro());
    cells
}

fn sockets(quick: bool) -> Vec<Cell> {
    let mut cells = Vec::new();
    let sizes: &[(usize, &str)] = if quick {
        &[(64, "64 B")]
    } else {
        &[(64, "64 B"), (1 << 10, "1 KiB"), (16 << 10, "16 KiB")]
    };
    let counts: &[usize] = if quick { &[1, 64, 1000] } else { &[1, 64, 1000, 8000] };
    for &(bytes, size) in sizes {
        for &connections in counts {
            let title = format!("{size}, {}", plural(connections));
            let what = What::Echo { connections, bytes, think: Duration::ZERO };
            cells.push(cell("echo", title, what, "echo"));
        }
    }
    let think = Duration::from_micros(200);
    let what = What::Echo { connections: 1, bytes: 64, think };
    cells.push(cell("think", "64 B, 1 connection, 200 µs between".into(), what, "echo"));
    let counts: &[usize] = if quick { &[1] } else { &[1, 16] };
    for &connections in counts {
        let title = format!("receiving, {}", plural(connections));
        cells.push(cell("stream", title, What::Sink { connections }, "MiB"));
        let title = format!("sending, {}", plural(connections));
        cells.push(cell("stream", title, What::Source { connections }, "MiB"));
    }
    cells.push(cell("accept", "accept and close".into(), What::Accept, "connection"));
    let connections = if quick { 1000 } else { 8000 };
    let what = What::Idle { connections };
    cells.push(cell("idle", format!("{connections} idle connections"), what, "connection"));
    cells
}

fn files(quick: bool) -> Vec<Cell> {
    let mut cells = Vec::new();
    let depths: &[usize] = if quick { &[1, 32] } else { &[1, 32, 128] };
    for (direct, how) in [(0, "page cache"), (1, "O_DIRECT")] {
        for depth in depths {
            let title = format!("4 KiB, {how}, {depth} in flight");
            let arguments = [format!("depth={depth}"), format!("direct={direct}")];
            cells.push(own("read", title, "read", &arguments, Some(DataFile::Large)));
        }
    }
    let scratch = Some(DataFile::Scratch);
    cells.push(own(
        "write",
        "64 B over cached bytes".into(),
        "write",
        &["bytes=64".into()],
        scratch,
    ));
    cells.push(own(
        "write",
        "4 KiB over cached bytes".into(),
        "write",
        &["bytes=4096".into()],
        scratch,
    ));
    cells.push(own("open", "open, statx, close".into(), "open", &[], Some(DataFile::Small)));
    cells.push(own("create", "create, close, unlink".into(), "create", &[], scratch));
    cells.push(cell("copy", "1 GiB to a new file".into(), What::Copy, "copy"));
    cells
}

fn micro() -> Vec<Cell> {
    let mut cells = Vec::new();
    for tasks in [1, 8, 64] {
        let title = format!("{tasks} in flight");
        cells.push(own("nop", title, "nop", &[format!("tasks={tasks}")], None));
    }
    for (tasks, title) in [(1, "one at a time"), (1000, "1,000 at once")] {
        let title = format!("spawn and join, {title}");
        cells.push(own("spawn", title, "spawn", &[format!("tasks={tasks}")], None));
    }
    cells.push(own("yield", "the runtime's own yield".into(), "yield", &[], None));
    cells.push(own("yield", "a task that wakes itself".into(), "wake-self", &[], None));
    cells.push(own("timers", "100,000 tasks that sleep".into(), "sleeps", &[], None));
    for (armed, title) in [(0, "alone"), (100_000, "beside 100,000")] {
        let title = format!("made, polled, dropped, {title}");
        cells.push(own("timers", title, "timers", &[format!("armed={armed}")], None));
    }
    cells.push(own("channel", "round trip between two tasks".into(), "channel", &[], None));
    cells.push(own("wake", "from another thread".into(), "wake-thread", &[], None));
    cells.push(own("start", "a runtime that does nothing".into(), "start", &[], None));
    cells.push(own("start", "a runtime that reads a file".into(), "first", &[], None));
    cells
}

impl Cell {
    /// Programs that do the same and are no contenders of ours.
    pub(crate) fn tools(&self) -> &'static [Contender] {
        match (self.workload, &self.what) {
            ("read", _) => &tools::FIO,
            ("copy", _) => &tools::CP,
            _ => &[],
        }
    }
}

fn cell(workload: &'static str, title: String, what: What, unit: &'static str) -> Cell {
    Cell { workload, title, what, unit }
}

fn own(
    name: &'static str,
    title: String,
    workload: &'static str,
    arguments: &[String],
    file: Option<DataFile>,
) -> Cell {
    cell(name, title, What::Own { workload, arguments: arguments.to_vec(), file }, "operation")
}

fn plural(connections: usize) -> String {
    if connections == 1 { "1 connection".into() } else { format!("{connections} connections") }
}

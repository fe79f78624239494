//! Style and architecture as a test. The tables here *are* the architecture; `ARCHITECTURE.md` explains them.
#![cfg(not(miri))] // It reads the sources, which Miri keeps away.

use std::fs;
use std::path::{Path, PathBuf};

/// What each layer may use of the others. A layer is a folder of `src/`, or a file beside them.
const LAYERS: &[(&str, &[&str])] = &[
    ("sys", &[]),
    ("sync", &[]),
    ("panics", &[]),
    ("buf", &[]),
    ("fd", &["panics"]),
    // `buf` for `Room` alone: what a read is lent must not be readable, and both layers need to say so.
    ("ring", &["sys", "buf"]),
    ("sim", &["ring", "sys", "fd"]),
    ("driver", &["ring", "sys", "sync", "panics"]),
    ("pool", &["driver", "ring", "panics"]),
    ("op", &["driver", "ring", "buf", "fd", "pool"]),
    ("task", &["sync", "panics"]),
    ("time", &["panics"]),
    ("blocking", &["task", "panics"]),
    ("runtime", &["driver", "task", "time", "ring", "blocking", "pool", "sync"]),
    ("io", &["buf"]),
    // `sys` for the plain calls that copy a file, which have no operation that is as cheap.
    ("fs", &["op", "buf", "fd", "io", "time", "blocking", "sys"]),
    ("net", &["op", "buf", "fd", "io", "time", "blocking", "pool"]),
];

/// Where `unsafe` may stand, and what it claims there.
const UNSAFE: &[(&str, &str)] = &[
    ("sys/syscall.rs", "the arguments describe memory of ours"),
    ("sys/mapping.rs", "the mapping is ours and unmapped once"),
    (
        "sys/pages.rs",
        "the pages are ours and unmapped once; their one lender keeps writers and readers apart",
    ),
    ("sys/process.rs", "the page of the word that a fork wipes is never unmapped"),
    ("sys/plain.rs", "what a submission lends is lent to the plain call in its place"),
    ("sys/transfer.rs", "the arguments describe memory of ours"),
    ("ring/queues/", "offsets lie in the memory, each side keeps to its own end"),
    ("ring/memory.rs", "never more is used than there is"),
    ("ring/setup.rs", "memory lent for rings is large enough, and theirs alone"),
    ("ring/resize.rs", "arguments of register calls"),
    ("ring/capabilities.rs", "arguments of register calls that are none"),
    ("ring/fd.rs", "arguments of register calls"),
    (
        "ring/registry/",
        "arguments of register calls; what the kernel keeps is owned by what registered it",
    ),
    ("ring/kernel.rs", "arguments of register calls; the contract of a kernel in user space"),
    ("ring/sqe/mod.rs", "the door for operations this crate does not know"),
    ("ring/sqe/buffers.rs", "buffers of a group are lent beyond the borrow"),
    (
        "ring/sqe/command.rs",
        "a command or option with addresses in it is the caller's to vouch for",
    ),
    ("ring/sqe/memory.rs", "advice that drops content is the caller's to vouch for"),
    ("ring/sqe/msg_ring.rs", "a posted completion is not taken for another request's"),
    ("ring/sqe/poll.rs", "a new name is not taken for another request's"),
    ("ring/sqe/tests/", "never pushed; what was just lent is looked at"),
    ("ring/push.rs", "the push contract"),
    (
        "ring/provided/memory.rs",
        "entries and buffers lie in memory of ours, entries are atomic words",
    ),
    ("ring/provided/pool.rs", "an idle buffer is ours"),
    ("ring/provided/lease.rs", "leased bytes have one owner: the take contract"),
    ("ring/provided/buf_ring.rs", "arguments of register calls; the take contract"),
    ("ring/provided/classic.rs", "the take contract; what completions of provide and remove mean"),
    ("ring/provided/tests.rs", "plays the kernel"),
    ("driver/mod.rs", "the borrow of a pushed submission lasts: rules 1 to 4"),
    ("driver/inline.rs", "what a submission lends is lent to the plain call in its place"),
    ("driver/payload.rs", "erased type and address are right"),
    ("driver/tests/", "takes shots of payloads that it holds"),
    ("buf/mod.rs", "the front of a vector's capacity is initialized"),
    ("buf/room.rs", "lent memory may be written"),
    ("buf/slice.rs", "passes the contract of a buffer on to the buffer it is a part of"),
    ("fd/mod.rs", "a descriptor is open and owned once; a clone is let go of once"),
    ("op/outcome.rs", "results mean what the man page says"),
    ("op/accept.rs", "accept4(2) returns a new descriptor"),
    ("op/close.rs", "the descriptor is ours alone to close"),
    ("op/open_at.rs", "openat(2) returns a new descriptor"),
    ("op/socket.rs", "socket(2) returns a new descriptor"),
    ("op/read.rs", "read(2) fills as many bytes as it returns"),
    ("op/recv.rs", "recv(2) fills as many bytes as it returns"),
    (
        "task/raw/",
        "a task in one allocation: the parts that never leave the thread are touched there alone",
    ),
    ("op/recv_leased.rs", "a completion of an operation is about the pool that it selected from"),
    ("pool/mod.rs", "the take contract, passed on"),
    ("sim/mod.rs", "implements a kernel"),
    ("sim/registered.rs", "implements what a kernel registers with"),
    ("sim/memory/", "arguments of register calls are lent to us, and what they lend"),
    ("sim/memory.rs", "addresses in submissions are lent to us: the push contract"),
    ("sim/tests.rs", "pushes by hand"),
    ("sim/tests/", "pushes by hand"),
];

/// Files over the limit, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];

const MAX_FILE_LINES: usize = 500;
const MAX_FUNCTION_LINES: usize = 70;
const MAX_CFG_LINES: usize = 10;

/// Words that must not stand in the library's code: stubs, and what a library has no business doing.
const FORBIDDEN: &[&str] = &[
    "todo!(",
    "unimplemented!(",
    "dbg!(",
    "println!(",
    "print!(",
    "process::exit",
    "process::abort",
];

/// Names that say nothing.
const EMPTY_NAMES: &[&str] = &["util", "utils", "helper", "helpers", "misc", "common"];

struct Source {
    /// Relative to `src/`.
    name: String,
    lines: Vec<String>,
}

impl Source {
    fn layer(&self) -> &str {
        self.name.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    /// Whether the whole file is tests.
    fn is_test(&self) -> bool {
        self.name.ends_with("tests.rs") || self.name.contains("/tests/")
    }

    /// Lines of code before the tests at a file's end, without comments, numbered from 1.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = self.lines.iter().position(|line| line.trim() == "mod tests {");
        let numbered = self.lines[..end.unwrap_or(self.lines.len())].iter().enumerate();
        numbered
            .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
            .filter(|(_, line)| !line.trim().is_empty())
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    assert!(paths.len() > 30, "the sources were found");
    let read = |path: &PathBuf| Source {
        name: path.strip_prefix(&root).expect("below src").display().to_string(),
        lines: fs::read_to_string(path).expect("a source").lines().map(str::to_owned).collect(),
    };
    paths.iter().map(read).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// Fails with all findings at once.
fn none(what: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{what}:\n{}", findings.join("\n"));
}

/// The names behind `crate::` in a line, braces included: `crate::{ring, sys::abi}`.
fn used(line: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for rest in line.split("crate::").skip(1) {
        let list = rest.strip_prefix('{').and_then(|rest| rest.split('}').next()).unwrap_or(rest);
        let braced = rest.starts_with('{');
        for part in list.split(',').take(if braced { usize::MAX } else { 1 }) {
            let end = part.trim().find(|c: char| !c.is_alphanumeric() && c != '_');
            names.push(&part.trim()[..end.unwrap_or(part.trim().len())]);
        }
    }
    names
}

#[test]
fn every_arrow_between_layers_is_in_the_table() {
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| source.name != "lib.rs") {
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == source.layer()) else {
            findings.push(format!("{} belongs to no layer", source.name));
            continue;
        };
        for (number, line) in source.code() {
            for name in used(line) {
                let known = LAYERS.iter().any(|(layer, _)| *layer == name);
                if known && name != source.layer() && !allowed.contains(&name) {
                    findings.push(format!("{}:{number} uses {name}", source.name));
                }
            }
        }
    }
    none("arrows that are not in the table", &findings);
}

#[test]
fn unsafe_stands_only_in_the_listed_files_and_each_listed_file_has_some() {
    let mut findings = Vec::new();
    let mut unused: Vec<&str> = UNSAFE.iter().map(|(name, _)| *name).collect();
    for source in &sources() {
        let has = source.lines.iter().any(|line| {
            let code = line.split("//").next().unwrap_or_default();
            code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe")
        });
        // A folder stands for all files in it.
        let is = |name: &str| {
            name == source.name || name.ends_with('/') && source.name.starts_with(name)
        };
        unused.retain(|name| !(has && is(name)));
        if has && !UNSAFE.iter().any(|(name, _)| is(name)) {
            findings.push(format!("{} has unsafe and is not listed", source.name));
        }
    }
    findings.extend(unused.iter().map(|name| format!("{name} is listed and has none")));
    none("the table of unsafe is wrong", &findings);
}

#[test]
fn every_unsafe_block_says_why_it_is_sound() {
    let mut findings = Vec::new();
    for source in &sources() {
        for (index, line) in source.lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if !code.contains("unsafe {") && !code.contains("unsafe impl") {
                continue;
            }
            // The comment may stand some lines above, where the statement begins.
            let above = &source.lines[index.saturating_sub(12)..=index];
            if !above.iter().any(|line| line.contains("SAFETY")) {
                findings.push(format!("{}:{}", source.name, index + 1));
            }
        }
    }
    none("unsafe without a SAFETY comment", &findings);
}

#[test]
fn files_and_functions_fit_on_few_screens() {
    let mut findings = Vec::new();
    for source in &sources() {
        let excused = LONG_FILES.iter().any(|(name, _)| *name == source.name);
        if source.lines.len() > MAX_FILE_LINES && !excused {
            findings.push(format!("{} has {} lines", source.name, source.lines.len()));
        }
        let mut start = None;
        for (index, line) in source.lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let words = line.trim_start();
            let is_fn = words.contains("fn ") && !words.starts_with("//") && !words.ends_with(';');
            if start.is_none() && is_fn && words.split("fn ").next().is_some_and(is_qualifiers) {
                start = Some((index, indent));
            }
            if let Some((first, depth)) = start {
                if words.starts_with('}') && indent == depth || words.ends_with("{}") {
                    if index - first + 1 > MAX_FUNCTION_LINES {
                        let lines = index - first + 1;
                        findings.push(format!("{}:{} is {lines} lines", source.name, first + 1));
                    }
                    start = None;
                }
            }
        }
    }
    none("too long", &findings);
}

/// Whether the words before `fn` are qualifiers: then it is a function, not a closure type.
fn is_qualifiers(words: &str) -> bool {
    let known = ["pub", "pub(crate)", "pub(super)", "const", "async", "unsafe", "extern", "\"C\""];
    words.split_whitespace().all(|word| known.contains(&word))
}

#[test]
fn few_lines_depend_on_the_configuration() {
    let mut lines = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        for (number, line) in source.code() {
            if line.contains("cfg(") && !line.contains("cfg(test)") {
                lines.push(format!("{}:{number} {}", source.name, line.trim()));
            }
        }
    }
    let count = lines.len();
    assert!(count <= MAX_CFG_LINES, "{count} lines of cfg:\n{}", lines.join("\n"));
}

#[test]
fn the_library_has_no_stubs_and_never_prints_or_exits() {
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        for (number, line) in source.code() {
            for word in FORBIDDEN.iter().filter(|word| line.contains(**word)) {
                findings.push(format!("{}:{number} {word}", source.name));
            }
        }
    }
    none("forbidden in the library", &findings);
}

#[test]
fn no_file_is_named_after_nothing() {
    let mut findings = Vec::new();
    for source in &sources() {
        let empty = source.name.split(['/', '.']).any(|part| EMPTY_NAMES.contains(&part));
        if empty {
            findings.push(source.name.clone());
        }
    }
    none("names that say nothing", &findings);
}

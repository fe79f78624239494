//! `docs/coverage.md` names for every item of the seeds the Rust item and the test that runs it: both exist.
// It reads every source for every row, which takes Miri long and tells it nothing.
#![cfg(not(miri))]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The groups of the checklist and how many items each has.
const GROUPS: &[(&str, usize)] = &[
    ("Zig functions", 81),
    ("Further Zig items", 18),
    ("Zig tests", 41),
    ("D definitions", 28),
    ("Java definitions", 99),
    ("Semantics", 39),
];

struct Row {
    group: String,
    item: String,
    rust: String,
    test: String,
    reason: String,
}

impl Row {
    fn is_incomplete(&self) -> bool {
        self.rust.is_empty() || self.test.is_empty()
    }
}

/// Sources by path.
type Sources = BTreeMap<PathBuf, String>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The rows of the tables, each with the heading above it. A cell's `\|` is no border.
fn rows() -> Vec<Row> {
    let text = fs::read_to_string(root().join("docs/coverage.md")).expect("docs/coverage.md");
    let (mut group, mut rows) = (String::new(), Vec::new());
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            group = heading.split(" (").next().unwrap_or_default().to_owned();
        }
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let is_row = line.starts_with("| ") && cells[0] != "item" && cells.len() >= 3;
        if is_row && GROUPS.iter().any(|(name, _)| *name == group) {
            let cell = |index: usize| cells.get(index).unwrap_or(&"").replace('`', "");
            let (item, rust, test, reason) = (cell(0), cell(1), cell(2), cell(3));
            rows.push(Row { group: group.clone(), item, rust, test, reason });
        }
    }
    rows
}

/// All sources below a folder.
fn sources(folder: &Path, into: &mut Sources) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            into.insert(path, text);
        }
    }
}

/// Whether what stands before and after a place in a text is no part of the same name.
fn is_word(text: &str, at: usize, len: usize) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    !text[..at].ends_with(part_of_name) && !text[at + len..].starts_with(part_of_name)
}

/// What stands before a name where it is defined; nothing for a variant or a number of a list.
const BEFORE_A_DEFINITION: &[&str] = &["", "fn", "struct", "enum", "trait", "type", "const", "mod"];

/// Whether a text defines a name, rather than using it.
fn defines(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let line = &text[text[..at].rfind('\n').map_or(0, |end| end + 1)..at];
        let last = line.split_whitespace().next_back().unwrap_or_default();
        let is_use = text[at + name.len()..].starts_with("::");
        is_word(text, at, name.len()) && !is_use && BEFORE_A_DEFINITION.contains(&last)
    })
}

/// Whether a text defines a public function, a variant or a constant of a type's: there and nowhere else does the
/// name count, as many types have a `new`.
fn defines_of(text: &str, of: &str, name: &str) -> bool {
    // `numbers! { Opcode: u8 { NOP = 0, "5.1"; } }` gives each type what every list of numbers has.
    let is_list = |line: &str| line.trim_start().starts_with(&format!("{of}: u"));
    if text.contains("numbers! {") && text.lines().any(is_list) {
        return name == "ALL" || defines(text, name);
    }
    let is_home = text.lines().any(|line| {
        let line = line.trim_start();
        let begins = ["impl", "pub struct", "pub enum", "pub trait", "pub mod"];
        // Some types have methods in common, which a macro writes: `common!(Sqe);`.
        let by_macro = line.ends_with(&format!("!({of});"));
        let head = line.split('{').next().unwrap_or(line);
        let declares = begins.iter().any(|begin| head.starts_with(begin))
            && head.match_indices(of).any(|(at, _)| is_word(head, at, of.len()));
        declares || by_macro
    });
    let is_function = name.starts_with(|c: char| c.is_ascii_lowercase());
    let is_public = |kind: &str| {
        let start = format!("pub {kind}{name}");
        text.match_indices(&start).any(|(at, _)| is_word(text, at, start.len()))
    };
    is_home
        && if is_function {
            ["fn ", "const fn ", "unsafe fn "].into_iter().any(is_public)
        } else {
            defines(text, name)
        }
}

/// Whether the library has an item of that path.
fn has_item(library: &Sources, path: &str) -> bool {
    let names: Vec<&str> = path.split("::").collect();
    match names[..] {
        [.., of, name] if of.starts_with(|c: char| c.is_ascii_uppercase()) => {
            library.values().any(|text| text.contains(name) && defines_of(text, of, name))
        }
        _ => names.iter().all(|name| library.values().any(|text| defines(text, name))),
    }
}

/// Whether a text has a function of that name which is a test.
fn has_test(text: &str, name: &str) -> bool {
    text.match_indices(&format!("fn {name}(")).any(|(at, _)| {
        let block = &text[text[..at].rfind("\n\n").unwrap_or(0)..at];
        block.contains("#[test]") && !block.contains("#[ignore")
    })
}

/// What a row names and the sources do not have.
fn missing(row: &Row, library: &Sources, tests: &Sources) -> Vec<String> {
    let mut missing = Vec::new();
    let names = |cell: &str| -> Vec<String> {
        cell.split(", ").filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    for item in names(&row.rust) {
        if !has_item(library, &item) {
            missing.push(format!("no item {item}"));
        }
    }
    for test in names(&row.test) {
        let (file, name) = test.rsplit_once("::").unwrap_or(("", &test));
        let mut all = library.iter().chain(tests);
        if !all.any(|(path, text)| path.with_extension("").ends_with(file) && has_test(text, name))
        {
            missing.push(format!("no test {test}"));
        }
    }
    if row.is_incomplete() && row.reason.is_empty() {
        missing.push("neither item and test nor a reason".to_owned());
    }
    missing
}

#[test]
fn every_item_of_the_seeds_has_a_row() {
    let rows = rows();
    for (group, count) in GROUPS {
        let items: Vec<&str> =
            rows.iter().filter(|row| row.group == *group).map(|row| row.item.as_str()).collect();
        assert_eq!(items.len(), *count, "rows of {group}");
        for (index, item) in items.iter().enumerate() {
            assert!(!items[..index].contains(item), "two rows of {group} for {item}");
        }
    }
}

#[test]
fn every_row_names_a_rust_item_and_a_test_that_exist_or_gives_a_reason() {
    let (mut library, mut tests) = (Sources::new(), Sources::new());
    sources(&root().join("src"), &mut library);
    sources(&root().join("runtime-tests/tests"), &mut tests);
    let rows = rows();
    let mut findings = Vec::new();
    for row in &rows {
        for what in missing(row, &library, &tests) {
            findings.push(format!("{}: {}: {what}", row.group, row.item));
        }
    }
    let excused = rows.iter().filter(|row| row.is_incomplete()).count();
    println!("{} rows, {excused} have a reason in place of an item or a test", rows.len());
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

/// The bodies of all tests of a name in files of that name, each with its path.
fn bodies<'a>(sources: &'a Sources, test: &str) -> Vec<(&'a Path, &'a str)> {
    let (file, name) = test.rsplit_once("::").unwrap_or(("", test));
    let of_file = sources.iter().filter(|(path, _)| path.with_extension("").ends_with(file));
    of_file
        .filter_map(|(path, text)| {
            let start = text.find(&format!("fn {name}("))?;
            let len = text[start..].find("\n}").unwrap_or(text.len() - start);
            Some((path.as_path(), &text[start..start + len]))
        })
        .collect()
}

#[test]
fn each_zig_test_has_a_twin_on_linux_and_one_in_the_simulation_or_a_row_that_says_why_not() {
    let (mut library, mut tests) = (Sources::new(), Sources::new());
    sources(&root().join("src"), &mut library);
    sources(&root().join("runtime-tests/tests"), &mut tests);
    let (mut simulated, mut findings) = (0, Vec::new());
    for row in rows().iter().filter(|row| row.group == "Zig tests") {
        let named = || row.test.split(", ");
        let on_linux = named().any(|test| !bodies(&tests, test).is_empty());
        let in_both = |(_, body): &(&Path, &str)| {
            body.contains("everywhere(") || body.contains("Sim::new(") || body.contains("kernels(")
        };
        let on_sim = named().any(|test| {
            let in_library = bodies(&library, test);
            in_library
                .iter()
                .any(|(path, _)| path.components().any(|part| part.as_os_str() == "sim"))
                || bodies(&tests, test).iter().any(in_both)
        });
        simulated += usize::from(on_sim);
        let excused = row.reason.starts_with("not in the simulation: ");
        if !on_linux || on_sim == excused {
            findings.push(format!("{}: Linux {on_linux}, simulation {on_sim}", row.item));
        }
    }
    println!("{simulated} of Zig's tests have a twin in the simulation");
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn an_item_counts_where_it_belongs_and_nowhere_else() {
    let text = "pub struct One;\n\nimpl One {\n    pub fn made(self) {}\n\n    fn hidden() {}\n}\n";
    assert!(defines_of(text, "One", "made"));
    assert!(!defines_of(text, "One", "hidden"), "nobody can call it");
    assert!(!defines_of(text, "Other", "made"), "it is a method of another type");
    assert!(!defines_of(text, "One", "self"), "a word is no item");
}

//! The tables in `docs`: what they name exists, and their counts are right.
#![cfg(not(miri))]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All Rust sources below a directory, in one text.
fn sources(below: &str) -> String {
    let mut all = String::new();
    let mut directories = vec![root().join(below)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                all.push_str(&fs::read_to_string(&path).expect("a source file"));
            }
        }
    }
    all
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect()
}

/// The cells of all rows of all tables, without their heads.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = text.lines().collect();
    let is_row = |line: &str| line.starts_with('|') && !line.starts_with("|---");
    let is_head = |at: usize| lines.get(at + 1).is_some_and(|next| next.starts_with("|---"));
    (0..lines.len())
        .filter(|at| is_row(lines[*at]) && !is_head(*at))
        .map(|at| lines[at].trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

/// What stands between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The counts at the head of a document, and its other rows.
fn document(name: &str) -> (BTreeMap<String, usize>, Vec<[String; 3]>) {
    let path = root().join("docs").join(name);
    let text = fs::read_to_string(&path).expect("the document");
    let (mut counts, mut items) = (BTreeMap::new(), Vec::new());
    for row in rows(&text) {
        match row[..] {
            [what, count] => {
                counts.insert(what.to_owned(), count.parse().expect("a count"));
            }
            [first, second, third] => items.push([first, second, third].map(str::to_owned)),
            _ => panic!("{name}: a row of neither two nor three cells: {row:?}"),
        }
    }
    (counts, items)
}

fn count_if(items: &[[String; 3]], holds: impl Fn(&[String; 3]) -> bool) -> usize {
    items.iter().filter(|item| holds(item)).count()
}

#[test]
fn every_test_that_the_list_of_behaviours_names_exists() {
    let all = sources("runtime-tests/tests") + &sources("src");
    let tests: BTreeSet<&str> = all
        .split("#[test]")
        .skip(1)
        .filter_map(|rest| rest.split_once("fn ")?.1.split('(').next())
        .collect();
    for [behaviour, named, _] in document("conformance.md").1 {
        for test in quoted(&named) {
            assert!(tests.contains(test), "{behaviour}: there is no test {test}");
        }
    }
}

#[test]
fn the_counts_of_behaviours_are_right_and_each_has_a_test_or_a_reason() {
    let (counts, items) = document("conformance.md");
    let begins = |with: &'static str| move |item: &[String; 3]| item[2].starts_with(with);
    let results = ["passes", "skipped", "not applicable", "missing"];
    let mut names = BTreeSet::new();
    for item in &items {
        let [behaviour, tests, result] = item;
        assert!(results.iter().any(|known| result.starts_with(known)), "{behaviour}: {result}");
        let has_test = result.starts_with("passes") || result.starts_with("skipped");
        assert_eq!(quoted(tests).next().is_some(), has_test, "{behaviour}");
        assert!(result == "passes" || result.len() > "not applicable".len(), "no reason: {result}");
        assert!(names.insert(behaviour), "twice: {behaviour}");
    }
    let mut found: BTreeMap<String, usize> = results
        .iter()
        .map(|known| ((*known).to_owned(), count_if(&items, begins(known))))
        .collect();
    found.insert("all".to_owned(), items.len());
    assert_eq!(counts, found);
}

#[test]
fn every_item_that_the_list_of_functions_names_exists() {
    let source = sources("src");
    let known = words(&source);
    for [function, here, note] in document("liburing.md").1 {
        for item in quoted(&here).chain(quoted(&note)) {
            for word in item.split("::") {
                assert!(known.contains(word), "{function}: there is no {word}");
            }
            if let Some((_, name)) = item.split_once("::") {
                let is_function = name.starts_with(|c: char| c.is_ascii_lowercase());
                let defined = |end| source.contains(&format!("fn {name}{end}"));
                let there = !is_function || defined("(") || defined("<");
                assert!(there, "{function}: there is no function {name}");
            }
        }
    }
}

#[test]
fn the_counts_of_functions_are_right_and_each_has_an_equivalent_or_a_reason() {
    let (counts, items) = document("liburing.md");
    let has = |item: &[String; 3]| !item[1].is_empty();
    let is_internal = |item: &[String; 3]| !has(item) && item[2].starts_with("internal");
    let mut names = BTreeSet::new();
    for item in &items {
        assert!(has(item) || !item[2].is_empty(), "{}: neither item nor reason", item[0]);
        assert!(names.insert(&item[0]), "twice: {}", item[0]);
    }
    let (with, internal) = (count_if(&items, has), count_if(&items, is_internal));
    let found = BTreeMap::from([
        ("all".to_owned(), items.len()),
        ("with an equivalent".to_owned(), with),
        ("without, as internal to the C headers".to_owned(), internal),
        ("without, for the reason in the note".to_owned(), items.len() - with - internal),
    ]);
    assert_eq!(counts, found);
}

/// The requirements of `soundness.md`: number, sentence, tests, where they run or why there are none. They stand
/// before the deliberate bugs, whose tables have other columns.
fn requirements(text: &str) -> Vec<[&str; 4]> {
    let rows = rows(text.split("\n## Deliberate bugs").next().unwrap_or(text));
    rows.into_iter().map(|row| row.try_into().expect("a row of four cells")).collect()
}

fn soundness() -> String {
    fs::read_to_string(root().join("docs/soundness.md")).expect("the document")
}

#[test]
fn every_requirement_of_soundness_is_there_once() {
    let text = soundness();
    let mut numbers: Vec<u32> =
        requirements(&text).iter().map(|[number, ..]| number.parse().expect("a number")).collect();
    numbers.sort_unstable();
    let all: Vec<u32> = (1..=36).chain(61..=63).collect();
    assert_eq!(numbers, all);
}

/// A test that a document names, and the program that it is in.
struct Named {
    /// The text of all its files.
    program: String,
    /// The test's own, with its attributes.
    text: String,
}

impl Named {
    /// None if there is no such test.
    fn find(named: &str) -> Option<Named> {
        let (file, function) = named.split_once("::").expect("a file and a function");
        let below = root().join(if file.starts_with("src/") { "" } else { "runtime-tests/tests" });
        let read = |path: &str| fs::read_to_string(below.join(path)).unwrap_or_default();
        let source = read(file);
        let parts: Vec<&str> = source.split("#[test]").collect();
        let at = (1..parts.len()).find(|at| {
            let begun = parts[*at].split_once("fn ");
            begun.is_some_and(|(_, rest)| rest.split('(').next() == Some(function))
        })?;
        // Attributes may stand before `#[test]` as well.
        let before = parts[at - 1].rsplit("\n\n").next().unwrap_or_default();
        let own = parts[at].split("\n\n#[").next().unwrap_or_default();
        let program = match file.split(['/', '.']).next() {
            Some("src") | None => source.clone(),
            Some(name) => {
                let folder = format!("runtime-tests/tests/{name}");
                let rest =
                    if root().join(&folder).is_dir() { sources(&folder) } else { String::new() };
                read(&format!("{name}.rs")) + &rest
            }
        };
        Some(Named { program, text: format!("{before}{own}") })
    }

    fn says(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.text.contains(word))
    }

    /// Not one that is left out there, or looks for Linux and finds none.
    fn runs_under_miri(&self) -> bool {
        let left_out =
            ["cfg(not(miri))", "miri, ignore", "on_linux(", "if cfg!(miri) {\n        return"];
        !self.program.contains("#![cfg(not(miri))]") && !self.says(&left_out)
    }

    /// Miri has no other kernel; elsewhere a test says that it runs on several.
    fn runs_on_sim(&self) -> bool {
        let several = ["on_every_kernel", "in_every_world", "kernels()"];
        let has_sim =
            self.program.contains("Sim") || several.iter().any(|word| self.program.contains(word));
        self.says(&several) || self.runs_under_miri() && has_sim
    }
}

#[test]
fn every_test_that_soundness_names_exists() {
    for row in rows(&soundness()) {
        let is_test = |named: &&str| named.contains(".rs::");
        for named in row.iter().flat_map(|cell| quoted(cell)).filter(is_test) {
            assert!(Named::find(named).is_some(), "{}: there is no {named}", row[0]);
        }
    }
}

/// A column that no test of the row backs would promise too much.
#[test]
fn what_soundness_says_runs_under_miri_or_on_the_simulation_does() {
    for [number, _, tests, places] in requirements(&soundness()) {
        let tests: Vec<Named> = quoted(tests).filter_map(Named::find).collect();
        let any = |holds: fn(&Named) -> bool| tests.iter().any(holds);
        assert!(
            !places.contains("Miri") || any(Named::runs_under_miri),
            "{number}: Miri runs none"
        );
        assert!(
            !places.contains("sim") || any(Named::runs_on_sim),
            "{number}: none on the simulation"
        );
    }
}

#[test]
fn every_requirement_of_soundness_says_where_it_is_tested_or_why_not() {
    const PLACES: [&str; 6] = ["Linux", "sim", "Miri", "loom", "ASan", "TSan"];
    for [number, sentence, tests, places] in requirements(&soundness()) {
        assert!(sentence.ends_with('.'), "{number}: no sentence");
        assert!(quoted(tests).all(|test| test.contains(".rs::")), "{number}: not a test");
        if quoted(tests).next().is_none() {
            let reason = places.strip_prefix("no test: ").unwrap_or_default();
            assert!(reason.len() > 20, "{number}: neither a test nor a reason");
            continue;
        }
        let places: Vec<&str> = places.split(", ").collect();
        assert!(places.iter().all(|place| PLACES.contains(place)), "{number}: {places:?}");
        // Only these run there.
        let in_loom = quoted(tests).any(|test| test.contains("/loom.rs::"));
        let under_tsan = quoted(tests)
            .any(|test| test.starts_with("cross_thread.rs::") || test.starts_with("blocking.rs::"));
        assert_eq!(places.contains(&"loom"), in_loom, "{number}: loom");
        assert_eq!(places.contains(&"TSan"), under_tsan, "{number}: TSan");
    }
}

/// The public unsafe functions of a source, each with the type that it belongs to.
fn unsafe_functions(source: &str) -> Vec<String> {
    let (mut of, mut found) = (None, Vec::new());
    for line in source.lines() {
        if let Some(rest) = line.strip_prefix("impl") {
            let name = rest.trim_start_matches("<'a>").trim();
            of = name.split(|c: char| !c.is_alphanumeric()).next().map(str::to_owned);
        }
        if line == "}" {
            of = None;
        }
        if let Some(rest) = line.trim().strip_prefix("pub unsafe fn ") {
            let name = rest.split(['(', '<']).next().unwrap_or(rest);
            found.push(of.as_ref().map_or(name.to_owned(), |of| format!("{of}::{name}")));
        }
    }
    found
}

#[test]
fn every_unsafe_function_of_the_ring_layer_stands_on_its_page_about_safety() {
    let page = fs::read_to_string(root().join("src/ring/mod.rs")).expect("the page");
    let page = page.split("## The other unsafe functions").nth(1).expect("the table");
    let named: BTreeSet<&str> = quoted(page.split("## ").next().unwrap_or(page)).collect();
    let functions = unsafe_functions(&sources("src/ring"));
    assert!(functions.len() > 20, "found {functions:?}");
    for function in &functions {
        assert!(named.contains(function.as_str()), "{function} is not on the page");
    }
}

/// The rules of a safety chapter: numbers at the head of a file.
fn rules(chapter: &str, file: &str) -> Vec<String> {
    let source = fs::read_to_string(root().join(file)).expect("a source file");
    let lines = source.lines().filter_map(|line| line.strip_prefix("//! "));
    let numbers = lines.filter_map(|line| line.split_once(". ")?.0.parse::<u32>().ok());
    numbers.map(|number| format!("{chapter} {number}")).collect()
}

#[test]
fn every_rule_of_the_safety_chapters_says_where_it_is_relied_on_and_what_guards_it() {
    let mut all = rules("driver", "src/driver/mod.rs");
    all.extend(rules("task", "src/task/raw/mod.rs"));
    assert!(all.len() > 10, "{all:?}");
    let text = soundness();
    let chapter = text.split("\n## The rules of the safety chapters").nth(1);
    let rows = rows(chapter.and_then(|rest| rest.split("\n## ").next()).expect("the table"));
    let found: Vec<&str> = rows.iter().filter_map(|row| row[0].split(',').next()).collect();
    assert_eq!(found, all);
    for row in rows {
        let [rule, places, tests] = row[..] else { panic!("a row of three cells: {row:?}") };
        assert!(quoted(tests).next().is_some(), "{rule}: no test");
        assert!(quoted(places).next().is_some(), "{rule}: no place");
        for place in quoted(places) {
            assert!(root().join(place).is_file(), "{rule}: there is no {place}");
        }
    }
}

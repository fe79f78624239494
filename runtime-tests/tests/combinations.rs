//! Every way an operation can end, with every kind of operation, every outcome, and panics on the way: each cell
//! with the ledger of events that the rules promise, against a kernel that says what the cell tells it to.

mod combinations {
    pub(crate) mod cells;
    pub(crate) mod kernel;
    pub(crate) mod parts;
    pub(crate) mod run;
}

use std::collections::BTreeMap;
use std::panic;

use combinations::cells::all;
use combinations::parts::ON_PURPOSE;
use combinations::run::run;
use runtime_tests::steps;

/// Panics that cells make would fill the screen.
fn hide_panics_on_purpose() {
    let shown = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let said = info.payload().downcast_ref::<String>();
        if !said.is_some_and(|said| said.starts_with(ON_PURPOSE)) {
            shown(info);
        }
    }));
}

#[test]
fn every_combination_of_end_kind_outcome_and_panic_has_its_ledger() {
    hide_panics_on_purpose();
    // One in seven meets every end, kind, outcome and panic; Miri takes seconds for each.
    let stride = steps(1, 7);
    let (mut cells, mut done, mut failures) = (0, 0, Vec::new());
    let mut skipped = BTreeMap::<&str, usize>::new();
    for cell in all() {
        if let Some(reason) = cell.reason_to_skip() {
            *skipped.entry(reason).or_default() += 1;
            continue;
        }
        cells += 1;
        if cells % stride > 0 {
            *skipped.entry("Miri is slow").or_default() += 1;
            continue;
        }
        done += 1;
        let (expected, found) = (cell.expected(), run(&cell));
        if expected != found {
            failures.push(format!("{cell:?}\n  expected {expected:?}\n  found    {found:?}"));
        }
    }
    let skips: usize = skipped.values().sum();
    println!("{done} cells, {} failures, {skips} skipped:", failures.len());
    for (reason, count) in skipped {
        println!("{count:5} because {reason}");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(done * stride > 300, "{done} cells");
}

//! What was measured, as lines of JSON, and medians of it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What one contender showed in one cell in one round. What is not known is none.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// CPU time of all threads of the contender, in the kernel's work for them too, for one operation.
    pub(crate) cpu_ns: Option<f64>,
    pub(crate) ops_per_s: Option<f64>,
    pub(crate) p50_ns: Option<f64>,
    pub(crate) p99_ns: Option<f64>,
    pub(crate) p999_ns: Option<f64>,
    /// System calls for one operation, of all kinds.
    pub(crate) calls: Option<f64>,
    pub(crate) allocations: Option<f64>,
    /// Resident memory: of a process at the end, or for each idle connection.
    pub(crate) memory_bytes: Option<f64>,
}

/// A line of the file of samples.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "lowercase")]
pub(crate) enum Line {
    Machine {
        description: String,
        rounds: usize,
    },
    Sample {
        key: Key,
        contender: String,
        round: usize,
        sample: Sample,
    },
    /// There is no such workload for it, or, where it `failed`, none was measured this time.
    Lack {
        key: Key,
        contender: String,
        reason: String,
        failed: bool,
    },
}

/// A cell, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) workload: String,
    pub(crate) cell: String,
    pub(crate) unit: String,
}

/// A median with what lies around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) lowest: f64,
    pub(crate) median: f64,
    pub(crate) highest: f64,
}

impl Spread {
    /// None of no figures. An even number of them has the mean of the middle two as median.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let (count, middle) = (figures.len(), figures.len() / 2);
        let (&lowest, &highest) = (figures.first()?, figures.last()?);
        let median = (figures[(count - 1) / 2] + figures[middle]) / 2.0;
        Some(Spread { lowest, median, highest })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ({:.2}–{:.2})", self.median, self.lowest, self.highest)
    }
}

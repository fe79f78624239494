//! The command line: `WORKLOAD [key=value]…`.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// What a contender is asked to do.
#[derive(Debug)]
pub struct Arguments {
    workload: String,
    pairs: Vec<(String, String)>,
}

impl Arguments {
    /// Those of this process.
    pub fn of_process() -> io::Result<Arguments> {
        let mut words = std::env::args().skip(1);
        let workload = words.next().ok_or_else(|| wrong("usage: WORKLOAD [key=value]…"))?;
        let pair = |word: String| match word.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err(wrong(&format!("{word:?} is no key=value"))),
        };
        Ok(Arguments { workload, pairs: words.map(pair).collect::<io::Result<_>>()? })
    }

    /// The name of the workload.
    pub fn workload(&self) -> &str {
        &self.workload
    }

    /// A number, or what it is when nobody says.
    pub fn number(&self, key: &str, default: usize) -> io::Result<usize> {
        let found = self.pairs.iter().find(|(known, _)| known == key);
        found.map_or(Ok(default), |(_, value)| {
            value.parse().map_err(|_| wrong(&format!("{key}={value} is no number")))
        })
    }

    /// For how long to measure: `ms`, a fifth of a second when nobody says.
    pub fn window(&self) -> io::Result<Duration> {
        Ok(Duration::from_millis(self.number("ms", 200)? as u64))
    }

    /// A path, which must be given.
    pub fn path(&self, key: &str) -> io::Result<PathBuf> {
        let found = self.pairs.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.into()).ok_or_else(|| wrong(&format!("{key}=PATH is missing")))
    }
}

fn wrong(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

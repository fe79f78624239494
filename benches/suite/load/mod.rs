//! Load for the contenders that serve: one that keeps every connection busy with one message, one that streams,
//! one that connects. None depends on what is measured.

mod connects;
mod echoes;
mod epoll;
mod histogram;
mod server;
mod streams;

use std::io;
use std::time::Duration;

pub(crate) use connects::Connects;
pub(crate) use echoes::Echoes;
use histogram::Histogram;
pub(crate) use server::{Server, Started};
pub(crate) use streams::Streams;

/// A server that does nothing for this long is taken for stuck.
const STALL_LIMIT: Duration = Duration::from_secs(5);

/// Something that keeps a server busy.
pub(crate) trait Load {
    /// Goes on for `span`.
    fn run(&mut self, span: Duration) -> io::Result<Done>;
}

/// What a load saw.
pub(crate) struct Done {
    pub(crate) ops: f64,
    pub(crate) seconds: f64,
    pub(crate) latencies: Option<Histogram>,
}

impl Done {
    pub(crate) fn nothing() -> Done {
        Done { ops: 0.0, seconds: 0.0, latencies: None }
    }

    /// What was done later.
    pub(crate) fn add(&mut self, later: &Done) {
        self.ops += later.ops;
        self.seconds += later.seconds;
        if let Some(later) = &later.latencies {
            self.latencies.get_or_insert_with(Histogram::new).add(later);
        }
    }
}

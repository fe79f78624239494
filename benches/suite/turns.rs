//! Servers that are all there and are loaded in turns, each too short for the machine to change meanwhile: it
//! drifts within a second by more than they differ.

use std::error::Error;
use std::io;
use std::time::Duration;

use crate::load::{Done, Echoes, Load, Server, Started};

/// How many turns each has in a round.
const TURNS: u32 = 8;

/// A server with connections of its own, and what was seen of it.
pub(crate) struct Turns {
    pub(crate) server: Server,
    pub(crate) echoes: Echoes,
    pub(crate) cpu: Duration,
    pub(crate) done: Done,
}

impl Turns {
    /// Connected and warm, and idle again.
    pub(crate) fn new(server: Server, mut echoes: Echoes, warm_up: Duration) -> io::Result<Turns> {
        echoes.run(warm_up)?;
        echoes.rest()?;
        Ok(Turns { server, echoes, cpu: Duration::ZERO, done: Done::nothing() })
    }

    fn take(&mut self, span: Duration) -> io::Result<()> {
        // Until its code and its connections are in the caches.
        self.echoes.run(span / 4)?;
        let before = self.server.cpu_time()?;
        let done = self.echoes.run(span)?;
        self.cpu += self.server.cpu_time()? - before;
        self.done.add(&done);
        self.echoes.rest()
    }
}

/// Loads all that can be for `window` each. Who fails is measured no further.
pub(crate) fn take(servers: &mut [Result<Started<Turns>, Box<dyn Error>>], window: Duration) {
    for _ in 0..TURNS {
        for server in &mut *servers {
            let Ok(Started::Serving(turns)) = server else { continue };
            if let Err(error) = turns.take(window / TURNS) {
                *server = Err(error.into());
            }
        }
    }
}

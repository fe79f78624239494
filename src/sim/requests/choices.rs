//! Which requests can complete, and when.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Active, MESSAGE, Requests};
use crate::sim::world::World;

impl Requests {
    /// The requests numbered `from` and above that could complete now: those that need not wait, and on a
    /// stream only the oldest of each direction, or bytes would lose their order. With all of them the oldest message.
    pub(in crate::sim) fn completable(&self, world: &World, from: u64) -> Vec<u64> {
        let mut found = Vec::new();
        for (id, active) in self.ready(world) {
            if id >= from && active.request.due(self.posted) <= world.now() {
                found.push(id);
            }
        }
        if from == 0 && world.has_message(self.ring) {
            found.push(MESSAGE);
        }
        found
    }

    /// Whether one of all could complete now.
    pub(in crate::sim) fn can_complete(&self, world: &World) -> bool {
        world.has_message(self.ring)
            || self.ready(world).any(|(_, active)| active.request.due(self.posted) <= world.now())
    }

    /// Whether there is one that nothing but time keeps from completing.
    pub(in crate::sim) fn can_complete_in_time(&self, world: &World) -> bool {
        world.has_message(self.ring) || self.ready(world).next().is_some()
    }

    /// When the next request can complete that nothing but time keeps from it.
    pub(in crate::sim) fn next_deadline(&self, world: &World) -> Option<Duration> {
        let message = world.has_message(self.ring).then(|| world.now());
        self.ready(world).map(|(_, active)| active.request.due(self.posted)).chain(message).min()
    }

    fn ready<'a>(&'a self, world: &'a World) -> impl Iterator<Item = (u64, &'a Active)> {
        let mut lanes = BTreeSet::new();
        self.active.iter().filter_map(move |(&id, active)| {
            let oldest = active.request.lane().is_none_or(|lane| lanes.insert(lane));
            (oldest && active.request.is_ready(world)).then_some((id, active))
        })
    }
}

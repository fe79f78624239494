//! Timeouts that are changed, and those that limit another request.

use super::{Active, Chain, Requests};
use crate::sim::memory::Taken;
use crate::sim::op::{Op, Update};
use crate::sim::request::Request;
use crate::sim::world::World;

impl Requests {
    /// `IORING_OP_TIMEOUT_REMOVE`: ends a timeout, or gives it a new time.
    pub(super) fn change_timeout(
        &mut self,
        world: &mut World,
        user_data: u64,
        update: Option<Update>,
    ) -> i32 {
        let linked = update.is_some_and(|update| update.linked);
        let fits = |request: &Request| {
            let kind = match request.op() {
                Op::Timeout(_) => !linked,
                Op::LinkTimeout { .. } => linked,
                _ => false,
            };
            kind && request.sqe().user_data == user_data && !request.is_settled()
        };
        let posted = self.posted;
        let found = self.active.values_mut().map(|active| &mut active.request).find(|it| fits(it));
        let Some(request) = found else { return -libc::ENOENT };
        if request.due(posted) <= world.now() && world.random.one_in(2) {
            // It is running out already.
            return -libc::EALREADY;
        }
        match update {
            Some(update) => request.until = update.when.from(world.now()),
            None => request.settle(-libc::ECANCELED),
        }
        0
    }

    /// Starts a link timeout, which limits the time of the request `id`.
    pub(super) fn guard(&mut self, world: &mut World, id: u64, taken: Taken, op: Op) {
        let mut request = Request::start(taken, op, self.ring, world);
        if let Op::LinkTimeout { guarded, .. } = &mut request.op {
            *guarded = Some(id);
        }
        let guard = self.activate(world, request, Chain::default(), false);
        if let Some(active) = self.active.get_mut(&id) {
            active.guard = Some(guard);
        }
    }

    /// The request that a link timeout was for is done: the timeout is as well.
    pub(super) fn dismiss(&mut self, guard: Option<u64>) {
        let active = guard.and_then(|guard| self.active.get_mut(&guard));
        if let Some(Active { request, .. }) = active.filter(|active| !active.request.is_settled()) {
            request.settle(-libc::ECANCELED);
        }
    }

    /// A link timeout has run out; returns its result.
    pub(super) fn time_out(&mut self, world: &mut World, guarded: Option<u64>) -> i32 {
        match guarded.map_or(-libc::ENOENT, |id| self.cancel_one(world, id)) {
            0 => -libc::ETIME,
            too_late => too_late,
        }
    }
}

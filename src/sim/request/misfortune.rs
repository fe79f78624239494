//! Where requests meet what goes wrong.

use std::rc::Rc;

use super::{Outcome, Request};
use crate::sim::faults::{self, Fault};
use crate::sim::op::Op;
use crate::sim::world::{Kind, OpenFile, World};

impl Request {
    /// Whether Linux would do it on a thread, where a cancel sends a signal.
    pub(in crate::sim) fn runs_on_a_worker(&self) -> bool {
        let on_disk = |file: &Rc<OpenFile>| matches!(file.kind, Kind::Inode(_));
        self.file.as_ref().is_some_and(on_disk) && faults::interruptible(&self.op)
    }

    /// As [`Request::go_on`], unless something goes wrong.
    pub(in crate::sim) fn go_on_or_fail(&mut self, world: &mut World) -> Outcome {
        if self.is_settled() || self.notice.is_some() {
            return self.go_on(world);
        }
        if let Some(errno) = self.misfortune(world) {
            self.settle(-errno);
            return self.go_on(world);
        }
        let shortened = faults::cuts(&self.op, self.file.as_ref(), self.wanted())
            .filter(|&fault| world.faults.draws(fault));
        let Some(fault) = shortened else { return self.go_on(world) };
        self.cut = world.faults.cut(self.wanted());
        let expected = (self.progress + self.cut) as i32;
        let outcome = self.go_on(world);
        self.cut = usize::MAX;
        if outcome == Outcome::Done(expected) || outcome == Outcome::Shot(expected) {
            world.note_fault(fault);
        }
        outcome
    }

    fn is_direct(&self) -> bool {
        let makes = matches!(self.op, Op::Open { .. } | Op::Accept { .. } | Op::Socket { .. });
        makes && self.sqe().splice_fd != 0
    }

    /// An errno to end with instead of doing anything.
    fn misfortune(&mut self, world: &mut World) -> Option<i32> {
        let file = self.file.as_ref();
        if let Some(endpoint) = file.and_then(|file| file.socket().ok()?.endpoint()) {
            if endpoint.names().is_some() && world.faults.draws(Fault::Reset) {
                if endpoint.reset() {
                    world.note_fault(Fault::Reset);
                }
                return None;
            }
        }
        if faults::interruptible(&self.op) && world.strikes(Fault::Interrupted) {
            return Some(libc::EINTR);
        }
        let errnos = faults::errnos(&self.op, file);
        if errnos.is_empty() || !world.strikes(Fault::Errno) {
            return None;
        }
        let errno = world.faults.one_of(errnos);
        // A registered file takes no number of the process.
        errno.map(
            |errno| if self.is_direct() && errno == libc::EMFILE { libc::ENFILE } else { errno },
        )
    }
}

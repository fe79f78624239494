//! A kernel that says what a test tells it to, completion by completion, with any flags.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use uring::ring::{
    CqeFlags, Enter, Interrupt, Kernel, KernelSide, Opcode, RawCqe, RawSqe, SqFlags,
};

use super::parts::{BYTES, Events};

/// What a completion is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// Of which operation: 0, or 1 for the second one of a chain.
    pub(crate) part: usize,
    pub(crate) result: i32,
    pub(crate) flags: u32,
}

impl Said {
    pub(crate) fn is_last(self) -> bool {
        self.flags & CqeFlags::MORE.bits() == 0
    }

    pub(crate) fn is_notification(self) -> bool {
        self.flags & CqeFlags::NOTIF.bits() != 0
    }
}

/// The test's hand on the kernel.
#[derive(Clone, Debug)]
pub(crate) struct Script(Rc<RefCell<Scene>>);

#[derive(Debug)]
struct Scene {
    now: Instant,
    events: Events,
    /// In the order of their submission.
    in_flight: Vec<Option<RawSqe>>,
    next: Vec<Said>,
    cancelled: bool,
    cancel_answer: i32,
    after_cancel: VecDeque<Vec<Said>>,
}

impl Script {
    pub(crate) fn new(events: &Events) -> Script {
        Script(Rc::new(RefCell::new(Scene {
            now: Instant::now(),
            events: events.clone(),
            in_flight: Vec::new(),
            next: Vec::new(),
            cancelled: false,
            cancel_answer: -libc::ENOENT,
            after_cancel: VecDeque::new(),
        })))
    }

    pub(crate) fn kernel(&self) -> Box<dyn Kernel> {
        Box::new(Scripted(self.clone()))
    }

    /// Completes an operation with the next `enter`.
    pub(crate) fn say(&self, said: Said) {
        self.0.borrow_mut().next.push(said);
    }

    /// Answers a cancel with `answer`; in the `enter` that takes it come the first of `batches`, in the next one
    /// the second, and so on.
    pub(crate) fn on_cancel(&self, answer: i32, batches: impl IntoIterator<Item = Vec<Said>>) {
        let mut scene = self.0.borrow_mut();
        scene.cancel_answer = answer;
        scene.after_cancel.extend(batches);
    }
}

#[derive(Debug)]
struct Scripted(Script);

// SAFETY: a count is that of bytes that were written to the front of what the submission lent (`Scene::complete`),
// or the operation believes none; no descriptor of Linux is made up, those of the script are numbers that only
// its operations take. Lent memory is used when an operation completes that is in flight, before its final
// completion is posted.
unsafe impl Kernel for Scripted {
    fn enter(&mut self, side: &mut KernelSide<'_>, request: Enter) -> io::Result<u32> {
        let scene = &mut *self.0.0.borrow_mut();
        let (mut taken, mut answers) = (0, Vec::new());
        while taken < request.submit {
            let Some(sqe) = side.take_sqe() else { break };
            taken += 1;
            if sqe.opcode == Opcode::ASYNC_CANCEL.0 {
                scene.events.note("cancel");
                scene.cancelled = true;
                let user_data = sqe.user_data;
                answers.push(RawCqe { user_data, res: scene.cancel_answer, flags: 0 });
            } else {
                scene.in_flight.push(Some(sqe));
            }
        }
        let mut said = std::mem::take(&mut scene.next);
        if scene.cancelled {
            said.extend(scene.after_cancel.pop_front().into_iter().flatten());
        }
        let completions: Vec<RawCqe> = said.into_iter().map(|said| scene.complete(said)).collect();
        for cqe in completions.into_iter().chain(answers) {
            assert!(side.post_cqe(cqe), "the queue is long enough for a script");
        }
        // So that each turn of the loop enters.
        side.show_flags(SqFlags::TASKRUN, true);
        if request.want > 0 && side.cq_ready() == 0 {
            let limit = request.limit.expect("the script has an end to every wait");
            scene.now += limit;
            return if taken > 0 {
                Ok(taken)
            } else {
                Err(io::Error::from_raw_os_error(libc::ETIME))
            };
        }
        Ok(taken)
    }

    fn supports(&self, _: Opcode) -> bool {
        true
    }

    fn now(&self) -> Instant {
        self.0.0.borrow().now
    }

    fn interrupt(&self) -> Arc<dyn Interrupt> {
        Arc::new(Nobody)
    }
}

impl Scene {
    /// Uses what was lent as Linux might, at the last moment: fills what is to be filled, reads what is sent.
    fn complete(&mut self, said: Said) -> RawCqe {
        let in_flight = &mut self.in_flight[said.part];
        let sqe = in_flight.expect("it is in flight");
        let lent = ptr::with_exposed_provenance_mut::<u8>(sqe.addr as usize);
        let filled = usize::try_from(said.result).unwrap_or(0).min(sqe.len as usize);
        if sqe.opcode == Opcode::RECV.0 {
            // SAFETY: `recv` lends `len` bytes to write to, and the operation is in flight: the push contract.
            unsafe { ptr::write_bytes(lent, b'x', filled) };
        }
        if sqe.opcode == Opcode::SEND_ZC.0 {
            // SAFETY: `send_zc` lends `len` bytes to read until the notification, which is not posted yet.
            let sent = unsafe { lent.cast::<[u8; BYTES.len()]>().read() };
            if sent != BYTES {
                self.events.note("torn");
            }
        }
        if said.is_last() {
            *in_flight = None;
        }
        RawCqe { user_data: sqe.user_data, res: said.result, flags: said.flags }
    }
}

/// No other thread takes part.
#[derive(Debug)]
struct Nobody;

impl Interrupt for Nobody {
    fn interrupt(&self) {}
}

//! A ring against a model of it: whatever is pushed, submitted, taken in part, completed late and copied
//! piece by piece arrives once, in order, and whole.
//!
//! `URING_CASES` sets the number of random cases.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use uring::ring::{
    BigCqe, Enter, Entry, Entry128, Interrupt, Kernel, KernelSide, Link, Opcode, PushError, RawCqe,
    RawSqe, Ring, Setup, SetupFlags, SqFlags, SqeFlags, abi::RawSqe128,
};

/// What a kernel does next, and what it has seen.
#[derive(Debug, Default)]
struct Script {
    /// It takes no more than so many submissions in one `enter`.
    takes: usize,
    /// It posts no more than so many completions in one `enter`.
    posts: usize,
    taken: Vec<RawSqe128>,
    /// Completions that are to be posted, oldest first; those without room wait.
    waiting: VecDeque<(RawCqe, Option<[u64; 2]>)>,
}

/// A kernel that does as it is told.
#[derive(Debug)]
struct Scripted(Rc<RefCell<Script>>);

#[derive(Debug)]
struct Nobody;

impl Interrupt for Nobody {
    fn interrupt(&self) {}
}

/// Whether the completion is a large one: the least bit of what it carries says so.
fn is_large(user_data: u64) -> bool {
    user_data & 1 == 1
}

fn extra(user_data: u64) -> [u64; 2] {
    [user_data ^ 0xff, !user_data]
}

// SAFETY: nothing is ever lent to this kernel, and no completion of its says that something was written.
unsafe impl Kernel for Scripted {
    fn enter(&mut self, side: &mut KernelSide<'_>, request: Enter) -> io::Result<u32> {
        let script = &mut *self.0.borrow_mut();
        let mut taken = 0;
        while taken < (request.submit as usize).min(script.takes) {
            let Some(sqe) = side.take_sqe128() else { break };
            taken += 1;
            script.taken.push(sqe);
            let (user_data, flags) = (sqe.first.user_data, sqe.first.flags);
            if flags & SqeFlags::CQE_SKIP_SUCCESS.bits() == 0 {
                let cqe = RawCqe { user_data, res: user_data as i32, flags: 0 };
                let large = is_large(user_data).then_some(extra(user_data));
                script.waiting.push_back((cqe, large));
            }
        }
        for _ in 0..script.posts {
            let Some((cqe, large)) = script.waiting.front().copied() else { break };
            let posted = match large {
                // A queue of small completions takes what fits.
                Some(extra) => side.post_big_cqe(cqe, extra) || side.post_cqe(cqe),
                None => side.post_cqe(cqe),
            };
            if !posted {
                break;
            }
            script.waiting.pop_front();
        }
        side.show_flags(SqFlags::CQ_OVERFLOW, !script.waiting.is_empty());
        Ok(taken as u32)
    }

    fn supports(&self, _: Opcode) -> bool {
        true
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn interrupt(&self) -> Arc<dyn Interrupt> {
        Arc::new(Nobody)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push,
    PushWide,
    Chain { len: usize, link: Link },
    Submit { takes: usize, posts: usize },
    Wait { takes: usize, posts: usize },
    Copy(usize),
    CopyBig(usize),
    Peek(usize),
    Drain,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let link = prop_oneof![Just(Link::Soft), Just(Link::Hard)];
    let step = prop_oneof![
        4 => Just(Step::Push),
        3 => Just(Step::PushWide),
        2 => (0..7usize, link).prop_map(|(len, link)| Step::Chain { len, link }),
        3 => (0..6usize, 0..9usize).prop_map(|(takes, posts)| Step::Submit { takes, posts }),
        2 => (0..6usize, 0..9usize).prop_map(|(takes, posts)| Step::Wait { takes, posts }),
        2 => (0..6usize).prop_map(Step::Copy),
        2 => (0..6usize).prop_map(Step::CopyBig),
        1 => (0..6usize).prop_map(Step::Peek),
        1 => Just(Step::Drain),
    ];
    let most = if cfg!(miri) { 24 } else { 60 };
    proptest::collection::vec(step, 0..most)
}

fn shapes() -> impl Strategy<Value = SetupFlags> {
    let sq = [SetupFlags::empty(), SetupFlags::SQE128, SetupFlags::SQE_MIXED];
    let cq = [SetupFlags::empty(), SetupFlags::CQE32, SetupFlags::CQE_MIXED];
    (0..3usize, 0..3usize).prop_map(move |(s, c)| sq[s] | cq[c])
}

/// What must be true of a ring, kept beside it.
struct Model {
    ring: Ring,
    script: Rc<RefCell<Script>>,
    shape: SetupFlags,
    next: u64,
    /// Pushed and not yet seen by the kernel, fillers left out.
    queued: VecDeque<RawSqe128>,
    /// How many of `Script::taken` were compared.
    compared: usize,
    /// Taken by the kernel and not yet copied out.
    in_flight: VecDeque<u64>,
}

impl Model {
    fn new(entries: u32, cq_entries: u32, shape: SetupFlags) -> Model {
        let script = Rc::new(RefCell::new(Script::default()));
        let setup = Setup::new(entries).cq_entries(cq_entries).require(shape);
        let ring = setup.build_on(Box::new(Scripted(Rc::clone(&script)))).expect("a ring");
        Model {
            ring,
            script,
            shape,
            next: 0,
            queued: VecDeque::new(),
            compared: 0,
            in_flight: VecDeque::new(),
        }
    }

    fn sqe(&mut self, opcode: Opcode) -> RawSqe {
        self.next += 1;
        RawSqe { opcode: opcode.0, user_data: self.next, ..RawSqe::default() }
    }

    fn push(&mut self) {
        let space = self.ring.space_left();
        let first = self.sqe(Opcode::NOP);
        // SAFETY: nothing is lent.
        match unsafe { self.ring.push(Entry::from(first)) } {
            Ok(()) => self.queued.push_back(RawSqe128 { first, more: [0; 64] }),
            Err(error) => assert_eq!((error, space), (PushError::Full, 0)),
        }
    }

    fn push_wide(&mut self) {
        let mixed = self.shape.contains(SetupFlags::SQE_MIXED);
        let first = self.sqe(if mixed { Opcode::NOP128 } else { Opcode::URING_CMD });
        let sqe = RawSqe128 { first, more: [first.user_data as u8; 64] };
        let (space, (entries, _)) = (self.ring.space_left(), self.ring.sizes());
        // SAFETY: nothing is lent.
        match unsafe { self.ring.push128(Entry128::from(sqe)) } {
            Ok(()) => self.queued.push_back(sqe),
            Err(PushError::Full) if mixed => assert!(space < 3),
            Err(PushError::Full) => assert_eq!(space, 0),
            Err(error) => {
                assert_eq!(error, PushError::Size);
                let takes = mixed && entries > 1 || self.shape.contains(SetupFlags::SQE128);
                assert!(!takes, "{:?}", self.shape);
            }
        }
    }

    fn push_chain(&mut self, len: usize, link: Link) {
        let chain: Vec<RawSqe> = (0..len).map(|_| self.sqe(Opcode::NOP)).collect();
        let entries: Vec<Entry> = chain.iter().copied().map(Entry::from).collect();
        let (space, (all, _)) = (self.ring.space_left() as usize, self.ring.sizes());
        let flag = match link {
            Link::Soft => SqeFlags::IO_LINK,
            Link::Hard => SqeFlags::IO_HARDLINK,
        };
        // SAFETY: nothing is lent.
        match unsafe { self.ring.push_chain(link, &entries) } {
            Ok(()) => {
                for (index, mut first) in chain.into_iter().enumerate() {
                    if index + 1 < len {
                        first.flags = flag.bits();
                    }
                    self.queued.push_back(RawSqe128 { first, more: [0; 64] });
                }
            }
            Err(PushError::TooLong) => assert!(len > all as usize),
            Err(error) => {
                assert_eq!(error, PushError::Full);
                assert!(len > space && space == self.ring.space_left() as usize);
            }
        }
    }

    /// Lets the kernel work, and compares what it took with what was pushed.
    fn enter(&mut self, takes: usize, posts: usize, wait: bool) {
        {
            let mut script = self.script.borrow_mut();
            (script.takes, script.posts) = (takes, posts);
        }
        let entered = if wait { self.ring.submit_and_wait(0, None) } else { self.ring.submit() };
        let taken = entered.expect("this kernel refuses nothing") as usize;
        let script = self.script.borrow();
        let new = &script.taken[self.compared..];
        assert_eq!(new.len(), taken, "as many as were said");
        assert!(taken <= takes);
        for sqe in new {
            if sqe.first.flags == SqeFlags::CQE_SKIP_SUCCESS.bits() {
                assert_eq!(sqe.first.opcode, Opcode::NOP.0, "a filler");
                continue;
            }
            assert_eq!(Some(*sqe), self.queued.pop_front());
            self.in_flight.push_back(sqe.first.user_data);
        }
        self.compared = script.taken.len();
    }

    fn arrived(&mut self, cqes: &[BigCqe], whole: bool) {
        for BigCqe { cqe, extra: second } in cqes {
            let user_data = cqe.user_data();
            assert_eq!(Some(user_data), self.in_flight.pop_front());
            assert_eq!(cqe.raw_result(), user_data as i32);
            self.whole(user_data, whole, *second);
        }
    }

    /// The second half is there where the queue has room for it.
    fn whole(&self, user_data: u64, whole: bool, second: [u64; 2]) {
        let roomy = self.shape.intersects(SetupFlags::CQE32 | SetupFlags::CQE_MIXED);
        let (_, cq_entries) = self.ring.sizes();
        // One place alone never has room for a large one of two.
        let fits = cq_entries > 1 || self.shape.contains(SetupFlags::CQE32);
        if whole && roomy && fits && second != [0; 2] {
            assert!(is_large(user_data));
            assert_eq!(second, extra(user_data));
        }
        if whole && self.shape.contains(SetupFlags::CQE32) && is_large(user_data) {
            assert_eq!(second, extra(user_data));
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Push => self.push(),
            Step::PushWide => self.push_wide(),
            Step::Chain { len, link } => self.push_chain(len, link),
            Step::Submit { takes, posts } => self.enter(takes, posts, false),
            Step::Wait { takes, posts } => self.enter(takes, posts, true),
            Step::Copy(room) => {
                let mut out = vec![Default::default(); room];
                let count = self.ring.copy_cqes(&mut out);
                let big = out[..count].iter().map(|cqe| BigCqe { cqe: *cqe, extra: [0; 2] });
                let big: Vec<BigCqe> = big.collect();
                self.arrived(&big, false);
            }
            Step::CopyBig(room) => {
                let mut out = vec![BigCqe::default(); room];
                let count = self.ring.copy_big_cqes(&mut out);
                self.arrived(&out[..count], true);
            }
            Step::Peek(room) => {
                let ready = self.ring.ready();
                let mut out = vec![BigCqe::default(); room];
                let count = self.ring.peek_cqes(&mut out);
                let seen = out[..count].iter().map(|big| big.cqe.user_data());
                assert!(seen.eq(self.in_flight.iter().copied().take(count)));
                assert_eq!(self.ring.ready(), ready, "a peek takes nothing");
            }
            Step::Drain => {
                let all: Vec<BigCqe> = self.ring.drain().collect();
                self.arrived(&all, true);
                assert_eq!(self.ring.ready(), 0);
            }
        }
        let (entries, cq_entries) = self.ring.sizes();
        assert_eq!(self.ring.queued() + self.ring.space_left(), entries);
        assert!(self.ring.ready() <= cq_entries);
    }

    /// In the end everything has arrived.
    fn finish(mut self) {
        while !self.queued.is_empty() || !self.in_flight.is_empty() {
            let before = (self.queued.len(), self.in_flight.len());
            self.enter(1 << 16, 1 << 16, true);
            let all: Vec<BigCqe> = self.ring.drain().collect();
            self.arrived(&all, true);
            assert_ne!(before, (self.queued.len(), self.in_flight.len()), "it goes on");
        }
        assert!(!self.ring.overflowed() || !self.script.borrow().waiting.is_empty());
        assert_eq!((self.ring.lost(), self.ring.dropped()), (0, 0));
    }
}

#[test]
fn whatever_is_done_to_a_ring_everything_arrives_once_in_order_and_whole() {
    let default = if cfg!(miri) { 2 } else { 2_000 };
    let cases = std::env::var("URING_CASES").ok().and_then(|cases| cases.parse().ok());
    let config =
        Config { cases: cases.unwrap_or(default), failure_persistence: None, ..Config::default() };
    let input = (0..4u32, 0..4u32, shapes(), steps());
    let outcome = TestRunner::new(config).run(&input, |(entries, cq_entries, shape, steps)| {
        let mut model = Model::new(1 << entries, 1 << cq_entries, shape);
        for step in &steps {
            model.step(step);
        }
        model.finish();
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

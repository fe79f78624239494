//! Sleeps, timeouts and intervals by a clock that is set by hand.

use std::{
    cell::Cell,
    future::{Future, pending, ready},
    io,
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use super::{current::Entered, *};

const SECOND: Duration = Duration::from_secs(1);

/// Timers that are entered, and the hand of their clock.
struct World {
    start: Instant,
    present: Rc<Cell<Instant>>,
    timers: Rc<Timers>,
    _entered: Entered,
}

impl World {
    fn new() -> World {
        let start = Instant::now();
        let present = Rc::new(Cell::new(start));
        let clock = present.clone();
        let timers = Timers::new(Box::new(move || clock.get()));
        World { start, present, _entered: enter(timers.clone()), timers }
    }

    fn pass(&self, duration: Duration) {
        self.present.set(self.present.get() + duration);
        self.timers.fire(self.present.get());
    }

    /// The present, in seconds since the start.
    fn seconds(&self, instant: Instant) -> f64 {
        instant.duration_since(self.start).as_secs_f64()
    }

    /// Lets time pass, deadline by deadline, until the future completes.
    fn run<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(output) = poll(future.as_mut()) {
                return output;
            }
            let next = self.timers.next_deadline().expect("a deadlock: nothing to wait for");
            self.present.set(next.max(self.present.get()));
            self.timers.fire(self.present.get());
        }
    }
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn poll_by<F: Future + Unpin>(future: &mut F, count: &Arc<Count>) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(&Waker::from(Arc::clone(count))))
}

#[test]
fn a_sleep_wakes_at_its_deadline_and_is_then_ready() {
    let world = World::new();
    let wakes = Arc::new(Count::default());
    let mut nap = sleep(SECOND);
    assert_eq!(world.timers.next_deadline(), None, "nothing happens before the first poll");
    assert!(poll_by(&mut nap, &wakes).is_pending());
    assert_eq!(world.timers.next_deadline(), Some(world.start + SECOND));
    world.pass(SECOND - Duration::from_nanos(1));
    assert_eq!((wakes.get(), nap.is_elapsed()), (0, false));
    world.pass(Duration::from_nanos(1));
    assert_eq!((wakes.get(), nap.is_elapsed()), (1, true));
    assert!(poll_by(&mut nap, &wakes).is_ready());
    assert!(poll_by(&mut nap, &wakes).is_ready());
}

#[test]
fn a_sleep_counts_from_its_making() {
    let world = World::new();
    let nap = sleep(SECOND);
    world.pass(SECOND * 5);
    assert_eq!(nap.deadline(), world.start + SECOND);
    assert!(poll(pin!(nap)).is_ready());
}

#[test]
fn a_sleep_made_outside_of_a_runtime_counts_from_its_first_poll() {
    let mut nap = sleep(SECOND);
    let world = World::new();
    world.pass(SECOND * 5);
    assert!(poll(Pin::new(&mut nap)).is_pending());
    assert_eq!(nap.deadline(), world.start + SECOND * 6);
}

#[test]
fn a_dropped_sleep_takes_its_alarm_and_waker_with_it() {
    let world = World::new();
    let wakes = Arc::new(Count::default());
    let mut nap = sleep(SECOND);
    assert!(poll_by(&mut nap, &wakes).is_pending());
    drop(nap);
    assert_eq!(world.timers.next_deadline(), None);
    assert_eq!(Arc::strong_count(&wakes), 1);
}

#[test]
fn a_sleep_wakes_the_one_who_polled_last() {
    let world = World::new();
    let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
    let mut nap = sleep(SECOND);
    for count in [&first, &second, &second] {
        assert!(poll_by(&mut nap, count).is_pending());
    }
    assert_eq!(Arc::strong_count(&first), 1);
    world.pass(SECOND);
    assert_eq!((first.get(), second.get()), (0, 1));
}

#[test]
fn a_reset_sleep_wakes_at_the_new_deadline_without_another_poll() {
    let world = World::new();
    let wakes = Arc::new(Count::default());
    let mut nap = sleep(SECOND);
    assert!(poll_by(&mut nap, &wakes).is_pending());
    nap.reset(world.start + SECOND * 3);
    world.pass(SECOND * 2);
    assert_eq!(wakes.get(), 0);
    world.pass(SECOND);
    assert_eq!(wakes.get(), 1);
    assert!(poll_by(&mut nap, &wakes).is_ready());
    nap.reset(world.start + SECOND * 4);
    assert!(!nap.is_elapsed());
    assert!(poll_by(&mut nap, &wakes).is_pending());
}

#[test]
fn a_sleep_that_is_taken_to_another_runtime_rings_there() {
    let first = World::new();
    let mut nap = sleep(SECOND);
    assert!(poll(Pin::new(&mut nap)).is_pending());
    let second = World::new();
    assert!(poll(Pin::new(&mut nap)).is_pending());
    assert_eq!(first.timers.next_deadline(), None);
    assert_eq!(second.timers.next_deadline(), Some(nap.deadline()));
}

#[test]
fn the_longest_sleep_is_thirty_years_and_no_panic() {
    let world = World::new();
    let years = sleep(Duration::MAX).deadline().duration_since(world.start).as_secs() / 31_536_000;
    assert_eq!(years, 30);
    assert!(poll(pin!(timeout(Duration::MAX, pending::<()>()))).is_pending());
    let mut rare = interval(Duration::MAX);
    world.run(rare.tick());
    assert!(poll(pin!(rare.tick())).is_pending());
}

#[test]
#[should_panic(expected = "uring::time: no runtime is running on this thread")]
fn a_sleep_polled_without_a_runtime_panics_with_the_remedy() {
    let _ = poll(pin!(sleep(SECOND)));
}

#[test]
fn a_panicking_waker_leaves_the_other_alarms_to_the_next_fire() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("waker");
        }
    }
    let world = World::new();
    let wakes = Arc::new(Count::default());
    let (mut first, mut second) = (sleep(SECOND), sleep(SECOND));
    let panics = Waker::from(Arc::new(Panics));
    assert!(Pin::new(&mut first).poll(&mut Context::from_waker(&panics)).is_pending());
    assert!(poll_by(&mut second, &wakes).is_pending());
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.pass(SECOND)));
    assert!(caught.is_err());
    assert_eq!(wakes.get(), 0);
    world.pass(Duration::ZERO);
    assert_eq!(wakes.get(), 1);
}

thread_local! {
    /// An alarm that a waker may touch, though wakers are `Send` and alarms are not.
    static TOUCHED: std::cell::RefCell<Option<Sleep>> = const { std::cell::RefCell::new(None) };
}

#[test]
fn a_waker_may_set_and_drop_alarms_while_it_is_woken() {
    struct Sets;
    impl Wake for Sets {
        fn wake(self: Arc<Self>) {
            let mut expired = sleep_until(now() - Duration::from_nanos(1));
            assert!(poll(Pin::new(&mut expired)).is_ready());
            let mut nap = sleep(SECOND);
            assert!(poll(Pin::new(&mut nap)).is_pending());
            TOUCHED.set(Some(nap));
        }
    }
    let world = World::new();
    let mut nap = sleep(SECOND);
    let sets = Waker::from(Arc::new(Sets));
    assert!(Pin::new(&mut nap).poll(&mut Context::from_waker(&sets)).is_pending());
    world.pass(SECOND);
    assert_eq!(world.timers.next_deadline(), Some(world.start + SECOND * 2));
    drop(TOUCHED.take());
    assert_eq!(world.timers.next_deadline(), None);
}

#[test]
fn a_timeout_yields_the_output_of_a_future_that_is_in_time() {
    let world = World::new();
    let slow = async {
        sleep(SECOND).await;
        5
    };
    assert_eq!(world.run(timeout(SECOND * 2, slow)), Ok(5));
    assert_eq!(world.timers.next_deadline(), None);
}

#[test]
fn a_timeout_elapses_at_its_deadline_as_an_io_error_of_kind_timed_out() {
    let world = World::new();
    let elapsed = world.run(timeout(SECOND, sleep(SECOND * 2))).unwrap_err();
    assert_eq!(world.seconds(now()), 1.0);
    let error = io::Error::from(elapsed);
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(error.get_ref().unwrap().is::<Elapsed>());
}

#[test]
fn a_ready_future_wins_over_a_deadline_that_has_passed() {
    let world = World::new();
    assert_eq!(world.run(timeout(Duration::ZERO, ready(1))), Ok(1));
    assert!(world.run(timeout_at(world.start, pending::<()>())).is_err());
}

#[test]
fn an_interval_ticks_at_once_and_then_every_period() {
    let world = World::new();
    let mut ticks = interval(SECOND * 2);
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push((world.seconds(world.run(ticks.tick())), world.seconds(now())));
    }
    assert_eq!(seen, [(0.0, 0.0), (2.0, 2.0), (4.0, 4.0)]);
    assert_eq!(ticks.period(), SECOND * 2);
}

#[test]
fn an_interval_with_a_start_first_ticks_then() {
    let world = World::new();
    let mut ticks = interval_at(world.start + SECOND * 3, SECOND);
    assert_eq!(world.seconds(world.run(ticks.tick())), 3.0);
    assert_eq!(world.seconds(world.run(ticks.tick())), 4.0);
}

/// When three more ticks were due, and taken, of an interval that slept over some.
fn after_a_stall(missed_tick: MissedTick, stall: Duration) -> Vec<(f64, f64)> {
    let world = World::new();
    let mut ticks = interval(SECOND);
    ticks.set_missed_tick(missed_tick);
    world.run(ticks.tick());
    world.pass(stall);
    let mut tick = || (world.seconds(world.run(ticks.tick())), world.seconds(now()));
    vec![tick(), tick(), tick()]
}

#[test]
fn missed_ticks_are_delivered_in_a_burst_delayed_or_skipped() {
    let stall = Duration::from_millis(2500);
    let burst = [(1.0, 2.5), (2.0, 2.5), (3.0, 3.0)];
    let delay = [(1.0, 2.5), (3.5, 3.5), (4.5, 4.5)];
    let skip = [(1.0, 2.5), (3.0, 3.0), (4.0, 4.0)];
    assert_eq!(after_a_stall(MissedTick::Burst, stall), burst);
    assert_eq!(after_a_stall(MissedTick::Delay, stall), delay);
    assert_eq!(after_a_stall(MissedTick::Skip, stall), skip);
}

#[test]
fn a_late_tick_that_missed_none_keeps_the_schedule() {
    for missed_tick in [MissedTick::Burst, MissedTick::Delay, MissedTick::Skip] {
        let ticks = after_a_stall(missed_tick, Duration::from_millis(1900));
        assert_eq!(ticks, [(1.0, 1.9), (2.0, 2.0), (3.0, 3.0)], "{missed_tick:?}");
    }
}

#[test]
fn a_dropped_tick_is_not_lost_and_a_reset_starts_the_schedule_anew() {
    let world = World::new();
    let mut ticks = interval(SECOND);
    world.run(ticks.tick());
    assert!(poll(pin!(ticks.tick())).is_pending());
    world.pass(SECOND);
    assert_eq!(world.seconds(world.run(ticks.tick())), 1.0);
    world.pass(SECOND / 2);
    ticks.reset();
    assert_eq!(world.seconds(world.run(ticks.tick())), 2.5);
}

#[test]
#[should_panic(expected = "the period is zero")]
fn an_interval_of_no_length_panics_with_the_remedy() {
    let _ = interval(Duration::ZERO);
}

//! The deadlines of one runtime, earliest first.
//!
//! A heap in a `Vec`, four children to a parent, and a slab of the timers. The heap's entries say all that it is
//! ordered by, and nobody knows their places: so to move one touches nothing else, which is what a hundred thousand
//! timers cost. A timer that is removed leaves its entry behind, *dead*, unless that is the last one, as it is of a
//! timeout that did not expire. Dead entries are swept out when they are more than the live ones; the first is never
//! dead. So inserting and firing take O(log n), removing O(1), a sweep's share included.
//!
//! Both only grow: in steady state nothing is allocated. No waker is called or dropped here; they are given back to
//! the caller, who holds no borrow then.

use std::{task::Waker, time::Instant};

use slab::Slab;

/// Children of a parent. Four, because what an entry costs is the cache lines between it and the first: half as many
/// as with two.
const CHILDREN: usize = 4;

/// So many dead entries are not worth a sweep.
const DEAD_AT_LEAST: usize = 64;

/// A timer's name. A key whose timer fired or was removed names nothing, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    index: usize,
    serial: u64,
}

/// What the heap is ordered by: the deadline, then the order of insertion.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    deadline: Instant,
    serial: u64,
    index: usize,
}

impl Entry {
    fn is_live(&self, timers: &Slab<Timer>) -> bool {
        timers.get(self.index).is_some_and(|timer| timer.serial == self.serial)
    }
}

struct Timer {
    /// Never used twice, so it tells this timer from later ones in the same slot.
    serial: u64,
    waker: Waker,
}

#[derive(Default)]
pub(super) struct Queue {
    /// No entry is less than its parent.
    heap: Vec<Entry>,
    timers: Slab<Timer>,
    next_serial: u64,
}

impl Queue {
    pub(super) fn insert(&mut self, deadline: Instant, waker: Waker) -> Key {
        let serial = self.next_serial;
        self.next_serial += 1;
        let index = self.timers.insert(Timer { serial, waker });
        let position = self.heap.len();
        let entry = Entry { deadline, serial, index };
        self.heap.push(entry);
        self.rise(position, entry);
        Key { index, serial }
    }

    /// Takes a timer out and gives its waker back, if it has not fired.
    pub(super) fn remove(&mut self, key: Key) -> Option<Waker> {
        self.timer(key)?;
        let waker = self.timers.remove(key.index).waker;
        if self.heap.last().is_some_and(|last| last.serial == key.serial) {
            self.heap.pop();
        }
        while self.heap.first().is_some_and(|first| !first.is_live(&self.timers)) {
            self.remove_first();
        }
        let dead = self.heap.len() - self.timers.len();
        if dead > self.timers.len() + DEAD_AT_LEAST {
            self.sweep();
        }
        Some(waker)
    }

    /// The waker of a timer that has not fired.
    pub(super) fn waker(&mut self, key: Key) -> Option<&mut Waker> {
        self.timer(key).map(|timer| &mut timer.waker)
    }

    pub(super) fn len(&self) -> usize {
        self.timers.len()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.heap.first().map(|entry| entry.deadline)
    }

    /// The serial that the next timer will have: all timers of now have smaller ones.
    pub(super) fn next_serial(&self) -> u64 {
        self.next_serial
    }

    /// Takes the earliest timer out if its deadline has come and its serial is below `limit`.
    pub(super) fn pop_expired(&mut self, now: Instant, limit: u64) -> Option<Waker> {
        let first = self.heap.first()?;
        if first.deadline > now || first.serial >= limit {
            return None;
        }
        let key = Key { index: first.index, serial: first.serial };
        self.remove(key)
    }

    fn timer(&mut self, key: Key) -> Option<&mut Timer> {
        self.timers.get_mut(key.index).filter(|timer| timer.serial == key.serial)
    }

    fn remove_first(&mut self) {
        let Some(last) = self.heap.pop() else { return };
        if !self.heap.is_empty() {
            self.sink(0, last);
        }
    }

    /// Takes the dead entries out. Each has paid for its share of this by its removal.
    fn sweep(&mut self) {
        self.heap.retain(|entry| entry.is_live(&self.timers));
        for position in (0..self.heap.len().div_ceil(CHILDREN)).rev() {
            self.sink(position, self.heap[position]);
        }
    }

    /// Puts `entry`, for which there is a gap at `position`, where its parent is not greater.
    fn rise(&mut self, mut position: usize, entry: Entry) {
        while position > 0 {
            let parent = (position - 1) / CHILDREN;
            if self.heap[parent] <= entry {
                break;
            }
            self.heap[position] = self.heap[parent];
            position = parent;
        }
        self.heap[position] = entry;
    }

    /// Puts `entry`, for which there is a gap at `position`, where no child is smaller.
    fn sink(&mut self, mut position: usize, entry: Entry) {
        loop {
            let first = CHILDREN * position + 1;
            let children = first..self.heap.len().min(first + CHILDREN);
            let Some(child) = children.min_by_key(|&child| self.heap[child]) else { break };
            if entry <= self.heap[child] {
                break;
            }
            self.heap[position] = self.heap[child];
            position = child;
        }
        self.heap[position] = entry;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::{Arc, Mutex},
        task::Wake,
        time::Duration,
    };

    use super::*;

    /// A waker with a name, which it writes down when it is woken.
    struct Named(u64, Arc<Mutex<Vec<u64>>>);

    impl Wake for Named {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(self.0);
        }
    }

    #[derive(Default)]
    struct Woken(Arc<Mutex<Vec<u64>>>);

    impl Woken {
        fn waker(&self, name: u64) -> Waker {
            Waker::from(Arc::new(Named(name, self.0.clone())))
        }

        fn take(&self) -> Vec<u64> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    fn fire(queue: &mut Queue, now: Instant) {
        while let Some(waker) = queue.pop_expired(now, u64::MAX) {
            waker.wake();
        }
    }

    fn xorshift(seed: &mut u64) -> u64 {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        *seed
    }

    #[test]
    fn equal_deadlines_fire_in_the_order_of_their_insertion() {
        let (mut queue, woken, start) = (Queue::default(), Woken::default(), Instant::now());
        for name in 0..20 {
            queue.insert(start, woken.waker(name));
        }
        fire(&mut queue, start);
        assert_eq!(woken.take(), (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn a_deadline_fires_when_it_is_now_and_not_a_nanosecond_before() {
        let (mut queue, woken, start) = (Queue::default(), Woken::default(), Instant::now());
        let deadline = start + Duration::from_nanos(1);
        queue.insert(deadline, woken.waker(1));
        fire(&mut queue, start);
        assert_eq!(woken.take(), []);
        fire(&mut queue, deadline);
        assert_eq!(woken.take(), [1]);
        assert_eq!(queue.next_deadline(), None);
    }

    #[test]
    fn a_stale_key_does_not_touch_the_timer_that_has_its_slot() {
        let (mut queue, woken, start) = (Queue::default(), Woken::default(), Instant::now());
        let stale = queue.insert(start, woken.waker(1));
        assert!(queue.remove(stale).is_some());
        let fresh = queue.insert(start, woken.waker(2));
        assert_eq!(stale.index, fresh.index);
        assert!(queue.remove(stale).is_none());
        assert!(queue.waker(stale).is_none());
        assert!(queue.waker(fresh).is_some());
    }

    #[test]
    fn no_memory_is_asked_for_once_the_queue_has_been_as_long_before() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        let fill = |queue: &mut Queue| {
            for step in 0..50 {
                queue.insert(start + Duration::from_secs(step), Waker::noop().clone());
            }
        };
        fill(&mut queue);
        let capacities = (queue.heap.capacity(), queue.timers.capacity());
        for _ in 0..3 {
            fire(&mut queue, start + Duration::from_secs(100));
            fill(&mut queue);
        }
        assert_eq!((queue.heap.capacity(), queue.timers.capacity()), capacities);
    }

    #[test]
    fn timers_that_are_removed_from_the_midst_take_no_memory_for_long() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        let far = start + Duration::from_secs(1000);
        queue.insert(far, Waker::noop().clone());
        for step in 0..if cfg!(miri) { 200 } else { 10_000 } {
            // Each is earlier than the one before it, and so not the last.
            let deadline = far - Duration::from_millis(step);
            let keys = [(); 3].map(|()| queue.insert(deadline, Waker::noop().clone()));
            for key in keys {
                assert!(queue.remove(key).is_some());
            }
            assert!(queue.heap.len() <= 2 * queue.len() + DEAD_AT_LEAST + 3);
        }
        assert_eq!((queue.len(), queue.next_deadline()), (1, Some(far)));
    }

    /// The model: a sorted map from (deadline, order of insertion) to the timer's name.
    #[test]
    fn the_queue_does_what_a_sorted_map_does() {
        let (seeds, steps) = if cfg!(miri) { (2, 150) } else { (50, 2000) };
        for seed in 0_u64..seeds {
            let mut random = 0x9E37_79B9_7F4A_7C15 ^ seed;
            let (mut queue, woken) = (Queue::default(), Woken::default());
            let mut model: BTreeMap<(Instant, u64), Key> = BTreeMap::new();
            let mut gone = Vec::new();
            let mut now = Instant::now();
            for name in 0..steps {
                let chance = xorshift(&mut random);
                // Few different deadlines, so that many are equal.
                let deadline = now + Duration::from_millis(chance >> 8 & 31);
                let victim = model.keys().nth((chance >> 16) as usize % (model.len() + 1)).copied();
                match (chance % 8, victim) {
                    (0..=3, _) => {
                        model.insert((deadline, name), queue.insert(deadline, woken.waker(name)));
                    }
                    (4 | 5, Some(victim)) => {
                        let key = model.remove(&victim).unwrap();
                        queue.remove(key).unwrap().wake();
                        assert_eq!(woken.take(), [victim.1], "seed {seed}");
                        gone.push(key);
                    }
                    (6, _) => {
                        now += Duration::from_millis(chance >> 24 & 15);
                        fire(&mut queue, now);
                        let rest = model.split_off(&(now, u64::MAX));
                        let due = std::mem::replace(&mut model, rest);
                        let names: Vec<_> = due.keys().map(|&(_, name)| name).collect();
                        assert_eq!(woken.take(), names, "seed {seed}");
                        gone.extend(due.into_values());
                    }
                    _ => assert!(gone.iter().all(|&key| queue.remove(key).is_none())),
                }
                let first = model.keys().next().map(|&(deadline, _)| deadline);
                assert_eq!(queue.next_deadline(), first, "seed {seed}");
                assert_eq!(queue.timers.len(), model.len(), "seed {seed}");
            }
        }
    }
}

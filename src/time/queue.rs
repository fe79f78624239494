//! The deadlines of one runtime, earliest first.
//!
//! A binary heap in a `Vec`, and a slab that knows each timer's place in it, so that any timer can
//! be taken out in O(log n). Both only grow: in steady state nothing is allocated. No waker is
//! called or dropped here; they are given back to the caller, who holds no borrow then.

use std::{task::Waker, time::Instant};

use slab::Slab;

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

struct Timer {
    /// Never used twice, so it tells this timer from later ones in the same slot.
    serial: u64,
    /// Where the heap has it.
    position: usize,
    waker: Waker,
}

#[derive(Default)]
pub(super) struct Queue {
    /// No entry is less than its parent, which is at half its position.
    heap: Vec<Entry>,
    timers: Slab<Timer>,
    next_serial: u64,
}

impl Queue {
    pub(super) fn insert(&mut self, deadline: Instant, waker: Waker) -> Key {
        let serial = self.next_serial;
        self.next_serial += 1;
        let position = self.heap.len();
        let index = self.timers.insert(Timer { serial, position, waker });
        self.heap.push(Entry { deadline, serial, index });
        self.rise(position);
        Key { index, serial }
    }

    /// Takes a timer out and gives its waker back, if it has not fired.
    pub(super) fn remove(&mut self, key: Key) -> Option<Waker> {
        let position = self.timer(key)?.position;
        Some(self.remove_at(position))
    }

    /// The waker of a timer that has not fired.
    pub(super) fn waker(&mut self, key: Key) -> Option<&mut Waker> {
        self.timer(key).map(|timer| &mut timer.waker)
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
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
        (first.deadline <= now && first.serial < limit).then(|| self.remove_at(0))
    }

    fn timer(&mut self, key: Key) -> Option<&mut Timer> {
        self.timers.get_mut(key.index).filter(|timer| timer.serial == key.serial)
    }

    fn remove_at(&mut self, position: usize) -> Waker {
        let entry = self.heap.swap_remove(position);
        if position < self.heap.len() {
            // The last entry is here now: it may be too late for this place, or too early.
            let position = self.sink(position);
            self.rise(position);
        }
        self.timers.remove(entry.index).waker
    }

    /// Moves the entry towards the front until its parent is not greater.
    fn rise(&mut self, mut position: usize) {
        while position > 0 {
            let parent = (position - 1) / 2;
            if self.heap[parent] <= self.heap[position] {
                break;
            }
            self.heap.swap(parent, position);
            self.note_position(position);
            position = parent;
        }
        self.note_position(position);
    }

    /// Moves the entry towards the back until no child is smaller. Returns where it came to rest.
    fn sink(&mut self, mut position: usize) -> usize {
        loop {
            let left = 2 * position + 1;
            let children = left..self.heap.len().min(left + 2);
            let Some(child) = children.min_by_key(|&child| self.heap[child]) else { break };
            if self.heap[position] <= self.heap[child] {
                break;
            }
            self.heap.swap(position, child);
            self.note_position(position);
            position = child;
        }
        self.note_position(position);
        position
    }

    fn note_position(&mut self, position: usize) {
        self.timers[self.heap[position].index].position = position;
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

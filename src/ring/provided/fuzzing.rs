//! Hostile completions: numbers of any value, in any order, as often as they like.
//!
//! They break the take contract, so nothing is said about what is in the bytes; but leases must stay within
//! the group, no two of them may share a byte, and nothing may panic.

use std::collections::VecDeque;
use std::rc::Rc;

use super::Lease;
use super::ledger::{Consumption, Ledger};
use super::memory::{Buffers, Entries};
use super::pool::{Pool, Returns};
use crate::ring::Cqe;

const COUNT: u16 = 8;
const EACH_BYTES: u32 = 24;

/// Feeds a group with completions made of `data`, and panics if two leases share a byte.
pub fn completions(data: &[u8]) {
    let Some((&how, mut data)) = data.split_first() else { return };
    let consumption = match how % 3 {
        0 => Consumption::Single,
        1 => Consumption::Whole,
        _ => Consumption::Incremental,
    };
    let returns = if how & 0x80 == 0 { Returns::AtOnce } else { Returns::WhenAsked };
    let pool = pool(consumption, returns);
    let mut leases: VecDeque<Lease> = VecDeque::new();
    while let Some((step, rest)) = data.split_first_chunk::<8>() {
        data = rest;
        let [what, flags, a, b, c, d, id_low, id_high] = *step;
        match what % 8 {
            0 => drop(leases.pop_front()),
            1 => drop(leases.pop_back()),
            2 if consumption == Consumption::Single => {
                pool.books(|ledger| ledger.remove(u32::from(a)));
            }
            2 => {
                pool.provide_idle(u32::from(a));
            }
            3 => pool.books(|ledger| ledger.withdraw(u16::from(a) % COUNT)),
            4 => {
                let bytes = [b; EACH_BYTES as usize];
                let _ = pool.fill(&bytes[..1 + usize::from(a) % bytes.len()]);
            }
            _ => {
                // Small lengths and ids more often than not, or hardly any would be taken.
                let res = if what & 0x80 == 0 {
                    i32::from(a) % 64 - i32::from(what & 0x40 != 0)
                } else {
                    i32::from_ne_bytes([a, b, c, d])
                };
                let id = u16::from_ne_bytes([id_low, if what & 0x20 == 0 { 0 } else { id_high }]);
                let id = if what & 0x10 == 0 { id % COUNT } else { id };
                let cqe = Cqe::new(0, res, u32::from(flags) | u32::from(id) << 16);
                if let Ok(taken) = pool.take(cqe, |position, tail| (position ^ tail) & 1 == 0) {
                    assert!(taken.len_bytes() <= usize::from(COUNT) * EACH_BYTES as usize);
                    leases.extend(taken.take(if flags & 0x40 == 0 { usize::MAX } else { 1 }));
                }
            }
        }
        // The books add up, whatever was said.
        assert!(pool.books(|ledger| ledger.with_kernel()) <= u32::from(COUNT));
        check_apart(&mut leases);
    }
}

/// A group that no kernel knows, with all of its buffers provided.
pub(super) fn pool(consumption: Consumption, returns: Returns) -> Rc<Pool> {
    let ledger = Ledger::new(COUNT, consumption);
    let buffers = Buffers::new(COUNT, EACH_BYTES).expect("memory");
    let entries = Entries::on_heap(COUNT).expect("memory");
    let single = consumption == Consumption::Single;
    let pool = Pool::new(ledger, buffers, (!single).then_some(entries), returns);
    if single {
        pool.books(|ledger| (0..COUNT).all(|id| ledger.provide(id, EACH_BYTES).is_some()));
    } else {
        pool.provide_idle(u32::from(COUNT));
    }
    pool
}

/// Writes to every lease, so that Miri and sanitizers see them too, and compares their places.
fn check_apart(leases: &mut VecDeque<Lease>) {
    let mut places: Vec<(usize, usize)> = Vec::with_capacity(leases.len());
    for lease in leases {
        lease.fill(1);
        let range = lease.as_ptr_range();
        if !range.is_empty() {
            places.push((range.start.addr(), range.end.addr()));
        }
    }
    places.sort_unstable();
    for pair in places.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "two leases share a byte");
    }
}

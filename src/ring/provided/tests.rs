//! Groups against a kernel that is simulated here: it reads the ring, fills buffers and posts completions as
//! Linux does.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use super::Lease;
use super::fuzzing;
use super::ledger::{Consumption, Ledger, Refused};
use super::memory::{Buffers, Entries};
use super::pool::{Pool, Returns};
use crate::ring::Cqe;
use crate::sys::abi::CqeFlags;

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as u32 % limit
    }
}

/// The other side of a group: it knows the ring, and nothing of the books.
struct FakeKernel {
    pool: Rc<Pool>,
    incremental: bool,
    /// Leaves `BUF_MORE` out where no bytes came, as kernels before 7.0 do.
    forgets_more: bool,
    count: u16,
    head: u64,
    /// How far the buffer at the head is filled.
    used_bytes: u32,
    completions: VecDeque<(Cqe, u8)>,
    stamp: u8,
}

impl FakeKernel {
    fn new(count: u16, each_bytes: u32, consumption: Consumption) -> FakeKernel {
        FakeKernel::with(count, each_bytes, consumption, Returns::AtOnce)
    }

    fn with(count: u16, each_bytes: u32, consumption: Consumption, returns: Returns) -> FakeKernel {
        let ledger = Ledger::new(count, consumption);
        let buffers = Buffers::new(count, each_bytes).expect("memory");
        let entries = Entries::on_heap(count).expect("memory");
        let pool = Pool::new(ledger, buffers, Some(entries), returns);
        FakeKernel {
            pool,
            incremental: consumption == Consumption::Incremental,
            forgets_more: false,
            count,
            head: 0,
            used_bytes: 0,
            completions: VecDeque::new(),
            stamp: 0,
        }
    }

    fn filled(count: u16, each_bytes: u32, consumption: Consumption) -> FakeKernel {
        let kernel = FakeKernel::new(count, each_bytes, consumption);
        assert_eq!(kernel.pool.provide_idle(u32::from(count)), u32::from(count));
        kernel
    }

    fn available(&self) -> u64 {
        let tail = self.pool.entries().seen_by_kernel(0).3;
        u64::from(tail.wrapping_sub(self.head as u16))
    }

    /// Receives up to `len_bytes` into as many buffers as a bundle may take; the completion goes to the queue.
    fn receive(&mut self, len_bytes: u32, bundle: bool) {
        if self.available() == 0 {
            self.completions.push_back((Cqe::new(0, -libc::ENOBUFS, 0), 0));
            return;
        }
        self.stamp = self.stamp.wrapping_add(1).max(1);
        let (mut left, mut more) = (len_bytes, self.incremental);
        let first = self.pool.entries().seen_by_kernel(self.head).2;
        while self.available() > 0 {
            let (address, room, _, _) = self.pool.entries().seen_by_kernel(self.head);
            let part = left.min(room);
            let to = std::ptr::with_exposed_provenance_mut::<u8>(address as usize)
                .wrapping_add(self.used_bytes as usize);
            // SAFETY: the ring says that the kernel may write here.
            unsafe { to.write_bytes(self.stamp, part as usize) };
            left -= part;
            if self.incremental {
                self.pool.entries().consume(self.head, part);
            }
            if self.incremental && part < room {
                // The books add this up by themselves; a real kernel moves the address.
                self.used_bytes += part;
                more = true;
                break;
            }
            (self.head, self.used_bytes, more) = (self.head + 1, 0, false);
            if !bundle || left == 0 {
                break;
            }
        }
        let res = len_bytes - left;
        let mut flags = CqeFlags::BUFFER;
        flags.set(CqeFlags::BUF_MORE, more && !(self.forgets_more && res == 0));
        let cqe = Cqe::new(0, res as i32, flags.bits() | u32::from(first) << 16);
        self.completions.push_back((cqe, self.stamp));
    }

    /// Takes the completion at `index`; its leases with the byte they must be full of.
    fn take(&mut self, index: usize) -> io::Result<Vec<(Lease, u8)>> {
        let (cqe, stamp) = self.completions.remove(index).expect("a completion");
        let leases = self.pool.take(cqe, |_, _| false)?;
        Ok(leases.map(|lease| (lease, stamp)).collect())
    }

    fn next(&mut self) -> Vec<Vec<u8>> {
        let leases = self.take(0).expect("leases");
        leases.iter().map(|(lease, _)| lease.to_vec()).collect()
    }
}

/// Random deliveries, takes and returns: no byte of a lease changes, and in the end the kernel has all.
fn plays(consumption: Consumption, seed: u64, steps: u32) {
    let mut random = Random::new(seed);
    let (count, each_bytes) = (1 << random.below(4), 1 + random.below(20));
    let mut kernel = FakeKernel::filled(count, each_bytes, consumption);
    kernel.forgets_more = seed % 2 == 0;
    let mut leases: Vec<(Lease, u8)> = Vec::new();
    for _ in 0..steps {
        match random.below(3) {
            0 => kernel.receive(random.below(3 * each_bytes), random.below(2) == 0),
            1 if !kernel.completions.is_empty() => {
                // Whole buffers may come in any order, pieces only in theirs.
                let in_order = consumption == Consumption::Incremental;
                let any = if in_order { 1 } else { kernel.completions.len() as u32 };
                let index = random.below(any) as usize;
                leases.extend(kernel.take(index).unwrap_or_default());
            }
            _ if !leases.is_empty() => {
                let index = random.below(leases.len() as u32) as usize;
                leases.swap_remove(index);
            }
            _ => {}
        }
        for (lease, stamp) in &leases {
            assert!(lease.iter().all(|byte| byte == stamp), "the kernel wrote to leased bytes");
        }
    }
    while !kernel.completions.is_empty() {
        leases.extend(kernel.take(0).unwrap_or_default());
    }
    drop(leases);
    // Running out settles what was in doubt.
    while kernel.available() > 0 {
        kernel.receive(each_bytes, false);
    }
    kernel.receive(1, false);
    while !kernel.completions.is_empty() {
        let _ = kernel.take(0);
    }
    assert_eq!(kernel.available(), u64::from(kernel.count), "every buffer came back");
    assert_eq!(kernel.pool.books(|ledger| ledger.with_kernel()), u32::from(kernel.count));
}

const SEEDS: u64 = if cfg!(miri) { 4 } else { 400 };
const STEPS: u32 = if cfg!(miri) { 60 } else { 600 };

#[test]
fn each_byte_has_at_most_one_owner_with_whole_buffers_and_bundles() {
    (0..SEEDS).for_each(|seed| plays(Consumption::Whole, seed, STEPS));
}

#[test]
fn each_byte_has_at_most_one_owner_with_buffers_consumed_piece_by_piece() {
    (0..SEEDS).for_each(|seed| plays(Consumption::Incremental, seed, STEPS));
}

#[test]
fn hostile_completions_get_no_shared_bytes_and_cause_no_panic() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let data: Vec<u8> = (0..STEPS).map(|_| random.below(256) as u8).collect();
        fuzzing::completions(&data);
    }
}

#[test]
fn a_buffer_goes_back_with_its_last_lease() {
    let mut kernel = FakeKernel::filled(2, 4, Consumption::Whole);
    kernel.receive(3, false);
    let leases = kernel.take(0).expect("a lease");
    assert_eq!((kernel.available(), leases[0].0.len()), (1, 3));
    drop(leases);
    assert_eq!(kernel.available(), 2);
    assert_eq!(kernel.pool.entries().seen_by_kernel(2).2, 0, "it is the last in turn now");
}

#[test]
fn a_buffer_consumed_in_pieces_goes_back_after_the_last_piece_and_the_last_lease() {
    let mut kernel = FakeKernel::filled(2, 10, Consumption::Incremental);
    [3, 3, 4, 5].into_iter().for_each(|len_bytes| kernel.receive(len_bytes, false));
    let mut pieces: Vec<_> = (0..4).map(|_| kernel.take(0).expect("a lease").remove(0).0).collect();
    let ids: Vec<_> = pieces.iter().map(|piece| (piece.buffer_id(), piece[0])).collect();
    assert_eq!(ids, [(0, 1), (0, 2), (0, 3), (1, 4)]);

    let second = pieces.remove(1);
    drop(pieces);
    assert_eq!(kernel.available(), 1, "a lease of the first buffer is left");
    assert_eq!(second[..], [2; 3]);
    drop(second);
    assert_eq!(kernel.available(), 2);
}

#[test]
fn a_bundle_yields_leases_in_the_order_in_which_the_buffers_were_provided() {
    let mut kernel = FakeKernel::filled(4, 10, Consumption::Whole);
    kernel.receive(1, false);
    drop(kernel.take(0));
    kernel.receive(35, true);
    let leases = kernel.take(0).expect("leases");
    let found: Vec<_> = leases.iter().map(|(l, _)| (l.buffer_id(), l.len())).collect();
    assert_eq!(found, [(1, 10), (2, 10), (3, 10), (0, 5)]);
}

#[test]
fn a_bundle_is_found_even_if_later_buffers_went_round_before_it_was_taken() {
    let mut kernel = FakeKernel::filled(4, 10, Consumption::Whole);
    kernel.receive(20, true);
    for _ in 0..6 {
        kernel.receive(10, false);
        drop(kernel.take(1).expect("a lease"));
    }
    assert_eq!(kernel.next(), [vec![1; 10], vec![1; 10]]);
}

#[test]
fn leases_that_are_not_iterated_go_back() {
    let mut kernel = FakeKernel::filled(4, 10, Consumption::Whole);
    kernel.receive(40, true);
    let (cqe, _) = kernel.completions.remove(0).expect("a completion");
    let mut leases = kernel.pool.take(cqe, |_, _| false).expect("leases");
    assert_eq!((leases.len(), leases.len_bytes()), (4, 40));
    let first = leases.next();
    drop(leases);
    assert_eq!(kernel.available(), 3);
    drop(first);
    assert_eq!(kernel.available(), 4);
}

#[test]
fn a_failure_gives_back_the_buffer_it_names() {
    let mut kernel = FakeKernel::filled(2, 10, Consumption::Whole);
    kernel.head += 1;
    let failed = Cqe::new(0, -libc::EIO, CqeFlags::BUFFER.bits());
    let error = kernel.pool.take(failed, |_, _| false).expect_err("it failed");
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    assert_eq!(kernel.available(), 2);
}

#[test]
fn a_failure_that_left_its_buffer_in_the_ring_does_not_provide_it_twice() {
    let mut kernel = FakeKernel::filled(2, 10, Consumption::Whole);
    let failed = Cqe::new(0, -libc::EIO, CqeFlags::BUFFER.bits());
    let error = kernel.pool.take(failed, |_, _| true).expect_err("it failed");
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    assert_eq!(kernel.available(), 2);
    kernel.receive(1, false);
    assert_eq!(kernel.next(), [[1]]);
}

#[test]
fn nothing_in_a_buffer_is_a_lease_of_no_bytes_that_gives_it_back() {
    let mut kernel = FakeKernel::filled(1, 10, Consumption::Whole);
    kernel.receive(0, false);
    assert_eq!(kernel.available(), 0);
    assert_eq!(kernel.next(), [[0; 0]]);
    assert_eq!(kernel.available(), 1);
}

#[test]
fn the_end_of_a_stream_that_used_no_buffer_brings_no_lease() {
    let kernel = FakeKernel::filled(1, 10, Consumption::Whole);
    let leases = kernel.pool.take(Cqe::new(0, 0, 0), |_, _| false).expect("the end");
    assert_eq!((leases.len(), leases.len_bytes()), (0, 0));
}

#[test]
fn an_end_of_stream_without_the_flag_leaves_the_buffer_with_the_kernel() {
    let mut kernel = FakeKernel::filled(1, 10, Consumption::Incremental);
    kernel.forgets_more = true;
    kernel.receive(0, false);
    // The rest of the buffer is filled before the first completion is looked at.
    kernel.receive(10, false);
    assert_eq!(kernel.next(), [[0; 0]]);
    assert_eq!(kernel.available(), 0, "not twice in the ring");
    assert_eq!(kernel.next(), [[2; 10]]);
    assert_eq!(kernel.available(), 1);
}

#[test]
fn a_whole_buffer_with_nothing_in_it_comes_back_when_the_kernel_has_run_out() {
    let mut kernel = FakeKernel::filled(1, 10, Consumption::Incremental);
    // A read at the end of a regular file uses up the whole buffer it asked for.
    kernel.pool.entries().consume(0, 10);
    kernel.head += 1;
    kernel.completions.push_back((Cqe::new(0, 0, CqeFlags::BUFFER.bits()), 0));
    assert_eq!(kernel.next(), [[0; 0]]);
    kernel.receive(1, false);
    let error = kernel.take(0).expect_err("no buffer");
    assert_eq!(error.raw_os_error(), Some(libc::ENOBUFS));
    assert_eq!(kernel.available(), 1);
}

#[test]
fn bytes_without_the_flag_leave_the_buffer_with_the_kernel_that_has_some_left() {
    let mut kernel = FakeKernel::filled(1, 10, Consumption::Incremental);
    kernel.receive(4, false);
    let (cqe, _) = kernel.completions.pop_front().expect("a completion");
    // As Linux before 7.0 says it after a read of a regular file that asked for less than a whole buffer.
    let cqe = Cqe::new(0, cqe.raw_result(), CqeFlags::BUFFER.bits());
    drop(kernel.pool.take(cqe, |_, _| false).expect("a lease"));
    assert_eq!(kernel.available(), 1, "not twice in the ring");
    kernel.receive(6, false);
    assert_eq!(kernel.next(), [[2; 6]]);
    assert_eq!(kernel.available(), 1);
}

#[test]
fn whole_buffers_may_be_taken_in_any_order_where_pieces_are_allowed() {
    let mut kernel = FakeKernel::filled(2, 10, Consumption::Incremental);
    // A read that asked for a whole buffer, and found four bytes.
    kernel.pool.entries().consume(0, 10);
    kernel.head += 1;
    kernel.completions.push_back((Cqe::new(0, 4, CqeFlags::BUFFER.bits()), 0));
    kernel.receive(10, false);
    // The second one goes back over the entry of the first.
    drop(kernel.take(1).expect("a lease"));
    assert_eq!(kernel.next(), [[0; 4]]);
    assert_eq!(kernel.available(), 2);
}

#[test]
fn impossible_completions_are_refused_and_change_nothing() {
    let kernel = FakeKernel::filled(2, 10, Consumption::Whole);
    let used = CqeFlags::BUFFER.bits();
    let refused = |res, flags| {
        let error = kernel.pool.take(Cqe::new(0, res, flags), |_, _| false).expect_err("refused");
        let source = error.get_ref().and_then(|source| source.downcast_ref::<Refused>());
        source.copied()
    };
    assert_eq!(refused(1, used | 2 << 16), Some(Refused::NoSuchBuffer));
    assert_eq!(refused(1, used | 0xffff << 16), Some(Refused::NoSuchBuffer));
    assert_eq!(refused(21, used), Some(Refused::TooLong));
    assert_eq!(refused(11, used | 1 << 16), Some(Refused::TooLong));
    assert_eq!(refused(i32::MAX, used), Some(Refused::TooLong));
    assert_eq!(refused(1, 0), Some(Refused::NoBuffer));
    assert_eq!(kernel.pool.books(|ledger| ledger.with_kernel()), 2);

    let taken = kernel.pool.take(Cqe::new(0, 1, used), |_, _| false).expect("a lease");
    assert_eq!(refused(1, used), Some(Refused::NotWithKernel));
    assert_eq!(taken.len_bytes(), 1);
}

#[test]
fn a_lease_outlives_its_group_and_is_not_provided_again() {
    let mut kernel = FakeKernel::filled(1, 10, Consumption::Whole);
    kernel.receive(10, false);
    let leases = kernel.take(0).expect("a lease");
    kernel.pool.close();
    assert_eq!(leases[0].0[..], [1; 10]);
    drop(leases);
    assert_eq!(kernel.available(), 0);
}

#[test]
fn a_lease_can_be_cut_at_both_ends_and_written_to() {
    let mut kernel = FakeKernel::filled(1, 10, Consumption::Whole);
    kernel.receive(6, false);
    let (mut lease, _) = kernel.take(0).expect("a lease").remove(0);
    lease[1..4].copy_from_slice(b"abc");
    lease.advance(1);
    lease.truncate(3);
    assert_eq!(&lease[..], b"abc");
    lease.truncate(9);
    lease.advance(9);
    assert!(lease.is_empty());
    drop(lease);
    assert_eq!(kernel.available(), 1);
}

#[test]
fn filled_buffers_are_provided_with_what_they_hold_and_stay_idle_afterwards() {
    let mut kernel = FakeKernel::with(2, 10, Consumption::Whole, Returns::WhenAsked);
    assert_eq!(kernel.pool.fill(b"hello"), Some(()));
    assert_eq!(kernel.pool.fill(b"world!"), Some(()));
    assert_eq!(kernel.pool.fill(b"more"), None);
    let (_, len_bytes, id, tail) = kernel.pool.entries().seen_by_kernel(1);
    assert_eq!((len_bytes, id, tail), (6, 1, 2));
    // A send of both in one bundle.
    kernel.head += 2;
    kernel.completions.push_back((Cqe::new(0, 11, CqeFlags::BUFFER.bits()), 0));
    assert_eq!(kernel.next(), [b"hello".to_vec(), b"world!".to_vec()]);
    assert_eq!((kernel.available(), kernel.pool.provide_idle(9)), (0, 2));
}

#[test]
fn positions_go_on_behind_the_wrap_of_the_tail() {
    let mut kernel = FakeKernel::filled(4, 4, Consumption::Whole);
    let rounds = if cfg!(miri) { 50 } else { 70_000 };
    for _ in 0..rounds {
        kernel.receive(6, true);
        assert_eq!(kernel.next().concat(), [kernel.stamp; 6]);
    }
    assert_eq!(kernel.available(), 4);
}

#[test]
fn removed_buffers_are_idle_when_all_others_have_come_back() {
    let mut ledger = Ledger::new(4, Consumption::Single);
    (0..4).for_each(|id| assert!(ledger.provide(id, 10).is_some()));
    ledger.remove(3);
    assert_eq!((ledger.with_kernel(), ledger.idle_from(0)), (1, None));
    ledger.take(2, 5, |_| false).expect("the one that is left");
    assert_eq!((ledger.with_kernel(), ledger.idle_from(0)), (0, Some(0)));
    assert!(ledger.release(2));
    assert!(ledger.provide(2, 10).is_some());
    assert_eq!(ledger.take(2, 11, |_| false), Err(Refused::TooLong), "no bundles here");
}

#[test]
fn what_was_removed_is_idle_when_all_others_turn_out_not_to_have_reached_the_kernel() {
    let mut ledger = Ledger::new(4, Consumption::Single);
    (0..4).for_each(|id| assert!(ledger.provide(id, 10).is_some()));
    ledger.remove(2);
    ledger.withdraw(2);
    ledger.withdraw(3);
    assert_eq!((ledger.with_kernel(), ledger.idle_from(0)), (0, Some(0)));
}

#[test]
fn a_kernel_that_has_forgotten_more_than_it_had_leaves_true_books() {
    let mut ledger = Ledger::new(4, Consumption::Single);
    (0..4).for_each(|id| assert!(ledger.provide(id, 10).is_some()));
    ledger.remove(3);
    (0..4).for_each(|id| ledger.withdraw(id));
    assert_eq!((ledger.with_kernel(), ledger.idle_from(0)), (0, Some(0)));
}

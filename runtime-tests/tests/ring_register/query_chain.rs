//! What the kernel makes of questions that the safe interface never asks.

use std::io;

use uring::ring::abi::{QueryHdr, QueryOpcode};
use uring::ring::{QueryOp, RegisterOp};

use crate::{errno, has};

/// Asks, with the number of arguments that the kernel wants to be 0.
fn ask(header: &mut QueryHdr, count: u32) -> io::Result<()> {
    let (call, op) = (libc::SYS_io_uring_register, RegisterOp::REGISTER_QUERY.0);
    // SAFETY: one header; what it points to outlives the call, or lies nowhere and is refused.
    let result = unsafe { libc::syscall(call, -1, op, std::ptr::from_mut(header), count) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn address<T>(of: &mut T) -> u64 {
    std::ptr::from_mut(of).expose_provenance() as u64
}

fn question(answer: u64, size: u32) -> QueryHdr {
    let query_op = QueryOp::OPCODES.0;
    QueryHdr { query_data: answer, query_op, size, ..QueryHdr::default() }
}

#[test]
fn an_answer_is_cut_to_its_room_and_says_how_long_it_is() {
    if !has(RegisterOp::REGISTER_QUERY) {
        return;
    }
    let mut room = [0u8; 64];
    let mut short = question(address(&mut room), 8);
    ask(&mut short, 0).expect("an answer");
    assert_eq!((short.result, short.size), (0, 8));
    assert!(room[..8].iter().any(|byte| *byte != 0) && room[8..].iter().all(|byte| *byte == 0));
    let mut long = question(address(&mut room), 64);
    ask(&mut long, 0).expect("an answer");
    assert_eq!((long.result, long.size as usize), (0, size_of::<QueryOpcode>()));
}

#[test]
fn an_unknown_question_is_refused_and_those_after_it_answered() {
    if !has(RegisterOp::REGISTER_QUERY) {
        return;
    }
    let mut answer = QueryOpcode::default();
    let mut second = question(address(&mut answer), size_of::<QueryOpcode>() as u32);
    let next_entry = address(&mut second);
    let mut first = QueryHdr { next_entry, query_op: 1 << 20, ..question(address(&mut answer), 8) };
    ask(&mut first, 0).expect("answers");
    assert_eq!((first.result, second.result), (-libc::EOPNOTSUPP, 0));
    assert!(answer.nr_register_opcodes > RegisterOp::REGISTER_QUERY.0);
}

#[test]
fn addresses_of_nothing_a_count_and_a_ring_of_questions_are_refused() {
    if !has(RegisterOp::REGISTER_QUERY) {
        return;
    }
    let mut answer = QueryOpcode::default();
    let mut good = question(address(&mut answer), 48);
    assert_eq!(errno(ask(&mut good, 1)), libc::EINVAL);
    assert_eq!(errno(ask(&mut question(8, 48), 0)), libc::EFAULT);
    assert_eq!(errno(ask(&mut QueryHdr { next_entry: 8, ..good }, 0)), libc::EFAULT);
    let mut endless = good;
    endless.next_entry = address(&mut endless);
    assert_eq!(errno(ask(&mut endless, 0)), libc::ERANGE);
}

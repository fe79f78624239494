//! The simulation against Linux: the same random operations on both, through the same ring. Results, errnos,
//! flags of completions and data are the same, but for what is listed.
//!
//! `URING_CASES` sets the number of random cases of each test.
//!
//! # Listed differences
//!
//! | what | why it is left out here |
//! |---|---|
//! | numbers of descriptors | each kernel has its own; that there is one is compared |
//! | how many completions a bundle takes, and how bytes fall on them | the choice of either kernel: all bytes are compared |
//! | when a notification of a zero-copy send comes, and whether it was copied | the seed chooses, Linux copies on loopback |
//! | sends to a TCP peer that has closed | the first one succeeds on Linux, and fails in the simulation |
//! | bytes for a TCP socket that was shut down for receiving | Linux resets the connection if it was for sending too, the simulation keeps them |
//! | `IORING_CQE_F_SOCK_NONEMPTY` | a hint; Linux asks some protocols only |
//! | binding and connecting unix sockets | the simulation has no addresses for them |
//! | how many datagrams fit into a buffer | Linux counts the memory of its packets; what is dropped is tested in the simulation |
//! | whether a message to the own ring comes before its result | the choice of either kernel |
//! | when a file that is sent to another ring is there | on Linux when that ring's owner enters, here at once |
//! | blocks, times and owners of files | of the machine |
#![cfg(not(miri))] // It has no io_uring.

#[path = "differential/datagrams.rs"]
mod datagrams;
#[path = "differential/files.rs"]
mod files;
#[path = "differential/machine.rs"]
mod machine;
#[path = "differential/messages.rs"]
mod messages;
#[path = "differential/requests.rs"]
mod requests;
#[path = "differential/streams.rs"]
mod streams;

use machine::Machine;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use runtime_tests::rings::kernel;
use runtime_tests::skipped;
use uring::ring::Opcode;

/// One operation: which, and random numbers that it makes its arguments of.
#[derive(Clone, Copy, Debug)]
struct Step {
    kind: u8,
    a: u8,
    b: u8,
    c: u8,
    n: u16,
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = (any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>(), any::<u16>())
        .prop_map(|(kind, a, b, c, n)| Step { kind, a, b, c, n });
    prop::collection::vec(step, 1..most)
}

/// Plays random steps on both kernels; `play` does one and says in words what came of it.
fn compare(cases: u32, most: usize, play: fn(&mut Machine, Step) -> String) {
    if Machine::linux().is_none() {
        return skipped("Linux here makes no ring");
    }
    // The simulation is a Linux that has all it knows.
    let newest = [Opcode::FIXED_FD_INSTALL, Opcode::FTRUNCATE, Opcode::LISTEN];
    if let Some(missing) = newest.into_iter().find(|&opcode| !kernel().supports(opcode)) {
        return skipped(format!("Linux here lacks {missing:?}, which the simulation has"));
    }
    let wanted = std::env::var("URING_CASES").ok().and_then(|cases| cases.parse().ok());
    let config =
        Config { cases: wanted.unwrap_or(cases), failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&(any::<u64>(), steps(most)), |(seed, steps)| {
        // On a busy machine what was sent to a TCP socket of this host is there a moment later, when ksoftirqd has
        // run. A difference between the kernels is there each time.
        let difference = (0..3).map_while(|_| difference(seed, &steps, play)).nth(2);
        match difference {
            Some(difference) => Err(TestCaseError::fail(difference)),
            None => Ok(()),
        }
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

/// Where the two part.
fn difference(seed: u64, steps: &[Step], play: fn(&mut Machine, Step) -> String) -> Option<String> {
    let mut linux = Machine::linux().expect("a ring of Linux");
    let mut sim = Machine::sim(seed);
    let mut story = Vec::new();
    for &step in steps {
        let (there, here) = (play(&mut linux, step), play(&mut sim, step));
        if there != here {
            let story = story.join("\n      ");
            return Some(format!("Linux: {there}\n  sim: {here}\nafter {story}"));
        }
        story.push(there);
    }
    None
}

#[test]
fn names_and_files_are_the_same() {
    compare(300, 40, files::play);
}

#[test]
fn pipes_and_sockets_are_the_same() {
    compare(200, 24, streams::play);
}

#[test]
fn datagrams_are_the_same() {
    // Linux 6.12 cancels a receive into provided buffers where 6.18 yields a datagram of no bytes.
    if Machine::linux().is_some() && !kernel().supports(Opcode::PIPE) {
        return skipped(
            "Linux here is older than 6.16, and the simulation's datagrams are as newer ones have them",
        );
    }
    compare(200, 60, datagrams::play);
}

#[test]
fn messages_between_rings_are_the_same() {
    compare(200, 40, messages::play);
}

#[test]
fn slots_chains_and_timeouts_are_the_same() {
    compare(150, 16, requests::play);
}

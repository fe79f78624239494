//! Whole programs on the simulated kernel while everything goes wrong, for many seeds.
//!
//! ```text
//! URING_SEEDS=10000 cargo test --release -p runtime-tests --test scenarios    the full run
//! URING_SEED=17 cargo test -p runtime-tests --test scenarios echo             one seed again, with its trace
//! ```
//!
//! Each run is checked by the scenario, and afterwards nothing may be left: no slot, block, descriptor, timer or
//! task, and everything that was made was dropped once. A wait that nothing ends is a deadlock, which panics.

mod scenarios {
    pub(crate) mod chat;
    pub(crate) mod copy;
    pub(crate) mod echo;
    pub(crate) mod harness;
    pub(crate) mod pipeline;
}

use scenarios::harness::{Scenario, run, trace_of};
use scenarios::{chat, copy, echo, pipeline};

const COPY: Scenario =
    Scenario { name: "copies_of_files_are_whole", play: |stage| Box::pin(copy::play(stage)) };
const ECHO: Scenario =
    Scenario { name: "an_echo_is_what_was_sent", play: |stage| Box::pin(echo::play(stage)) };
const CHAT: Scenario = Scenario {
    name: "a_chat_reaches_everybody_in_order",
    play: |stage| Box::pin(chat::play(stage)),
};
const PIPELINE: Scenario =
    Scenario { name: "a_pipeline_loses_nothing", play: |stage| Box::pin(pipeline::play(stage)) };

#[test]
fn copies_of_files_are_whole() {
    run(&COPY);
}

#[test]
fn an_echo_is_what_was_sent() {
    run(&ECHO);
}

#[test]
fn a_chat_reaches_everybody_in_order() {
    run(&CHAT);
}

#[test]
fn a_pipeline_loses_nothing() {
    run(&PIPELINE);
}

#[test]
fn a_seed_has_the_same_trace_every_time() {
    // Miri takes minutes for a run of the others, and each has a test of its own.
    let scenarios = if cfg!(miri) { &[COPY][..] } else { &[COPY, ECHO, CHAT, PIPELINE] };
    for scenario in scenarios {
        for seed in [3, 7] {
            assert_eq!(trace_of(scenario, seed), trace_of(scenario, seed), "{}", scenario.name);
        }
        assert_ne!(trace_of(scenario, 3), trace_of(scenario, 4), "{}", scenario.name);
    }
}

//! Every integration test, in one crate: one link step, one harness.
//!
//! `support` starts and stops what the tests run against; each other module
//! tests one thing against it.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    unreachable_pub,
    reason = "helpers of tests fail by panicking and report on stderr, and nothing is exported"
)]

mod archive;
mod backup;
mod bad_input;
mod barrier;
mod cli;
mod decrypt;
mod docs;
mod doctor;
mod drill;
mod examples;
mod fire;
mod fuzz;
mod harness;
mod inspect;
mod layering;
mod legacy;
mod machine;
mod naming;
mod prune;
mod recover;
mod report;
mod restore;
mod retention;
mod secrets;
mod special_files;
mod store;
mod support;
mod vault;
mod vectors;

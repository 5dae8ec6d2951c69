//! The fault lab: real servers, real runs, one fault each, chosen by a seed. docs/reliability.md
//! says what is judged, and how to run more trials than a normal test run.

mod days;
mod dice;
mod judge;
mod lab;
mod plan;
mod room;
mod run;
mod table;
mod trial;
mod wire;

use crate::support::vault::expect_server;
use lab::Lab;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use table::Table;

/// Number of trials in a normal test run.
const TRIALS: usize = 150;

/// A number from the environment.
fn setting(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a number")))
}

#[test]
fn trials_end_with_good_backups_true_exit_codes_and_no_leftovers() {
    expect_server();
    let seeds: Vec<u64> = match setting("FIRE_SEED") {
        Some(seed) => vec![seed as u64],
        None => (0..setting("FIRE_TRIALS").unwrap_or(TRIALS) as u64).collect(),
    };
    let threads = setting("FIRE_THREADS").unwrap_or(8).min(seeds.len());
    let (lab, table, next) = (Lab::start(), Mutex::new(Table::default()), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = trial::run(&lab, *seed);
                    table.lock().unwrap_or_else(PoisonError::into_inner).add(&result);
                }
            });
        }
    });
    let table = table.into_inner().unwrap();
    eprintln!("{table}");
    assert!(table.failures().is_empty(), "failed trials, each with its seed:\n{}", table.failures().join("\n"));
}

#[test]
fn plans_are_functions_of_their_seeds_and_reach_every_class_of_fault() {
    let plans: Vec<_> = (0..1000).map(plan::Plan::from_seed).collect();
    assert!(plans.iter().enumerate().all(|(seed, plan)| plan::Plan::from_seed(seed as u64) == *plan));
    let classes =
        |plans: &[plan::Plan]| plans.iter().map(|plan| plan.fault.class()).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(classes(&plans[..TRIALS]).len(), classes(&plans).len());
    assert!(classes(&plans).len() >= 17);
}

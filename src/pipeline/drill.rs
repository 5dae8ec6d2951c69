//! The restore drill's parts, and what `restore` shares with it.
//!
//! Here: the guard before anything is sent, the stream from the store into a
//! Vault, the wait until it was applied, the canary's rules. Not here: their order
//! (`commands::verify_restore`, `commands::restore`) and the requests (`vault`).

pub mod canary;
pub mod feed;
pub mod guard;
pub mod target;

use crate::base::error::Result;
use std::collections::BTreeMap;
use std::time::Instant;

/// How long each step took, in milliseconds.
#[derive(Clone, Debug, Default)]
pub struct StepDurations(pub BTreeMap<String, u64>);

impl StepDurations {
    /// Runs `work` and keeps its duration, also if it fails.
    ///
    /// # Errors
    /// What `work` fails with.
    pub async fn time<T>(&mut self, step: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let begun = Instant::now();
        let result = work.await;
        let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        *self.0.entry(step.to_owned()).or_default() += took;
        tracing::info!("{step}: {took} ms");
        result
    }
}

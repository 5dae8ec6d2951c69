//! Parts of the restore drill, some shared with `restore`: the guard, the stream from the
//! store into a Vault server, the wait until it is applied, the rules of the canary.
//!
//! Not here: their order (`commands::verify_restore`, `commands::restore`) and the requests
//! (`vault`).

pub(crate) mod canary;
pub(crate) mod feed;
pub(crate) mod guard;
pub(crate) mod record;
pub(crate) mod target;

use crate::base::error::Result;
use std::collections::BTreeMap;
use std::time::Instant;

/// Duration of each step, in milliseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Steps(pub BTreeMap<String, u64>);

impl Steps {
    /// Runs `work` and records its duration, also if it fails.
    ///
    /// # Errors
    /// The error of `work`.
    pub(crate) async fn time<T>(&mut self, step: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let begun = Instant::now();
        let result = work.await;
        let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        *self.0.entry(step.to_owned()).or_default() += took;
        tracing::info!("{step}: {took} ms");
        result
    }
}

//! A run that people are told of: `backup`, `prune`, `verify-restore`, `restore`
//! and `recover`.
//!
//! Here: how such a run ends, and the catch for panics, so that a failure is
//! always told. Not here: the channels (`report`), printing (`output`).

pub mod prune;

use crate::commands::Done;
use crate::context::Context;
use crate::error::{Error, Result};
use futures_util::FutureExt;
use serde::Serialize;
use serde_json::{Map, Value};
use std::future::Future;
use std::panic::AssertUnwindSafe;

/// The operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `backup`
    Backup,
    /// `prune`
    Prune,
}

/// What an operation did that did not fail.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The JSON result; audit and notifications carry it as `details`.
    details: Map<String, Value>,
    /// What could not be done.
    problems: Vec<String>,
    /// The result for stdout.
    pub text: String,
    /// A last line for a person who is watching.
    pub closing: String,
}

impl Outcome {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds to the result.
    pub fn detail(&mut self, key: &str, value: impl Serialize) {
        // Everything given here is a plain value, and those serialize.
        self.details.insert(key.to_owned(), serde_json::to_value(value).unwrap_or(Value::Null));
    }

    /// Takes the outcome of the prune that followed. Its failure does not undo the
    /// backup: it is a problem.
    pub fn pruned(&mut self, result: Result<Outcome>) {
        match result {
            Ok(prune) => {
                self.closing = format!("{}; {}", self.closing, prune.closing);
                self.problems.extend(prune.problems);
                self.detail("pruned", prune.details);
            }
            Err(error) => self.problem(format!("the backup is good, but the prune after it failed: {error}")),
        }
    }

    /// Adds what could not be done: the exit code becomes 8.
    pub fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }
}

impl Operation {
    /// Runs `work` and tells people how it ended.
    ///
    /// # Errors
    /// What `work` failed with; a panic becomes an `Unexpected` error.
    pub async fn run(self, context: &Context, work: impl Future<Output = Result<Outcome>>) -> Result<Done> {
        let result = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
            Err(Error::unexpected("the run broke down: a defect in vault-backup")
                .hint("please report it with the output of -vv"))
        });
        context.progress.clear();
        let outcome = result?;
        let mut done = Done::document(Value::Object(outcome.details)).with_text(outcome.text).closing(outcome.closing);
        done.add_problems(outcome.problems);
        Ok(done)
    }
}

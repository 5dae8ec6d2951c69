//! The result of a successful command, and its output.

use super::lines::Lines;
use super::{Output, json_value};
use crate::base::error::{Error, Kind};
use crate::base::secret::Secret;
use crate::services::notify::Event;
use crate::services::notify::metrics::Figures;
use serde::Serialize;
use serde_json::{Map, Value};

/// The result of a successful command. [`crate::app::context::Context::note`] adds to audit
/// log and notifications, also if the command fails later.
#[derive(Debug, Default)]
pub struct CommandResult {
    /// The result for stdout, unless JSON was requested.
    text: Lines,
    /// A recovered secret for stdout, in place of the text.
    secret: Option<Secret>,
    /// The last line on a terminal, and the message of notifications.
    pub closing: String,
    /// The result as JSON.
    document: Option<Map<String, Value>>,
    /// A line for stderr, on a terminal or not.
    note: Option<String>,
    /// Failures after which the command went on. Any makes the exit code 8.
    problems: Vec<String>,
    /// An exit code that only this command has.
    code: Option<u8>,
    /// The figures of the store, for metrics.
    pub figures: Figures,
    /// A second operation in the same run, if any; it has its own line in the audit log.
    pub second: Option<Event>,
}

impl CommandResult {
    /// Creates a result for stdout.
    pub fn text(text: impl Into<Lines>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Creates a result for stdout that is a secret, with its JSON form.
    pub fn secret(secret: Secret) -> Self {
        Self { secret: Some(secret), ..Self::default() }
    }

    /// Creates a JSON result.
    pub fn document(document: Value) -> Self {
        let Value::Object(map) = document else { return Self::default() };
        Self { document: Some(map), ..Self::default() }
    }

    /// Adds the text form of the result.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<Lines>) -> Self {
        self.text = text.into();
        self
    }

    /// Adds a line for stderr.
    #[must_use]
    pub fn with_note(mut self, line: impl Into<String>) -> Self {
        self.note = Some(line.into());
        self
    }

    /// Adds a last line for a person who is watching.
    #[must_use]
    pub fn with_closing(mut self, line: impl Into<String>) -> Self {
        self.closing = line.into();
        self
    }

    /// Sets an exit code that only this command has.
    #[must_use]
    pub fn with_code(mut self, code: u8) -> Self {
        self.code = Some(code);
        self
    }

    /// Adds a key to the JSON result.
    pub fn set(&mut self, key: &str, value: impl Serialize) {
        self.document.get_or_insert_default().insert(key.to_owned(), json_value(value));
    }

    /// Adds a failure after which the command went on.
    pub fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// Returns the failures after which the command went on.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Adds earlier failures, in front of the others.
    pub fn add_earlier_problems(&mut self, problems: Vec<String>) {
        self.problems.splice(0..0, problems);
    }

    /// Returns the JSON result. It is empty if the command set no key.
    pub fn json(&self) -> Map<String, Value> {
        self.document.clone().unwrap_or_default()
    }

    /// Prints everything and returns the exit code.
    pub fn print(mut self, output: Output) -> u8 {
        // After a partial success, the reader first learns what succeeded.
        if !self.problems.is_empty() && !self.closing.is_empty() {
            tracing::warn!("completed with problems: {}", self.closing);
            self.closing.clear();
        }
        for problem in &self.problems {
            tracing::error!("{problem}");
        }
        let printed = match self.document {
            Some(mut document) if output.is_json() => {
                if !self.problems.is_empty() {
                    document.insert("problems".to_owned(), self.problems.clone().into());
                }
                Output::document(&Value::Object(document))
            }
            _ => {
                output.result(&self.text).and_then(|()| self.secret.iter().try_for_each(|secret| output.secret(secret)))
            }
        };
        if let Err(error) = printed {
            let error = Error::unexpected("stdout: the result cannot be written").because(error);
            Output::error(&error);
            return error.kind().code();
        }
        if let Some(note) = &self.note {
            output.note(note.as_str());
        }
        if !self.closing.is_empty() {
            output.closing(&self.closing);
        }
        let partial = if self.problems.is_empty() { 0 } else { Kind::Partial.code() };
        self.code.unwrap_or(partial)
    }
}

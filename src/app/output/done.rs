//! The result of a successful command, and its output.

use super::Output;
use crate::base::error::Kind;
use serde_json::Value;

/// The result of a successful command.
#[derive(Debug, Default)]
pub struct Done {
    /// The result for stdout, unless JSON was requested.
    text: String,
    /// The result as JSON.
    document: Option<Value>,
    /// A line for stderr, on a terminal or not.
    note: Option<String>,
    /// A last line for a person who is watching.
    closing: Option<String>,
    /// Failures after which the run went on. Any makes the exit code 8.
    problems: Vec<String>,
    /// An exit code that only this command has.
    code: Option<u8>,
}

impl Done {
    /// Creates a result for stdout.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Creates a JSON result.
    pub fn document(document: Value) -> Self {
        Self { document: Some(document), ..Self::default() }
    }

    /// Adds the text form of the result.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
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
    pub fn closing(mut self, line: impl Into<String>) -> Self {
        self.closing = Some(line.into());
        self
    }

    /// Adds failures after which the run went on.
    pub fn add_problems(&mut self, problems: impl IntoIterator<Item = String>) {
        self.problems.extend(problems);
    }

    /// Sets an exit code that only this command has.
    #[must_use]
    pub fn with_code(mut self, code: u8) -> Self {
        self.code = Some(code);
        self
    }

    /// Prints everything and returns the exit code.
    pub fn print(mut self, output: Output) -> u8 {
        // After a partial success, the reader first learns what succeeded.
        if !self.problems.is_empty()
            && let Some(closing) = self.closing.take()
        {
            tracing::warn!("completed with problems: {closing}");
        }
        for problem in &self.problems {
            tracing::error!("{problem}");
        }
        match &mut self.document {
            Some(document) if output.is_json() => {
                if !self.problems.is_empty() {
                    document["problems"] = Value::from(self.problems.clone());
                }
                Output::document(document);
            }
            _ => output.result(&self.text),
        }
        if let Some(note) = &self.note {
            output.note(note);
        }
        if let Some(closing) = &self.closing {
            output.closing(closing);
        }
        let partial = if self.problems.is_empty() { 0 } else { Kind::Partial.code() };
        self.code.unwrap_or(partial)
    }
}

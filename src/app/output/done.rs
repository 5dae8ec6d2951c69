//! How a command ended that did not fail, and how that is printed.

use super::Output;
use crate::base::error::Kind;
use serde_json::Value;

/// How a command ended that did not fail.
#[derive(Debug, Default)]
pub struct Done {
    /// The result, for stdout, where no JSON is asked for.
    text: String,
    /// The result as JSON.
    document: Option<Value>,
    /// What is said on stderr beside the result, terminal or not.
    aside: Option<String>,
    /// A last line for a person who is watching.
    closing: Option<String>,
    /// What could not be done. Any makes the exit code 8.
    problems: Vec<String>,
    /// An exit code of the command's own.
    code: Option<u8>,
}

impl Done {
    /// Ended with a result for stdout.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Ended with a JSON result.
    pub fn document(document: Value) -> Self {
        Self { document: Some(document), ..Self::default() }
    }

    /// Adds the human form of the result.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    /// Adds a line for stderr.
    #[must_use]
    pub fn aside(mut self, line: impl Into<String>) -> Self {
        self.aside = Some(line.into());
        self
    }

    /// Adds a last line for a person who is watching.
    #[must_use]
    pub fn closing(mut self, line: impl Into<String>) -> Self {
        self.closing = Some(line.into());
        self
    }

    /// Adds what could not be done.
    pub fn add_problems(&mut self, problems: impl IntoIterator<Item = String>) {
        self.problems.extend(problems);
    }

    /// Sets an exit code of the command's own.
    #[must_use]
    pub fn with_code(mut self, code: u8) -> Self {
        self.code = Some(code);
        self
    }

    /// Prints all of it; returns the exit code.
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
                output.document(document);
            }
            _ => output.result(&self.text),
        }
        if let Some(aside) = &self.aside {
            output.aside(aside);
        }
        if let Some(closing) = &self.closing {
            output.closing(closing);
        }
        let partial = if self.problems.is_empty() { 0 } else { Kind::Partial.code() };
        self.code.unwrap_or(partial)
    }
}

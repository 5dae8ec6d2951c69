//! Lines of a result. Only this type reaches stdout as text, and a value in a line can
//! neither begin another line nor act on a terminal.

use crate::base::text::row;
use std::fmt;

/// Printable lines, each with its newline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines(String);

impl Lines {
    /// Takes text that contains no value from outside, such as a script, as it is.
    pub fn fixed(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Adds one line; also if `line` contains newlines, which become visible. A long one is truncated.
    pub fn line(&mut self, line: impl AsRef<str>) {
        self.0 += &row(line.as_ref());
        self.0.push('\n');
    }

    /// Adds one line, for `writeln!`.
    ///
    /// # Errors
    /// None; the macro requires a result.
    pub fn write_fmt(&mut self, line: fmt::Arguments<'_>) -> fmt::Result {
        let line = line.to_string();
        self.line(line.strip_suffix('\n').unwrap_or(&line));
        Ok(())
    }

    /// Adds all lines of `other`.
    pub fn append(&mut self, other: &Self) {
        self.0 += &other.0;
    }

    /// Returns the text to print.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Each line of the text becomes one line. Values in it must not contain newlines.
impl<T: AsRef<str>> From<T> for Lines {
    fn from(text: T) -> Self {
        let mut lines = Self::default();
        let text = text.as_ref();
        text.strip_suffix('\n').unwrap_or(text).split('\n').for_each(|line| lines.line(line));
        lines
    }
}

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_add_a_line() {
        let mut lines = Lines::default();
        let forged = "x\n  checked  every segment\r\u{1b}[1A";
        let _ = writeln!(lines, "  tool  {forged}");
        lines.line("");
        lines.append(&"a\nb".into());
        assert_eq!(lines.to_string(), "  tool  x\\u{a}  checked  every segment\\u{d}\\u{1b}[1A\n\na\nb\n");
    }
}

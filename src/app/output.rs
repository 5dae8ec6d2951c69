//! Everything that is printed.
//!
//! The rules:
//! - Results go to stdout, everything else to stderr.
//! - If stderr is not a terminal, a successful run without warnings prints nothing on it
//!   (except with `-v`), so that cron sends no mail.
//! - With `--json`, stdout has exactly one JSON document, also after a failure.
//! - A failure is one line on stderr. If there is something to do, a second line follows,
//!   which begins with `hint: `. Nothing follows after them.
//! - On a terminal `list` and the help have colours; `NO_COLOR` switches them off.
//! - It is no failure if the reader closes stdout early (`| head`).
//! - All text is printable ([`crate::base::text`]): names, headers and answers of servers are
//!   not trusted. Only a recovered secret leaves as it is, unless it is shown on a terminal.
//!
//! Not here: progress bars (`services::progress`), which draw on a terminal only.

pub mod lines;
pub mod nagios;
mod result;
pub mod table;
pub mod usage;

pub use result::CommandResult;

use crate::app::cli::{Global, LogFormat};
use crate::base::error::{Error, Kind};
use crate::base::secret::Secret;
use crate::base::text::{one_line, printable_json};
use lines::Lines;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// The output settings of a run.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
    quiet: bool,
    format: LogFormat,
}

impl Output {
    /// Sets up output and logging to stderr. Call it once.
    pub fn start(global: &Global, json: bool) -> Self {
        let level = match (global.quiet, global.verbose) {
            (true, _) => Level::ERROR,
            (_, 0) => Level::WARN,
            (_, 1) => Level::INFO,
            _ => Level::DEBUG,
        };
        let layer = LogLines { format: global.log_format, level };
        // A second call (tests in one process) keeps the first subscriber.
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer));
        Self { json, quiet: global.quiet, format: global.log_format }
    }

    /// Returns `true` if `--json` was given.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Returns `true` if a person is watching, who wants progress and closing lines.
    pub fn is_watched(self) -> bool {
        !self.quiet && self.format == LogFormat::Text && io::stderr().is_terminal()
    }

    /// Prints a result on stdout.
    ///
    /// # Errors
    /// Those of the operating system, except for a closed pipe.
    pub fn result(self, text: &Lines) -> io::Result<()> {
        to_stdout(text.as_str())
    }

    /// Prints a recovered secret, a JSON value, on stdout: as it is, or on a terminal with the
    /// escapes of JSON for characters that act on the terminal.
    ///
    /// # Errors
    /// As [`Output::result`].
    pub fn secret(self, secret: &Secret) -> io::Result<()> {
        match io::stdout().is_terminal() {
            true => to_stdout(&printable_json(secret.expose()))?,
            false => to_stdout(secret.expose())?,
        }
        to_stdout("\n")
    }

    /// Prints the run's JSON document.
    ///
    /// # Errors
    /// As [`Output::result`].
    pub fn document(value: &Value) -> io::Result<()> {
        to_stdout(&printable_json(&format!("{value:#}\n")))
    }

    /// Prints lines on stderr, on a terminal or not.
    pub fn note(self, lines: impl Into<Lines>) {
        if !self.quiet {
            to_stderr(lines.into().as_str());
        }
    }

    /// Prints a closing line to a person who is watching, and otherwise only with `-v`.
    pub fn closing(self, line: &str) {
        if self.is_watched() && !self.json {
            to_stderr(&format!("{}\n", one_line(line)));
        } else {
            tracing::info!("{line}");
        }
    }

    /// Prints the error of a failed run; with `--json` also a document with the results
    /// that were noted until then.
    pub fn failure(self, error: &Error, noted: Map<String, Value>) {
        if self.json {
            let mut document = Value::Object(noted);
            document["error"] = failure(error);
            // The failure of the run is the one to report.
            let _ = Self::document(&document);
        }
        to_stderr(&failure_lines(self.format, error));
    }

    /// Prints an error of a run without settings.
    pub fn error(error: &Error) {
        to_stderr(&failure_lines(LogFormat::Text, error));
    }

    /// Prints an audit line that could not be appended to the audit log.
    pub fn stray_audit_line(self, text: &str) {
        to_stderr(&format!("{}\n", printable_json(text)));
    }
}

/// Returns `value` as JSON. It must be of a type that always serializes.
pub fn json_value(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// Returns the JSON form of a failure.
pub fn failure(error: &Error) -> Value {
    let (code, class) = (error.kind().code(), class(error.kind()));
    json!({ "exit_code": code, "class": class, "message": error.message(), "hint": error.next_step() })
}

/// Returns a failure as lines for stderr: with text logs the hint is a second line, with
/// JSON logs a key.
fn failure_lines(format: LogFormat, error: &Error) -> String {
    let failed = line(format, "error", &error.message(), error.next_step());
    match (format, error.next_step()) {
        (LogFormat::Text, Some(hint)) => format!("{failed}hint: {hint}\n"),
        _ => failed,
    }
}

fn class(kind: Kind) -> String {
    format!("{kind:?}").to_lowercase()
}

/// Formats a number of bytes in a suitable unit: `1.4 GiB`.
pub fn bytes(n: u64) -> String {
    indicatif::BinaryBytes(n).to_string()
}

/// Formats a duration in its two largest units: `3 d 4 h`, `12 m 3 s`, `0.8 s`.
pub fn duration(d: std::time::Duration) -> String {
    let s = d.as_secs();
    match s {
        0..=9 => format!("{:.1} s", d.as_secs_f64()),
        10..=59 => format!("{s} s"),
        60..=3_599 => format!("{} m {} s", s / 60, s % 60),
        3_600..=86_399 => format!("{} h {} m", s / 3_600, s % 3_600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
    }
}

fn line(format: LogFormat, level: &str, message: &str, hint: Option<String>) -> String {
    match format {
        LogFormat::Text => format!("vault-backup: {level}: {message}\n"),
        LogFormat::Json => {
            let timestamp = crate::formats::manifest::rfc3339(chrono::Utc::now());
            let mut line = json!({ "timestamp": timestamp, "level": level, "message": message });
            if let Some(hint) = hint {
                line["hint"] = hint.into();
            }
            printable_json(&format!("{line}\n")).into_owned()
        }
    }
}

/// Writes to stdout. A closed pipe is not a failure.
fn to_stdout(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

fn to_stderr(text: &str) {
    // One write for each line, so that lines of several processes do not mix.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Writes our own log events as lines. Events of libraries are left out, because they may
/// show the data that they send.
struct LogLines {
    format: LogFormat,
    level: Level,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.level() <= &self.level && metadata.target().starts_with("vault_backup")
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = LogMessage(String::new());
        event.record(&mut message);
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "info",
            _ => "debug",
        };
        to_stderr(&line(self.format, level, &one_line(&message.0), None));
    }
}

struct LogMessage(String);

impl Visit for LogMessage {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = if field.name() == "message" {
            write!(self.0, "{value:?}")
        } else {
            write!(self.0, " {}={value:?}", field.name())
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn quantities() {
        assert_eq!(bytes(1_500_000_000), "1.40 GiB");
        let said = [0.84, 42.0, 200.0, 7_300.0, 200_000.0].map(|s| duration(Duration::from_secs_f64(s)));
        assert_eq!(said, ["0.8 s", "42 s", "3 m 20 s", "2 h 1 m", "2 d 7 h"]);
    }

    #[test]
    fn a_failure_as_json_is_one_object() {
        let error = Error::integrity("s3://b/o: \"x\"").hint("choose another backup");
        let value = failure(&error);
        assert_eq!(value["exit_code"], 5);
        assert_eq!(value["class"], "integrity");
        assert_eq!((&value["message"], &value["hint"]), (&json!("s3://b/o: \"x\""), &json!("choose another backup")));
        assert_eq!(failure(&Error::integrity("x"))["hint"], Value::Null);
        assert_eq!(failure_lines(LogFormat::Json, &error).lines().count(), 1);
        let text = "vault-backup: error: s3://b/o: \"x\"\nhint: choose another backup\n";
        assert_eq!(failure_lines(LogFormat::Text, &error), text);
    }
}

//! Help, version and usage errors, as clap renders them.

use super::{Output, failure, failure_lines, to_stderr};
use crate::app::cli::{Cli, LogFormat, breakable};
use crate::base::error::{Error, Kind};
use crate::base::text::row;
use clap::{CommandFactory, Parser};
use serde_json::json;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::process::ExitCode;

/// Prints help and version on stdout, and a usage error on stderr. `args` are the arguments
/// that could not be parsed: with `--json` among them, an error is a document on stdout, too.
pub fn print(error: &clap::Error, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    if !error.use_stderr() {
        let text = breakable(&error.render().ansi().to_string());
        // It is no failure if the reader closed the pipe early.
        let _ = anstream::stdout().write_all(text.as_bytes());
        return ExitCode::SUCCESS;
    }
    let args: Vec<_> = args.into_iter().collect();
    let printable = printable_error(error, &args);
    let error = printable.as_ref().unwrap_or(error);
    let text = breakable(&error.render().ansi().to_string());
    let args: Vec<_> = args.into_iter().take_while(|arg| arg != "--").collect();
    let usage = usage_error(&breakable(&error.render().to_string()));
    if args.iter().any(|arg| arg == "--json") {
        let _ = Output::document(&json!({ "error": failure(&usage) }));
    }
    let json_logs = args.windows(2).any(|two| two[0] == "--log-format" && two[1] == "json");
    if json_logs || args.iter().any(|arg| arg == "--log-format=json") {
        to_stderr(&failure_lines(LogFormat::Json, &usage));
    } else {
        let _ = anstream::stderr().write_all(text.as_bytes());
    }
    Kind::Usage.code().into()
}

/// Returns `error` again, about printable arguments: a file name in them may be another user's, and
/// clap repeats them as they are. `None` if all of `args` are printable.
fn printable_error(error: &clap::Error, args: &[OsString]) -> Option<clap::Error> {
    let shown = |arg: &OsString| row(&arg.to_string_lossy());
    let harmless = |arg: &OsString| arg.to_str().is_some_and(|text| row(text) == text);
    if args.iter().all(harmless) {
        return None;
    }
    let name = OsStr::new("vault-backup").to_owned();
    let again = Cli::try_parse_from(std::iter::once(name).chain(args.iter().map(|arg| shown(arg).into())));
    // Without such characters, the arguments may be valid.
    let unshown = || Cli::command().error(error.kind(), "an argument is invalid, and it is not printable text");
    Some(again.err().filter(clap::Error::use_stderr).unwrap_or_else(unshown))
}

/// Returns clap's `text` as an error: its first paragraph, and its tip as the hint.
fn usage_error(text: &str) -> Error {
    let command = text.split_once("Usage: vault-backup ").and_then(|(_, usage)| usage.split_whitespace().next());
    let command = command.filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()));
    let see_help = format!("see `vault-backup {}--help`", command.map(|c| format!("{c} ")).unwrap_or_default());
    let Some(text) = text.strip_prefix("error: ") else { return Error::usage("no command given").hint(see_help) };
    let mut paragraphs = text.split("\n\n").map(str::trim);
    let message = paragraphs.next().unwrap_or_default();
    let tip = paragraphs.find_map(|paragraph| paragraph.strip_prefix("tip: "));
    Error::usage(message).hint(tip.unwrap_or(&see_help))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> (String, Option<String>) {
        let error = Cli::try_parse_from(["vault-backup"].iter().chain(args)).unwrap_err();
        let error = usage_error(&error.render().to_string());
        (error.message(), error.next_step())
    }

    #[test]
    fn usage_errors_have_a_message_and_a_hint() {
        let (message, hint) = parsed(&["bakcup"]);
        assert_eq!(message, "unrecognized subcommand 'bakcup'");
        assert_eq!(hint.as_deref(), Some("a similar subcommand exists: 'backup'"));
        let (message, hint) = parsed(&["decrypt"]);
        assert!(message.starts_with("the following required arguments were not provided: <"), "{message}");
        assert_eq!(hint.as_deref(), Some("see `vault-backup decrypt --help`"));
        assert_eq!(parsed(&[]).0, "no command given");
    }
}

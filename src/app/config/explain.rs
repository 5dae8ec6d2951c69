//! Reads the configuration file and words its errors: file, line, key, allowed values.
//!
//! Values are never repeated: a value in the wrong place may be a secret.

use super::file::File;
use crate::base::error::{Error, Result};
use crate::base::regular_file;
use crate::base::trusted_file::{self, Protection};
use std::io::Read;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Reads the file at `path`; `None` if it does not exist.
pub(super) fn read(path: &Path) -> Result<Option<File>> {
    // The usual way to say that there is no configuration; any other device is refused.
    if path == Path::new("/dev/null") {
        return Ok(Some(File::default()));
    }
    let unreadable =
        |e: std::io::Error| Error::usage(format!("configuration {}: cannot be read", path.display())).because(e);
    let mut file = match regular_file::open_or_inherited_pipe(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(unreadable(e)),
    };
    // A pipe that this process was started with has no other users.
    if file.metadata().map_err(unreadable)?.is_file() {
        Protection::Fixed.check("configuration", path, &file)?;
        trusted_file::check_directory("configuration", path)?;
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(unreadable)?;
    let text = std::str::from_utf8(&bytes).map_err(|e| {
        let line = line_of(&bytes, e.valid_up_to());
        Error::usage(format!("{}:{line}: not UTF-8", path.display()))
    })?;
    parse(path, text).map(Some)
}

/// Parses `text`, the content of `path`.
pub(super) fn parse(path: &Path, text: &str) -> Result<File> {
    toml::from_str(text).map_err(|e| explain(path, text, &e))
}

fn explain(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    let offset = error.span().map_or(0, |span| span.start);
    let at = format!("{}:{}", path.display(), line_of(text.as_bytes(), offset));
    match DeTable::parse(text) {
        Err(_) => Error::usage(format!("{at}: not TOML: {}", error.message())),
        Ok(table) => complaint(&at, &key_at(table.get_ref(), offset), error.message()),
    }
}

fn line_of(text: &[u8], offset: usize) -> usize {
    text.iter().take(offset).filter(|&&b| b == b'\n').count() + 1
}

/// Returns the dotted key whose name or value is at `offset`; empty if there is none.
fn key_at(table: &DeTable<'_>, offset: usize) -> String {
    path_at(table, offset).unwrap_or_default().join(".")
}

fn path_at(table: &DeTable<'_>, offset: usize) -> Option<Vec<String>> {
    table.iter().find_map(|(key, value)| {
        // The deepest key is wanted, and the span of a table is only its header.
        let below = path_within(value, offset);
        let here = || (key.span().contains(&offset) || value.span().contains(&offset)).then(Vec::new);
        let mut path = below.or_else(here)?;
        path.insert(0, key.get_ref().to_string());
        Some(path)
    })
}

fn path_within(value: &Spanned<DeValue<'_>>, offset: usize) -> Option<Vec<String>> {
    match value.get_ref() {
        DeValue::Table(table) => path_at(table, offset),
        DeValue::Array(items) => items.iter().find_map(|item| path_within(item, offset)),
        _ => None,
    }
}

/// Words serde's `message` about `key`. Serde's messages are fixed; tests pin them. In our own
/// messages, the hint is the second line.
fn complaint(at: &str, key: &str, message: &str) -> Error {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let error = |what: &str| Error::usage(format!("{at}: {key}: {what}"));
    if message.starts_with("unknown field") {
        let given = quoted.next().unwrap_or_default();
        return error("unknown key").hint(suggestion(given, &quoted.collect::<Vec<_>>()));
    }
    if message.starts_with("unknown variant") {
        let given = quoted.next().unwrap_or_default();
        return error("unknown value").hint(suggestion(given, &quoted.collect::<Vec<_>>()));
    }
    if message.starts_with("missing field") {
        return error(&format!("needs the key {}", quoted.next().unwrap_or_default()));
    }
    match message.rsplit_once("expected ") {
        Some((_, "a sequence")) if key == "notify" => error("must be sections of the form [[notify]]"),
        Some((_, expected)) => error(&format!("must be {}", in_words(expected))),
        None if message.starts_with("wanted string") => error(&format!("must be {}", in_words("a string"))),
        None => match message.split_once('\n') {
            Some((what, hint)) => error(what).hint(hint),
            None => error(message),
        },
    }
}

fn suggestion(given: &str, known: &[&str]) -> String {
    let allowed = known.join(", ");
    match nearest(given, known) {
        Some(nearest) => format!("did you mean {nearest}? allowed: {allowed}"),
        None => format!("allowed: {allowed}"),
    }
}

/// Returns the known name that is most similar to `given`, if any is similar.
fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    const SIMILAR: f64 = 0.7;
    let similarity = |name: &str| strsim::jaro(given, name);
    known.iter().copied().filter(|n| similarity(n) > SIMILAR).max_by(|a, b| similarity(a).total_cmp(&similarity(b)))
}

fn in_words(expected: &str) -> &str {
    match expected {
        "a string" | "path string" => "text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list in brackets",
        "i64" => "a whole number",
        _ if expected.starts_with("struct ") => "a section",
        other => other,
    }
}

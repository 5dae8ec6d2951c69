//! What is wrong with a configuration file: file, line, key, and what is allowed.
//!
//! Here: reading the file, and turning serde's words into ours. Values are never
//! repeated: one may be a secret in the wrong place. Not here: the schema (`file`).

use super::file::File;
use crate::base::error::{Error, Result};
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Reads the file at `path`; `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<File>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::usage(format!("configuration {}: cannot be read", path.display())).because(e)),
    };
    let text = std::str::from_utf8(&bytes).map_err(|e| {
        let line = line_of(&bytes, e.valid_up_to());
        Error::usage(format!("{}:{line}: not UTF-8", path.display()))
    })?;
    parse(path, text).map(Some)
}

/// Reads `text`, which came from `path`.
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

/// The dotted key whose name or value stands at `offset`; empty if none does.
fn key_at(table: &DeTable<'_>, offset: usize) -> String {
    path_at(table, offset).unwrap_or_default().join(".")
}

fn path_at(table: &DeTable<'_>, offset: usize) -> Option<Vec<String>> {
    table.iter().find_map(|(key, value)| {
        // Within first: the deepest key is wanted, and a table's own span is its header alone.
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

/// Our sentence for serde's `message` on `key`. Serde's are fixed, and tests pin them.
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
        None => error(message),
    }
}

fn suggestion(given: &str, known: &[&str]) -> String {
    let allowed = known.join(", ");
    match nearest(given, known) {
        Some(nearest) => format!("did you mean {nearest}? allowed: {allowed}"),
        None => format!("allowed: {allowed}"),
    }
}

/// The known name that is most like `given`, if one is like it at all.
fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    const ALIKE: f64 = 0.7;
    let likeness = |name: &str| strsim::jaro(given, name);
    known.iter().copied().filter(|n| likeness(n) > ALIKE).max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
}

fn in_words(expected: &str) -> &str {
    match expected {
        "a string" | "path string" => "text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list in brackets",
        "i64" => "a whole number",
        _ if expected.starts_with("struct ") => "a section of its own",
        other => other,
    }
}

//! docs/schema: JSON Schemas of the configuration and of the output of each command.

mod config;
pub mod output;

use super::{project, read};
use serde_json::Value;

/// Asserts that `path` is `document`. `UPDATE_GOLDEN=1` writes it.
#[track_caller]
fn assert_current(path: &str, document: &Value) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(project(path), format!("{document:#}\n")).unwrap();
    }
    let stored: Value = serde_json::from_str(&read(path)).unwrap();
    assert!(stored == *document, "{path} is not current: run this test with UPDATE_GOLDEN=1");
}

/// Returns a function that validates documents by `schema`.
fn validator(schema: &Value) -> impl Fn(&Value) -> Result<(), String> + use<> {
    let validator = jsonschema::validator_for(schema).unwrap();
    move |document| {
        let errors: Vec<_> =
            validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect();
        if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) }
    }
}

//! The schemas of the output of each command. [`check`] also validates every JSON document
//! that any test reads from the tool.

use super::validator;
use crate::docs::{project, read};
use crate::support::place::Place;
use crate::support::tool::tool;
use serde_json::{Value, json};

/// Returns the schema of a command's output, if any, as tests apply it: unlike readers of the
/// output they accept no unknown keys, so that a new key is added to the schema, too.
fn schema(command: &str) -> Option<Value> {
    let path = format!("docs/schema/{command}.json");
    if command == "common" || command == "config" || !project(&path).exists() {
        return None;
    }
    // One document, because a validator would have to look for the other file.
    let text = read(&path).replace("common.json#", "#");
    let mut schema: Value = serde_json::from_str(&text).unwrap();
    let common: Value = serde_json::from_str(&read("docs/schema/common.json")).unwrap();
    schema["$defs"] = common["$defs"].clone();
    forbid_unknown_keys(&mut schema);
    Some(schema)
}

fn forbid_unknown_keys(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.contains_key("properties") && map.contains_key("type") {
                map.entry("additionalProperties").or_insert(false.into());
            }
            map.values_mut().for_each(forbid_unknown_keys);
        }
        Value::Array(items) => items.iter_mut().for_each(forbid_unknown_keys),
        _ => {}
    }
}

/// Validates the output of the tool after `line`, its command line.
///
/// # Errors
/// Every violation of the command's schema.
pub fn check(line: &str, document: &Value) -> Result<(), String> {
    let words: Vec<_> = line.split_whitespace().collect();
    let is_tool = words.iter().any(|word| word.ends_with("/vault-backup"));
    if !is_tool || !words.contains(&"--json") {
        return Ok(());
    }
    match words.iter().find_map(|word| schema(word)) {
        Some(schema) => validator(&schema)(document),
        None => Ok(()),
    }
}

#[test]
fn every_command_with_json_has_a_schema() {
    let help = tool().arg("--help").run().text();
    let (_, commands) = help.split_once("\nCommands:\n").unwrap();
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let names: Vec<_> = commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
    let mut checked = 0;
    for name in names.into_iter().filter(|name| !name.is_empty() && *name != "help") {
        if tool().args([name, "--help"]).run().text().contains("--json") {
            // `list --json` in an example is enough: then it has the flag.
            assert!(schema(name).is_some(), "no schema of {name} --json");
            checked += 1;
        }
    }
    assert!(checked >= 8, "{checked}");
}

#[test]
fn the_output_of_each_command_has_the_keys_of_its_schema() {
    let place = Place::directory();
    let object = place.backup()["object"].as_str().unwrap().to_owned();
    for args in [
        &["backup", "--json", "--prune", "--kind", "monthly"][..],
        &["list", "--json"],
        &["status", "--json"],
        &["prune", "--json", "--dry-run"],
        &["prune", "--json"],
        &["inspect", "--json", &object],
        &["doctor", "--json"],
        &["verify-restore", "--json"],
        &["inspect", "--json", "missing.enc"],
    ] {
        // `json` validates.
        assert!(place.tool().args(args).run().json().is_object());
    }
}

#[test]
fn a_document_with_other_keys_is_refused() {
    let line = "/bin/vault-backup status --json";
    let newest = json!({ "newest_good": null, "good": 0, "count": 0 });
    let mut document = json!({
        "fresh": true, "stale": [], "daily": newest, "monthly": newest, "newest_drill": null,
        "size_bytes": 0, "anomalies": [], "other_cluster": 0,
    });
    check(line, &document).unwrap();
    document["more"] = 1.into();
    assert!(check(line, &document).unwrap_err().contains("more"));
    document.as_object_mut().unwrap().remove("more");
    document.as_object_mut().unwrap().remove("fresh");
    assert!(check(line, &document).unwrap_err().contains("fresh"));
    let error = json!({ "error": { "exit_code": 4, "class": "store", "message": "s3://b: denied", "hint": null } });
    check(line, &error).unwrap();
    assert!(check(line, &json!({ "error": { "exit_code": 4 } })).is_err());
}

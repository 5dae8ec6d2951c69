//! docs/schema/config.json, generated from examples/config.toml, which names every key, and
//! from the answers of the parser, which knows the allowed keys and values.

use super::{assert_current, validator};
use crate::docs::read;
use serde_json::{Map, Value, json};
use vault_backup::app::config::{Config, Overrides};

/// A key of examples/config.toml.
struct Key<'a> {
    section: &'a str,
    name: &'a str,
    /// The default or an example, in TOML.
    value: &'a str,
    is_default: bool,
    description: &'a str,
}

/// Returns all keys of the example, in its order.
fn keys(example: &str) -> Vec<Key<'_>> {
    let (mut section, mut keys) = ("", Vec::new());
    for line in example.lines() {
        let header = line.trim_start_matches("# ");
        if header.starts_with('[') {
            section = header.trim_matches(['[', ']']);
        } else if let Some((name, rest)) = line.trim_start_matches(['#', ' ']).split_once(" = ") {
            let is_key = !section.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            let (value, description) = rest.split_once(" # ").unwrap_or((rest, ""));
            if is_key && line.starts_with('#') {
                let is_default = !line.starts_with("# ");
                keys.push(Key { section, name, value: value.trim(), is_default, description: description.trim() });
            }
        }
    }
    keys
}

fn from_toml(value: &str) -> Value {
    toml::from_str::<Value>(&format!("value = {value}")).unwrap()["value"].take()
}

/// Returns the message with which the parser refuses `text`, if it does.
fn refusal(text: &str) -> Option<String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let overrides = Overrides { config: Some(file.path().to_owned()), ..Default::default() };
    Config::load(&overrides, &|_| None).err().map(|error| error.to_string())
}

/// Returns the header of a section in TOML.
fn header(section: &str) -> String {
    if section == "notify" { "[[notify]]".to_owned() } else { format!("[{section}]") }
}

/// Returns the names that the parser allows instead of an unknown one in `text`.
fn allowed(text: &str) -> Option<Vec<String>> {
    let message = refusal(text)?;
    let (_, names) = message.split_once("allowed: ")?;
    message.contains(": unknown ").then(|| names.split(", ").map(str::to_owned).collect())
}

/// Returns the schema of the type of `value`.
fn type_of(key: &Key<'_>, value: &Value) -> Value {
    let probe = |written: &str| allowed(&format!("{}\n{} = {written}\n", header(key.section), key.name));
    match value {
        Value::Bool(_) => json!({ "type": "boolean" }),
        Value::Number(_) => json!({ "type": "integer", "minimum": 0 }),
        Value::Array(_) => {
            let mut items = json!({ "type": "string", "minLength": 1 });
            if let Some(names) = probe("[\"no such value\"]") {
                items["enum"] = names.into();
            }
            if let Some(names) = probe("[{ no_such_key = 1 }]") {
                let properties: Map<_, _> = names.into_iter().map(|name| (name, items.clone())).collect();
                let table = json!({ "type": "object", "additionalProperties": false, "properties": properties });
                items = json!({ "anyOf": [items, table] });
            }
            json!({ "type": "array", "items": items })
        }
        Value::Object(_) => {
            let list = json!({ "type": "array", "items": { "type": "string", "minLength": 1 } });
            json!({ "type": "object", "additionalProperties": list })
        }
        _ => match probe("\"no such value\"") {
            Some(names) => json!({ "type": "string", "enum": names }),
            None => json!({ "type": "string", "minLength": 1 }),
        },
    }
}

fn schema() -> Value {
    let example = read("examples/config.toml");
    let section = || json!({ "type": "object", "additionalProperties": false, "properties": {} });
    let mut root = section();
    for key in keys(&example) {
        let value = from_toml(key.value);
        let mut schema = type_of(&key, &value);
        schema["description"] = key.description.into();
        schema[if key.is_default { "default" } else { "examples" }] =
            if key.is_default { value } else { json!([value]) };
        let mut parent = &mut root;
        for name in key.section.split('.') {
            let known = &mut parent["properties"][name];
            if known.is_null() {
                *known = section();
            }
            parent = known;
        }
        parent["properties"][key.name] = schema;
    }
    let notify = root["properties"]["notify"].take();
    root["properties"]["notify"] = json!({ "type": "array", "items": notify });
    root["properties"]["notify"]["items"]["required"] = json!(["type", "url"]);
    root["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    root["title"] = "Configuration of vault-backup".into();
    root
}

/// Returns the schema of a section.
fn part<'a>(schema: &'a Value, section: &str) -> &'a Map<String, Value> {
    let step = |parent: &'a Value, name| &parent["properties"][name];
    let found = section.split('.').filter(|name| !name.is_empty()).fold(schema, step);
    let found = if found["items"].is_object() { &found["items"] } else { found };
    found["properties"].as_object().unwrap()
}

#[test]
fn the_schema_is_current() {
    assert_current("docs/schema/config.json", &schema());
}

#[test]
fn the_schema_has_the_keys_that_the_parser_allows() {
    let schema = schema();
    let sections: std::collections::BTreeSet<_> =
        keys(&read("examples/config.toml")).iter().map(|key| key.section.to_owned()).collect();
    assert!(sections.len() > 10, "{sections:?}");
    for section in sections.iter().map(String::as_str).chain([""]) {
        let header = if section.is_empty() { String::new() } else { header(section) };
        let required = if section == "notify" { "type = \"webhook\"\nurl = \"https://example.com\"\n" } else { "" };
        let mut known = allowed(&format!("{header}\n{required}no_such_key = 1\n")).unwrap();
        known.sort();
        let listed: Vec<_> = part(&schema, section).keys().cloned().collect();
        assert_eq!(listed, known, "[{section}]");
    }
}

#[test]
fn the_schema_accepts_the_example_and_refuses_mistakes() {
    let schema = validator(&schema());
    let mut text = String::new();
    let example = read("examples/config.toml");
    let mut section = "";
    for key in keys(&example) {
        if key.section != section {
            section = key.section;
            text += &format!("{}\n", header(section));
        }
        text += &format!("{} = {}\n", key.name, key.value);
    }
    let document = |text: &str| toml::from_str::<Value>(text).unwrap();
    schema(&document(&text)).unwrap();
    for mistake in [
        "[store]\nurll = \"s3://bucket\"",
        "[vualt]\n",
        "[retention]\ndaily_days = \"thirty\"",
        "[vault]\naddresses = \"https://vault.example.com\"",
        "[vault.auth]\nmethod = \"password\"",
        "[[notify]]\ntype = \"webhook\"",
        "[staging]\nseal_after = \"yes\"",
        "[encryption]\nold_keys = [{ kye = \"/k\" }]",
    ] {
        assert!(schema(&document(mistake)).is_err() && refusal(mistake).is_some(), "{mistake}");
    }
}

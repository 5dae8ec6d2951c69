//! docs/operations.md.

use super::markdown::{blocks, section};
use super::{read, shell};
use crate::support::tool::tool;
use std::collections::BTreeSet;
use vault_backup::app::config::{Config, Overrides};
use vault_backup::formats::crypto::Key;

fn operations() -> String {
    read("docs/operations.md")
}

#[test]
fn configurations_in_operations_are_accepted() {
    let configs = blocks(&operations(), "toml");
    assert!(configs.len() > 3);
    for config in configs {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &config).unwrap();
        let overrides = Overrides { config: Some(file.path().to_owned()), ..Default::default() };
        if let Err(error) = Config::load(&overrides, &|_| None) {
            panic!("{error}\n{config}");
        }
    }
}

#[test]
fn policies_in_operations_are_json() {
    let policies = blocks(&operations(), "json");
    assert!(!policies.is_empty());
    for policy in policies {
        serde_json::from_str::<serde_json::Value>(&policy).unwrap();
    }
}

/// The rows are those of the policies in examples/iam, except for the KMS key's.
#[test]
fn operations_list_the_permissions_of_each_role() {
    let actions = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != ':');
        words.filter(|word| word.starts_with("s3:")).map(str::to_owned).collect()
    };
    let operations = operations();
    let rows: Vec<_> =
        section(&operations, "Split roles").lines().filter(|line| line.contains("`s3:ListBucket`")).collect();
    for role in ["backup", "prune", "drill", "restore"] {
        let row = rows.iter().find(|row| row.starts_with(&format!("| {role} |"))).expect(role);
        let mut allowed = actions(&read(&format!("examples/iam/{role}.json")));
        allowed.remove("s3:prefix"); // a condition's key
        assert_eq!(actions(row), allowed, "{role}");
    }
}

/// Every number at the start of a line, `130, 143` being two.
fn codes<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeSet<u8> {
    lines.flat_map(|line| line.split(',').map_while(|text| text.trim().parse().ok())).collect()
}

#[test]
fn operations_explain_every_exit_code() {
    let operations = operations();
    let rows = section(&operations, "When something fails").lines().filter_map(|line| line.strip_prefix("| "));
    let explained = codes(rows.filter_map(|row| row.split(" | ").next()));
    let help = tool().arg("--help").run();
    let (_, listed) = help.ok().text().split_once("Exit codes:\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let mut listed = codes(listed.lines().filter_map(|line| line.trim().split("  ").next()));
    assert!(listed.remove(&0) && listed.len() > 10);
    assert_eq!(explained, listed);
}

#[test]
fn manifest_key_is_derived_as_documented() {
    let [script] = blocks(section(&operations(), "Split roles"), "sh").try_into().unwrap();
    let key = Key::generate().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{}\n", key.to_hex().expose())).unwrap();
    let output = shell(&script.replace("/etc/vault-backup/key", file.path().to_str().unwrap())).run();
    let derived = std::fs::read_to_string(output.code(0).home().join("manifest-key")).unwrap();
    assert_eq!(derived.trim_end(), hex::encode(key.mac_key().manifest.as_slice()));
}

//! Invalid configurations: errors name file, line and key, and never a value.

use crate::support::place::Place;
use crate::support::tool::{Output, tool};
use serde_json::json;
use std::path::Path;

/// The content of a file, with a value that must not be printed, and the expected error.
const FILES: [(&str, &str); 9] = [
    ("[store]\nurll = \"pl4nted\"", "config.toml:2: store.urll: unknown key\nhint: did you mean url?"),
    ("[vualt]\naddresses = [\"pl4nted\"]", "config.toml:1: vualt: unknown key\nhint: did you mean vault?"),
    ("[retention]\ndaily_days = \"pl4nted\"", "config.toml:2: retention.daily_days: must be a whole number"),
    ("[vault]\naddresses = \"pl4nted\"", "config.toml:2: vault.addresses: must be a list in brackets"),
    ("[run]\ndeadline = \"pl4nted\"", "config.toml:2: run.deadline: must be a duration"),
    ("[vault.auth]\ntoken = \"hvs.pl4nted\"", "config.toml:2: vault.auth.token: "),
    (
        "[encryption]\nkey = \"5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a\"",
        "config.toml:2: encryption.key: ",
    ),
    ("[store]\nurl = \"s3://AKIA:pl4nted@bucket\"", "config.toml:2: store.url: "),
    ("url = pl4nted", "config.toml:1: not TOML"),
];

const COMMANDS: [&[&str]; 5] = [
    &["backup"],
    &["prune"],
    &["list"],
    &["status"],
    &["decrypt", "daily/2025-01-01/vault-snapshot-20250101-020000.enc"],
];

fn run(config: &Path, command: &[&str]) -> Output {
    tool().arg("--config").arg(config).args(command).run()
}

#[test]
fn an_invalid_file_is_reported_by_line_and_key() {
    let dir = crate::support::process::temp_dir();
    let path = dir.path().join("config.toml");
    for ((text, says), command) in FILES.into_iter().zip(COMMANDS.into_iter().cycle()) {
        std::fs::write(&path, text).unwrap();
        let output = run(&path, command);
        output.fails(2, &[&format!("{}/{says}", dir.path().display())]).stdout_is("").leaves(&[]);
        output.never_says("pl4nted").never_says("5a5a5a5a");
    }
    std::fs::write(&path, b"[store]\nurl = \"\xff\"").unwrap();
    run(&path, COMMANDS[0]).fails(2, &["config.toml:2: not UTF-8"]);
}

#[test]
fn an_unreadable_file_is_reported() {
    let dir = crate::support::process::temp_dir();
    for command in COMMANDS {
        run(dir.path(), command).fails(2, &[&dir.path().display().to_string(), "cannot be read"]).leaves(&[]);
        run(&dir.path().join("none.toml"), command).fails(2, &["none.toml: there is no such file"]).leaves(&[]);
    }
    let variable = tool().env("VAULT_BACKUP_CONFIG", "/no/such/file").arg("list").run();
    variable.fails(2, &["/no/such/file: there is no such file"]);
}

/// Each missing setting is reported on its own, with the ways to set it.
#[test]
fn missing_settings_are_reported() {
    let place = Place::directory();
    let bare = |args: &[&str]| tool().args(args).run();
    bare(&["backup"]).fails(2, &["no backup key configured", "VAULT_BACKUP_KEY"]);
    for command in [&["list"][..], &["prune"], &["status"]] {
        bare(command).fails(2, &["no store configured\nhint: set store.url, VAULT_BACKUP_STORE or --store"]);
    }
    let with = |unset: &str| place.tool().env(unset, "").arg("backup").run();
    with("VAULT_BACKUP_STORE")
        .fails(2, &["no store configured: VAULT_BACKUP_STORE is set but empty\nhint: set store.url"]);
    with("VAULT_ADDR").fails(2, &["no Vault configured: VAULT_ADDR is set but empty\nhint: set vault.addresses, or"]);
    with("VAULT_TOKEN").fails(2, &["no Vault token: VAULT_TOKEN is set but empty", "vault.auth"]);
    place.assert_empty();
}

#[test]
fn an_invalid_store_url_is_reported_without_its_text() {
    for url in [
        "ftp://pl4nted",
        "s3://",
        "s3://user:pl4nted@bucket",
        "file://pl4nted/dir",
        "pl4nted",
        "s3://bucket/../pl4nted",
    ] {
        let output = tool().args(["list", "--store", url]).run();
        output.fails(2, &["--store: "]).never_says("pl4nted");
    }
    let path = tool().args(["list", "--store", "/tmp/x"]).run();
    path.fails(2, &["--store: must be s3://BUCKET", "hint: did you mean file:///tmp/x"]);
}

#[test]
fn errors_are_a_json_document_with_json() {
    let output = tool().args(["list", "--json", "--config", "/no/such/file"]).run();
    output.fails(2, &["/no/such/file"]);
    let error = &output.json()["error"];
    assert_eq!([&error["exit_code"], &error["class"]], [&json!(2), &json!("usage")]);
}

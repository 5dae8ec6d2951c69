//! README.md.

use super::markdown::{blocks, section};
use super::{project, read, shell};
use crate::support::s3::S3;
use crate::support::tool;
use crate::support::tool::{Tool, program};
use crate::support::vault::{self, Vault};
use serde_json::json;

#[test]
fn readme_commands_work_as_written() {
    let vault = Vault::start();
    vault.mount_kv("secret", 2);
    vault.put_secret("secret", "app", &json!({"password": "tour"}));
    let script = blocks(&read("README.md"), "sh").concat();
    let output = shell(&script).env("VAULT_ADDR", vault.address()).env("VAULT_TOKEN", vault.root_token()).run();
    output.code(0).stdout_contains("good");
    let snapshot = std::fs::read(output.home().join("vault.snap")).unwrap();
    let target = Vault::start();
    target.take_over(&vault, snapshot);
    let secret = target.get_secret_as(vault.root_token(), "secret", "app");
    assert_eq!(secret, Some(json!({"password": "tour"})));
}

/// The quickstart on the server of this test run.
fn quickstart() -> Tool {
    program(project("examples/quickstart.sh"))
        .env("VAULT_BACKUP_BIN", env!("CARGO_BIN_EXE_vault-backup"))
        .env("VAULT_BIN", vault::binary())
}

/// Also that it leaves nothing in `TMPDIR` and in `HOME`.
#[test]
fn quickstart_works_as_documented() {
    quickstart().run().code(0).stdout_contains("quickstart: success").leaves(&[]);
}

#[test]
fn quickstart_accepts_a_bucket_and_an_endpoint() {
    let s3 = S3::start();
    s3.bucket("quickstart");
    // An operator's own variables of clients do not lead it to another server.
    let elsewhere = "http://127.0.0.1:1";
    let tool = quickstart().envs(s3.env()).env("QUICKSTART_STORE", "s3://quickstart/some prefix");
    let output = tool.env("VAULT_ADDR", elsewhere).env("BAO_ADDR", elsewhere).run();
    output.code(0).stdout_contains("quickstart: success").leaves(&[]);
    let objects = s3.objects("quickstart");
    assert!(objects.iter().any(|name| name.starts_with("some prefix/daily/")), "{objects:?}");
}

#[test]
fn readme_exit_codes_are_those_of_the_help() {
    let readme = read("README.md");
    let said: Vec<_> = section(&readme, "Exit codes")
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "))
        .skip(2)
        .map(|(code, meaning)| (code.to_owned(), meaning.to_owned()))
        .collect();
    let help = tool().arg("--help").run();
    let (_, listed) = help.ok().text().split_once("Exit codes:\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let listed: Vec<_> = listed
        .lines()
        .filter_map(|line| line.trim().split_once("  "))
        .map(|(code, meaning)| (code.to_owned(), meaning.trim().to_owned()))
        .collect();
    assert!(said.len() > 10);
    assert_eq!(said, listed);
}

#[test]
fn configuration_in_readme_is_accepted() {
    let configs = blocks(&read("README.md"), "toml");
    assert!(!configs.is_empty());
    for config in configs {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config).unwrap();
        let overrides =
            vault_backup::app::config::Overrides { config: Some(file.path().to_owned()), ..Default::default() };
        vault_backup::app::config::Config::load(&overrides, &|_| None).unwrap();
    }
}

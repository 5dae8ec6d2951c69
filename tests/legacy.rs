//! Objects in the legacy format under any name: nothing in them says when they were made, so
//! they are read only if a person asks for it, or if the configuration ends their time.

mod standing;

use crate::drill::LOGIN;
use crate::support::fault::{FaultServer, Reply};
use crate::support::production::{CANARY, Site, seal_older};
use crate::support::snapshot::sha256;
use crate::support::tool::{Output, Tool, tool};
use vault_backup::base::secret::Secret;
use vault_backup::formats::crypto::Key;
use vault_backup::formats::manifest::{Manifest, VaultFacts, rfc3339};
use vault_backup::formats::naming::BackupName;

/// Names of both grammars and both kinds, around the date in the tests.
const NAMES: [&str; 4] = [
    "daily/2025-11-25/vault-snapshot-2025-11-25T23-59-59-999Z.enc",
    "daily/2025-11-25/vault-snapshot-20251125-235959.enc",
    "daily/2025-11-26/vault-snapshot-2025-11-26T00-00-00-000Z.enc",
    "monthly/2026-06/vault-snapshot-20260601-020000.enc",
];

/// The end of the legacy format: the first two names are before it.
const UNTIL: &str = "2025-11-26";

const REFUSED: &str = "in the legacy format, which is not allowed";

/// The tool with the shares, a staging server, and more lines of `[encryption]`. The canary has
/// no time, so that it may be in a backup with any name.
fn configured(site: &Site, staging: &str, encryption: &str) -> Tool {
    let config = site.file(
        "legacy.toml",
        format!(
            "[vault]\naddresses = [{:?}]\n[store]\nurl = {:?}\n[encryption]\nkey = \"env:KEY\"\n{encryption}\n\
             [staging]\naddress = {staging:?}\ntoken = \"env:ROOT\"\ncanary = \"old/canary\"\n{LOGIN}",
            site.production.vault.address(),
            site.store()
        )
        .as_bytes(),
    );
    site.production.armed(tool()).args(["--config", &config])
}

/// Every command that reads one backup; the last one only plans.
fn commands(site: &Site) -> Vec<Vec<String>> {
    let address = site.production.vault.address();
    [
        &["decrypt", "-o", "out.snap"][..],
        &["inspect"],
        &["verify-restore", "--offline"],
        &["recover", CANARY, "-o", "secret", "--from"],
        &["restore", "--unverified", "--force", "--dry-run", "--address", &address],
    ]
    .iter()
    .map(|args| args.iter().map(ToString::to_string).collect())
    .collect()
}

/// Runs `args` with the backup `input`.
fn run(site: &Site, encryption: &str, args: &[String], input: &str, more: &[&str]) -> Output {
    let tool = configured(site, "http://127.0.0.1:1", encryption).args(args).arg(input).args(more);
    tool.env("VAULT_TOKEN", site.production.vault.root_token()).run()
}

#[track_caller]
fn assert_refused(output: &Output, input: &str) {
    output.code(5).stdout_is("").leaves(&[]);
    output.stderr_contains(input).stderr_contains(REFUSED);
    output.stderr_contains("hint: if the previous service made it, give --legacy, or set encryption.legacy_until to");
}

fn date(until: &str) -> String {
    format!("legacy_until = {until:?}")
}

#[test]
fn a_renamed_legacy_backup_is_refused_by_every_command() {
    let site = Site::new();
    let legacy = seal_older(&site.production.key, &site.production.vault.snapshot());
    let staging = FaultServer::start(|_| Reply::status(500));
    for name in NAMES {
        site.put(name, &legacy);
        for args in commands(&site) {
            assert_refused(&run(&site, "", &args, name, &[]), name);
        }
        // Before anything is asked of the staging server.
        let output = configured(&site, staging.address(), "").args(["verify-restore", name]).run();
        assert_refused(&output, name);
    }
    assert!(staging.calls().is_empty());
    // Without a key the header is all that is read, and there is none.
    for command in ["decrypt", "inspect"] {
        assert_refused(&tool().args(["--store", &site.store(), command, NAMES[0]]).run(), NAMES[0]);
    }
    assert!(!site.names().iter().any(|name| name.ends_with(".drill.json") && name.contains("2025")));
    site.production.assert_untouched();
}

#[test]
fn the_flag_and_the_date_allow_the_legacy_format() {
    let site = Site::new();
    let legacy = seal_older(&site.production.key, &site.production.vault.snapshot());
    NAMES.iter().for_each(|name| site.put(name, &legacy));
    for (index, name) in NAMES.iter().enumerate() {
        for args in commands(&site) {
            run(&site, "", &args, name, &["--legacy"]).code(0);
            run(&site, &date("2020-01-01"), &args, name, &["--legacy"]).code(0);
            let output = run(&site, &date(UNTIL), &args, name, &[]);
            match index < 2 {
                true => drop(output.code(0)),
                false => assert_refused(&output, name),
            }
        }
    }
    // A file has no name that could be before the date.
    let file = site.file("vault-snapshot-20251125-235959.enc", &legacy);
    for args in commands(&site).iter().filter(|args| args[0] != "verify-restore") {
        assert_refused(&run(&site, &date("2030-01-01"), args, &file, &[]), &file);
        run(&site, "", args, &file, &["--legacy"]).code(0);
    }
    site.production.assert_untouched();
}

/// Also one that is signed with the right key and names the very bytes.
#[test]
fn a_backup_with_a_manifest_is_never_read_as_legacy() {
    let site = Site::new();
    let legacy = seal_older(&site.production.key, &site.production.vault.snapshot());
    let name = BackupName::parse(NAMES[1]).unwrap();
    let signed = |hex: &str| {
        let key = Key::from_hex(&Secret::new(hex)).unwrap();
        let manifest = Manifest {
            object: name.object().to_owned(),
            size_bytes: legacy.len() as u64,
            sha256: sha256(&legacy),
            plaintext_size_bytes: None,
            plaintext_sha256: None,
            created_at: rfc3339(name.created_at()),
            backup_type: name.backup_type(),
            key_id: key.id().to_owned(),
            run_id: None,
            vault: VaultFacts::default(),
            verification: None,
            tool: None,
        };
        manifest.to_bytes(&key.mac_key()).unwrap()
    };
    let stolen = site.get(&format!("{}.manifest.json", site.production.object));
    site.put(name.object(), &legacy);
    for manifest in [signed(&site.production.key), signed(&"6b1f".repeat(16)), stolen, b"{}".to_vec(), Vec::new()] {
        site.put(&name.manifest(), &manifest);
        for args in commands(&site) {
            let output = run(&site, &date("2030-01-01"), &args, name.object(), &["--legacy"]);
            output.code(5).stdout_is("").leaves(&[]).stderr_contains(name.object());
        }
    }
    // The good backup, replaced by a legacy one, with its own manifest.
    site.put(&site.production.object, &legacy);
    for args in commands(&site) {
        let output = run(&site, &date("2030-01-01"), &args, &site.production.object, &["--legacy"]);
        output.code(5).stdout_is("").leaves(&[]).stderr_contains(&site.production.object);
    }
}

#[test]
fn an_invalid_date_is_a_usage_error() {
    let site = Site::new();
    for value in ["\"2026-13-01\"", "\"2026-02-30\"", "\"yesterday\"", "\"\"", "\"2026\"", "2026", "true", "[]"] {
        for args in [&["decrypt", "latest"][..], &["list"], &["status"], &["backup"], &["verify-restore", "--offline"]]
        {
            let output = configured(&site, "http://127.0.0.1:1", &format!("legacy_until = {value}")).args(args).run();
            output.fails(2, &["legacy.toml:7: encryption.legacy_until: "]).stdout_is("").leaves(&[]);
        }
    }
}

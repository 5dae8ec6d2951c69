//! Keys that are not random: refused to encrypt, to sign and to delete, accepted with a warning
//! to read what was encrypted with them.

use crate::support::fault::{FaultServer, Reply};
use crate::support::place::Place;
use crate::support::production::seal;
use crate::support::site::key_id;
use crate::support::tool::tool;
use chrono::{SubsecRound, Utc};
use vault_backup::formats::crypto::{Header, SourceServer};

/// Returns constant keys, a short pattern, sequences and a padded key.
fn weak_keys() -> Vec<String> {
    let sequence = |step: u8| (0..32_u8).map(|n| format!("{:02x}", n.wrapping_mul(step))).collect::<String>();
    vec![
        "00".repeat(32),
        "ff".repeat(32),
        "5a".repeat(32),
        "deadbeef".repeat(8),
        "0123456789abcdef".repeat(4),
        sequence(1),
        sequence(255),
        format!("{}01", "00".repeat(31)),
        format!("{}{}", "c4a1f03b97d25e68013fbb74e8a9562d07f1", "00".repeat(14)),
    ]
}

#[test]
fn a_key_that_is_not_random_is_refused_before_any_request() {
    let place = Place::directory();
    let vault = FaultServer::start(|_| Reply::status(500));
    for key in weak_keys() {
        let with = |args: &[&str]| {
            place.tool().env("VAULT_ADDR", vault.address()).env("VAULT_BACKUP_KEY", &key).keeps([&key]).args(args)
        };
        let says = ["env:VAULT_BACKUP_KEY: the backup key is not random: ", "vault-backup keygen"];
        for command in [&["backup"][..], &["backup", "--prune"], &["prune"]] {
            with(command).run().fails(2, &says).stdout_is("").leaves(&[]);
        }
        with(&["keygen", "--manifest-key-of", "env:VAULT_BACKUP_KEY"]).run().fails(2, &says).stdout_is("").leaves(&[]);
        with(&["doctor"])
            .run()
            .code(2)
            .stdout_contains("FAILED   key            env:VAULT_BACKUP_KEY: the backup key is");

        for command in ["prune", "status"] {
            let tool = place.tool().env("VAULT_BACKUP_KEY", "").env("MANIFEST_KEY", &key).keeps([&key]);
            let config = "[encryption]\nmanifest_key = \"env:MANIFEST_KEY\"\n";
            std::fs::write(tool.home().join("config.toml"), config).unwrap();
            let output = tool.args([command, "--config", "config.toml"]).run();
            output.fails(2, &["env:MANIFEST_KEY: the manifest key is not random: ", "keygen --manifest-key-of"]);
        }
    }
    place.assert_empty();
}

#[test]
fn a_backup_under_a_key_that_is_not_random_stays_readable() {
    let place = Place::directory();
    let created_at = Utc::now().trunc_subsecs(0);
    for key in weak_keys() {
        let header =
            Header { key_id: key_id(&key), created_at, vault: SourceServer::default(), tool: "test/1".to_owned() };
        let tool =
            tool().env("KEY", &key).keeps([&key]).args(["decrypt", "./x.enc", "--key", "env:KEY", "-o", "x.snap"]);
        std::fs::write(tool.home().join("x.enc"), seal(&key, b"a snapshot", &header)).unwrap();
        let output = tool.run();
        output.code(0).leaves(&["x.enc", "x.snap"]);
        assert_eq!(std::fs::read(output.home().join("x.snap")).unwrap(), b"a snapshot");
        assert_eq!(output.stderr.matches("a key that is not random (").count(), 1, "{output:?}");
    }
    // As an old key it keeps its backups, and the new key encrypts.
    let tool = place.tool().env("OLD", "00".repeat(32));
    std::fs::write(tool.home().join("config.toml"), "[encryption]\nold_keys = [\"env:OLD\"]\n").unwrap();
    tool.args(["backup", "--config", "config.toml"]).run().code(0).stderr_is("");
}

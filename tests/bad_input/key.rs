//! Unusable keys: reported before any request is sent.

use crate::support::fault::{FaultServer, Reply};
use crate::support::place::Place;
use crate::support::site::key_id;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

/// Content and mode of a key file, and the expected error.
const FILES: [(&str, u32, &str); 8] = [
    ("", 0o600, "the file is empty"),
    ("\n", 0o600, "the file is empty"),
    ("5a5a5a", 0o600, "has 6 characters, not 64"),
    ("KEY0", 0o600, "has 65 characters, not 64"),
    ("z-instead-of-hex-z-instead-of-hex-z-instead-of-hex-z-instead-of-", 0o600, "not a hex digit"),
    ("KEY", 0o644, "accessible to all users (mode 0644)\nhint: run: chmod 0400"),
    ("KEY", 0o604, "accessible to all users"),
    ("KEY", 0o440, "accessible to its group"),
];

fn write(path: &Path, text: &str, mode: u32, key: &str) {
    std::fs::write(path, text.replace("KEY", key)).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    if mode & 0o070 != 0 && mode & 0o007 == 0 && rustix::process::geteuid().is_root() {
        // Root's own file may be read by the group of the process.
        chown(path, Some(12_345), None).unwrap();
    }
}

#[test]
fn an_unusable_key_file_is_reported() {
    let place = Place::s3();
    let name = place.backup()["object"].as_str().unwrap().to_owned();
    let before = place.names();
    let unused = FaultServer::start(|_| Reply::status(500));
    for (text, mode, says) in FILES {
        for (command, config) in
            [(&["backup"][..], true), (&["decrypt", &name], true), (&["decrypt", &name, "--key", "key"], false)]
        {
            let tool = place.tool().env("VAULT_BACKUP_KEY", "").env("VAULT_ADDR", unused.address());
            let key = tool.home().join("key");
            write(&key, text, mode, &place.site.key);
            std::fs::write(tool.home().join("config.toml"), format!("[encryption]\nkey = {key:?}\n")).unwrap();
            let tool = if config { tool.args(["--config", "config.toml"]) } else { tool };
            let output = tool.args(command).run();
            output
                .fails(2, &["key", says])
                .stdout_is("")
                .leaves(&["config.toml", "key"])
                .never_says("z-instead-of-hex");
        }
    }
    assert!(unused.calls().is_empty());
    assert_eq!(place.names(), before);
}

#[test]
fn a_missing_key_is_reported() {
    let place = Place::directory();
    let backup = || place.tool().arg("backup");
    for (variable, says) in
        [("", "no backup key configured"), ("5a5a", "env:VAULT_BACKUP_KEY: the backup key has 4 characters, not 64")]
    {
        backup().env("VAULT_BACKUP_KEY", variable).run().fails(2, &[says, "vault-backup keygen"]).leaves(&[]);
    }
    for (key, says) in [
        ("/no/such/key", "secret file:/no/such/key: cannot be read"),
        ("env:NO_SUCH_KEY", "secret env:NO_SUCH_KEY: the variable is not set"),
        ("credential:key", "secret credential:key: CREDENTIALS_DIRECTORY is not set"),
        ("/", "secret file:/: it is a directory, not a regular file"),
    ] {
        let tool = backup().env("VAULT_BACKUP_KEY", "");
        std::fs::write(tool.home().join("config.toml"), format!("[encryption]\nkey = {key:?}\n")).unwrap();
        tool.args(["--config", "config.toml"]).run().fails(2, &[says]).leaves(&["config.toml"]);
        let flag = place.tool().env("VAULT_BACKUP_KEY", "").args(["decrypt", "config.toml", "--key", key]);
        std::fs::write(flag.home().join("config.toml"), "").unwrap();
        flag.run().fails(2, &[says]).leaves(&["config.toml"]);
    }
    place.assert_empty();
}

/// It would be missing when it is needed.
#[test]
fn an_unusable_old_key_fails_a_backup() {
    let place = Place::directory();
    let tool = place.tool();
    std::fs::write(tool.home().join("config.toml"), "[encryption]\nold_keys = [\"/no/such/key\"]\n").unwrap();
    tool.args(["backup", "--config", "config.toml"]).run().fails(2, &["file:/no/such/key"]).leaves(&["config.toml"]);
    place.assert_empty();
}

/// The read-back reads the key again, so this is found before an emergency.
#[test]
fn a_key_that_changes_during_the_run_fails_the_read_back() {
    let place = Place::s3();
    let tool = place.tool().env("VAULT_BACKUP_KEY", "");
    let key = tool.home().join("key");
    write(&key, "KEY", 0o600, &place.site.key);
    std::fs::write(tool.home().join("config.toml"), format!("[encryption]\nkey = {key:?}\n")).unwrap();
    let s3 = FaultServer::proxy(&place.site.s3.endpoint(), move |call| {
        if call.method == "PUT" {
            std::fs::write(&key, "0f".repeat(32)).unwrap();
        }
        Reply::forward()
    });
    let output = tool.env("AWS_ENDPOINT_URL", s3.address()).args(["backup", "--config", "config.toml"]).run();
    output.fails(5, &["uploaded, but not verified", "wrong key", &place.site.key_id()]);
    assert_eq!(place.names().len(), 1, "no manifest says that it is good");
}

#[test]
fn a_wrong_key_is_reported_by_its_id() {
    let other = "0f".repeat(32);
    for place in Place::both() {
        let name = place.backup()["object"].as_str().unwrap().to_owned();
        let wrong = || place.tool().env("VAULT_BACKUP_KEY", &other).keeps([&other]);
        for command in ["decrypt", "inspect"] {
            let output = wrong().args([command, &name]).run();
            output.code(5).stdout_is("").leaves(&[]).stderr_contains(&place.site.key_id());
            output.stderr_contains(&format!(
                "wrong key: the backup is encrypted with key {}, the available keys are {}",
                place.site.key_id(),
                key_id(&other)
            ));
        }
        // Such a backup is not lost, but is not good.
        let output = wrong().args(["list", "--json"]).run();
        assert_eq!(output.ok().json()["backups"][0]["standing"], "unproven");
        wrong().arg("status").run().code(9).stderr_is("").stdout_contains("no good daily backup");
        // With both keys it is good again.
        let tool = wrong().env("OLD", &place.site.key);
        std::fs::write(tool.home().join("config.toml"), "[encryption]\nold_keys = [\"env:OLD\"]\n").unwrap();
        tool.args(["inspect", &name, "--config", "config.toml"]).run().ok().stdout_contains("good");
    }
}

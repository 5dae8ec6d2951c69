//! `prune`, `list` and `status` over stores that were made up by hand: what goes,
//! what stays, and what a hostile writer to the bucket can not bring about.

use crate::support::tool::{Output, Tool, tool};
use chrono::{DateTime, TimeDelta, Utc};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use vault_backup::envelope::Key;
use vault_backup::manifest::{Manifest, VaultFacts, rfc3339};
use vault_backup::naming::{BackupName, BackupType};

/// A folder with made-up backups; prune never reads the objects themselves.
struct World {
    dir: TempDir,
    key: Key,
}

impl World {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), key: Key::generate().unwrap() }
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn tool(&self) -> Tool {
        tool()
            .env("VAULT_BACKUP_STORE", format!("file://{}", self.store().display()))
            .env("VAULT_BACKUP_KEY", self.key.to_hex().expose())
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.store().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn object(&self, name: &BackupName) {
        self.write(name.object(), b"ten bytes.");
    }

    fn manifest(&self, name: &BackupName, key: &Key) -> Vec<u8> {
        let manifest = Manifest {
            object: name.object().into(),
            size_bytes: 10,
            sha256: "00".repeat(32),
            plaintext_size_bytes: None,
            plaintext_sha256: None,
            created_at: rfc3339(name.created_at()),
            backup_type: name.backup_type(),
            key_id: self.key.id().into(),
            run_id: None,
            vault: VaultFacts::default(),
            verification: None,
            tool: None,
        };
        manifest.to_bytes(&key.mac_key()).unwrap()
    }

    /// A good backup, `days` old.
    fn good(&self, kind: BackupType, days: i64) -> BackupName {
        let name = BackupName::new(kind, ago(days));
        self.object(&name);
        self.write(&name.manifest(), &self.manifest(&name, &self.key));
        name
    }

    fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.store(), &self.store(), &mut found);
        found.sort();
        found
    }

    fn prune(&self) -> Output {
        self.tool().args(["prune", "--json"]).run()
    }
}

fn ago(days: i64) -> DateTime<Utc> {
    Utc::now() - TimeDelta::days(days) - TimeDelta::hours(1)
}

fn walk(root: &Path, dir: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            walk(root, &path, found);
        } else {
            found.push(path.strip_prefix(root).unwrap().display().to_string());
        }
    }
}

#[test]
fn old_ones_go_with_their_manifests_and_nothing_else_is_touched() {
    let world = World::new();
    let daily: Vec<_> = (0..40).map(|day| world.good(BackupType::Daily, day)).collect();
    let monthly = world.good(BackupType::Monthly, 500);
    let foreign = ["daily/README", "notes/daily/x.enc", "daily/2020-01-01/vault-snapshot-20200101-000000.enc.bak"];
    foreign.iter().for_each(|name| world.write(name, b"mine"));
    let outside = world.dir.path().join("outside");
    std::fs::write(&outside, b"precious").unwrap();
    let link = world.store().join("daily/2020-01-02");
    std::fs::create_dir_all(&link).unwrap();
    std::os::unix::fs::symlink(&outside, link.join("vault-snapshot-20200102-000000.enc")).unwrap();

    let before = world.files();
    world.tool().args(["prune", "--dry-run"]).run().code(0).stdout_contains("10 of 41 backups would go");
    assert_eq!(world.files(), before, "a dry run changes nothing");

    let result = world.prune().code(0).json();
    assert_eq!(result["deleted"].as_array().unwrap().len(), 10, "{result}");
    let left = world.files();
    for name in &daily[..30] {
        assert!(left.contains(&name.object().to_owned()) && left.contains(&name.manifest()), "{name}");
    }
    for name in &daily[30..] {
        assert!(!left.contains(&name.object().to_owned()) && !left.contains(&name.manifest()), "{name}");
    }
    assert!(left.contains(&monthly.object().to_owned()), "the newest good monthly one stays, however old");
    assert!(foreign.iter().all(|name| left.contains(&(*name).to_owned())));
    assert_eq!(std::fs::read(&outside).unwrap(), b"precious");

    let again = world.prune().code(0).json();
    assert_eq!(again["deleted"].as_array().unwrap().len(), 0, "pruning twice deletes nothing more");
    assert_eq!(world.files(), left);
}

#[test]
fn if_backups_stop_so_does_clean_up() {
    let world = World::new();
    (100..130).for_each(|day| drop(world.good(BackupType::Daily, day)));
    let before = world.files();
    assert_eq!(world.prune().code(0).json()["deleted"].as_array().unwrap().len(), 0);
    assert_eq!(world.files(), before);
    world.tool().args(["status"]).run().code(9).stdout_contains("STALE: the newest good backup is");
    world.tool().args(["status", "--nagios"]).run().code(2).stdout_contains("VAULT-BACKUP CRITICAL");
}

#[test]
fn a_writer_to_the_bucket_cannot_have_good_backups_deleted() {
    let world = World::new();
    let stranger = Key::generate().unwrap();
    let good: Vec<_> = (60..90).map(|day| world.good(BackupType::Daily, day)).collect();
    for day in 0..40 {
        let name = BackupName::new(BackupType::Daily, ago(day));
        world.object(&name);
        let manifest = match day % 4 {
            0 => world.manifest(&name, &stranger),     // forged
            1 => world.manifest(&good[0], &world.key), // another object's
            2 => b"{\"schema\":1}".to_vec(),           // malformed
            _ => {
                world.write(name.object(), b"of another size"); // swapped
                world.manifest(&name, &world.key)
            }
        };
        world.write(&name.manifest(), &manifest);
    }
    let future = BackupName::new(BackupType::Daily, Utc::now() + TimeDelta::days(400));
    world.object(&future);
    world.write(&future.manifest(), &world.manifest(&future, &world.key));

    let result = world.prune();
    result.code(0);
    let left = world.files();
    for name in &good {
        assert!(left.contains(&name.object().to_owned()), "{name} was deleted");
    }
    assert!(left.contains(&future.object().to_owned()));
    assert!(result.stderr.contains("its name lies in the future"), "{}", result.stderr);
}

#[test]
fn without_a_key_nothing_is_deleted() {
    let world = World::new();
    (0..40).for_each(|day| drop(world.good(BackupType::Daily, day)));
    let before = world.files();
    let store = format!("file://{}", world.store().display());
    tool().env("VAULT_BACKUP_STORE", &store).args(["prune"]).run().fails(2, &["no key", "manifest_key"]);
    tool().env("VAULT_BACKUP_STORE", &store).args(["prune", "--dry-run"]).run().code(0).stdout_contains("would go");
    assert_eq!(world.files(), before);
}

#[test]
fn the_manifest_key_alone_suffices() {
    let world = World::new();
    (0..40).for_each(|day| drop(world.good(BackupType::Daily, day)));
    let mac = hex::encode(world.key.mac_key().manifest.as_slice());
    let config = world.dir.path().join("config.toml");
    std::fs::write(&config, "[encryption]\nmanifest_key = \"env:MANIFEST_KEY\"\n").unwrap();
    let run = tool()
        .env("VAULT_BACKUP_STORE", format!("file://{}", world.store().display()))
        .env("MANIFEST_KEY", mac)
        .args(["prune", "--json", "--config"])
        .arg(&config)
        .run();
    assert_eq!(run.code(0).json()["deleted"].as_array().unwrap().len(), 10);
}

#[test]
fn stray_documents_go_after_a_day() {
    let world = World::new();
    let gone = BackupName::new(BackupType::Daily, ago(3));
    world.write(&gone.manifest(), b"{}");
    world.write(&gone.drill_record(), b"{}");
    let old = std::time::SystemTime::now() - std::time::Duration::from_hours(48);
    let file = std::fs::File::options().write(true).open(world.store().join(gone.manifest())).unwrap();
    file.set_modified(old).unwrap();
    world.prune().code(0);
    let left = world.files();
    assert!(!left.contains(&gone.manifest()), "two days old");
    assert!(left.contains(&gone.drill_record()), "just written: its run may still be going");
}

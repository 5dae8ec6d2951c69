//! Every form of a backup's name, in every command that takes one.

mod local;

use crate::support::process::temp_dir;
use crate::support::production::{Site, seal};
use crate::support::snapshot::{Synthetic, sha256};
use crate::support::tool::{Tool, tool};
use chrono::TimeDelta;
use serde_json::json;
use tempfile::TempDir;
use vault_backup::formats::crypto::{Header, Key, SourceServer};
use vault_backup::formats::manifest::{Manifest, VaultFacts, rfc3339};
use vault_backup::formats::naming::{BackupName, BackupType};

const MORNING: &str = "daily/2025-11-01/vault-snapshot-20251101-020000.enc";
const COPY: &str = "monthly/2025-11/vault-snapshot-20251101-020000.enc";
const EVENING: &str = "daily/2025-11-01/vault-snapshot-20251101-220000.enc";
const OCTOBER: &str = "monthly/2025-10/vault-snapshot-20251001-020000.enc";
/// The newest two are not good: no manifest, and one of another key.
const UNVERIFIED: &str = "daily/2025-11-02/vault-snapshot-20251102-020000.enc";
const FORGED: &str = "daily/2025-11-03/vault-snapshot-20251103-020000.enc";

/// A store in a directory.
struct Shelf {
    dir: TempDir,
    key: Key,
}

impl Shelf {
    /// Contains the backups above.
    fn new() -> Self {
        let shelf = Self { dir: temp_dir(), key: Key::generate().unwrap() };
        for name in [MORNING, COPY, EVENING, OCTOBER] {
            shelf.put(name, Some(&shelf.key));
        }
        shelf.put(UNVERIFIED, None);
        shelf.put(FORGED, Some(&Key::generate().unwrap()));
        shelf
    }

    fn key(&self) -> String {
        self.key.to_hex().expose().to_owned()
    }

    /// Writes the backup `name`, and its manifest with `signer`.
    fn put(&self, name: &str, signer: Option<&Key>) {
        let name = BackupName::parse(name).unwrap();
        let header = Header {
            key_id: self.key.id().to_owned(),
            created_at: name.created_at(),
            vault: SourceServer::default(),
            tool: "test/1".into(),
        };
        let object = seal(&self.key(), &Synthetic::whole(name.object().as_bytes()).bytes(), &header);
        let path = self.dir.path().join(name.object());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &object).unwrap();
        let Some(signer) = signer else { return };
        let manifest = Manifest {
            object: name.object().to_owned(),
            size_bytes: object.len() as u64,
            sha256: sha256(&object),
            plaintext_size_bytes: None,
            plaintext_sha256: None,
            created_at: rfc3339(name.created_at()),
            backup_type: name.backup_type(),
            key_id: signer.id().to_owned(),
            run_id: None,
            vault: VaultFacts::default(),
            verification: None,
            tool: None,
        };
        std::fs::write(self.dir.path().join(name.manifest()), manifest.to_bytes(&signer.mac_key()).unwrap()).unwrap();
    }

    fn url(&self) -> String {
        format!("file://{}", self.dir.path().display())
    }

    fn tool(&self) -> Tool {
        let key = self.key();
        tool().env("VAULT_BACKUP_STORE", self.url()).env("VAULT_BACKUP_KEY", &key).keeps([key])
    }

    fn inspect(&self, name: &str) -> Tool {
        self.tool().args(["inspect", name, "--json"])
    }
}

#[test]
fn each_form_of_a_name_finds_its_backup() {
    let shelf = Shelf::new();
    let url = format!("{}/{COPY}", shelf.url());
    for (name, object) in [
        ("latest", EVENING),
        ("latest:daily", EVENING),
        ("latest:monthly", COPY),
        (MORNING, MORNING),
        (COPY, COPY),
        (&url, COPY),
        ("vault-snapshot-20251101-020000.enc", MORNING),
        ("vault-snapshot-20251001-020000.enc", OCTOBER),
        ("20251101-02", MORNING),
        ("2025-11-01T22:00:00Z", EVENING),
        ("202510", OCTOBER),
    ] {
        let output = shelf.inspect(name).run();
        assert_eq!(output.ok().json()["input"], format!("{}/{object}", shelf.url()), "{name}");
    }
    // The newest is a daily backup and its monthly copy: the backup itself is taken.
    std::fs::remove_file(shelf.dir.path().join(EVENING)).unwrap();
    assert_eq!(shelf.inspect("latest").run().ok().json()["input"], format!("{}/{MORNING}", shelf.url()));
}

#[test]
fn an_ambiguous_name_lists_the_candidates() {
    let shelf = Shelf::new();
    let output = shelf.tool().args(["inspect", "20251101"]).run();
    output
        .fails(2, &["20251101: ambiguous: it fits 2 good backups", &format!("name one of them: {EVENING}, {MORNING}")]);
    for hour in 3..8 {
        shelf.put(&format!("daily/2025-11-01/vault-snapshot-20251101-0{hour}0000.enc"), Some(&shelf.key));
    }
    let output = shelf.tool().args(["inspect", "20251101"]).run();
    output.fails(2, &["it fits 7 good backups", "vault-snapshot-20251101-040000.enc, …"]);
    assert!(!output.stderr.contains("20251101-030000"), "no more than five: {output:?}");
}

#[test]
fn a_backup_that_is_not_good_needs_its_full_name() {
    let shelf = Shelf::new();
    for (name, object) in [("20251102", UNVERIFIED), ("vault-snapshot-20251103-020000.enc", FORGED)] {
        let output = shelf.tool().args(["inspect", name]).run();
        output.fails(5, &[name, "the only backup that fits is not good", object, "needs its full name"]);
        let url = format!("{}/{object}", shelf.url());
        for full in [object, &url] {
            assert_eq!(shelf.inspect(full).run().code(0).json()["input"], url);
        }
    }
    // Without the key, no backup counts as good.
    let output = shelf.tool().env("VAULT_BACKUP_KEY", "").args(["inspect", "latest"]).run();
    output.fails(2, &["latest: none of the 6 backups that fit is good", "give --key"]);
    let output = shelf.tool().env("VAULT_BACKUP_KEY", "6b".repeat(32)).args(["inspect", "latest"]).run();
    output.fails(5, &["backups under key", "which is not configured", "encryption.old_keys"]);
    let output = shelf.tool().env("VAULT_BACKUP_KEY", "").args(["inspect", EVENING]).run();
    output.code(0).stderr_contains("no configured key can check its manifest").stdout_contains("unproven");
}

#[test]
fn a_name_without_a_backup_is_reported() {
    let shelf = Shelf::new();
    let root = format!("{}/", shelf.url());
    for name in ["nope", "latest:weekly", "2024", "vault-snapshot-20241101-020000.enc"] {
        let missing = format!("{name}: no such file, and no such backup in {root}");
        shelf.tool().args(["inspect", name]).run().fails(4, &[&missing, "see: vault-backup list"]);
        let missing = format!("{name}: no such backup in {root}");
        shelf
            .tool()
            .args(["verify-restore", "--offline", "--share", "env:VAULT_BACKUP_KEY", name])
            .run()
            .fails(4, &[&missing]);
    }
    let other = "file:///other/store/daily/2025-11-01/vault-snapshot-20251101-020000.enc";
    shelf.tool().args(["inspect", other]).run().fails(2, &["not below the configured store", &root, "--store"]);
    let gone = "daily/2025-11-04/vault-snapshot-20251104-020000.enc";
    shelf.tool().args(["inspect", gone]).run().fails(4, &[&format!("{root}{gone}: no such backup")]);
    let empty = temp_dir();
    let output = shelf
        .tool()
        .env("VAULT_BACKUP_STORE", format!("file://{}", empty.path().display()))
        .args(["inspect", "latest"])
        .run();
    output.fails(4, &["latest: there is no backup"]);
}

#[test]
fn without_a_store_only_local_files_are_found() {
    let output = tool().args(["inspect", "nope"]).run();
    output.fails(2, &["nope: no such file, and no store is configured to look it up in", "hint: set store.url"]);
    let tool = tool().args(["inspect", "latest"]);
    std::fs::create_dir(tool.home().join("latest")).unwrap();
    tool.run().fails(2, &["latest: it is a local file", "hint: write ./latest or --file latest"]);
}

/// All of them read the same one, which -v names.
#[test]
fn every_command_takes_a_short_name() {
    let shelf = Shelf::new();
    let newest = format!("latest: reading {}/{EVENING}", shelf.url());
    let output = shelf.tool().args(["decrypt", "latest", "-v"]).run();
    output.code(0).stderr_contains(&newest).leaves(&["vault-snapshot-20251101-220000.snap"]);
    let output =
        shelf.tool().args(["recover", "a/b", "--from", "latest", "--share", "env:VAULT_BACKUP_KEY", "-v"]).run();
    output.code(5).stderr_contains(&newest);
    let confirmed = ["restore", "latest", "--address", "http://127.0.0.1:1", "--confirm", "x", "-v"];
    shelf.tool().env("VAULT_TOKEN", "x").args(confirmed).run().code(3).stderr_contains(&newest);
}

#[test]
fn a_restore_drill_takes_the_latest_or_a_random_good_backup() {
    let site = Site::new();
    let object = &site.production.object;
    let second = BackupName::parse(object).unwrap().created_at() + TimeDelta::seconds(1);
    let newer = BackupName::new(BackupType::Daily, second).object().to_owned();
    site.put(&newer, b"not good");
    let staging = "[staging]\nunseal_keys = [\"env:SHARE0\", \"env:SHARE1\"]\n";
    let drill = |name: &str| site.tool_of(&[], staging).args(["verify-restore", "--offline", "--json", name]).run();
    for name in ["latest", "latest:daily", "--random"] {
        assert_eq!(drill(name).ok().json()["backup_tested"], json!(object), "{name}");
    }
    drill("latest:monthly").fails(4, &["latest:monthly: there is no backup"]);
    drill(newer.rsplit('/').next().unwrap()).fails(5, &["is not good", &newer]);
    let output = site.tool_of(&[], staging).args(["verify-restore", "--random", "latest"]).run();
    output.code(2).stderr_contains("cannot be used with");
}

#[test]
fn restore_takes_a_backup_that_is_not_good_only_with_unverified() {
    let site = Site::new();
    let vault = &site.production.vault;
    let name = site.production.object.clone();
    let manifest = format!("{name}.manifest.json");
    std::fs::remove_file(site.path("store").join(&manifest)).unwrap();
    let restore = |args: &[&str]| {
        let tool = site.tool("").env("VAULT_TOKEN", vault.root_token());
        tool.args(["restore", &name, "--address", &vault.address(), "--dry-run"]).args(args).run()
    };
    let refused = ["it has no manifest: it was never verified", "hint: restore it all the same with --unverified"];
    restore(&[]).fails(5, &refused);
    restore(&["--unverified"]).code(0).stderr_contains(refused[0]).stdout_contains(&name);
    site.put(&manifest, b"{}");
    restore(&[]).fails(5, &["its manifest is invalid", "choose another backup", "with --unverified"]);
    restore(&["--unverified"]).code(0).stderr_contains("its manifest is invalid").stdout_contains(&name);
}

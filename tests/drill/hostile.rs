//! A bucket with a writer that has no key: the drill never selects or passes a wrong backup.

use crate::support::production::{Site, seal};
use crate::support::tool::Output;
use chrono::{TimeDelta, Utc};
use vault_backup::base::secret::Secret;
use vault_backup::formats::crypto::{Header, Key, SourceServer};
use vault_backup::formats::manifest::{Manifest, VaultFacts, rfc3339};
use vault_backup::formats::naming::{BackupName, BackupType};

const SHARES: &str = "[staging]\nunseal_keys = [\"env:SHARE0\", \"env:SHARE1\"]\n";

fn drill(site: &Site) -> Output {
    let output = site.tool_of(&[], SHARES).args(["verify-restore", "--offline", "--json"]).run();
    site.assert_clean(&output);
    output
}

/// A name newer than the genuine backup's, close enough to the current time to be plausible.
pub(super) fn newer(seconds: i64) -> BackupName {
    BackupName::new(BackupType::Daily, Utc::now() + TimeDelta::seconds(seconds))
}

pub(super) fn stranger() -> String {
    Key::generate().unwrap().to_hex().expose().to_owned()
}

fn key(hex: &str) -> Key {
    Key::from_hex(&Secret::new(hex)).unwrap()
}

/// A snapshot of that production, encrypted with `hex`, like a backup with this name.
pub(super) fn object(site: &Site, name: &BackupName, hex: &str) -> Vec<u8> {
    let header = Header {
        key_id: key(hex).id().to_owned(),
        created_at: name.created_at(),
        vault: SourceServer::default(),
        tool: "test/1".into(),
    };
    seal(hex, &site.production.vault.snapshot(), &header)
}

/// A valid manifest of `object`, signed with `hex`.
pub(super) fn manifest(name: &BackupName, object: &[u8], hex: &str) -> Vec<u8> {
    let manifest = Manifest {
        object: name.object().into(),
        size_bytes: object.len() as u64,
        sha256: hex::encode(ring::digest::digest(&ring::digest::SHA256, object)),
        plaintext_size_bytes: None,
        plaintext_sha256: None,
        created_at: rfc3339(name.created_at()),
        backup_type: name.backup_type(),
        key_id: key(hex).id().into(),
        run_id: None,
        vault: VaultFacts::default(),
        verification: None,
        tool: None,
    };
    manifest.to_bytes(&key(hex).mac_key()).unwrap()
}

#[test]
fn drill_skips_newer_backups_that_are_not_good() {
    let site = Site::new();
    let genuine = site.production.object.clone();
    let (bytes, own) = (site.get(&genuine), site.production.key.clone());
    let genuine_manifest = site.get(&format!("{genuine}.manifest.json"));
    let stranger = stranger();
    // The genuine backup renamed, with its manifest and with an edited one.
    let renamed = [newer(1), newer(2)];
    site.put(renamed[0].object(), &bytes);
    site.put(&renamed[0].manifest(), &genuine_manifest);
    site.put(renamed[1].object(), &bytes);
    let edited = String::from_utf8(genuine_manifest.clone()).unwrap().replace(&genuine, renamed[1].object());
    site.put(&renamed[1].manifest(), edited.as_bytes());
    // Another cluster's, which has another key; the same with our key's id; and without a manifest.
    for (seconds, manifested) in [(3, true), (4, true), (5, false)] {
        let name = newer(seconds);
        let theirs = object(&site, &name, &stranger);
        let record = String::from_utf8(manifest(&name, &theirs, &stranger)).unwrap();
        let record = if seconds == 4 { record.replace(key(&stranger).id(), key(&own).id()) } else { record };
        site.put(name.object(), &theirs);
        if manifested {
            site.put(&name.manifest(), record.as_bytes());
        }
    }
    // Good, until it was replaced.
    let swapped = newer(6);
    site.put(&swapped.manifest(), &manifest(&swapped, &object(&site, &swapped, &own), &own));
    site.put(swapped.object(), &bytes[1..]);
    // Good except for its time.
    let future = newer(3_600);
    let early = object(&site, &future, &own);
    site.put(&future.manifest(), &manifest(&future, &early, &own));
    site.put(future.object(), &early);

    let output = drill(&site);
    assert_eq!(output.code(0).json()["backup_tested"], genuine);
    let records: Vec<_> = site.names().into_iter().filter(|name| name.ends_with(".drill.json")).collect();
    assert_eq!(records, [format!("{genuine}.drill.json")]);
    // A record that is copied to another backup does not count there.
    site.put(&swapped.drill_record(), &site.get(&records[0]));
    let status = site.tool("").args(["status", "--max-drill-age", "1h", "--json"]).run();
    assert_eq!(status.code(0).json()["newest_drill"]["object"], genuine);

    // They are refused by name.
    for (name, says) in [(&renamed[0], "it belongs to another object"), (&renamed[1], "invalid MAC")] {
        let output = site.tool_of(&[], SHARES).args(["verify-restore", "--offline", name.object()]).run();
        output.fails(5, &[name.object(), "its manifest is invalid", says]);
    }
}

/// Size and manifest are right: only reading it shows the difference.
#[test]
fn drill_refuses_a_replaced_object_of_the_same_size() {
    let site = Site::new();
    let genuine = site.production.object.clone();
    let own = site.production.key.clone();
    let name = newer(1);
    let (good, other) = (object(&site, &name, &own), object(&site, &name, &stranger()));
    site.put(&name.manifest(), &manifest(&name, &good, &own));
    let same_size = |mut bytes: Vec<u8>| {
        bytes.resize(good.len(), 0);
        bytes
    };
    // Another cluster's, an older one of ours, and one of ours encrypted again.
    for swapped in [same_size(other), same_size(site.get(&genuine)), same_size(object(&site, &name, &own))] {
        site.put(name.object(), &swapped);
        let output = drill(&site);
        output.fails(5, &[name.object()]);
        assert!(!site.names().iter().any(|name| name.ends_with(".drill.json")));
    }
    site.put(name.object(), &good);
    assert_eq!(drill(&site).ok().json()["backup_tested"], name.object());
}

/// All manifests are missing, so that the drill must use a backup without one: it accepts only
/// a backup with our key and that name.
#[test]
fn without_manifests_drill_accepts_only_backups_of_our_key() {
    let site = Site::new();
    let genuine = site.production.object.clone();
    let bytes = site.get(&genuine);
    std::fs::remove_file(site.path("store").join(format!("{genuine}.manifest.json"))).unwrap();
    let name = newer(1);
    for (planted, says) in [
        (object(&site, &name, &stranger()), "encrypted with key"),
        (bytes.clone(), "its header names another time:"),
        (site.production.vault.snapshot(), "it looks like a snapshot that is not encrypted"),
    ] {
        site.put(name.object(), &planted);
        let output = drill(&site);
        output.code(5).stderr_contains(name.object()).stderr_contains(says);
    }
    std::fs::remove_file(site.path("store").join(name.object())).unwrap();
    let output = drill(&site);
    assert_eq!(output.code(0).json()["backup_tested"], genuine);
    output.stderr_contains("no drill record was written because the backup has no manifest");
}

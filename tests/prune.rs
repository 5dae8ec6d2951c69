//! `prune`, `list` and `status` with generated stores, also against an attacker who can
//! write to the bucket.

mod clusters;
mod denied;
mod ended;
mod flood;
mod hostile;
mod listing;
mod locked;
mod many;
mod old_keys;
mod rules;
mod strays;
mod versions;
mod watch;

use crate::support::place::Place;
use crate::support::tool::{Output, Tool};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use std::collections::BTreeSet;
use vault_backup::base::secret::Secret;
use vault_backup::formats::crypto::Key;
use vault_backup::formats::manifest::{DrillRecord, Manifest, VaultFacts, rfc3339};
use vault_backup::formats::naming::{BackupName, BackupType};

/// Body of every generated backup: prune never reads it.
const BODY: &[u8] = b"ten bytes.";

/// A store with generated backups.
struct World {
    place: Place,
    key: Key,
}

impl World {
    fn new(place: Place) -> Self {
        let key = Key::from_hex(&Secret::new(&place.site.key)).unwrap();
        Self { place, key }
    }

    /// Returns one in a bucket and one in a directory.
    fn both() -> [Self; 2] {
        Place::both().map(Self::new)
    }

    fn tool(&self) -> Tool {
        self.place.tool()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        self.place.put(name, bytes);
    }

    /// Returns a manifest of `name` under `key`.
    fn manifest(&self, name: &BackupName, key: &Key) -> Vec<u8> {
        self.manifest_of(name).to_bytes(&key.mac_key()).unwrap()
    }

    fn manifest_of(&self, name: &BackupName) -> Manifest {
        Manifest {
            object: name.object().into(),
            size_bytes: BODY.len() as u64,
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
        }
    }

    /// Returns a record of a drill that `name` passed, under `key`.
    fn drill_record(&self, name: &BackupName, key: &Key) -> Vec<u8> {
        let record = DrillRecord {
            object: name.object().into(),
            sha256: "00".repeat(32),
            drilled_at: rfc3339(name.created_at()),
            mode: "server".into(),
            staging_vault: None,
            canary: "a/b".into(),
            canary_compared: None,
            durations_ms: std::collections::BTreeMap::new(),
            tool: "test".into(),
        };
        record.to_bytes(&key.mac_key()).unwrap()
    }

    /// Writes a good backup, `days` old.
    fn good(&self, kind: BackupType, days: i64) -> BackupName {
        self.good_ones(kind, [days]).remove(0)
    }

    /// Writes good backups, `days` old.
    fn good_ones(&self, kind: BackupType, days: impl IntoIterator<Item = i64>) -> Vec<BackupName> {
        let names: Vec<_> = days.into_iter().map(|day| BackupName::new(kind, ago(day))).collect();
        let files = |name: &BackupName| {
            [(name.object().to_owned(), BODY.to_vec()), (name.manifest(), self.manifest(name, &self.key))]
        };
        self.place.put_many(names.iter().flat_map(files).collect());
        names
    }

    fn files(&self) -> BTreeSet<String> {
        self.place.names().into_iter().collect()
    }

    fn prune(&self) -> Output {
        self.tool().args(["prune", "--json"]).run()
    }
}

fn ago(days: i64) -> DateTime<Utc> {
    Utc::now() - TimeDelta::days(days) - TimeDelta::hours(1)
}

/// Returns the strings of a list.
fn list(value: &Value) -> BTreeSet<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// Returns the names of backups and of their manifests.
fn with_manifests<'a>(names: impl IntoIterator<Item = &'a BackupName>) -> BTreeSet<String> {
    names.into_iter().flat_map(|name| [name.object().to_owned(), name.manifest()]).collect()
}

/// Returns the names of backups.
fn objects<'a>(names: impl IntoIterator<Item = &'a BackupName>) -> BTreeSet<String> {
    names.into_iter().map(|name| name.object().to_owned()).collect()
}

//! A backup, with everything that is known about it: the one type that the catalog,
//! retention, `list`, `status` and `prune` share. Pure: no I/O, no clock.

use super::manifest::{DrillRecord, Manifest};
use super::naming::BackupName;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeMap;

/// Largest time in the future that a clock difference explains.
pub const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(10);

/// Returns `true` if the time in `name` is in the future. Such a backup is never the
/// newest, never fresh, never counted, and never deleted.
pub fn is_ahead(now: DateTime<Utc>, name: &BackupName) -> bool {
    name.created_at().signed_duration_since(now) > CLOCK_TOLERANCE
}

/// A backup in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Object name. The time in it is the backup's age.
    pub name: BackupName,
    /// Size of the object in bytes.
    pub size: u64,
    /// `true` if the listing has a manifest next to it, authentic or not.
    pub has_manifest: bool,
    /// `true` if the listing has a drill record next to it, authentic or not.
    pub has_drill_record: bool,
    /// Result of the manifest check.
    pub status: BackupStatus,
    /// Result of the drill record check.
    pub drill: DrillStatus,
}

impl Backup {
    /// Returns a listed backup without manifest and drill record.
    pub fn new(name: BackupName, size: u64) -> Self {
        let (status, drill) = (BackupStatus::Unverified, DrillStatus::Never);
        Self { name, size, has_manifest: false, has_drill_record: false, status, drill }
    }

    /// Notes that the listing has a manifest. It counts only after it was checked.
    pub fn add_manifest(&mut self) {
        (self.has_manifest, self.status) = (true, BackupStatus::Unchecked);
    }

    /// Notes that the listing has a drill record. It counts only after it was checked.
    pub fn add_drill_record(&mut self) {
        (self.has_drill_record, self.drill) = (true, DrillStatus::Unchecked);
    }

    /// Returns `true` if the time in the name is in the future.
    pub fn is_future(&self, now: DateTime<Utc>) -> bool {
        is_ahead(now, &self.name)
    }

    /// Sets the drill status. A record is about the object that was drilled, not about
    /// another one that replaced it.
    pub fn set_drill(&mut self, drill: DrillStatus) {
        self.drill = match (drill, self.status.authentic()) {
            (DrillStatus::Passed(record), Some(manifest)) if record.sha256 != manifest.sha256 => {
                DrillStatus::Invalid("it is about another object that had this name".to_owned())
            }
            (drill, _) => drill,
        };
    }
}

/// Status of a backup, from its manifest. See docs/format.md.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupStatus {
    /// No manifest: the run did not finish the verification, or the legacy service made it.
    Unverified,
    /// A manifest that is invalid, and the reason.
    Invalid(String),
    /// A manifest that none of the available keys can check, and the key id that it
    /// states, if any: to show, never to act on.
    UnknownKey(Option<String>),
    /// A listed manifest that was not read yet. It protects nothing.
    Unchecked,
    /// An authentic manifest of another cluster than `vault.cluster_id`, and the
    /// difference in words. The backup is never counted, and never deleted.
    OtherCluster(Box<Manifest>, String),
    /// An authentic manifest of this name and size.
    Good(Box<Manifest>),
}

impl BackupStatus {
    /// Returns the manifest of a good backup, if it is one.
    pub fn manifest(&self) -> Option<&Manifest> {
        match self {
            Self::Good(manifest) => Some(manifest),
            _ => None,
        }
    }

    /// Returns the manifest if it is authentic: a good backup's, or another cluster's.
    pub fn authentic(&self) -> Option<&Manifest> {
        match self {
            Self::Good(manifest) | Self::OtherCluster(manifest, _) => Some(manifest),
            _ => None,
        }
    }

    /// Returns the reason why an existing manifest does not count, if there is one.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::OtherCluster(_, why) | Self::Invalid(why) => Some(why),
            _ => None,
        }
    }

    /// Returns `true` if the backup is good.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Good(_))
    }

    /// Returns `true` if the backup has no valid manifest under a known key.
    pub fn is_unverified(&self) -> bool {
        matches!(self, Self::Unverified | Self::Invalid(_))
    }

    /// Returns the word for it in `list` and in JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Good(_) => "good",
            Self::OtherCluster(..) => "other-cluster",
            Self::Unverified => "unverified",
            Self::Invalid(_) => "refused",
            Self::UnknownKey(_) | Self::Unchecked => "unproven",
        }
    }

    /// Returns its place in the order of trust, weakest first.
    pub fn rank(&self) -> u8 {
        match self {
            Self::Unverified => 0,
            Self::Invalid(_) => 1,
            Self::UnknownKey(_) => 2,
            Self::Unchecked => 3,
            Self::OtherCluster(..) => 4,
            Self::Good(_) => 5,
        }
    }
}

/// Returns, for each key that is not available, the number of backups under it, in words.
/// The key ids are those that the manifests state, which nothing has checked: of many, only
/// the first few are named.
pub fn under_unknown_keys<'a>(backups: impl IntoIterator<Item = &'a Backup>) -> Vec<String> {
    /// Number of keys that are named, those of the most backups first.
    const KEYS: usize = 3;
    let mut found = BTreeMap::<_, usize>::new();
    for backup in backups {
        if let BackupStatus::UnknownKey(id) = &backup.status {
            *found.entry(id.as_deref()).or_default() += 1;
        }
    }
    let words = |(id, count): (Option<&str>, usize)| {
        let s = if count == 1 { "" } else { "s" };
        match id {
            Some(id) => format!("{count} backup{s} under key {id}, which is not configured"),
            None => format!("{count} backup{s} under an unknown key"),
        }
    };
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let others = found.split_off(found.len().min(KEYS));
    let mut stated: Vec<_> = found.into_iter().map(words).collect();
    if !others.is_empty() {
        let count: usize = others.iter().map(|(_, count)| count).sum();
        stated.push(format!("{count} backups under {} other keys", others.len()));
    }
    stated
}

/// Status of a backup's drill record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DrillStatus {
    /// No record.
    Never,
    /// A record that does not count, and the reason.
    Invalid(String),
    /// A listed record that was not read yet.
    Unchecked,
    /// A record that none of the available keys can check (`manifest_key` alone).
    UnknownKey,
    /// An authentic record of a restore drill that passed.
    Passed(Box<DrillRecord>),
}

impl DrillStatus {
    /// Returns the time of the drill, if it passed.
    pub fn at(&self) -> Option<DateTime<Utc>> {
        let Self::Passed(record) = self else { return None };
        DateTime::parse_from_rfc3339(&record.drilled_at).ok().map(|t| t.to_utc())
    }

    /// Returns `true` if there is a record that was not found to be invalid.
    pub fn may_have_passed(&self) -> bool {
        !matches!(self, Self::Never | Self::Invalid(_))
    }

    /// Returns its place in the order of trust, weakest first.
    pub fn rank(&self) -> u8 {
        match self {
            Self::Never => 0,
            Self::Invalid(_) => 1,
            Self::Unchecked => 2,
            Self::UnknownKey => 3,
            Self::Passed(_) => 4,
        }
    }
}

#[cfg(test)]
impl Backup {
    /// Returns a good backup with an empty manifest.
    pub(crate) fn good(name: BackupName) -> Self {
        let manifest = Manifest {
            object: String::new(),
            size_bytes: 1,
            sha256: String::new(),
            plaintext_size_bytes: None,
            plaintext_sha256: None,
            created_at: String::new(),
            backup_type: name.backup_type(),
            key_id: String::new(),
            run_id: None,
            vault: super::manifest::VaultFacts::default(),
            verification: None,
            tool: None,
        };
        let mut backup = Self::new(name, 1);
        backup.add_manifest();
        backup.status = BackupStatus::Good(Box::new(manifest));
        backup
    }
}

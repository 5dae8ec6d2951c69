//! What is in the store: the backups, and which of them are good.
//!
//! Here: the listing by name, and the check of manifests and drill records
//! against it. Not here: what follows from it (`retention`, `commands`).

mod drills;

pub use drills::{DrillStatus, drills};

use super::trust::Trust;
use crate::base::error::Result;
use crate::formats::manifest::{DocumentError, MAX_DOCUMENT, MacKey, Manifest};
use crate::formats::naming::{BackupName, BackupType, Role};
use crate::formats::retention;
use crate::services::store::{Listed, ReadAt, Store};
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeMap;

/// How many small documents are fetched at a time.
const CONCURRENCY: usize = 16;

/// A backup as the listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Its name.
    pub name: BackupName,
    /// Its size in bytes.
    pub size: u64,
    /// A manifest lies beside it. It says nothing before it was checked.
    pub has_manifest: bool,
    /// A drill record lies beside it. It says nothing before it was checked.
    pub has_drill_record: bool,
}

impl Backup {
    /// Whether the name's time is too far ahead of `now` to be believed.
    pub fn is_future(&self, now: DateTime<Utc>) -> bool {
        retention::is_ahead(now, &self.name)
    }
}

/// The store's listing, sorted out by name.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// The backups, newest first.
    pub backups: Vec<Backup>,
    /// Manifests and drill records without their object.
    pub orphans: Vec<Listed>,
    /// How many other objects lie in the two folders.
    pub foreign: usize,
}

/// Whether a backup is to be counted on.
#[derive(Debug)]
pub enum BackupStatus {
    /// Its manifest is there, authentic, its own, and names the listed size.
    Good(Box<Manifest>),
    /// Its manifest is authentic, and names another cluster than `vault.cluster_id`.
    OtherCluster(Box<Manifest>, String),
    /// It has no manifest: it was not verified, or is of the older service.
    Unverified,
    /// It has a manifest that fails, and why.
    Invalid(String),
    /// It has a manifest that no key at hand can check.
    Unproven,
}

impl BackupStatus {
    /// The manifest of a good backup.
    pub fn manifest(&self) -> Option<&Manifest> {
        match self {
            BackupStatus::Good(manifest) => Some(manifest),
            _ => None,
        }
    }

    /// The manifest, where it is authentic: a good backup's, or another cluster's.
    pub fn authentic(&self) -> Option<&Manifest> {
        match self {
            BackupStatus::Good(manifest) | BackupStatus::OtherCluster(manifest, _) => Some(manifest),
            BackupStatus::Unverified | BackupStatus::Invalid(_) | BackupStatus::Unproven => None,
        }
    }

    /// The reason why its manifest does not count, where there is one to tell.
    pub fn reason(&self) -> Option<&str> {
        match self {
            BackupStatus::OtherCluster(_, why) | BackupStatus::Invalid(why) => Some(why),
            BackupStatus::Good(_) | BackupStatus::Unverified | BackupStatus::Unproven => None,
        }
    }

    /// Whether it is good.
    pub fn is_good(&self) -> bool {
        matches!(self, BackupStatus::Good(_))
    }

    /// The word that `list` and JSON use.
    pub fn word(&self) -> &'static str {
        match self {
            BackupStatus::Good(_) => "good",
            BackupStatus::OtherCluster(..) => "other-cluster",
            BackupStatus::Unverified => "unverified",
            BackupStatus::Invalid(_) => "refused",
            BackupStatus::Unproven => "unproven",
        }
    }
}

impl Catalog {
    /// Lists both folders to their ends.
    ///
    /// # Errors
    /// The store's; an incomplete listing is never returned.
    pub async fn read(store: &dyn Store) -> Result<Self> {
        let mut listed = Vec::new();
        for backup_type in BackupType::ALL {
            listed.extend(store.list(&format!("{backup_type}/")).await?);
        }
        Ok(Self::of(listed))
    }

    /// Sorts a listing out.
    pub fn of(listed: Vec<Listed>) -> Self {
        let mut catalog = Self::default();
        let mut backups = BTreeMap::new();
        let mut documents = Vec::new();
        for object in listed {
            match Role::of(&object.name) {
                Role::Backup(name) => {
                    let size = object.size;
                    let backup = Backup { name: name.clone(), size, has_manifest: false, has_drill_record: false };
                    backups.insert(name, backup);
                }
                Role::Manifest(name) => documents.push((name, true, object)),
                Role::DrillRecord(name) => documents.push((name, false, object)),
                Role::Foreign => catalog.foreign += 1,
            }
        }
        for (name, is_manifest, object) in documents {
            match backups.get_mut(&name) {
                Some(backup) if is_manifest => backup.has_manifest = true,
                Some(backup) => backup.has_drill_record = true,
                None => catalog.orphans.push(object),
            }
        }
        catalog.backups = backups.into_values().rev().collect();
        catalog
    }

    /// The backup of that name.
    pub fn find(&self, name: &BackupName) -> Option<&Backup> {
        self.backups.iter().find(|backup| &backup.name == name)
    }

    /// The newest good backup whose time is believable, with its manifest.
    ///
    /// # Errors
    /// The store's.
    pub async fn newest_good(
        &self,
        store: &dyn Store,
        trust: &Trust,
        now: DateTime<Utc>,
        of: Option<BackupType>,
    ) -> Result<Option<(Backup, Manifest)>> {
        let of_type = |b: &&Backup| of.is_none_or(|t| t == b.name.backup_type());
        for backup in self.backups.iter().filter(of_type).filter(|b| !b.is_future(now)) {
            if let BackupStatus::Good(manifest) = standing(store, backup, trust).await? {
                return Ok(Some((backup.clone(), *manifest)));
            }
        }
        Ok(None)
    }
}

/// Fetches and checks the manifest of `backup`.
///
/// # Errors
/// The store's; a manifest that fails is an answer, not an error.
pub async fn standing(store: &dyn Store, backup: &Backup, trust: &Trust) -> Result<BackupStatus> {
    if !backup.has_manifest {
        return Ok(BackupStatus::Unverified);
    }
    Ok(claim(store, &backup.name, &trust.keys).await?.held_against(backup.size, trust))
}

/// What lies beside a backup as its manifest.
#[derive(Debug)]
pub enum ManifestCheck {
    /// An authentic manifest of this name.
    Authentic(Box<Manifest>),
    /// Nothing, or what cannot be relied on.
    Worthless(BackupStatus),
}

impl ManifestCheck {
    /// What it is worth for an object of `size` bytes.
    pub fn held_against(self, size: u64, trust: &Trust) -> BackupStatus {
        match self {
            ManifestCheck::Authentic(m) => match trust.other_cluster(&m) {
                Some(why) => BackupStatus::OtherCluster(m, why),
                None if m.size_bytes != size => {
                    BackupStatus::Invalid(format!("it names {} bytes, the object has {size}", m.size_bytes))
                }
                None => BackupStatus::Good(m),
            },
            ManifestCheck::Worthless(standing) => standing,
        }
    }
}

/// Fetches and checks the manifest of `name`, whatever its object is.
///
/// # Errors
/// The store's.
pub async fn claim(store: &dyn Store, name: &BackupName, keys: &[MacKey]) -> Result<ManifestCheck> {
    let Some(bytes) = document(store, &name.manifest()).await? else {
        return Ok(ManifestCheck::Worthless(BackupStatus::Unverified));
    };
    Ok(match Manifest::from_bytes(&bytes, name, keys) {
        Ok(manifest) => ManifestCheck::Authentic(Box::new(manifest)),
        Err(DocumentError::UnknownKey) => ManifestCheck::Worthless(BackupStatus::Unproven),
        Err(refused) => ManifestCheck::Worthless(BackupStatus::Invalid(refused.to_string())),
    })
}

/// The standings of `backups`, in the same order, fetched side by side.
///
/// # Errors
/// The store's.
pub async fn standings(store: &dyn Store, backups: &[Backup], trust: &Trust) -> Result<Vec<BackupStatus>> {
    stream::iter(backups).map(|b| standing(store, b, trust)).buffered(CONCURRENCY).try_collect().await
}

/// Reads a small document whole; `None` if it has gone since it was listed. One
/// that is too large is read cut, and so fails its check.
async fn document(store: &dyn Store, name: &str) -> Result<Option<Vec<u8>>> {
    let at = ReadAt { version: None, first: Some(MAX_DOCUMENT) };
    let download = match store.get(name, at).await {
        Ok(download) => download,
        Err(error) => {
            return if store.head(name).await?.is_none() { Ok(None) } else { Err(error) };
        }
    };
    let chunks: Vec<_> = download.body.try_collect().await?;
    Ok(Some(chunks.concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_a_listing_out() {
        let day = |d: u32| format!("daily/2025-11-{d:02}/vault-snapshot-202511{d:02}-020000.enc");
        let names = [
            day(1),
            day(3),
            day(2),
            format!("{}.manifest.json", day(3)),
            format!("{}.drill.json", day(2)),
            format!("{}.manifest.json", day(4)),
            "daily/README".into(),
            format!("{}.manifest.json.bak", day(3)),
        ];
        let listed = names.map(|name| Listed { name, size: 7, modified: None });
        let catalog = Catalog::of(listed.to_vec());
        let seen: Vec<_> =
            catalog.backups.iter().map(|b| (b.name.object(), b.has_manifest, b.has_drill_record)).collect();
        let (one, two, three) = (day(1), day(2), day(3));
        assert_eq!(seen, [(&three[..], true, false), (&two[..], false, true), (&one[..], false, false)]);
        assert_eq!(catalog.orphans.len(), 1);
        assert_eq!(catalog.foreign, 2);
    }
}

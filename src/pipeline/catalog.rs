//! The backups in the store: the listing by name, and the checks of manifests and drill
//! records.
//!
//! Not here: conclusions from it (`retention`, `commands`).

mod rotation;

pub(crate) use rotation::{check_drills, decide_by};

use super::trust::Trust;
use crate::base::error::Result;
use crate::formats::backup::{Backup, BackupStatus};
use crate::formats::manifest::{DocumentError, KeyEnd, MAX_DOCUMENT, Manifest};
use crate::formats::naming::{BackupName, BackupType, Role};
use crate::services::store::{Listed, Listing, ReadAt, Store};
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use std::collections::BTreeMap;

/// The store's listing, sorted by role.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// The backups, newest first.
    pub backups: Vec<Backup>,
    /// Manifests and drill records without their object.
    pub orphans: Vec<Listed>,
    /// Number of other objects below `daily/` and `monthly/`.
    pub foreign: usize,
    /// As [`Listing::skipped`].
    pub skipped: Vec<(String, &'static str)>,
}

impl Catalog {
    /// Lists everything below `daily/` and `monthly/`.
    ///
    /// # Errors
    /// The store's; an incomplete listing is never returned.
    pub async fn read(store: &dyn Store) -> Result<Self> {
        let listing = Self::list(store).await?;
        let mut catalog = Self::of(listing.objects);
        catalog.foreign += listing.foreign;
        catalog.skipped = listing.skipped;
        Ok(catalog)
    }

    /// Warns once of everything in a directory that has the name of a backup or its documents
    /// and is not a regular file: this program creates none.
    pub(crate) fn warn_of_skipped(&self, store: &dyn Store) {
        if let Some((name, kind)) = self.skipped.iter().min() {
            let more =
                if self.skipped.len() > 1 { format!(" (and {} more)", self.skipped.len() - 1) } else { String::new() };
            tracing::warn!("{}: skipped{more}: it is {kind}, not a regular file", store.locate(name));
        }
    }

    /// Lists everything of ours below `daily/` and `monthly/`, and counts the rest.
    ///
    /// # Errors
    /// As [`Catalog::read`].
    pub(crate) async fn list(store: &dyn Store) -> Result<Listing> {
        let mut listed = Listing::default();
        for backup_type in BackupType::ALL {
            let ours = |name: &str| Role::of(name) != Role::Foreign;
            let listing = store.list(&format!("{backup_type}/"), ours).await?;
            listed.objects.extend(listing.objects);
            listed.foreign += listing.foreign;
            listed.skipped.extend(listing.skipped);
        }
        Ok(listed)
    }

    /// Sorts a listing by role.
    pub fn of(listed: Vec<Listed>) -> Self {
        let mut catalog = Self::default();
        let mut backups = BTreeMap::new();
        let mut documents = Vec::new();
        for object in listed {
            match Role::of(&object.name) {
                Role::Backup(name) => {
                    backups.insert(name.clone(), Backup::new(name, object.size));
                }
                Role::Manifest(name) => documents.push((name, true, object)),
                Role::DrillRecord(name) => documents.push((name, false, object)),
                Role::Foreign => catalog.foreign += 1,
            }
        }
        for (name, is_manifest, object) in documents {
            match backups.get_mut(&name) {
                Some(backup) if is_manifest => backup.add_manifest(),
                Some(backup) => backup.add_drill_record(),
                None => catalog.orphans.push(object),
            }
        }
        catalog.backups = backups.into_values().rev().collect();
        catalog
    }

    /// Adds a good backup that this run made, listed already or not.
    pub fn add(&mut self, name: &BackupName, manifest: Manifest) {
        self.backups.retain(|backup| backup.name != *name);
        let mut backup = Backup::new(name.clone(), manifest.size_bytes);
        backup.add_manifest();
        backup.status = BackupStatus::Good(Box::new(manifest));
        let at = self.backups.partition_point(|other| other.name > backup.name);
        self.backups.insert(at, backup);
    }

    /// Returns the newest good backup whose time is not in the future, if any. Checks the
    /// manifests down to it; the statuses stay in the catalog.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn newest_good(
        &mut self,
        store: &dyn Store,
        trust: &Trust,
        now: DateTime<Utc>,
        of: Option<BackupType>,
    ) -> Result<Option<&Backup>> {
        let wanted = |b: &Backup| of.is_none_or(|of| of == b.name.backup_type()) && !b.is_future(now);
        let wanted: Vec<_> = (0..self.backups.len()).filter(|index| wanted(&self.backups[*index])).collect();
        // Mostly the first one is good. Among many forged ones, several are read at a time.
        let (mut from, mut count) = (0, 1);
        while from < wanted.len() {
            let next = wanted.len().min(from + count);
            rotation::check_at(store, &mut self.backups, wanted[from..next].to_vec(), trust).await?;
            if let Some(good) = wanted[from..next].iter().find(|index| self.backups[**index].status.is_good()) {
                return Ok(self.backups.get(*good));
            }
            (from, count) = (next, rotation::CONCURRENCY);
        }
        Ok(None)
    }
}

/// Checks the manifests of the `wanted` ones of `backups` that were not checked yet. Reads
/// older manifests too if a wanted one is under an old key without a date as its end.
///
/// # Errors
/// The store's; an invalid manifest is a status, not an error.
pub(crate) async fn check_manifests(
    store: &dyn Store,
    backups: &mut [Backup],
    wanted: impl Fn(&Backup) -> bool,
    trust: &Trust,
) -> Result<()> {
    let wanted = backups.iter().enumerate().filter(|(_, backup)| wanted(backup)).map(|(index, _)| index).collect();
    rotation::check_at(store, backups, wanted, trust).await
}

/// Checks all documents of `backups` that were not checked yet.
///
/// # Errors
/// As [`check_manifests`].
pub(crate) async fn check_all(store: &dyn Store, backups: &mut [Backup], trust: &Trust) -> Result<()> {
    check_manifests(store, backups, |_| true, trust).await?;
    check_drills(store, backups, |_| true, trust).await
}

/// Result of reading a manifest, before it is compared with an object.
#[derive(Debug)]
pub(crate) enum ManifestCheck {
    /// An authentic manifest of this name.
    Authentic(Box<Manifest>),
    /// The same, under an old key: older backups decide if it counts.
    OldKey(Box<Manifest>),
    /// No manifest that counts, and the status of its backup.
    Unusable(BackupStatus),
}

impl ManifestCheck {
    /// Returns the status of an object of `size` bytes. It is unchecked as long as other
    /// backups decide about it.
    pub(crate) fn status(self, size: u64, trust: &Trust) -> BackupStatus {
        match self {
            ManifestCheck::Authentic(m) => match trust.other_cluster(&m) {
                Some(why) => BackupStatus::OtherCluster(m, why),
                None if m.size_bytes != size => {
                    BackupStatus::Invalid(format!("it names {} bytes, the object has {size}", m.size_bytes))
                }
                None => BackupStatus::Good(m),
            },
            ManifestCheck::OldKey(_) => BackupStatus::Unchecked,
            ManifestCheck::Unusable(status) => status,
        }
    }

    /// Applies what is known by now about the first backup under the current key.
    pub(crate) fn decided(self, name: &BackupName, trust: &Trust) -> Self {
        match self {
            ManifestCheck::OldKey(manifest) => Self::ended(manifest, KeyEnd::AtRotation, name, trust),
            decided => decided,
        }
    }

    fn ended(manifest: Box<Manifest>, end: KeyEnd, name: &BackupName, trust: &Trust) -> Self {
        match trust.ended(end, name.created_at()) {
            None => ManifestCheck::OldKey(manifest),
            Some(None) => ManifestCheck::Authentic(manifest),
            Some(Some(why)) => ManifestCheck::Unusable(BackupStatus::Invalid(why)),
        }
    }
}

/// Reads and authenticates the manifest of `name`, and applies the end of its key as far as
/// that is known.
///
/// # Errors
/// The store's.
pub(crate) async fn read_manifest(store: &dyn Store, name: &BackupName, trust: &Trust) -> Result<ManifestCheck> {
    let Some(bytes) = document(store, &name.manifest()).await? else {
        return Ok(ManifestCheck::Unusable(BackupStatus::Unverified));
    };
    Ok(match Manifest::from_bytes(&bytes, name, &trust.keys) {
        Ok((manifest, end)) => {
            if end == KeyEnd::Never {
                trust.rotation.saw(name.created_at());
            }
            ManifestCheck::ended(Box::new(manifest), end, name, trust)
        }
        Err(DocumentError::UnknownKey) => {
            let stated = Manifest::peek(&bytes).map(|m| m.key_id).filter(|id| is_key_id(id));
            ManifestCheck::Unusable(BackupStatus::UnknownKey(stated))
        }
        Err(invalid) => ManifestCheck::Unusable(BackupStatus::Invalid(reason(&invalid))),
    })
}

/// Returns the reason to reject a document. It may quote the document, so its length is bounded.
fn reason(invalid: &DocumentError) -> String {
    const LONGEST: usize = 300;
    let text = invalid.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Returns `true` for text that is safe to print as a key id.
fn is_key_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Reads a small document; returns `None` if it was deleted after the listing. One that is
/// too large is truncated, so its check fails.
pub(crate) async fn document(store: &dyn Store, name: &str) -> Result<Option<Vec<u8>>> {
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
    fn a_listing_is_sorted_by_role() {
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

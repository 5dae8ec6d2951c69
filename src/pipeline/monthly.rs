//! The monthly copy of a verified daily backup.
//!
//! Here: whether this month still lacks one, and the copy inside the store with
//! its own manifest. Not here: which months are kept (`retention`).

use super::catalog::{self, Catalog};
use super::trust::Trust;
use crate::base::error::Result;
use crate::formats::manifest::{MacKey, Manifest};
use crate::formats::naming::{BackupName, BackupType};
use crate::services::store::{Head, Put, Store};
use bytes::Bytes;

/// Whether the month of `name` has no good monthly backup yet.
///
/// # Errors
/// The store's.
pub async fn is_due(store: &dyn Store, name: &BackupName, trust: &Trust) -> Result<bool> {
    let monthly = name.as_monthly();
    let folder = monthly.object().rsplit_once('/').map_or("", |(folder, _)| folder);
    let catalog = Catalog::of(store.list(&format!("{folder}/")).await?);
    let standings = catalog::standings(store, &catalog.backups, trust).await?;
    Ok(!standings.iter().any(catalog::BackupStatus::is_good))
}

/// Copies the backup of `manifest`, as `head` saw it, to `monthly/`, then commits
/// the copy with a manifest of its own.
///
/// # Errors
/// The store's; nothing is written over.
pub async fn copy(
    store: &dyn Store,
    name: &BackupName,
    manifest: &Manifest,
    head: &Head,
    key: &MacKey,
) -> Result<BackupName> {
    let monthly = name.as_monthly();
    store.copy(name.object(), head, monthly.object()).await?;
    let own = Manifest { object: monthly.object().into(), backup_type: BackupType::Monthly, ..manifest.clone() };
    store.put(&monthly.manifest(), Bytes::from(own.to_bytes(key)?), Put::Create).await?;
    Ok(monthly)
}

//! The monthly copy of a verified daily backup.
//!
//! Not here: the number of months that are kept (`retention`).

use super::catalog::{self, Catalog};
use super::trust::Trust;
use crate::base::error::Result;
use crate::formats::backup::Backup;
use crate::formats::manifest::{MacKey, Manifest};
use crate::formats::naming::{BackupName, BackupType};
use crate::services::store::{Head, Put, Store};
use bytes::Bytes;

/// Returns `true` if the month of `name` has no good monthly backup yet.
///
/// # Errors
/// The store's.
pub(crate) async fn is_due(store: &dyn Store, catalog: &mut Catalog, name: &BackupName, trust: &Trust) -> Result<bool> {
    let month = |name: &BackupName| name.created_at().format("%Y-%m").to_string();
    let of_month = |b: &Backup| b.name.backup_type() == BackupType::Monthly && month(&b.name) == month(name);
    catalog::check_manifests(store, &mut catalog.backups, of_month, trust).await?;
    Ok(!catalog.backups.iter().any(|backup| of_month(backup) && backup.status.is_good()))
}

/// Copies the backup of `manifest`, in the version of `head`, to `monthly/`, then commits
/// the copy with its own manifest. Returns both.
///
/// # Errors
/// The store's; nothing is overwritten.
pub(crate) async fn copy(
    store: &dyn Store,
    name: &BackupName,
    manifest: &Manifest,
    head: &Head,
    key: &MacKey,
) -> Result<(BackupName, Manifest)> {
    let monthly = name.as_monthly();
    store.copy(name.object(), head, monthly.object()).await?;
    let own = Manifest { object: monthly.object().into(), backup_type: BackupType::Monthly, ..manifest.clone() };
    store.put(&monthly.manifest(), Bytes::from(own.to_bytes(key)?), Put::Create).await?;
    Ok((monthly, own))
}

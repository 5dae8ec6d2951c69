//! The monthly copy of a verified daily backup.
//!
//! Not here: the number of months that are kept (`retention`).

use super::catalog::{self, Catalog};
use super::commit::write_document;
use super::reader;
use super::trust::Trust;
use super::upload::Sent;
use crate::base::error::{Error, Result};
use crate::base::stop::Stop;
use crate::formats::backup::Backup;
use crate::formats::crypto::Keyring;
use crate::formats::manifest::{Manifest, Verification};
use crate::formats::naming::{BackupName, BackupType};
use crate::services::progress::Progress;
use crate::services::store::{Put, Store};
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

/// Copies the backup of `manifest`, as it was `sent`, to `monthly/` inside the store. Reads
/// the copy back, because the store alone says that it is one, then commits it with a
/// manifest. Returns both, and the result of [`write_document`].
///
/// # Errors
/// The store's; nothing is overwritten. `Integrity` if the copy is not the backup.
pub(crate) async fn copy(
    store: &dyn Store,
    name: &BackupName,
    manifest: &Manifest,
    sent: &Sent,
    keyring: Keyring,
    stop: &Stop,
    progress: &Progress,
) -> Result<(BackupName, Manifest, Option<Error>)> {
    let monthly = name.as_monthly();
    stop.guard(store.copy(name.object(), &sent.uploaded.head, monthly.object())).await?;
    let key = keyring.primary().mac_key();
    let read_back = reader::read_back(store, &monthly, sent, keyring, stop, progress).await;
    read_back.map_err(|e| e.context(format!("{}: copied, but not verified", store.locate(monthly.object()))))?;
    let own = Manifest {
        object: monthly.object().into(),
        backup_type: BackupType::Monthly,
        verification: Some(Verification::Full),
        ..manifest.clone()
    };
    let document = Bytes::from(own.to_bytes(&key)?);
    let reported = stop.guard(write_document(store, &monthly.manifest(), document, Put::Create)).await?;
    Ok((monthly, own, reported))
}

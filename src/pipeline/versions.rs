//! Where a store keeps versions: which of them is the backup that a manifest names.
//!
//! Backups are written once. A second version is somebody else's doing, and the
//! first is still there below it. Not here: what manifests are worth (`catalog`).

use super::catalog::{self, ManifestCheck};
use crate::base::error::Result;
use crate::formats::manifest::{MacKey, Manifest};
use crate::formats::naming::BackupName;
use crate::services::store::{Head, ReadAt, Store};
use futures_util::TryStreamExt;
use ring::digest;

/// The version of `name` that `manifest` names, `current` being what a read without
/// a version would get; `None` if there is none, as far as sizes and hashes tell. Only
/// an older one has its version in the answer.
///
/// Objects are read only where there are several of the right size.
///
/// # Errors
/// The store's.
pub async fn named_by(
    manifest: &Manifest,
    store: &dyn Store,
    name: &BackupName,
    current: Option<&Head>,
) -> Result<Option<Head>> {
    let fits = current.filter(|head| head.size == manifest.size_bytes).cloned();
    let mut fitting: Vec<_> = fits.map(|head| Head { version: None, ..head }).into_iter().collect();
    if current.is_none_or(|head| head.version.is_some()) {
        match older(store, name, manifest.size_bytes).await {
            Ok(older) => fitting.extend(older),
            Err(error) if fitting.is_empty() => tracing::warn!("older versions could not be looked for: {error}"),
            Err(error) => tracing::debug!("older versions could not be looked for: {error}"),
        }
    }
    if fitting.len() < 2 {
        return Ok(fitting.pop());
    }
    for head in fitting {
        let version = head.version.as_deref().unwrap_or("which is the latest");
        tracing::info!("{}: reading version {version}, to compare it", store.locate(name.object()));
        if sha256(store, name, &head).await? == manifest.sha256 {
            return Ok(Some(head));
        }
    }
    Ok(None)
}

/// The id of the newest version below the current one that has the size which the
/// manifest of `name` names; `None` too where the manifest cannot be relied on.
///
/// # Errors
/// The store's, but none where versions cannot be listed.
pub async fn older_id(store: &dyn Store, name: &BackupName, keys: &[MacKey]) -> Result<Option<String>> {
    let ManifestCheck::Authentic(manifest) = catalog::read_manifest(store, name, keys).await? else { return Ok(None) };
    match older(store, name, manifest.size_bytes).await {
        Ok(versions) => Ok(versions.into_iter().next().and_then(|head| head.version)),
        Err(error) => {
            tracing::info!("older versions could not be looked for: {error}");
            Ok(None)
        }
    }
}

/// The versions of `size` bytes that a read without a version does not get, newest first.
async fn older(store: &dyn Store, name: &BackupName, size: u64) -> Result<Vec<Head>> {
    let versions = store.versions(name.object()).await?.into_iter();
    let fitting = versions.filter(|version| !version.latest && version.size == size);
    Ok(fitting.map(|v| Head { size, modified: v.modified, version: Some(v.id), ..Head::default() }).collect())
}

/// The hex SHA-256 of that version, read whole.
async fn sha256(store: &dyn Store, name: &BackupName, head: &Head) -> Result<String> {
    let at = ReadAt { version: head.version.clone(), first: None };
    let mut body = store.get(name.object(), at).await?.body;
    let mut hash = digest::Context::new(&digest::SHA256);
    while let Some(chunk) = body.try_next().await? {
        hash.update(&chunk);
    }
    Ok(hex::encode(hash.finish()))
}

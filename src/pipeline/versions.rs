//! Finds the version of an object that its manifest describes, in a store with versioning.
//!
//! Backups are written once. A second version was written by another program, and the first
//! still exists below it. Not here: the check of manifests (`catalog`).

use super::catalog::{self, ManifestCheck};
use super::trust::Trust;
use crate::base::error::Result;
use crate::formats::manifest::Manifest;
use crate::formats::naming::BackupName;
use crate::services::store::{Head, ReadAt, Store};
use futures_util::TryStreamExt;
use ring::digest;

/// Returns the version of `name` that matches `manifest` by size and, if several have that
/// size, by SHA-256, if any. `current` is the current version. The result has a version
/// only if it is a noncurrent one.
///
/// Objects are read only if several have the right size.
///
/// # Errors
/// The store's.
pub(crate) async fn named_by(
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
            Err(error) if fitting.is_empty() => tracing::warn!("older versions could not be listed: {error}"),
            Err(error) => tracing::debug!("older versions could not be listed: {error}"),
        }
    }
    if fitting.len() < 2 {
        return Ok(fitting.pop());
    }
    for head in fitting {
        let version = head.version.as_deref().map_or("the current version".to_owned(), |id| format!("version {id}"));
        tracing::info!("{}: reading {version} to compare its SHA-256", store.locate(name.object()));
        if sha256(store, name, &head).await? == manifest.sha256 {
            return Ok(Some(head));
        }
    }
    Ok(None)
}

/// Returns the id of the newest noncurrent version that has the size in the manifest of
/// `name`, if any. A manifest that fails its check gives none.
///
/// # Errors
/// The store's, except for a failure to list versions.
pub(crate) async fn older_id(store: &dyn Store, name: &BackupName, trust: &Trust) -> Result<Option<String>> {
    let check = catalog::read_manifest(store, name, trust).await?.decided(name, trust);
    let ManifestCheck::Authentic(manifest) = check else { return Ok(None) };
    match older(store, name, manifest.size_bytes).await {
        Ok(versions) => Ok(versions.into_iter().next().and_then(|head| head.version)),
        Err(error) => {
            tracing::info!("older versions could not be listed: {error}");
            Ok(None)
        }
    }
}

/// Returns the noncurrent versions of exactly `size` bytes, newest first.
async fn older(store: &dyn Store, name: &BackupName, size: u64) -> Result<Vec<Head>> {
    let versions = store.versions(name.object()).await?.into_iter();
    let fitting = versions.filter(|version| !version.latest && version.size == size);
    Ok(fitting.map(|v| Head { size, modified: v.modified, version: Some(v.id), ..Head::default() }).collect())
}

/// Reads all of that version and returns its hex SHA-256.
async fn sha256(store: &dyn Store, name: &BackupName, head: &Head) -> Result<String> {
    let at = ReadAt { version: head.version.clone(), first: None };
    let mut body = store.get(name.object(), at).await?.body;
    let mut hash = digest::Context::new(&digest::SHA256);
    while let Some(chunk) = body.try_next().await? {
        hash.update(&chunk);
    }
    Ok(hex::encode(hash.finish()))
}

//! Chooses the object and version to read for one backup, and checks its manifest.
//!
//! Not here: finding a backup by a short name (`select`), and reading it (`verified`).

use super::catalog::{self, Catalog, ManifestCheck};
use super::trust::{OTHER_CLUSTER, Trust};
use super::verified::{EarlierReads, Expected, ReadSpec};
use super::versions;
use crate::base::error::{Error, Kind, Result};
use crate::formats::backup::BackupStatus;
use crate::formats::crypto::{Keyring, Layouts, LegacyRule};
use crate::formats::manifest::Manifest;
use crate::formats::naming::BackupName;
use crate::services::store::{CHECKSUM, Download, Head, ReadAt, Store};
use std::sync::Arc;

const SEE_LIST: &str = "see: vault-backup list";
const DELETED: &str = "remove the delete markers of object and manifest: the bucket still has the deleted backup";
const NO_MANIFEST: &str = "it has no manifest: it was never verified";
const NO_KEY: &str = "no configured key can check its manifest";

/// A backup in the store that will be read.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// Its name.
    pub name: BackupName,
    /// The object. It has a version only if that is not the current one: reading the
    /// current one without a version needs fewer rights.
    pub head: Head,
    /// Its status, for that version.
    pub status: BackupStatus,
    /// Its full address, for messages.
    pub address: String,
}

/// Finds the object `name` and its manifest. If the current version is not the one in the manifest,
/// or is a delete marker, an older version that matches is chosen, with a warning.
///
/// # Errors
/// `Store` if there is no such backup.
pub(crate) async fn choose(store: &dyn Store, name: &BackupName, trust: &Trust) -> Result<Chosen> {
    let object = name.object();
    let address = store.locate(object);
    let missing = || Error::store(format!("{address}: no such backup"));
    let current = store.head(object).await?;
    let mut manifest = catalog::read_manifest(store, name, trust).await?;
    if let ManifestCheck::OldKey(_) = manifest {
        let mut backups = Catalog::read(store).await?.backups;
        catalog::decide_by(store, &mut backups, name.created_at(), trust).await?;
        manifest = manifest.decided(name, trust);
    }
    let named = match &manifest {
        ManifestCheck::Authentic(manifest) => versions::named_by(manifest, store, name, current.as_ref()).await?,
        ManifestCheck::OldKey(_) | ManifestCheck::Unusable(_) => None,
    };
    let head = match (named, current) {
        (Some(head), current) => {
            if let Some(instead) = &head.version {
                let what =
                    if current.is_some() { "the current version is not the one in its manifest" } else { "deleted" };
                tracing::warn!("{address}: {what}; reading version {instead} instead");
            }
            head
        }
        (None, Some(current)) => Head { version: None, ..current },
        (None, None) => {
            let deleted = store.versions(object).await.is_ok_and(|versions| !versions.is_empty());
            return Err(missing().hint(if deleted { DELETED } else { SEE_LIST }));
        }
    };
    Ok(Chosen { status: manifest.status(head.size, trust), name: name.clone(), head, address })
}

/// Accepts a backup whose integrity is in doubt if the run was asked to (`restore --unverified`), with
/// a warning.
///
/// # Errors
/// `refusal`, with the way to accept it if there is one.
pub(crate) fn accept_if_unverified(refusal: Error, unverified: bool) -> Result<()> {
    match (refusal.kind(), unverified) {
        (Kind::Integrity, true) => {
            tracing::warn!("{}", refusal.message());
            Ok(())
        }
        (Kind::Integrity, false) => {
            let hint = refusal.next_step().map_or(String::new(), |hint| format!("{hint}; "));
            Err(refusal.hint(format!("{hint}restore it all the same with --unverified")))
        }
        _ => Err(refusal),
    }
}

impl ReadSpec {
    /// Returns the rules for reading `chosen` from the store.
    pub(crate) fn of(chosen: &Chosen, keyring: Option<Arc<Keyring>>, legacy: LegacyRule) -> Self {
        let expected = Expected {
            uploaded: None,
            manifest: chosen.status.authentic().map(|manifest| manifest.sha256.clone()),
            metadata: chosen.head.metadata.get(CHECKSUM).cloned(),
        };
        let (layouts, name, earlier) = (chosen.layouts(legacy), Some(chosen.name.clone()), EarlierReads::default());
        Self { keyring, layouts, plain: false, name, expected, earlier }
    }
}

impl Chosen {
    /// Starts the download of what was chosen.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn download(&self, store: &dyn Store) -> Result<Download> {
        store.get(self.name.object(), ReadAt { version: self.head.version.clone(), first: None }).await
    }

    /// Returns the accepted formats: not the legacy one if there is a manifest, which means
    /// format 1.
    fn layouts(&self, legacy: LegacyRule) -> Layouts {
        match self.status {
            BackupStatus::Unverified => legacy.layouts(Some(&self.name)),
            _ => Layouts::Format1,
        }
    }

    /// For `verify-restore`: refuses a backup whose manifest fails. One without a manifest
    /// is accepted, without a result.
    ///
    /// # Errors
    /// `Integrity` with the reason; `Usage` for a backup of another cluster.
    pub(crate) fn insist(&self) -> Result<Option<&Manifest>> {
        let refused = |why: &str| Error::integrity(format!("{}: {why}", self.address));
        match &self.status {
            BackupStatus::Good(manifest) => Ok(Some(manifest)),
            BackupStatus::OtherCluster(_, why) => {
                Err(Error::usage(format!("{}: {why}", self.address)).hint(OTHER_CLUSTER))
            }
            BackupStatus::Unverified => Ok(None),
            BackupStatus::UnknownKey(_) | BackupStatus::Unchecked => {
                Err(refused(NO_KEY).hint("add the key that made it to encryption.old_keys"))
            }
            BackupStatus::Invalid(why) => Err(refused(&format!("its manifest is invalid: {why}"))
                .hint("choose another backup: this one or its manifest was modified or forged")),
        }
    }

    /// For `restore`: refuses a backup that is not good, unless `unverified` is set.
    ///
    /// # Errors
    /// `Integrity` with the reason; `Usage` for a backup of another cluster.
    pub(crate) fn insist_on_good(&self, unverified: bool) -> Result<()> {
        let refusal = match self.insist() {
            Ok(Some(_)) => return Ok(()),
            Ok(None) => Error::integrity(format!("{}: {NO_MANIFEST}", self.address)),
            Err(error) => error,
        };
        accept_if_unverified(refusal, unverified)
    }

    /// For `recover`: refuses a backup of another cluster.
    ///
    /// # Errors
    /// `Usage` naming both clusters.
    pub(crate) fn refuse_other_cluster(&self) -> Result<()> {
        match &self.status {
            BackupStatus::OtherCluster(..) => self.insist().map(drop),
            _ => Ok(()),
        }
    }

    /// For `decrypt` and `inspect`: warns of a backup that is not good.
    pub(crate) fn warn(&self) {
        match &self.status {
            // A backup of another cluster is reported by its header, which files have too.
            BackupStatus::Good(_) | BackupStatus::OtherCluster(..) => {}
            BackupStatus::Unverified => tracing::info!("{}: {NO_MANIFEST}", self.address),
            BackupStatus::UnknownKey(_) | BackupStatus::Unchecked => tracing::warn!("{}: {NO_KEY}", self.address),
            BackupStatus::Invalid(why) => tracing::warn!("{}: its manifest is invalid: {why}", self.address),
        }
    }
}

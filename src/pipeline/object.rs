//! One backup to be read: which version of which object, and what its manifest
//! says of it.
//!
//! Here: the choice, before a byte is read. Not here: reading it (`reader`).

use super::catalog::{self, ManifestCheck};
use super::trust::{OTHER_CLUSTER, Trust};
use super::versions;
use crate::base::error::{Error, Result};
use crate::formats::backup::BackupStatus;
use crate::formats::crypto::Layouts;
use crate::formats::manifest::Manifest;
use crate::formats::naming::BackupName;
use crate::services::store::{CHECKSUM, Download, Head, ReadAt, Store};

const SEE_LIST: &str = "see: vault-backup list";
const HIDDEN: &str = "it was deleted, and the bucket still has it: remove the delete markers of object and manifest";

/// A backup in the store that is about to be read.
#[derive(Debug)]
pub struct Chosen {
    /// Its name.
    pub name: BackupName,
    /// What will be read. It names a version only where that is an older one: reading the
    /// latest takes fewer rights without.
    pub head: Head,
    /// What its manifest says, held against that version.
    pub standing: BackupStatus,
    /// Its full address, for messages.
    pub address: String,
}

/// Finds `object`, with its manifest. Where the current version is not what the
/// manifest names, or is a delete marker, an older version that is gets chosen, with
/// a warning.
///
/// # Errors
/// `Store` if there is no such backup.
pub async fn choose(store: &dyn Store, object: &str, trust: &Trust) -> Result<Chosen> {
    let address = store.locate(object);
    let missing = || Error::store(format!("{address}: no such backup"));
    let name = BackupName::parse(object).ok_or_else(|| missing().hint(SEE_LIST))?;
    let current = store.head(object).await?;
    let manifest = catalog::read_manifest(store, &name, &trust.keys).await?;
    let named = match &manifest {
        ManifestCheck::Authentic(manifest) => versions::named_by(manifest, store, &name, current.as_ref()).await?,
        ManifestCheck::Unusable(_) => None,
    };
    let head = match (named, current) {
        (Some(head), current) => {
            if let Some(instead) = &head.version {
                let what =
                    if current.is_some() { "the current version is not what its manifest names" } else { "deleted" };
                tracing::warn!("{address}: {what}; reading version {instead} instead");
            }
            head
        }
        (None, Some(current)) => Head { version: None, ..current },
        (None, None) => {
            let hidden = store.versions(object).await.is_ok_and(|versions| !versions.is_empty());
            return Err(missing().hint(if hidden { HIDDEN } else { SEE_LIST }));
        }
    };
    Ok(Chosen { standing: manifest.status(head.size, trust), name, head, address })
}

/// What a backup's bytes must hash to: the hex SHA-256 that its manifest, if that is
/// authentic, and its metadata name.
#[derive(Clone, Debug, Default)]
pub struct Named {
    manifest: Option<String>,
    metadata: Option<String>,
}

impl Named {
    /// Holds the hex SHA-256 of all that was read against what is named.
    ///
    /// # Errors
    /// `Integrity`.
    pub fn check(&self, sha256: &str) -> Result<()> {
        let differs = |named: &Option<String>| named.as_ref().is_some_and(|named| !named.eq_ignore_ascii_case(sha256));
        if differs(&self.manifest) {
            return Err(Error::integrity("its SHA-256 is not the one in its manifest")
                .hint("the object was replaced; it is not the backup that was verified"));
        }
        if differs(&self.metadata) {
            return Err(Error::integrity("its SHA-256 is not the one in its metadata")
                .hint("every segment authenticates: the metadata was changed, or another backup put in its place"));
        }
        Ok(())
    }
}

impl Chosen {
    /// What its bytes must hash to.
    pub fn named(&self) -> Named {
        Named {
            manifest: self.standing.authentic().map(|manifest| manifest.sha256.clone()),
            metadata: self.head.metadata.get(CHECKSUM).cloned(),
        }
    }

    /// Starts the download of what was chosen.
    ///
    /// # Errors
    /// The store's.
    pub async fn download(&self, store: &dyn Store) -> Result<Download> {
        store.get(self.name.object(), ReadAt { version: self.head.version.clone(), first: None }).await
    }

    /// Which layouts it may be read as: never the older one where a manifest of
    /// format 1 speaks of it.
    pub fn layouts(&self) -> Layouts {
        if matches!(self.standing, BackupStatus::Unverified) { Layouts::Any } else { Layouts::Format1 }
    }

    /// For `verify-restore` and `restore`: a manifest that is there must not fail.
    ///
    /// # Errors
    /// `Integrity` with the reason; `Usage` for a backup of another cluster.
    pub fn insist(&self) -> Result<Option<&Manifest>> {
        match &self.standing {
            BackupStatus::Good(manifest) => Ok(Some(manifest)),
            BackupStatus::OtherCluster(_, why) => {
                Err(Error::usage(format!("{}: {why}", self.address)).hint(OTHER_CLUSTER))
            }
            BackupStatus::Unverified => Ok(None),
            BackupStatus::UnknownKey(_) | BackupStatus::Unchecked => {
                Err(Error::integrity(format!("{}: no key at hand can check its manifest", self.address))
                    .hint("add the key that made it to encryption.old_keys"))
            }
            BackupStatus::Invalid(why) => Err(Error::integrity(format!("{}: its manifest fails: {why}", self.address))
                .hint("choose another backup; somebody or something changed this one")),
        }
    }

    /// For `recover`: refuses a backup of another cluster.
    ///
    /// # Errors
    /// `Usage` naming both clusters.
    pub fn refuse_other_cluster(&self) -> Result<()> {
        match &self.standing {
            BackupStatus::OtherCluster(..) => self.insist().map(drop),
            _ => Ok(()),
        }
    }

    /// For `decrypt` and `inspect`: says what is doubtful, and goes on.
    pub fn warn(&self) {
        match &self.standing {
            // Another cluster's is told of by its header, which files have too.
            BackupStatus::Good(_) | BackupStatus::OtherCluster(..) => {}
            BackupStatus::Unverified => tracing::info!("{}: it has no manifest: it was never verified", self.address),
            BackupStatus::UnknownKey(_) | BackupStatus::Unchecked => {
                tracing::warn!("{}: no key at hand can check its manifest", self.address);
            }
            BackupStatus::Invalid(why) => tracing::warn!("{}: its manifest fails: {why}", self.address),
        }
    }
}

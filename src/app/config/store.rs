//! `[store]` and `[encryption]`.

use super::values::{self, ObjectLock};
use super::{Environment, Overrides, file, pick};
use crate::base::error::{Error, Result};
use crate::base::secret::{Reference, Secret};
use serde::Deserialize;
use std::path::PathBuf;
use url::Url;

/// `[store]`: where backups lie.
#[derive(Clone, Debug)]
pub struct StoreSection {
    /// `s3://BUCKET[/PREFIX]` or `file:///DIRECTORY`.
    pub url: Url,
    /// The S3 server's address; AWS's where absent.
    pub endpoint: Option<Url>,
    /// The region; from AWS's own chain where absent.
    pub region: Option<String>,
    /// Whether the bucket stands in the path rather than in the host's name.
    pub path_style: bool,
    /// PEM file of the CA that signed the server's certificate, beside the system's roots.
    pub ca_cert: Option<PathBuf>,
    /// Server-side encryption; the bucket's default where absent.
    pub sse: Option<Sse>,
    /// The KMS key for [`Sse::Kms`]; AWS's managed one where absent.
    pub kms_key_id: Option<String>,
    /// The storage class; the server's default where absent.
    pub storage_class: Option<String>,
    /// Object Lock of daily backups.
    pub object_lock_daily: Option<ObjectLock>,
    /// Object Lock of monthly backups.
    pub object_lock_monthly: Option<ObjectLock>,
}

/// Server-side encryption, named as the header `x-amz-server-side-encryption` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Sse {
    /// SSE-S3.
    #[serde(rename = "AES256")]
    S3,
    /// SSE-KMS.
    #[serde(rename = "aws:kms")]
    Kms,
}

impl Sse {
    /// As S3's header names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Sse::S3 => "AES256",
            Sse::Kms => "aws:kms",
        }
    }
}

impl StoreSection {
    pub(super) fn resolve(
        file: file::Store,
        overrides: &Overrides,
        environment: Environment<'_>,
    ) -> Result<Option<Self>> {
        let url = match &overrides.store {
            Some(url) => Some(values::store_url(url).map_err(|allowed| Error::usage(format!("--store: {allowed}")))?),
            None => pick(environment, "VAULT_BACKUP_STORE", values::store_url, file.url.map(|v| v.0))?,
        };
        Ok(url.map(|url| Self {
            url,
            path_style: file.path_style.unwrap_or(file.endpoint.is_some()),
            endpoint: file.endpoint.map(|v| v.0),
            region: file.region.map(|v| v.0),
            ca_cert: file.ca_cert.map(|v| v.0),
            sse: file.sse,
            kms_key_id: file.kms_key_id.map(|v| v.0),
            storage_class: file.storage_class.map(|v| v.0),
            object_lock_daily: file.object_lock_daily.map(|v| v.0),
            object_lock_monthly: file.object_lock_monthly.map(|v| v.0),
        }))
    }
}

/// `[encryption]`: the backup keys.
#[derive(Clone, Debug)]
pub struct EncryptionSection {
    /// The key that encrypts.
    pub key: Option<Reference>,
    /// Keys that still decrypt.
    pub old_keys: Vec<Reference>,
    /// The manifest key alone, for a host that only prunes.
    pub manifest_key: Option<Reference>,
}

impl EncryptionSection {
    pub(super) fn resolve(file: file::Encryption, overrides: &Overrides, environment: Environment<'_>) -> Self {
        let variable = || environment("VAULT_BACKUP_KEY").map(|_| Reference::Env("VAULT_BACKUP_KEY".into()));
        Self {
            key: overrides.key.clone().or_else(variable).or(file.key.map(|v| v.0)),
            old_keys: file.old_keys.unwrap_or_default().into_iter().map(|v| v.0).collect(),
            manifest_key: file.manifest_key.map(|v| v.0),
        }
    }

    /// The keys, read now, each with where it came from; the first one encrypts.
    ///
    /// # Errors
    /// `Usage` where no key is configured, and as [`Reference::read_key`].
    pub fn keys(&self) -> Result<Vec<(Reference, Secret)>> {
        let key = self.key.as_ref().ok_or_else(|| {
            Error::usage("no backup key configured")
                .hint("set encryption.key or VAULT_BACKUP_KEY; `vault-backup keygen` makes one")
        })?;
        std::iter::once(key).chain(&self.old_keys).map(|from| Ok((from.clone(), from.read_key()?))).collect()
    }

    /// The manifest key, read now, with where it came from.
    ///
    /// # Errors
    /// As [`Reference::read_key`].
    pub fn read_manifest_key(&self) -> Result<Option<(Reference, Secret)>> {
        self.manifest_key.as_ref().map(|from| Ok((from.clone(), from.read_key()?))).transpose()
    }
}

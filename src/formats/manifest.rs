//! The manifest, which records that a backup was uploaded and read back, and the drill
//! record, which records that it was restored. Both are JSON documents with a MAC.
//!
//! Defines their fields; the canonical form (RFC 8785) is in `canonical`, the MAC in `mac`. Not here:
//! their object names (`naming`), writing and reading them (`pipeline`).
//! Format: docs/format.md.

pub mod canonical;
mod mac;

pub use mac::{KeyEnd, MacKey};

use crate::base::error::{Error, Result};
use crate::formats::naming::{BackupName, BackupType};
use crate::formats::product::Product;
use mac::{sign, verify};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Maximum size of a manifest or drill record, in bytes.
pub const MAX_DOCUMENT: u64 = 64 * 1024;

/// Details of the Vault server that a backup was taken from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultFacts {
    /// The server's product, if recorded (since 0.2).
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "Product::lenient")]
    pub product: Option<Product>,
    /// Version according to sys/health, if known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// Cluster id according to sys/health, if known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cluster_id: Option<String>,
    /// Cluster name according to sys/health, if known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cluster_name: Option<String>,
    /// Seal type according to sys/seal-status, if known: `shamir`, `awskms`, ….
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seal_type: Option<String>,
    /// Number of shares needed to unseal, if known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seal_threshold: Option<u64>,
    /// Total number of shares, if known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seal_shares: Option<u64>,
    /// The snapshot's last raft index (meta.json), if known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub raft_index: Option<u64>,
    /// The snapshot's raft term (meta.json), if known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub raft_term: Option<u64>,
}

/// Check that `backup` made before it wrote the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verification {
    /// The object was read back: size, SHA-256 and the tag of every segment.
    Full,
    /// Size and checksum that the store reports were compared with those of the sent bytes.
    Head,
}

/// Record of a backup that was uploaded and verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The object's name relative to the store's URL.
    pub object: String,
    /// The object's size in bytes.
    pub size_bytes: u64,
    /// SHA-256 of the object, in hex.
    pub sha256: String,
    /// Size of the decrypted snapshot in bytes, if known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub plaintext_size_bytes: Option<u64>,
    /// SHA-256 of the decrypted snapshot in hex, if known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub plaintext_sha256: Option<String>,
    /// Time in the object's name: RFC 3339, UTC, whole seconds.
    pub created_at: String,
    /// Daily or monthly.
    pub backup_type: BackupType,
    /// Id of the key that encrypted the object.
    pub key_id: String,
    /// Id of the run that made it, also in the object's metadata, if known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub run_id: Option<String>,
    /// The Vault server that it was taken from.
    #[serde(default, skip_serializing_if = "is_default")]
    pub vault: VaultFacts,
    /// Check that was made, if known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub verification: Option<Verification>,
    /// `vault-backup/<semver>`, if known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tool: Option<String>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Record of a restore drill that passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillRecord {
    /// The object that was restored.
    pub object: String,
    /// Its SHA-256, in hex.
    pub sha256: String,
    /// End of the drill: RFC 3339, UTC.
    pub drilled_at: String,
    /// `server`, `ephemeral` or `offline`.
    pub mode: String,
    /// Address of the staging Vault, if any: an offline drill has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub staging_vault: Option<String>,
    /// Path of the secret that was read.
    pub canary: String,
    /// Origin of the value that the secret was compared with, if it was: `backup`, read
    /// offline, or `hash`, in the configuration.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub canary_compared: Option<String>,
    /// Duration of each step, in milliseconds.
    pub durations_ms: std::collections::BTreeMap<String, u64>,
    /// `vault-backup/<semver>`.
    pub tool: String,
}

/// The reason to reject a document.
#[derive(Debug)]
pub enum DocumentError {
    /// Malformed JSON, missing keys or another schema.
    Malformed(String),
    /// No available key can verify the MAC.
    UnknownKey,
    /// The key is available and the MAC is invalid.
    Forged,
    /// The MAC is valid, but the document belongs to another object.
    OtherObject(String),
    /// The MAC is valid, but under another key than the one that the document names.
    OtherKey,
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DocumentError::Malformed(why) => write!(f, "malformed: {why}"),
            DocumentError::UnknownKey => f.write_str("no available key can verify its MAC"),
            DocumentError::Forged => f.write_str("invalid MAC: it was modified, or written with a different key"),
            DocumentError::OtherObject(other) => write!(f, "it belongs to another object: {other}"),
            DocumentError::OtherKey => f.write_str("it names another key than the one that signed it"),
        }
    }
}

impl std::error::Error for DocumentError {}

impl Manifest {
    /// Returns the stored form: JSON with schema and MAC.
    ///
    /// # Errors
    /// `Unexpected` if a value has no canonical form.
    pub fn to_bytes(&self, key: &MacKey) -> Result<Vec<u8>> {
        sign(self, &key.manifest)
    }

    /// Parses and verifies the manifest of `name`. Returns it with the end of the key that
    /// signed it, which the caller applies.
    ///
    /// # Errors
    /// The reason to reject it.
    pub fn from_bytes(bytes: &[u8], name: &BackupName, keys: &[MacKey]) -> Result<(Self, KeyEnd), DocumentError> {
        let (manifest, signer): (Self, _) = verify(bytes, keys, |key| Some(&key.manifest))?;
        let same = manifest.object == name.object()
            && manifest.backup_type == name.backup_type()
            && manifest.created_at == rfc3339(name.created_at());
        if !same {
            return Err(DocumentError::OtherObject(manifest.object));
        }
        // The end of a key depends on it: an old key must not pass for the current one.
        match &signer.key_id {
            Some(id) if *id != manifest.key_id => Err(DocumentError::OtherKey),
            _ => Ok((manifest, signer.end)),
        }
    }

    /// Parses a manifest without verifying it. The result may be shown, but never used for
    /// decisions.
    pub fn peek(bytes: &[u8]) -> Option<Self> {
        serde_json::from_value(canonical::parse(bytes).ok()?).ok()
    }
}

impl DrillRecord {
    /// Returns the stored form: JSON with schema and MAC.
    ///
    /// # Errors
    /// `Usage` if only the manifest key is available.
    pub fn to_bytes(&self, key: &MacKey) -> Result<Vec<u8>> {
        let drill = key.drill.as_ref().ok_or_else(|| {
            Error::usage("writing a drill record needs the backup key")
                .hint("set encryption.key (encryption.manifest_key is not enough)")
        })?;
        sign(self, drill)
    }

    /// Parses and verifies the drill record of `name`. Returns it with the end of the key
    /// that signed it, which the caller applies.
    ///
    /// # Errors
    /// The reason to reject it.
    pub fn from_bytes(bytes: &[u8], name: &BackupName, keys: &[MacKey]) -> Result<(Self, KeyEnd), DocumentError> {
        let (record, signer): (Self, _) = verify(bytes, keys, |key| key.drill.as_ref())?;
        match record.object == name.object() {
            true => Ok((record, signer.end)),
            false => Err(DocumentError::OtherObject(record.object)),
        }
    }
}

/// Formats `time` as RFC 3339 in UTC with whole seconds, the form used in all documents.
pub fn rfc3339(time: chrono::DateTime<chrono::Utc>) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests;

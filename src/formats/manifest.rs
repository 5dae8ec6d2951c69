//! The manifest, which records that a backup was uploaded and read back, and the
//! drill record, which records that it was restored: JSON documents with a mac.
//!
//! Here: their fields, the canonical form (RFC 8785) and the mac over it. Not
//! here: where they lie (`naming`), who writes and fetches them (`pipeline`).
//! Format: docs/format.md. Pure: no clock, no I/O.

pub mod canonical;

use crate::base::error::{Error, Result};
use crate::formats::naming::{BackupName, BackupType};
use crate::formats::product::Product;
use ring::hmac;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::fmt;
use zeroize::Zeroizing;

/// The only schema there is.
const SCHEMA: u32 = 1;

/// The largest manifest or drill record that is read, in bytes.
pub const MAX_DOCUMENT: u64 = 64 * 1024;

/// The keys that a holder of a master key, or of `manifest_key` alone, can check macs with.
#[derive(Clone)]
pub struct MacKey {
    /// The `key_id` of the master key; unknown where only the manifest key was handed out.
    pub key_id: Option<String>,
    /// HKDF of the master key with info `vault-backup/v1/manifest`.
    pub manifest: Zeroizing<[u8; 32]>,
    /// HKDF of the master key with info `vault-backup/v1/drill`.
    pub drill: Option<Zeroizing<[u8; 32]>>,
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MacKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// What is known of the Vault that a backup was taken from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultFacts {
    /// The server's product; backups made before 0.2 do not name it.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "Product::lenient")]
    pub product: Option<Product>,
    /// Vault's version, as sys/health gave it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// The cluster's id, as sys/health gave it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cluster_id: Option<String>,
    /// The cluster's name, as sys/health gave it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cluster_name: Option<String>,
    /// The seal's type, as sys/seal-status gave it: `shamir`, `awskms`, ….
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seal_type: Option<String>,
    /// How many shares open the seal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seal_threshold: Option<u64>,
    /// How many shares there are.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seal_shares: Option<u64>,
    /// The snapshot's last raft index (meta.json).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub raft_index: Option<u64>,
    /// The snapshot's raft term (meta.json).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub raft_term: Option<u64>,
}

/// How far `backup` checked the object before it wrote the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verification {
    /// Read back whole: size, SHA-256 and every segment's tag.
    Full,
    /// Size and the store's own checksum.
    Head,
}

/// The record of a backup that was uploaded and verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The object's name relative to the store's URL.
    pub object: String,
    /// The object's size in bytes.
    pub size_bytes: u64,
    /// Hex SHA-256 of the object.
    pub sha256: String,
    /// Size of the snapshot inside, in bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub plaintext_size_bytes: Option<u64>,
    /// Hex SHA-256 of the snapshot inside.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub plaintext_sha256: Option<String>,
    /// RFC 3339 UTC, seconds: the time in the object's name.
    pub created_at: String,
    /// Daily or monthly.
    pub backup_type: BackupType,
    /// Which key encrypted the object.
    pub key_id: String,
    /// The run that made it; also in the object's metadata.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub run_id: Option<String>,
    /// The Vault that it was taken from.
    #[serde(default, skip_serializing_if = "is_default")]
    pub vault: VaultFacts,
    /// How it was verified.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub verification: Option<Verification>,
    /// `vault-backup/<semver>`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tool: Option<String>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The record of a drill that passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillRecord {
    /// The object that was restored.
    pub object: String,
    /// Its hex SHA-256.
    pub sha256: String,
    /// RFC 3339 UTC: the end of the drill.
    pub drilled_at: String,
    /// `server`, `ephemeral` or `offline`.
    pub mode: String,
    /// The staging Vault's address; absent offline.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub staging_vault: Option<String>,
    /// The path of the secret that was read.
    pub canary: String,
    /// Step → milliseconds.
    pub durations_ms: std::collections::BTreeMap<String, u64>,
    /// `vault-backup/<semver>`.
    pub tool: String,
}

/// Why a document could not be trusted.
#[derive(Debug)]
pub enum DocumentError {
    /// Not of this format: malformed JSON, missing keys, another schema.
    Malformed(String),
    /// No key at hand that could check it.
    UnknownKey,
    /// A key is at hand, and the mac does not hold.
    Forged,
    /// The mac holds, but it speaks of another object.
    OtherObject(String),
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DocumentError::Malformed(why) => write!(f, "it is malformed: {why}"),
            DocumentError::UnknownKey => f.write_str("no key at hand can check its mac"),
            DocumentError::Forged => f.write_str("its mac does not hold: it was edited, or made under another key"),
            DocumentError::OtherObject(other) => write!(f, "it is another object's: {other}"),
        }
    }
}

impl std::error::Error for DocumentError {}

impl Manifest {
    /// The stored form: JSON with schema and mac.
    ///
    /// # Errors
    /// `Unexpected` if a value cannot be written canonically.
    pub fn to_bytes(&self, key: &MacKey) -> Result<Vec<u8>> {
        seal(self, &key.manifest)
    }

    /// Reads and authenticates the manifest of `name`.
    ///
    /// # Errors
    /// The reason why it must not be trusted.
    pub fn from_bytes(bytes: &[u8], name: &BackupName, keys: &[MacKey]) -> Result<Self, DocumentError> {
        let manifest: Self = open(bytes, keys, |key| Some(&key.manifest))?;
        let same = manifest.object == name.object()
            && manifest.backup_type == name.backup_type()
            && manifest.created_at == rfc3339(name.created_at());
        if same { Ok(manifest) } else { Err(DocumentError::OtherObject(manifest.object)) }
    }

    /// What the manifest says, unauthenticated: to show, never to act on.
    pub fn peek(bytes: &[u8]) -> Option<Self> {
        serde_json::from_value(canonical::parse(bytes).ok()?).ok()
    }
}

impl DrillRecord {
    /// The stored form: JSON with schema and mac.
    ///
    /// # Errors
    /// `Usage` if only the manifest key is at hand.
    pub fn to_bytes(&self, key: &MacKey) -> Result<Vec<u8>> {
        let drill = key.drill.as_ref().ok_or_else(|| {
            Error::usage("a drill record needs the backup key itself")
                .hint("set encryption.key; manifest_key is not enough")
        })?;
        seal(self, drill)
    }

    /// Reads and authenticates the drill record of `name`.
    ///
    /// # Errors
    /// The reason why it must not be trusted.
    pub fn from_bytes(bytes: &[u8], name: &BackupName, keys: &[MacKey]) -> Result<Self, DocumentError> {
        let record: Self = open(bytes, keys, |key| key.drill.as_ref())?;
        if record.object == name.object() { Ok(record) } else { Err(DocumentError::OtherObject(record.object)) }
    }
}

/// `time` as RFC 3339 in UTC with whole seconds: the one form that documents use.
pub fn rfc3339(time: chrono::DateTime<chrono::Utc>) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

fn seal(document: &impl Serialize, key: &[u8; 32]) -> Result<Vec<u8>> {
    let broken = |e: String| Error::unexpected("a manifest could not be written").because(anyhow::anyhow!(e));
    let mut value = serde_json::to_value(document).map_err(|e| broken(e.to_string()))?;
    if let Value::Object(map) = &mut value {
        map.insert("schema".into(), SCHEMA.into());
        let text = canonical::write(&Value::Object(map.clone())).map_err(broken)?;
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
        map.insert("mac".into(), hex::encode(tag).into());
    }
    let mut text = canonical::write(&value).map_err(broken)?;
    text.push('\n');
    Ok(text.into_bytes())
}

/// Checks a document's mac under the keys that could have made it. The mac is
/// computed over the generic value as read, unknown keys included.
fn open<T: DeserializeOwned>(
    bytes: &[u8],
    keys: &[MacKey],
    select: impl for<'a> Fn(&'a MacKey) -> Option<&'a Zeroizing<[u8; 32]>>,
) -> Result<T, DocumentError> {
    let malformed = |why: &str| DocumentError::Malformed(why.to_owned());
    let mut value = canonical::parse(bytes).map_err(DocumentError::Malformed)?;
    let map = value.as_object_mut().ok_or_else(|| malformed("not a JSON object"))?;
    if map.get("schema") != Some(&Value::from(SCHEMA)) {
        return Err(malformed("its schema is not 1"));
    }
    let Some(Value::String(mac)) = map.remove("mac") else { return Err(malformed("it has no mac")) };
    let mac = hex::decode(mac).map_err(|_| malformed("its mac is not hex"))?;
    let claimed = map.get("key_id").and_then(Value::as_str).map(str::to_owned);
    let text = canonical::write(&value).map_err(DocumentError::Malformed)?;
    let holds = |key: &[u8; 32]| hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes(), &mac).is_ok();
    if !keys.iter().filter_map(&select).any(|key| holds(key)) {
        // Whoever holds the named key knows that it is forged; others cannot tell.
        let held = keys.iter().any(|k| select(k).is_some() && (k.key_id == claimed || claimed.is_none()));
        return Err(if held { DocumentError::Forged } else { DocumentError::UnknownKey });
    }
    serde_json::from_value(value).map_err(|e| DocumentError::Malformed(e.to_string()))
}

#[cfg(test)]
mod tests;

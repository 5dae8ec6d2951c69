//! The header of format 1: the JSON object before the ciphertext, and the checks that
//! precede decryption.

use super::{MAGIC, fill};
use crate::base::error::{Error, Result};
use crate::formats::manifest::{VaultFacts, rfc3339};
use crate::formats::naming::BackupName;
use crate::formats::product::{Product, ServerVersion};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::io::Read;

/// Maximum length of a header body, in bytes.
const MAX_BODY: usize = 4096;
/// Size of the length field after the magic, in bytes.
const LENGTH: usize = 2;

/// Description of a backup, readable without a key. It is the associated data of every
/// segment, so decrypting the backup authenticates it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The id of the master key: 64 lower-case hex digits.
    #[serde(deserialize_with = "key_id")]
    pub key_id: String,
    /// The start of the run, UTC, whole seconds: the time in the object's name.
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    pub created_at: DateTime<Utc>,
    /// The Vault server that it was taken from.
    #[serde(default)]
    pub vault: SourceServer,
    /// `vault-backup/<semver>`.
    #[serde(default)]
    pub tool: String,
}

/// The Vault server that a backup was taken from, according to sys/health.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceServer {
    /// The server's product, if recorded (since 0.2).
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "Product::lenient")]
    pub product: Option<Product>,
    /// Version, if known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// Cluster id, if known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cluster_id: Option<String>,
    /// Cluster name, if known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cluster_name: Option<String>,
}

impl SourceServer {
    /// Returns product and version, as far as they are recorded or can be inferred.
    pub fn server(&self) -> ServerVersion {
        ServerVersion::new(self.product, self.version.as_deref())
    }
}

impl From<&VaultFacts> for SourceServer {
    fn from(facts: &VaultFacts) -> Self {
        let VaultFacts { product, version, cluster_id, cluster_name, .. } = facts.clone();
        Self { product, version, cluster_id, cluster_name }
    }
}

impl Header {
    /// Reads the header of a backup from its first byte, without decrypting or
    /// authenticating it. `None` if it does not start with the magic of format 1.
    ///
    /// # Errors
    /// `Integrity` if the header is malformed or truncated, or has a newer format.
    pub fn peek(mut reader: impl Read) -> Result<Option<Self>> {
        let mut magic = [0; MAGIC.len()];
        let read = fill(&mut reader, &mut magic)?;
        if !has_magic(&magic[..read])? {
            return Ok(None);
        }
        read_body(&mut reader).map(|(header, _)| Some(header))
    }

    /// Refuses a backup that is stored under another run's name.
    ///
    /// # Errors
    /// `Integrity` naming both times.
    pub fn check_name(&self, name: &BackupName) -> Result<()> {
        if self.created_at == name.created_at() {
            return Ok(());
        }
        Err(Error::integrity(format!("{name}: its header names another time: {}", rfc3339(self.created_at)))
            .hint("use another backup; this object was renamed or replaced"))
    }

    /// Returns magic, length and body: the associated data of the backup.
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let body = serde_json::to_vec(self)
            .map_err(|e| Error::unexpected("the backup's header could not be written").because(e))?;
        frame(&body)
    }
}

/// Prepends magic and length to `body`.
pub(super) fn frame(body: &[u8]) -> Result<Vec<u8>> {
    let length = u16::try_from(body.len()).ok().filter(|_| body.len() <= MAX_BODY).ok_or_else(|| {
        Error::unexpected(format!("the backup's header would have {} bytes, the limit is {MAX_BODY}", body.len()))
            .hint("shorten the cluster's name")
    })?;
    let mut framed = MAGIC.to_vec();
    framed.extend(length.to_be_bytes());
    framed.extend(body);
    Ok(framed)
}

/// Returns `true` if a backup with these first 8 bytes (or all of it, if shorter) has format 1.
///
/// # Errors
/// `Integrity` for an empty backup and for an unknown version of the format.
pub(super) fn has_magic(first: &[u8]) -> Result<bool> {
    if first.is_empty() {
        return Err(Error::integrity("the backup is empty: 0 bytes"));
    }
    let (&version, name) = MAGIC.split_last().unwrap_or((&0, &[]));
    if first.len() == MAGIC.len() && first.starts_with(name) && first[name.len()] != version {
        return Err(Error::integrity(format!("unsupported backup format {}", String::from_utf8_lossy(first)))
            .hint("use a newer vault-backup (this version reads only VLTBKUP1)"));
    }
    Ok(first == MAGIC)
}

/// Returns the error for a backup that must have format 1 but does not.
pub(super) fn no_magic(first: &[u8]) -> Error {
    Error::integrity(format!(
        "the backup does not start with {} but with the bytes {}",
        String::from_utf8_lossy(&MAGIC),
        hex::encode(first)
    ))
    .hint("use another backup; this object is damaged or was replaced")
}

/// Reads the header after the magic. Returns it with the associated data as stored.
pub(super) fn read_body(reader: &mut impl Read) -> Result<(Header, Vec<u8>)> {
    let mut framed = MAGIC.to_vec();
    extend(reader, &mut framed, LENGTH)?;
    let length = usize::from(u16::from_be_bytes([framed[MAGIC.len()], framed[MAGIC.len() + 1]]));
    if length > MAX_BODY {
        return Err(malformed(&format!("its length is {length} bytes, the limit is {MAX_BODY}")));
    }
    extend(reader, &mut framed, length)?;
    let header = serde_json::from_slice(&framed[MAGIC.len() + LENGTH..])
        .map_err(|e| malformed("unexpected contents").because(e))?;
    Ok((header, framed))
}

/// Appends the next `length` bytes of `reader`, which are all before the segments.
pub(super) fn extend(reader: &mut impl Read, framed: &mut Vec<u8>, length: usize) -> Result<()> {
    let from = framed.len();
    framed.resize(from + length, 0);
    let read = fill(reader, &mut framed[from..])?;
    if read < length {
        return Err(Error::integrity(format!(
            "the backup is truncated: it ends {} bytes into its header",
            from + read
        )));
    }
    Ok(())
}

pub(super) fn malformed(why: &str) -> Error {
    Error::integrity(format!("the backup's header is malformed: {why}"))
}

fn key_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let id = String::deserialize(deserializer)?;
    let hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    let valid = id.len() == 64 && id.bytes().all(hex);
    if valid { Ok(id) } else { Err(D::Error::custom("key_id is not 64 lower-case hex digits")) }
}

fn write_time<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

fn read_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let time = DateTime::parse_from_rfc3339(&text).ok().map(|time| time.to_utc());
    // Formatting it again checks the whole rule: UTC, `Z`, whole seconds.
    time.filter(|time| rfc3339(*time) == text)
        .ok_or_else(|| D::Error::custom("created_at is not a time in UTC with whole seconds"))
}

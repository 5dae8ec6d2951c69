//! Finds a secret in a KV mount, in a single pass.
//!
//! Not here: listing names (`list`). Source: secrets-kv `passthrough.go` (v1),
//! `path_data.go` (`pathDataRead`), `backend.go` (`getVersionKey`), `upgrade.go` (v2), the
//! sdk's `helper/salt/salt.go`.
//!
//! KV v2 stores a secret under a prefix P. state.bin is ordered by key, so the entries come
//! in the order in which they are needed:
//!
//! 1. `P metadata/<encrypted name>`: the names are encrypted, so each entry is decrypted
//!    until one has the path. It contains the versions and their deletion times.
//! 2. `P salt`: gives the key of the version: h = hex SHA-256(salt ‖ `path|version`).
//! 3. `P versions/<h[0..3]>/<h[3..]>`: the data.
//!
//! Only one secret's metadata and data are in memory at a time.

use super::mounts::{KvStorage, Mounts};
use super::proto;
use crate::base::error::{Error, Result};
use crate::base::secret::Secret;
use chrono::{DateTime, Utc};
use ring::digest;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use std::fmt;
use zeroize::Zeroizing;

/// A query for one secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Full path with its mount: `secret/app/db`.
    pub path: String,
    /// Version, if any. `None` or 0 means the current one. KV v1 has no versions.
    pub version: Option<u64>,
    /// Time for the check of deletion times: Vault's API would have answered the same then.
    pub at: DateTime<Utc>,
}

/// Metadata of one version of a KV v2 secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretVersion {
    /// Its number, from 1.
    pub number: u64,
    /// Time of creation, if known.
    pub created: Option<DateTime<Utc>>,
    /// Time of its deletion, past or future, if any.
    pub deletion: Option<DateTime<Utc>>,
    /// `true` if its data was destroyed.
    pub destroyed: bool,
}

impl SecretVersion {
    /// # Errors
    /// `Drill` for an invalid time. `name` is its entry.
    pub(super) fn new(name: &str, number: u64, metadata: &proto::VersionMetadata) -> Result<Self> {
        let time = |t: Option<proto::Timestamp>| t.map(|t| t.time(name)).transpose();
        let (created, deletion) = (time(metadata.created_time)?, time(metadata.deletion_time)?);
        Ok(Self { number, created, deletion, destroyed: metadata.destroyed })
    }
}

/// The reason that a path has no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MissingReason {
    /// The root namespace has no mount for the path.
    NoMount,
    /// The mount has another type: the mount's path, its type.
    NotKv(String, String),
    /// The mount has no such secret.
    NoSecret,
    /// The secret does not have this version, or no longer has it.
    NoVersion(u64),
}

impl fmt::Display for MissingReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMount => f.write_str("no mount matches this path"),
            Self::NotKv(path, kind) => write!(f, "the mount {path} is of type {kind}, not kv"),
            Self::NoSecret => f.write_str("there is no such secret"),
            Self::NoVersion(number) => write!(f, "the secret has no version {number}"),
        }
    }
}

/// The answer to a [`Query`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretAnswer {
    /// The secret's data, a JSON object as stored (the API's `data.data` on v2, `data` on
    /// v1), and on v2 its version.
    Found(Secret, Option<SecretVersion>),
    /// The version was deleted. Its data may still exist.
    Deleted(SecretVersion),
    /// The version was destroyed.
    Destroyed(SecretVersion),
    /// The secret does not exist.
    Missing(MissingReason),
}

/// The next entry that the search needs.
#[derive(Debug)]
enum SearchStep {
    /// v1: the entry with this key is the secret.
    Plain(String),
    /// v2: the metadata of the path.
    Metadata,
    /// v2: the mount's salt, for the key of this version.
    Salt(SecretVersion),
    /// v2: the entry with this key is the version's data.
    Data(SecretVersion, String),
    /// No further entry.
    Done(SecretAnswer),
}

/// A query that is being answered while the entries are read in order.
#[derive(Debug)]
pub(super) struct SecretSearch {
    query: Query,
    /// The path within its mount.
    key: String,
    /// Common prefix of the keys of all entries that can be needed.
    prefix: String,
    step: SearchStep,
}

impl SecretSearch {
    /// # Errors
    /// `Drill` if the mount has an unknown version of KV.
    pub(super) fn new(mounts: &Mounts, query: &Query) -> Result<Self> {
        let path = query.path.trim_start_matches('/');
        let search = |key: &str, prefix, step| Self { query: query.clone(), key: key.to_owned(), prefix, step };
        let missing = |why| search("", String::new(), SearchStep::Done(SecretAnswer::Missing(why)));
        let Some((mount, key)) = mounts.mount_of(path) else { return Ok(missing(MissingReason::NoMount)) };
        Ok(match mount.kv()? {
            None => missing(MissingReason::NotKv(mount.path.clone(), mount.kind.clone())),
            Some(KvStorage::V1(prefix)) => {
                let entry = format!("{prefix}{key}");
                search(key, prefix, SearchStep::Plain(entry))
            }
            Some(KvStorage::V2(prefix)) => search(key, prefix, SearchStep::Metadata),
        })
    }

    /// Returns `true` if the plaintext of the entry `name` is needed next.
    pub(super) fn wants(&self, name: &str) -> bool {
        let within = || name.strip_prefix(&self.prefix);
        match &self.step {
            SearchStep::Plain(entry) | SearchStep::Data(_, entry) => name == entry,
            SearchStep::Metadata => within().is_some_and(|rest| rest.starts_with("metadata/") || rest == "upgrading"),
            SearchStep::Salt(_) => within() == Some("salt"),
            SearchStep::Done(_) => false,
        }
    }

    /// Returns `true` if neither `name` nor any later entry can be needed.
    pub(super) fn is_past(&self, name: &str) -> bool {
        matches!(self.step, SearchStep::Done(_)) || (name > self.prefix.as_str() && !name.starts_with(&self.prefix))
    }

    /// Takes the plaintext of a wanted entry.
    ///
    /// # Errors
    /// `Drill`, naming the entry, if it is malformed.
    pub(super) fn take(&mut self, name: &str, plain: &[u8]) -> Result<()> {
        let next = match &self.step {
            SearchStep::Plain(_) => SearchStep::Done(SecretAnswer::Found(object(name, plain)?, None)),
            SearchStep::Metadata if name.strip_prefix(&self.prefix) == Some("upgrading") => {
                self.check_upgraded(name, plain)?
            }
            SearchStep::Metadata => self.metadata(name, plain)?,
            SearchStep::Salt(version) => SearchStep::Data(*version, self.data_entry(plain, version.number)),
            SearchStep::Data(version, _) => {
                let (message, complete): (proto::Version, _) = proto::decode(name, plain)?;
                let data = Zeroizing::new(message.data);
                warn_unless(complete, name);
                SearchStep::Done(SecretAnswer::Found(object(name, &data)?, Some(*version)))
            }
            SearchStep::Done(_) => return Ok(()),
        };
        self.step = next;
        Ok(())
    }

    /// Returns the next step after this metadata, which may belong to another secret.
    fn metadata(&self, name: &str, plain: &[u8]) -> Result<SearchStep> {
        let (metadata, complete): (proto::KeyMetadata, _) = proto::decode(name, plain)?;
        if metadata.key != self.key {
            return Ok(SearchStep::Metadata);
        }
        warn_unless(complete, name);
        let number = self.query.version.filter(|n| *n > 0).unwrap_or(metadata.current_version);
        let Some(found) = metadata.versions.get(&number) else {
            return Ok(SearchStep::Done(SecretAnswer::Missing(MissingReason::NoVersion(number))));
        };
        let version = SecretVersion::new(name, number, found)?;
        Ok(if version.destroyed {
            SearchStep::Done(SecretAnswer::Destroyed(version))
        } else if version.deletion.is_some_and(|time| time < self.query.at) {
            SearchStep::Done(SecretAnswer::Deleted(version))
        } else {
            SearchStep::Salt(version)
        })
    }

    /// Checks that the mount's upgrade to v2 is complete: only then is a secret without v2
    /// metadata missing.
    fn check_upgraded(&self, name: &str, plain: &[u8]) -> Result<SearchStep> {
        let (upgrade, _): (proto::UpgradeInfo, _) = proto::decode(name, plain)?;
        if upgrade.done {
            return Ok(SearchStep::Done(SecretAnswer::Missing(MissingReason::NoSecret)));
        }
        Err(Error::drill(format!(
            "{}: its mount was being upgraded to KV v2 when the snapshot was taken",
            self.query.path
        ))
        .hint("restore the whole snapshot; Vault then completes the upgrade"))
    }

    /// Returns the key of the entry with version `number` of the secret.
    fn data_entry(&self, salt: &[u8], number: u64) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(salt);
        context.update(format!("{}|{number}", self.key).as_bytes());
        let hash = hex::encode(context.finish());
        format!("{}versions/{}/{}", self.prefix, &hash[..3], &hash[3..])
    }

    /// Returns the answer, after the last entry that can be needed.
    ///
    /// # Errors
    /// `Drill` if the data of an existing secret is missing.
    pub(super) fn finish(self) -> Result<SecretAnswer> {
        let lacks = |what: &str| Err(Error::drill(format!("{}: the snapshot lacks {what}", self.query.path)));
        match self.step {
            SearchStep::Done(answer) => Ok(answer),
            SearchStep::Plain(_) | SearchStep::Metadata => Ok(SecretAnswer::Missing(MissingReason::NoSecret)),
            SearchStep::Salt(_) => lacks("its mount's salt"),
            SearchStep::Data(version, _) => lacks(&format!("the data of its version {}", version.number)),
        }
    }
}

/// Warns that a newer Vault wrote `name`: the unknown fields may matter.
pub(super) fn warn_unless(complete: bool, name: &str) {
    if !complete {
        tracing::warn!("{name}: ignored fields that this version of vault-backup does not know");
    }
}

/// Returns `data` as text if it is a JSON object. It is not parsed into values: nothing is
/// copied, and numbers keep their notation.
fn object(name: &str, data: &[u8]) -> Result<Secret> {
    let text = std::str::from_utf8(data).ok().filter(|text| serde_json::from_str::<JsonObject>(text).is_ok());
    text.map(Secret::new).ok_or_else(|| Error::drill(format!("{name}: its data is not a JSON object")))
}

/// JsonObjectVisitor JSON object.
struct JsonObject;

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct JsonObjectVisitor;
        impl<'de> Visitor<'de> for JsonObjectVisitor {
            type Value = JsonObject;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonObject, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(JsonObject)
            }
        }
        deserializer.deserialize_map(JsonObjectVisitor)
    }
}

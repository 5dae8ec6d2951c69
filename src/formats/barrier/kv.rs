//! Secrets in KV mounts: finding one, in a single pass.
//!
//! Here: what is asked, what is answered, and the steps between. Not here: names
//! without values (`list`). Source: secrets-kv `passthrough.go` (v1), `path_data.go`
//! (`pathDataRead`), `backend.go` (`getVersionKey`), `upgrade.go` (v2), the sdk's `helper/salt/salt.go`.
//!
//! SecretVersion 2 keeps a secret under a prefix P, and state.bin is in order of keys, so
//! what is needed comes in the order in which it is needed:
//!
//! 1. `P metadata/<encrypted name>`: the names are encrypted, so each is opened until one
//!    holds the path; it has the versions and their deletion;
//! 2. `P salt`: with it, the key of the one version is known: h = hex SHA-256(salt ‖ `path|version`);
//! 3. `P versions/<h[0..3]>/<h[3..]>`: the data.
//!
//! Only one secret's metadata and data are ever held.

use super::mounts::{Kv, Mounts};
use super::proto;
use crate::base::error::{Error, Result};
use crate::base::secret::Secret;
use chrono::{DateTime, Utc};
use ring::digest;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use std::fmt;
use zeroize::Zeroizing;

/// Which secret is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Its whole path as users write it, mount first: `secret/app/db`.
    pub path: String,
    /// Which version of it; the current one if absent or 0. KV v1 has none.
    pub version: Option<u64>,
    /// The moment that deletion is judged by: what Vault's API would have answered then.
    pub at: DateTime<Utc>,
}

/// What is known of one version of a KV v2 secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretVersion {
    /// Its number, from 1.
    pub number: u64,
    /// When it was written.
    pub created: Option<DateTime<Utc>>,
    /// When it was deleted, or will be.
    pub deletion: Option<DateTime<Utc>>,
    /// Whether its data was removed for good.
    pub destroyed: bool,
}

impl SecretVersion {
    /// # Errors
    /// `Drill` where a time cannot be; `name` is the entry it stands in.
    pub(super) fn new(name: &str, number: u64, facts: &proto::VersionMetadata) -> Result<Self> {
        let time = |t: Option<proto::Timestamp>| t.map(|t| t.time(name)).transpose();
        let (created, deletion) = (time(facts.created_time)?, time(facts.deletion_time)?);
        Ok(Self { number, created, deletion, destroyed: facts.destroyed })
    }
}

/// Why there is nothing at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absence {
    /// No mount of the root namespace holds the path.
    NoMount,
    /// The mount that does is of another kind: the mount's path, its kind.
    NotKv(String, String),
    /// The mount has no such secret.
    NoSecret,
    /// The secret has no such version, or no longer.
    NoVersion(u64),
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMount => f.write_str("no mount holds this path"),
            Self::NotKv(path, kind) => write!(f, "the mount {path} is of type {kind}, not kv"),
            Self::NoSecret => f.write_str("there is no such secret"),
            Self::NoVersion(number) => write!(f, "the secret has no version {number}"),
        }
    }
}

/// What a snapshot answers to a [`Query`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretAnswer {
    /// The secret's data, a JSON object as it was stored (the API's `data.data` on
    /// v2, `data` on v1), and on v2 which version it is.
    Found(Secret, Option<SecretVersion>),
    /// This version was deleted; its data may still be there.
    Deleted(SecretVersion),
    /// This version's data was removed for good.
    Destroyed(SecretVersion),
    /// There is no such thing.
    Missing(Absence),
}

/// What is still needed to answer.
#[derive(Debug)]
enum Step {
    /// v1: the entry of this key is the secret.
    Plain(String),
    /// v2: the metadata that holds the path.
    Metadata,
    /// v2: the mount's salt, for the key of this version.
    Salt(SecretVersion),
    /// v2: the entry of this key is the version's data.
    Data(SecretVersion, String),
    /// Nothing.
    Done(SecretAnswer),
}

/// A query being answered while the entries pass in order.
#[derive(Debug)]
pub(super) struct Search {
    query: Query,
    /// The path within its mount.
    key: String,
    /// What the keys of all entries begin with that can be needed.
    prefix: String,
    step: Step,
}

impl Search {
    /// # Errors
    /// `Drill` where the mount is of a version of KV that is not known.
    pub(super) fn new(mounts: &Mounts, query: &Query) -> Result<Self> {
        let path = query.path.trim_start_matches('/');
        let search = |key: &str, prefix, step| Self { query: query.clone(), key: key.to_owned(), prefix, step };
        let missing = |why| search("", String::new(), Step::Done(SecretAnswer::Missing(why)));
        let Some((mount, key)) = mounts.holding(path) else { return Ok(missing(Absence::NoMount)) };
        Ok(match mount.kv()? {
            None => missing(Absence::NotKv(mount.path.clone(), mount.kind.clone())),
            Some(Kv::V1(prefix)) => {
                let entry = format!("{prefix}{key}");
                search(key, prefix, Step::Plain(entry))
            }
            Some(Kv::V2(prefix)) => search(key, prefix, Step::Metadata),
        })
    }

    /// Whether the plaintext of the entry `name` is needed next.
    pub(super) fn wants(&self, name: &str) -> bool {
        let within = || name.strip_prefix(&self.prefix);
        match &self.step {
            Step::Plain(entry) | Step::Data(_, entry) => name == entry,
            Step::Metadata => within().is_some_and(|rest| rest.starts_with("metadata/") || rest == "upgrading"),
            Step::Salt(_) => within() == Some("salt"),
            Step::Done(_) => false,
        }
    }

    /// Whether no entry from `name` on can be needed.
    pub(super) fn is_past(&self, name: &str) -> bool {
        matches!(self.step, Step::Done(_)) || (name > self.prefix.as_str() && !name.starts_with(&self.prefix))
    }

    /// Takes the plaintext of an entry that is wanted.
    ///
    /// # Errors
    /// `Drill`, naming the entry, where it is not what it should be.
    pub(super) fn take(&mut self, name: &str, plain: &[u8]) -> Result<()> {
        let next = match &self.step {
            Step::Plain(_) => Step::Done(SecretAnswer::Found(object(name, plain)?, None)),
            Step::Metadata if name.strip_prefix(&self.prefix) == Some("upgrading") => {
                self.check_upgraded(name, plain)?
            }
            Step::Metadata => self.metadata(name, plain)?,
            Step::Salt(version) => Step::Data(*version, self.data_entry(plain, version.number)),
            Step::Data(version, _) => {
                let (message, complete): (proto::Version, _) = proto::decode(name, plain)?;
                let data = Zeroizing::new(message.data);
                warn_unless(complete, name);
                Step::Done(SecretAnswer::Found(object(name, &data)?, Some(*version)))
            }
            Step::Done(_) => return Ok(()),
        };
        self.step = next;
        Ok(())
    }

    /// What to do after this metadata, which may be another secret's.
    fn metadata(&self, name: &str, plain: &[u8]) -> Result<Step> {
        let (metadata, complete): (proto::KeyMetadata, _) = proto::decode(name, plain)?;
        if metadata.key != self.key {
            return Ok(Step::Metadata);
        }
        warn_unless(complete, name);
        let number = self.query.version.filter(|n| *n > 0).unwrap_or(metadata.current_version);
        let Some(facts) = metadata.versions.get(&number) else {
            return Ok(Step::Done(SecretAnswer::Missing(Absence::NoVersion(number))));
        };
        let version = SecretVersion::new(name, number, facts)?;
        Ok(if version.destroyed {
            Step::Done(SecretAnswer::Destroyed(version))
        } else if version.deletion.is_some_and(|time| time < self.query.at) {
            Step::Done(SecretAnswer::Deleted(version))
        } else {
            Step::Salt(version)
        })
    }

    /// The secret is not in v2's metadata: it is missing only if the mount's data is
    /// all there.
    fn check_upgraded(&self, name: &str, plain: &[u8]) -> Result<Step> {
        let (upgrade, _): (proto::UpgradeInfo, _) = proto::decode(name, plain)?;
        if upgrade.done {
            return Ok(Step::Done(SecretAnswer::Missing(Absence::NoSecret)));
        }
        Err(Error::drill(format!(
            "{}: its mount was being upgraded to KV v2 when the snapshot was taken",
            self.query.path
        ))
        .hint("restore the whole snapshot, and Vault completes the upgrade"))
    }

    /// The key of the entry that holds version `number` of the secret.
    fn data_entry(&self, salt: &[u8], number: u64) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(salt);
        context.update(format!("{}|{number}", self.key).as_bytes());
        let hash = hex::encode(context.finish());
        format!("{}versions/{}/{}", self.prefix, &hash[..3], &hash[3..])
    }

    /// The answer, after the last entry that can be needed.
    ///
    /// # Errors
    /// `Drill` where a secret is said to be there, and is not.
    pub(super) fn finish(self) -> Result<SecretAnswer> {
        let lacks = |what: &str| Err(Error::drill(format!("{}: the snapshot lacks {what}", self.query.path)));
        match self.step {
            Step::Done(answer) => Ok(answer),
            Step::Plain(_) | Step::Metadata => Ok(SecretAnswer::Missing(Absence::NoSecret)),
            Step::Salt(_) => lacks("its mount's salt"),
            Step::Data(version, _) => lacks(&format!("the data of its version {}", version.number)),
        }
    }
}

/// Says that a newer Vault wrote `name`: what was not understood may matter.
pub(super) fn warn_unless(complete: bool, name: &str) {
    if !complete {
        tracing::warn!("{name}: it has fields that this version of vault-backup does not know and passes over");
    }
}

/// `data` as text, if it is a JSON object. It is not parsed into values: nothing
/// of it is copied, and numbers stay as they were written.
fn object(name: &str, data: &[u8]) -> Result<Secret> {
    let text = std::str::from_utf8(data).ok().filter(|text| serde_json::from_str::<Object>(text).is_ok());
    text.map(Secret::new).ok_or_else(|| Error::drill(format!("{name}: its data is not a JSON object")))
}

/// Any JSON object.
struct Object;

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Object;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Object)
            }
        }
        deserializer.deserialize_map(Any)
    }
}

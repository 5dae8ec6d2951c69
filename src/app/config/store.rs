//! `[store]`, `[encryption]` and `[run]`.

use super::values::{Deadline, key_reference, read};
use super::{Environment, Overrides, file};
use crate::base::error::Result;
use crate::base::secret::{Reference, Secret};
use crate::services::store::Location;
use crate::services::store::s3::S3Settings;
use chrono::{DateTime, Utc};
use ring::digest::{SHA256, digest};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use std::fmt;
use std::path::{Path, PathBuf};

/// Environment variable with the URL of the store.
pub(super) const STORE: &str = "VAULT_BACKUP_STORE";

/// Environment variable with the backup key.
pub(super) const KEY: &str = "VAULT_BACKUP_KEY";

/// `[store]`: the location of the backups.
#[derive(Clone, Debug)]
pub struct StoreSection {
    /// Location.
    pub location: Location,
    /// Settings that apply to `s3://` only.
    pub s3: S3Settings,
}

impl StoreSection {
    pub(super) fn resolve(
        file: file::Store,
        run: &file::Run,
        overrides: &Overrides,
        environment: Environment<'_>,
    ) -> Result<Option<Self>> {
        let flag = overrides.store.clone().map(|url| ("--store", url));
        let location = match flag.or_else(|| Some((STORE, environment(STORE)?))) {
            Some((name, url)) => Some(url.parse::<Location>().map_err(|e| e.context(name))?),
            None => file.url,
        };
        let default = S3Settings::default();
        Ok(location.map(|location| Self {
            location,
            s3: S3Settings {
                path_style: file.path_style.unwrap_or(file.endpoint.is_some()),
                endpoint: file.endpoint.map(Into::into),
                region: file.region,
                ca_cert: file.ca_cert,
                sse: file.sse,
                kms_key_id: file.kms_key_id,
                storage_class: file.storage_class,
                object_lock_daily: file.object_lock_daily,
                object_lock_monthly: file.object_lock_monthly,
                connect_timeout: run.connect_timeout.unwrap_or(default.connect_timeout),
                idle_timeout: run.idle_timeout.unwrap_or(default.idle_timeout),
                part_size: run.part_size.unwrap_or(default.part_size),
                ..default
            },
        }))
    }
}

/// `[encryption]`: the backup keys.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EncryptionSection {
    /// Key that encrypts, if any.
    #[serde(deserialize_with = "read::key")]
    pub key: Option<Reference>,
    /// Keys that only decrypt.
    pub old_keys: Vec<OldKey>,
    /// Manifest key alone, for a host that only prunes, if any.
    #[serde(deserialize_with = "read::key")]
    pub manifest_key: Option<Reference>,
    /// Date before which a backup in the store without a manifest may be in the legacy format,
    /// if any.
    #[serde(deserialize_with = "read::date")]
    pub legacy_until: Option<DateTime<Utc>>,
}

/// Entry of `encryption.old_keys`: a reference, or a table of it and its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldKey {
    /// The key.
    pub key: Reference,
    /// End of the key, if it is configured: from then on its backups and drill records do not
    /// count.
    pub until: Option<DateTime<Utc>>,
}

/// The table form of an [`OldKey`].
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct OldKeyTable {
    #[serde(deserialize_with = "read::key")]
    key: Reference,
    #[serde(default, deserialize_with = "read::date")]
    until: Option<DateTime<Utc>>,
}

impl<'de> Deserialize<'de> for OldKey {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OldKeyVisitor;
        impl<'de> Visitor<'de> for OldKeyVisitor {
            type Value = OldKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a reference to a key, or { key = REFERENCE, until = DATE }")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<OldKey, E> {
                key_reference(text).map(|key| OldKey { key, until: None }).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OldKey, A::Error> {
                let OldKeyTable { key, until } = Deserialize::deserialize(MapAccessDeserializer::new(map))?;
                Ok(OldKey { key, until })
            }
        }
        from.deserialize_any(OldKeyVisitor)
    }
}

impl EncryptionSection {
    pub(super) fn resolve(self, overrides: &Overrides, environment: Environment<'_>) -> Self {
        let variable = || environment(KEY).map(|_| Reference::Env(KEY.into()));
        Self { key: overrides.key.clone().or_else(variable).or(self.key), ..self }
    }

    /// Reads the manifest key, with its reference.
    ///
    /// # Errors
    /// As [`Reference::read_key`].
    pub fn read_manifest_key(&self) -> Result<Option<(Reference, Secret)>> {
        self.manifest_key.as_ref().map(|from| Ok((from.clone(), from.read_key()?))).transpose()
    }
}

/// `[run]`, except for timeouts and part size, which are part of the settings of Vault and S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSection {
    /// Time limit of a run.
    pub deadline: Deadline,
    /// Number of times that a backup starts again after the leader was lost.
    pub retries: u32,
    /// Lock file of `backup`, `prune` and `restore`. By default, each store has its own.
    pub lock_file: PathBuf,
}

impl RunSection {
    pub(super) fn resolve(
        file: file::Run,
        overrides: &Overrides,
        store: Option<&Location>,
        environment: Environment<'_>,
    ) -> Self {
        let default_lock = || {
            let directory = environment("XDG_RUNTIME_DIR").unwrap_or_else(|| "/run/lock".to_owned());
            Path::new(&directory).join(lock_name(store))
        };
        Self {
            deadline: overrides.deadline.or(file.deadline).unwrap_or_default(),
            retries: file.retries.unwrap_or(1),
            lock_file: file.lock_file.unwrap_or_else(default_lock),
        }
    }
}

/// Returns the default name of the lock file of `store`: backups of two clusters on one host do
/// not wait for each other.
fn lock_name(store: Option<&Location>) -> String {
    let Some(location) = store else { return "vault-backup.lock".to_owned() };
    let hash = digest(&SHA256, location.to_string().as_bytes());
    format!("vault-backup-{}.lock", hex::encode(&hash.as_ref()[..4]))
}

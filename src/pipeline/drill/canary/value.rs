//! Compares the value of the canary that a restored server returns with the one in the
//! backup, read offline, and with a keyed hash in the configuration.
//!
//! A staging server can answer anything. It knows neither the backup's content before the
//! restore nor the backup key.

use crate::base::error::{Error, Kind, Result};
use crate::base::secret::Secret;
use crate::formats::barrier::{Barrier, Query, SecretAnswer};
use crate::formats::crypto::Keyring;
use crate::formats::manifest::canonical;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::io::Read;
use std::sync::Arc;

/// A canary that was read: its fields, its version and the time of that, on KV v2.
#[derive(Debug)]
pub(crate) struct CanaryValue {
    data: Value,
    version: Option<u64>,
    created: Option<DateTime<Utc>>,
}

impl CanaryValue {
    /// Creates a value from what a server returned.
    pub(crate) fn served(data: Value, version: Option<u64>, created: Option<DateTime<Utc>>) -> Self {
        Self { data, version, created }
    }

    /// Returns the value in an answer read from a backup, if it has one.
    pub(crate) fn stored(answer: &SecretAnswer) -> Option<Self> {
        let SecretAnswer::Found(text, version) = answer else { return None };
        let data = serde_json::from_str(text.expose()).ok()?;
        Some(Self { data, version: version.map(|v| v.number), created: version.and_then(|v| v.created) })
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.data, self.version, self.created) == (&other.data, other.version, other.created)
    }

    /// Returns the canonical JSON of the fields, if it is defined for them.
    fn canonical(&self) -> Option<Secret> {
        canonical::write(&self.data).ok().map(Secret::new)
    }

    /// Returns the keyed hash under the current key, if it is defined.
    pub(crate) fn hash(&self, keyring: &Keyring) -> Option<String> {
        self.canonical().map(|text| keyring.primary().canary_hash(text.expose()))
    }

    /// Compares the value with the configured hash, if there is one. Returns `true` if it was
    /// compared.
    ///
    /// # Errors
    /// `Drill` if it differs; `Usage` if the hash of this value is not defined.
    pub(crate) fn check_hash(&self, path: &str, expected: Option<&str>, keyring: &Keyring) -> Result<bool> {
        let Some(expected) = expected else { return Ok(false) };
        let text = self.canonical().ok_or_else(|| {
            Error::usage(format!("staging.canary_hash: the canary {path} has a number that is not a whole one"))
                .hint("write it as text in production, or unset staging.canary_hash")
        })?;
        // Under an old key too: the hash in the configuration may be older than the rotation.
        match keyring.iter().any(|key| key.canary_hash(text.expose()).eq_ignore_ascii_case(expected)) {
            true => Ok(true),
            false => Err(Error::drill(format!("the canary {path} does not have the hash in staging.canary_hash"))
                .hint(
                    "if it was changed in production, set the hash again; otherwise do not trust the staging server",
                )),
        }
    }
}

/// The means to read the canary from the backup itself.
pub(crate) enum StoredCanary {
    /// The unlocked keyrings of the backup.
    Readable(Arc<Barrier>),
    /// None, and the reason.
    Unreadable(String),
    /// Unseal keys that do not open the backup.
    Wrong(Error),
}

impl StoredCanary {
    /// Sorts the result of unlocking the backup. `None` stands for no unseal keys.
    ///
    /// # Errors
    /// A failure to read the backup.
    pub(crate) fn of(unlocked: Option<Result<Barrier>>) -> Result<Self> {
        Ok(match unlocked {
            None => Self::Unreadable("no unseal keys are configured".to_owned()),
            Some(Ok(barrier)) => Self::Readable(Arc::new(barrier)),
            Some(Err(error)) if error.kind() == Kind::Usage => Self::Unreadable(error.message()),
            Some(Err(error)) if error.kind() == Kind::Drill => Self::Wrong(error),
            Some(Err(error)) => return Err(error),
        })
    }

    /// Returns the search for the canary, to run while the state is read.
    pub(crate) fn search(
        &self,
        path: &str,
    ) -> impl FnMut(&mut dyn Read) -> Result<FoundCanary> + Send + 'static + use<> {
        let barrier = match self {
            Self::Readable(barrier) => Some(barrier.clone()),
            _ => None,
        };
        let query = Query { path: path.to_owned(), version: None, at: Utc::now() };
        // A failure of the search must not end the restore: it is judged at the end.
        move |state| Ok(FoundCanary(barrier.as_ref().map(|barrier| barrier.find(state, &query))))
    }

    /// Compares what a server returned with what was found in the backup. Returns the reason
    /// why that is not possible, if there is one.
    ///
    /// # Errors
    /// `Drill` if they differ, or the unseal keys do not open the backup.
    pub(crate) fn compare(self, path: &str, served: &CanaryValue, found: FoundCanary) -> Result<Option<String>> {
        let barrier = match self {
            Self::Readable(barrier) => barrier,
            Self::Unreadable(why) => return Ok(Some(why)),
            Self::Wrong(error) => return Err(error),
        };
        let answer = found.0.ok_or_else(|| Error::unexpected("the canary was not searched"))??;
        match CanaryValue::stored(&answer) {
            Some(stored) if stored.is_same(served) => Ok(None),
            None if barrier.has_namespaces() && matches!(answer, SecretAnswer::Missing(_)) => {
                Ok(Some("the backup has namespaces, and only the root namespace is searched".to_owned()))
            }
            _ => Err(Error::drill(format!(
                "the canary {path} that the restored Vault returns is not the one in the backup"
            ))
            .hint("do not trust the staging server: it does not serve this backup")),
        }
    }
}

/// The result of the search for the canary while a backup was read, if it was searched.
#[derive(Debug)]
pub(crate) struct FoundCanary(Option<Result<SecretAnswer>>);

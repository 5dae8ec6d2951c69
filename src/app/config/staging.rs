//! `[staging]`: the target of restore drills. No environment variable applies to it.

use super::auth;
use super::values::read;
use crate::base::error::{Error, Result};
use crate::base::secret::Reference;
use crate::formats::share::Share;
use crate::services::vault::Auth;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// `[staging]`: the Vault into which restore drills restore.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StagingSection {
    /// `true` if the section exists: then `status` expects restore drills.
    #[serde(skip)]
    pub configured: bool,
    /// Kind of server.
    pub mode: StagingMode,
    /// Address of the server, if any.
    #[serde(deserialize_with = "read::server")]
    pub address: Option<Url>,
    /// Token that may restore, if any. Otherwise one is generated from the unseal keys.
    pub token: Option<Reference>,
    /// Unseal key shares of the source.
    pub unseal_keys: Vec<Reference>,
    /// Unseal key shares of the source's sealable namespaces, by path.
    pub namespace_unseal_keys: BTreeMap<String, Vec<Reference>>,
    /// Key of the source's seal `static`, if any.
    #[serde(deserialize_with = "read::key")]
    pub seal_key: Option<Reference>,
    /// Path of the secret that is read after the restore.
    #[serde(deserialize_with = "read::text")]
    pub canary: String,
    /// Keyed hash of the canary's value, if any; see [`crate::formats::crypto::Key::canary_hash`].
    #[serde(deserialize_with = "read::digest")]
    pub canary_hash: Option<String>,
    /// Maximum age of the canary's value when the backup was made, if any.
    #[serde(deserialize_with = "read::duration")]
    pub canary_max_age: Option<Duration>,
    /// Time limit for applying the restore, and for the node to become active again.
    #[serde(deserialize_with = "read::duration")]
    pub wait: Duration,
    /// `true` if staging is sealed after the restore drill.
    pub seal_after: bool,
    /// Program for an ephemeral restore drill, if not the one on `PATH`.
    #[serde(deserialize_with = "read::path")]
    pub vault_binary: Option<PathBuf>,
    /// File with further HCL for that program, such as a seal stanza, if any.
    #[serde(deserialize_with = "read::path")]
    pub vault_config: Option<PathBuf>,
    /// PEM file of the CA that signed the server's certificate, in addition to the system's roots,
    /// if any.
    #[serde(deserialize_with = "read::path")]
    pub ca_cert: Option<PathBuf>,
    /// `[staging.auth]`: credentials of the source, if any; see [`StagingSection::login`].
    #[serde(deserialize_with = "auth::read")]
    pub auth: Option<Auth>,
}

/// Kind of server that restore drills use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StagingMode {
    /// The server at `address`.
    #[default]
    Server,
    /// A Vault that is started for the restore drill and removed after it.
    Ephemeral,
}

impl Default for StagingSection {
    fn default() -> Self {
        Self {
            configured: false,
            mode: StagingMode::default(),
            address: None,
            token: None,
            unseal_keys: Vec::new(),
            namespace_unseal_keys: BTreeMap::new(),
            seal_key: None,
            canary: "smtp/test-tenant-id/admin".to_owned(),
            canary_hash: None,
            canary_max_age: None,
            wait: Duration::from_mins(5),
            seal_after: true,
            vault_binary: None,
            vault_config: None,
            ca_cert: None,
            auth: None,
        }
    }
}

impl StagingSection {
    /// Returns the address of the server.
    ///
    /// # Errors
    /// `Usage` that names the setting.
    pub fn address(&self) -> Result<&Url> {
        self.address
            .as_ref()
            .ok_or_else(|| Error::usage("no staging Vault configured").hint("set staging.address, or use --ephemeral"))
    }

    /// Returns the credentials of the source. The environment is never used here.
    ///
    /// # Errors
    /// `Usage` that names the setting.
    pub fn login(&self) -> Result<&Auth> {
        self.auth.as_ref().ok_or_else(|| {
            Error::usage("no credentials of the source to read the canary with")
                .hint("set staging.auth.token, or another staging.auth.method")
        })
    }

    /// Reads the unseal key shares.
    ///
    /// # Errors
    /// As [`Reference::read`], and `Usage` for a malformed share.
    pub fn shares(&self) -> Result<Vec<Share>> {
        shares(&self.unseal_keys)
    }

    /// Reads the unseal key shares of sealable namespaces.
    ///
    /// # Errors
    /// As [`StagingSection::shares`].
    pub fn namespace_shares(&self) -> Result<BTreeMap<String, Vec<Share>>> {
        self.namespace_unseal_keys.iter().map(|(path, from)| Ok((path.clone(), shares(from)?))).collect()
    }
}

fn shares(references: &[Reference]) -> Result<Vec<Share>> {
    references.iter().map(|from| Share::parse(from.to_string(), &from.read()?)).collect()
}

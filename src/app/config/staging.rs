//! `[staging]`: where drills restore to. The environment has no part in it.

use super::auth::Auth;
use super::file;
use super::values::SecretRef;
use crate::base::error::{Error, Result};
use crate::base::secret::Reference;
use crate::formats::share::Share;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// `[staging]`: the Vault that drills restore into.
#[derive(Clone, Debug)]
pub struct StagingSection {
    /// Whether the section is there at all: then `status` asks for drills.
    pub configured: bool,
    /// A server, or one that is started for the drill.
    pub mode: StagingMode,
    /// The server's address.
    pub address: Option<Url>,
    /// A token that may restore; made from the shares where absent.
    pub token: Option<Reference>,
    /// The unseal key shares of the source.
    pub unseal_keys: Vec<Reference>,
    /// The unseal key shares of the source's sealable namespaces, by path.
    pub namespace_unseal_keys: BTreeMap<String, Vec<Reference>>,
    /// The key of the source's seal `static`.
    pub seal_key: Option<Reference>,
    /// The path of the secret that is read after the restore.
    pub canary: String,
    /// How old the canary's value may have been when the backup was made.
    pub canary_max_age: Option<Duration>,
    /// The longest wait for the restore to be applied, and for the node to come back.
    pub wait: Duration,
    /// Whether staging is sealed after the drill.
    pub seal_after: bool,
    /// The Vault to start for an ephemeral drill; from PATH where absent.
    pub vault_binary: Option<PathBuf>,
    /// HCL for it beside our own: a seal stanza, for example.
    pub vault_config: Option<PathBuf>,
    /// PEM file of the CA that signed the server's certificate, beside the system's roots.
    pub ca_cert: Option<PathBuf>,
    /// `[staging.auth]`: the source's credentials; see [`StagingSection::login`].
    pub auth: Auth,
}

/// Where drills restore to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StagingMode {
    /// The server at `address`.
    #[default]
    Server,
    /// A Vault started for the drill and removed after it.
    Ephemeral,
}

impl StagingSection {
    pub(super) fn resolve(file: Option<file::Staging>) -> Self {
        let configured = file.is_some();
        let file = file.unwrap_or_default();
        Self {
            configured,
            mode: file.mode.unwrap_or_default(),
            address: file.address.map(|v| v.0),
            token: file.token.map(|v| v.0),
            unseal_keys: file.unseal_keys.unwrap_or_default().into_iter().map(|v| v.0).collect(),
            namespace_unseal_keys: references(file.namespace_unseal_keys),
            seal_key: file.seal_key.map(|v| v.0),
            canary: file.canary.map_or_else(|| "smtp/test-tenant-id/admin".to_owned(), |v| v.0),
            canary_max_age: file.canary_max_age.map(|v| v.0),
            wait: file.wait.map_or(Duration::from_mins(5), |v| v.0),
            seal_after: file.seal_after.unwrap_or(true),
            vault_binary: file.vault_binary.map(|v| v.0),
            vault_config: file.vault_config.map(|v| v.0),
            ca_cert: file.ca_cert.map(|v| v.0),
            auth: file.auth,
        }
    }

    /// The server's address.
    ///
    /// # Errors
    /// `Usage` saying what to set.
    pub fn address(&self) -> Result<&Url> {
        self.address
            .as_ref()
            .ok_or_else(|| Error::usage("no staging Vault configured").hint("set staging.address, or use --ephemeral"))
    }

    /// The source's credentials. Those of the environment are never taken here.
    ///
    /// # Errors
    /// `Usage` saying what to set.
    pub fn login(&self) -> Result<&Auth> {
        match &self.auth {
            Auth::Token { token: None } => Err(Error::usage("no credentials of the source to read the canary with")
                .hint("set staging.auth.token, or another staging.auth.method")),
            auth => Ok(auth),
        }
    }

    /// The unseal key shares, read now.
    ///
    /// # Errors
    /// As [`Reference::read`], and `Usage` for a malformed share.
    pub fn shares(&self) -> Result<Vec<Share>> {
        read(&self.unseal_keys)
    }

    /// The unseal key shares of sealable namespaces, read now.
    ///
    /// # Errors
    /// As [`StagingSection::shares`].
    pub fn namespace_shares(&self) -> Result<BTreeMap<String, Vec<Share>>> {
        let shares = self.namespace_unseal_keys.iter().map(|(path, from)| Ok((path.clone(), read(from)?)));
        shares.collect()
    }
}

fn read(references: &[Reference]) -> Result<Vec<Share>> {
    references.iter().map(|from| Share::parse(from.to_string(), &from.read()?)).collect()
}

fn references(file: Option<BTreeMap<String, Vec<SecretRef>>>) -> BTreeMap<String, Vec<Reference>> {
    let plain = |list: Vec<SecretRef>| list.into_iter().map(|v| v.0).collect();
    file.unwrap_or_default().into_iter().map(|(path, list)| (path, plain(list))).collect()
}

//! The configuration: flags override environment variables, which override the file.
//!
//! Sections are deserialised into the settings of the services that use them. Secrets are not read
//! here: sections contain references, which are read when they are used.

mod auth;
mod explain;
mod file;
mod staging;
mod store;
#[cfg(test)]
mod tests;
mod values;
mod variables;
mod vault;

pub use staging::{StagingMode, StagingSection};
pub use store::{EncryptionSection, OldKey, RunSection, StoreSection};
pub use values::{Deadline, deadline, duration, key_reference};
pub use vault::VaultSection;

use crate::base::error::{Error, Result};
use crate::base::secret::Reference;
use crate::formats::retention::Policy;
use crate::services::notify::NotifySettings;
use crate::services::vault::Auth;
use std::path::{Path, PathBuf};

/// Default path of the configuration file. The file is optional.
pub const DEFAULT_FILE: &str = "/etc/vault-backup/config.toml";

/// Reads an environment variable. An empty variable counts as not set, as in Vault's own client.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Variables that give a required value. If one of them is empty, the error about the missing value
/// says so.
const ADDRESSES: &[&str] = &["BAO_AGENT_ADDR", "VAULT_AGENT_ADDR", "BAO_ADDR", "VAULT_ADDR"];
const TOKENS: &[&str] = &["BAO_TOKEN", "VAULT_TOKEN"];

/// Values given as flags.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--config`, if given.
    pub config: Option<PathBuf>,
    /// `--store`, if given.
    pub store: Option<String>,
    /// `--deadline`, if given.
    pub deadline: Option<Deadline>,
    /// `--key`, if it replaces the configured key.
    pub key: Option<Reference>,
}

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// `[vault]`; see also [`Config::vault`].
    pub vault: VaultSection,
    /// `[encryption]`
    pub encryption: EncryptionSection,
    /// `[retention]`
    pub retention: Policy,
    /// `[staging]`
    pub staging: StagingSection,
    /// File of the audit log (`[audit]`), if any.
    pub audit: Option<PathBuf>,
    /// `[[notify]]`, `[ping]` and `[metrics]`.
    pub notify: NotifySettings,
    /// `[run]`
    pub run: RunSection,
    store: Option<StoreSection>,
    /// Environment variables that are set but empty.
    empty: Vec<&'static str>,
}

impl Config {
    /// Resolves the configuration.
    ///
    /// # Errors
    /// `Usage` for a file that was named and is missing, cannot be read or does not match the
    /// schema, and for malformed flags and variables. The message names file, line and key, or the
    /// flag or variable.
    pub fn load(overrides: &Overrides, environment: Environment<'_>) -> Result<Self> {
        let named = overrides.config.clone().or_else(|| set(environment, "VAULT_BACKUP_CONFIG").map(PathBuf::from));
        let path = named.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
        let file = explain::read(path)?;
        if let (None, Some(named)) = (&file, &named) {
            return Err(Error::usage(format!("configuration {}: there is no such file", named.display())));
        }
        let read = file.is_some().then(|| path.to_owned());
        Self::resolve(file.unwrap_or_default(), overrides, environment).map(|config| Self { file: read, ..config })
    }

    fn resolve(file: file::File, overrides: &Overrides, environment: Environment<'_>) -> Result<Self> {
        let required = ADDRESSES.iter().chain(TOKENS).chain(&[store::STORE, store::KEY]);
        let empty = required.copied().filter(|name| environment(name).is_some_and(|value| value.is_empty())).collect();
        let environment: Environment<'_> = &|name| set(environment, name);
        let vault = VaultSection::resolve(file.vault, &file.run, environment)?;
        let store = StoreSection::resolve(file.store, &file.run, overrides, environment)?;
        Ok(Self {
            file: None,
            vault,
            encryption: file.encryption.resolve(overrides, environment),
            retention: file.retention.into(),
            staging: file.staging.map(|staging| StagingSection { configured: true, ..staging }).unwrap_or_default(),
            audit: file.audit.file,
            notify: NotifySettings {
                notify: file.notify.into_iter().map(Into::into).collect(),
                ping: file.ping.url,
                textfile: file.metrics.textfile,
                ..NotifySettings::default()
            },
            run: RunSection::resolve(file.run, overrides, store.as_ref().map(|s| &s.location), environment),
            store,
            empty,
        })
    }

    /// Returns `[vault]`, with an address and credentials.
    ///
    /// # Errors
    /// `Usage` that names the setting.
    pub fn vault(&self) -> Result<&VaultSection> {
        if self.vault.settings.addresses.is_empty() {
            return Err(self
                .missing("no Vault configured", ADDRESSES)
                .hint("set vault.addresses, or VAULT_ADDR or BAO_ADDR"));
        }
        self.login()?;
        Ok(&self.vault)
    }

    /// Returns `[vault.auth]`, with everything that the method needs.
    ///
    /// # Errors
    /// `Usage` that names the setting.
    pub fn login(&self) -> Result<&Auth> {
        match &self.vault.auth {
            None => Err(self.missing("no Vault token", TOKENS).hint(
                "set VAULT_TOKEN, BAO_TOKEN or vault.auth.token, run `vault login`, or choose another vault.auth.method",
            )),
            Some(Auth::Cert { .. }) if self.vault.settings.tls.client_cert.is_none() => {
                Err(Error::usage("vault.auth: method \"cert\" needs vault.client_cert and vault.client_key"))
            }
            Some(auth) => Ok(auth),
        }
    }

    /// Returns `[store]`, with its location.
    ///
    /// # Errors
    /// `Usage` that names the setting.
    pub fn store(&self) -> Result<&StoreSection> {
        self.store.as_ref().ok_or_else(|| {
            self.missing("no store configured", &[store::STORE]).hint("set store.url, VAULT_BACKUP_STORE or --store")
        })
    }

    /// Returns the reference of the key that encrypts.
    ///
    /// # Errors
    /// `Usage` if no key is configured.
    pub fn key(&self) -> Result<&Reference> {
        self.encryption.key.as_ref().ok_or_else(|| {
            self.missing("no backup key configured", &[store::KEY])
                .hint("set encryption.key or VAULT_BACKUP_KEY; `vault-backup keygen` generates a key")
        })
    }

    /// Returns the error for a missing value, which names the first of `variables` that is empty.
    fn missing(&self, what: &str, variables: &[&str]) -> Error {
        match self.empty.iter().find(|name| variables.contains(name)) {
            Some(name) => Error::usage(format!("{what}: {name} is set but empty")),
            None => Error::usage(what),
        }
    }
}

/// Returns the value of the variable if it is not empty.
fn set(environment: Environment<'_>, name: &str) -> Option<String> {
    environment(name).filter(|value| !value.is_empty())
}

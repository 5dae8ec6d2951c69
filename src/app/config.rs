//! The configuration as resolved, once a run: flag > environment > file > default.
//!
//! Here: what each section means, its defaults, and the errors for what a command
//! needs and nobody set. Secrets are not read: sections hold references, read when
//! they are used. Not here: flags (`cli`), and the leaves' own settings, which
//! `commands` and `pipeline` make from these sections.

mod auth;
mod explain;
mod file;
mod sections;
mod staging;
mod store;
#[cfg(test)]
mod tests;
mod values;
mod variables;
mod vault;

pub use crate::base::secret::TextOrReference;
pub use auth::{Auth, Method};
pub use sections::{
    AuditSection, MetricsSection, NotifyKind, NotifyOn, NotifySection, PingSection, RetentionSection, RunSection,
};
pub use staging::{StagingMode, StagingSection};
pub use store::{EncryptionSection, Sse, StoreSection};
pub use values::{LockMode, ObjectLock, duration, key_reference};
pub use vault::VaultSection;

use crate::base::error::{Error, Result};
use crate::base::secret::Reference;
use std::path::{Path, PathBuf};
use std::time::Duration;
use values::Parsed;

/// The file that is read where no other is named; it may be missing.
pub const DEFAULT_FILE: &str = "/etc/vault-backup/config.toml";

/// Reads an environment variable. An empty one counts as not set, as in Vault's own client.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What was given as flags.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--store`
    pub store: Option<String>,
    /// `--deadline`
    pub deadline: Option<Duration>,
    /// `--key`, where it stands for the configured key.
    pub key: Option<Reference>,
}

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// `[vault]`; see also [`Config::vault`].
    pub vault: VaultSection,
    /// `[encryption]`
    pub encryption: EncryptionSection,
    /// `[retention]`
    pub retention: RetentionSection,
    /// `[staging]`
    pub staging: StagingSection,
    /// `[audit]`
    pub audit: AuditSection,
    /// `[[notify]]`, in the file's order.
    pub notify: Vec<NotifySection>,
    /// `[ping]`
    pub ping: PingSection,
    /// `[metrics]`
    pub metrics: MetricsSection,
    /// `[run]`
    pub run: RunSection,
    store: Option<StoreSection>,
}

impl Config {
    /// Resolves the configuration.
    ///
    /// # Errors
    /// `Usage` for a file that was named and is missing, that cannot be read or
    /// does not fit the schema, and for malformed flags and variables: naming file,
    /// line and key, or the flag or variable.
    pub fn load(overrides: &Overrides, environment: Environment<'_>) -> Result<Self> {
        let environment = &|name: &str| environment(name).filter(|value| !value.is_empty());
        let named = overrides.config.clone().or_else(|| environment("VAULT_BACKUP_CONFIG").map(PathBuf::from));
        let path = named.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
        let file = explain::read(path)?;
        if let (None, Some(named)) = (&file, &named) {
            return Err(Error::usage(format!("configuration {}: there is no such file", named.display())));
        }
        let read = file.is_some().then(|| path.to_owned());
        Self::resolve(file.unwrap_or_default(), overrides, environment).map(|config| Self { file: read, ..config })
    }

    fn resolve(file: file::File, overrides: &Overrides, environment: Environment<'_>) -> Result<Self> {
        let store = StoreSection::resolve(file.store, overrides, environment)?;
        let run = RunSection::resolve(file.run, overrides, store.as_ref().map(|s| &s.url), environment);
        Ok(Self {
            file: None,
            vault: VaultSection::resolve(file.vault, environment)?,
            store,
            encryption: EncryptionSection::resolve(file.encryption, overrides, environment),
            retention: file.retention.into(),
            staging: StagingSection::resolve(file.staging),
            audit: AuditSection { file: file.audit.file.map(|v| v.0) },
            notify: file.notify.into_iter().map(NotifySection::from).collect(),
            ping: PingSection { url: file.ping.url.map(|v| v.0) },
            metrics: MetricsSection { textfile: file.metrics.textfile.map(|v| v.0) },
            run,
        })
    }

    /// `[vault]`, with an address and the means to log in.
    ///
    /// # Errors
    /// `Usage` saying what to set.
    pub fn vault(&self) -> Result<&VaultSection> {
        if self.vault.addresses.is_empty() {
            return Err(Error::usage("no Vault configured").hint("set vault.addresses, or VAULT_ADDR or BAO_ADDR"));
        }
        self.vault.login()?;
        Ok(&self.vault)
    }

    /// `[store]`, with its URL.
    ///
    /// # Errors
    /// `Usage` saying what to set.
    pub fn store(&self) -> Result<&StoreSection> {
        self.store
            .as_ref()
            .ok_or_else(|| Error::usage("no store configured").hint("set store.url, VAULT_BACKUP_STORE or --store"))
    }
}

/// The variable's value if it is set, else the file's.
fn pick<T>(
    environment: Environment<'_>,
    name: &str,
    parse: impl Fn(&str) -> Parsed<T>,
    file: Option<T>,
) -> Result<Option<T>> {
    match environment(name) {
        Some(value) => parse(&value).map(Some).map_err(|allowed| Error::usage(format!("{name}: {allowed}"))),
        None => Ok(file),
    }
}

//! The Vault clients of a run.

use super::Context;
use crate::base::error::{Error, Result};
use crate::services::http::TlsSettings;
use crate::services::vault::{Auth, Client, VaultSettings};
use std::path::{Path, PathBuf};
use url::Url;

impl Context {
    /// Returns a client of the source Vault.
    ///
    /// # Errors
    /// `Usage` if none is configured, or its TLS files cannot be used.
    pub fn vault(&self) -> Result<Client> {
        self.config()?.vault()?;
        self.vault_anonymous()
    }

    /// Returns a client of the source Vault for requests that need no login.
    ///
    /// # Errors
    /// `Usage` as [`Context::vault`].
    pub fn vault_anonymous(&self) -> Result<Client> {
        self.source_client(self.config()?.vault.settings.clone())
    }

    /// Returns a client of the Vault at `address`, with the TLS settings of `[vault]`.
    ///
    /// # Errors
    /// `Usage` if its TLS files cannot be used.
    pub fn vault_at(&self, address: &Url) -> Result<Client> {
        let settings = self.config()?.vault.settings.clone();
        self.source_client(VaultSettings { addresses: vec![address.clone()], ..settings })
    }

    /// Returns a client of `[vault]`. Logs the warnings about the section once per run.
    fn source_client(&self, settings: VaultSettings) -> Result<Client> {
        let section = &self.config()?.vault;
        if !self.warned_of_vault.replace(true) {
            section.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        }
        let client = Client::new(settings)?;
        Ok(if matches!(section.auth, Some(Auth::None)) { client.through_agent() } else { client })
    }

    /// Returns a client of the staging Vault alone. It does not follow the node to a leader: after
    /// a restore, the node names its source as the leader.
    ///
    /// # Errors
    /// `Usage` if its CA file cannot be used.
    pub fn staging_vault(&self, address: &Url) -> Result<Client> {
        let ca_cert = self.config()?.staging.ca_cert.clone();
        self.single_node(address, TlsSettings { ca_cert, ..TlsSettings::default() }, None)
    }

    /// Returns a client of the Vault that listens on `socket`, and its address for messages.
    ///
    /// # Errors
    /// `Usage` if the client cannot be built.
    pub fn socket_vault(&self, socket: &Path) -> Result<(Client, Url)> {
        let address = Url::parse("http://localhost:8200")
            .map_err(|e| Error::unexpected("the address of the socket cannot be parsed").because(e))?;
        let client = self.single_node(&address, TlsSettings::default(), Some(socket.to_owned()))?;
        Ok((client, address))
    }

    fn single_node(&self, address: &Url, tls: TlsSettings, unix_socket: Option<PathBuf>) -> Result<Client> {
        let source = &self.config()?.vault.settings;
        let settings = VaultSettings {
            addresses: vec![address.clone()],
            tls,
            connect_timeout: source.connect_timeout,
            idle_timeout: source.idle_timeout,
            unix_socket,
            ..VaultSettings::default()
        };
        Ok(Client::new(settings)?.single_node())
    }

    /// Returns the credentials for the source Vault. Reads its secrets.
    ///
    /// # Errors
    /// `Usage` that names the reference that cannot be used.
    pub fn vault_auth(&self) -> Result<Auth> {
        self.config()?.login()?.read()
    }
}

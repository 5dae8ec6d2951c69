//! The clients of Vault that a run needs, and how it logs in.
//!
//! Here: `[vault]` and `[staging]` as the client's own settings. Not here: what is
//! asked of a Vault (`vault`, `pipeline`).

use super::Context;
use crate::app::config::{self, VaultSection};
use crate::base::error::{Error, Result};
use crate::base::secret::{Secret, TextOrReference};
use crate::services::http::TlsSettings;
use crate::services::vault;
use std::path::{Path, PathBuf};
use url::Url;

impl Context {
    /// A client of the source Vault.
    ///
    /// # Errors
    /// `Usage` if none is configured, or its TLS files cannot be used.
    pub fn vault(&self) -> Result<vault::Client> {
        let section = self.config()?.vault()?;
        Ok(by_auth(vault::Client::new(self.vault_settings(section)?)?, section))
    }

    fn vault_settings(&self, section: &VaultSection) -> Result<vault::VaultSettings> {
        self.warn_of_vault(section);
        let run = &self.config()?.run;
        let (client_cert, client_key) = section.client_cert.clone().unzip();
        Ok(vault::VaultSettings {
            addresses: section.addresses.clone(),
            namespace: section.namespace.clone(),
            tls: TlsSettings {
                ca_cert: section.ca_cert.clone(),
                ca_path: section.ca_path.clone(),
                ca_bytes: section.ca_bytes.clone(),
                client_cert,
                client_key,
                server_name: section.tls_server_name.clone(),
                skip_verify: section.tls_skip_verify,
            },
            connect_timeout: run.connect_timeout,
            idle_timeout: run.idle_timeout,
            unix_socket: None,
            proxy: section.proxy.clone(),
        })
    }

    /// Says once a run what is probably a mistake in `[vault]`.
    fn warn_of_vault(&self, section: &VaultSection) {
        if self.warned_of_vault.replace(true) {
            return;
        }
        section.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        if section.tls_skip_verify {
            tracing::warn!(
                "TLS certificates of Vault are not verified (tls_skip_verify): anybody on the way can read the token"
            );
        }
    }

    /// A client of the source Vault for questions that need no login.
    ///
    /// # Errors
    /// `Usage` as [`Context::vault`].
    pub fn vault_anonymous(&self) -> Result<vault::Client> {
        let section = &self.config()?.vault;
        Ok(by_auth(vault::Client::new(self.vault_settings(section)?)?, section))
    }

    /// A client of the Vault at `address`, with the TLS settings of `[vault]`.
    ///
    /// # Errors
    /// `Usage` if its TLS files cannot be used.
    pub fn vault_at(&self, address: &Url) -> Result<vault::Client> {
        let section = &self.config()?.vault;
        let settings = self.vault_settings(section)?;
        Ok(by_auth(vault::Client::new(vault::VaultSettings { addresses: vec![address.clone()], ..settings })?, section))
    }

    /// A client of the staging Vault alone. It follows nothing that the node says of
    /// a leader: freshly restored, it takes its source for that.
    ///
    /// # Errors
    /// `Usage` if its CA file cannot be used.
    pub fn staging_vault(&self, address: &Url) -> Result<vault::Client> {
        let ca_cert = self.config()?.staging.ca_cert.clone();
        self.single_node(address, TlsSettings { ca_cert, ..TlsSettings::default() }, None)
    }

    /// A client of the Vault that listens on `socket`, and the address to name it by.
    ///
    /// # Errors
    /// `Usage` if the client cannot be built.
    pub fn socket_vault(&self, socket: &Path) -> Result<(vault::Client, Url)> {
        let address = Url::parse("http://localhost:8200")
            .map_err(|e| Error::unexpected("the socket's address cannot be written").because(e))?;
        let client = self.single_node(&address, TlsSettings::default(), Some(socket.to_owned()))?;
        Ok((client, address))
    }

    fn single_node(&self, address: &Url, tls: TlsSettings, unix_socket: Option<PathBuf>) -> Result<vault::Client> {
        let run = &self.config()?.run;
        let settings = vault::VaultSettings {
            addresses: vec![address.clone()],
            namespace: None,
            tls,
            connect_timeout: run.connect_timeout,
            idle_timeout: run.idle_timeout,
            unix_socket,
            proxy: None,
        };
        Ok(vault::Client::new(settings)?.single_node())
    }

    /// How to log in to the source Vault; its secrets are read now.
    ///
    /// # Errors
    /// `Usage` naming the reference that cannot be used.
    pub fn vault_auth(&self) -> Result<vault::Auth> {
        login(self.config()?.vault.login()?)
    }
}

/// `client`, which knows that an agent adds the token where the method is `none`.
fn by_auth(client: vault::Client, section: &VaultSection) -> vault::Client {
    if section.auth == config::Auth::None { client.through_agent() } else { client }
}

fn literal(value: &TextOrReference) -> Result<String> {
    value.read().map(|secret| secret.expose().to_owned())
}

/// Reads what a login method needs.
///
/// # Errors
/// `Usage` naming the reference that cannot be used.
pub fn login(auth: &config::Auth) -> Result<vault::Auth> {
    Ok(match auth.clone() {
        config::Auth::Token { token } => {
            let token = token.ok_or_else(|| Error::usage("no Vault token"))?.read()?;
            vault::Auth::Token { token }
        }
        config::Auth::None => vault::Auth::None,
        config::Auth::AppRole { mount, role_id, secret_id } => vault::Auth::AppRole {
            mount,
            role_id: literal(&role_id)?,
            secret_id: secret_id.map(|from| from.read()).transpose()?.unwrap_or_else(|| Secret::new("")),
        },
        config::Auth::Kubernetes { mount, role, jwt } => vault::Auth::Kubernetes { mount, role, jwt: jwt.read()? },
        config::Auth::Aws { mount, role, server_id, region } => vault::Auth::AwsIam { mount, role, server_id, region },
        config::Auth::Cert { mount, role } => vault::Auth::Cert { mount, role },
        config::Auth::Userpass { mount, username, password } => {
            vault::Auth::Userpass { mount, username, password: password.read()? }
        }
        config::Auth::Jwt { mount, role, jwt } => vault::Auth::Jwt { mount, role, jwt: jwt.read()? },
        config::Auth::Ldap { mount, username, password } => {
            vault::Auth::Ldap { mount, username, password: password.read()? }
        }
    })
}

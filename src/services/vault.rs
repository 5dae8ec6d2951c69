//! The client of Vault and OpenBao: finding the leader, logins, snapshots, restores, seals.
//!
//! Every request to Vault is made here, and every failure is worded here. Not here: the order of
//! requests in a backup or a restore drill (`pipeline`).
//!
//! vaultrs defines the requests about tokens; they are sent by `call`, which limits the size and the
//! time of the response. `call` and `snapshot` make those that vaultrs lacks or whose response it does
//! not return in full: the number of uses of a token, bodies of responses other than 200, streams.
//!
//! A token is sent only to an address of [`VaultSettings::addresses`], or to the leader that one of
//! them names and `leader` has checked; never from https to http.

mod auth;
mod aws;
mod call;
mod failure;
mod init;
mod kv;
mod leader;
mod login;
mod raft;
mod restore;
mod seal;
mod snapshot;
mod status;
mod token;

pub use auth::Auth;
pub use init::Initialised;
pub use kv::SecretRead;
pub use login::Session;
pub use raft::Peer;
pub use restore::RestoreFailed;
pub use seal::{ALLOW_GENERATE_ROOT, decode_root_token};
pub use snapshot::SnapshotStream;
pub use status::{Health, Node, SealStatus};
pub use token::{Capabilities, TokenInfo};

use crate::base::error::{Error, Result};
use crate::base::secret::Secret;
use crate::services::http::{self, Clients, Proxy};
use reqwest::header::{HeaderMap, HeaderValue};
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// Settings of a client of one Vault cluster.
#[derive(Clone, Debug)]
pub struct VaultSettings {
    /// Addresses of the nodes or of a load balancer in front of them; at least one. `http` or
    /// `https`, host and port, and a path if a proxy adds one; or `unix:///PATH`.
    pub addresses: Vec<Url>,
    /// Namespace of logins and secrets, if not the root namespace. Snapshots always use the root
    /// namespace.
    pub namespace: Option<String>,
    /// TLS settings.
    pub tls: http::TlsSettings,
    /// Time limit for a connection attempt.
    pub connect_timeout: Duration,
    /// Longest time without a byte of a transfer or a response.
    pub idle_timeout: Duration,
    /// Unix socket that is used instead of the addresses, if any.
    pub unix_socket: Option<PathBuf>,
    /// Proxy, if not `HTTPS_PROXY`. Never used for loopback addresses or plain http.
    pub proxy: Option<Url>,
}

impl Default for VaultSettings {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            namespace: None,
            tls: http::TlsSettings::default(),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_mins(1),
            unix_socket: None,
            proxy: None,
        }
    }
}

/// Client of one cluster.
pub struct Client {
    settings: VaultSettings,
    clients: Clients,
    election: Duration,
    follows: bool,
    through_agent: bool,
}

impl Client {
    /// Checks the settings and reads the certificates. Sends nothing.
    ///
    /// # Errors
    /// `Usage` that names the address, file or setting that cannot be used.
    pub fn new(mut settings: VaultSettings) -> Result<Self> {
        if settings.addresses.is_empty() {
            return Err(Error::usage("no address of Vault").hint("set vault.addresses or VAULT_ADDR"));
        }
        for address in &mut settings.addresses {
            *address = checked_address(address)?;
        }
        if let Some(namespace) = &settings.namespace
            && HeaderValue::from_str(namespace).is_err()
        {
            return Err(Error::usage(format!("vault.namespace {namespace:?}: not valid in an HTTP header")));
        }
        let clients = Clients::new(options(&settings, Some(settings.idle_timeout)))?;
        Ok(Self { settings, clients, election: leader::ELECTION, follows: true, through_agent: false })
    }

    /// Limits the wait for a leader to `limit` (30 s by default).
    #[must_use]
    pub fn with_election_wait(self, limit: Duration) -> Self {
        Self { election: limit, ..self }
    }

    /// Makes this the client of a Vault of one node, such as staging. It never follows the node to
    /// a leader and never asks for one.
    ///
    /// Until it is active, a node that was just restored and unsealed takes the leader in its
    /// snapshot, which is the source's, for its own leader. It forwards requests to that leader, and
    /// seals itself when it learns that it is not a member there ("node has been removed from the HA
    /// cluster"). Before [`Client::leader`] has returned, send only `sys/health` and
    /// `sys/seal-status`, which no node forwards.
    #[must_use]
    pub fn single_node(self) -> Self {
        Self { follows: false, ..self }
    }

    /// Makes this the client of an agent or proxy that adds its own token. A standby behind it
    /// serves as well as the leader, and no other address is used.
    #[must_use]
    pub fn through_agent(self) -> Self {
        Self { follows: false, through_agent: true, ..self }
    }

    /// Returns the configured addresses.
    pub fn addresses(&self) -> &[Url] {
        &self.settings.addresses
    }
}

/// Returns the options of the HTTP clients.
fn options(settings: &VaultSettings, idle_timeout: Option<Duration>) -> http::Options {
    // Agents and proxies may require it as a protection against request forgery.
    let headers = HeaderMap::from_iter([(call::REQUEST_HEADER, HeaderValue::from_static("true"))]);
    http::Options {
        tls: settings.tls.clone(),
        connect_timeout: Some(settings.connect_timeout),
        idle_timeout,
        total_timeout: None,
        unix_socket: settings.unix_socket.clone(),
        proxy: Proxy { address: settings.proxy.clone() },
        headers,
    }
}

/// Returns `address` without a slash at its end.
///
/// # Errors
/// `Usage` with the reason if it is not the address of a Vault.
fn checked_address(address: &Url) -> Result<Url> {
    let wrong = if !matches!(address.scheme(), "http" | "https" | "unix") {
        "the scheme must be http, https or unix"
    } else if !address.username().is_empty() || address.password().is_some() {
        "it must not contain a user name or password"
    } else if address.query().is_some() || address.fragment().is_some() {
        "it must not contain ? or #"
    } else {
        let mut address = address.clone();
        let path = address.path().trim_end_matches('/').to_owned();
        address.set_path(&path);
        return Ok(address);
    };
    // The whole address may hold a password.
    let host = address.host_str().unwrap_or_default();
    Err(Error::usage(format!("address of Vault on {host:?}: {wrong}")).hint("write https://HOST:8200"))
}

/// Returns the token if it is valid in an HTTP header.
fn checked_token(token: &Secret) -> Result<&str> {
    let text = token.expose();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(text);
    }
    Err(Error::usage("the Vault token is empty, or contains white space or other invalid characters"))
}

/// Returns `url` for messages, without the slash that `Url` adds after the port.
fn shown(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

#[cfg(test)]
mod tests;

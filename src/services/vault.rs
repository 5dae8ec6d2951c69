//! The client of Vault and OpenBao: who leads, logins, snapshots out and in, seals.
//!
//! Here: every request that is sent to Vault, and each failure in words. Not
//! here: what the snapshot's bytes are (`archive`), where the settings come from
//! (`config`), and the order of a backup or a drill (`pipeline`).
//!
//! vaultrs does what belongs to a token, over a reqwest client of ours; the rest,
//! which it lacks or gives without what is needed (the number of a token's uses, bodies
//! of answers other than 200, streams), goes through `call` and `snapshot`.
//!
//! A token goes only to an address of [`VaultSettings::addresses`], or to the leader
//! that one of those names, checked in `leader`; never from https to http.

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

/// Where a Vault cluster is, and how to speak to it.
#[derive(Clone, Debug)]
pub struct VaultSettings {
    /// Addresses of its nodes, or of a load balancer before them; at least one.
    /// `http` or `https`, host and port, and a path where a proxy maps one; or `unix:///PATH`.
    pub addresses: Vec<Url>,
    /// The namespace of logins and secrets. Snapshots are always the root's.
    pub namespace: Option<String>,
    /// Certificates.
    pub tls: http::TlsSettings,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest time without a byte in a transfer or an answer.
    pub idle_timeout: Duration,
    /// A socket to speak over, whatever the addresses' hosts.
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

/// A client of one cluster.
pub struct Client {
    settings: VaultSettings,
    clients: Clients,
    election: Duration,
    follows: bool,
    through_agent: bool,
}

impl Client {
    /// Checks the settings and reads the certificates. Nothing is sent.
    ///
    /// # Errors
    /// `Usage` naming the address, file or setting that cannot be used.
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
            return Err(Error::usage(format!("vault.namespace {namespace:?}: not fit for a header")));
        }
        let clients = Clients::new(options(&settings, Some(settings.idle_timeout)))?;
        Ok(Self { settings, clients, election: leader::ELECTION, follows: true, through_agent: false })
    }

    /// The same client, which waits for a leader no longer than `limit` (30 s by default).
    #[must_use]
    pub fn with_election_wait(self, limit: Duration) -> Self {
        Self { election: limit, ..self }
    }

    /// The same client for a Vault of one node, such as a staging one: what it says
    /// of a leader is never followed, nor even asked for.
    ///
    /// Until it is active, a node that has just been restored and unsealed believes
    /// that the leader which its snapshot names still leads: the source's. It
    /// forwards requests to it, and seals itself when told that it is no member
    /// there ("node has been removed from the HA cluster"). So nothing but
    /// `sys/health` and `sys/seal-status`, which no node forwards, may be sent to
    /// it before [`Client::leader`] has returned.
    #[must_use]
    pub fn single_node(self) -> Self {
        Self { follows: false, ..self }
    }

    /// The same client for an agent or proxy that adds a token of its own: a standby
    /// behind it is as good as the leader, and no other address is ever asked.
    #[must_use]
    pub fn through_agent(self) -> Self {
        Self { follows: false, through_agent: true, ..self }
    }

    /// The configured addresses.
    pub fn addresses(&self) -> &[Url] {
        &self.settings.addresses
    }

    /// vaultrs for `address`. `namespaced` calls carry the configured namespace.
    fn vaultrs(&self, address: &Url, token: Option<&Secret>, namespaced: bool) -> Result<vaultrs::client::VaultClient> {
        let (client, url) = self.clients.of(address)?;
        // vaultrs puts its version in front of the whole path.
        let (prefix, mut origin) = (url.path().trim_matches('/').to_owned(), url.clone());
        origin.set_path("");
        let version = if prefix.is_empty() { "v1".to_owned() } else { format!("{prefix}/v1") };
        let url = origin;
        let token = token
            .filter(|token| !token.expose().is_empty())
            .map(checked_token)
            .transpose()?
            .unwrap_or_default()
            .to_owned();
        let namespace = self.settings.namespace.clone().filter(|_| namespaced);
        // Built from its parts: its own constructors read the environment and
        // make a reqwest client that follows redirects.
        Ok(vaultrs::client::VaultClient {
            http: rustify::clients::reqwest::Client::new(url.as_str(), client),
            middle: vaultrs::api::EndpointMiddleware {
                token: token.clone(),
                version,
                wrap: None,
                namespace: namespace.clone(),
            },
            settings: vaultrs::client::VaultClientSettings {
                address: url,
                ca_certs: Vec::new(),
                identity: None,
                timeout: None,
                token,
                verify: true,
                version: 1,
                wrapping: false,
                namespace,
                proxy: None,
            },
        })
    }
}

/// What this client's HTTP clients are built from.
fn options(settings: &VaultSettings, idle_timeout: Option<Duration>) -> http::Options {
    // Agents and proxies may demand it, against request forgery.
    let headers = HeaderMap::from_iter([(call::REQUEST_HEADER, HeaderValue::from_static("true"))]);
    http::Options {
        tls: settings.tls.clone(),
        connect_timeout: Some(settings.connect_timeout),
        idle_timeout,
        total_timeout: None,
        unix_socket: settings.unix_socket.clone(),
        proxy: Proxy { address: settings.proxy.clone(), plain_http: false },
        headers,
    }
}

/// `address` without a slash at its end, or why it is no address.
fn checked_address(address: &Url) -> Result<Url> {
    let wrong = if !matches!(address.scheme(), "http" | "https" | "unix") {
        "the scheme must be http, https or unix"
    } else if !address.username().is_empty() || address.password().is_some() {
        "a user name or password has no place in it"
    } else if address.query().is_some() || address.fragment().is_some() {
        "nothing may follow host, port and path"
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

/// The token, if it can stand in a header.
fn checked_token(token: &Secret) -> Result<&str> {
    let text = token.expose();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(text);
    }
    Err(Error::usage("the Vault token is empty or holds white space or other characters that no token has"))
}

/// `url` for messages: without the slash that `Url` puts behind the port.
fn shown(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

#[cfg(test)]
mod tests;

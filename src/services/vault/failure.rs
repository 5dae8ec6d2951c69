//! Failures of requests to Vault: their kinds, whether a retry may help, and the error with its hint.

use super::{Client, VaultSettings, shown};
use crate::base::error::{Error, one_line};
use crate::services::http::{self, TlsFailure, pause_until};
use chrono::Utc;
use reqwest::Response;
use reqwest::header::RETRY_AFTER;
use serde::Deserialize;
use std::time::Duration;
use url::Url;

/// Failure of a request.
#[derive(Debug)]
pub(super) enum RequestFailure {
    /// Vault answered with an error status.
    Refused { status: u16, errors: Vec<String>, retry_after: Option<Duration> },
    /// The response is not from a Vault.
    Foreign { status: u16, why: String, retry_after: Option<Duration> },
    /// There is no response, or an incomplete one.
    Transport(reqwest::Error),
    /// The node is a standby, and the leader that it names cannot be reached.
    Standby(Error),
    /// The request is invalid and was not sent.
    Ours(Error),
}

impl From<reqwest::Error> for RequestFailure {
    fn from(error: reqwest::Error) -> Self {
        RequestFailure::Transport(error)
    }
}

impl From<Error> for RequestFailure {
    fn from(error: Error) -> Self {
        RequestFailure::Ours(error)
    }
}

/// Reason of a failure of plain HTTP at a TLS port.
const PLAIN_TO_TLS: &str = "plain HTTP was sent to a TLS port";

/// Body of Vault's error responses.
#[derive(Deserialize)]
struct ErrorBody {
    errors: Vec<String>,
}

/// Path and capabilities that a request needs, if any.
pub(super) type Right<'a> = Option<(&'a str, &'a [&'a str])>;

impl RequestFailure {
    /// Returns the failure for a response with an error status.
    pub(super) fn refused(response: &Response, body: &[u8]) -> Self {
        let status = response.status().as_u16();
        let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = header.and_then(|value| pause_until(value, Utc::now()));
        let refused = |errors| RequestFailure::Refused { status, errors, retry_after };
        let foreign = |why: &str| RequestFailure::Foreign { status, why: why.to_owned(), retry_after };
        match serde_json::from_slice::<ErrorBody>(body) {
            Ok(ErrorBody { errors }) => refused(errors),
            // Proxies return HTML pages; some of Vault's own responses have no `errors`.
            Err(_) if body.is_empty() || body.starts_with(b"{") || (300..400).contains(&status) => refused(Vec::new()),
            // Go's HTTP server sends this in plain text.
            Err(_) if body.starts_with(b"Client sent an HTTP request to an HTTPS server") => foreign(PLAIN_TO_TLS),
            Err(_) => foreign("the response is not from Vault"),
        }
    }

    /// Returns the failure for a response that is not from Vault.
    pub(super) fn foreign(status: u16, why: &str) -> Self {
        RequestFailure::Foreign { status, why: why.to_owned(), retry_after: None }
    }

    /// Returns the failure for a request that cannot be encoded.
    pub(super) fn unsendable(cause: impl Into<anyhow::Error>) -> Self {
        RequestFailure::Ours(Error::usage("the request to Vault cannot be encoded").because(cause))
    }

    /// Returns the HTTP status, if there is a response.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            RequestFailure::Refused { status, .. } | RequestFailure::Foreign { status, .. } => Some(*status),
            RequestFailure::Transport(_) | RequestFailure::Standby(_) | RequestFailure::Ours(_) => None,
        }
    }

    /// Returns `true` if a snapshot was refused because it was made with other seal keys.
    pub(super) fn is_other_keys(&self) -> bool {
        matches!(self, RequestFailure::Refused { errors, .. } if errors.iter().any(|e| e.contains(OTHER_KEYS)))
    }

    /// Returns `true` if Vault certainly did not process the request: it was not reached, or a quota
    /// refused the request first.
    pub(super) fn surely_not_done(&self) -> bool {
        match self {
            // A connection attempt that took all of `connect_timeout` has waited long enough.
            RequestFailure::Transport(error) => error.is_connect() && !error.is_timeout(),
            RequestFailure::Refused { status, .. } | RequestFailure::Foreign { status, .. } => *status == 429,
            RequestFailure::Standby(_) | RequestFailure::Ours(_) => false,
        }
    }

    /// Returns `true` if the server has no capacity for the request now: more patience than for a
    /// failure may help.
    pub(super) fn is_busy(&self) -> bool {
        self.status() == Some(429) || (self.status().is_some() && self.retry_after().is_some())
    }

    /// Returns the pause that the server asks for, if any.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            RequestFailure::Refused { retry_after, .. } | RequestFailure::Foreign { retry_after, .. } => *retry_after,
            RequestFailure::Transport(_) | RequestFailure::Standby(_) | RequestFailure::Ours(_) => None,
        }
    }

    /// Returns `true` if Vault may have processed the request although there is no usable response.
    pub(super) fn is_unanswered(&self) -> bool {
        match self {
            RequestFailure::Transport(error) => !error.is_connect(),
            // A gateway that gave up, or a response that cannot be read.
            RequestFailure::Foreign { status, .. } => matches!(status, 200..300 | 500..),
            RequestFailure::Refused { .. } | RequestFailure::Standby(_) | RequestFailure::Ours(_) => false,
        }
    }

    /// Returns `true` if the token is no longer valid: expired, revoked, or used up.
    pub(super) fn is_dead_token(&self) -> bool {
        matches!(self, RequestFailure::Refused { status: 403, errors, .. } if is_dead_token(errors))
    }

    /// Returns `true` if a retry may help: a lost connection, an election, a quota, a gateway, a node
    /// that lags behind (412); not a sealed or uninitialised Vault.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            RequestFailure::Transport(error) => !error.is_timeout(),
            RequestFailure::Refused { status: 408 | 412 | 429, .. } => true,
            RequestFailure::Refused { status, errors, .. } => {
                *status >= 500 && !is_sealed(errors) && !is_uninitialized(errors)
            }
            RequestFailure::Foreign { status, .. } => matches!(status, 408 | 429 | 502..=504),
            RequestFailure::Standby(_) => true,
            RequestFailure::Ours(_) => false,
        }
    }

    /// Returns the error. `doing` names the operation, for example `health`; `right` is what a policy
    /// must grant for it.
    pub(super) fn explain(self, client: &Client, address: &Url, doing: &str, right: Right<'_>) -> Error {
        let what = format!("Vault {}: {doing}", shown(address));
        // If a node stops responding in the middle of a response, another one may become the leader.
        let transient = self.may_pass() || matches!(&self, RequestFailure::Transport(error) if !error.is_connect());
        let error = match self {
            RequestFailure::Ours(error) => return error.context(what),
            RequestFailure::Standby(error) => error.context(what),
            RequestFailure::Transport(error) => {
                let Some(proxy) = client.clients.proxy_of(address) else {
                    return transport(&error, &what, &client.settings).transient(transient);
                };
                let failed = transport(&error, &format!("{what}, via the proxy {proxy}"), &client.settings);
                match TlsFailure::of(&error) {
                    None if error.is_connect() => failed.hint(format!("check that the proxy {proxy} works and allows this address; it is set by vault.proxy, VAULT_PROXY_ADDR, VAULT_HTTP_PROXY or HTTPS_PROXY")),
                    _ => failed,
                }
            }
            RequestFailure::Foreign { why, .. } if why == PLAIN_TO_TLS => {
                Error::vault(format!("{what}: {why}")).hint("write https:// in the address")
            }
            RequestFailure::Foreign { status, why, .. } => Error::vault(format!("{what}: HTTP {status}: {why}"))
                .hint("check the address, and proxies and load balancers in between"),
            RequestFailure::Refused { status, errors, .. } => {
                let (mut why, mut todo) = in_words(status, &errors, right);
                if client.through_agent && matches!(status, 400 | 403) {
                    why = format!("the agent adds no valid token: {why}");
                    let more = if todo.is_empty() { todo } else { format!("; {todo}") };
                    todo = format!("check the log of the agent, auto_auth and use_auto_auth_token{more}");
                }
                let error = Error::vault(format!("{what}: {why}"));
                if todo.is_empty() { error } else { error.hint(todo) }
            }
        };
        error.transient(transient)
    }
}

/// Returns the error for a failed connection.
pub(super) fn transport(error: &reqwest::Error, what: &str, settings: &VaultSettings) -> Error {
    let (connect, idle) = (settings.connect_timeout.as_secs_f64(), settings.idle_timeout.as_secs_f64());
    if error.is_timeout() && error.is_connect() {
        return Error::vault(format!("{what}: connection timed out after {connect} s (run.connect_timeout)"))
            .hint("check the address, the network and firewalls");
    }
    if error.is_timeout() {
        return Error::vault(format!("{what}: no data for {idle} s (run.idle_timeout)"))
            .hint("check the server's load and log; raise run.idle_timeout if it is only slow");
    }
    let failed = Error::vault(format!("{what}: {}", http::reason(error)));
    match TlsFailure::of(error).map(mend) {
        Some(todo) => failed.hint(todo),
        None if error.is_connect() => failed.hint("check that Vault is running there, the address and the network"),
        None => failed,
    }
}

/// Returns the hint for a failed handshake.
fn mend(failure: TlsFailure) -> &'static str {
    match failure {
        TlsFailure::Unsupported => {
            "give the server another certificate: TLS 1.2 and 1.3 are supported with RSA, ECDSA P-256 and P-384, and \
             Ed25519, but not ECDSA P-521"
        }
        TlsFailure::Authority => {
            "add this certificate to vault.ca_cert (for staging: staging.ca_cert), or give the server a certificate \
             that a CA signed"
        }
        TlsFailure::Certificate => {
            "set vault.ca_cert (for staging: staging.ca_cert) to the CA that signed it, or vault.tls_server_name to \
             the name in it"
        }
        TlsFailure::Plain => "write http:// in the address if Vault has no TLS",
    }
}

/// Vault's message for a snapshot made with other seal keys.
const OTHER_KEYS: &str = "could not verify hash file";

fn is_sealed(errors: &[String]) -> bool {
    errors.iter().any(|e| e.contains("Vault is sealed") || e.contains("is sealed"))
}

fn is_uninitialized(errors: &[String]) -> bool {
    errors.iter().any(|e| e.contains("not initialized") || e.contains("not yet initialized"))
}

/// Returns `true` if a request was refused because of the token itself. Vault says so. OpenBao says
/// "permission denied", but not in the error list that a missing permission causes.
fn is_dead_token(errors: &[String]) -> bool {
    errors.iter().any(|e| e.contains("invalid token") || e.contains("bad token") || e == "permission denied")
}

/// Returns the reason of a refusal, and a hint, which may be empty.
pub(super) fn in_words(status: u16, errors: &[String], right: Right<'_>) -> (String, String) {
    let said = one_line(&errors.join("; "));
    let has = |text: &str| said.contains(text);
    let (why, todo): (&str, &str) = match status {
        _ if is_sealed(errors) => ("it is sealed", "unseal it: `vault operator unseal`"),
        _ if is_uninitialized(errors) => {
            ("it is not initialised", "check that this is the right Vault, then initialise it: `vault operator init`")
        }
        _ if has("raft storage is not in use") => (
            "its storage is not Raft, so it has no snapshots",
            "back up its storage in another way, or migrate it to Raft (integrated storage)",
        ),
        _ if has("active cluster node not found") || has("node not active") || has("no active") => {
            ("the cluster has no leader", "check its nodes: `vault operator raft list-peers`")
        }
        _ if has(OTHER_KEYS) => (
            "the snapshot was made with other seal keys than this cluster's",
            "use --force if the cluster was rekeyed since, or is to be replaced by another one",
        ),
        403 if is_dead_token(errors) && right.is_some() => (
            "the token is not valid here: it expired, was revoked, or belongs to another cluster",
            "set a new token, or a login method in vault.auth",
        ),
        403 => {
            let todo = match right {
                Some((path, capabilities)) => {
                    format!("add to its policy: path \"{path}\" {{ capabilities = {capabilities:?} }}")
                }
                None => String::new(),
            };
            let more = said.replace("1 error occurred: * ", "").replace("permission denied", "");
            let more = more.trim();
            let why = if more.is_empty() { String::new() } else { format!(": {more}") };
            return (format!("permission denied{why}"), todo);
        }
        429 => ("refused by a rate limit quota", "raise the quota for this client, or run at another time"),
        300..400 => ("it redirects to another address", "set the address of the node itself"),
        404 if said.is_empty() => ("no such path", "check vault.addresses, and that it is a Vault with Raft storage"),
        _ => {
            let detail = if said.is_empty() { String::new() } else { format!(": {said}") };
            return (format!("HTTP {status}{detail}"), String::new());
        }
    };
    (why.to_owned(), todo.to_owned())
}

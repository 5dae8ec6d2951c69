//! How a request to Vault fails, and each case in words.
//!
//! Here: what can be told apart, whether it may pass, and the error for it: why,
//! and what to do. Not here: which failures are expected answers (the callers).

use super::{Client, VaultSettings, shown};
use crate::base::error::{Error, one_line};
use crate::services::http::{self, TlsFailure};
use serde::Deserialize;
use url::Url;

/// Why a request has no good answer.
#[derive(Debug)]
pub(super) enum RequestFailure {
    /// Vault answered with an error status.
    Refused { status: u16, errors: Vec<String> },
    /// What answered is no Vault.
    Foreign { status: u16, why: String },
    /// There is no answer, or no whole one.
    Transport(reqwest::Error),
    /// The node does not lead, and the leader that it names cannot be reached.
    Standby(Error),
    /// It was not sent: the request itself is wrong.
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

impl From<vaultrs::error::ClientError> for RequestFailure {
    fn from(error: vaultrs::error::ClientError) -> Self {
        use rustify::errors::ClientError as Rest;
        use vaultrs::error::ClientError as Vault;
        match error {
            Vault::APIError { code, errors } => RequestFailure::Refused { status: code, errors },
            Vault::RestClientError { source } => match source {
                Rest::ServerResponseError { code, content } => {
                    RequestFailure::refused(code, content.unwrap_or_default().as_bytes())
                }
                Rest::RequestError { source, .. } | Rest::ResponseError { source } => match source.downcast() {
                    Ok(error) => RequestFailure::Transport(error),
                    Err(other) => RequestFailure::Ours(Error::vault("the request failed").because(other)),
                },
                // What it could not parse may be a secret, so it is not quoted.
                Rest::ResponseParseError { .. } | Rest::ResponseConversionError { .. } => {
                    RequestFailure::foreign(200, "the answer is not Vault's")
                }
                other => RequestFailure::Ours(Error::vault("the request failed").because(other)),
            },
            Vault::JsonParseError { .. } | Vault::ResponseEmptyError | Vault::ResponseDataEmptyError => {
                RequestFailure::foreign(200, "the answer lacks what was asked for")
            }
            other => RequestFailure::Ours(Error::vault("the request failed").because(other)),
        }
    }
}

/// Why plain http to a TLS port fails.
const PLAIN_TO_TLS: &str = "plain http was sent to a port that speaks TLS";

/// The body of Vault's error answers.
#[derive(Deserialize)]
struct ErrorBody {
    errors: Vec<String>,
}

/// What a token must be allowed to do for a call: path and capabilities.
pub(super) type Right<'a> = Option<(&'a str, &'a [&'a str])>;

impl RequestFailure {
    /// An answer with an error status.
    pub(super) fn refused(status: u16, body: &[u8]) -> Self {
        match serde_json::from_slice::<ErrorBody>(body) {
            Ok(ErrorBody { errors }) => RequestFailure::Refused { status, errors },
            // Proxies answer with pages; some of Vault's own answers have no errors.
            Err(_) if body.is_empty() || body.starts_with(b"{") || (300..400).contains(&status) => {
                RequestFailure::Refused { status, errors: Vec::new() }
            }
            // Go's servers say so in plain text.
            Err(_) if body.starts_with(b"Client sent an HTTP request to an HTTPS server") => {
                RequestFailure::foreign(status, PLAIN_TO_TLS)
            }
            Err(_) => RequestFailure::foreign(status, "the answer is not Vault's"),
        }
    }

    /// An answer that no Vault gives.
    pub(super) fn foreign(status: u16, why: &str) -> Self {
        RequestFailure::Foreign { status, why: why.to_owned() }
    }

    /// A request that cannot be written down.
    pub(super) fn unsendable(cause: impl Into<anyhow::Error>) -> Self {
        RequestFailure::Ours(Error::usage("the request to Vault cannot be written").because(cause))
    }

    /// The status, where there is one.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            RequestFailure::Refused { status, .. } | RequestFailure::Foreign { status, .. } => Some(*status),
            RequestFailure::Transport(_) | RequestFailure::Standby(_) | RequestFailure::Ours(_) => None,
        }
    }

    /// Whether a snapshot was refused that other seal keys than the cluster's sealed.
    pub(super) fn is_other_keys(&self) -> bool {
        matches!(self, RequestFailure::Refused { errors, .. } if errors.iter().any(|e| e.contains(OTHER_KEYS)))
    }

    /// Whether Vault surely did nothing of what was asked: it was not reached, or
    /// a quota refused the request before it was looked at.
    pub(super) fn surely_not_done(&self) -> bool {
        match self {
            // One that took all of `connect_timeout` has waited long enough.
            RequestFailure::Transport(error) => error.is_connect() && !error.is_timeout(),
            RequestFailure::Refused { status, .. } => *status == 429,
            RequestFailure::Foreign { .. } | RequestFailure::Standby(_) | RequestFailure::Ours(_) => false,
        }
    }

    /// Whether the token is dead: expired, revoked, or used as often as it may be.
    pub(super) fn is_dead_token(&self) -> bool {
        matches!(self, RequestFailure::Refused { status: 403, errors } if is_dead_token(errors))
    }

    /// Whether a second attempt may find it gone: a lost connection, an election,
    /// a quota, a gateway. Not a sealed or uninitialised Vault.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            RequestFailure::Transport(error) => !error.is_timeout(),
            RequestFailure::Refused { status: 429, .. } => true,
            RequestFailure::Refused { status, errors } => {
                *status >= 500 && !is_sealed(errors) && !is_uninitialized(errors)
            }
            RequestFailure::Foreign { status, .. } => matches!(status, 502..=504),
            RequestFailure::Standby(_) => true,
            RequestFailure::Ours(_) => false,
        }
    }

    /// The error for it. `doing` is what failed, for example `health`; `right`
    /// what a policy must allow for it.
    pub(super) fn explain(self, client: &Client, address: &Url, doing: &str, right: Right<'_>) -> Error {
        let what = format!("Vault {}: {doing}", shown(address));
        // A node that went silent in the middle of an answer may have a successor.
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
            RequestFailure::Foreign { status, why } => Error::vault(format!("{what}: HTTP {status}: {why}"))
                .hint("check the address, and what stands between this machine and Vault"),
            RequestFailure::Refused { status, errors } => {
                let (why, mut todo) = in_words(status, &errors, right);
                if client.through_agent && matches!(status, 400 | 403) {
                    let more = if todo.is_empty() { todo } else { format!("; {todo}") };
                    todo = format!(
                        "the agent adds no valid token: look at its log, auto_auth and use_auto_auth_token{more}"
                    );
                }
                let error = Error::vault(format!("{what}: {why}"));
                if todo.is_empty() { error } else { error.hint(todo) }
            }
        };
        error.transient(transient)
    }
}

/// A connection that failed.
pub(super) fn transport(error: &reqwest::Error, what: &str, settings: &VaultSettings) -> Error {
    let (connect, idle) = (settings.connect_timeout.as_secs_f64(), settings.idle_timeout.as_secs_f64());
    if error.is_timeout() && error.is_connect() {
        return Error::vault(format!("{what}: no connection within {connect} s (run.connect_timeout)"))
            .hint("check the address, the network and firewalls");
    }
    if error.is_timeout() {
        return Error::vault(format!("{what}: nothing came for {idle} s (run.idle_timeout)"))
            .hint("look at the server's load and log; raise run.idle_timeout if it is only slow");
    }
    let failed = Error::vault(format!("{what}: {}", http::reason(error)));
    match TlsFailure::of(error).map(mend) {
        Some(todo) => failed.hint(todo),
        None if error.is_connect() => failed.hint("is Vault running there? Check the address and the network"),
        None => failed,
    }
}

/// What to do about a failed handshake.
fn mend(failure: TlsFailure) -> &'static str {
    match failure {
        TlsFailure::Unsupported => {
            "TLS 1.2 and 1.3 are supported, and certificates with RSA, ECDSA P-256 and P-384, and Ed25519; not ECDSA \
             P-521: give the server another certificate"
        }
        TlsFailure::Authority => {
            "the server's certificate is an authority's own: put this very certificate into vault.ca_cert (for staging \
             staging.ca_cert), or give the server one that an authority signed"
        }
        TlsFailure::Certificate => {
            "set vault.ca_cert (for staging staging.ca_cert) to the authority that signed it, or \
             vault.tls_server_name to the name in it"
        }
        TlsFailure::Plain => "if that is meant, write http:// in the address",
    }
}

/// What Vault says of a snapshot that other seal keys sealed.
const OTHER_KEYS: &str = "could not verify hash file";

fn is_sealed(errors: &[String]) -> bool {
    errors.iter().any(|e| e.contains("Vault is sealed") || e.contains("is sealed"))
}

fn is_uninitialized(errors: &[String]) -> bool {
    errors.iter().any(|e| e.contains("not initialized") || e.contains("not yet initialized"))
}

/// Returns true if a request with a token was refused for the token itself. Vault says so; OpenBao
/// says "permission denied", but not as the list of errors that a missing right gives.
fn is_dead_token(errors: &[String]) -> bool {
    errors.iter().any(|e| e.contains("invalid token") || e.contains("bad token") || e == "permission denied")
}

/// Why Vault refused, and what to do about it.
pub(super) fn in_words(status: u16, errors: &[String], right: Right<'_>) -> (String, String) {
    let said = one_line(&errors.join("; "));
    let has = |text: &str| said.contains(text);
    let (why, todo): (&str, &str) = match status {
        _ if is_sealed(errors) => ("it is sealed", "unseal it: vault operator unseal"),
        _ if is_uninitialized(errors) => {
            ("it is not initialised", "is this the right Vault? If so: vault operator init")
        }
        _ if has("raft storage is not in use") => (
            "its storage is not Raft, so it has no snapshots",
            "back up the storage that it uses, or migrate it to Raft (integrated storage)",
        ),
        _ if has("active cluster node not found") || has("node not active") || has("no active") => {
            ("the cluster has no leader", "look at its nodes: vault operator raft list-peers")
        }
        _ if has(OTHER_KEYS) => (
            "the snapshot was made under other seal keys than this cluster's",
            "if the cluster was rekeyed since, or is to become another one: --force",
        ),
        403 if is_dead_token(errors) && right.is_some() => (
            "the token is not valid here: expired, revoked, or another cluster's",
            "get a new one, or log in by vault.auth",
        ),
        403 => {
            let todo = match right {
                Some((path, capabilities)) => {
                    format!("its policy needs: path \"{path}\" {{ capabilities = {capabilities:?} }}")
                }
                None => String::new(),
            };
            let more = said.replace("1 error occurred: * ", "").replace("permission denied", "");
            let more = more.trim();
            let why = if more.is_empty() { String::new() } else { format!(": {more}") };
            return (format!("permission denied{why}"), todo);
        }
        429 => ("a rate limit quota refused it", "raise the quota for this client, or run at a quieter time"),
        300..400 => ("it redirects elsewhere", "give the address of the node itself"),
        404 if said.is_empty() => {
            ("there is nothing at this path", "check vault.addresses, and that it is a Vault with Raft storage")
        }
        _ => {
            let told = if said.is_empty() { String::new() } else { format!(": {said}") };
            return (format!("HTTP {status}{told}"), String::new());
        }
    };
    (why.to_owned(), todo.to_owned())
}

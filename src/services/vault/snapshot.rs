//! Streams a snapshot from Vault.
//!
//! Not here: the check that the snapshot is complete. Vault ends a failed stream as cleanly as a good
//! one, so only `archive` detects a truncated snapshot.

use super::call::{MAX_REFUSAL, Pauses, small_body};
use super::failure::{RequestFailure, Right, transport};
use super::leader::POLL;
use super::login::Session;
use super::status::Node;
use super::{Client, VaultSettings, shown};
use crate::base::error::{Error, Result};
use crate::services::http::{MINIMUM_RATE, MinimumRate, StreamFailure, at_minimum_rate};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Method, Response};
use std::time::Instant;
use tracing::info;
use url::Url;

pub(super) const PATH: &str = "sys/storage/raft/snapshot";
const RIGHT: Right<'static> = Some((PATH, &["read"]));

/// Running download of a snapshot.
pub struct SnapshotStream {
    /// Node that sends the snapshot.
    pub node: Node,
    /// Content, a gzipped tar of unknown size. A connection that breaks or stalls is an error of kind
    /// `Vault`.
    pub body: BoxStream<'static, Result<Bytes>>,
}

impl Client {
    /// Starts a snapshot at `node`. If that is not the leader or does not respond, finds the leader
    /// again: a few times or, if a load balancer chose a standby, for the time limit of an election.
    /// Never retries after the first byte.
    ///
    /// # Errors
    /// `Vault`: denied, not Raft, sealed, no leader, or not a snapshot.
    pub async fn snapshot(&self, node: &Node, session: &Session) -> Result<SnapshotStream> {
        let mut node = node.clone();
        let (begun, mut pauses) = (Instant::now(), Pauses::default());
        loop {
            refuse_other_storage(&node)?;
            let failure = match self.ask_with_one_hop(&mut node, session).await {
                Ok(response) => return self.accepted(node, response),
                Err(failure) => failure,
            };
            let pause = match &failure {
                RequestFailure::Standby(_) => (begun.elapsed() < self.election).then_some(POLL),
                _ if failure.may_pass() => pauses.after(&failure),
                _ => None,
            };
            let error = self.refused(failure, &node);
            let Some(pause) = pause else { return Err(error) };
            info!("{error}; finding the leader again");
            tokio::time::sleep(pause).await;
            let found = self.leader().await?;
            if found.health.cluster_id != node.health.cluster_id {
                return Err(Error::vault(format!("Vault {}: it belongs to another cluster", shown(&found.address)))
                    .hint("list addresses of one cluster only in vault.addresses"));
            }
            node = found;
        }
    }

    /// Asks `node` and, if that is a standby, the leader to which it redirects.
    async fn ask_with_one_hop(&self, node: &mut Node, session: &Session) -> Result<Response, RequestFailure> {
        let response = self.ask(&node.address, session).await?;
        let Some(location) = redirection(&response) else { return self.refuse_errors(response).await };
        *node = self.redirected(node, &location).await?;
        let response = self.ask(&node.address, session).await?;
        if redirection(&response).is_some() {
            return Err(RequestFailure::Standby(Error::vault("it is a standby, but was active just before")));
        }
        self.refuse_errors(response).await
    }

    /// Returns the error for a refused snapshot.
    fn refused(&self, failure: RequestFailure, node: &Node) -> Error {
        match (failure.status(), self.login_outside_root()) {
            (Some(403), Some(advice)) => Error::vault(format!(
                "Vault {}: snapshot: permission denied: only a token of the root namespace may take a snapshot",
                shown(&node.address)
            ))
            .hint(advice),
            _ => failure.explain(self, &node.address, "snapshot", RIGHT),
        }
    }

    /// Returns the hint for a login outside of the root namespace, which may not take snapshots.
    pub fn login_outside_root(&self) -> Option<String> {
        let name = self.settings.namespace.as_deref()?.trim_matches('/');
        let advice = || {
            format!(
                "remove vault.namespace ({name:?}; or VAULT_NAMESPACE), log in in the root namespace, and give that \
                 login a policy there: path \"{PATH}\" {{ capabilities = [\"read\"] }}"
            )
        };
        (!matches!(name, "" | "root")).then(advice)
    }

    /// Returns the response, or the failure according to its status and body.
    pub(super) async fn refuse_errors(&self, mut response: Response) -> Result<Response, RequestFailure> {
        if response.status().is_success() {
            return Ok(response);
        }
        let body = small_body(&mut response, MAX_REFUSAL, self.settings.idle_timeout).await?;
        Err(RequestFailure::refused(&response, &body))
    }

    async fn ask(&self, address: &Url, session: &Session) -> Result<Response, RequestFailure> {
        Ok(self.request(Method::GET, address, PATH, Some(session.token()))?.send().await?)
    }

    /// Returns the stream, if the response can be a snapshot.
    fn accepted(&self, node: Node, response: Response) -> Result<SnapshotStream> {
        let kind = response.headers().get(CONTENT_TYPE).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
        if !may_be_snapshot(kind.as_deref()) {
            let failure = RequestFailure::foreign(200, &format!("not a snapshot but {}", kind.unwrap_or_default()));
            return Err(failure.explain(self, &node.address, "snapshot", RIGHT));
        }
        let body = bytes_of(response, node.address.clone(), self.settings.clone());
        Ok(SnapshotStream { node, body })
    }
}

/// Refuses a storage without snapshots before the request is sent.
pub(super) fn refuse_other_storage(node: &Node) -> Result<()> {
    match node.seal.storage_type.as_deref() {
        None | Some("raft") => Ok(()),
        Some(other) => Err(Error::vault(format!(
            "Vault {}: its storage is {other:?}, not Raft, so it has no snapshots",
            shown(&node.address)
        ))
        .hint("back up its storage in another way, or migrate it to Raft (integrated storage)")),
    }
}

/// Returns the target of a redirect, if the response is one.
fn redirection(response: &Response) -> Option<String> {
    let location = response.headers().get(LOCATION).filter(|_| response.status().is_redirection())?;
    location.to_str().ok().map(str::to_owned)
}

/// Returns `true` if the content type can be that of a snapshot. Vault sends `application/gzip`; some
/// proxies remove or generalise it.
fn may_be_snapshot(content_type: Option<&str>) -> bool {
    let Some(text) = content_type else { return true };
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(essence.as_str(), "application/gzip" | "application/x-gzip" | "application/octet-stream")
}

/// Returns the bytes of the response. The stream ends after an error.
fn bytes_of(response: Response, address: Url, settings: VaultSettings) -> BoxStream<'static, Result<Bytes>> {
    let rate = MinimumRate::new(MINIMUM_RATE, settings.idle_timeout);
    let what = move |received: u64| format!("Vault {}: snapshot, after {received} bytes", shown(&address));
    let body = at_minimum_rate(response.bytes_stream(), rate, move |failure, received| match failure {
        StreamFailure::Broken(error) => transport(&error, &what(received), &settings).transient(true),
        StreamFailure::TooSlow(slow) => Error::vault(what(received))
            .because(slow)
            .hint("check the server's load and log, and the network; raise run.idle_timeout for a longer average")
            .transient(true),
    });
    body.boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_content_types_than_gzip_are_refused() {
        for good in [None, Some("application/gzip"), Some("Application/GZIP; x=y"), Some("application/octet-stream")] {
            assert!(may_be_snapshot(good), "{good:?}");
        }
        for bad in ["text/html; charset=utf-8", "application/json", "", "text/plain"] {
            assert!(!may_be_snapshot(Some(bad)), "{bad:?}");
        }
    }
}

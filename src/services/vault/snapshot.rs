//! The snapshot out of Vault, as a stream.
//!
//! Here: the one request, its answer before the first byte, and what may go wrong
//! until the last. Not here: whether the bytes are a whole snapshot: Vault ends a
//! stream that failed as cleanly as a good one, so only `archive` can tell.

use super::call::backoff;
use super::failure::{RequestFailure, Right, transport};
use super::leader::POLL;
use super::login::Session;
use super::status::Node;
use super::{Client, VaultSettings, shown};
use crate::base::error::{Error, Result};
use backon::BackoffBuilder;
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

/// A snapshot on its way.
pub struct SnapshotStream {
    /// The node that sends it.
    pub node: Node,
    /// Its bytes: a gzip'd tar, if all is well. The size is not known beforehand.
    /// A broken or silent connection is an error of kind `Vault`.
    pub body: BoxStream<'static, Result<Bytes>>,
}

impl Client {
    /// Begins a snapshot at `node`. Where its answer is that it does not lead, or
    /// cannot be had, the leader is looked for again: a few times, or, where a load
    /// balancer chose a standby, for as long as an election may take. Once bytes come,
    /// nothing is repeated.
    ///
    /// # Errors
    /// `Vault`: denied, not Raft, sealed, no leader, or not a snapshot at all.
    pub async fn snapshot(&self, node: &Node, session: &Session) -> Result<SnapshotStream> {
        let mut node = node.clone();
        let (begun, mut pauses) = (Instant::now(), backoff().build());
        loop {
            refuse_other_storage(&node)?;
            let failure = match self.ask_with_one_hop(&mut node, session).await {
                Ok(response) => return self.accepted(node, response),
                Err(failure) => failure,
            };
            let pause = match &failure {
                RequestFailure::Standby(_) => (begun.elapsed() < self.election).then_some(POLL),
                _ => pauses.next().filter(|_| failure.may_pass()),
            };
            let error = self.refused(failure, &node);
            let Some(pause) = pause else { return Err(error) };
            info!("{error}; looking for the leader again");
            tokio::time::sleep(pause).await;
            let found = self.leader().await?;
            if found.health.cluster_id != node.health.cluster_id {
                return Err(Error::vault(format!("Vault {}: it belongs to another cluster", shown(&found.address)))
                    .hint("vault.addresses must all be of one cluster"));
            }
            node = found;
        }
    }

    /// Asks `node` and, if that is a standby after all, the leader it points to.
    async fn ask_with_one_hop(&self, node: &mut Node, session: &Session) -> Result<Response, RequestFailure> {
        let response = self.ask(&node.address, session).await?;
        let Some(location) = redirection(&response) else { return refuse_errors(response).await };
        *node = self.redirected(node, &location).await?;
        let response = self.ask(&node.address, session).await?;
        if redirection(&response).is_some() {
            return Err(RequestFailure::Standby(Error::vault(
                "it answered as a standby, though it was active just before",
            )));
        }
        refuse_errors(response).await
    }

    /// The error for a refused snapshot.
    fn refused(&self, failure: RequestFailure, node: &Node) -> Error {
        match (failure.status(), self.login_outside_root()) {
            (Some(403), Some(advice)) => Error::vault(format!(
                "Vault {}: snapshot: permission denied: only a token of the root namespace may take one",
                shown(&node.address)
            ))
            .hint(advice),
            _ => failure.explain(self, &node.address, "snapshot", RIGHT),
        }
    }

    /// What to do about a login that may not take snapshots, where that is in another
    /// namespace than the root one.
    pub fn login_outside_root(&self) -> Option<String> {
        let name = self.settings.namespace.as_deref()?.trim_matches('/');
        let advice = || {
            format!(
                "vault.namespace is {name:?}: leave it (and VAULT_NAMESPACE) out, log in in the root namespace, and \
                 give that login a policy there: path \"{PATH}\" {{ capabilities = [\"read\"] }}"
            )
        };
        (!matches!(name, "" | "root")).then(advice)
    }

    async fn ask(&self, address: &Url, session: &Session) -> Result<Response, RequestFailure> {
        Ok(self.request(Method::GET, address, PATH, Some(session.token()))?.send().await?)
    }

    /// The stream, if the answer can be one.
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

/// Refuses a storage that surely has no snapshots, before anything is asked.
pub(super) fn refuse_other_storage(node: &Node) -> Result<()> {
    match node.seal.storage_type.as_deref() {
        None | Some("raft") => Ok(()),
        Some(other) => Err(Error::vault(format!(
            "Vault {}: its storage is {other:?}, not Raft, so it has no snapshots",
            shown(&node.address)
        ))
        .hint("back up the storage that it uses, or migrate it to Raft (integrated storage)")),
    }
}

/// Where a standby points to.
fn redirection(response: &Response) -> Option<String> {
    let location = response.headers().get(LOCATION).filter(|_| response.status().is_redirection())?;
    location.to_str().ok().map(str::to_owned)
}

/// The response, or the failure that its status and body tell.
pub(super) async fn refuse_errors(mut response: Response) -> Result<Response, RequestFailure> {
    /// More than Vault's messages need.
    const MAX: usize = 64 << 10;
    if response.status().is_success() {
        return Ok(response);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Err(RequestFailure::refused(response.status().as_u16(), &body))
}

/// Vault says `application/gzip`; some proxies drop that or make it something general.
fn may_be_snapshot(content_type: Option<&str>) -> bool {
    let Some(text) = content_type else { return true };
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(essence.as_str(), "application/gzip" | "application/x-gzip" | "application/octet-stream")
}

/// The response's bytes; after an error the stream ends.
fn bytes_of(response: Response, address: Url, settings: VaultSettings) -> BoxStream<'static, Result<Bytes>> {
    let mut received = 0_u64;
    let body = response.bytes_stream().map(move |chunk| match chunk {
        Ok(bytes) => {
            received += bytes.len() as u64;
            Ok(bytes)
        }
        Err(error) => {
            let what = format!("Vault {}: snapshot, after {received} bytes", shown(&address));
            Err(transport(&error, &what, &settings).transient(true))
        }
    });
    body.boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        for good in [None, Some("application/gzip"), Some("Application/GZIP; x=y"), Some("application/octet-stream")] {
            assert!(may_be_snapshot(good), "{good:?}");
        }
        for bad in ["text/html; charset=utf-8", "application/json", "", "text/plain"] {
            assert!(!may_be_snapshot(Some(bad)), "{bad:?}");
        }
    }
}

//! The Vault server that is backed up: login, retries, and its details for header and manifest.
//!
//! Not here: the requests (`vault`).

use crate::base::error::{Error, Result};
use crate::base::stop::Stop;
use crate::formats::manifest::VaultFacts;
use crate::services::vault::{Auth, Client, Node, Session};
use std::time::Duration;

/// Time limit for revoking the token, long enough for a leader election with Raft's
/// defaults. Otherwise the token expires by its TTL.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(15);

/// Pause before the next attempt. The search for the leader itself waits for an election.
const PAUSE: Duration = Duration::from_secs(1);

/// Finds the leader, which must belong to `cluster` if given, logs in and runs `work`, which
/// also gets the number of the attempt. Repeats all of it up to `retries` times after a
/// transient failure. Finally revokes the tokens that this run obtained, also after a
/// failure.
///
/// # Errors
/// The error of [`expect_cluster`], the login or `work`; after several attempts the last
/// error, with the first as its context. A failed revocation is only a warning.
pub(crate) async fn with_session<T>(
    client: &Client,
    auth: &Auth,
    cluster: Option<&str>,
    stop: &Stop,
    retries: u32,
    work: impl AsyncFnMut(&Node, &Session, u32) -> Result<T>,
) -> Result<T> {
    let mut sessions = Vec::new();
    let result = attempts(client, auth, cluster, stop, retries, &mut sessions, work).await;
    for (node, session) in sessions {
        if let Err(error) = revoke(client, &node.address, session).await {
            tracing::warn!("{error}");
        }
    }
    result
}

async fn attempts<T>(
    client: &Client,
    auth: &Auth,
    cluster: Option<&str>,
    stop: &Stop,
    retries: u32,
    sessions: &mut Vec<(Node, Session)>,
    mut work: impl AsyncFnMut(&Node, &Session, u32) -> Result<T>,
) -> Result<T> {
    let mut first: Option<String> = None;
    let mut attempt = 1;
    loop {
        let again = |error: &Error| error.is_transient() && attempt <= retries;
        let with_first = |error: Error| match &first {
            Some(first) => error.context(format!("attempt {attempt}, after: {first}")),
            None => error,
        };
        // The search itself waits for an election: without a leader, another attempt is useless.
        let node = Box::pin(stop.guard(client.leader())).await.map_err(with_first)?;
        expect_cluster(&node, cluster)?;
        let done = async {
            if sessions.is_empty() || auth.works_again() {
                let session = Box::pin(stop.guard_token(client.login(&node, auth))).await?;
                sessions.push((node.clone(), session));
            }
            match sessions.last() {
                Some((_, session)) => work(&node, session, attempt).await,
                None => Err(Error::unexpected("the login gave no session")),
            }
        };
        match done.await {
            Err(error) if again(&error) => {
                tracing::info!("{error}; trying again");
                first.get_or_insert_with(|| error.to_string());
            }
            done => return done.map_err(with_first),
        }
        stop.guard(async {
            tokio::time::sleep(PAUSE).await;
            Ok(())
        })
        .await?;
        attempt += 1;
    }
}

/// Revokes the session's token if this run obtained it, with a time limit.
///
/// # Errors
/// `Vault`; the token is then valid until its TTL expires.
pub(crate) async fn revoke(client: &Client, address: &url::Url, session: Session) -> Result<()> {
    let failed = |error: Error| Error::vault("the token of this run was not revoked").because(error);
    match tokio::time::timeout(REVOKE_TIMEOUT, client.revoke(session)).await {
        Ok(revoked) => revoked.map_err(failed),
        Err(_) => Err(failed(Error::vault(format!("{address} did not respond")))),
    }
}

/// Refuses a node of another cluster than `expected`, or one that does not report its cluster.
///
/// # Errors
/// `Usage` naming both.
pub(crate) fn expect_cluster(node: &Node, expected: Option<&str>) -> Result<()> {
    let Some(expected) = expected else { return Ok(()) };
    let address = &node.address;
    match node.cluster_id() {
        Some(id) if id == expected => Ok(()),
        Some(id) => Err(Error::usage(format!(
            "Vault {address}: its cluster is {id}, but vault.cluster_id is {expected}; nothing was read"
        ))
        .hint("correct vault.address or vault.cluster_id (`vault status` shows the id)")),
        None => Err(Error::usage(format!(
            "Vault {address}: it does not report its cluster id, but vault.cluster_id is {expected}; nothing was read"
        ))
        .hint("use an address whose sys/health has cluster_id, or remove vault.cluster_id")),
    }
}

/// Returns the details of the node's cluster that a manifest records.
pub(crate) fn facts(node: &Node) -> VaultFacts {
    let (health, seal) = (&node.health, &node.seal);
    let server = node.server();
    VaultFacts {
        product: server.product,
        version: server.version,
        cluster_id: node.cluster_id().map(str::to_owned),
        cluster_name: health.cluster_name.clone(),
        seal_type: Some(seal.seal_type.clone()),
        seal_threshold: Some(seal.threshold),
        seal_shares: Some(seal.shares),
        raft_index: None,
        raft_term: None,
    }
}

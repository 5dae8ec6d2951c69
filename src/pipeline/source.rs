//! The Vault that is backed up: one login a run, and what is recorded of it.
//!
//! Here: the session around a piece of work, and the facts for header and
//! manifest. Not here: the requests themselves (`vault`).

use crate::base::error::{Error, Result};
use crate::base::stop::Stop;
use crate::formats::manifest::VaultFacts;
use crate::services::vault::{Auth, Client, Node, Session};
use std::time::Duration;

/// How long the revocation at the end may take, an election with Raft's defaults included:
/// the token dies by itself later.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(15);

/// The pause before the next attempt. An election is waited for by the search for the leader.
const PAUSE: Duration = Duration::from_secs(1);

/// Finds the leader, which must be of `cluster` if one is given, logs in, and does `work`,
/// which also gets the attempt's number. All of it is done again, up to `retries` times,
/// after a failure that may pass. The tokens that this run obtained are revoked at the
/// end, however it ended.
///
/// # Errors
/// [`expect_cluster`]'s, the login's, or the work's; after several attempts the last one's, with the first one's
/// in front. A revocation that fails is only warned of.
pub async fn with_session<T>(
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
        let said = |error: Error| match &first {
            Some(first) => error.context(format!("attempt {attempt}, after: {first}")),
            None => error,
        };
        // The search waits for an election by itself: without a leader a further attempt is of no use.
        let node = Box::pin(stop.guard(client.leader())).await.map_err(said)?;
        expect_cluster(&node, cluster)?;
        let done = async {
            if sessions.is_empty() || auth.works_again() {
                let session = Box::pin(stop.guard(client.login(&node, auth))).await?;
                sessions.push((node.clone(), session));
            }
            match sessions.last() {
                Some((_, session)) => work(&node, session, attempt).await,
                None => Err(Error::unexpected("the login gave no session")),
            }
        };
        match done.await {
            Err(error) if again(&error) => {
                tracing::info!("{error}; beginning again");
                first.get_or_insert_with(|| error.to_string());
            }
            done => return done.map_err(said),
        }
        stop.guard(async {
            tokio::time::sleep(PAUSE).await;
            Ok(())
        })
        .await?;
        attempt += 1;
    }
}

/// Revokes the session's token, if this run obtained it, without waiting for long.
///
/// # Errors
/// `Vault`: the token lives until its time to live is over.
pub async fn revoke(client: &Client, address: &url::Url, session: Session) -> Result<()> {
    let untold = |error: Error| Error::vault("the token of this run was not revoked").because(error);
    match tokio::time::timeout(REVOKE_TIMEOUT, client.revoke(session)).await {
        Ok(revoked) => revoked.map_err(untold),
        Err(_) => Err(untold(Error::vault(format!("{address} did not respond")))),
    }
}

/// Refuses a node of another cluster than `expected`, or one that does not tell its own.
///
/// # Errors
/// `Usage` naming both.
pub fn expect_cluster(node: &Node, expected: Option<&str>) -> Result<()> {
    let Some(expected) = expected else { return Ok(()) };
    let address = &node.address;
    match node.cluster_id() {
        Some(id) if id == expected => Ok(()),
        Some(id) => Err(Error::usage(format!("Vault {address}: it is cluster {id}, vault.cluster_id is {expected}"))
            .hint("nothing was read; correct vault.address, or vault.cluster_id (vault status shows the id)")),
        None => Err(Error::usage(format!(
            "Vault {address}: it does not tell its cluster's id, and vault.cluster_id is {expected}"
        ))
        .hint("nothing was read; give an address where sys/health names cluster_id, or remove vault.cluster_id")),
    }
}

/// What a manifest records of the cluster behind `node`.
pub fn facts(node: &Node) -> VaultFacts {
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

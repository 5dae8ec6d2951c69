//! The Vault that is backed up: one login a run, and what is recorded of it.
//!
//! Here: the session around a piece of work, and the facts for header and
//! manifest. Not here: the requests themselves (`vault`).

use crate::error::{Error, Result};
use crate::manifest::VaultFacts;
use crate::stop::Stop;
use crate::vault::{Auth, Client, Node, Session};
use std::time::Duration;

/// How long the revocation at the end may take: the token dies by itself later.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Finds the leader, which must be of `cluster` if one is given, logs in, does `work`, and revokes the token if this run
/// obtained it, however the work ended.
///
/// # Errors
/// [`expect_cluster`]'s, the login's, or the work's. A revocation that fails is only warned of.
pub async fn with_session<T>(
    client: &Client,
    auth: &Auth,
    cluster: Option<&str>,
    stop: &Stop,
    work: impl AsyncFnOnce(&Node, &Session) -> Result<T>,
) -> Result<T> {
    let login = async {
        let node = client.leader().await?;
        expect_cluster(&node, cluster)?;
        let session = client.login(&node, auth).await?;
        Ok((node, session))
    };
    let (node, session) = Box::pin(stop.guard(login)).await?;
    let result = work(&node, &session).await;
    if let Err(error) = revoke(client, &node, session).await {
        tracing::warn!("{error}");
    }
    result
}

/// Revokes the session's token, if this run obtained it, without waiting for long.
///
/// # Errors
/// `Vault`: the token lives until its time to live is over.
pub async fn revoke(client: &Client, node: &Node, session: Session) -> Result<()> {
    let untold = |error: Error| Error::vault("the token of this run was not revoked").because(error);
    match tokio::time::timeout(REVOKE_TIMEOUT, client.revoke(session)).await {
        Ok(revoked) => revoked.map_err(untold),
        Err(_) => Err(untold(Error::vault(format!("{} did not answer", node.address)))),
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
